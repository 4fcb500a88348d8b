"""Bytes to values and back: the guest's frames. No I/O."""
