"""Drivers that keep state."""
