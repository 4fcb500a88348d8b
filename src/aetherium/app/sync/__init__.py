"""The synchronous face of the engine."""
