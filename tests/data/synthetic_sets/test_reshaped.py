"""New labels of volumes: what changes, what stays, and the set that is built of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.brats.volumes import BRAIN, BRATS_VOLUMES, CLASSES
from data.contract import Place
from data.liver_ct.dataset import LIVER_VOLUMES
from data.manipulation import changed
from data.slice_sets import Slices
from data.synthetic_sets.changed import build_changed_set
from data.synthetic_sets.export import place_of
from data.synthetic_sets.files import WHOLE, Shard, array_path, read_rows, read_sample
from data.synthetic_sets.reshaped import ReshapedConfig, VolumeChanger, reshaped
from tests.data.synthetic_sets.test_files import files
from utils.errors import UserError

ORGAN_FIRST = BRATS_VOLUMES.organ_first
CONFIG = ReshapedConfig(samples=5)
SPACING = (4.0, 4.0, 4.0)
TURNED = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
PLACES = [Place((10.5 * k, -20.25, 0.1), TURNED) for k in range(3)]
STILL = replace(CONFIG, flip=0.0, deformation=0.0, rotation=0.0, scale=(1.0, 1.0))


def patient(number: int) -> np.ndarray:
    """A round brain, class 3, with a tumour of the classes 2, 1 and 4 at a place of its own."""
    places = np.indices((16, 24, 16)) - np.reshape([8, 12, 8], (3, 1, 1, 1))
    brain = (places / np.reshape([7, 11, 7], (3, 1, 1, 1))) ** 2
    inside = brain.sum(axis=0) < 1
    centre = np.reshape([0, number * 3 - 3, 2], (3, 1, 1, 1))
    distance = np.sqrt(((places - centre) ** 2).sum(axis=0))
    lesion = np.choose(np.digitize(distance, [1.2, 2.2, 3.6]), [4, 1, 2, 0])
    return np.where(inside, np.where(lesion, lesion, BRAIN), 0).astype(np.uint8)


def changer(config=CONFIG, patients=(0, 2)) -> VolumeChanger:
    return VolumeChanger(patient, patients, PLACES, ORGAN_FIRST, SPACING, config)


def build(folder, config=CONFIG, render=None, shard=WHOLE):
    def shown(made: Slices) -> np.ndarray:
        return np.stack([made.label / 4, made.label == 0], axis=-1)

    return build_changed_set(
        folder,
        changer(config),
        render or shown,
        None,
        config,
        1,
        5,
        {"training data": "phantom"},
        lambda content: "a datasheet\n",
        shard,
    )


def test_the_organ_comes_first_as_the_changes_need_it():
    names = ["background", "brain", "core", "oedema", "enhancing"]
    assert [CLASSES[k] for k in ORGAN_FIRST] == names
    classes = [LIVER_VOLUMES.classes[k] for k in LIVER_VOLUMES.organ_first]
    assert classes == ["background", "liver", "lesion"]


def test_what_is_around_the_organ_stays():
    label = np.ones((8, 8, 8), np.uint8)
    label[0] = 0
    label[2:7, 2:7, 2:7], label[3:5, 3:5, 3:5] = 2, 3
    order, config = LIVER_VOLUMES.organ_first, replace(CONFIG, deformation=1.0)
    drawn = VolumeChanger(lambda _: label, [0], PLACES, order, SPACING, config).draw(
        np.random.default_rng(0)
    )
    for number in (0, 1):
        np.testing.assert_array_equal(drawn.label == number, label == number)
    assert np.any(drawn.label == 3) and np.any((drawn.label == 3) != (label == 3))


def test_a_new_label_keeps_the_brain_and_its_classes():
    seen = set()
    for number in range(30):
        drawn, again = (changer().draw(np.random.default_rng(number)) for _ in range(2))
        np.testing.assert_array_equal(drawn.label, again.label)
        source = patient(drawn.source)
        np.testing.assert_array_equal(drawn.label == 0, source == 0)
        assert drawn.label.dtype == np.uint8 and (drawn.label == BRAIN).any()
        assert np.isin(drawn.label, (1, 2, 4)).any() and drawn.donor == -1 and drawn.height == 0
        seen.add(drawn.source)
    assert seen == {0, 2}


def test_without_changes_the_label_is_the_patients():
    drawn = changer(STILL).draw(np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.label, patient(drawn.source))
    assert drawn.changes == "turn:0.00:0.00:0.00,shrink:1.00"


def test_each_amount_does_what_it_says():
    label = np.argsort(ORGAN_FIRST)[patient(1)]
    flipped = reshaped(label, replace(STILL, flip=1.0), SPACING, np.random.default_rng(0))
    np.testing.assert_array_equal(flipped.label, changed(label, "mirror"))
    # Half of the length is an eighth of the volume.
    small = reshaped(label, replace(STILL, scale=(0.5, 0.5)), SPACING, np.random.default_rng(0))
    assert (small.label > 1).sum() == round((label > 1).sum() / 8)
    assert small.words.endswith("shrink:0.12")
    words = reshaped(label, CONFIG, SPACING, np.random.default_rng(3)).words.split(",")
    size, sigma = map(float, words[-3].split(":")[1:])
    assert 0 <= size <= 6 and 8 <= sigma <= 12
    assert all(abs(float(angle)) <= 20 for angle in words[-2].split(":")[1:])


def test_a_set_holds_volumes_and_shards_make_the_same(tmp_path):
    counts = build(tmp_path / "whole")
    rows, sample = read_rows(tmp_path / "whole"), read_sample(array_path(tmp_path / "whole", 3))
    drawn = changer().draw(np.random.default_rng((5, 3)))
    np.testing.assert_array_equal(sample["label"], drawn.label)
    np.testing.assert_array_equal(sample["images"][..., 0], drawn.label / np.float32(4))
    assert rows["label_source"][3] == drawn.source and rows["changes"][3] == drawn.changes
    assert rows["selected"].all() and rows["score"].isna().all()
    assert place_of(rows.to_dict("records")[3]) == PLACES[drawn.source]
    assert counts == {"score below threshold": 0}
    assert build(tmp_path / "shards", shard=Shard(1, 2)) is None
    assert len(list((tmp_path / "shards" / "samples").glob("*.npz"))) == 2
    build(tmp_path / "shards", shard=Shard(0, 2))
    assert files(tmp_path / "shards") == files(tmp_path / "whole")


def test_a_stopped_build_of_volumes_goes_on_and_ends_the_same(tmp_path):
    build(tmp_path / "whole")
    calls = []

    def stopping(made: Slices) -> np.ndarray:
        calls.append(made.label.shape)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.stack([made.label / 4, made.label == 0], axis=-1)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "other", render=stopping)
    build(tmp_path / "other", render=stopping)
    assert calls == [(1, 16, 24, 16)] * 6  # one volume at a time, two of five are kept
    assert files(tmp_path / "other") == files(tmp_path / "whole")


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"samples": 0}, "1 or more"),
        ({"flip": 1.5}, "0 to 1"),
        ({"deformation": -1.0}, "0 or more"),
        ({"smoothness": (0.0, 3.0)}, "two numbers above 0 in ascending order"),
        ({"rotation": 200.0}, "0 to 180"),
        ({"scale": (1.3, 0.7)}, "two numbers above 0 in ascending order"),
    ],
)
def test_amounts_that_make_no_sense_are_refused(change, expected):
    with pytest.raises(UserError, match=f"--dataset.{next(iter(change))} is .*; give {expected}"):
        replace(CONFIG, **change)


def test_without_a_lesion_there_are_no_new_labels():
    with pytest.raises(UserError, match="No training patient has a lesion, .*; check the data"):
        changer(patients=())


def test_a_damaged_volume_is_told(tmp_path):
    build(tmp_path)
    path = array_path(tmp_path, 0)
    arrays = read_sample(path)
    np.savez(path, images=arrays["images"], label=arrays["label"][:-1])
    with pytest.raises(UserError, match="label is missing or of another size or type"):
        read_sample(path)


def test_changes_that_never_leave_a_lesion_end(monkeypatch):
    monkeypatch.setattr("data.synthetic_sets.reshaped.MOST_TRIES", 20)
    label = np.zeros((8, 8, 8), np.uint8)
    label[2:6, 2:4], label[2:6, 4:6, :4] = BRAIN, BRAIN  # mirrored, the lesion leaves it
    label[3:5, 4:6, :2] = 1
    config = replace(CONFIG, flip=1.0, deformation=0.0, rotation=0.0, scale=(1.0, 1.0))
    always = VolumeChanger(lambda _: label, [0], PLACES, ORGAN_FIRST, SPACING, config)
    with pytest.raises(UserError, match="No changed lesion lay in its organ .*smaller changes"):
        always.draw(np.random.default_rng(0))
