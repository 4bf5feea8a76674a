"""Training state on disk: networks, optimisers, step, means; restored whole or not at all."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Optional

import tensorflow as tf

from utils.errors import UserError
from utils.runs.files import hidden, read_json, remove_leftovers, sync, write_text
from utils.training.running_means import RunningMeans

_READ_ERRORS = (IndexError, ValueError, tf.errors.OpError)
_RESTORE_ERRORS = (AssertionError, *_READ_ERRORS)
_FILE = re.compile(r"ckpt-(\d+)\.(index|data-\d+-of-\d+)")
_VALUE, _SLOT = "/.ATTRIBUTES/VARIABLE_VALUE", "/.OPTIMIZER_SLOT/"
PART = "networks.json"  # names the networks of a checkpoint that was made to be handed on


class Checkpoints:
    """The checkpoints of one system.

    Args:
        system: has `networks` and `optimizers`, both dicts.
        directory: `checkpoints/<stage>` of the run.
        writes: False for workers that only take part in saving (every worker must).

    Raises UserError for a directory that TensorFlow would take for a pattern.
    """

    def __init__(self, system: Any, directory: Path, writes: bool = True):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.means = RunningMeans()
        self.state = tf.train.Checkpoint(
            step=self.step,
            means=self.means,
            networks=system.networks,
            optimizers=system.optimizers,
        )
        self.directory = Path(directory)
        self.writes = writes
        self._previous: Optional[int] = None  # step of the last checkpoint known to be complete
        _refuse_pattern(self.directory)

    def restore(self) -> int:
        """Loads the newest complete checkpoint and returns its step, or 0 if there is none.

        Raises UserError if the checkpoint does not fit the networks or all are damaged.
        """
        newest = newest_checkpoint(self.directory)
        if newest is None:
            return 0
        try:
            loaded = self.state.restore(newest)
            if self._lacks_scale(newest):
                loaded.assert_existing_objects_matched()
            else:
                loaded.assert_consumed()
        except _RESTORE_ERRORS as error:
            raise _unfit(newest, self.state, error) from error
        self._previous = int(self.step)
        return self._previous

    def _lacks_scale(self, checkpoint: str) -> bool:
        """Returns whether a checkpoint has nothing more than the system but a loss scale."""
        scaling = tf.keras.mixed_precision.LossScaleOptimizer
        if any(isinstance(optimizer, scaling) for optimizer in self.state.optimizers.values()):
            return False
        names = tf.train.load_checkpoint(checkpoint).get_variable_to_shape_map()
        scaled = any("/loss_scale/" in name for name in names if name.startswith("optimizers/"))
        return scaled and not _misfits(checkpoint, self.state)

    def save(self, step: int) -> None:
        """Saves the state as `ckpt-<step>`; the previous checkpoint stays beside it.

        Raises DiskFullError if the disk is full; earlier checkpoints are whole then.
        """
        self.step.assign(step)
        if not self.writes:
            with tempfile.TemporaryDirectory() as scratch:
                self._write(Path(scratch) / "ckpt")
            return
        # Both files are on the disk before they get their names, the index last: with it the
        # checkpoint is complete. Only then older ones go, so a complete one is always there.
        prefix = self.directory / f"ckpt-{step}"
        with hidden(prefix, self._bytes()) as folder:
            folder.mkdir()
            self._write(folder / prefix.name)
            files = sorted(folder.iterdir())
            for file in files:
                sync(file)
            index = prefix.with_suffix(".index")
            if index.exists():  # it would not belong to the new data
                os.replace(index, folder / "former")
            for file in files:
                os.replace(file, self.directory / file.name)
            sync(self.directory)
        self._remove_others(step)
        # For TensorFlow's own tools; nothing here reads it.
        write_text(self.directory / "checkpoint", f'model_checkpoint_path: "{prefix.name}"\n')

    def _write(self, prefix: Path) -> None:
        self.state.save_counter.assign_add(1)  # `tf.train.Checkpoint.restore` expects it
        self.state.write(str(prefix))

    def _bytes(self) -> int:
        variables = [v for network in self.state.networks.values() for v in network.variables]
        for optimizer in self.state.optimizers.values():
            variables += optimizer.variables()
        return sum(v.shape.num_elements() * v.dtype.size for v in variables)

    def _remove_others(self, step: int) -> None:
        """Keeps the checkpoint of `step` and the complete one before it."""
        for path, found in _files(self.directory).items():
            if found != step and (found != self._previous or found > step):
                path.unlink()
        remove_leftovers(self.directory)
        self._previous = step


def saved_step(directory: Path) -> int:
    """Returns the step of a folder's newest complete checkpoint, or 0 if there is none.

    Raises UserError if all checkpoints are damaged.
    """
    newest = newest_checkpoint(directory)
    return int(newest.rpartition("-")[2]) if newest else 0


def checkpoint_index(directory: Path) -> bytes:
    """Returns the index of a folder's newest complete checkpoint, or b"" if there is none.

    It holds a checksum of every tensor: networks with the same index are the same.

    Raises UserError if all checkpoints are damaged.
    """
    newest = newest_checkpoint(directory)
    return Path(f"{newest}.index").read_bytes() if newest else b""


def weights_hash(folder: Path) -> str:
    """Returns a hash of a folder's checkpoint, whose index has a checksum of every tensor."""
    return hashlib.sha256(checkpoint_index(folder)).hexdigest()


def load_networks(system: Any, directory: Path) -> None:
    """Loads the networks (not the optimisers) of the newest complete checkpoint into `system`.

    A checkpoint that was made to be handed on has those that `PART` names; the system loses the
    others, so that none is used with the weights of its start.

    Raises UserError if there is no complete checkpoint or it does not fit.
    """
    newest = newest_checkpoint(directory)
    if newest is None:
        raise UserError(f"There is no checkpoint in {directory}; run that stage first")
    part = Path(directory) / PART
    if part.exists():
        for name in set(system.networks) - set(read_json(part, list)):
            del system.networks[name]
    state = tf.train.Checkpoint(networks=system.networks)
    try:
        state.restore(newest).expect_partial().assert_existing_objects_matched()
    except _RESTORE_ERRORS as error:
        raise _unfit(newest, state, error) from error


def value_keys(reader: Any, network: str) -> list[str]:
    """Returns the keys of a network's variables, in order, in what `load_checkpoint` returned."""
    return [
        key
        for key in sorted(reader.get_variable_to_shape_map())
        if key.startswith(f"networks/{network}/") and key.endswith(_VALUE) and _SLOT not in key
    ]


class _Stamp(NamedTuple):
    """A file of a checkpoint as it was when its bytes were read."""

    step: int
    name: str
    size: int
    modified: int


def newest_checkpoint(directory: Path) -> Optional[str]:
    """Returns the prefix of a folder's newest complete checkpoint, or None if there is none.

    Every byte of it is checked, once as long as the files stay the same; standard error names the
    newer ones that are damaged. All processes that see the same files decide alike.

    Raises UserError if all are damaged, or for a folder that TensorFlow takes for a pattern.
    """
    directory = Path(directory)
    _refuse_pattern(directory)
    unfinished = _never_complete(directory)
    stamps = [
        _Stamp(step, path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path, step in _files(directory).items()
        if path.stem not in unfinished
    ]
    return _newest_complete(directory, tuple(sorted(stamps, reverse=True)))


@functools.lru_cache
def _newest_complete(directory: Path, stamps: tuple[_Stamp, ...]) -> Optional[str]:
    damaged: dict[str, str] = {}
    for prefix in dict.fromkeys(f"ckpt-{stamp.step}" for stamp in stamps):
        reason = _damage(str(directory / prefix))
        if reason is None:
            if damaged:
                print(
                    f"{' and '.join(damaged)} in {directory} cannot be read "
                    f"({'; '.join(damaged.values())}); {prefix} is used instead",
                    file=sys.stderr,
                )
            return str(directory / prefix)
        damaged[prefix] = reason
    if damaged:
        raise UserError(
            f"No checkpoint in {directory} is complete: {' and '.join(damaged)} cannot be read "
            f"({'; '.join(damaged.values())}); restore them from a copy, or delete the files "
            "ckpt-* there to train the stage anew"
        )
    return None


def _refuse_pattern(directory: Path) -> None:
    if set("*?[\\") & set(str(directory)):
        raise UserError(
            f"The folder {directory} has one of the characters * ? [ \\ in its path, with which "
            "TensorFlow cannot read checkpoints; give the run another folder"
        )


def _files(directory: Path) -> dict[Path, int]:
    """Returns the checkpoints' files and their steps."""
    matches = {path: _FILE.fullmatch(path.name) for path in directory.glob("ckpt-*")}
    return {path: int(match[1]) for path, match in matches.items() if match}


def _never_complete(directory: Path) -> set[str]:
    """Returns the prefixes of data whose index a killed process has left in its hidden folder."""
    unnamed = {path.stem for path in directory.glob(".*-ckpt-*/ckpt-*.index")}
    return {prefix for prefix in unnamed if not (directory / f"{prefix}.index").exists()}


def _damage(prefix: str) -> Optional[str]:
    """Returns what is wrong with a checkpoint, or None; a checksum covers every tensor."""
    if not Path(f"{prefix}.index").exists():
        return "its index is missing"
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except _READ_ERRORS as error:
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _unfit(checkpoint: str, state: tf.train.Checkpoint, error: Exception) -> UserError:
    """Returns the error for a complete checkpoint of other networks or optimisers."""
    found = _misfits(checkpoint, state)
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    rest = f"its networks fit, but not its optimisers or counters ({_first_line(error)})"
    reason = f"{found[0]}{more}" if found else rest
    return UserError(
        f"The checkpoint {checkpoint} does not fit the configuration: {reason}; use the run's own "
        "configuration and precision, or start a new run"
    )


def _misfits(checkpoint: str, state: tf.train.Checkpoint) -> list[str]:
    """Describes the network variables that a checkpoint lacks, or else those that only it has."""
    stored = {
        key[: -len(_VALUE)]: tuple(shape)
        for key, shape in tf.train.load_checkpoint(checkpoint).get_variable_to_shape_map().items()
        if key.startswith("networks/") and key.endswith(_VALUE) and _SLOT not in key
    }
    found = []
    for key, variable in _variables(state).items():
        name = f"{variable.name.partition(':')[0]} of network {key.split('/')[1]}"
        there = stored.pop(key, None)
        if there is None:
            found.append(f"it has no {name}")
        elif there != tuple(variable.shape):
            found.append(f"{name} has the shape {there} in it instead of {tuple(variable.shape)}")
    return found or [f"only it has {key}" for key in sorted(stored)]


def _variables(state: tf.train.Checkpoint) -> dict[str, tf.Variable]:
    """Returns the networks' variables by the keys that checkpoints have for them."""
    found, seen = {}, set()
    nodes = [("networks", state.networks)]
    for key, node in nodes:  # breadth first, as TensorFlow names what it meets twice
        if isinstance(node, tf.Variable):
            found[key] = node
        for name, child in tf.train.TrackableView.children(node).items():
            if id(child) not in seen:
                seen.add(id(child))
                nodes.append((f"{key}/{name}", child))
    return found
