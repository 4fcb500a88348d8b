"""Drivers that make machines."""
