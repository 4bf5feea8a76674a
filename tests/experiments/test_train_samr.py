"""A tiny run of SAMR: what it leaves, how it resumes, its figures and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import tensorflow as tf

from data.atlas import Atlas, build_atlas
from data.brats.tissues import with_tissues
from data.brats.with_brain import BRATS_WITH_BRAIN
from data.manipulation import changed
from data.nnunet.description import Description
from data.nnunet.postsurgical import POSTSURGICAL_DATA
from data.slice_sets import Slices, real_slices, stored_slices
from data.synthetic_sets.files import array_path, read_rows
from data.volumes import read_volume_and_grid, write_on_grid, write_volume
from experiments.configs.samr import PRESETS, TINY, VARIANTS
from experiments.engine.cli import default_cache, main, parse
from experiments.engine.run import Run
from experiments.engine.scoring import sharpness_figures
from experiments.engine.synthetic_sets import MADE_WITH, own_set_drawn
from experiments.systems.samr.atlas import atlas_file
from experiments.systems.samr.evaluation import contrast_figures, made_from, normal_brain
from experiments.systems.samr.stages import TRAIN_SAMR, dataset_of
from experiments.systems.samr.synthesizing import Synthesizer
from experiments.tables.samr.figure3 import FIGURE3
from tests.data.synthetic_sets.test_files import files
from tests.experiments.test_samr_sets import export
from utils.config import from_dict, with_values
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def run(samr_run) -> Run:
    return Run.open_finished(TRAIN_SAMR, samr_run, tf.distribute.get_strategy(), default_cache())


def test_a_run_leaves_figures_pictures_and_a_report(run):
    metrics = read_json(run.path / "metrics.json")
    names = ("synthesis/T1c/ssim", "synthesis/psnr", "segmentation/real/dice_core")
    names += ("contrast/synthetic/Flair/oedema", "sharpness/real/T1/gradient")
    names += ("segmentation/synthetic/volume/dice_wt",)
    assert all(np.isfinite(metrics[name]) for name in names)
    pictures = {path.name for path in run.samples.glob("*_0000010.png")}
    assert pictures == {"segmenter_labels_0000010.png", "gan_slices_0000010.png"}
    page = run.report.read_text(encoding="utf-8")
    assert "Sequences from a lesion label" in page and "contrast in T1c, made" in page


def test_the_atlas_is_that_of_the_training_patients(run):
    found = Atlas.load(atlas_file(run))
    expected = build_atlas(run.prepared, run.split.train)
    np.testing.assert_array_equal(found.images, expected.images)
    assert found.first == expected.first == 70 and len(found.images) == 20
    other = build_atlas(run.prepared, run.split.test)
    assert np.abs(other.images - found.images).max() > 0.05


def test_a_run_leaves_a_synthetic_set_of_changed_labels(run):
    samples, rows = stored_slices(run.synthetic), read_rows(run.synthetic)
    assert len(samples) == 6 and samples.structure is None
    real = real_slices(run.prepared, run.split.train)
    for label, source in zip(samples.label, rows["label_source"]):
        np.testing.assert_array_equal(label == 0, real.label[source] == 0)  # its brain
        assert (label >= 2).any() and not (label == real.label).all(axis=(1, 2)).any()
    np.testing.assert_array_equal(rows["slice"], real.index[rows["label_source"]])
    placed = replace(samples, index=rows["slice"].to_numpy())
    np.testing.assert_array_equal(np.clip(made_from(run, placed), 0, 1), samples.images)
    text = (run.synthetic / "datasheet.md").read_text()
    assert "mirrored, resized and moved at random" in text and "There are no structure maps" in text
    ssim = run.read_metrics()["synthesis/T1c/ssim"]
    assert f"| T1c | {round(ssim, 3):.3f} |" in text and "which are not in this set" in text
    assert "generate.py" not in text and "structure maps, conditional" not in text


def test_an_interrupted_set_ends_with_the_same_bytes(run, tmp_path):
    """In batches of other samples than before, as after a stop between two writes."""
    out = shutil.copytree(run.path, tmp_path / "out")
    for name in ("manifest.json", "samples.csv", "datasheet.md"):
        (out / "synthetic" / name).unlink()
    for number in (1, 3, 4):
        array_path(out / "synthetic", number).unlink()
    kept = array_path(out / "synthetic", 0)
    before = kept.stat().st_mtime_ns
    assert main(TRAIN_SAMR, ["--out", str(out), "--resume", "--stages", "dataset,report"]) == 0
    assert kept.stat().st_mtime_ns == before
    assert files(out / "synthetic" / "samples") == files(run.synthetic / "samples")
    tables = [(path / "samples.csv").read_bytes() for path in (out / "synthetic", run.synthetic)]
    assert tables[0] == tables[1] and own_set_drawn(RunDirectory(out, writes=False))


def test_a_set_begun_with_other_networks_is_drawn_anew(run, tmp_path):
    out = shutil.copytree(run.path, tmp_path / "out")
    (out / "synthetic" / "manifest.json").unlink()
    made_with = read_json(out / "synthetic" / MADE_WITH)
    made_with["networks"]["gan"] = "another"
    write_json(out / "synthetic" / MADE_WITH, made_with)
    stale = array_path(out / "synthetic", 0)
    stale.write_bytes(b"of another network")
    assert main(TRAIN_SAMR, ["--out", str(out), "--resume", "--stages", "dataset,report"]) == 0
    assert files(out / "synthetic" / "samples") == files(run.synthetic / "samples")


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_numbers(run, tmp_path):
    whole = (run.path / "metrics.json").read_bytes()
    out = shutil.copytree(run.path, tmp_path / "out")
    for name in ("metrics.json", "atlas.npz", "report.html"):
        (out / name).unlink()
    shutil.rmtree(out / "checkpoints" / "gan")
    assert main(TRAIN_SAMR, ["--out", str(out), "--resume"]) == 0
    assert (out / "metrics.json").read_bytes() == whole


def test_slices_follow_label_and_height(run):
    label = np.ones((2, *run.prepared.size), np.int32)
    label[:, 10:16, 8:12] = 4
    slices = Slices(np.zeros((2, *run.prepared.size, 4)), label, index=np.array([75, 80]))
    images = made_from(run, slices)
    assert images.shape == (2, *run.prepared.size, 4)
    assert np.abs(images[0] - images[1]).max() > 1e-4
    label[:, 10:16, 8:12] = 1
    assert np.abs(made_from(run, slices) - images).max() > 1e-4


def test_contrasts_compare_with_normal_brain():
    label = np.array([[[0, 1, 2], [1, 2, 4]]])
    images = np.zeros((1, 2, 3, 4))
    images[label == 1], images[label == 2], images[label == 4] = 0.4, [0.2, 0.4, 0.6, 0.8], 0.5
    found = contrast_figures(BRATS_WITH_BRAIN, Slices(images, label), "c")
    assert found.pop("c/T1/enhancing") == pytest.approx(0.25)
    oedema = [found[f"c/{name}/oedema"] for name in BRATS_WITH_BRAIN.channels]
    assert oedema == pytest.approx([-0.5, 0.0, 0.5, 1.0])
    assert not any("core" in name for name in found)
    tissues = np.array([[[0, 2, 4], [3, 4, 6]]])  # the same, brain of two tissues
    again = contrast_figures(with_tissues(BRATS_WITH_BRAIN), Slices(images, tissues), "c")
    assert again["c/T1/enhancing"] == pytest.approx(0.25)


def test_sharpness_is_that_of_the_normal_brain():
    label = np.ones((1, 48, 48), int)
    label[0, :4], label[0, 30:] = 0, 3
    ramp = 0.2 + 0.01 * np.arange(48)[None, None, :, None] * np.ones((1, 48, 1, 4))
    noisy = np.where(label[..., None] == 3, np.random.default_rng(0).random(ramp.shape), ramp)
    region = normal_brain(BRATS_WITH_BRAIN, Slices(noisy, label))
    found = sharpness_figures(BRATS_WITH_BRAIN, noisy, region, "s")
    inside = ramp[0, 6:28, 2:-2, 0]  # without the rim of 2 pixels and the border of the lesion
    assert found["s/T1/gradient"] == pytest.approx(0.01 / inside.mean(), rel=0.02)


@pytest.mark.parametrize(
    "change, text",
    [
        ({"slicing": replace(TINY.slicing, rows=(34, 214))}, "--slicing has 30x24 pixels"),
        ({"test_fraction": 1.0}, "--test_fraction is 1.0; give a share"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, text):
    with pytest.raises(UserError, match=text):
        replace(TINY, **change).check_sizes()


def test_presets_survive_json_and_paper_has_its_numbers():
    for preset in PRESETS.values():
        assert from_dict(type(preset), read_back(preset)) == preset
    paper = PRESETS["thesis"]
    assert (paper.schedule.gan.epochs, paper.schedule.gan.batch_size) == (500, 8)
    assert (paper.samr.width, paper.samr.down_samplings, paper.samr.learning_rate) == (16, 5, 2e-4)


def read_back(preset) -> dict:
    return json.loads(json.dumps(asdict(preset)))


def test_the_data_set_is_that_of_the_folder_or_phantom(tmp_path):
    assert dataset_of(TINY, None) is BRATS_WITH_BRAIN
    assert dataset_of(TINY, tmp_path) is BRATS_WITH_BRAIN
    assert dataset_of(replace(TINY, phantom="postsurgical"), None) is POSTSURGICAL_DATA
    Description(("CT", "PET"), ("background", "a", "b")).write(tmp_path, 1)
    found = dataset_of(TINY, tmp_path)
    assert found.channels == ("CT", "PET") and found.classes[1:] == ("brain", "a", "b")
    Description(("t2w", "T1", "FLAIR", "T1ce"), ("background", "edema")).write(tmp_path, 1)
    assert dataset_of(TINY, tmp_path) is BRATS_WITH_BRAIN


def test_the_released_codes_trunk_has_the_papers_channels():
    paper, code = (with_values(PRESETS["thesis"], v).samr for v in ({}, VARIANTS["code"]))
    channels = [2 * samr.width * 2**samr.down_samplings for samr in (paper, code)]
    assert channels == [1024, 1024] and (code.norm, code.blocks) == ("instance", 9)


def test_a_method_with_tissues_has_them_in_its_data(tmp_path, capsys):
    for phantom in ("easy", "postsurgical"):
        shin = with_values(replace(TINY, phantom=phantom), VARIANTS["shin"])
        data = dataset_of(shin, None)
        assert data.classes[1:4] == ("CSF", "grey matter", "white matter")
        assert data.first_lesion == shin.samr.first_lesion == 4
        plain = dataset_of(replace(TINY, phantom=phantom), None)
        assert data.classes[4:] == plain.classes[2:] and plain.first_lesion == 2
    assert TINY.samr.first_lesion == 2
    Description(("CT", "PET"), ("background", "a", "b")).write(tmp_path, 1)
    assert dataset_of(shin, tmp_path).classes[4:] == ("a", "b")
    words = ("--preset", "tiny", "--variant", "shin", "--data", str(tmp_path))
    assert main(TRAIN_SAMR, (*words, "--out", str(tmp_path / "out"))) == 2
    refused = "--tissue_maps must be a folder with a map of each case's tissues"
    assert refused in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("phantom", ["easy", "postsurgical"])
def test_shin_runs_to_the_report_and_synthesizes(phantom, tmp_path):
    out = tmp_path / "out"
    words = ("--preset", "tiny", "--variant", "shin", "--phantom", phantom, "--out", str(out))
    assert main(TRAIN_SAMR, (*words, "--phantom_subjects", "3")) == 0
    metrics = read_json(out / "metrics.json")
    assert 0 < metrics["synthesis/T1/ssim"] < 1
    assert "segmentation/real/dice_white matter" in metrics
    synthesizer = Synthesizer(out)
    label = np.zeros((155, 240, 240), np.uint8)
    label[60:100, 70:190, 80:160] = 3
    label[60:100, 90:120, 90:120] = 4
    write_volume(tmp_path / "label.nii.gz", label)
    source = synthesizer.read(tmp_path / "label.nii.gz")
    moved = changed(source.label, "mirror", None, synthesizer.first_lesion)
    assert (moved == 3).sum() == (label == 3).sum() and (moved != label).any()
    made = synthesizer.make(source._replace(label=moved), batch_size=4)
    assert made.volumes["T1"].any() and (made.volumes["label"] == moved)[70:90].all()
    label[:] = 0
    write_volume(tmp_path / "none.nii.gz", label)
    with pytest.raises(UserError, match="has no brain .value 1 or 2 or 3. in it"):
        synthesizer.read(tmp_path / "none.nii.gz")
    assert main(FIGURE3, ("--preset", "tiny", "--run", str(out), "--out", str(tmp_path / "f"))) == 0


@pytest.mark.slow
def test_a_raw_folder_of_five_sequences_runs_to_the_report(tmp_path):
    """That of the phantom, as somebody's own data; the networks know its names afterwards."""
    folder = POSTSURGICAL_DATA.phantoms["postsurgical"].make(default_cache(), 3, 0)
    out = tmp_path / "out"
    words = ("--preset", "tiny", "--data", str(folder), "--cache", str(tmp_path / "cache"))
    assert main(TRAIN_SAMR, (*words, "--out", str(out))) == 0
    metrics = read_json(out / "metrics.json")
    assert 0 < metrics["synthesis/APTw/ssim"] < 1
    assert metrics["contrast/real/APTw/tumour"] > 0.3 > metrics["contrast/real/FLAIR/cavity"]
    synthesizer = Synthesizer(out)
    assert synthesizer.sequences == ["T1", "Gd-T1", "T2", "FLAIR", "APTw"]
    label = sorted((folder / "labelsTr").iterdir())[0]
    volumes, dice = synthesizer.make(synthesizer.read(label).label, batch_size=4)
    assert set(dice) <= {"oedema", "cavity", "tumour"} and dice
    assert set(volumes) == {*synthesizer.sequences, "label"} and volumes["APTw"].any()
    wanted = "must hold 0 nothing, 1 oedema, 2 cavity, 3 tumour, found the value 4; correct it"
    with pytest.raises(UserError, match=wanted):
        synthesizer.read(label, brain=label)
    own, grid = read_volume_and_grid(label)
    lesion = np.where(own.array > 1, own.array - 1, 0).astype(np.uint8)
    write_on_grid(tmp_path / "lesion.nii.gz", lesion, grid)
    found = synthesizer.read(tmp_path / "lesion.nii.gz", brain=label).label
    np.testing.assert_array_equal(found >= 2, own.array >= 2)
    np.testing.assert_array_equal(found[own.array > 0], own.array[own.array > 0])
    words = ("--run", out, "--cache", tmp_path / "cache", "--out", tmp_path / "export", "--real")
    assert export(*words) == 0
    content = read_json(tmp_path / "export" / "dataset.json")
    assert content["channel_names"]["4"] == "APTw" and content["labels"]["brain"] == 1
    assert "0 background, 1 brain, 2 oedema" in (tmp_path / "export" / "datasheet.md").read_text()


@pytest.mark.slow
def test_a_plan_needs_no_data(capsys, tmp_path):
    words = ["--preset", "tiny", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main(TRAIN_SAMR, words) == 0
    assert "atlas -> segmenter -> gan -> dataset -> evaluate -> report" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_options_change_a_variant_before_its_sizes_are_checked(tmp_path, capsys):
    """The published pix2pixHD halves four times, which the demo's slices do not allow."""
    words = ["--variant", "pix2pixhd", "--dry-run", "--stages", "segmenter"]
    assert main(TRAIN_SAMR, words) == 2
    assert "because the generator halves them 4 times" in capsys.readouterr().err
    options = ["--samr.down_samplings", "3", "--samr.width", "16"]
    assert parse([*words, *options], TRAIN_SAMR).config.samr.halvings == 3
