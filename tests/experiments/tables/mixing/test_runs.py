"""Table 5 at the smallest size: rows, a stop in the middle, more rows later."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from experiments.configs.table5 import TINY
from experiments.engine.cli import main
from experiments.tables.mixing import training
from experiments.tables.mixing.rows import choose_rows
from experiments.tables.mixing.table import TABLE5
from experiments.tables.mixing.training import Bench, result_path, settings_of, train_rows
from utils.runs.files import write_json
from utils.runs.run_directory import RunDirectory
from utils.training.signals import Interrupted
from utils.training.trainer import Trainer

FILES = ("table5.csv", "table5.md", "claims.md", "table5.png")


def table5(*words) -> int:
    return main(TABLE5, [str(word) for word in words])


def contents(out) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def whole(tiny_run, tmp_path_factory):
    """Rows 1 and 25 without a stop."""
    out = tmp_path_factory.mktemp("table5") / "out"
    assert table5("--run", tiny_run, "--out", out, "--rows", "1,25") == 0
    return out


def test_results_tables_and_metrics_are_written(whole):
    table = pd.read_csv(whole / "table5.csv")
    assert table["row"].tolist() == ["row_01", "row_25"] and table["seeds"].tolist() == [1, 1]
    result = json.loads((whole / "rows" / "row_25_seed_0.json").read_text())
    assert result["training_slices"] == [20, 20] and result["presented_slices"] == [40, 40]
    run = RunDirectory(whole, writes=False)
    assert run.read_metrics()["table5/row_25/dice"] == pytest.approx(table["dice"][1], abs=1e-6)
    assert {row["stage"] for row in run.read_history()} >= {"row_01_seed_0", "row_25_seed_0"}
    text = (whole / "table5.md").read_text()
    assert (whole / "claims.md").read_text().split("\n\n", 1)[1].strip() in text
    assert "phantom" in text and "--preset tiny --run RUN --rows 1,25`" in text
    assert not list((whole / "checkpoints").iterdir())  # nothing is left for others to find


def test_only_the_worker_that_writes_removes_a_rows_checkpoint(tmp_path, monkeypatch):
    """The others are ahead of it: it may still score the row, or restore from there."""
    monkeypatch.setattr(training, "synthetic_files", lambda run, rows: [])
    monkeypatch.setattr(Bench, "of", staticmethod(lambda run, rows, like: None))
    rows = choose_rows("1")
    for writes in (False, True):
        run = RunDirectory(tmp_path, writes)
        run.config = TINY
        write_json(result_path(run, rows[0], 0), {"settings": settings_of(TINY)})
        folder = run.checkpoints("row_01_seed_0")
        folder.mkdir(parents=True, exist_ok=True)
        train_rows(run, rows, 1)
        assert folder.exists() != writes


@pytest.mark.slow
def test_a_stop_repeats_no_row_and_changes_no_number(whole, tmp_path, monkeypatch):
    out, stopped = tmp_path / "out", []
    shutil.copytree(whole, out)
    for name in (*FILES, "rows/row_25_seed_0.json", "metrics.json"):
        (out / name).unlink()
    loop, finish, finished = Trainer._loop, Bench.finish, []

    def stop_half_way(self, iterator, step, bar, stop):
        if not stopped:
            stopped.append(self.stage)
            self.total_steps //= 2
            loop(self, iterator, step, bar, stop)  # ends with a checkpoint
            raise Interrupted(self.stage)
        loop(self, iterator, step, bar, stop)

    def recorded(self, row, repeat):
        finished.append(row.no)
        finish(self, row, repeat)

    first = out / "rows" / "row_01_seed_0.json"
    before = first.stat().st_mtime_ns
    monkeypatch.setattr(Trainer, "_loop", stop_half_way)
    monkeypatch.setattr(Bench, "finish", recorded)
    assert table5("--out", out, "--resume", "--rows", "1,25") == 130
    assert (out / "checkpoints" / "row_25_seed_0" / "checkpoint").exists()
    assert table5("--out", out, "--resume", "--rows", "1,25") == 0
    assert finished == ["25", "25"] and stopped == ["row_25_seed_0"]
    assert first.stat().st_mtime_ns == before and contents(out) == contents(whole)


def test_rows_and_seeds_are_checked(tiny_run, tmp_path, capsys):
    common = ("--run", tiny_run, "--out", tmp_path / "out")
    assert table5(*common, "--rows", "99") == 2
    assert table5(*common, "--seeds", "0") == 2
    assert table5(*common, "--rows", "1", "--stages", "table") == 2
    error = capsys.readouterr().err
    assert "--rows is '99'" in error and "--seeds is 0" in error and "No row of" in error


def test_a_dry_run_prints_rows_and_settings(tmp_path, capsys):
    assert table5("--preset", "demo", "--dry-run", "--rows", "7", "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "10 % real + 200 % synthetic, synthetic first" in text and "inputs: per_modality" in text
    assert not (tmp_path / "out").exists()
