"""The YAML files of the published experiments: their header, their command, their values."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from experiments.engine.cli import parse
from experiments.ledger import EXPERIMENTS
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.systems.structure_gan.images.stages import (
    TRAIN_CHEST_XRAY,
    TRAIN_LUNG_CT,
    TRAIN_RETINA,
    TRAIN_TIANCHI_CT,
)
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from utils.config import to_yaml
from utils.runs.environment import REPOSITORY
from utils.runs.files import write_json

IMAGES = (TRAIN_CHEST_XRAY, TRAIN_LUNG_CT, TRAIN_RETINA, TRAIN_TIANCHI_CT)
FILES = sorted((REPOSITORY / "experiments" / "configs").glob("*.yaml"))
VOLUMES = (TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER)
SCRIPTS = {
    experiment.script: experiment
    for experiment in (
        TRAIN_BRATS,
        TRAIN_EARLY,
        *IMAGES,
        TRAIN_TC_MGAN,
        TRAIN_SAMR,
        *VOLUMES,
        *EXPERIMENTS,
    )
}
HEADER = (
    r"# What: .+\n# Paper: .+\n# Data: .+\n# Time: .+\n# Paper's result: .+\n# Command: (.+)\n\n"
)


def test_every_training_and_table_has_one():
    commands = [re.match(HEADER, file.read_text())[1].split()[1] for file in FILES]
    assert sorted(commands) == sorted(SCRIPTS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_holds_the_published_settings_and_its_command_takes_them(file, tmp_path, monkeypatch):
    text = file.read_text()
    header = re.match(HEADER, text)
    words = shlex.split(header[1])
    experiment = SCRIPTS[words[1]]
    expected = to_yaml(experiment.presets["thesis"])
    assert text[header.end() :] == expected, f"give {file} these values:\n{expected}"
    (tmp_path / "DIR").mkdir()
    saved = {"preset": "tiny", "data": None, "precision": "float32", "config": {}}
    write_json(tmp_path / "RUN" / "config.json", saved)  # the YAML's values beat its preset
    monkeypatch.chdir(tmp_path)
    words = [word.replace("experiments/", f"{REPOSITORY}/experiments/") for word in words[2:]]
    assert parse(words, experiment).config == experiment.presets["thesis"]
    assert len(yaml.safe_load(text)) == len(yaml.safe_load(expected))
