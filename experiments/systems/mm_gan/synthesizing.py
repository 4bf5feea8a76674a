"""Volumes made of a user's label volume by a finished run of MM-GAN; its data is not needed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from scipy import ndimage

from data.brats.scaling import background
from data.brats.volumes import BRATS_VOLUMES, classes_of
from data.cropping import crop_start, cut, put_back, volume_size
from data.grids import StoredGrid, Volume, check_same_geometry
from data.resampling import on_grid_of, resampled
from data.volumes import read_volume, read_volume_and_grid
from experiments.engine.derived import (
    Made,
    check_lesion,
    network_hash,
    numbered,
    own_classes,
    told_scheme,
)
from experiments.engine.resuming import finished_config, made_by
from experiments.systems.mm_gan.evaluation import gan, regions_in, segmenter
from experiments.systems.mm_gan.stages import (
    VOLUME_TRAININGS,
    build_generator,
    build_segmenter,
    evaluated,
)
from utils.errors import UserError
from utils.inference import compiled, infer
from utils.metrics.segmentation import dice
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import checkpoint_index, load_networks

BRIGHTEST = 1000  # of what is written


class VolumeSource(NamedTuple):
    """A label volume.

    Attributes:
        path: its file.
        label: uint8 [D,H,W], 0 outside, 1 organ, from 2 on the lesion (`data.manipulation`).
        grid: grid of its file.
        volume: classes of the run's data set as they were read, in LPS order.
    """

    path: Path
    label: np.ndarray
    grid: StoredGrid
    volume: Volume


class VolumeSynthesizer:
    """Generators and segmenters of a finished run of a training in `VOLUME_TRAININGS`.

    Args:
        path: the run directory.

    Attributes:
        network: hash of generators and slicing.
        sequences: names of what it makes.
        first_lesion: number of the lesion's first label in `VolumeSource.label`.

    Raises:
        UserError: the folder holds no such run, or the run is not finished.
    """

    first_lesion = 2

    def __init__(self, path: Path):
        self.path, experiment = path, made_by(path, VOLUME_TRAININGS)
        script, kind = experiment.script, experiment.config_type
        self.config = config = finished_config(path, kind, script, evaluated)
        self.dataset, run = experiment.dataset(config, None), RunDirectory(path, writes=False)
        self.sequences = config.made
        indices, self._gans, self._made, self._found = [], {}, {}, {}
        for modality in self.sequences:
            G = build_generator(config, self.dataset, modality, 1)
            load_networks(G, run.checkpoints(gan(modality)))
            indices.append(checkpoint_index(run.checkpoints(gan(modality))))
            S = build_segmenter(config, self.dataset, modality, 1)
            load_networks(S, run.checkpoints(segmenter(modality)))
            self._gans[modality], self._made[modality] = G, compiled(G.synthesize)
            self._found[modality] = compiled(S.synthesize)
        self.network = network_hash(asdict(config.slicing), *indices)

    def read(
        self, path: Path, brain: Optional[Path] = None, scheme: Optional[str] = None
    ) -> VolumeSource:
        """Reads a label volume on voxels of any size.

        Args:
            path: its file. Without `brain` it holds the run's own classes, the organ among them.
            brain: a mask or a skull-stripped scan on the same grid, whose background has one value;
                the label then holds values of a BRATS release.
            scheme: that release; default: the run's, or brats2015.

        Raises:
            UserError: a damaged file, values that the run does not know, no organ or less of it
                than lesion, or a lesion beyond it.
        """
        volume, grid = read_volume_and_grid(path)
        if brain is None:
            remedy = ", or one of BRATS with --anatomy" if self._of_brains else ""
            array = own_classes(path, volume.array, self.dataset.classes, self.path, remedy)
        else:
            array = self._with_brain(path, volume, brain, scheme)
        organ, names = self.dataset.organ, self.dataset.classes
        brain_too = ", or the brain's mask or a skull-stripped scan of the patient with --anatomy"
        remedy = f"give a label of {numbered(names)}{brain_too if self._of_brains else ''}"
        if not (array == organ).any():
            raise UserError(
                f"The label {path} has no {names[organ]} (value {organ}) in it; {remedy}"
            )
        ranks = np.zeros(len(names), np.uint8)
        ranks[list(self.dataset.organ_first)] = range(len(self.dataset.organ_first))
        label = ranks[array]
        check_lesion(path, label, self.first_lesion, names[organ], remedy)
        return VolumeSource(path, label, grid, replace(volume, array=array))

    @property
    def _of_brains(self) -> bool:
        return self.dataset is BRATS_VOLUMES

    def _with_brain(
        self, path: Path, volume: Volume, brain: Path, scheme: Optional[str]
    ) -> np.ndarray:
        if not self._of_brains:
            raise UserError(
                f"--anatomy is for runs on brains, but {self.path} has the labels "
                f"{numbered(self.dataset.classes)}; give a label of these and leave --anatomy out"
            )
        scan = read_volume(brain)
        check_same_geometry({path: volume, brain: scan})
        scheme = told_scheme(path, scheme, self.config.slicing.label_scheme)
        lesion = classes_of(volume.array, scheme, path)
        inside = scan.array != (background(scan.array) or 0)
        return np.where(lesion, lesion, inside * self.dataset.organ).astype(np.uint8)

    def make(self, source: VolumeSource, batch_size: Optional[int]) -> Made:
        """Returns the volumes of a label, on its voxels, made in slabs of so many slices, or whole.

        The part that the run's volumes have around the organ is made on the run's voxels, and is
        then interpolated, up to the label's edge without the black beyond; the rest is 0. In slabs
        there is no Dice: the segmenter would need the memory that slabs save.

        Raises UserError for an organ that is lost on the run's voxels.
        """
        order, slicing = np.array(self.dataset.organ_first), self.config.slicing
        around = np.where(np.isin(source.volume.array, order), 0, source.volume.array)
        classes = np.where(source.label > 0, order[source.label], around).astype(np.uint8)
        own = replace(source.volume, array=classes)
        coarse = resampled(own, slicing.spacing[::-1], label=True)
        size = volume_size(slicing)
        organ = np.isin(coarse.array, order[1:])
        if not organ.any():
            raise UserError(
                f"The label {source.path} has too little {self.dataset.classes[order[1]]} for the "
                f"run's voxels of {'x'.join(f'{side:g}' for side in slicing.spacing)} mm; give one "
                "of a whole organ"
            )
        start = crop_start(organ, size)
        label = cut(coarse.array, start, size)

        def on_own_voxels(crop: np.ndarray, nearest: bool) -> np.ndarray:
            whole = put_back(crop, start, coarse.array.shape)
            if not nearest:
                whole = whole[tuple(nearest_drawn)]
            return on_grid_of(replace(coarse, array=whole), own, nearest)

        empty = put_back(label, start, coarse.array.shape) == 0
        nearest_drawn = ndimage.distance_transform_edt(
            empty, return_distances=False, return_indices=True
        )
        shown = classes * on_own_voxels(np.ones(size, np.uint8), nearest=True)
        volumes, scores = {}, {}
        for modality in self.sequences:
            image = self._image(modality, label, batch_size)
            fine = np.rint(BRIGHTEST * on_own_voxels(image, nearest=False))
            volumes[modality] = np.where(shown > 0, fine, 0).astype(np.int16)
            if batch_size is not None:
                continue
            found = regions_in(image, self._found[modality], self.dataset)
            for number, (region, values) in enumerate(self.dataset.regions.items()):
                there = np.isin(label, values)[None]
                if there.any():
                    score = dice(found[..., number], there)[0]
                    scores[f"{modality} {region.upper()}"] = float(score)
        return Made({**volumes, "label": shown}, scores if batch_size is None else None)

    def _image(self, modality: str, label: np.ndarray, slices: Optional[int]) -> np.ndarray:
        """Returns the volume [D,H,W] in [0,1] of a label [D,H,W] on the run's voxels."""
        if slices is not None:
            return self._gans[modality].synthesize_in_slabs(label, slices)
        batch = {"label": label[None, ..., None].astype(np.int32)}
        return infer(self._made[modality], batch, 1)["images"][0, ..., 0]
