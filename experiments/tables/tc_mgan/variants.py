"""The finished runs of the four variants on which Tables 1 and 2 stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Optional

from experiments.configs.tc_mgan import TranslationConfig
from experiments.engine.experiment import Option
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from models.tc_mgan.config import VARIANTS, TCMGANConfig
from utils.errors import UserError

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


def variant_configs(training: TranslationConfig) -> Mapping[str, TranslationConfig]:
    """Returns the configuration of each variant's run, given that of all."""
    return {name: replace(training, gan=replace(training.gan, variant=name)) for name in VARIANTS}


def check_variant(option: str, training: TranslationConfig) -> None:
    """Raises UserError if `option` chose a variant, which a table of all four ignores."""
    if training.gan.variant != TCMGANConfig().variant:
        raise UserError(
            f"--{option} is {training.gan.variant}, but this table has a row for every variant; "
            f"leave it out, or train that variant alone with python {TRAIN_TC_MGAN.script}"
        )
