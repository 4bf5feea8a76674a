"""Networks of a checkpoint without optimisers, as arrays to hand on, and back as a checkpoint.

Weights are stored as float16, half of their size: they differ by up to 5e-4 of their value. Their
high bytes stand before their low ones, which compresses better. Symmetric matrices, such as
moments, are stored as one of their triangles. Arrays hold no code: what reads them runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.errors import UserError
from utils.runs.files import write_json
from utils.training.checkpoints import PART, newest_checkpoint, value_keys

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # how TensorFlow finds variables
COUNTER = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"  # which it asks of every checkpoint
HALF, TRIANGLE = "float16:", "triangle:"  # before the names of arrays that are stored otherwise
LARGEST = float(np.finfo(np.float16).max)


def packed_networks(directory: Path, networks: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns some networks of a folder's newest checkpoint as arrays.

    Args:
        directory: `checkpoints/<stage>` of a run.
        networks: their names in the paper; none for a stage of which only the step is told.

    Raises UserError if there is no complete checkpoint, or it lacks one of the networks.
    """
    newest = newest_checkpoint(directory)
    if newest is None:
        raise UserError(f"There is no checkpoint in {directory}; finish the run first")
    reader, found = tf.train.load_checkpoint(newest), {}
    for network in networks:
        keys = value_keys(reader, network)
        if not keys:
            raise UserError(f"The checkpoint {newest} has no network {network}; check the run")
        for key in keys:
            name, array = _packed(reader.get_tensor(key))
            found[f"{name}{key}"] = array
    found[COUNTER] = reader.get_tensor(COUNTER)
    found[GRAPH] = np.frombuffer(reader.get_tensor(GRAPH), np.uint8)
    return found


def _packed(array: np.ndarray) -> tuple[str, np.ndarray]:
    if array.dtype != np.float32 or np.abs(array).max(initial=0) > LARGEST:
        return "", array
    if array.ndim == 2 and len(array) > 1 and np.array_equal(array, array.T):
        return TRIANGLE, _bytes_apart(array[np.triu_indices(len(array))])
    return HALF, _bytes_apart(array)


def _bytes_apart(array: np.ndarray) -> np.ndarray:
    """Returns an array as float16 whose high and low bytes are apart, uint8 [2,...]."""
    return np.moveaxis(array.astype(">f2")[..., None].view(np.uint8), -1, 0).copy()


def _bytes_together(halves: np.ndarray) -> np.ndarray:
    return np.moveaxis(halves, 0, -1).copy().view(">f2")[..., 0].astype(np.float32)


def _unpacked(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    if name.startswith(HALF):
        return name[len(HALF) :], _bytes_together(array)
    if not name.startswith(TRIANGLE):
        return name, array
    array = _bytes_together(array)
    side = round((np.sqrt(8 * array.size + 1) - 1) / 2)
    matrix = np.zeros((side, side), np.float32)
    matrix[np.triu_indices(side)] = array
    return name[len(TRIANGLE) :], matrix + np.triu(matrix, 1).T


def unpack_networks(
    arrays: Mapping[str, np.ndarray], directory: Path, step: int, networks: Sequence[str]
) -> None:
    """Writes what `packed_networks` returned as the checkpoint `ckpt-<step>` of a new folder.

    The file `PART` beside it names the networks, so that nothing else is missed when it is loaded.
    """
    directory.mkdir(parents=True)
    named = dict(_unpacked(name, array) for name, array in arrays.items() if name != GRAPH)
    tensors = {**named, GRAPH: tf.constant(arrays[GRAPH].tobytes())}
    tf.raw_ops.SaveV2(
        prefix=str(directory / f"ckpt-{step}"),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    write_json(directory / PART, list(networks))
