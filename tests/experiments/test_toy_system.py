"""A whole system in one file: model, configuration, stages and table of a toy GAN.

In the project each part has a file of its own, see `docs/adding-a-system.md`; the tests below run
them as the scripts would. T learns to rebuild slices from a quarter of their pixels. Then G draws
slices from noise that D takes for real ones and that the trained T can rebuild.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.slices import SliceConfig
from data.slice_sets import real_slices
from experiments.configs.schedules import short_schedule
from experiments.engine.cli import main
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.report import add_trainings
from experiments.engine.request import Request
from experiments.engine.run import Run, Untrained
from experiments.engine.sources import Finished
from experiments.engine.table import Metric, Row, Table
from losses.adversarial import FAKE, REAL, least_squares
from losses.reconstruction import mean_absolute_error
from models.system import GANSystem
from tests.experiments.conftest import TINY
from tests.models.harness import SystemTests
from utils.inference import infer, seeds_of
from utils.reporting.pictures import grid, plain_row
from utils.reporting.report import Report
from utils.runs.files import read_json
from utils.seeding import normal
from utils.training.trainer import Schedule

# --- models/toy/ ----------------------------------------------------------------------------------

CODE = 4  # length of G's noise


@dataclass(frozen=True)
class ToyConfig:
    """Settings of both trainings.

    Args:
        width: channels of the hidden layers.
        learning_rate: Adam's, per update.
    """

    width: int = 8
    learning_rate: float = 1e-3


def convolution(width: int, stride: int = 1, **options) -> tf.keras.layers.Layer:
    return tf.keras.layers.Conv2D(width, 4, stride, "same", **options)


def image_layer(channels: int) -> tf.keras.layers.Layer:
    """Returns a last layer with outputs in [0,1], float32 also in mixed precision."""
    return convolution(channels, activation="sigmoid", dtype="float32")


class Rebuilder(GANSystem):
    """T alone, on slices [B,H,W,M]."""

    def __init__(self, config: ToyConfig, size: tuple, channels: int):
        double = tf.keras.layers.UpSampling2D()
        T = tf.keras.Sequential([convolution(config.width, 2), double, image_layer(channels)])
        T.build((None, *size, channels))
        super().__init__({"T": T}, {"T": ["T"]}, {"T": config.learning_rate})

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            error = mean_absolute_error(self.synthesize(batch)["images"], batch["images"])
        return self.descend(tape, {"T": error})

    def synthesize(self, batch):
        return {"images": self.networks["T"](batch["images"])}


class ToyGAN(GANSystem):
    """G and D; the trained T guides them and stays as it is, so it is not in `networks`."""

    def __init__(self, config: ToyConfig, size: tuple, T: tf.keras.Model):
        self.T, channels = T, T.output_shape[-1]
        drawn = tf.keras.layers.Dense(size[0] * size[1]), tf.keras.layers.Reshape((*size, 1))
        G = tf.keras.Sequential([*drawn, convolution(config.width), image_layer(channels)])
        D = tf.keras.Sequential([convolution(config.width, 2), convolution(1, dtype="float32")])
        G.build((None, CODE))
        D.build((None, *size, channels))
        groups = {"G": ["G"], "D": ["D"]}
        super().__init__({"G": G, "D": D}, groups, dict.fromkeys(groups, config.learning_rate))

    def train_step(self, batch):
        D = self.networks["D"]
        with tf.GradientTape(persistent=True) as tape:
            fake = self.synthesize(batch)["images"]
            terms = {
                "G/adversarial": least_squares(D(fake), REAL),
                "G/rebuilt": mean_absolute_error(fake, self.T(fake)),
            }
            loss_d = least_squares(D(batch["images"]), REAL) + least_squares(D(fake), FAKE)
            losses = {"G": tf.add_n(list(terms.values())), "D": loss_d}
        return {**self.descend(tape, losses), **terms}

    def synthesize(self, batch):
        return {"images": self.networks["G"](normal(batch["seed"], "z", (CODE,)))}


# --- experiments/configs/toy.py -------------------------------------------------------------------


@dataclass(frozen=True)
class Schedules:
    """Length of each training."""

    rebuilder: Schedule = short_schedule(10, 4)
    gan: Schedule = short_schedule(10, 4)


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run.

    Args:
        seed: of initial weights, order, noise and split.
        phantom: kind of the built-in phantom.
        phantom_subjects: number of its patients.
        test_fraction: share of patients held out.
        slicing: which slices, and how they are cut.
        toy: networks.
        schedule: length of each training.
    """

    seed: int = 0
    phantom: str = "easy"
    phantom_subjects: int = 4
    test_fraction: float = 0.2
    slicing: SliceConfig = SliceConfig(slices=(70, 90), rows=(34, 226), downsample=6)
    toy: ToyConfig = ToyConfig()
    schedule: Schedules = Schedules()


PRESETS = dict.fromkeys(("tiny", "demo", "thesis"), RunConfig())

# --- experiments/systems/toy.py -------------------------------------------------------------------


def build_rebuilder(run: Run) -> Rebuilder:
    size = BRATS.size(run.config.slicing)  # not from run.prepared: a dry run has no data
    return Rebuilder(run.config.toy, size, len(BRATS.channels))


def build_gan(run: Run) -> ToyGAN:
    T = run.trained("rebuilder").networks["T"]
    return ToyGAN(run.config.toy, BRATS.size(run.config.slicing), T)


def draw_samples(synthesize, examples, dataset):
    pair = examples["images"], synthesize(examples)["images"]
    rows = [plain_row(images.numpy()[..., 0]) for images in pair]
    return {"slices": grid(rows, titles=("real", "made"))}


def evaluate(run: Run) -> None:
    """Adds toy/error: how far the mean drawn slice is from the mean held-out one."""
    real = real_slices(run.prepared, run.split.test).images
    seeds = {"seed": seeds_of(len(real), run.config.seed, "evaluate")}
    drawn = infer(run.trained("gan").synthesize, seeds, batch_size=8)["images"]
    run.update_metrics({"toy/error": float(np.abs(drawn.mean(0) - real.mean(0)).mean())})


def write_report(run: Run) -> None:
    report = Report("Toy GAN")
    report.add_section("Results", f"Data: {run.data_note}.")
    report.add_key_values({"error": run.read_metrics()["toy/error"]})
    add_trainings(report, run)
    report.write(run.report)


def training(name: str, **stage) -> Training:
    return Training(
        name,
        batches=lambda run, training: run.pipeline(training, maps=None),
        draw=draw_samples,
        keys=("images", "seed", "source"),
        learning_rate="--toy.learning_rate",
        batch_size=f"--schedule.{name}.batch_size",
        **stage,
    )


def evaluated(run: Run) -> bool:
    return "toy/error" in run.read_metrics()


TRAIN_TOY = Experiment(
    "experiments/train_toy.py",
    "Train the toy GAN.",
    PRESETS,
    stages=(
        training("rebuilder", build=build_rebuilder),
        training("gan", build=build_gan, needs=("rebuilder",)),
        Task("evaluate", evaluate, done=evaluated, needs=("gan",)),
        Task("report", write_report, lambda run: run.report.exists(), ("evaluate",), always=True),
    ),
    data=BRATS,
)

# --- experiments/tables/toy.py --------------------------------------------------------------------

TABLE = Table(
    "toy_table",
    "Toy table: error of the toy GAN",
    rows=(Row("toy", "toy GAN", paper={"error": 0.1}, place="Toy et al. Table 1, toy GAN"),),
    metrics=(Metric("error", "mean absolute error of the mean slice", better=-1),),
    ledger={"error": "error"},
)


def write(run: Run) -> None:
    TABLE.measure(run, lambda row: {"error": run.source.read_metrics()["toy/error"]}, settings={})
    TABLE.write(run, notes=("One run.",))


@dataclass(frozen=True)
class TableConfig:
    """A table without settings of its own."""


TOY_TABLE = Experiment(
    "experiments/toy_table.py",
    "Toy table.",
    dict.fromkeys(PRESETS, TableConfig()),
    stages=(Task("table", write),),
    sources=Finished(TRAIN_TOY),
    table=TABLE,
)

# --- tests ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("toy") / "run"
    assert main(TRAIN_TOY, [*TINY, "--out", str(out)]) == 0
    return out


def contents(folder: Path) -> dict[Path, bytes]:
    """Returns all files with what is in them."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_its_files(toy_run):
    files = {str(path.relative_to(toy_run)) for path in contents(toy_run)}
    for stage in ("rebuilder", "gan"):
        assert f"checkpoints/{stage}/ckpt-10.index" in files
        assert f"samples/{stage}_slices_0000010.png" in files
        assert f"Stage {stage}" in (toy_run / "report.html").read_text()
    assert {"config.json", "splits.json", "metrics.jsonl"} <= files
    assert 0 < read_json(toy_run / "metrics.json")["toy/error"] < 1


def test_a_dry_run_prints_the_networks_and_reads_no_data(tmp_path, capsys):
    words = ["--dry-run", "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    assert main(TRAIN_TOY, [*TINY, *words]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    networks = [["T", "1,036", "Rebuilder"], ["G", "4,492", "ToyGAN"], ["D", "649", "ToyGAN"]]
    assert [line[:3] for line in lines if line[2:3] in (["Rebuilder"], ["ToyGAN"])] == networks
    assert list(tmp_path.iterdir()) == []


def test_to_resume_a_finished_run_changes_nothing(toy_run):
    before = contents(toy_run)
    assert main(TRAIN_TOY, ["--out", str(toy_run), "--resume"]) == 0
    assert contents(toy_run) == before


def test_a_stage_needs_the_one_that_guides_it(tmp_path, capsys):
    assert main(TRAIN_TOY, [*TINY, "--out", str(tmp_path / "run"), "--stages", "gan"]) == 2
    assert "--stages has gan, which needs rebuilder" in capsys.readouterr().err


def test_a_guide_leaves_the_weights_of_the_guided_as_they_are(toy_run):
    def weights(*first: str) -> list[np.ndarray]:
        request = Request(toy_run, RunConfig())
        run = Untrained(TRAIN_TOY, request, tf.distribute.get_strategy(), writes=False)
        for stage in first:
            run.trained(stage)  # is kept: the GAN's build does not make it on its way
        return run.build("gan").networks["G"].get_weights()

    assert all(map(np.array_equal, weights(), weights("rebuilder")))


def test_the_table_shows_our_value_beside_the_papers(toy_run, tmp_path):
    assert main(TOY_TABLE, ["--run", str(toy_run), "--out", str(tmp_path / "table")]) == 0
    error = read_json(toy_run / "metrics.json")["toy/error"]
    assert f"| toy GAN | {error:.3f} | 0.100 |" in (tmp_path / "table/toy_table.md").read_text()
    (row,) = pd.read_csv(tmp_path / "table/toy_table.csv").to_dict("records")
    assert (row["error"], row["paper_error"]) == (pytest.approx(error), 0.1)


# --- tests/models/test_toy.py ---------------------------------------------------------------------


class TestRebuilder(SystemTests):
    groups = {"T": ["T"]}
    parameters = {"T": 16 * 4 * 8 + 8 + 16 * 8 * 4 + 4}
    split_rate = 1.0

    def build(self):
        return Rebuilder(ToyConfig(), self.size, 4)


class TestToyGAN(SystemTests):
    groups = {"G": ["G"], "D": ["D"]}
    parameters = {
        "G": (4 + 1) * 32 * 24 + 16 * 8 + 8 + 16 * 8 * 4 + 4,
        "D": 16 * 4 * 8 + 8 + 16 * 8 + 1,
    }
    split_rate = 0.1

    def build(self):
        return ToyGAN(ToyConfig(), self.size, Rebuilder(ToyConfig(), self.size, 4).networks["T"])

    def guides(self, system):
        return [system.T]
