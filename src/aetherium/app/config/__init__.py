"""Reads the configuration: files, environment, defaults; checks it, and shows it."""
