"""The judge with a stand-in for nnU-Net: mixtures, scores, what is kept, skipped and refused."""

from __future__ import annotations

import shutil
import sys

import pandas as pd
import pytest
import SimpleITK as sitk

from experiments import export_nnunet, judge_nnunet
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json

# Finds every label, but for the mixture "synthetic", in which it finds nothing.
STAND_IN = """
import json, shutil, sys
from pathlib import Path
import SimpleITK as sitk

if sys.argv[1] == "-c":
    sys.exit()
request = json.loads(Path(sys.argv[2]).read_text())
out = Path(request["predictions"])
out.mkdir(parents=True, exist_ok=True)
for path in (Path(request["images"]).parent / "labelsTs").iterdir():
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(image * 0 if "synthetic" == out.name else image, str(out / path.name))
with open(Path(sys.argv[2]).parent / "calls.txt", "a") as file:
    file.write(request["name"] + "\\n")
"""


@pytest.fixture(scope="module")
def export(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("judge") / "export"
    before, sys.argv = sys.argv, ["", "--run", str(tiny_run), "--out", str(out), "--real", "--test"]
    assert exit_code(export_nnunet.main, export_nnunet._after_interrupt) == 0
    sys.argv = before
    return out


@pytest.fixture
def judge(monkeypatch, tmp_path, export):
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{STAND_IN}")
    program.chmod(0o755)

    def run(*words: object) -> int:
        given = ["--export", export, "--out", tmp_path / "out", "--python", program, *words]
        monkeypatch.setattr(sys, "argv", ["judge_nnunet.py", *map(str, given)])
        return exit_code(judge_nnunet.main, judge_nnunet._after_interrupt)

    return run


def test_each_arm_has_its_cases_and_its_scores_in_the_table(judge, export, tmp_path):
    out = tmp_path / "out"
    assert judge("--epochs", 2, "--iterations", 3) == 0
    manifest = pd.read_csv(export / "manifest.csv")["kind"].value_counts()
    expected = {
        "real": manifest["real"],
        "real_and_synthetic": manifest["real"] + manifest["synthetic"],
        "synthetic": manifest["synthetic"],
    }
    for i, (mixture, count) in enumerate(expected.items()):
        folder = out / "raw" / f"Dataset{501 + i}_{mixture}"
        assert len(list((folder / "labelsTr").iterdir())) == count
        assert len(list((folder / "imagesTr").iterdir())) == 4 * count
        assert read_json(folder / "dataset.json")["numTraining"] == count
        assert all(path.exists() for path in (folder / "imagesTr").iterdir())  # links that hold
    request = read_json(out / "real.request.json")
    assert (request["epochs"], request["iterations"], request["device"]) == (2, 3, "cpu")
    table = pd.read_csv(out / "judge.csv").set_index("training data")
    assert table["nnU-Net dice_wt"].tolist() == [1.0, 1.0, 0.0]
    assert table["nnU-Net hd95_wt"].tolist()[:2] == [0.0, 0.0]
    text = (out / "judge.md").read_text()
    assert "2 epoch(s) of 3 batches" in text and "patients" in text


def test_finished_arms_are_kept_unless_the_length_changes(judge, tmp_path):
    calls = tmp_path / "out" / "calls.txt"
    assert judge("--mixtures", "real") == judge() == judge() == 0
    assert len(calls.read_text().split()) == 3
    assert judge("--epochs", 7) == 0
    assert len(calls.read_text().split()) == 6


def test_another_export_is_judged_anew(judge, export, tmp_path):
    """Of as many cases: its manifest.json is the same."""
    other = tmp_path / "other"
    shutil.copytree(export, other)
    assert judge("--mixtures", "real") == 0
    assert judge("--mixtures", "real", "--export", other) == 0  # only moved: the same files
    calls = tmp_path / "out" / "calls.txt"
    assert len(calls.read_text().split()) == 1
    label = next((other / "labelsTr").glob("real*"))
    sitk.WriteImage(sitk.ReadImage(str(label)) * 0, str(label))
    assert judge("--mixtures", "real", "--export", other) == 0
    assert len(calls.read_text().split()) == 2
    linked = tmp_path / "out" / "raw" / "Dataset501_real" / "labelsTr" / label.name
    assert linked.resolve() == label.resolve()


def test_a_table_5_stands_beside_it(judge, tmp_path, capsys):
    table5 = tmp_path / "table5"
    table5.mkdir()
    write_json(table5 / "metrics.json", {"table5/row_15/volume_dice_wt": 0.625})
    assert judge("--table5", table5) == 0
    table = pd.read_csv(tmp_path / "out" / "judge.csv").set_index("training data")
    assert table["ours dice_wt"].fillna(-1).tolist() == [-1, 0.625, -1]
    assert judge("--table5", tmp_path / "typo") == 2
    assert "typo has no rows of Table 5" in capsys.readouterr().err


def test_without_nnunet_it_is_skipped_with_a_sentence(judge, tmp_path, capsys):
    assert judge("--python", sys.executable) == 0
    assert "skipped: " in capsys.readouterr().out
    assert judge("--python", tmp_path / "nowhere") == 0
    assert "cannot be started (No such file" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_failure_of_nnunet_names_its_log(judge, tmp_path, capsys):
    program = tmp_path / "failing"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit(sys.argv[1] != '-c')\n")
    program.chmod(0o755)
    assert judge("--python", program) == 2
    assert "nnU-Net failed on the mixture real; " in capsys.readouterr().err
    program.write_text(f"#!{sys.executable}\n")
    assert judge("--python", program) == 2
    assert "nnU-Net left no " in capsys.readouterr().err


def test_other_exports_and_wrong_words_are_refused(
    judge, export, tiny_run, tmp_path, capsys, monkeypatch
):
    assert judge("--mixtures", "fake") == 2 and "some of real,real_and" in capsys.readouterr().err
    assert judge("--epochs", 0) == 2 and "give 1 or more" in capsys.readouterr().err
    assert judge("--export", tmp_path) == 2 and "is no export of" in capsys.readouterr().err
    broken = tmp_path / "broken"
    shutil.copytree(export, broken)
    for content in ("{}", "[]", "?"):
        (broken / "dataset.json").write_text(content)
        assert judge("--export", broken) == 2 and "is no export of" in capsys.readouterr().err
    other = tmp_path / "other"
    words = ["", "--run", str(tiny_run), "--out", str(other), "--real", "--regions"]
    monkeypatch.setattr(sys, "argv", words)
    assert exit_code(export_nnunet.main, export_nnunet._after_interrupt) == 0
    assert judge("--export", other) == 2
    assert "the judge needs real, synthetic and test ones" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "--test", "--overwrite"])
    assert exit_code(export_nnunet.main, export_nnunet._after_interrupt) == 0
    assert judge("--export", other) == 2
    assert "without --format, --regions and --label-scheme" in capsys.readouterr().err
