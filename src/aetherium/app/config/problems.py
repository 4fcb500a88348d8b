"""Everything that is wrong with a configuration, gathered before anything is raised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aetherium.app.config.place import Path, Place, show_path
from aetherium.model.errors import ConfigInvalid


@dataclass(slots=True)
class Problems:
    """Grows while the configuration is read."""

    found: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, place: Place, path: Path, message: str) -> None:
        """Note one problem of a key."""
        self.found.append((place, f"{place}: {show_path(path)}: {message}" if path else f"{place}: {message}"))

    def add_all(self, place: Place, path: Path, messages: Iterable[str]) -> None:
        """Note several problems of one key."""
        for message in messages:
            self.add(place, path, message)

    def add_syntax(self, place: Place, column: int, message: str) -> None:
        """Note text that is not YAML."""
        self.found.append((place, f"{place}:{column}: {message}"))

    def raise_any(self) -> None:
        """Raise ConfigInvalid if there are problems: those of the file by line, then those of the environment."""
        if self.found:
            ordered = sorted(self.found, key=lambda problem: (not problem[0].line, problem[0].line))
            raise ConfigInvalid(tuple(dict.fromkeys(text for _, text in ordered)))
