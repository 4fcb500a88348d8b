"""Aetherium runs autonomous AI agents and other untrusted programs, each in an isolated machine of its own."""
