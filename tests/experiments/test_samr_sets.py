"""What is made of the synthetic set of a SAMR run: export, audit, and the export read back."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.phantom import cached_phantom
from data.brats.slices import SliceConfig
from data.brats.with_brain import BRATS_WITH_BRAIN
from data.nnunet.dataset import with_own_classes
from data.nnunet.description import Description
from data.nnunet.postsurgical import DESCRIPTION
from data.opening import Source, open_slices
from data.shards import prepare_shards
from data.slice_sets import Slices, real_slices, stored_slices
from data.splits import Split, split_subjects
from data.synthetic_sets.export import Target, real_cases
from data.synthetic_sets.nnunet import write_nnunet
from experiments import export_nnunet
from experiments.configs.samr import TINY
from experiments.engine import synthetic_sets
from experiments.engine.cli import default_cache, main
from experiments.engine.request import Request
from experiments.engine.resuming import made_by
from experiments.engine.run import Run
from experiments.systems.samr.atlas import NAMES_FILE
from experiments.systems.samr.stages import TRAIN_SAMR, dataset_of
from experiments.systems.structure_gan.images.stages import TRAININGS
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.privacy import AUDIT_PRIVACY
from tests.data.nnunet.test_dataset import CONFIG, LIVER, write_folder
from tests.experiments.test_export_nnunet import verify_like_nnunet
from utils.config import with_values
from utils.errors import UserError
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory

SYSTEMS = (TRAIN_BRATS, TRAIN_SAMR)


@pytest.fixture(scope="module")
def source(samr_run) -> Run:
    return Run.open_finished(TRAIN_SAMR, samr_run, tf.distribute.get_strategy(), default_cache())


def export(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export_nnunet.py", *map(str, words)])
        return exit_code(export_nnunet.main, export_nnunet._after_interrupt)


@pytest.fixture(scope="module")
def exported(samr_run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("export") / "Dataset501_SAMR"
    assert export("--run", samr_run, "--out", out, "--real", "--test") == 0
    return out


def label_of(folder: Path, name: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}.nii.gz")))[0]


def test_a_run_is_known_by_its_configuration(tmp_path):
    systems = (*SYSTEMS, *TRAININGS)
    for experiment in systems:
        config = asdict(experiment.presets["tiny"])
        saved = {"preset": "tiny", "data": None, "precision": "float32", "config": config}
        write_json(tmp_path / experiment.script / "config.json", saved)
        assert made_by(tmp_path / experiment.script, systems) is experiment
        assert made_by(tmp_path / experiment.script, systems[::-1]) is experiment
    with pytest.raises(UserError, match="holds no config.json"):
        made_by(tmp_path, SYSTEMS)


def test_labels_are_written_in_the_values_of_brats_2023(exported, source):
    verify_like_nnunet(exported)
    names = {"background": 0, "necrosis and non-enhancing": 1, "oedema": 2, "enhancing": 3}
    assert read_json(exported / "dataset.json")["labels"] == names
    values = np.array([0, 0, 2, 1, 3])  # of background, brain, oedema, core, enhancing
    samples = stored_slices(source.synthetic)
    for number, label in enumerate(samples.label):
        found = label_of(exported / "labelsTr", f"synthetic_{number:06d}")
        np.testing.assert_array_equal(found, values[label])
    real = real_slices(source.prepared, source.split.train)
    (row, *_) = np.flatnonzero((real.label == 3).any(axis=(1, 2)))
    number = source.split.train.index(source.prepared.subject_ids[real.subjects[row]])
    found = label_of(exported / "labelsTr", f"real_{number:04d}_{real.index[row]:03d}")
    np.testing.assert_array_equal(found, values[real.label[row]])
    assert len(list((exported / "labelsTs").iterdir())) == 40


def test_no_fold_learns_from_label_or_lesion_of_patients_that_it_validates(exported, source):
    rows = pd.read_csv(exported / "manifest.csv").set_index("case")
    synthetic = rows[rows["kind"] == "synthetic"]
    samples = pd.read_csv(source.synthetic / "samples.csv")
    real = real_slices(source.prepared, source.split.train)
    train = [source.prepared.subject_ids.index(name) for name in source.split.train]
    for column, numbers in (("label_patient", "label_source"), ("donor_patient", "donor_source")):
        given = samples[numbers].to_numpy()
        expected = [train.index(real.subjects[n]) if n >= 0 else np.nan for n in given]
        np.testing.assert_array_equal(synthetic[column], expected)
    assert synthetic["donor_patient"].notna().any()
    for fold in read_json(exported / "splits_final.json"):
        (validated,) = set(rows.loc[fold["val"], "patient"])
        learnt = rows.loc[fold["train"]]
        assert validated not in set(learnt["label_patient"]) | set(learnt["donor_patient"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--label-scheme", "brats2015"), "brats2015 has different values for necrosis and non-en"),
        (("--label-scheme", "brats2024ped"), "are one class, core, in the run; give brats2020"),
        (("--label-scheme", "brats2020"), "0, 1, 2, 4, but nnU-Net needs consecutive"),
    ],
)
def test_schemes_that_cannot_say_core_are_refused(samr_run, tmp_path, capsys, words, text):
    assert export("--run", samr_run, "--out", tmp_path / "out", *words) == 2
    assert text in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_scheme_of_one_s_own_and_plain_volumes(samr_run, tmp_path):
    scheme = "1=enhancing,2=oedema,7=necrosis"
    words = ("--format", "mha", "--volumes", "--label-scheme", scheme)
    assert export("--run", samr_run, "--out", tmp_path / "out", *words) == 0
    label = sitk.ReadImage(str(tmp_path / "out" / "labels" / "synthetic_0000.mha"))
    found, own = sitk.GetArrayFromImage(label), stored_slices(samr_run / "synthetic").label
    np.testing.assert_array_equal(found, np.array([0, 0, 2, 7, 1])[own])


def options(run: Path, **changes) -> export_nnunet.Options:
    fields = dict.fromkeys(export_nnunet.Options.__dataclass_fields__)
    return export_nnunet.Options(**{**fields, "run": run, "format": "nnunet", **changes})


@pytest.mark.parametrize(
    ("labels", "classes", "first"),
    [(("background", "brain", "cyst"), (0, 1, 2), 2), (("background", "a", "b"), (0, 0, 1, 2), 1)],
)
def test_other_raw_folders_keep_their_names_and_values(tmp_path, labels, classes, first):
    """Without a training: brain is written where the folder has it."""
    Description(("CT", "PET"), labels).write(tmp_path / "data", 1)
    data, run = tmp_path / "data", tmp_path / "run"
    write_json(run / NAMES_FILE, {"classes": dataset_of(TINY, data).classes})
    target = export_nnunet.target_of(options(run), TRAIN_SAMR, TINY, data)
    assert target.dataset.classes == labels and target.dataset.channels == ("CT", "PET")
    assert target.classes == classes and target.values == tuple(range(len(labels)))
    assert target.dataset.first_lesion == first
    for given in ({"label_scheme": "brats2023"}, {"regions": True}):
        with pytest.raises(UserError, match="is for labels of BRATS, but those of the run .* cy|a"):
            export_nnunet.target_of(options(run, **given), TRAIN_SAMR, TINY, data)
    with pytest.raises(UserError, match="has the labels .*, but its data, .*gone, has background"):
        export_nnunet.target_of(options(run), TRAIN_SAMR, TINY, tmp_path / "gone")


def test_the_phantom_of_five_sequences_keeps_its_labels(tmp_path):
    config = replace(TINY, phantom="postsurgical")
    write_json(tmp_path / NAMES_FILE, {"classes": dataset_of(config, None).classes})
    target = export_nnunet.target_of(options(tmp_path), TRAIN_SAMR, config, None)
    assert target.dataset.classes == DESCRIPTION.labels and target.classes == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("phantom", "classes"),
    [("easy", (0, 0, 0, 0, 2, 1, 4)), ("postsurgical", (0, 1, 1, 1, 2, 3, 4))],
)
def test_tissues_are_written_as_the_brain_that_they_are_part_of(tmp_path, phantom, classes):
    config = with_values(TINY, {"phantom": phantom, "samr.tissues": True})
    write_json(tmp_path / NAMES_FILE, {"classes": dataset_of(config, None).classes})
    assert export_nnunet.target_of(options(tmp_path), TRAIN_SAMR, config, None).classes == classes


def test_a_datasheets_command_names_no_folder_of_tissue_maps():
    config = with_values(TINY, {"tissue_maps": "/hospital/maps", "seed": 3})
    request = Request(Path("out"), config, "tiny", data=Path("/hospital"))
    run = SimpleNamespace(experiment=TRAIN_SAMR, request=request, config=config)
    command = synthetic_sets._command(run)
    assert "--tissue_maps=TISSUE_MAPS" in command and "--seed=3" in command
    assert "--data DIR" in command and "hospital" not in command


def test_the_audit_takes_the_run(samr_run, tmp_path):
    out = tmp_path / "audit"
    words = ("--run", str(samr_run), "--out", str(out), "--max-similarity=0.3", "--resamples=20")
    assert main(AUDIT_PRIVACY, words) == 0
    frame = pd.read_csv(out / "audit.csv")
    assert frame["sample"].tolist() == list(range(6))
    assert (
        set(frame["training_patient"]) <= {0, 1} and frame["training_slice"].between(70, 89).all()
    )
    listed = frame[frame["training_similarity"] > 0.3]["sample"].tolist()
    assert pd.read_csv(out / "quarantine.csv")["sample"].tolist() == listed
    if listed:
        words = ("--run", samr_run, "--out", tmp_path / "out", "--exclude", out / "quarantine.csv")
        assert export(*words) == (2 if len(listed) == 6 else 0)


def read_back(folder: Path, cache: Path, out: Path, config=TINY) -> Slices:
    """The slices of a run's training and held-out patients together, as `--data` opens them."""
    run = RunDirectory(out)
    source = Source(dataset_of(config, folder), config.slicing, folder, cache)
    patient_of = source.dataset.patient_of

    def divide(ids) -> Split:
        return split_subjects(ids, 0.5, seed=0, patient_of=patient_of)

    prepared, split, *_ = open_slices(run, source, Split, divide)
    assert not {patient_of(name) for name in split.train} & set(map(patient_of, split.test))
    return real_slices(prepared, prepared.subject_ids)


def test_real_slices_read_back_are_the_same(exported, source, tmp_path):
    """Bit by bit; the brain is found anew and is the same."""
    found = read_back(exported, tmp_path / "cache", tmp_path / "out")
    real = real_slices(source.prepared, source.split.train)
    order = [source.split.train.index(source.prepared.subject_ids[s]) for s in real.subjects]
    rows = np.lexsort((real.index, order))
    real = real.choose(rows)
    np.testing.assert_array_equal(found.images, real.images)
    np.testing.assert_array_equal(found.label, real.label)
    np.testing.assert_array_equal(found.index, real.index)
    np.testing.assert_array_equal(found.subjects, np.array(order)[rows])


def test_the_main_system_s_export_is_read_back(tiny_run, tmp_path):
    """As the original tree is by SAMR, which has one class for the core, and one for brain."""
    assert export("--run", tiny_run, "--out", tmp_path / "export", "--real") == 0
    with pytest.raises(UserError, match="is of exported slices, which experiments/train_samr.py"):
        BRATS.find(tmp_path / "export", SliceConfig())
    run = Run.open_finished(TRAIN_BRATS, tiny_run, tf.distribute.get_strategy(), default_cache())
    config, (patient,) = replace(TINY, slicing=run.config.slicing), run.split.train
    data, cache = dataset_of(config, tmp_path / "export"), tmp_path / "cache"
    cases = data.find(tmp_path / "export", config.slicing)
    found = prepare_shards(data, cases, config.slicing, cache, progress=False)
    tree = BRATS_WITH_BRAIN.find(cached_phantom(default_cache(), 2, 0), config.slicing)
    whole = prepare_shards(BRATS_WITH_BRAIN, tree, config.slicing, cache, progress=False)
    found, real = real_slices(found, found.subject_ids), real_slices(whole, [patient])
    for name in ("images", "label", "index"):
        np.testing.assert_array_equal(getattr(found, name), getattr(real, name))
    assert set(np.unique(found.label)) == set(range(5))


@pytest.mark.parametrize("first", ["brain", "liver"])
def test_exports_of_other_raw_folders_are_read_back(tmp_path, first):
    """With its own sequences and labels, with and without a class for normal brain."""
    description = replace(LIVER, labels=("background", first, "lesion", "vessel"))
    folder = write_folder(tmp_path / "data", description)
    config = replace(TINY, slicing=CONFIG)
    data = dataset_of(config, folder)
    cases = data.find(folder, CONFIG)
    prepared = prepare_shards(data, cases, CONFIG, tmp_path / "cache", progress=False)
    own, numbers = with_own_classes(description)
    target = Target(own, numbers, tuple(range(own.num_classes)))
    written = [target.of(case) for case in real_cases(prepared, prepared.subject_ids)]
    write_nnunet(tmp_path / "out", written, own, CONFIG, target.values, False, "a note", {})
    again = dataset_of(config, tmp_path / "out")
    assert again.channels == data.channels and again.classes == data.classes
    cases = again.find(tmp_path / "out", CONFIG)
    found = prepare_shards(again, cases, CONFIG, tmp_path / "cache", progress=False)
    found, real = (real_slices(one, one.subject_ids) for one in (found, prepared))
    for name in ("images", "label", "index", "subjects"):
        np.testing.assert_array_equal(getattr(found, name), getattr(real, name))
    assert len(np.unique(found.label)) >= 3


@pytest.mark.slow
def test_a_run_learns_from_an_export(exported, tmp_path):
    words = ("--preset", "tiny", "--data", str(exported), "--cache", str(tmp_path / "cache"))
    out = tmp_path / "out"
    assert main(TRAIN_SAMR, (*words, "--out", str(out))) == 0
    split = json.loads((out / "splits.json").read_text())
    assert sorted(split["train"] + split["test"]) == ["real_0000", "real_0001"]
    assert export("--run", out, "--cache", tmp_path / "cache", "--out", tmp_path / "again") == 0
    verify_like_nnunet(tmp_path / "again")
