"""Implementations of the ports, blind to each other."""
