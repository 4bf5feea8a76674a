"""What a run tells of the origin of its synthetic sets, on two tiny cases."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from data.brats.names import MODALITIES
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import made_with, version
from experiments.systems.structure_gan.datasheet import describe, write_datasheet
from tests.experiments.small_run import CONFIG, in_folder, run_on
from utils.runs.files import write_json

MANIFEST = {
    "settings": asdict(CONFIG.dataset),
    **{"seed": 5, "samples": 8, "selected": 3, "accepted_after_retries": 1, "rejected": {}},
}
FIGURES = {
    "segmentation/real/dice_wt": 0.8,
    "segmentation/synthetic/dice_wt": 0.6,
    "detectability/synthetic/accuracy": 0.9,
}


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    monkeypatch.setattr(Run, "weights_hash", lambda run, stage: stage)
    run = in_folder(run_on(tmp_path), tmp_path / "again")
    run.request = replace(run.request, preset="tiny")
    return run


def test_a_user_s_data_is_neither_named_nor_shown(run, tmp_path):
    kinds = (*MODALITIES, "label")
    layout = json.dumps({kind: f"hospital/{{case}}/{kind}.nii" for kind in kinds})
    slicing = replace(run.config.slicing, layout=layout)
    run.config = replace(run.config, slicing=slicing, seed=3)
    text = describe(run, MANIFEST)
    assert "slices of the folder that --data named" in text and "learnt from: 1." in text
    assert "--slicing.layout=LAYOUT" in text and "--seed=3" in text and "--data DIR" in text
    assert "the training data govern this set" in text
    names = [*run.split.train, *run.split.test, "hospital", str(tmp_path), "flat2015"]
    assert not [name for name in names if name in text]


def test_a_phantom_is_named_with_its_licence(run):
    run.request = replace(run.request, data=None)
    text = describe(run, MANIFEST)
    assert run.prepared.dataset.phantoms["easy"].note in text and "ICBM 152 (MNI152)" in text
    assert "--data" not in text and "Version: unknown." in text


@pytest.mark.parametrize("augment, words", [(True, "two random operations;"), (False, "it is;")])
def test_it_tells_whether_labels_were_changed_and_how_many_maps_failed(run, augment, words):
    run.update_metrics(FIGURES)
    settings = {**MANIFEST["settings"], "augment_labels": augment}
    text = describe(run, {**MANIFEST, "settings": settings})
    assert f"slice of a training patient, a{'fter' if augment else 's'} {words}" in text
    assert "Maps taken after all retries, without passing the filter: 1." in text
    assert "beside the run's own set of" in text and "generate.py --run RUN" in text


def test_the_version_is_that_of_the_drawing(run):
    assert version(run) == "unknown"
    git, packages = {"commit": "12ab", "modified": True}, {"tensorflow": "2.15.1"}
    write_json(run.environment, {"git": git, "packages": packages})
    drawn = version(run)
    assert drawn == "commit 12ab with changes, TensorFlow 2.15.1"
    write_json(run.environment, {"git": {"commit": None, "modified": None}, "packages": {}})
    assert version(run) == "commit unknown, TensorFlow unknown"
    assert f"Version: {drawn}." in describe(run, {**MANIFEST, "version": drawn})


def test_the_fingerprint_is_that_of_what_the_samples_depend_on(run, monkeypatch):
    def fingerprint(manifest=MANIFEST) -> str:
        (line,) = [line for line in describe(run, manifest).splitlines() if "Fingerprint" in line]
        return line

    first = fingerprint()
    more = {**MANIFEST["settings"], "samples": 99}
    assert fingerprint({**MANIFEST, "settings": more}) == first
    assert "99" not in made_with(run, more, run.experiment.drawing.networks)
    assert fingerprint({**MANIFEST, "settings": {**more, "min_score": 0.1}}) != first
    monkeypatch.setattr(Run, "weights_hash", lambda run, stage: "other")
    assert fingerprint() != first


def test_figures_come_when_they_are_measured(run):
    write_json(run.synthetic / "manifest.json", MANIFEST)
    write_datasheet(run)
    early = (run.synthetic / "datasheet.md").read_text()
    assert "Not measured" in early
    run.update_metrics(FIGURES)
    write_datasheet(run)
    late = (run.synthetic / "datasheet.md").read_text()
    assert "| whole-tumour Dice (higher is better) | 0.800 | 0.600 |" in late
    assert "in 90% of the cases" in late and "Not measured" not in late
