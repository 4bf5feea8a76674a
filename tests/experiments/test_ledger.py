"""The ledger: a row for every table, merging of runs, and what a run says about itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.ledger import (
    BEGIN,
    COLUMNS,
    END,
    NOT_RUN,
    PAGE,
    ROWS,
    main,
    read_rows,
    read_run,
    update,
)
from utils.errors import UserError
from utils.runs.environment import REPOSITORY
from utils.runs.files import read_json, write_json

FIRST = ("table5", "thesis Table 5, 1: 100 % real")
SEVENTH = ("table5", "thesis Table 5, 7: 10 % real + 200 % synthetic, synthetic first")
OURS = ("table3", "thesis Table 3, BRATS MRI, Ours")
MGAN = ("table1_tc_mgan", "TC-MGAN Table 1, MGAN (SSIM with data range 2)")
PLACES = [(experiment.prefix, row.place) for experiment, row in ROWS]


def rows_of(page: Path) -> dict:
    return read_rows(page.with_suffix(".csv"))


ONLY_T2 = ("table2_tc_mgan", "TC-MGAN Table 2, only T2")


def write_run(folder: Path, metrics: dict, data=None, modified=False, **start) -> Path:
    """A run directory of a table script, with the trained run that it made."""
    write_json(folder / "metrics.json", metrics)
    config = {"preset": "demo", "data": None, "config": {"seed": 3}, **start}
    write_json(folder / "config.json", config)
    write_json(folder / "main" / "config.json", {"data": data})
    git = {"commit": "0123456789abcdef", "modified": modified}
    write_json(folder / "environment.json", {"git": git})
    return folder


def test_every_table_script_has_a_row_and_every_row_a_script():
    scripts = {
        f"experiments/{file.name}" for file in (REPOSITORY / "experiments").glob("table*.py")
    }
    assert scripts == {experiment.script for experiment, _ in ROWS} and scripts
    for experiment, row in ROWS:
        assert f"{Path(experiment.script).stem}_".startswith(f"{experiment.prefix}_")
        assert experiment.table.ledger
        assert set(row.options) <= {option.field for option in experiment.options}
    assert len(PLACES) == len(set(PLACES)) == len(ROWS)


def test_the_papers_numbers_stand_there_without_a_run(tmp_path):
    update(tmp_path / "ledger.md", [])
    lines = rows_of(tmp_path / "ledger.md")
    assert list(lines) == PLACES
    assert {line["our value"] for line in lines.values()} == {NOT_RUN}
    assert lines[FIRST]["paper value"] == "MSE 0.026, Dice 0.915"
    assert lines[OURS]["paper value"] == "MS-SSIM 0.727, FID 22.27"
    assert lines["table4", "thesis Table 4, synthetic"]["paper value"] == "MSE 0.043, Dice 0.838"
    assert lines["table5", "control c10: 10 % real"]["paper value"] == "control, not in the thesis"
    assert lines["table1", "thesis Table 1, F"]["paper value"] == "bars without numbers (Fig. 13)"
    assert lines[MGAN]["paper value"] == (
        "Flair PSNR 24.62, Flair SSIM 0.926, T1c PSNR 25.73, T1c SSIM 0.939, T1 PSNR 25.85, "
        "T1 SSIM 0.952"
    )
    assert lines[ONLY_T2]["paper value"] == "Dice 0.740, standard deviation 0.360"


def test_a_run_fills_its_rows_and_leaves_the_others(tmp_path):
    path = tmp_path / "ledger.md"
    metrics = {f"table5/row_01/{name}": value for name, value in (("dice", 0.5), ("mse", 0.25))}
    first = write_run(tmp_path / "a", {**metrics, "table5/row_01/seeds": 2, "table5/seconds": 90})
    update(path, [first])
    line = rows_of(path)[FIRST]
    assert line == {
        "experiment": "table5",
        "paper": FIRST[1],
        "command": "python experiments/table5_mixing.py --preset demo --rows 1 --seeds 2 --seed=3",
        "data": "phantom",
        "seeds": "2 (from 3)",
        "time": "1.5 min (whole table)",
        "paper value": "MSE 0.026, Dice 0.915",
        "our value": "MSE 0.250, Dice 0.500",
        "commit": "01234567",
    }
    second = {"table5/row_07/dice": 0.75, "table3/brats/ours/ms_ssim_4_similarity": 0.5}
    update(path, [write_run(tmp_path / "b", second, data="/x/BRATS2015", modified=True)])
    lines = rows_of(path)
    assert lines[FIRST] == line
    assert lines[SEVENTH]["our value"] == "Dice 0.750"
    assert (
        lines[SEVENTH]["data"] == "real (BRATS2015)" and "--data DIR" in lines[SEVENTH]["command"]
    )
    assert (lines[OURS]["our value"], lines[OURS]["commit"]) == ("MS-SSIM 0.500", "01234567+")
    assert lines[OURS]["time"] == "-" and lines[OURS]["seeds"] == "1 (from 3)"
    text = path.read_text()
    update(path, [])
    assert path.read_text() == text


def test_the_last_run_wins(tmp_path):
    folders = [
        write_run(tmp_path / str(value), {"table4/real/legacy_dice": value})
        for value in (0.25, 0.5, 12345.0)
    ]
    update(tmp_path / "ledger.md", folders[:2])
    row = ("table4", "thesis Table 4, real")
    assert rows_of(tmp_path / "ledger.md")[row]["our value"] == "Dice 0.500"
    update(tmp_path / "ledger.md", folders)
    assert rows_of(tmp_path / "ledger.md")[row]["our value"] == "Dice 1.23e+04"


@pytest.mark.parametrize(("kind", "data"), [("easy", "phantom"), ("varied", "phantom (varied)")])
def test_the_main_run_tells_the_kind_of_phantom(tmp_path, kind, data):
    run = write_run(tmp_path / "run", {"table4/real/legacy_mse": 0.5})
    write_json(run / "main" / "config.json", {"data": None, "config": {"phantom": kind}})
    update(tmp_path / "ledger.md", [run])
    assert rows_of(tmp_path / "ledger.md")["table4", "thesis Table 4, real"]["data"] == data


@pytest.mark.parametrize("config", [{"phantom": "varied"}, {"training": {"phantom": "varied"}}])
def test_a_table_that_trains_tells_its_own_kind_of_phantom(tmp_path, config):
    run = write_run(tmp_path / "run", {}, config=config)
    (run / "main" / "config.json").unlink()
    assert read_run(run).phantom == "varied"


def test_the_main_run_tells_the_data(tmp_path):
    main_run = write_run(tmp_path / "main_run", {}, data="/y/real")
    write_json(main_run / "config.json", {"data": "/y/real"})
    values = {"table4/real/legacy_mse": 0.5}
    named = write_run(tmp_path / "a", values, run=str(main_run), config={"batch_size": 2})
    lost = write_run(tmp_path / "b", values, run=str(tmp_path / "gone"), config={})
    row = ("table4", "thesis Table 4, real")
    for folder, data in ((named, "real (real)"), (lost, "unknown (the trained run is gone)")):
        update(tmp_path / "ledger.md", [folder])
        line = rows_of(tmp_path / "ledger.md")[row]
        assert (line["data"], line["seeds"]) == (data, "1")
        assert " --preset demo --run RUN" in line["command"]
        assert ("--batch_size=2 --data DIR" in line["command"]) == (folder == named)


def test_a_table_without_a_main_run_tells_its_own_data_and_nested_seed(tmp_path):
    first = {"table1_tc_mgan/mgan/T1/psnr": 20.0, "table1_tc_mgan/mgan/Flair/ssim_range2": 0.5}
    second = {"table2_tc_mgan/only_t2/dice": 0.25}
    folders = [
        write_run(tmp_path / "a", first, config={"seed": 3}, options={"variants": None}),
        write_run(
            tmp_path / "b",
            second,
            config={"training": {"seed": 4}},
            options={"variants": "/z/runs"},
        ),
    ]
    for folder in folders:
        (folder / "main" / "config.json").unlink()  # such a table has no trained run
    write_json(
        folders[1] / "config.json", {**read_json(folders[1] / "config.json"), "data": "/x/B"}
    )
    update(tmp_path / "ledger.md", folders)
    lines = rows_of(tmp_path / "ledger.md")
    one, two = lines[MGAN], lines[ONLY_T2]
    assert (one["our value"], one["data"]) == ("Flair SSIM 0.500, T1 PSNR 20.00", "phantom")
    command = "python experiments/table1_tc_mgan.py --preset demo --seed=3"
    assert (one["command"], one["seeds"]) == (command, "1 (from 3)")
    assert (two["our value"], two["data"]) == ("Dice 0.250", "real (B)")
    words = "--preset demo --variants PATH --training.seed=4 --data DIR"
    assert two["command"] == f"python experiments/table2_tc_mgan.py {words}"
    assert two["seeds"] == "1 (from 4)"


def test_what_is_no_run_is_refused(tmp_path, capsys):
    out = ("--out", str(tmp_path / "ledger.md"))
    assert main([str(tmp_path / "none"), *out]) == 2
    assert "none is not the run directory of a finished table script" in capsys.readouterr().err
    other = write_run(tmp_path / "other", {"segmentation/real/dice_wt": 0.5})
    assert main([str(other), *out]) == 2
    assert "other holds no number of a table" in capsys.readouterr().err
    assert not (tmp_path / "ledger.md").exists()
    assert main(list(out)) == 0
    assert f"{len(ROWS)} rows, {len(ROWS)} not run" in capsys.readouterr().out


def test_another_page_or_table_is_refused(tmp_path):
    page, rows = tmp_path / "ledger.md", tmp_path / "ledger.csv"
    for file, text in ((page, f"My thesis\n{BEGIN}\n"), (rows, "a,b\n1,2\n")):
        file.write_text(text)
        with pytest.raises(UserError, match=f"{file.name} must"):
            update(page, [])
        assert file.read_text() == text and len(list(tmp_path.iterdir())) == 1
        file.unlink()


def test_what_stands_around_the_tables_stays(tmp_path):
    page = tmp_path / "ledger.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    update(page, [write_run(tmp_path / "a", {"table4/real/legacy_dice": 0.25})])
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n")
    assert "\nold\n" not in text and "| thesis Table 4, real | MSE 0.026, Dice 0.915 |" in text
    assert "Data: phantom; seeds: 1 (from 3); -; commit 01234567. Command of its first" in text
    assert "Not run at this size." in text  # the other tables


def test_the_ledger_of_the_repository_is_complete():
    lines = rows_of(PAGE)
    assert list(lines) == PLACES
    assert all(tuple(line) == COLUMNS for line in lines.values())
