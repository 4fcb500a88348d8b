"""What the YAML parser's complaints mean. Its own words can quote the file, and the file can hold secrets."""

from __future__ import annotations

from ruamel.yaml.error import MarkedYAMLError

_WORDS = (
    # what is in the parser's words, ours, whether the place is where the unfinished thing began
    ("found character '\\t'", "a tab cannot indent; use spaces", False),
    ("that cannot start any token", "this character cannot begin a value; put the value in quotes", False),
    (
        "mapping values are not allowed",
        "no ':' is expected here; check the indentation, and quote a value with ': '",
        False,
    ),
    ("could not find expected ':'", "a key without a ':' after it", True),
    ("expected ',' or ']'", "'[' without its ']', or a ',' is missing", True),
    ("expected ',' or '}'", "'{' without its '}', or a ',' is missing", True),
    ("found unexpected end of stream", "a quote without its closing quote", True),
    ("found unexpected document separator", "a quote without its closing quote", True),
    ("expected <block end>", "this does not fit the lines above it; check quotes and indentation", False),
    ("expected '<document start>'", "this does not fit the lines above it; check quotes and indentation", False),
    ("sequence entries are not allowed", "no '-' is expected here; check the indentation", False),
    ("found unknown escape character", "an unknown '\\' escape; in single quotes a '\\' is itself", False),
    ("escape sequence of", "an unfinished '\\' escape; in single quotes a '\\' is itself", False),
    ("incompatible YAML document", "only YAML 1.1 and 1.2 can be read", False),
)
_OTHERWISE = "this is not valid YAML"


def explain(error: Exception) -> tuple[int, int, str]:
    """Return line, column (both from 1; 0 when unknown) and our words for what the parser raised."""
    if not isinstance(error, MarkedYAMLError):
        return 0, 0, _OTHERWISE
    problem = error.problem or ""
    words, is_unfinished = next(
        ((ours, begun) for theirs, ours, begun in _WORDS if theirs in problem), (_OTHERWISE, False)
    )
    mark = (error.context_mark if is_unfinished else None) or error.problem_mark or error.context_mark
    return (mark.line + 1, mark.column + 1, words) if mark else (0, 0, words)
