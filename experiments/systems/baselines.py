"""Training and sampling of GAN# and SkrGAN* on the slices of a finished main run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.brats.names import MODALITIES
from data.pipeline import number_of_slices
from experiments.engine.fitting import Synthesize, fit
from experiments.systems.structure_gan.context import Context
from experiments.systems.structure_gan.pictures import plain_row
from models.baselines.config import BaselineConfig
from models.baselines.system import Baseline
from models.networks.discriminator import check_image_size
from utils.errors import UserError
from utils.reporting.pictures import grid
from utils.runs.files import replacing
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.checkpoints import load_networks, saved_step
from utils.training.faults import Hints
from utils.training.trainer import Schedule, check_batch_size


@dataclass(frozen=True)
class BaselineRun:
    """One baseline on its way: trained and sampled in `run`, on the data of the main run `source`.

    Attributes:
        name: of its stage, its seeds and its files.
        config: settings of the system.
        schedule: with the number of updates.
        source: the main run.
        run: where to write.
        seed: of weights, order and noise.
    """

    name: str
    config: BaselineConfig
    schedule: Schedule
    source: Context
    run: RunDirectory
    seed: int

    def check(self) -> None:
        """Raises UserError for slices or batches that do not fit the networks or devices."""
        option = f"{self.name}.discriminator"
        check_image_size(option, self.config.discriminator, self.source.prepared.size)
        check_batch_size(f"batch size of {self.name}", self.schedule.batch_size, self.strategy)

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The main run's distribution strategy."""
        return self.source.strategy

    def _build(self) -> Baseline:
        with self.strategy.scope():
            tf.keras.utils.set_random_seed(derive_seed(self.seed, self.name))
            return Baseline(self.config)

    def train(self) -> None:
        """Brings the baseline to the end of its schedule, from wherever its checkpoint stands."""
        source = self.source
        arguments: dict[str, Any] = {
            "prepared": source.prepared,
            "subject_ids": source.split.train,
            "maps": source.config.maps,
            "seed": derive_seed(self.seed, self.name, "data"),
        }
        hints = Hints(f"--{self.name}.learning_rate", size=source.prepared.size)
        fit(self._build(), self.name, self.schedule, source, self.run, _draw, arguments, hints)

    def trained(self) -> Baseline:
        """Returns the trained baseline; UserError if it has not been trained to its end."""
        step, total = saved_step(self.run.checkpoints(self.name)), self.schedule.steps
        if step < total:
            raise UserError(
                f"The baseline {self.name} stands at step {step} of {total}; add baselines to "
                "--stages and --resume"
            )
        system = self._build()
        load_networks(system, self.run.checkpoints(self.name))
        return system

    def images(self, maps: np.ndarray) -> np.ndarray:
        """Returns one synthetic slice per map [N,H,W] (0/1): float32 [N,H,W,4] in (0,1).

        They are rendered once and kept in sets/<name>.npz.
        """
        path = self.run.path / "sets" / f"{self.name}.npz"
        if not path.exists():
            rendered = self._render(self.trained(), maps)
            with replacing(path) as temporary:
                np.savez_compressed(temporary, images=rendered)
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["images"]

    def _render(self, system: Baseline, maps: np.ndarray) -> np.ndarray:
        size = self.source.config.dataset.batch_size

        @tf.function(autograph=False)
        def render(structure: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return system.synthesize({"structure": structure, "seed": seed})["images"]

        parts = []
        for start in tqdm(range(0, len(maps), size), desc=f"{self.name} set", unit="batch"):
            numbers = np.minimum(np.arange(start, start + size), len(maps) - 1)  # the last repeats
            seeds = [[derive_seed(self.seed, self.name, n, p) for p in "ab"] for n in numbers]
            structure = tf.constant(maps[numbers, ..., None], tf.float32)
            parts.append(render(structure, tf.constant(seeds, tf.int32)).numpy())
        return np.concatenate(parts)[: len(maps)]


def _draw(synthesize: Synthesize, examples: dict) -> dict[str, np.ndarray]:
    images = synthesize(examples)["images"].numpy()
    rows = [plain_row(images[..., i]) for i in range(len(MODALITIES))]
    return {"samples": grid(rows, titles=MODALITIES)}


def generator_phases(source: Context) -> list[Schedule]:
    """Returns the trainings that a main run's generator went through, with their numbers of steps.

    These are the pre-training, if there was one, and the adversarial steps.
    """
    names = ("pretraining", "synthesis") if source.config.pretrain else ("synthesis",)
    slices = number_of_slices(source.prepared, source.split.train)
    schedules = [getattr(source.config.schedule, name) for name in names]
    return [replace(phase, steps=phase.total_steps(slices)) for phase in schedules]


def same_length(source: Context, steps: int = 0) -> Schedule:
    """Returns the schedule of as many updates as a main run's generator got, or of `steps`.

    Batches and intervals are those of the generator's longest phase.
    """
    phases = generator_phases(source)
    longest = max(phases, key=lambda phase: phase.steps)
    return replace(longest, steps=steps or sum(phase.steps for phase in phases))
