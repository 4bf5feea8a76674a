"""BRATS as a data set: four modalities, five classes with the BRATS 2015 meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from data.brats.described import DESCRIPTION, is_export
from data.brats.label_schemes import resolve_scheme
from data.brats.names import LABEL_NAMES, MODALITIES, REGIONS
from data.brats.namings import patient_of
from data.brats.phantom import TERMS, cached_phantom, write_tissue_maps
from data.brats.phantom_kinds import KINDS
from data.brats.preparation import prepare_subject, slices_with_signal
from data.brats.slices import SliceConfig, output_size
from data.brats.subjects import Case, find_cases
from data.brats.verification import verify_cases
from data.contract import CaseSlices, DataSet, Phantom
from utils.errors import UserError


def with_scheme(cases: Sequence[Case], config: SliceConfig) -> SliceConfig:
    """Returns the configuration with the label scheme of some cases, see `resolve_scheme`."""
    return replace(config, label_scheme=resolve_scheme(cases, config.label_scheme))


def find(folder: Path, config: SliceConfig) -> list[Case]:
    """Returns the cases below a folder, see `find_cases`.

    Raises UserError for exported slices, too.
    """
    described = Path(folder) / DESCRIPTION
    if is_export(described):
        raise UserError(
            f"{described} is of exported slices, which experiments/train_samr.py reads; give the "
            "tree with the volumes that they were cut from."
        )
    return find_cases(folder, config.layout)


def prepare_case(case: Case, config: SliceConfig) -> CaseSlices:
    """Returns the slices of a case that have signal (not every modality constant).

    Args:
        case: complete.
        config: with a label scheme.

    Raises:
        UserError: a file that is missing or twice there, what `prepare_subject` refuses, or no
            signal in the whole range.
    """
    slices = prepare_subject(case.subject(), config, config.label_scheme)
    kept = slices_with_signal(f"Case {case.id}", slices.images, config)
    return CaseSlices(
        slices.images[kept],
        slices.label[kept],
        slices.index[kept],
        slices.place,
        most_slices(config) - len(kept),
    )


def most_slices(config: SliceConfig) -> int:
    """Returns the number of slices in the configured range."""
    return config.slices[1] - config.slices[0]


BRATS = DataSet(
    name="brats",
    channels=MODALITIES,
    classes=LABEL_NAMES,
    regions=REGIONS,
    map_constants="brats2015",
    patient_of=patient_of,
    find=find,
    phantoms={
        name: Phantom(
            partial(cached_phantom, kind=kind),
            f"built-in phantom, {name} (a demonstration object made from MNI152 templates, not "
            "medical data)",
            partial(write_tissue_maps, kind=kind),
            TERMS,
        )
        for name, kind in KINDS.items()
    },
    settle=with_scheme,
    prepare=prepare_case,
    size=output_size,
    most_slices=most_slices,
    verify=verify_cases,
    verify_script="experiments/verify_data.py",
)
