"""Opening a run whose trainings are finished, to draw more samples with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import tensorflow as tf

from experiments.engine.experiment import Experiment
from experiments.engine.resuming import made_by, saved_run
from experiments.engine.run import Run


def open_trained(
    path: Path,
    experiments: Sequence[Experiment],
    option: str,
    cache: Path,
    data: Optional[Path] = None,
) -> Run:
    """Returns a run of which at least the trainings are finished; nothing is written to it.

    Sets the global Keras precision policy of this process to the run's.

    Args:
        path: the run directory.
        experiments: those that it may be of.
        option: what names it, for messages, such as "--run needs".
        cache: folder of phantom and prepared slices.
        data: where its data has moved to; None = where it was.

    Raises UserError if the folder holds no such run, its trainings are not finished, or its data is
    gone.
    """
    tf.keras.mixed_precision.set_global_policy(saved_run(path, option)["precision"])
    experiment, strategy = made_by(path, experiments), tf.distribute.get_strategy()
    needed = experiment.stage("dataset").needs
    return Run.open_finished(experiment, path, strategy, cache, data, needed)
