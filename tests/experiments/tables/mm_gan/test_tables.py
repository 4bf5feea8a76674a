"""MM-GAN's tables and figures: their rows, and tiny ones from the training to the page."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from data.synthetic_sets.files import read_rows
from experiments.configs.mm_gan import TINY
from experiments.configs.mm_gan_tables import FIGURE7, TABLE1, PoolConfig
from experiments.engine.cli import main
from experiments.ledger import update
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN
from experiments.tables.mm_gan import rows, table
from experiments.tables.mm_gan.figure7 import FIGURE7_MM_GAN, pool_configs
from experiments.tables.mm_gan.table import FIGURE10_MM_GAN, TABLE1_MM_GAN, TABLE2_MM_GAN
from utils.errors import UserError
from utils.runs.files import read_json


def test_rows_are_segmenters_times_mixtures():
    found = rows.chosen("100R,300F+100R", "unet,cascade")
    assert list(found) == ["unet_100R", "unet_300F+100R", "cascade_100R", "cascade_300F+100R"]
    segmenter, mixture = found["cascade_300F+100R"]
    assert segmenter == "cascade" and (mixture.real, mixture.synthetic) == (1, 3)
    assert rows.reference("cascade_300F+100R") == "cascade_100R"
    fine_tuned = rows.chosen("FT", "unet")["unet_FT"][1]
    assert (fine_tuned.real, fine_tuned.mode) == (0.1, "synthetic first")
    with pytest.raises(UserError, match="'vnet'; give some of unet, cascade"):
        rows.chosen("100R", "vnet")
    with pytest.raises(UserError, match="200R"):
        rows.chosen("200R", "unet")


def test_the_papers_numbers_stand_in_their_rows():
    printed = {row.key: row.paper for row in rows.TABLE1.rows}
    assert len(printed) == 10
    assert printed["unet_500F+100R"]["wt/dice"] == 0.8891
    assert printed["cascade_100F"]["et/dice_std"] == 0.31
    liver = {row.key: row.paper for row in rows.TABLE2.rows}
    assert liver["unet_300F+100R"] == {"lesion/dice": 0.6903, "lesion/dice_std": 0.20}


@pytest.mark.parametrize(
    "key, interval, p, words",
    [
        ("unet_100F", (-0.3, -0.1), 0.01, "worse"),
        ("unet_FT", (-0.1, 0.1), 0.5, "does not prove that there is none"),
        ("unet_10R", (-0.1, 0.1), 0.5, "no difference was found."),
        ("unet_10R", (-0.1, -0.05), 0.125, "no difference was found."),  # of four patients
        ("cascade_FT", (0.01, 0.1), 0.03, "better"),
    ],
)
def test_each_row_is_told_against_all_real_patients(key, interval, p, words):
    place = f"{rows.FIGURE10.key}/{key}/wt/"
    names = ("difference", "low", "high", "p")
    figures = dict(zip((place + name for name in names), (np.mean(interval), *interval, p)))
    (sentence,) = rows.claims(rows.FIGURE10, figures)
    assert words in sentence and "Dice of WT against 100R" in sentence


def run_of(made: tuple, patients: int, rows: str) -> SimpleNamespace:
    return SimpleNamespace(
        config=SimpleNamespace(rows=rows),
        source=SimpleNamespace(config=SimpleNamespace(made=made), path="RUN"),
        split=SimpleNamespace(train=list(range(patients))),
        prepared=SimpleNamespace(dataset=SimpleNamespace(channels=("T1", "T2"))),
    )


def test_a_run_of_some_modalities_is_refused():
    with pytest.raises(UserError, match="RUN makes T1, but the segmenters see T1, T2"):
        table._check_run(run_of(("T1",), 9, "100R"))


def test_a_tenth_of_too_few_patients_is_refused_before_a_training():
    for patients, chosen in [(6, "100R,10R"), (4, "100R,100F")]:
        table._check_run(run_of(("T1", "T2"), patients, chosen))
    with pytest.raises(UserError, match="RUN has 5 training patients, of whom a tenth is none"):
        table._check_run(run_of(("T1", "T2"), 5, "100R, FT"))


def test_the_runs_of_figure_7_differ_in_the_pool_alone():
    runs = pool_configs(FIGURE7["tiny"])
    assert runs["pool"] == TINY
    assert [run.gan.pool for run in runs.values()] == [4, 0]
    assert isinstance(FIGURE7["thesis"], PoolConfig)


def test_figure_7_needs_a_pool_to_leave_out(tmp_path, capsys):
    words = ("--preset", "tiny", "--training.gan.pool", "0", "--out", str(tmp_path / "a"))
    assert main(FIGURE7_MM_GAN, words) == 2
    assert "one of the runs has a pool; give 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "experiment, words, missing",
    [
        (TABLE1_MM_GAN, ("--rows", "100R,FT"), "unet_FT"),
        (TABLE2_MM_GAN, ("--segmenters", "cascade"), "cascade_100R"),
        (FIGURE10_MM_GAN, ("--rows", "300F+100R"), "unet_300F+100R"),
    ],
)
def test_a_row_of_another_table_is_refused(experiment, words, missing, tmp_path, capsys):
    words = ("--preset", "tiny", "--out", str(tmp_path / "a"), *words)
    assert main(experiment, words) == 2
    assert f"ask for {missing}, but MM-GAN, " in capsys.readouterr().err


@pytest.mark.parametrize("experiment", [TABLE1_MM_GAN, TABLE2_MM_GAN, FIGURE10_MM_GAN])
def test_every_preset_asks_for_rows_of_its_table(experiment):
    for config in experiment.presets.values():
        wanted = set(rows.chosen(config.rows, config.segmenters))
        assert wanted <= {row.key for row in experiment.table.rows}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished tiny run."""
    out = tmp_path_factory.mktemp("mm_gan") / "run"
    assert main(TRAIN_MM_GAN, ("--preset", "tiny", "--out", str(out))) == 0
    return out


def perform(experiment, run, out, *words: str) -> int:
    return main(experiment, ("--preset", "tiny", "--run", str(run), "--out", str(out), *words))


@pytest.mark.slow
def test_table_1_learns_from_new_patients_and_a_stop_changes_no_number(run, tmp_path):
    out = tmp_path / "table"
    assert perform(TABLE1_MM_GAN, run, out) == 0
    frame = pd.read_csv(out / "table1_mm_gan.csv")
    expected = set(rows.chosen(TABLE1["tiny"].rows, TABLE1["tiny"].segmenters))
    assert set(frame["row"]) == expected and len(expected) == 8
    assert len(read_rows(out / "made")) == 3 * 6  # 300 % of the training patients
    patients = pd.read_csv(out / "rows" / "unet_100F_patients.csv")
    metrics = read_json(out / "metrics.json")
    mean = patients[patients["region"] == "wt"]["dice"].mean()
    assert metrics["table1_mm_gan/unet_100F/wt/dice"] == pytest.approx(mean)
    update(tmp_path / "ledger.md", [out])
    lines = pd.read_csv(tmp_path / "ledger.csv", dtype=str)
    assert (lines["experiment"] == "table1_mm_gan").sum() == 10

    names = ("table1_mm_gan.csv", "rows/cascade_300F+100R_patients.csv")
    before = {name: (out / name).read_bytes() for name in names}
    for name in ("rows/cascade_300F+100R.json", "rows/cascade_300F+100R_patients.csv"):
        (out / name).unlink()
    for path in (out / "checkpoints").glob("cascade_300F*"):
        shutil.rmtree(path)
    assert main(TABLE1_MM_GAN, ("--out", str(out), "--run", str(run), "--resume")) == 0
    assert {name: (out / name).read_bytes() for name in before} == before


@pytest.mark.slow
def test_figure_10_learns_from_a_tenth_of_the_patients(run, tmp_path):
    out = tmp_path / "figure"
    assert perform(FIGURE10_MM_GAN, run, out, "--segmenters", "unet") == 0
    frame = pd.read_csv(out / "figure10_mm_gan.csv")
    assert set(frame["row"]) == {"unet_100R", "unet_10R", "unet_100F", "unet_FT"}
    assert (out / "figure10_mm_gan.png").exists()


@pytest.mark.slow
def test_table_2_is_of_the_liver(tmp_path):
    out = tmp_path / "table"
    assert main(TABLE2_MM_GAN, ("--preset", "tiny", "--out", str(out))) == 0
    frame = pd.read_csv(out / "table2_mm_gan.csv")
    assert set(frame["part"].dropna()) == {"liver", "lesion"}
    assert "computed shapes, not medical data" in (out / "table2_mm_gan.md").read_text("utf-8")


@pytest.mark.slow
def test_figure_7_compares_two_runs(tmp_path):
    out = tmp_path / "figure"
    words = ("--preset", "tiny", "--training.modalities", "T1,Flair", "--out", str(out))
    assert main(FIGURE7_MM_GAN, words) == 0
    frame = pd.read_csv(out / "figure7_mm_gan.csv")
    assert set(frame["row"]) == {"real", "pool", "no_pool"}
    metrics = read_json(out / "metrics.json")
    of_run = read_json(out / "pools" / "no_pool" / "metrics.json")
    name = "volumes/synthetic/Flair/dice_wt"
    assert metrics["figure7_mm_gan/no_pool/Flair/wt"] == of_run[name]
