"""Sets of changed labels: where the labels come from, and that a stopped build ends the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.pipeline import slice_subjects
from data.slice_sets import Slices, real_slices, stored_slices
from data.synthetic_sets.changed import (
    ChangedConfig,
    LabelChanger,
    as_slices,
    build_changed_set,
    training_labels,
)
from data.synthetic_sets.export import chosen_samples
from data.synthetic_sets.files import array_path, read_rows
from tests.data.synthetic_sets.test_files import files
from tests.data.trees import prepare, write_tree
from utils.errors import UserError
from utils.runs.files import read_json

CONFIG = ChangedConfig(samples=7, min_score=1.0)


def slices() -> Slices:
    """Three slices of two patients, two of them at one height; the first has no lesion."""
    label = np.zeros((3, 20, 20), np.uint8)
    label[:, 2:18, 2:18] = 1
    label[0, 2, 2:5] = 0
    label[1, 5:9, 5:9], label[2, 10:13, 9:14] = 2, 3
    return Slices(
        np.zeros((3, 20, 20, 0)), label, subjects=np.array([0, 1, 1]), index=np.array([4, 4, 6])
    )


def render(made: Slices) -> np.ndarray:
    """Two sequences that show label and height."""
    height = np.broadcast_to(made.index[:, None, None], made.label.shape)
    return np.stack([made.label / 4, height / 4], axis=-1)


def build(folder, config=CONFIG, render=render, size=3) -> dict:
    def score(images, label):
        return (label >= 2).sum(axis=(1, 2)) / 20

    changer, notes = LabelChanger(slices(), 2), {"training data": "phantom"}
    return build_changed_set(
        folder, changer, render, score, config, size, 5, notes, lambda content: "a datasheet\n"
    )


def test_a_changed_label_keeps_its_brain_and_height_and_tells_its_donor():
    found, source = LabelChanger(slices(), 2), slices()
    heights, donors, tries = set(), set(), 0
    for number in range(40):
        drawn, again = (found.draw(np.random.default_rng(number)) for _ in range(2))
        np.testing.assert_array_equal(drawn.label, again.label)
        np.testing.assert_array_equal(drawn.label == 0, source.label[drawn.source] == 0)
        assert drawn.label.dtype == np.uint8 and (drawn.label >= 2).any()
        assert drawn.height == source.index[drawn.source]
        donors.add((drawn.source, drawn.donor))
        heights.add(drawn.height)
        tries += drawn.tries
    assert heights == {4, 6}
    # The first slice is healthy and has a donor; the two others have no lesion of others near.
    assert donors == {(0, 1), (1, -1), (2, -1)} and tries == 0


def test_a_slice_into_which_no_lesion_fits_is_drawn_again():
    alone = replace(slices(), subjects=np.zeros(3, int))
    drawn = [LabelChanger(alone, 2).draw(np.random.default_rng(n)) for n in range(20)]
    assert {one.source for one in drawn} == {1, 2} and max(one.tries for one in drawn) > 0


def test_training_labels_are_those_of_the_slices(tmp_path):
    prepared = prepare(write_tree(tmp_path / "tree", "nested2015", 3), tmp_path / "cache")
    chosen = prepared.subject_ids[1:]
    found, real = training_labels(prepared, chosen), real_slices(prepared, chosen)
    for name in ("label", "subjects", "index"):
        np.testing.assert_array_equal(getattr(found, name), getattr(real, name))
    assert found.images.shape == (*found.label.shape, 0)
    names = [prepared.subject_ids[subject] for subject in found.subjects]
    assert slice_subjects(prepared, chosen) == names


def test_a_set_holds_what_was_drawn(tmp_path):
    counts = build(tmp_path)
    rows, found = read_rows(tmp_path), stored_slices(tmp_path)
    assert found.structure is None and found.images.shape == (7, 20, 20, 2)
    expected = [LabelChanger(slices(), 2).draw(np.random.default_rng((5, n))) for n in range(7)]
    np.testing.assert_array_equal(found.label, as_slices(expected).label)
    np.testing.assert_array_equal(found.images, np.clip(render(as_slices(expected)), 0, 1))
    assert rows["label_source"].tolist() == [one.source for one in expected]
    assert rows["donor_source"].tolist() == [one.donor for one in expected]
    assert rows["slice"].tolist() == [one.height for one in expected]
    assert rows["seed"].tolist() == [f"[5, {n}]" for n in range(7)]
    selected = [(one.label >= 2).sum() >= 20 for one in expected]
    assert rows["selected"].tolist() == selected and 0 < sum(selected) < 7
    assert counts == {"score below threshold": 7 - sum(selected)}
    assert len(chosen_samples(tmp_path, selected=True)) == sum(selected)
    manifest = read_json(tmp_path / "manifest.json")
    assert "accepted_after_retries" not in manifest and manifest["samples"] == 7
    assert (tmp_path / "datasheet.md").read_text() == "a datasheet\n"


def test_a_stopped_build_goes_on_and_ends_the_same(tmp_path):
    build(tmp_path / "whole")
    calls = []

    def stopping(made: Slices) -> np.ndarray:
        calls.append(len(made))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return render(made)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "other", render=stopping)
    assert not (tmp_path / "other" / "manifest.json").exists()
    assert len(list((tmp_path / "other" / "samples").glob("*.npz"))) == 3
    array_path(tmp_path / "other", 1).unlink()
    build(tmp_path / "other", render=stopping)
    assert calls == [3, 3, 3, 2]  # samples 0 and 2 are kept
    assert files(tmp_path / "other") == files(tmp_path / "whole")


def test_a_larger_set_begins_with_a_smaller(tmp_path):
    build(tmp_path / "small")
    build(tmp_path / "large", replace(CONFIG, samples=9), size=4)
    small, large = (files(tmp_path / name) for name in ("small", "large"))
    assert all(large[name] == data for name, data in small.items() if name.startswith("samples/"))


@pytest.mark.parametrize("change", [{"samples": 0}, {"min_score": -0.1}])
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(UserError, match=f"--dataset.{next(iter(change))} is"):
        replace(CONFIG, **change)
