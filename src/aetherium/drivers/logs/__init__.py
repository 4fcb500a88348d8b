"""Drivers that take log lines."""
