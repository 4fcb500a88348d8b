"""Which file is the configuration."""

from __future__ import annotations

import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from aetherium.model.errors import ConfigInvalid, InvalidArgument

VARIABLE = "AETHERIUM_CONFIG"
_SYSTEM = Path("/etc/aetherium/config.yaml")
_MOST_BYTES = 1024 * 1024


def search_places(environ: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Return where a configuration is looked for, the first that exists being it."""
    places = [Path("aetherium.yaml")]
    base = environ.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):  # the XDG specification has relative ones ignored
        places.append(Path(base, "aetherium", "config.yaml"))
    elif (home := home_directory(environ, uid)) is not None:
        places.append(home / ".config" / "aetherium" / "config.yaml")
    return (*places, _SYSTEM)


def find_file(path: Path | None, environ: Mapping[str, str], places: Sequence[Path]) -> Path | None:
    """Return the file to read; None when there is none. Raises ConfigInvalid when one is named that does not exist."""
    named, by = path, ""
    if named is None and environ.get(VARIABLE):
        named, by = Path(environ[VARIABLE]), f" (named by {VARIABLE})"
    if named is None:
        return next((place for place in places if _exists(place)), None)
    if not _exists(named):
        raise ConfigInvalid((f"{named}: no such file{by}",))
    return named


def read_text(path: Path) -> str:
    """Return what a file holds. Raises ConfigInvalid."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid((f"{path}: cannot be read: {error.strerror}",)) from error
    if len(data) > _MOST_BYTES:
        raise ConfigInvalid((f"{path}: is larger than 1 MiB",))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    raise ConfigInvalid((f"{path}:{line}: is not UTF-8 text",))


def home_directory(environ: Mapping[str, str], uid: int) -> Path | None:
    """Return the user's home; None for a user without one."""
    if environ.get("HOME", "").startswith("/"):
        return Path(environ["HOME"])
    try:
        return Path(pwd.getpwuid(uid).pw_dir)
    except KeyError:
        return None


def state_dir(option: Path | None, environ: Mapping[str, str], uid: int) -> Path:
    """Return the state directory, absolute: ``--state-dir``, else ``AETHERIUM_STATE_DIR``, else the user's own."""
    if option is not None:
        return option.absolute()
    if environ.get("AETHERIUM_STATE_DIR"):
        return Path(environ["AETHERIUM_STATE_DIR"]).absolute()
    if uid == 0:
        return Path("/var/lib/aetherium")
    base = environ.get("XDG_DATA_HOME", "")
    if base.startswith("/"):
        return Path(base, "aetherium")
    home = home_directory(environ, uid)
    if home is None:
        raise InvalidArgument(f"user {uid} has no home directory", remedy="give --state-dir or AETHERIUM_STATE_DIR")
    return home / ".local" / "share" / "aetherium"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a directory on the way may not be entered: say so when it is read
        return True
