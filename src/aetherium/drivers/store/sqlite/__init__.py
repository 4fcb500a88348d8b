"""Keeps state in one SQLite file: the embedded store, for any number of processes of one host."""

from aetherium.drivers.store.sqlite.config import Config
from aetherium.drivers.store.sqlite.driver import open_

__all__ = ["Config", "open_"]
