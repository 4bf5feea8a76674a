"""Parts of the main system's stages, on two tiny cases and on numbers by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.names import MODALITIES
from experiments.systems.structure_gan import dataset, stages
from experiments.systems.structure_gan.dataset import lesion_scorer
from experiments.systems.structure_gan.evaluation import held_out, surface_figures
from experiments.systems.structure_gan.maps import map_decoder
from experiments.systems.structure_gan.report import (
    segmentation_table,
    sharpness_table,
    summary_table,
)
from experiments.systems.structure_gan.stages import TRAIN_BRATS, generated_maps, take_pretrained
from tests.experiments.small_run import CONFIG, SLICING, in_folder, records, run_on
from utils.reporting.pictures import plain_row, slice_rows
from utils.runs.files import replacing, write_json


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_on(tmp_path_factory.mktemp("run"))


def test_the_decoder_hands_out_maps_masks_and_scores():
    def random_maps(seeds, size, root):
        total = tf.cast(tf.reduce_sum(seeds, axis=1), tf.float32)
        maps = tf.ones([2, *size, 1])
        return {"structure": maps, "outside": 2 * maps, "score": total}

    run = SimpleNamespace(
        trained=lambda stage: SimpleNamespace(random_maps=random_maps, networks={}),
        config=SimpleNamespace(dataset=SimpleNamespace(batch_size=2)),
        prepared=SimpleNamespace(size=(3, 4)),
    )
    structure, outside, score = map_decoder(run)(np.int32([[1, 2], [3, 4]]))
    assert structure.shape == (2, 3, 4, 1) and (outside == 2 * structure).all()
    np.testing.assert_array_equal(score, [3, 7])


def test_counts_of_the_set_become_metrics(run, tmp_path, monkeypatch):
    def draw(run, directory, config):
        counts = {"rejected": {"no organ": 3}, "accepted_after_retries": 2}
        counts.update(samples=1, selected=0)
        write_json(directory / "manifest.json", counts)

    monkeypatch.setattr(dataset, "draw_set", draw)
    run = in_folder(run, tmp_path)
    assert not run.finished("dataset")
    TRAIN_BRATS.stage("dataset").perform(run)
    expected = {"dataset/rejected/no organ": 3, "dataset/accepted_after_retries": 2}
    assert run.read_metrics() == expected and run.finished("dataset")


def test_pretraining_hands_its_generator_over():
    def system():
        layer = tf.keras.layers.Dense(2, bias_initializer="normal")
        return SimpleNamespace(networks={"G": tf.keras.Sequential([tf.keras.Input([3]), layer])})

    def weights(system) -> np.ndarray:
        return np.concatenate([array.ravel() for array in system.networks["G"].get_weights()])

    first, second = system(), system()
    run = SimpleNamespace(
        config=replace(CONFIG, pretrain=False), trained={"pretraining": first}.get
    )
    take_pretrained(run, second)
    assert not np.array_equal(weights(first), weights(second))
    run.config = replace(CONFIG, pretrain=True)
    take_pretrained(run, second)
    np.testing.assert_array_equal(weights(first), weights(second))


def test_generated_maps_are_drawn_once(run):
    maps = np.random.default_rng(0).integers(0, 2, (2, 3, 8, 8, 1), np.uint8)
    with replacing(run.checkpoints("synthesis") / "random_maps.npz") as temporary:
        np.savez(temporary, structure=maps[0], outside=maps[1])
    found = generated_maps(run)  # without a trained stage "structure"
    np.testing.assert_array_equal(found.structure, maps[0])
    np.testing.assert_array_equal(found.outside, maps[1])
    assert found.labels.shape == (4, 24, 16, 1) and found.augment


def test_generated_maps_that_passed_no_filter_are_counted(run, tmp_path, monkeypatch):
    run = in_folder(run, tmp_path)
    maps = np.ones((2, 8, 8, 1), np.uint8)
    monkeypatch.setattr(stages, "map_decoder", lambda run: None)
    monkeypatch.setattr(stages, "random_maps", lambda *_: (maps, 1 - maps, 5))
    np.testing.assert_array_equal(generated_maps(run).outside, 1 - maps)
    expected = {"synthesis/random_maps/accepted_after_retries": 5}
    assert run.read_metrics() == expected


def test_the_score_is_the_mean_dice_of_the_modalities():
    label = np.zeros((2, 4, 4, 1), np.int32)
    label[:, :2, :2] = 3  # 4 pixels
    found = np.zeros((2, 4, 4, 4), np.int32)
    found[0, :2, :2, 0] = 1  # another class of the same tumour: 1
    found[0, :2, :4, 1] = 3  # twice as many: 2 * 4 / 12
    found[0, :1, :2, 2] = 3  # half as many: 2 * 2 / 6
    found[1, :2, :2] = 3
    score = lesion_scorer(SimpleNamespace(synthesize=lambda batch: {"labels": tf.constant(found)}))
    expected = [(1 + 8 / 12 + 4 / 6 + 0) / 4, 1]
    np.testing.assert_allclose(score(np.zeros((2, 4, 4, 4), np.float32), label), expected)


def test_held_out_slices_are_those_of_the_test_patients(run):
    slices = held_out(run)
    number = run.prepared.subject_ids.index(run.split.test[0])
    expected = [record for record in records(run) if record["source"][0] == number]
    np.testing.assert_array_equal(slices.images, [record["images"] for record in expected])
    np.testing.assert_array_equal(slices.label, [record["label"][..., 0] for record in expected])
    assert slices.outside.shape == (4, 24, 16) and set(np.unique(slices.outside)) <= {0, 1}


def test_surface_distances_are_millimetres_of_the_slices_grid(run):
    label, found = np.zeros((2, 24, 16), int), np.zeros((2, 24, 16, 4), int)
    label[0, 4, 4], found[0, 4, 7] = 4, 1  # three pixels apart in every modality
    found[1, 0, 0, 0] = 2  # T1's segmenter finds a lesion where there is none
    halved = replace(run.config, slicing=replace(SLICING, downsample=2))
    for config, millimetres in ((run.config, 3.0), (halved, 6.0)):
        figures = surface_figures(run.changed(config=config), found, label, "x")
        assert figures["x/T1/hd95_wt"] == millimetres
        assert figures["x/T2/hd95_wt"] == millimetres / 2  # two empty masks have the distance 0
        assert figures["x/hd95_wt"] == pytest.approx(millimetres * (1 + 3 / 2) / 4)
        assert figures["x/T1/hd95_wt_one_empty"] == 1 and figures["x/T2/hd95_wt_one_empty"] == 0


def test_rows_of_slices_are_enlarged_and_outlined():
    images = np.zeros((2, 4, 4, 4))
    images[..., 1] = 1
    label = np.zeros((2, 4, 4), int)
    label[1, 1:3, 1:3] = 4
    rows = slice_rows(images, label)
    assert len(rows) == len(MODALITIES) and rows[0][0].shape == (8, 8, 3)
    assert not rows[0][0].any() and (rows[1][0] == 255).all()
    assert rows[0][1].any() and not rows[0][1][0].any()
    (plain,) = plain_row(np.array([[[0.0, 1.0]]]))
    np.testing.assert_array_equal(plain, [[0, 0, 255, 255]] * 2)


def test_tables_set_real_beside_synthetic():
    metrics = {
        "segmentation/real/dice_wt": 0.81234,
        "segmentation/synthetic/dice_wt": 0.75,
        "outside/synthetic/share": 0.01,
        "segmentation/real/T1c/dice_enhancing": 0.61,
        "sharpness/synthetic/T2/spectrum_middle": 0.11,
    }
    summary = summary_table(metrics)
    assert summary.loc["whole-tumour Dice (higher is better)"].tolist() == [0.8123, 0.75]
    share = summary.loc["share of intensity outside the mask (lower is better)"]
    assert np.isnan(share["real"]) and share["synthetic"] == 0.01
    table = segmentation_table(metrics, BRATS)
    assert table.shape == (8, 5) and table.loc["T1c real", "dice_enhancing"] == 0.61
    assert table.notna().to_numpy().sum() == 1
    table = sharpness_table(metrics, BRATS)
    assert table.loc["T2 synthetic", "power at 1/16..1/4 cycles per pixel"] == 0.11
    assert table.shape == (8, 4) and table.notna().to_numpy().sum() == 1
