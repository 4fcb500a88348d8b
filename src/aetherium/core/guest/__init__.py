"""The host side of the guest protocol."""
