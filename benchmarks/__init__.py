"""Measures the engine beside the plain tools that do the same work, in one run on one machine."""
