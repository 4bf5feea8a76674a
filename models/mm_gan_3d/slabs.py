"""Synthesis of volumes that do not fit into memory: layer after layer, slab after slab.

Instance norm needs the statistics of the whole volume, so that windows of it cannot be made one
by one from label to intensities. Each convolution runs over slabs of slices instead, with a margin
that is cut off again; its result is kept on disk until the statistics are known.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy as np
import tensorflow as tf

from models.blocks.convolution import ConvUnit
from models.blocks.normalization import EPSILON
from models.mm_gan_3d.networks import HALVINGS, VolumeNetwork
from utils.errors import UserError
from utils.runs.files import naming_full_disk

MARGIN = 2  # slices beside a slab; even, as halving pairs slices, and more than any row reaches


def generate_in_slabs(
    network: VolumeNetwork, label: np.ndarray, classes: int, slices: int
) -> np.ndarray:
    """Returns what a generator makes of a label: float32 [D,H,W,outputs], up to rounding as whole.

    Memory holds the features of one layer for `slices` slices; the folder for temporary files, of
    which TMPDIR is another, holds those of whole layers.

    Args:
        network: G, whose norms have neither scale nor offset.
        label: [D,H,W], class numbers; sides are multiples of 8.
        classes: their number.
        slices: of a slab at full size, 8 or more.

    Raises UserError for thinner slabs, DiskFullError for a disk without room.
    """
    if slices < 2**HALVINGS:
        raise UserError(
            f"--batch_size is {slices}, but a slab of MM-GAN needs {2**HALVINGS} or more slices; "
            "give more, or leave it out"
        )
    with tempfile.TemporaryDirectory() as name, naming_full_disk(Path(name)):
        folder, skips = Path(name), {}
        x = _on_disk(folder / "label", (*label.shape, classes))
        for start in range(0, len(label), slices):
            part = label[start : start + slices]
            x[start : start + slices] = np.eye(classes, dtype=np.float32)[part]
        for number, unit in enumerate(network.units):
            thickness = slices * len(x) // len(label)
            if unit.row.resample == "halve":
                thickness -= thickness % 2  # it pairs slices
            x = _run(unit, x, skips.pop(unit.row.join, None), thickness, folder / str(number))
            if unit.row.keep:
                skips[unit.row.keep] = x
        return np.array(x)


def _on_disk(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array in a file, which takes its room at once and gives it back with the array.

    A full disk is an OSError here; a write to a page without room would end the process.
    """
    array = np.memmap(file, np.float32, "w+", shape=shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, array.nbytes)
        file.unlink()
    return array


def _run(
    unit: ConvUnit, x: np.ndarray, skip: Optional[np.ndarray], thickness: int, file: Path
) -> np.ndarray:
    """Returns a unit's output: convolved, and once its statistics are known, normalised."""
    out, sums = None, 0.0
    for rows, part in _convolved(unit, x, skip, thickness):
        if out is None:
            out = _on_disk(file, (len(x) * len(part) // min(thickness, len(x)), *part.shape[1:]))
        out[rows] = part
        wide = part.astype(np.float64)
        sums += np.stack([wide.sum(axis=(0, 1, 2)), (wide**2).sum(axis=(0, 1, 2))])
    mean, square = sums / np.prod(out.shape[:3])
    for start in range(0, len(out), thickness):
        part = out[start : start + thickness]
        if unit.norm is not None:
            part = (part - mean) / np.sqrt(square - mean**2 + EPSILON)
        part = unit.activation(tf.constant(part, tf.float32))
        out[start : start + thickness] = part.numpy()
    return out


def _convolved(
    unit: ConvUnit, x: np.ndarray, skip: Optional[np.ndarray], thickness: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields places of slabs in the output and what the unit's convolution gives there."""
    up, down = {"halve": (1, 2), "linear": (2, 1)}.get(unit.row.resample, (1, 1))
    for start in range(0, len(x), thickness):
        end = min(start + thickness, len(x))
        first, last = max(start - MARGIN, 0), min(end + MARGIN, len(x))
        joined = None if skip is None else _sample(skip[first * up // down : last * up // down])
        part = unit.convolve(_sample(x[first:last]), joined)[0].numpy()
        rows = slice(start * up // down, end * up // down)
        cut = rows.start - first * up // down
        yield rows, part[cut : cut + rows.stop - rows.start]


def _sample(array: np.ndarray) -> tf.Tensor:
    return tf.constant(array[None])
