"""Exports of one tiny run: nnU-Net's own rules, geometry, atomic folders, and names of nobody."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from data.brats.phantom import cached_phantom
from experiments import export_nnunet, generate
from experiments.configs.brats import TINY as PRESET
from experiments.engine.cli import default_cache, main
from experiments.tables.privacy import AUDIT_PRIVACY
from tests.data.trees import case_files, tiny_case, write_case
from tests.experiments.conftest import content, train
from tests.experiments.small_run import SHAPE, run_on
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json

# What `--resume` needs: where the data is, and who takes part.
RECORDS = ("config.json", "splits.json", "skipped_cases.json")
PEOPLE = {"phantom_pat0001_1": "SecretName_19701231", "phantom_pat0002_1": "OtherName_1980-02-29"}


@pytest.fixture
def run(monkeypatch):
    def export(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["export_nnunet.py", *map(str, words)])
        return exit_code(export_nnunet.main, export_nnunet._after_interrupt)

    return export


def verify_like_nnunet(folder: Path) -> None:
    """The checks of nnU-Net v2's verify_dataset_integrity and its LabelManager, of tests too."""
    dataset = read_json(folder / "dataset.json")
    assert {"labels", "channel_names", "numTraining", "file_ending"} <= set(dataset)
    labels = dataset["labels"]
    values = sorted({v for label in labels.values() for v in np.atleast_1d(label).tolist()})
    assert values == list(range(len(values))) and labels["background"] == 0
    regions = [label for label in labels.values() if isinstance(label, list)]
    if regions:  # one that is a list of a single value gets no output of the network
        assert len(dataset["regions_class_order"]) == len(labels) - 1
        assert all(len(region) > 1 for region in regions)
    assert _verified(folder, "Tr", dataset, values) == dataset["numTraining"]
    if (folder / "imagesTs").exists():
        assert _verified(folder, "Ts", dataset, values) > 0


def _verified(folder: Path, part: str, dataset: dict, values: list[int]) -> int:
    ending = dataset["file_ending"]
    cases = {p.name[: -len(ending) - 5] for p in (folder / f"images{part}").iterdir()}
    assert {p.name[: -len(ending)] for p in (folder / f"labels{part}").iterdir()} == cases
    for case in cases:
        label = sitk.ReadImage(str(folder / f"labels{part}" / f"{case}{ending}"))
        assert set(np.unique(sitk.GetArrayViewFromImage(label))) <= set(values)
        for channel in dataset["channel_names"]:
            path = folder / f"images{part}" / f"{case}_{int(channel):04d}{ending}"
            image = sitk.ReadImage(str(path))
            assert np.isfinite(sitk.GetArrayViewFromImage(image)).all()
            for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
                assert getattr(image, what)() == getattr(label, what)()
    return len(cases)


def test_the_synthetic_set_alone(run, tiny_run, tmp_path, capsys):
    out = tmp_path / "Dataset501_Synthetic"
    assert run("--run", tiny_run, "--out", out) == 0
    verify_like_nnunet(out)
    assert "train with fold `all`" in capsys.readouterr().out
    assert {tuple(fold["val"]) for fold in read_json(out / "splits_final.json")} == {()}
    manifest = read_json(out / "manifest.json")
    assert (manifest["synthetic_slices"], manifest["real_slices"]) == (8, 0)
    image = sitk.ReadImage(str(out / "imagesTr" / "synthetic_000003_0001.nii.gz"))
    with np.load(tiny_run / "synthetic" / "samples" / "synthetic_000003.npz") as arrays:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], arrays["images"][..., 1])
    side = (PRESET.slicing.rows[1] - PRESET.slicing.rows[0]) / image.GetSize()[1]
    assert image.GetSpacing() == (side, side, max(side, 1))
    assert run("--run", tiny_run, "--out", tmp_path / "again") == 0
    assert content(tmp_path / "again") == content(out)


def test_real_cases_are_those_of_training_patients(run, tiny_run, tmp_path, capsys):
    assert run("--run", tiny_run, "--out", tmp_path / "out", "--real") == 0
    verify_like_nnunet(tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "manifest.csv")
    real = table[table["kind"] == "real"]
    assert set(real["patient"]) == {0} and len(real) == real["slice"].nunique() > 8
    synthetic = table[table["kind"] == "synthetic"]
    assert set(synthetic["label_patient"]) == {0}
    folds = read_json(tmp_path / "out" / "splits_final.json")  # one patient cannot be validated
    assert folds == [{"train": sorted(table["case"]), "val": []}] * 5
    assert "with one training patient there is nothing to validate on" in capsys.readouterr().out


def test_held_out_cases_come_apart(run, tiny_run, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--run", tiny_run, "--out", out, "--test") == 0
    verify_like_nnunet(out)
    assert "judge on those of imagesTs" in capsys.readouterr().out
    manifest = read_json(out / "manifest.json")
    counts = [manifest[f"{kind}_slices"] for kind in ("synthetic", "real", "test")]
    assert counts == [8, 0, len(list((out / "labelsTs").iterdir()))] and counts[2] > 8
    assert "as confidential as the real data" in manifest["notice"]
    assert len(list((out / "labelsTr").iterdir())) == 8


def test_the_datasheet_holds_that_of_the_set(run, tiny_run, tmp_path):
    own = (tiny_run / "synthetic" / "datasheet.md").read_text()
    metrics = read_json(tiny_run / "metrics.json")
    assert f"(higher is better) | {round(metrics['registration/real/overlap'], 4):.3f} | " in own
    texture = f"{metrics['detectability/synthetic/accuracy']:.0%} of the cases"
    assert texture in own and "ICBM 152 (MNI152)" in own and "--phantom_subjects=2" in own
    assert run("--run", tiny_run, "--out", tmp_path / "out") == 0
    text = (tmp_path / "out" / "datasheet.md").read_text()
    assert text.endswith(own) and "Label values: 0 background, 1 necrosis, 2 oedema" in text
    old = tmp_path / "run"
    shutil.copytree(tiny_run, old)
    (old / "synthetic" / "datasheet.md").unlink()
    assert run("--run", old, "--out", tmp_path / "other") == 2
    assert train("--out", str(old), "--resume", "--stages", "report") == 0
    assert (old / "synthetic" / "datasheet.md").read_text() == own


def test_excluded_and_unselected_samples_stay_out(run, tiny_run, tmp_path):
    samples = pd.read_csv(tiny_run / "synthetic" / "samples.csv")
    samples[2:4].to_csv(tmp_path / "quarantine.csv", index=False)
    words = ("--run", tiny_run, "--out", tmp_path / "out", "--format", "mha", "--volumes")
    assert run(*words, "--exclude", tmp_path / "quarantine.csv") == 0
    table = pd.read_csv(tmp_path / "out" / "manifest.csv")
    assert table["sample"].tolist() == [0, 1, 4, 5, 6, 7]
    assert table["index"].tolist() == list(range(6))
    assert read_json(tmp_path / "out" / "manifest.json")["synthetic_slices_left_out"] == 2
    size = sitk.ReadImage(str(tmp_path / "out" / "images" / "synthetic_0000_Flair.mha")).GetSize()
    assert size[2] == 6


def test_a_folder_is_replaced_whole_or_not_at_all(run, tiny_run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    words = ("--run", tiny_run, "--out", out, "--format", "nifti")
    assert run(*words) == 0
    before = content(out)
    assert run(*words) == 2 and "add --overwrite" in capsys.readouterr().err
    write = export_nnunet.write_plain

    def interrupted(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(export_nnunet, "write_plain", interrupted)
        assert run(*words, "--overwrite") == 130
    assert content(tmp_path) == {f"out/{name}": data for name, data in before.items()}
    assert run(*words, "--overwrite", "--format", "nnunet") == 0
    assert not (out / "images").exists() and [p.name for p in tmp_path.iterdir()] == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for manifest in (None, "{", "[1]", "3"):
        if manifest:
            (tmp_path / "mine" / "manifest.json").write_text(manifest)
        mine = content(tmp_path / "mine")
        assert run("--run", tiny_run, "--out", tmp_path / "mine", "--overwrite") == 2
        assert "no earlier export" in capsys.readouterr().err
        assert content(tmp_path / "mine") == mine
    place = tmp_path / "mine" / "thesis.txt" / "out"
    assert run("--run", tiny_run, "--out", place) == 2
    assert f"--out {place.parent} is a file; give a folder" in capsys.readouterr().err


def test_mistakes_are_told(run, tiny_run, tmp_path, capsys):
    assert run("--run", tiny_run, "--out", tmp_path / "out", "--volumes") == 2
    assert "--volumes stacks" in capsys.readouterr().err
    words = ("--run", tiny_run, "--out", tmp_path / "out", "--label-scheme")
    assert run(*words, "brats2020") == 2
    gap = "--label-scheme brats2020 has the label values 0, 1, 2, 4, but nnU-Net needs consecutive"
    assert gap in capsys.readouterr().err
    assert run(*words, "brats2020", "--format", "nifti", "--regions") == 2
    assert "--regions are declared for nnU-Net" in capsys.readouterr().err
    assert run(*words, "brats1999") == 2
    assert "Unknown --label-scheme brats1999" in capsys.readouterr().err
    assert run("--run", tmp_path, "--out", tmp_path / "out") == 2
    assert "holds no config.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_grades_are_those_of_the_folders(tmp_path):
    for number, grade in enumerate(("HGG", "LGG", "LGG", "HGG"), 1):
        case = tiny_case(number, SHAPE)
        write_case(case_files(tmp_path / "flat2015", "flat2015", number, grade), case)
    small = run_on(tmp_path)
    grades = export_nnunet.train_grades(small)
    found = {small.split.train[number][-3]: grade for number, grade in grades.items()}
    assert len(found) == 3 and found.items() < {"1": "H", "2": "L", "3": "L", "4": "H"}.items()


@pytest.fixture(scope="module")
def telling(tiny_run, tmp_path_factory):
    """The tiny run as if its data had been a folder whose names tell patients and dates."""
    root = tmp_path_factory.mktemp("telling")
    phantom = cached_phantom(default_cache(), 2, 0)
    data = root / "hospital" / "ward7_2024-05-06"
    data.mkdir(parents=True)
    for name, secret in PEOPLE.items():
        (folder,) = phantom.rglob(name)
        (data / secret).symlink_to(folder)
    run = root / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("synthetic", "report.html"))
    write_json(run / "config.json", {**read_json(run / "config.json"), "data": str(data)})
    split = read_json(run / "splits.json")
    renamed = {part: [PEOPLE[name] for name in names] for part, names in split.items()}
    write_json(run / "splits.json", renamed)
    assert train("--out", str(run), "--resume", "--stages", "dataset,report") == 0
    return run


def readable(path: Path) -> bytes:
    """A file's name and bytes, of archives and of pictures in a page what is inside."""
    data, picture = path.read_bytes(), rb"base64,([\w+/=]+)"  # digits of which may look like a date
    parts = [path.name.encode(), re.sub(picture, b"", data)]
    if path.suffix == ".gz":
        parts.append(gzip.decompress(data))
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            parts += [name.encode() + archive.read(name) for name in archive.namelist()]
    parts += [base64.b64decode(found) for found in re.findall(picture, data)]
    return b"\0".join(parts).lower()


@pytest.mark.slow
def test_no_output_but_the_run_s_own_records_tells_an_id_path_or_date(
    run, telling, tmp_path, monkeypatch
):
    """Neither checkpoints, logs, pictures and report of the run, nor what is made of it."""
    plain = ("--real", "--test", "--format", "mha")
    for words in ((), ("--real", "--test"), plain, ("--format", "nifti")):
        out = tmp_path / f"export{len(list(tmp_path.iterdir()))}"
        assert run("--run", telling, "--out", out, *words) == 0
    words = ["--run", str(telling), "--out", str(tmp_path / "audit"), "--resamples=20"]
    assert main(AUDIT_PRIVACY, words) == 0
    words = ["--run", str(telling), "--out", str(tmp_path / "set"), "--samples=2"]
    monkeypatch.setattr(sys, "argv", ["generate.py", *words])
    assert exit_code(generate.main, str) == 0
    secrets = [b"secretname", b"othername", b"19701231", b"1980-02", b"hospital", b"phantom_pat"]
    secrets += [b"vsd.brain", str(telling.parent).encode().lower()]
    folder_name = b"ward7_2024-05-06"  # names the data in reports, not in what is published
    for path in [*telling.rglob("*"), *tmp_path.rglob("*")]:
        if path.is_file() and path.name not in RECORDS:
            found = readable(path)
            told = [secret for secret in secrets if secret in found]
            assert not told, f"{path} tells {told}"
            assert path.name in ("report.html", "audit.md") or folder_name not in found
    assert b"secretname" in readable(telling / "splits.json")  # the search does find them
