"""datasheet.md of a synthetic set or an export: what it is, from what, how made, and its limits.

It is for whoever gets the files without the run: no names of patients, folders or machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data.contract import BOXES, IMAGE, PIXELS
from utils.reporting.tables import bullets, markdown_table, page


@dataclass(frozen=True)
class Origin:
    """What a synthetic set was made from and with.

    Attributes:
        data: what the training data is.
        licence: whose terms govern the set.
        patients: number of patients that the networks learnt from.
        held_out: number of patients that no network saw.
        channels: names of the images' channels, in order.
        classes: names of the label's values, from 0 on; none of a set without labels.
        system: what made the set.
        making: further sentences on how the set was made.
        score: the Dice by which samples are selected.
        labels: sentence on where the labels come from.
        command: that repeats the run, without paths.
        version: of the code and the packages.
        fingerprint: of networks, settings and seed.
        figures: of made slices beside real ones, a row each; empty before they are measured.
        measured: what the figures are of, the beginning of a sentence.
        texture: how often a small network tells texture from real, by "real" and "synthetic".
        label_kind: as in `DataSet`.
        one_image: whether the channels are those of one image.
        rank: 2 for slices, 3 for volumes.
    """

    data: str
    licence: str
    patients: int
    held_out: int
    channels: Sequence[str]
    classes: Sequence[str]
    system: str
    making: Sequence[str]
    score: str
    labels: str
    command: str
    version: str
    fingerprint: str
    figures: pd.DataFrame
    measured: str
    texture: Mapping[str, float]
    label_kind: str = PIXELS
    one_image: bool = False
    rank: int = 2

    @property
    def units(self) -> tuple[str, str]:
        """What a sample is, and what a part of it is."""
        return ("volume", "voxel") if self.rank == 3 else ("slice", "pixel")


_SUBJECTS = {
    "slice": "axial slices of a brain that does",
    "volume": "volumes of patients who do",
}


def set_datasheet(manifest: Mapping[str, Any], origin: Origin) -> str:
    """Returns the text for a set with this content of manifest.json; the same for the same set."""
    return page(
        [
            "# Datasheet of a synthetic set",
            "## What it is",
            bullets(_content(manifest, origin)),
            "## What it was made from",
            bullets(_sources(origin)),
            "## How it was made",
            bullets(_making(manifest, origin)),
            "## Known limits",
            bullets(_limits(origin)),
            "## Figures",
            _figures(origin),
            "## Licence",
            origin.licence,
            "## Use",
            "For research on methods that need labelled images and have few. Not for diagnosis, "
            "treatment or any other clinical use, and not as evidence about patients.",
        ]
    )


def _content(manifest: Mapping[str, Any], origin: Origin) -> list[str]:
    channels = ", ".join(origin.channels)
    unit, part = origin.units
    what = (
        f"images with the channels {channels}"
        if origin.one_image
        else f"{_SUBJECTS[unit]} not exist, each in the "
        f"modalities {channels}, which match {part} for {part}"
    )
    values = ", ".join(f"{value} {name}" for value, name in enumerate(origin.classes))
    kind = {
        PIXELS: f"A lesion label for each {unit}",
        IMAGE: "A class for each image, at every pixel of its label",
        BOXES: "Boxes of lesions for each image, rows (class, cx, cy, w, h) in shares of its sides",
    }[origin.label_kind]
    return [
        f"{manifest['samples']} {what}. Intensities are 0 to 1.",
        f"{kind}: {values}." if values else "No labels.",
        f"Made by neural networks; no {unit} is a patient's.",
    ]


def _sources(origin: Origin) -> list[str]:
    return [
        f"Training data: {origin.data}.",
        f"Patients that the networks learnt from: {origin.patients}. Held-out patients, seen by no "
        f"network: {origin.held_out}.",
    ]


def _making(manifest: Mapping[str, Any], origin: Origin) -> list[str]:
    least = manifest["settings"].get("min_score")
    chosen = "none, all samples are marked as selected."
    if least:
        chosen = (
            f"{manifest['selected']} of {manifest['samples']} samples are marked as selected: "
            f"their {origin.score} is {least:g} or more. The others stay in the set."
        )
    return [
        f"System: {origin.system}.",
        f"The networks were trained by `{origin.command}`.",
        *origin.making,
        f"Version: {origin.version}.",
        f"Fingerprint of networks, settings and seed: {origin.fingerprint}.",
        f"Seed of the set: {manifest['seed']}.",
        f"Selection: {chosen}",
        "manifest.json counts what was rejected, and why.",
    ]


def _limits(origin: Origin) -> list[str]:
    texture = "How often its texture is told from real was not measured."
    if "synthetic" in origin.texture:
        beside = ""
        if "real" in origin.texture:
            beside = f"; two groups of real patients are told apart in {origin.texture['real']:.0%}"
        texture = (
            "A small network tells patches of its texture from real ones in "
            f"{origin.texture['synthetic']:.0%} of the cases (50 % is chance){beside}."
        )
    single = "Single slices: neighbours in the set do not belong together and make no volume."
    return [
        *([single] if origin.rank == 2 else ()),
        "The networks saw all training patients. What learns from the set must be judged on "
        "patients that were held out of the run.",
        origin.labels,
        texture,
    ]


def _figures(origin: Origin) -> str:
    figures = origin.figures.dropna(how="all")
    if figures.empty:
        return "Not measured: the run's stage `evaluate` had not been made."
    table = figures.rename_axis("figure").reset_index()
    return (
        f"{origin.measured}; docs/running.md of the code defines them.\n\n"
        f"{markdown_table(table, 3)}"
    )


def export_datasheet(manifest: Mapping[str, Any], of_the_set: str) -> str:
    """Returns the text for an export.

    Args:
        manifest: content of its manifest.json.
        of_the_set: datasheet of the synthetic set in it.
    """
    names = {"synthetic": "synthetic", "real": "training patients'", "test": "held-out patients'"}
    unit = "volumes" if "synthetic_volumes" in manifest else "slices"
    counts = [f"{manifest[f'{k}_{unit}']} {name}" for k, name in names.items()]
    values = ", ".join(f"{value} {name}" for value, name in manifest["labels"].items())
    facts = [
        f"{unit.capitalize()}: {', '.join(counts)}; {manifest[f'synthetic_{unit}_left_out']} "
        "samples of the set were left out.",
        f"Format: {manifest['exported_as']}; {_size(manifest)} mm.",
        f"Label values: {values}.",
        manifest["notice"],
    ]
    if any(fold["real_val"] for fold in manifest.get("folds", ())):
        facts.append(
            "splits_final.json: folds by patient, validated on real cases only. No synthetic case "
            "trains a fold in which a patient whose label it has is validated. The networks that "
            "made the images saw all training patients, so that cross-validation is optimistic "
            "even then: judge on held-out patients."
        )
    elif "folds" in manifest:
        facts.append("splits_final.json has no validation cases: train with fold `all`.")
    own = page(["# Datasheet of an export", "## What it holds", bullets(facts)])
    return f"{own}\n{of_the_set}"


def _size(manifest: Mapping[str, Any]) -> str:
    if "voxel_mm" in manifest:
        return f"voxels of {' x '.join(f'{side:g}' for side in manifest['voxel_mm'])}"
    return f"pixels of {manifest['pixel_mm']:g}"
