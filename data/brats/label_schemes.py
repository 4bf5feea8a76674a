"""The meaning of label values in each BRATS release, and their translation to the 2015 meaning.

The number 4 is enhancing tumour until 2021 and the resection cavity from 2024 on, so the scheme is
never guessed from the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.brats.names import LABEL_NAMES
from utils.errors import UserError

if TYPE_CHECKING:
    from data.brats.subjects import Case

OPTION = "--slicing.label_scheme"
ROUNDING = 1e-2  # by which scale factors and resampling may move whole numbers
_UNKNOWN = 255
_AMONG_NAMES = "BraTS-GLI", "BraTS-MET"
_CORE = "necrosis", "non-enhancing"


@dataclass(frozen=True)
class LabelScheme:
    """One release scheme: which `namings.NAMINGS` carry it and what its values become."""

    name: str
    namings: tuple[str, ...]
    to_2015: Mapping[int, int]
    source: str


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        LabelScheme(
            "brats2015",
            ("VSD",),
            {0: 0, 1: 1, 2: 2, 3: 3, 4: 4},
            "BRATS 2013-2016: Menze et al., IEEE TMI 34(10), 2015",
        ),
        LabelScheme(
            "brats2020",
            ("BraTS 2017-2021",),
            {0: 0, 1: 1, 2: 2, 4: 4},
            "BraTS 2017-2021 data pages: necrosis and non-enhancing tumour share value 1",
        ),
        LabelScheme(
            "brats2023",
            (*_AMONG_NAMES, "BraTS-PED", "BraTS-SSA, -MEN, -GoAT"),
            {0: 0, 1: 1, 2: 2, 3: 4},
            "BraTS 2023: as 2021 with enhancing tumour renumbered to 3",
        ),
        LabelScheme(
            "brats2024",
            _AMONG_NAMES,
            {0: 0, 1: 1, 2: 2, 3: 4, 4: 0},
            "BraTS 2024/25 post-treatment glioma: as 2023 with the resection cavity as 4",
        ),
        LabelScheme(
            "brats2024ped",
            ("BraTS-PED",),
            {0: 0, 1: 4, 2: 3, 3: 1, 4: 2},
            "BraTS-PEDs 2024/25: enhancing, non-enhancing, cysts (here necrosis), oedema",
        ),
    )
}


def as_scheme(meanings: Mapping[int, str]) -> str:
    """Returns the text of a user's own scheme, such as "1=necrosis,2=oedema"; see `LABEL_NAMES`."""
    return ",".join(f"{value}={name}" for value, name in sorted(meanings.items()))


def scheme_values(name: str, option: str = OPTION) -> Mapping[int, int]:
    """Returns the BRATS 2015 value of each label value of a scheme.

    Args:
        name: a key of `SCHEMES`, or a text as `as_scheme` returns it, in which 0 is background
            unless the text says otherwise.
        option: the option that names the scheme, for the message.

    Raises:
        UserError: `name` is neither of them.
    """
    if name in SCHEMES:
        return SCHEMES[name].to_2015
    pairs = [re.fullmatch(r"\s*(\d{1,2})\s*=\s*([\w-]+)\s*", part) for part in name.split(",")]
    if not all(pair and pair[2] in LABEL_NAMES for pair in pairs):
        raise UserError(
            f"Unknown {option} {name}: expected one of {', '.join(SCHEMES)}, or values with names "
            f"such as 1=necrosis,2=oedema,4=enhancing (names: {', '.join(LABEL_NAMES)})."
        )
    return {0: 0, **{int(pair[1]): LABEL_NAMES.index(pair[2]) for pair in pairs}}


# Releases from 2017 on give both one value: tumour core that is neither oedema nor enhancing.
_SHARED = {LABEL_NAMES.index(a): LABEL_NAMES.index(b) for a, b in (_CORE, _CORE[::-1])}


def values_in(scheme: str, option: str) -> tuple[int, ...]:
    """Returns the value that each BRATS 2015 class has in a scheme: `scheme_values` inverted.

    Necrosis and non-enhancing tumour share a value where the scheme tells only one of them.

    Args:
        scheme: see `scheme_values`.
        option: the option that asks for the scheme, for messages.

    Returns:
        A value for each of `LABEL_NAMES`; the background's is 0.

    Raises:
        UserError: the scheme is unknown, has no value for a class, or 0 is not its background.
    """
    found: dict[int, int] = {}
    for value, meaning in sorted(scheme_values(scheme, option).items()):
        found.setdefault(meaning, value)
    values = [found.get(i, found.get(_SHARED.get(i, i))) for i in range(len(LABEL_NAMES))]
    missing = [name for name, value in zip(LABEL_NAMES, values) if value is None]
    if missing or values[0] != 0:
        why = f"has no value for {' and '.join(missing)}" if missing else "gives 0 to a lesion"
        raise UserError(
            f"{option} {scheme} {why}, so labels cannot be written in its numbers; give one of "
            f"{', '.join(SCHEMES)}"
        )
    return tuple(values)


def check_scheme(requested: str | None) -> None:
    """Raises UserError if `scheme_values` does not know the scheme."""
    if requested is not None:
        scheme_values(requested)


def resolve_scheme(cases: Sequence[Case], requested: str | None) -> str:
    """Returns the name of the label scheme of `cases`; a requested scheme takes precedence.

    Raises:
        UserError: the scheme is unknown, the cases come from several releases, or no scheme is
            requested or described and the file names fit several schemes or none.
    """
    check_scheme(requested)
    examples = {(case.naming, case.scheme): case.id for case in cases}
    if len(examples) != 1:
        found = ", ".join(f"{case} ({naming})" for (naming, _), case in sorted(examples.items()))
        raise UserError(
            "The cases must be named after one BRATS release because label values differ between "
            f"releases, found {found or 'no case'}; give --data a folder with one release."
        )
    ((naming, own), example), *_ = examples.items()
    possible = possible_schemes(naming)
    if requested or own:
        check_scheme(own or None)
        return requested or own
    if len(possible) > 1:
        raise UserError(
            f"Names such as {example} are used by releases with different label values; say which "
            f"with {OPTION} {'|'.join(possible)}."
        )
    if not possible:
        raise UserError(
            f"The names of files such as those of case {example} do not tell what the label values "
            f"mean; say it with {OPTION} {'|'.join(SCHEMES)}, or with values and names such as "
            "1=necrosis,2=oedema,4=enhancing."
        )
    return possible[0]


def possible_schemes(naming: str) -> list[str]:
    """Returns the schemes that files of a `Naming.name` may have, none for unknown names."""
    return [scheme.name for scheme in SCHEMES.values() if naming in scheme.namings]


def to_2015(label: np.ndarray, scheme: str, source: Path) -> np.ndarray:
    """Translates a label volume to the BRATS 2015 values.

    The resection cavity of "brats2024" has no counterpart in 2015 and becomes background. Values
    that rounding moved by less than `ROUNDING` count as whole numbers.

    Args:
        label: [...] values of the release, any numeric type.
        scheme: see `scheme_values`.
        source: the file the label came from, for the message.

    Returns:
        uint8 [...] with 0 background, 1 necrosis, 2 oedema, 3 non-enhancing, 4 enhancing.

    Raises:
        UserError: a value is not in the scheme, for example a fraction.
    """
    mapping = scheme_values(scheme)
    lookup = np.full(_UNKNOWN + 1, _UNKNOWN, np.uint8)
    lookup[list(mapping)] = list(mapping.values())
    found = lookup[_whole_numbers(label)]
    if (found == _UNKNOWN).any():
        foreign = np.unique(label[found == _UNKNOWN])
        raise UserError(
            f"The label {source} holds the values {_listed(foreign)} where {scheme} allows only "
            f"{', '.join(map(str, mapping))}; use the original label file"
            f"{_schemes_with(np.unique(label))}."
        )
    return found


def _whole_numbers(label: np.ndarray) -> np.ndarray:
    """Returns values [...] as uint8; `_UNKNOWN` where they are not near one of 0..254."""
    if label.dtype.kind in "iu":
        inside = label.min() >= 0 and label.max() < _UNKNOWN
        whole = label if inside else np.where((label < 0) | (label > _UNKNOWN), _UNKNOWN, label)
        return whole.astype(np.uint8)
    whole = np.rint(label)
    near = (np.abs(label - whole) <= ROUNDING) & (whole >= 0) & (whole < _UNKNOWN)
    return np.where(near, whole, _UNKNOWN).astype(np.uint8)


def rounding_note(label: np.ndarray) -> str | None:
    """Returns a note that the values of a label [...] are rounded; None for whole numbers."""
    whole = label.dtype.kind in "iu" or (label == np.rint(label)).all()
    return None if whole else f"label values up to {ROUNDING} off whole numbers are rounded"


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:5])


def _schemes_with(values: np.ndarray) -> str:
    """Returns advice for a message: the schemes that have all values of a label.

    It is "" for a label with fractions: they come from resampling, and no scheme helps.
    """
    whole = _whole_numbers(values).tolist()
    if _UNKNOWN in whole:
        return ""
    found = [
        f"{name} ({as_scheme({v: LABEL_NAMES[scheme.to_2015[v]] for v in whole if v})})"
        for name, scheme in SCHEMES.items()
        if set(whole) <= set(scheme.to_2015)
    ]
    known = f" {' or '.join(found)}, or" if found else ""
    return (
        f", or say with {OPTION} (render.py: --label_scheme) what they mean:{known} values and "
        "names such as 1=necrosis,2=oedema,4=enhancing"
    )
