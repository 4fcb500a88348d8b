"""Conformance suites and leak census, shipped for driver authors."""
