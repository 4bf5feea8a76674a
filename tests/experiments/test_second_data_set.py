"""Another data set than BRATS through a whole run: three channels, no label.

The description and the reader are in `tests/data/second.py`. The stage is the main system's own,
which reads structure maps only; configuration and report are what a new data set costs beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from data.augmentation import NO_AUGMENTATION, Augmentation
from data.structure_maps.cutting import MapConfig
from experiments.configs.schedules import short_schedule
from experiments.engine.cli import main
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.report import add_trainings
from experiments.engine.run import Run
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from models.structure_gan.structure_config import StructureConfig
from tests.data.second import SECOND, Window
from utils.reporting.report import Report
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class Schedules:
    """Length of each training.

    Args:
        structure: structure-map VAE-GAN.
    """

    structure: Schedule = field(default_factory=lambda: short_schedule(10, 4))


@dataclass(frozen=True)
class PhotographConfig:
    """Everything that determines a run.

    Args:
        seed: of initial weights, order, noise and split.
        phantom: name of the built-in stand-in.
        phantom_subjects: number of its files.
        test_fraction: share of patients held out.
        augmentation: random motions of the training pictures.
        slicing: part of each picture.
        maps: structure maps and masks.
        structure: structure-map VAE-GAN.
        schedule: length of each training.
    """

    seed: int = 0
    phantom: str = "stripes"
    phantom_subjects: int = 4
    test_fraction: float = 0.5
    augmentation: Augmentation = NO_AUGMENTATION
    slicing: Window = Window(side=32)
    maps: MapConfig = MapConfig()
    structure: StructureConfig = StructureConfig(
        width=4, latent_size=9, map_size=(32, 32), halvings=2, initializer="he_normal"
    )
    schedule: Schedules = field(default_factory=Schedules)


def write_report(run: Run) -> None:
    report = Report("Photographs")
    report.add_section("Results", f"Data: {run.data_note}.")
    add_trainings(report, run)
    report.write(run.report)


PHOTOGRAPHS = Experiment(
    "experiments/train_photographs.py",
    "Train structure maps on photographs.",
    {"tiny": PhotographConfig()},
    stages=(
        TRAIN_BRATS.stage("structure"),
        Task("report", write_report, lambda run: run.report.exists(), ("structure",), always=True),
    ),
    data=SECOND,
)


def train(out: Path, *words: str, experiment: Experiment = PHOTOGRAPHS) -> int:
    return main(experiment, ["--preset", "tiny", "--out", str(out), *words])


def test_a_run_on_a_users_folder(tmp_path):
    data = SECOND.phantoms["stripes"].make(tmp_path, 4, 1)
    assert train(tmp_path / "run", "--data", str(data)) == 0
    report = (tmp_path / "run/report.html").read_text()
    assert f"Data: {data.name}." in report and "Stage structure" in report
    assert (tmp_path / "run/samples/structure_maps_0000010.png").exists()
    assert (tmp_path / "run/checkpoints/structure/ckpt-10.index").exists()


def test_a_bad_file_is_refused_without_a_script_of_another_data_set(tmp_path, capsys):
    data = SECOND.phantoms["stripes"].make(tmp_path, 4, 1)
    np.save(data / "p01-1.npy", np.zeros((4, 8, 8, 3), np.uint8))
    assert train(tmp_path / "run", "--data", str(data)) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line[:6] == "error:"]
    assert f"1 of the 4 cases in {data} cannot be trained on: p01-1 (" in error
    assert "smaller than 32 pixels); repair or remove these cases" in error


def test_help_knows_nothing_of_brats(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train(tmp_path / "run", "--help-all")
    out = capsys.readouterr().out
    assert "--slicing.side" in out and "brats" not in out.lower()


def test_the_first_batch_of_the_stand_in_is_checked_for_three_channels(tmp_path, capsys):
    def two_channels(run: Run, training: Training):
        make = run.pipeline(training, maps=run.config.maps)
        return lambda **options: make(**options).map(
            lambda batch: {**batch, "images": batch["images"][..., :2]}
        )

    stage = replace(TRAIN_BRATS.stage("structure"), batches=two_channels)
    assert train(tmp_path / "run", experiment=replace(PHOTOGRAPHS, stages=(stage,))) == 2
    words = (
        "images must be float32 [4, 32, 32, 3] of numbers in [0,1], found float32 [4, 32, 32, 2]"
    )
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_stage_that_reads_a_label_is_refused_before_data_is_read(tmp_path, capsys, words):
    stage = replace(TRAIN_BRATS.stage("segmentation"), learning_rate="rate", batch_size="size")
    experiment = replace(PHOTOGRAPHS, stages=(stage,))
    cache = ("--cache", str(tmp_path / "cache"))
    assert train(tmp_path / "run", *cache, *words, experiment=experiment) == 2
    assert "photographs has no label, which the networks of stage segmentation need" in (
        capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []
