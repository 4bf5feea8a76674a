"""The meaning of label values in each BRATS release, and their translation to the 2015 meaning.

The number 4 is enhancing tumour until 2021 and the resection cavity from 2024 on, so the scheme is
never guessed from the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.brats.subjects import Case
from utils.errors import UserError


@dataclass(frozen=True)
class LabelScheme:
    """One release scheme: which `subjects.NAMINGS` carry it and what its values become."""

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
            ("BraTS-GLI",),
            {0: 0, 1: 1, 2: 2, 3: 4},
            "BraTS 2023 adult glioma: as 2021 with enhancing tumour renumbered to 3",
        ),
        LabelScheme(
            "brats2024",
            ("BraTS-GLI",),
            {0: 0, 1: 1, 2: 2, 3: 4, 4: 0},
            "BraTS 2024/25 post-treatment glioma: as 2023 with the resection cavity as 4",
        ),
    )
}


def check_scheme(requested: str | None) -> None:
    """Raises UserError for a name that is not in `SCHEMES`."""
    if requested is not None and requested not in SCHEMES:
        raise UserError(
            f"Unknown --slicing.label_scheme {requested}: expected one of {', '.join(SCHEMES)}."
        )


def resolve_scheme(cases: Sequence[Case], requested: str | None) -> str:
    """Returns the name of the label scheme of `cases`; `requested` decides between shared names.

    Raises:
        UserError: an unknown scheme, cases of several releases, names shared by two schemes with
            none requested, or a request that contradicts the names.
    """
    check_scheme(requested)
    examples = {case.naming: case.id for case in cases}
    if len(examples) != 1:
        found = ", ".join(f"{case} ({naming})" for naming, case in sorted(examples.items()))
        raise UserError(
            "The cases must be named after one BRATS release because label values differ between "
            f"releases, found {found or 'no case'}; give --data a folder with one release."
        )
    naming, example = next(iter(examples.items()))
    possible = [scheme.name for scheme in SCHEMES.values() if naming in scheme.namings]
    if requested is None and len(possible) > 1:
        raise UserError(
            f"Names such as {example} are used by releases with different label values; say which "
            f"with --slicing.label_scheme {'|'.join(possible)}."
        )
    if requested is not None and requested not in possible:
        raise UserError(
            f"--slicing.label_scheme {requested} contradicts the {naming} names of the files (case "
            f"{example}), which use {' or '.join(possible)}; correct or omit the option."
        )
    return requested or possible[0]


def to_2015(label: np.ndarray, scheme: str, source: Path) -> np.ndarray:
    """Translates a label volume to the BRATS 2015 values.

    The resection cavity of "brats2024" has no counterpart in 2015 and becomes background.

    Args:
        label: [...] values of the release, any numeric type.
        scheme: a key of `SCHEMES`.
        source: the file the label came from, for the message.

    Returns:
        uint8 [...] with 0 background, 1 necrosis, 2 oedema, 3 non-enhancing, 4 enhancing.

    Raises:
        UserError: a value outside the scheme, fractions included.
    """
    mapping = SCHEMES[scheme].to_2015
    known = np.isin(label, list(mapping))
    if not known.all():
        foreign = ", ".join(f"{value:g}" for value in np.unique(label[~known])[:5])
        raise UserError(
            f"The label {source} holds the values {foreign} where {scheme} allows only "
            f"{', '.join(map(str, mapping))}; use the original label file or check "
            "--slicing.label_scheme."
        )
    lookup = np.zeros(max(mapping) + 1, np.uint8)
    lookup[list(mapping)] = list(mapping.values())
    return lookup[label.astype(np.uint8)]
