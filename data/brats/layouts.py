"""Layouts for files with any names: a path pattern for each modality, from a user or dataset.json.

    T1: "{case}/T1.nii.gz"          # the end of the path; {case} is the case's name, * anything
    T2: "{case}/T2.nii.gz"
    T1c: "{case}/T1_contrast.nii.gz"
    Flair: "{case}/FLAIR.nii.gz"
    label: "{case}/mask.nii.gz"
    label_scheme: 1=necrosis,2=oedema,4=enhancing

With {patient} beside {case} all cases of a patient stay in one part of the split. A pattern that
ends in #0, #1 and so on is that volume of a four-dimensional file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data.brats.label_schemes import as_scheme, check_scheme
from data.brats.namings import BETWEEN, KINDS, LABEL
from utils.errors import UserError

OPTION = "--slicing.layout"
SCHEME = "label_scheme"
_NAMES = {
    "T1": ("t1", "t1w", "t1n", "t1native"),
    "T2": ("t2", "t2w"),
    "T1c": ("t1c", "t1ce", "t1gd", "t1wce", "t1contrast", "t1post"),
    "Flair": ("flair", "t2f", "t2flair"),
    LABEL: ("label", "seg", "mask", "segmentation"),
}
_SUFFIX = re.compile(r"\.(mha|nii(\.gz)?(#\d+)?)$", re.IGNORECASE)
EXAMPLE = (
    '{T1: "{case}/T1.nii.gz", T2: "{case}/T2.nii.gz", T1c: "{case}/T1c.nii.gz", Flair: '
    '"{case}/Flair.nii.gz", label: "{case}/label.nii.gz", '
    "label_scheme: '1=necrosis,2=oedema,4=enhancing'}"
)


@dataclass(frozen=True)
class Layout:
    """Which files hold which modality.

    Attributes:
        patterns: for each kind (`KINDS`) the end of its files' paths, with {case}, {patient} and *.
        scheme: meaning of the label values, see `data.brats.label_schemes`; "" = not given.
    """

    patterns: Mapping[str, str]
    scheme: str = ""

    def recognise(self, path: str) -> Iterable[tuple[str, str, str]]:
        """Yields (case, kind, #k or "") for each pattern that a file's path, with /, matches."""
        for kind, pattern in self.patterns.items():
            pattern, mark, channel = pattern.partition("#")
            match = re.fullmatch(rf"(?:.*/)?{_expression(pattern)}", path)
            if match:
                parts = match.groupdict()
                names = [parts[name] for name in ("patient", "case") if parts.get(name)]
                yield BETWEEN.join(names), kind, mark + channel


def _expression(pattern: str) -> str:
    """Returns a pattern as a regular expression; hidden files do not match it."""
    expression, known = "", set()
    for part in re.split(r"(\{case\}|\{patient\}|\*)", pattern):
        name = part.strip("{}")
        if part == "*":
            expression += r"[^/]*"
        elif name in known:
            expression += f"(?P={name})"
        elif part in ("{case}", "{patient}"):
            known.add(name)
            expression += rf"(?P<{name}>(?!\.)[^/]+?)"
        else:
            expression += re.escape(part)
    return expression


def kind_named(word: str) -> str | None:
    """Returns the kind (`KINDS`) that a word such as "T1Gd" means; None for an unknown word."""
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    return next((kind for kind, words in _NAMES.items() if plain in words), None)


def layout_text(value: str) -> str:
    """Returns the content of a layout file as one line of JSON.

    Given such a line, it returns the same line.

    Args:
        value: path of a YAML file, or the content itself, which must begin with "{".

    Raises:
        UserError: the file cannot be read, it does not describe a layout, or its label scheme is
            unknown.
    """
    source = value if value.lstrip().startswith("{") else None
    try:
        content = yaml.safe_load(Path(value).read_text("utf-8") if source is None else source)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{OPTION} {value} must be a YAML file, but {reason}; give one such as {EXAMPLE}"
        ) from error
    layout = _checked(value, content)
    scheme = {SCHEME: layout.scheme} if layout.scheme else {}
    return json.dumps({**layout.patterns, **scheme}, ensure_ascii=False)


def read_layout(text: str) -> Layout:
    """Parses the JSON line that `layout_text` returns into a `Layout`."""
    return _checked(text, json.loads(text))


def _checked(source: str, content: Any) -> Layout:
    """Checks a file's content and returns it as a layout; errors name the file, `source`."""
    rows = content if isinstance(content, dict) else {}
    scheme = rows.get(SCHEME) or ""
    scheme = as_scheme(scheme) if isinstance(scheme, dict) else str(scheme)
    check_scheme(scheme or None)
    patterns = {kind_named(str(key)): str(rows[key]) for key in rows if key != SCHEME}
    missing = [kind for kind in KINDS if kind not in patterns]
    if missing or None in patterns:
        unknown = [str(key) for key in rows if key != SCHEME and not kind_named(str(key))]
        found = f"the unknown {', '.join(unknown)}" if unknown else f"no {', no '.join(missing)}"
        raise UserError(
            f"{OPTION} {source} must have a pattern for each of {', '.join(KINDS)}, found {found}; "
            f"write it such as {EXAMPLE}"
        )
    for kind, pattern in patterns.items():
        if "{case}" not in pattern or not _SUFFIX.search(pattern):
            raise UserError(
                f"{OPTION} {source} must give {kind} as a pattern with {{case}} that ends in "
                f".nii.gz, .nii or .mha, found {pattern!r}; write it such as {EXAMPLE}"
            )
    return Layout({kind: patterns[kind] for kind in KINDS}, scheme)
