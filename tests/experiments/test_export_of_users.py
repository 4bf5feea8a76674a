"""From a user's BraTS 2023 folder to the evidence: verify, train, measure, export, judge."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from data.brats.label_schemes import values_in
from data.brats.phantom import cached_phantom
from data.brats.subjects import find_cases
from data.volumes import write_volume
from experiments import export_nnunet, judge_nnunet, verify_data
from experiments.engine.cli import default_cache, main
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from experiments.tables.mixing.table import TABLE5
from tests.data.trees import case_files
from tests.experiments.conftest import train
from tests.experiments.test_export_nnunet import content, verify_like_nnunet
from tests.experiments.test_judge_nnunet import STAND_IN
from utils.runs.exits import exit_code
from utils.runs.files import read_json

SCHEME = "brats2023"
KINDS = ("real", "synthetic")


def write_users_tree(root: Path) -> Path:
    """The four phantoms of the preset tiny, as somebody would have them from BraTS 2023."""
    values = np.array(values_in(SCHEME, "--label-scheme"), np.uint8)
    for number, case in enumerate(find_cases(cached_phantom(default_cache(), 4, 0)), 1):
        targets = case_files(root, SCHEME, number)
        for kind, (path,) in case.files.items():
            array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
            target = Path(str(targets[kind]).removesuffix(".gz"))
            write_volume(target, values[array] if kind == "label" else array)
    return root


@pytest.fixture(scope="module")
def users(tmp_path_factory) -> Path:
    """A finished tiny run on a user's folder."""
    folder = tmp_path_factory.mktemp("users")
    data = ("--data", str(write_users_tree(folder / "hospital")))
    scheme = f"--slicing.label_scheme={SCHEME}"
    cache = ("--cache", str(folder / "cache"))
    verify_data.main([*data, scheme, *cache])
    words = ("--preset", "tiny", *data, scheme, *cache, "--out", str(folder / "run"))
    assert train(*words) == 0
    return folder


@pytest.fixture
def export(users, monkeypatch):
    def words(out: Path, *more: str) -> int:
        places = ("--run", users / "run", "--cache", users / "cache", "--out", out)
        monkeypatch.setattr(sys, "argv", ["export_nnunet.py", *map(str, (*places, *more))])
        return exit_code(export_nnunet.main, export_nnunet._after_interrupt)

    return words


@pytest.mark.slow
def test_everything_at_once(users, export, tmp_path, capsys):
    out = tmp_path / "Dataset502_Mixed"
    assert export(out, "--real", "--test", "--regions", "--label-scheme", SCHEME) == 0
    told = capsys.readouterr().out
    verify_like_nnunet(out)
    dataset = read_json(out / "dataset.json")
    regions = {"background": 0, "wt": [1, 2, 3], "tc": [1, 3], "et": 3}
    assert dataset["labels"] == regions and dataset["regions_class_order"] == [2, 1, 3]
    assert "brats2023 has one value for two classes: 1 is necrosis and non-enhancing" in told
    table, split = pd.read_csv(out / "manifest.csv"), read_json(users / "run" / "splits.json")
    assert table["kind"].value_counts().to_dict() == {"real": 60, "test": 20, "synthetic": 8}
    # The labels of the test are the user's own, at the resolution of the export.
    label = sitk.ReadImage(str(out / "labelsTs" / "test_0000_080.nii.gz"))
    (path,) = (users / "hospital").rglob(f"{split['test'][0]}-seg.nii")
    whole = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert set(np.unique(sitk.GetArrayFromImage(label))) <= set(np.unique(whole)) <= {0, 1, 2, 3}
    check_folds(out, table, told)
    check_datasheet(out, split)


def check_folds(out: Path, table: pd.DataFrame, told: str) -> None:
    """No fold learns from labels of the patients that it validates."""
    by_case = table.set_index("case")
    folds, lost = read_json(out / "splits_final.json"), []
    assert len(folds) == 3
    for fold in folds:
        (validated,) = set(by_case.loc[fold["val"], "patient"])
        learnt = by_case.loc[fold["train"]]
        assert validated not in set(learnt["patient"]) | set(learnt["label_patient"])
        lost.append(8 - int((learnt["kind"] == "synthetic").sum()))
    assert sum(lost) == 8 and f"gave their label: {', '.join(map(str, lost))} of 8" in told
    counts = read_json(out / "manifest.json")["folds"]
    assert [fold["synthetic_left_out"] for fold in counts] == lost
    assert not any(name.startswith("test") for fold in folds for name in sum(fold.values(), []))


def check_datasheet(out: Path, split: dict) -> None:
    text = (out / "datasheet.md").read_text()
    assert "8 synthetic, 60 training patients', 20 held-out patients'" in text
    assert "the networks learnt from: 3. Held-out patients, seen by no network: 1." in text
    assert "The licence and terms of use of the training data govern this set" in text
    names = [*split["train"], *split["test"], "hospital", str(out.parent)]
    for path, data in content(out).items():
        assert not any(name in path or name.encode() in data for name in names), path


@pytest.mark.slow
def test_the_same_numbers_without_nnunet(export, tmp_path):
    words = ("--test", "--format", "mha", "--volumes", "--label-scheme", "brats2020")
    assert export(tmp_path / "out", *words) == 0
    label = sitk.ReadImage(str(tmp_path / "out" / "test" / "labels" / "test_0000.mha"))
    assert label.GetSize()[2] == 20
    assert set(np.unique(sitk.GetArrayFromImage(label))) <= {0, 1, 2, 4}
    rows = pd.read_csv(tmp_path / "out" / "manifest.csv")
    synthetic = rows[rows["kind"] == "synthetic"]
    assert set(synthetic["case"]) == {"synthetic_0000"} and synthetic["label_patient"].notna().all()


@pytest.mark.slow
def test_sharpness_scores_and_evidence(users, export, tmp_path, monkeypatch):
    metrics = read_json(users / "run" / "metrics.json")
    assert {
        *(f"sharpness/{kind}/{name}" for kind in KINDS for name in ("gradient", "lines")),
        *("translation/ssim", "translation/T2_to_T1c/psnr"),
        *(f"sharpness/{kind}/T1c/spectrum_middle" for kind in KINDS),
        *("segmentation/real/volume/lesionwise_dice_wt", "segmentation/real/volume/patients"),
    } <= set(metrics)
    places = ("--run", users / "run", "--cache", users / "cache", "--out", tmp_path / "table5")
    assert main(TABLE5, [*map(str, places), "--rows", "1"]) == 0
    row = pd.read_csv(tmp_path / "table5" / "table5.csv").loc[0]
    assert np.isfinite(row["dice"]) and 0 <= row["volume_dice_wt"] <= 1

    out, program = tmp_path / "export", tmp_path / "python"
    assert export(out, "--real", "--test") == 0
    program.write_text(f"#!{sys.executable}\n{STAND_IN}")
    program.chmod(0o755)
    words = ("--export", out, "--out", tmp_path / "judge", "--python", program)
    words += ("--table5", tmp_path / "table5")
    monkeypatch.setattr(sys, "argv", ["judge_nnunet.py", *map(str, words)])
    assert exit_code(judge_nnunet.main, judge_nnunet._after_interrupt) == 0
    judged = pd.read_csv(tmp_path / "judge" / "judge.csv").loc[0]
    assert judged["nnU-Net dice_wt"] == 1
    assert judged["ours dice_wt"] == pytest.approx(row["volume_dice_wt"], abs=1e-6)


@pytest.mark.slow
def test_translations_of_the_users_cases(users):
    """TC-MGAN's figures, the contrast of the enhancing tumour among them, on the same folder."""
    places = ("--data", users / "hospital", "--cache", users / "cache", "--out", users / "tc_mgan")
    words = ("--preset", "tiny", f"--slicing.label_scheme={SCHEME}", *map(str, places))
    assert main(TRAIN_TC_MGAN, words) == 0
    metrics = read_json(users / "tc_mgan" / "metrics.json")
    assert 0 < metrics["translation/T1c/ssim"] < 1 and metrics["contrast/real/T1c/enhancing"] > 1
    assert np.isfinite(metrics["contrast/translated/T1c/enhancing"])
