"""The exception that stands for a mistake of the user: told in a sentence, no traceback."""

from __future__ import annotations


class UserError(ValueError):
    """Bad usage or bad data; scripts print the message and exit with code 2."""
