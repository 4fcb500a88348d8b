"""Drivers that carry events."""
