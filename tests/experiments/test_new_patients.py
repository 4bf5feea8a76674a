"""New patients of a tiny run of MM-GAN: its own set, after a stop, shards of more, exports."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from data.brats.volumes import BRAIN, CLASSES
from data.slice_sets import real_slices
from data.synthetic_sets.files import array_path, read_manifest, read_rows, read_sample
from experiments import export_nnunet, generate
from experiments.engine.cli import default_cache, main
from experiments.engine.finished import open_trained
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER
from tests.experiments.conftest import content
from tests.experiments.test_export_nnunet import verify_like_nnunet
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run with generators of two modalities."""
    out = tmp_path_factory.mktemp("mm_gan") / "run"
    words = ("--preset", "tiny", "--phantom_subjects", "3", "--modalities", "T1,Flair")
    assert main(TRAIN_MM_GAN, (*words, "--out", str(out))) == 0
    return out


@pytest.fixture
def drawn(monkeypatch):
    """The script generate.py; returns its exit code."""

    def words(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["generate.py", *map(str, words)])
        return exit_code(generate.main, generate._after_interrupt)

    return words


def test_samples_are_volumes_of_the_runs_modalities_in_one_brain(run):
    rows, manifest = read_rows(run / "synthetic"), read_manifest(run / "synthetic")
    assert manifest["modalities"] == "T1 Flair" and manifest["selected"] == 2
    opened = open_trained(run, (TRAIN_MM_GAN,), "--run needs", default_cache())
    size = opened.prepared.size
    for number in range(2):
        sample = read_sample(array_path(run / "synthetic", number))
        assert sample["images"].shape == (*size, 2) and sample["label"].shape == size
        source = opened.split.train[rows["label_source"][number]]
        real = real_slices(opened.prepared, [source])
        brain = (real.images[0, ..., 0] > 0) | (real.label[0] > 0)  # as T1 shows it
        np.testing.assert_array_equal(sample["label"] > 0, brain)
        assert (sample["label"] == BRAIN).any() and sample["label"].max() < len(CLASSES)
        lesion = np.where(sample["label"] == BRAIN, 0, sample["label"])
        assert lesion.any() and (lesion != real.label[0]).any()
        assert not sample["images"][~brain].any() and sample["images"][brain].any(axis=0).all()
    sheet = (run / "synthetic" / "datasheet.md").read_text("utf-8")
    assert "2 volumes of patients who do not exist" in sheet and "Single slices" not in sheet
    assert "| SSIM, 7x7x7 voxels" in sheet and "Voxels of 10 x 10 x 10 mm" in sheet
    assert "New patient 2" in (run / "report.html").read_text("utf-8")


def test_what_is_missing_is_drawn_again_the_same(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    for name in ("manifest.json", "samples.csv", "samples/synthetic_000001.json"):
        (other / "synthetic" / name).unlink()
    assert main(TRAIN_MM_GAN, ("--out", str(other), "--resume")) == 0
    assert content(other / "synthetic") == content(run / "synthetic")


def test_shards_are_the_set_of_one_process_and_begin_with_the_runs_own(run, drawn, tmp_path):
    own, out = content(run / "synthetic"), tmp_path / "own"
    assert drawn("--run", run, "--out", out) == 0 and content(out) == own
    one, parts = tmp_path / "one", tmp_path / "parts"
    assert drawn("--run", run, "--out", one, "--samples", 3) == 0
    for shard in ("1/2", "0/2"):
        assert drawn("--run", run, "--out", parts, "--samples", 3, "--shard", shard) == 0
    assert content(parts) == content(one)
    samples = {name: data for name, data in own.items() if name.startswith("samples/")}
    assert len(samples) == 4 and content(one).items() >= samples.items()


def test_a_run_without_trained_generators_draws_nothing(run, drawn, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for name in ("config.json", "splits.json"):
        shutil.copy(run / name, tmp_path / "run")
    assert drawn("--run", tmp_path / "run", "--out", tmp_path / "set") == 2
    error = capsys.readouterr().err
    assert "has not finished gan; continue it with python experiments/train_mm_gan.py" in error
    assert not (tmp_path / "set").exists()


@pytest.fixture
def export(monkeypatch):
    """The script export_nnunet.py; returns its exit code."""

    def words(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["export_nnunet.py", *map(str, words)])
        return exit_code(export_nnunet.main, export_nnunet._after_interrupt)

    return words


def test_an_export_has_the_voxels_of_the_labels_patient(run, export, tmp_path, capsys):
    out = tmp_path / "Dataset601_New"
    assert export("--run", run, "--out", out, "--regions") == 0
    assert "2 volumes" in capsys.readouterr().out
    verify_like_nnunet(out)
    content = read_json(out / "dataset.json")
    assert content["channel_names"] == {"0": "T1", "1": "Flair"} and content["numTraining"] == 2
    assert content["labels"] == {"background": 0, "wt": [1, 2, 3], "tc": [1, 3], "et": 3}
    manifest, sheet = read_json(out / "manifest.json"), (out / "datasheet.md").read_text("utf-8")
    assert manifest["synthetic_volumes"] == 2 and manifest["voxel_mm"] == [10, 10, 10]
    assert "Volumes: 2 synthetic, 0 training" in sheet and "voxels of 10 x 10 x 10 mm" in sheet
    opened = open_trained(run, (TRAIN_MM_GAN,), "--run needs", default_cache())
    places = dict(zip(opened.prepared.subject_ids, opened.prepared.places))
    scans = scans_of(opened)
    for number, source in enumerate(read_rows(run / "synthetic")["label_source"]):
        name, subject = f"synthetic_{number:06d}", opened.split.train[source]
        made = sitk.ReadImage(str(out / "imagesTr" / f"{name}_0000.nii.gz"))
        label = sitk.ReadImage(str(out / "labelsTr" / f"{name}.nii.gz"))
        sample = read_sample(array_path(run / "synthetic", number))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(made), sample["images"][..., 0])
        expected = np.array([0, 1, 2, 0, 3])[sample["label"]]
        np.testing.assert_array_equal(sitk.GetArrayFromImage(label), expected)
        assert made.GetSpacing() == (10, 10, 10)
        np.testing.assert_allclose(made.GetOrigin(), places[subject].origin, atol=1e-4)
        np.testing.assert_allclose(made.GetDirection(), places[subject].direction, atol=1e-6)
        # Laid over the patient's T1, brain is brain.
        scan = sitk.GetArrayFromImage(sitk.Resample(scans[subject], made, sitk.Transform()))
        assert ((scan > 0) == (sample["label"] > 0)).mean() > 0.97


def scans_of(opened) -> dict[str, sitk.Image]:
    """The T1 of each case of the phantom."""
    source = opened.data_source()
    folder = opened.dataset.phantoms[source.phantom].make(
        default_cache(), opened.config.phantom_subjects, opened.data_seed
    )
    cases = opened.dataset.find(folder, opened.config.slicing)
    return {case.id: sitk.ReadImage(str(case.subject().images["T1"])) for case in cases}


def test_real_volumes_come_with_folds_by_patient(run, export, tmp_path, capsys):
    out = tmp_path / "Dataset602_Mixed"
    assert export("--run", run, "--out", out, "--real", "--test") == 0
    verify_like_nnunet(out)
    assert "2 folds by patient, validated on real cases only" in capsys.readouterr().out
    table = pd.read_csv(out / "manifest.csv")
    assert table["kind"].tolist() == ["synthetic", "synthetic", "real", "real", "test"]
    drawn = dict(zip(table["case"], table["label_patient"]))
    folds = read_json(out / "splits_final.json")
    assert len(folds) == 2
    for fold in folds:
        (validated,) = fold["val"]
        patient = table.set_index("case")["patient"][validated]
        assert all(drawn[name] != patient for name in fold["train"] if "synthetic" in name)
    real = sitk.ReadImage(str(out / "imagesTr" / "real_0001_000_0001.nii.gz"))
    opened = open_trained(run, (TRAIN_MM_GAN,), "--run needs", default_cache())
    slices = real_slices(opened.prepared, [opened.split.train[1]])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(real), slices.images[0, ..., 3])


def test_a_set_of_generate_is_exported_with_the_run_that_drew_it(run, drawn, export, tmp_path):
    assert drawn("--run", run, "--out", tmp_path / "set", "--samples", 3) == 0
    out = tmp_path / "Dataset603_More"
    assert export("--run", run, "--set", tmp_path / "set", "--out", out) == 0
    assert read_json(out / "dataset.json")["numTraining"] == 3


def test_a_set_of_another_run_is_not_exported(run, drawn, export, tmp_path, capsys):
    assert export("--run", run, "--set", tmp_path, "--out", tmp_path / "out") == 2
    assert "lacks made_with.json, so it is no set of" in capsys.readouterr().err
    assert drawn("--run", run, "--out", tmp_path / "set", "--samples", 2) == 0
    file = tmp_path / "set" / "made_with.json"
    made = read_json(file)
    made["networks"]["gan_T1"] = "0" * 64
    write_json(file, made)
    assert export("--run", run, "--set", tmp_path / "set", "--out", tmp_path / "out") == 2
    assert "was drawn with other networks than those of --run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_volumes_are_not_stacked(run, export, tmp_path, capsys):
    words = ("--run", run, "--out", tmp_path / "out", "--format", "mha")
    assert export(*words, "--volumes") == 2
    assert "--volumes stacks slices, but" in capsys.readouterr().err
    assert export(*words, "--label-scheme", "brats2015") == 2
    assert "give brats2020, brats2023 or brats2024" in capsys.readouterr().err
    assert export(*words, "--label-scheme", "brats2020") == 0
    files = sorted(path.name for path in (tmp_path / "out" / "images").iterdir())
    assert files[0] == "synthetic_000000_Flair.mha" and len(files) == 4
    values = sitk.ReadImage(str(tmp_path / "out" / "labels" / "synthetic_000000.mha"))
    assert set(np.unique(sitk.GetArrayViewFromImage(values))) <= {0, 1, 2, 4}


def test_new_patients_of_the_liver_are_drawn_and_exported(drawn, export, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "set"
    assert main(TRAIN_MM_GAN_LIVER, ("--preset", "tiny", "--out", str(run))) == 0
    assert drawn("--run", run, "--out", out) == 0
    assert content(out) == content(run / "synthetic")
    assert export("--run", run, "--out", tmp_path / "raw", "--real", "--test", "--regions") == 0
    verify_like_nnunet(tmp_path / "raw")
    described = read_json(tmp_path / "raw" / "dataset.json")
    assert described["channel_names"] == {"0": "CT"}
    assert described["labels"] == {"background": 0, "liver": [1, 2], "lesion": 2}
    label = sitk.ReadImage(str(tmp_path / "raw" / "labelsTr" / "synthetic_000001.nii.gz"))
    own = read_sample(array_path(out, 1))["label"]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label), np.array([0, 0, 1, 2])[own])
    words = ("--run", run, "--out", tmp_path / "other", "--label-scheme", "brats2023")
    assert export(*words) == 2
    assert "those of the run" in capsys.readouterr().err
