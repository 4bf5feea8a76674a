"""Training state on disk: networks, optimisers and step, restored whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Optional

import tensorflow as tf

from utils.errors import UserError

_RESTORE_ERRORS = (AssertionError, IndexError, ValueError, tf.errors.OpError)


class Checkpoints:
    """The checkpoints of one system.

    Args:
        system: has `networks` and `optimizers`, both dicts.
        directory: `checkpoints/<stage>` of the run.
        writes: False for workers that only take part in saving (every worker must).
    """

    def __init__(self, system: Any, directory: Path, writes: bool = True):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.state = tf.train.Checkpoint(
            step=self.step, networks=system.networks, optimizers=system.optimizers
        )
        self.directory = Path(directory)
        target = self.directory if writes else Path(tempfile.mkdtemp())
        self._manager = tf.train.CheckpointManager(self.state, str(target), max_to_keep=2)
        self._scratch = None if writes else target

    def restore(self) -> int:
        """Loads the newest checkpoint and returns its step, or 0 if there is none.

        Raises UserError if the checkpoint does not fit the networks or is damaged.
        """
        newest = _newest(self.directory)
        if newest is None:
            return 0
        try:
            self.state.restore(newest).assert_consumed()
        except _RESTORE_ERRORS as error:
            raise _unusable(newest, error) from error
        return int(self.step)

    def save(self, step: int) -> None:
        """Saves the state as `ckpt-<step>`; the previous checkpoint stays until this is whole."""
        self.step.assign(step)
        self._manager.save(checkpoint_number=step)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def saved_step(directory: Path) -> int:
    """Returns the step of a folder's newest checkpoint, or 0 if there is none.

    Raises UserError if the checkpoint's files are missing or unreadable.
    """
    newest = _newest(directory)
    return int(newest.rpartition("-")[2]) if newest else 0  # `Checkpoints.save` names it so


def load_networks(system: Any, directory: Path) -> None:
    """Loads the networks (not the optimisers) of the newest checkpoint into `system`.

    Raises UserError if there is no checkpoint or it does not fit.
    """
    newest = _newest(directory)
    if newest is None:
        raise UserError(f"There is no checkpoint in {directory}; run that stage first")
    try:
        state = tf.train.Checkpoint(networks=system.networks)
        state.restore(newest).expect_partial().assert_existing_objects_matched()
    except _RESTORE_ERRORS as error:
        raise _unusable(newest, error) from error


def _newest(directory: Path) -> Optional[str]:
    """Returns the newest whole checkpoint, or None in a folder without any."""
    newest = tf.train.latest_checkpoint(str(directory))
    if newest is None and (Path(directory) / "checkpoint").exists():
        raise _unusable(str(directory), FileNotFoundError("files are missing or unreadable"))
    return newest


def _unusable(checkpoint: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0][:200]
    return UserError(
        f"The checkpoint {checkpoint} is damaged or does not fit the configuration ({reason}); "
        "use the run's own configuration and precision, or start a new run"
    )
