"""The finished runs of the four variants on which Tables 1 and 2 stand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Optional

import tensorflow as tf

from experiments import train_tc_mgan
from experiments.configs.tc_mgan import TranslationConfig
from experiments.engine.cases import skip_bad_cases
from experiments.engine.cli import Launch, Option, saved_run
from experiments.systems.tc_mgan.context import TranslationContext, open_translation
from models.tc_mgan.config import VARIANTS, TCMGANConfig
from utils.config import differences, from_dict
from utils.errors import UserError
from utils.runs.locking import locked
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import newest_checkpoint
from utils.training.distribute import is_chief, wait_for_all_workers

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


def check_variant(option: str, training: TranslationConfig) -> None:
    """Raises UserError if `option` chose a variant, which a table of all four would not heed."""
    if training.gan.variant != TCMGANConfig().variant:
        raise UserError(
            f"--{option} is {training.gan.variant}, but this table has a row for every variant; "
            f"leave it out, or train that variant alone with python {train_tc_mgan.SCRIPT.path}"
        )


def open_variants(
    launch: Launch, training: TranslationConfig, strategy: tf.distribute.Strategy
) -> dict[str, TranslationContext]:
    """Returns the run of each variant, finished or not; its data is there.

    Nothing is written but what `--skip-bad` leaves out of new runs. Raises UserError for bad data,
    a run that differs from `training` in more than its variant, or runs with different splits.
    """
    folder = launch.options[OPTION.field] or launch.out / "variants"
    configs = {
        name: replace(training, gan=replace(training.gan, variant=name)) for name in VARIANTS
    }
    runs = {name: RunDirectory(folder / name, writes=False) for name in configs}
    new = [run for run in runs.values() if not run.config.exists()]
    for name, run in runs.items():
        if run not in new:
            _refuse_other(run.path, configs[name], launch.precision)
    if launch.skip_bad and launch.data is not None:
        for run in new if is_chief(strategy) else ():
            with locked(run.path):
                skip_bad_cases(training.slicing, run, launch.data, launch.cache)
        wait_for_all_workers(strategy)
    contexts = {
        name: open_translation(configs[name], run, strategy, launch.data, launch.cache)
        for name, run in runs.items()
    }
    _refuse_other_split(list(contexts.values()))
    return contexts


def finish_variants(
    launch: Launch, contexts: Mapping[str, TranslationContext], strategy: tf.distribute.Strategy
) -> None:
    """Runs what is missing of the variants' stages; nothing is written to a finished run."""
    job = train_tc_mgan.JOB
    for context in contexts.values():
        if not all(map(context.finished, job.stages)):
            job.make(launch, context.run.path, context.config, strategy)


def fingerprint(contexts: Mapping[str, TranslationContext]) -> str:
    """Returns a hash of each variant's settings, split and generator; the folders may move."""
    digest = hashlib.sha256()
    for context in contexts.values():
        digest.update(json.dumps([asdict(context.config), asdict(context.split)]).encode())
        newest = newest_checkpoint(context.run.checkpoints("gan"))
        if newest is not None:  # the index holds a checksum of every tensor
            digest.update(Path(f"{newest}.index").read_bytes())
    return digest.hexdigest()[:16]


def _refuse_other_split(contexts: Sequence[TranslationContext]) -> None:
    """Raises UserError unless all runs hold out the same patients: others leak into a table."""
    first = contexts[0]
    for context in contexts[1:]:
        if context.split != first.split:
            raise UserError(
                f"The runs {first.run.path} and {context.run.path} divide the patients in "
                "different ways; train them anew with the same splits.json and "
                "skipped_cases.json, or name other runs with --variants"
            )


def _refuse_other(path: Path, config: TranslationConfig, precision: str) -> None:
    saved = saved_run(path, "--variants needs")
    changes = differences(from_dict(TranslationConfig, saved["config"]), config)
    if saved["precision"] != precision:
        changes.append(f"precision: {saved['precision']} -> {precision}")
    if changes:
        raise UserError(
            f"The run {path} was made with other settings than this table asks for "
            f"({'; '.join(changes)}); give the same options or another --variants"
        )
