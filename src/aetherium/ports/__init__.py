"""Interfaces the engine needs, one per file; ``aetherium.drivers`` and other people's packages implement them."""
