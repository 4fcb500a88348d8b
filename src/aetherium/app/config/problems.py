"""Everything that is wrong with a configuration, gathered before anything is raised."""

from __future__ import annotations

from dataclasses import dataclass, field

from aetherium.app.config.place import Path, Place, show_path
from aetherium.model.errors import ConfigInvalid


@dataclass(frozen=True, slots=True)
class _Problem:
    place: Place
    text: str
    node: object = None


@dataclass(slots=True)
class Problems:
    """Grows while the configuration is read."""

    found: list[_Problem] = field(default_factory=list)

    def add(self, place: Place, path: Path, message: str, *, node: object = None) -> None:
        """Note one problem of a key; ``node`` is the value it makes useless."""
        text = f"{place}: {show_path(path)}: {message}" if path else f"{place}: {message}"
        self.found.append(_Problem(place, text, node))

    def add_syntax(self, place: Place, column: int, message: str) -> None:
        """Note text that is not YAML."""
        self.found.append(_Problem(place, f"{place}:{column}: {message}"))

    def forgive(self, node: object) -> None:
        """Forget the problems of a value that another layer replaces."""
        self.found = [problem for problem in self.found if problem.node is not node]

    def raise_any(self) -> None:
        """Raise ConfigInvalid if there are problems: those of the file by line, then those of the environment."""
        if self.found:
            ordered = sorted(self.found, key=lambda problem: (not problem.place.line, problem.place.line))
            raise ConfigInvalid(tuple(dict.fromkeys(problem.text for problem in ordered)))
