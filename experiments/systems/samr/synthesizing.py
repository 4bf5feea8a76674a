"""Volumes of all sequences made of label volumes by a finished run; its data is not needed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from data.atlas import Atlas
from data.brats.label_schemes import to_2015
from data.brats.scaling import background, shrunk_label
from data.brats.translation import predicted_volume
from data.brats.windows import axial_range, check_crop, cut, frame_start, put_back
from data.brats.with_brain import BRAIN, BRATS_WITH_BRAIN, FROM_2015, brain_mask
from data.grids import StoredGrid, Volume, check_same_geometry, check_spacing
from data.manipulation import LESION
from data.volumes import read_volume, read_volume_and_grid
from experiments.configs.samr import SAMRRunConfig
from experiments.engine.derived import (
    Made,
    check_lesion,
    network_hash,
    numbered,
    own_classes,
    told_scheme,
)
from experiments.engine.resuming import finished_config
from experiments.systems.samr.atlas import NAMES_FILE, atlas_file
from experiments.systems.samr.stages import TRAIN_SAMR, build_system, evaluated
from models.samr.segmenter import LabelNet
from utils.errors import UserError
from utils.inference import compiled, infer
from utils.metrics.segmentation import dice
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import checkpoint_index, load_networks

ATLAS_BRAIN = 0.05  # intensity above which the atlas shows brain
LEAST_EXTENT = 0.25  # of a label beside the typical brain, or its value 1 is none
BATCH_SIZE = 8


class Source(NamedTuple):
    """A label volume.

    Attributes:
        path: its file.
        label: uint8 [D,H,W], classes of the run's data set, LPS order.
        grid: grid of its file.
    """

    path: Path
    label: np.ndarray
    grid: StoredGrid


class Synthesizer:
    """Generator and segmenter of a finished run of `train_samr.py`.

    Args:
        path: the run directory.

    Attributes:
        network: hash of generator, atlas and slicing.
        sequences: names of what it makes.
        classes: names of the labels that it knows, 0 background, 1 normal brain (or its tissues).
        first_lesion: number of the first one that is part of a lesion.

    Raises:
        UserError: the folder holds no such run, or the run is not finished.
    """

    def __init__(self, path: Path):
        self.run = RunDirectory(path, writes=False)
        self.config = finished_config(path, SAMRRunConfig, TRAIN_SAMR.script, evaluated)
        atlas = Atlas.load(atlas_file(self.run))
        names = read_json(self.run.path / NAMES_FILE, dict)
        self.sequences, self.classes = names["sequences"], names["classes"]
        self.first_lesion = self.config.samr.first_lesion
        system = build_system(self.config, len(self.classes), atlas, total_steps=1)
        load_networks(system, self.run.checkpoints("gan"))
        segmenter = LabelNet(self.config.segmenter, len(self.sequences), len(self.classes), 1)
        load_networks(segmenter, self.run.checkpoints("segmenter"))
        self._synthesize, self._find = compiled(system.synthesize), compiled(segmenter.synthesize)
        contents = checkpoint_index(self.run.checkpoints("gan")), atlas.images.tobytes()
        self.network = network_hash(asdict(self.config.slicing), *contents)
        inside = atlas.images.max(axis=-1) > ATLAS_BRAIN
        self._extent = float(inside[inside.any(axis=(1, 2))].mean())  # of a slice, typical brain

    def read(
        self, path: Path, brain: Optional[Path] = None, scheme: Optional[str] = None
    ) -> Source:
        """Reads a label volume.

        Args:
            path: its file. Without `brain` it holds the run's own classes, brain among them.
            brain: a mask or a skull-stripped scan on the same grid, whose background has one value;
                the label then holds values of a BRATS release, or of other data the classes of the
                lesion, numbered from 1.
            scheme: that release; default: the run's, or brats2015.

        Raises:
            UserError: a damaged file, another grid than 1 mm, values that the run does not know, no
                brain or less of it than lesion, or a volume too small for the run's slices.
        """
        volume, grid = read_volume_and_grid(path)
        check_spacing(path, volume)
        check_crop(f"The label {path}", volume.array.shape, self.config.slicing)
        with_brain = brain is not None
        if not with_brain:
            remedy = ", or one of BRATS with --anatomy"
            label = own_classes(path, volume.array, self.classes, self.run.path, remedy)
        else:
            label = self._with_brain(path, volume, brain, scheme)
        brain = range(BRAIN, self.first_lesion)
        if not np.isin(label, brain).any():
            raise UserError(
                f"The label {path} has no brain (value {' or '.join(map(str, brain))}) in it; give "
                "the brain's mask or a skull-stripped scan of the patient with --anatomy"
            )
        remedy = (
            "leave out --anatomy if the label holds the brain already"
            if with_brain
            else f"give a label of {numbered(self.classes)}, or the brain's mask or a "
            "skull-stripped scan of the patient with --anatomy"
        )
        check_lesion(path, label, self.first_lesion, "brain", remedy)
        self._check_extent(path, label, remedy)
        return Source(path, label, grid)

    def _check_extent(self, path: Path, label: np.ndarray, remedy: str) -> None:
        """Refuses a label in which brain is not what the run calls so, such as a lesion's rim."""
        axial = axial_range(label.shape, self.config.slicing)
        shown = cut(label, axial, self.config.slicing) > 0
        drawn = shown[shown.any(axis=(1, 2))]
        if len(drawn) and drawn.mean() < LEAST_EXTENT * self._extent:
            raise UserError(
                f"The label {path} has a brain of {drawn.mean():.0%} of a slice, as if what it "
                f"calls brain were none (the run's brains fill {self._extent:.0%}); {remedy}"
            )

    def _with_brain(
        self, path: Path, volume: Volume, brain: Path, scheme: Optional[str]
    ) -> np.ndarray:
        if self.first_lesion > LESION:
            raise UserError(
                f"--anatomy does not tell tissues apart, but the run {self.run.path} has the "
                f"labels {', '.join(self.classes)}; give a label of these and leave --anatomy out"
            )
        scan = read_volume(brain)
        check_same_geometry({path: volume, brain: scan})
        if tuple(self.classes) == BRATS_WITH_BRAIN.classes:
            scheme = told_scheme(path, scheme, self.config.slicing.label_scheme)
            lesion = FROM_2015[to_2015(volume.array, scheme, path)]
        else:
            lesion = self._lesion_classes(path, volume.array)
        seen = scan.array != (background(scan.array) or 0)
        inside = brain_mask(seen[..., None], lesion)
        return np.where(lesion, lesion, inside * np.uint8(BRAIN)).astype(np.uint8)

    def _lesion_classes(self, path: Path, array: np.ndarray) -> np.ndarray:
        names = ("nothing", *self.classes[LESION:])
        known = np.isin(array, range(len(names)))
        if not known.all():
            wanted = ", ".join(f"{value} {name}" for value, name in enumerate(names))
            raise UserError(
                f"With --anatomy the label {path} must hold {wanted}, found the value "
                f"{array[~known][0]:g}; correct it, or give a label of the run's own classes "
                "without --anatomy"
            )
        return np.where(array > 0, array + (LESION - 1), 0).astype(np.uint8)

    def make(self, source: Source, batch_size: Optional[int]) -> Made:
        """Returns the sequences of a label, made `batch_size` slices at a time; default: 8.

        All are 0 outside of the slices from which the run learned.
        """
        label, slicing, names = source.label, self.config.slicing, self.sequences
        batch_size = batch_size or BATCH_SIZE
        axial = axial_range(label.shape, slicing)
        shown = shrunk_label(cut(label, axial, slicing), slicing, len(self.classes))
        rows = np.flatnonzero(shown.any(axis=(1, 2)))
        heights = axial[rows] - frame_start(label.shape, slicing)[0]
        arrays = {
            "label": shown[rows].astype(np.int32)[..., None],
            "source": np.stack([np.zeros_like(heights), heights], axis=1).astype(np.int32),
        }
        images = infer(self._synthesize, arrays, batch_size)["images"]
        found = infer(self._find, {"images": images}, batch_size)["labels"][..., 0]
        made = {
            name: predicted_volume(images[..., i], axial[rows], label, slicing)
            for i, name in enumerate(names)
        }
        used = np.zeros_like(label)
        put_back(cut(label, axial[rows], slicing), axial[rows], used, slicing)
        return Made({**made, "label": used}, self._dice(found, shown[rows]))

    def _dice(self, found: np.ndarray, shown: np.ndarray) -> dict[str, float]:
        return {
            self.classes[value]: float(dice(found[None] == value, shown[None] == value)[0])
            for value in np.unique(shown[shown >= self.first_lesion])
        }
