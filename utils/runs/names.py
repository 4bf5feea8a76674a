"""Names from outside, such as those of folders, on their way to a screen, a page or a chart."""

from __future__ import annotations

# What HTML, Markdown or the formulas of a chart would obey.
_MARKUP = frozenset("<>&\"'`*[]|\\$~#{}")


def printable(text: str, kept: str = "") -> str:
    """Returns a text with control characters replaced by U+FFFD, except those in `kept`."""
    return "".join(x if x.isprintable() or x in kept else "\ufffd" for x in text)


def plain_name(name: str) -> str:
    """Returns a name for people, which is a text and nothing else in every kind of output."""
    return "".join("_" if x in _MARKUP else x for x in printable(name))
