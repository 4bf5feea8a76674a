"""Scores of Tables 6, 7 and 8 by hand, and the figures that both rows share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data.augmentation import Augmentation
from data.opening import Source
from data.retina.dataset import RETINA, RetinaConfig
from data.slice_sets import Slices
from data.splits import Split
from data.tianchi_ct.dataset import TIANCHI_CT
from experiments.configs.downstream import VesselTableConfig
from experiments.tables.downstream import boxes, training, vessels, xray
from experiments.tables.downstream.training import MIXED, REAL, VERDICTS, claim, difference
from models.structure_gan.vessels import VesselConfig, Vessels
from tests.models.toys import calm
from utils.errors import UserError
from utils.metrics.contrasts import UNDECIDED
from utils.runs.files import write_text

RUN = SimpleNamespace(config=SimpleNamespace(evaluation_batch_size=4, rim=14 / 512))


def answering(**outputs):
    """A network that gives rows of known answers by the number in the first pixel."""

    def synthesize(batch: dict) -> dict:
        rows = tf.cast(tf.round(batch["images"][:, 0, 0, 0] * 100), tf.int32)
        return {name: tf.gather(tf.constant(values), rows) for name, values in outputs.items()}

    return SimpleNamespace(synthesize=synthesize)


def numbered(count: int, **parts) -> Slices:
    images = np.zeros((count, 8, 8, 1), np.float32) + np.arange(count)[:, None, None, None] / 100
    return Slices(images, **parts)


def test_the_tables_networks_learn_from_augmented_images():
    how = Augmentation(shift=0.1)
    run = SimpleNamespace(config=SimpleNamespace(augmentation=how), pipeline=lambda *_, **o: o)
    assert training._batches(run, None, 3) == {"maps": None, "augmentation": how, "seed": 3}


def test_boxes_are_not_turned():
    config = SimpleNamespace(augmentation=Augmentation(rotation=5.0), network=None)
    prepared = SimpleNamespace(dataset=TIANCHI_CT, size=(128, 128))
    with pytest.raises(UserError, match="turned"):
        training._check_network(SimpleNamespace(config=config, prepared=prepared))


def test_accuracy_of_classes_and_children():
    true, found = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0], np.int32)
    label = np.broadcast_to(true[:, None, None], (5, 8, 8))
    slices = numbered(5, label=label, subjects=np.array([7, 7, 7, 9, 9]))
    scores = xray.score(RUN, answering(labels=found), slices)
    assert scores.figures == {
        "accuracy": pytest.approx(3 / 5),
        "normal/accuracy": 0.5,
        "bacterial/accuracy": 1,
        "viral/accuracy": 0.5,
    }
    assert scores.patients.to_dict("list") == {
        "patient": [7, 9],
        "score": [pytest.approx(2 / 3), 0.5],
        "slices": [3, 2],
    }


def test_vessel_figures_count_the_field_of_view_only():
    label = np.ones((2, 8, 8), int)
    label[:, :, 6:] = vessels.OUTSIDE
    label[0, 2] = np.where(label[0, 2], vessels.VESSEL, 0)
    label[1, 3] = np.where(label[1, 3], vessels.VESSEL, 0)
    probabilities = np.full((2, 8, 8, 1), 0.1, np.float32)
    probabilities[0, 2, :3], probabilities[1, 3] = 0.9, 0.8
    probabilities[0, 5, 0], probabilities[:, :, 6:] = 0.7, 0.95
    slices = numbered(2, label=label, subjects=np.array([1, 2]))
    scores = vessels.score(RUN, answering(probabilities=probabilities), slices)
    figures = scores.figures
    assert figures["sensitivity"] == pytest.approx(9 / 12)
    assert figures["specificity"] == pytest.approx(83 / 84)
    assert figures["accuracy"] == pytest.approx((9 + 83) / 96)
    # Of the pairs of a vessel's and another pixel, ties count half.
    higher = 3 * 84 + 6 * 84 + 3 * (83 * 0.5)
    assert figures["auc"] == pytest.approx(higher / (12 * 84))
    assert figures["dice"] == pytest.approx((2 * 3 / (4 + 6) + 1) / 2)
    first, second = scores.patients["score"]
    assert second == 1 and first == pytest.approx((3 * 42 + 3 * 41 * 0.5) / (6 * 42))


def test_boxes_are_scored_together_and_by_series():
    truth = np.zeros((2, 2, 5), np.float32)
    truth[:, 0] = (1, 0.5, 0.5, 0.25, 0.25)
    found = np.zeros((2, 3, 4), np.float32)
    found[0, 0] = truth[0, 0, 1:]
    outputs = {
        "boxes": found,
        "scores": np.array([[0.9, 0, 0], [0, 0, 0]], np.float32),
        "classes": np.array([[1, 0, 0], [0, 0, 0]], np.int32),
    }
    slices = numbered(2, boxes=truth, subjects=np.array([4, 5]))
    scores = boxes.score(RUN, answering(**outputs), slices)
    assert scores.figures["iou"] == pytest.approx(0.5) and scores.figures["recall"] == 0.5
    assert scores.figures["map50"] == pytest.approx(0.5) == scores.figures["nodule/map50"]
    assert "cord/map50" not in scores.figures
    assert scores.patients["score"].tolist() == [pytest.approx(1), 0]


def test_the_claim_is_answered():
    figures = {f"table7/{row}/accuracy": v for row, v in ((REAL, 0.5), (MIXED, 0.75))}
    (text,) = claim(xray.TABLE, figures, "accuracy", "accuracy")
    assert text.endswith("Here it is 0.750 with them and 0.500 without.")
    found = {"difference": 0.2, "low": -0.1, "high": 0.5, "verdict": VERDICTS.index(UNDECIDED)}
    figures.update({f"table7/finding/{key}": value for key, value in found.items()})
    (text,) = claim(xray.TABLE, figures, "accuracy", "accuracy")
    assert "difference is +0.200 (-0.100 to +0.500): the claim is undecided." in text
    assert claim(xray.TABLE, {}, "accuracy", "accuracy") == []


def test_the_difference_is_paired_by_patient(tmp_path):
    for row, shift in ((REAL, 0.0), (MIXED, 0.1)):
        lines = [
            {"patient": p, "slices": 1, "score": 0.1 * p + shift, "repeat": r}
            for p in range(6)
            for r in range(2)
        ]
        path = tmp_path / "rows" / f"{row}_patients.csv"
        write_text(path, pd.DataFrame(lines).to_csv(index=False))
    run = SimpleNamespace(path=tmp_path, config=SimpleNamespace(seed=0, resamples=200))
    found = difference(run, SimpleNamespace(score_name="accuracy")).iloc[0]
    assert found["difference"] == pytest.approx(0.1) and found["low"] == pytest.approx(0.1)


def test_the_vessel_network_learns_its_weighted_loss():
    config = VesselConfig(width=4, initializer="he_normal", learning_rate=1e-2, output_norm=False)
    system = calm(Vessels(config, vessel=2, total_steps=10))
    rng = np.random.default_rng(0)
    images = rng.random((2, 16, 16, 3)).astype(np.float32)
    label = rng.integers(0, 3, (2, 16, 16, 1)).astype(np.int32)
    batch = {"images": tf.constant(images), "label": tf.constant(label)}
    p = system.synthesize(batch)["probabilities"].numpy()
    y = label == 2
    expected = -np.mean(np.where(y, 5 * np.log(p), np.log(1 - p)))
    losses = [float(system.train_step(batch)["loss/G"]) for _ in range(20)]
    assert losses[0] == pytest.approx(expected, rel=1e-3) and losses[-1] < 0.8 * losses[0]


def test_vessel_networks_have_the_published_size():
    counts = {64: 4_322_563, 16: 271_939, 8: 68_579}
    for width, count in counts.items():
        network = Vessels(VesselConfig(width=width), 2, 1).networks["G_v"]
        assert network.count_params() == count


@pytest.mark.parametrize(
    "table", [vessels.TABLE6_VESSELS, xray.TABLE7_XRAY, boxes.TABLE8_DETECTION]
)
def test_a_batch_is_shared_equally(table):
    request = SimpleNamespace(config=table.presets["tiny"])
    table.check(request, SimpleNamespace(num_replicas_in_sync=2))
    with pytest.raises(UserError, match="--schedule.batch_size is 4 but 3 devices"):
        table.check(request, SimpleNamespace(num_replicas_in_sync=3))


def test_vessels_are_divided_as_the_photographs_that_g_has_seen(tmp_path, monkeypatch):
    """What DRIVE's own split would hold out may be among G's training photographs."""
    drive = [f"drive_training_{number}" for number in (21, 22, 23)]
    cases = [SimpleNamespace(id=name) for name in drive]
    monkeypatch.setattr(vessels, "find_cases", lambda run, source: (cases, {}, []))
    monkeypatch.setattr(vessels, "has_vessels", lambda case: case.id != drive[2])
    monkeypatch.setattr(vessels, "prepare_shards", lambda dataset, cases, *_: len(cases))
    split = Split((drive[0], "fire_S01"), (drive[1], drive[2]))
    data = Source(RETINA, RetinaConfig(), None, tmp_path)
    source = SimpleNamespace(path=tmp_path, data_source=lambda: data, split=split)
    run = SimpleNamespace(source=source, changed=lambda **changes: changes)
    found = vessels.with_vessels(run)
    assert found["split"] == Split((drive[0],), (drive[1],)) and found["prepared"] == 2
    source.split = Split((drive[0],), (drive[2],))
    with pytest.raises(UserError, match="in the part test of .*, found none; if your DRIVE"):
        vessels.with_vessels(run)


def test_a_rim_is_a_share_of_the_side():
    for rim in (-0.1, 5):
        with pytest.raises(UserError, match="--rim"):
            VesselTableConfig(rim=rim)
