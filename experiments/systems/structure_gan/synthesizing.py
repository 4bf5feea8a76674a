"""A user's label in files, and the modalities that the main system makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from data.brats.label_schemes import to_2015, values_in
from data.brats.label_slices import fitted, is_slice, read_label_slice, read_maps
from data.brats.scaling import shrunk_label
from data.brats.translation import predicted_volume
from data.brats.windows import axial_range, check_crop, cut, put_back
from data.grids import StoredGrid, Volume, check_same_geometry, check_spacing
from data.manipulation import LESION, in_organ, lesion_classes
from data.resizing import enlarge
from data.volumes import read_volume, read_volume_and_grid
from experiments.engine.derived import Made, told_scheme
from experiments.systems.structure_gan.rendering import TURN, Brain, LabelRenderer
from utils.errors import UserError
from utils.metrics.volumes import slice_steps

RANDOM = "random"
TRIES = 20  # random brains among which one is chosen that the lesion fits
SCHEME_OPTION = "--label_scheme"


class LabelSource(NamedTuple):
    """A label and the brain that it is drawn in.

    Attributes:
        path: its file.
        label: uint8 [D,H,W], 0 outside, 1 brain, from 2 on the lesion's classes of BRATS 2015.
        grid: grid of its file; None for a single slice, which has the size of the run's slices.
        brain: maps of the N slices that are drawn.
        axial: [N], their numbers in the label.
        seed: of noise and random brain.
        values: of the classes in the file, for what is written.
    """

    path: Path
    label: np.ndarray
    grid: Optional[StoredGrid]
    brain: Brain
    axial: np.ndarray
    seed: int
    values: tuple[int, ...]


class LabelSynthesizer:
    """Draws labels in brains, random ones or those of scans, with a run of `train_brats.py`.

    Args:
        path: the run directory.
        brain: "random", or the number of a random brain; it counts where no scan is given.
        turn: degrees by which the code of a random brain turns from slice to slice.
        clip: leave out what of a lesion lies outside of the brain, instead of refusing it.

    Attributes:
        network: hash of the networks and of how slices are cut.
        sequences: names of what it makes.
        first_lesion: number of the lesion's first label in `LabelSource.label`.

    Raises:
        UserError: the folder holds no such run, the run is not finished, or `brain` is neither.
    """

    first_lesion = LESION

    def __init__(self, path: Path, brain: str = RANDOM, turn: float = TURN, clip: bool = False):
        if brain != RANDOM and not (brain.isascii() and brain.isdigit() and len(brain) < 10):
            raise UserError(f"--map is {brain!r}; give random, or a number from 0 on")
        self.renderer = LabelRenderer(path)
        self.sequences, self.network = self.renderer.sequences, self.renderer.network
        self._seeds = range(TRIES) if brain == RANDOM else [int(brain)]
        self._turn, self._clip = turn, clip
        self._slicing = self.renderer.config.slicing

    def read(
        self, path: Path, anatomy: Optional[Path] = None, scheme: Optional[str] = None
    ) -> LabelSource:
        """Reads a label of a BRATS release, and finds the brain that it is drawn in.

        Args:
            path: a volume with voxels of 1 mm, or a slice, see `data.brats.label_slices`.
            anatomy: a skull-stripped scan on the volume's grid, or for a slice a sample of a
                synthetic set, whose maps are taken; None = a random brain.
            scheme: the release; default: the run's, or brats2015, which slices have.

        Raises:
            UserError: a damaged file, values that the release does not have, another grid than
                1 mm or that of the scan, a slice of another size, or a lesion outside of the brain.
        """
        # Pictures have the colours, and samples the numbers, of BRATS 2015, whatever the run's are.
        of_run = None if is_slice(path) else self._slicing.label_scheme
        scheme = told_scheme(path, scheme, of_run)
        values = values_in(scheme, SCHEME_OPTION)
        if is_slice(path):
            volume, grid = None, None
            classes = to_2015(fitted(path, read_label_slice(path), self._slicing), scheme, path)
            classes, axial = classes[None], np.array([0])
        else:
            volume, grid = read_volume_and_grid(path)
            check_spacing(path, volume)
            check_crop(f"The label {path}", volume.array.shape, self._slicing)
            classes = to_2015(volume.array, scheme, path)
            axial = axial_range(classes.shape, self._slicing)
        if anatomy is None:
            brain, seed, found = self._fitting(classes, axial)
        else:
            seed, found = 0, f"the brain of {anatomy}"
            brain, axial = self._of_anatomy(path, volume, anatomy)
        self._tell_beyond(path, classes, axial)
        lost = self._check_lesion(path, classes, brain, axial, found)
        inside = self._inside(brain, axial, classes.shape)
        if not lost:  # the rim of a pixel of the maps, which are coarser than voxels
            inside |= classes > 0
        label = in_organ(classes, inside)
        return LabelSource(path, label, grid, brain, axial, seed, values)

    def _of_anatomy(
        self, path: Path, label: Optional[Volume], anatomy: Path
    ) -> tuple[Brain, np.ndarray]:
        """Returns the maps of a scan, or of a sample for the label of a slice, and their numbers.

        Raises UserError if they do not fit the label or the run.
        """
        if (label is None) != is_slice(anatomy):
            wanted = "a sample of a synthetic set (.npz)" if label is None else "a scan (volume)"
            raise UserError(f"--anatomy {anatomy} is of another kind than {path}; give {wanted}")
        if label is not None:
            scan = read_volume(anatomy)
            check_same_geometry({path: label, anatomy: scan})
            return self.renderer.brain_of(anatomy, scan)
        maps = read_maps(anatomy)
        for part in maps:
            if part.shape != self.renderer.size:
                raise UserError(
                    f"The maps of --anatomy {anatomy} have {part.shape} pixels, but slices of the "
                    f"run {self.renderer.size}; give a sample of the run's own synthetic set"
                )
        return Brain(*(part[None] for part in maps)), np.array([0])

    def _fitting(self, classes: np.ndarray, axial: np.ndarray) -> tuple[Brain, int, str]:
        """Returns the random brain that a lesion fits best, its number, and words for messages."""
        best = None
        for seed in self._seeds:
            if len(axial) == 1:
                brain = self.renderer.random_brain(seed)
            else:
                lesion = self._shown(classes, axial) > 0
                brain = self.renderer.random_stack(seed, lesion, self._turn)
            lost = self._lost(classes, brain, axial)
            if best is None or lost < best[0]:
                best = lost, brain, seed
            if not lost:
                break
        _, brain, seed = best
        among = f", the best of {len(self._seeds)}" if len(self._seeds) > 1 else ""
        return brain, seed, f"the random brain {seed}{among}"

    def _inside(self, brain: Brain, axial: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Returns where the brain of the drawn slices is in a label of a shape, bool [D,H,W]."""
        if shape[1:] == brain.outside.shape[1:] and shape[0] == 1:
            return brain.outside == 0
        (top, bottom), (left, right) = self._slicing.rows, self._slicing.columns
        crops = enlarge(1.0 - brain.outside, (bottom - top, right - left)) > 0.5
        inside = np.zeros(shape, bool)
        put_back(crops, axial, inside, self._slicing)
        return inside

    def _tell_beyond(self, path: Path, classes: np.ndarray, axial: np.ndarray) -> None:
        """Prints how much of a lesion lies beyond the slices and the crop that are drawn."""
        drawn = np.count_nonzero(self._crops(classes, axial))
        whole = np.count_nonzero(classes)
        if drawn < whole:
            print(
                f"{path}: {1 - drawn / whole:.1%} of the lesion lie beyond the slices, rows and "
                "columns that the run draws, and are left out"
            )

    def _lost(self, classes: np.ndarray, brain: Brain, axial: np.ndarray) -> float:
        """Returns which share of a lesion, as the networks see it, lies outside of the brain."""
        lesion = self._shown(classes, axial) > 0
        return float((lesion & (brain.outside > 0)).sum() / max(1, lesion.sum()))

    def _check_lesion(
        self, path: Path, classes: np.ndarray, brain: Brain, axial: np.ndarray, found: str
    ) -> float:
        lost = self._lost(classes, brain, axial)
        if lost and not self._clip:
            raise UserError(
                f"{lost:.1%} of the lesion of {path} lie outside of {found}; move the lesion, give "
                "another brain (--map, --anatomy), or leave out what lies outside with --clip"
            )
        if lost == 1:
            raise UserError(f"All of the lesion of {path} lies outside of {found}; give another")
        return lost

    def make(self, source: LabelSource, batch_size: Optional[int] = None) -> Made:
        """Returns the modalities of a label; slices are drawn `batch_size` at a time.

        Of a volume they are int16 [D,H,W], 0..1000, and 0 outside of the brain and of the slices
        from which the run learned; of a slice float32 [h,w] in [0,1], with its maps.
        """
        renderer, label = self.renderer, source.label
        classes = lesion_classes(label)
        values = np.array(source.values, np.uint8)
        shown = self._shown(classes, source.axial)
        images = renderer.images(source.brain, shown, source.seed, batch_size)
        scores = renderer.scores(renderer.found(images), shown)
        if source.grid is None:
            made = {name: images[0, ..., i] for i, name in enumerate(self.sequences)}
            maps = {name: part[0] for name, part in source.brain._asdict().items()}
            return Made({**made, "label": values[shown[0]], **maps}, scores)
        self._print_steps(source, images)
        made = {
            name: predicted_volume(images[..., i], source.axial, label, self._slicing)
            for i, name in enumerate(self.sequences)
        }
        used = np.zeros_like(label)
        crops = cut(values[classes], source.axial, self._slicing)
        put_back(crops, source.axial, used, self._slicing)
        return Made({**made, "label": used}, scores)

    def _shown(self, classes: np.ndarray, axial: np.ndarray) -> np.ndarray:
        """Returns the drawn slices of a label at the run's size, uint8 [N,h,w]."""
        crops = self._crops(classes, axial)
        same = crops.shape[1:] == self.renderer.size
        return crops if same else shrunk_label(crops, self._slicing)

    def _crops(self, classes: np.ndarray, axial: np.ndarray) -> np.ndarray:
        """Returns what is drawn of a label in full resolution, [N,rows,columns]."""
        if classes.shape[1:] == self.renderer.size:
            return classes[axial]
        return cut(classes, axial, self._slicing)

    def as_sample(self, made: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what was made of a slice as the arrays of a synthetic set's sample."""
        images = np.stack([made[name] for name in self.sequences], axis=-1)
        maps = {name: made[name].astype(np.uint8) for name in Brain._fields}
        return {"images": images.astype(np.float32), "label": made["label"], **maps}

    def _print_steps(self, source: LabelSource, images: np.ndarray) -> None:
        """Prints how much neighbouring slices differ, and how much those of real patients do."""
        if len(images) < 2:
            return
        inside = source.brain.outside == 0
        steps = [slice_steps(images[..., i], inside)[0] for i in range(images.shape[-1])]
        real = self.renderer.real_step
        beside = "" if real is None else f"; of the run's held-out patients by {real:.4f}"
        print(f"{source.path}: neighbouring slices differ by {np.mean(steps):.4f}{beside}")
