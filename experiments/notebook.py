"""Finished runs for notebooks and other programs.

    from experiments.notebook import open_run

    run = open_run("RUN")
    batch = run.synthesize(samples=8, seed=1)
    batch["images"]  # float32 [8,H,W,4] in [0,1], in the order of run.channels

    translator = open_translator("RUN")  # of train_tc_mgan.py
    volumes = translator.volumes(translator.read("CASE_T2.nii.gz"))

Import it before TensorFlow. Nothing is written to a run.
"""

from __future__ import annotations

import experiments._start

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Union

import numpy as np

from data.slice_sets import stored_slices
from experiments.engine.cli import default_cache
from experiments.engine.finished import open_trained
from experiments.engine.run import Run
from experiments.systems.structure_gan.dataset import set_drawer
from experiments.systems.structure_gan.images.stages import MAIN_SYSTEM
from experiments.systems.tc_mgan.translating import Translator
from utils.errors import UserError


def open_run(
    path: Union[str, Path],
    data: Union[None, str, Path] = None,
    cache: Union[None, str, Path] = None,
) -> SynthesisRun:
    """Opens a finished run of the main system, on BRATS or another data set.

    Sets the global Keras precision policy of this process to the run's (float32, mixed_bfloat16 or
    mixed_float16).

    Args:
        path: the run directory.
        data: where the run's data has moved to, if it has moved.
        cache: folder with the phantom and the prepared slices; default: the folder that the scripts
            use.

    Raises:
        UserError: the folder holds no run, its training is not finished, or its data is gone.
    """
    cache, data = Path(cache or default_cache()), Path(data).resolve() if data else None
    run = open_trained(Path(path), MAIN_SYSTEM, "open_run needs", cache, data)
    return SynthesisRun(run)


def open_translator(path: Union[str, Path]) -> Translator:
    """Returns the generator of a finished run of `train_tc_mgan.py`; its data is not needed.

    Raises:
        UserError: the folder holds no such run, or the run is not finished.
    """
    return Translator(Path(path))


class SynthesisRun:
    """A finished run of the main system.

    Attributes:
        run: the underlying `Run`.
        channels: names of the images' channels, in order.
        classes: names of the label's values, from 0 on; () = there are no labels.
        metrics: the run's metrics by name, see docs/running.md.
    """

    def __init__(self, run: Run):
        self.run = run
        self.channels = run.prepared.dataset.channels
        self.classes = run.prepared.dataset.classes
        self.metrics: Mapping[str, float] = run.read_metrics()

    def synthesize(self, samples: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
        """Returns new samples, as the stage `dataset` draws them; the first call compiles.

        Sample k depends on seed and k alone.

        Args:
            samples: number N of samples, 1 or more.
            seed: random seed of maps, labels and noise.

        Returns:
            images float32 [N,H,W,M] in [0,1]; label int32 [N,H,W], where there are labels; boxes
            float32 [N,K,5], see data/boxes.py, where labels are boxes; structure and outside uint8
            [N,H,W] (of several maps [N,H,W,K]), 0/1: the lines that the images follow, and what
            lies outside the organ.

        Raises:
            UserError: `samples` is less than 1.
        """
        if samples < 1:
            raise UserError(f"samples is {samples}; give 1 or more")
        config = replace(self.run.config.dataset, samples=samples)
        with tempfile.TemporaryDirectory() as folder:
            self._draw(Path(folder), config=config, seed=seed)
            drawn = stored_slices(Path(folder))
        names = ("images", "label", "boxes", "structure", "outside")
        found = {name: getattr(drawn, name) for name in names}
        return {name: values for name, values in found.items() if values is not None}

    @functools.cached_property
    def _draw(self) -> Any:
        return set_drawer(self.run)
