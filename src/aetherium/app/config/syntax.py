"""What the YAML parser's complaints mean. Its own words can quote the file, and the file can hold secrets."""

from __future__ import annotations

from ruamel.yaml.error import MarkedYAMLError

_WORDS = (
    ("found character '\\t'", "a tab cannot indent; use spaces"),
    ("that cannot start any token", "this character cannot begin a value; put the value in quotes"),
    ("mapping values are not allowed", "no ':' is expected here; check the indentation, and quote a value with ': '"),
    ("could not find expected ':'", "a key without a ':' after it"),
    ("expected ',' or ']'", "'[' without its ']', or a ',' is missing"),
    ("expected ',' or '}'", "'{' without its '}', or a ',' is missing"),
    ("found unexpected end of stream", "a quote without its closing quote"),
    ("found unexpected document separator", "a quote without its closing quote"),
    ("expected <block end>", "this does not fit the lines above it; check the indentation"),
    ("sequence entries are not allowed", "no '-' is expected here; check the indentation"),
    ("found unknown escape character", "an unknown '\\' escape; in single quotes a '\\' is itself"),
    ("escape sequence of", "an unfinished '\\' escape; in single quotes a '\\' is itself"),
)
_OTHERWISE = "this is not valid YAML"


def explain(error: Exception) -> tuple[int, int, str]:
    """Return line, column (both from 1; 0 when unknown) and our words for what the parser raised."""
    if not isinstance(error, MarkedYAMLError):
        return 0, 0, _OTHERWISE
    problem = error.problem or ""
    words = next((ours for theirs, ours in _WORDS if theirs in problem), _OTHERWISE)
    mark = error.problem_mark or error.context_mark
    if "quote" in words and "closing" in words:
        mark = error.context_mark or mark
    return (mark.line + 1, mark.column + 1, words) if mark else (0, 0, words)
