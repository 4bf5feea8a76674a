"""Folders with hostile names as data: they are read, and nothing obeys their names."""

from __future__ import annotations

import html
import shutil

import pytest

from data.brats.dataset import BRATS
from data.pipeline import evaluation_batches
from data.shards import PreparedSlices
from experiments.engine.report import add_trainings
from tests.data.trees import case_files, tiny_case, write_case
from tests.experiments.bench import Bench
from utils.errors import UserError
from utils.reporting.report import Report
from utils.runs.exits import exit_code

NAMES = (
    "=cmd|'!A1",
    "-1+1",
    "$(touch x); touch y",
    "<script>",
    "red\x1b[31m\nnext",
    "naïve-患者 1",
    "{0}%s\\",
    "ä" * 125,
)


@pytest.fixture
def bench(tmp_path):
    """Six cases and a script on them, in a folder of a hostile name, with hostile cases added."""
    made = Bench(tmp_path)
    made.data = made.data.rename(tmp_path / "<b>`$\\frac`|[x]\x1b[31m")
    files = case_files(made.data, "flat2015")
    for number, name in enumerate(NAMES):
        folder = files["T1"].parent.parent / name
        folder.mkdir()
        write_case({kind: folder / file.name for kind, file in files.items()}, tiny_case(number))
    return made


def test_hostile_names_are_data_like_any_other(bench):
    assert bench.start() == 0
    (run,) = bench.runs
    prepared = PreparedSlices.open(BRATS, run.prepared.directory)
    assert set(NAMES) < set(prepared.subject_ids) and len(prepared.subject_ids) == 14
    for name in NAMES:
        (batch,) = evaluation_batches(prepared, [name], 8)
        assert batch["images"].shape == (4, 8, 8, 4)
        assert run.describe(batch["source"].numpy()[:1]) == f"{name} slice 1"
    assert run.data_note == "_b____frac___x_\ufffd_31m"


def test_a_report_counts_those_left_out_and_names_none(bench):
    for name in NAMES:
        folder = case_files(bench.data, "flat2015")["T1"].parent.parent / name
        shutil.copy(next(folder.glob("*MR_T1.*")), folder / "VSD.Brain.XX.O.MR_T1.9.mha")
    assert bench.start("--skip-bad") == 0
    (run,) = bench.runs
    assert set(run.skipped) == set(NAMES)
    report = Report("report")
    add_trainings(report, run)
    report.write(bench.run.path / "report.html")
    text = (bench.run.path / "report.html").read_text()
    assert "8 bad cases left out when the run began; skipped_cases.json names them" in text
    assert not [name for name in NAMES if html.escape(name) in text]


def test_a_refusal_does_not_move_the_cursor(capsys):
    def refuse():
        raise UserError("The case red\x1b[31m is bad.")

    assert exit_code(refuse, str) == 2
    assert capsys.readouterr().err == "error: The case red\ufffd[31m is bad.\n"
