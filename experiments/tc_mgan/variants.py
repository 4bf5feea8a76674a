"""The finished runs of the four variants on which Tables 1 and 2 stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Optional

import tensorflow as tf

from experiments import train_tc_mgan
from experiments.configs.tc_mgan import TranslationConfig
from experiments.launch import Launch, Option, saved_run
from experiments.tc_mgan.context import TranslationContext, open_translation
from models.tc_mgan.config import VARIANTS
from utils.config import differences, from_dict
from utils.errors import UserError
from utils.run_directory import RunDirectory

TITLES = {
    "pix2pix": "3 x pix2pix",
    "mgan": "MGAN",
    "tc_mgan": "TC-MGAN",
    "tc_mgan_bw": "TC-MGAN-bw",
}
OPTION = Option(
    "variants",
    Optional[Path],
    None,
    "folder with a run of train_tc_mgan.py per variant; made where missing (default: OUT/variants)",
)


def finished_runs(
    launch: Launch, training: TranslationConfig, strategy: tf.distribute.Strategy
) -> dict[str, TranslationContext]:
    """Returns the run of each variant; those that are missing or unfinished are completed first.

    Raises UserError for a run there that differs from `training` in more than its variant.
    """
    folder = launch.options[OPTION.field] or launch.out / "variants"
    contexts = {}
    for name in VARIANTS:
        path = folder / name
        config = replace(training, gan=replace(training.gan, variant=name))
        if (path / "config.json").exists():
            _refuse_other(path, config)
        train_tc_mgan.JOB.make(launch, path, config, strategy)
        run = RunDirectory(path, writes=False)
        contexts[name] = open_translation(config, run, strategy, launch.data, launch.cache)
    return contexts


def _refuse_other(path: Path, config: TranslationConfig) -> None:
    saved = from_dict(TranslationConfig, saved_run(path, "--variants needs")["config"])
    changes = differences(saved, config)
    if changes:
        raise UserError(
            f"The run {path} was made with other settings than this table asks for "
            f"({'; '.join(changes)}); give the same options or another --variants"
        )
