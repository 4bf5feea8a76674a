"""The context of a TC-MGAN run: its systems, its stages, its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import tensorflow as tf

from data.brats.dataset import BRATS
from data.splits import ThreeWaySplit, split_three_ways
from experiments.configs.tc_mgan import SHARES, TRAININGS, TranslationConfig
from experiments.engine.plan import print_settings, print_trainings
from experiments.engine.run_context import RunContext, open_data
from models.system import GANSystem
from models.tc_mgan.gan import TCMGAN
from models.tc_mgan.segmenter import Segmenter
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_sizes


@dataclass(frozen=True)
class TranslationContext(RunContext):
    """One TC-MGAN run in progress."""

    config: TranslationConfig
    split: ThreeWaySplit

    def subjects(self, stage: str) -> tuple[str, ...]:
        """Returns the subjects of the split's part "gan"; S and G share it."""
        return self.split.gan

    def builders(self) -> Mapping[str, Callable[[], GANSystem]]:
        """Returns what builds S' system and the GAN, which reads the trained S."""
        return {"segmenter": lambda: Segmenter(self.config.segmenter), "gan": self._build_gan}

    def _build_gan(self) -> TCMGAN:
        segmenter = self.trained("segmenter") if self.config.variant.tumour else None
        tf.keras.utils.set_random_seed(derive_seed(self.config.seed, "gan"))
        return TCMGAN(self.config.gan, segmenter, self.total_steps("gan"))

    def finished(self, stage: str) -> bool:
        """Returns whether the run directory holds the complete result of a stage.

        Raises UserError if a checkpoint's files are missing or unreadable.
        """
        if stage == "evaluate":
            return evaluated(self.run)
        if stage == "report":
            return self.run.report.exists()
        return stage in left_out(self.config) or self.trained_to_the_end(stage)


def evaluated(run: RunDirectory) -> bool:
    """Returns whether a run directory holds the figures of the stage "evaluate"."""
    return "translation/ssim" in run.read_metrics()  # the last one


def left_out(config: TranslationConfig) -> dict[str, str]:
    """Returns by stage why it has nothing to do."""
    return {} if config.variant.tumour else {"segmenter": f"{config.gan.variant} has none"}


def open_translation(
    config: TranslationConfig,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    data: Optional[Path],
    cache: Path,
) -> TranslationContext:
    """Returns the context of a run on `data` or on the phantom, see `open_data`."""

    def divide(ids: list[str]) -> ThreeWaySplit:
        return split_three_ways(ids, SHARES, seed=config.seed, patient_of=BRATS.patient_of)

    found = open_data(config, run, data, cache, ThreeWaySplit, divide)
    return TranslationContext(config, run, strategy, **found)


def check_batches(
    config: TranslationConfig, strategy: tf.distribute.Strategy, option: str = "--schedule"
) -> None:
    """Raises UserError, naming the `option`, for batches that the replicas cannot share."""
    check_batch_sizes(option, config.schedule, TRAININGS, strategy)


def print_translation_plan(config: TranslationConfig, stages: Sequence[str], replicas: int) -> None:
    """Prints the plan of a TC-MGAN run."""
    segmenter = Segmenter(config.segmenter) if config.variant.tumour else None
    systems = {"segmenter": segmenter, "gan": TCMGAN(config.gan, segmenter, 1)}
    print_settings(config, stages, filter(None, systems.values()))
    chosen = {name: system for name, system in systems.items() if name in stages}
    print_trainings(config, chosen, left_out(config), replicas)
