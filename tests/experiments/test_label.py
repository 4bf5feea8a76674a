"""Labels drawn in a brain: at random, of donors, changed; their grid, their values, refusals."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from data.manipulation import changed, in_organ, lesion_classes
from data.volumes import read_volume, read_volume_and_grid, write_volume
from experiments import label
from utils.runs.exits import exit_code

SHAPE, SPACING = (20, 60, 50), (2.0, 2.0, 3.0)
TURNED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def run(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["label.py", *map(str, words)])
    return exit_code(label.main, label._after_interrupt)


def inside() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    return ((z - 10) / 9) ** 2 + ((y - 30) / 27) ** 2 + ((x - 25) / 22) ** 2 < 1


def lesion() -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    found[8:13, 20:28, 12:20] = 2
    found[9:12, 22:26, 14:18] = 4
    return found


@pytest.fixture
def files(tmp_path):
    arrays = {
        "scan": np.where(inside(), 500, 0).astype(np.int16),
        "own": lesion(),
        "donors/a": lesion()[:, ::-1].copy(),
        "donors/b": lesion()[:, :, ::-1].copy(),
    }
    for name, array in arrays.items():
        path = tmp_path / f"{name}.nii.gz"
        turned = array[:, ::-1, ::-1]
        write_volume(path, turned, spacing=SPACING, origin=(7.0, -3.0, 11.5), direction=TURNED)
    return tmp_path


def made(folder, number: int = 0) -> np.ndarray:
    return read_volume(folder / f"lesion_{number:03d}.nii.gz").array


def test_random_lesions_lie_in_the_brain_and_on_its_grid(files, monkeypatch):
    words = ("--brain", files / "scan.nii.gz", "--count", 3)
    for folder in "ab":
        assert run(monkeypatch, *words, "--out", files / folder) == 0
    assert run(monkeypatch, *words, "--out", files / "c", "--seed", 1) == 0
    _, grid = read_volume_and_grid(files / "scan.nii.gz")
    for number in range(3):
        found = made(files / "a", number)
        assert found.any() and not found[~inside()].any() and found.max() <= 4
        _, own = read_volume_and_grid(files / "a" / f"lesion_{number:03d}.nii.gz")
        assert str(own) == str(grid)
        np.testing.assert_array_equal(found, made(files / "b", number))
        assert (found != made(files / "c", number)).any()
    assert (made(files / "a", 0) != made(files / "a", 1)).any()


def test_lesions_of_donors_are_changed_ones_of_theirs(files, monkeypatch):
    words = ("--brain", files / "scan.nii.gz", "--donors", files / "donors", "--count", 4)
    assert run(monkeypatch, *words, "--out", files / "out") == 0
    found = [made(files / "out", number) for number in range(4)]
    for one in found:
        assert set(np.unique(one)) <= {0, 2, 4} and (one == 2).any()
        assert not one[~inside()].any()
    assert len({one.tobytes() for one in found}) == 4


def test_a_lesion_is_changed_as_the_words_say(files, monkeypatch):
    words = ("--brain", files / "scan.nii.gz", "--label", files / "own.nii.gz")
    change = f"mirror,combine:{files / 'donors' / 'a.nii.gz'}"
    assert run(monkeypatch, *words, "--manipulate", change, "--out", files / "out") == 0
    donor = in_organ(lesion()[:, ::-1], inside())
    expected = changed(in_organ(lesion(), inside()), change, lambda file: donor)
    np.testing.assert_array_equal(made(files / "out"), lesion_classes(expected))
    assert ((made(files / "out") > 0) & (lesion()[:, ::-1] > 0)).any()


def test_labels_have_the_values_of_their_release(files, monkeypatch):
    own = np.where(lesion() == 4, 3, lesion())
    write_volume(
        files / "own.nii.gz",
        own[:, ::-1, ::-1],
        spacing=SPACING,
        origin=(7.0, -3.0, 11.5),
        direction=TURNED,
    )
    words = ("--brain", files / "scan.nii.gz", "--label", files / "own.nii.gz")
    assert run(monkeypatch, *words, "--label_scheme", "brats2023", "--out", files / "out") == 0
    np.testing.assert_array_equal(made(files / "out"), own * inside())


def test_what_is_refused(files, monkeypatch, capsys):
    write_volume(files / "empty.nii.gz", np.zeros(SHAPE, np.uint8))
    brain = ("--brain", files / "scan.nii.gz", "--out", files / "out")
    for words, message in (
        ((*brain, "--count", 0), "--count is 0"),
        ((*brain, "--label", "a", "--donors", "b"), "exclude each other"),
        ((*brain, "--label", "a", "--count", 2), "gives one lesion"),
        ((*brain, "--manipulate", "mirror"), "which is missing"),
        ((*brain, "--donors", files / "none"), "must be a label or a folder of them"),
        ((*brain, "--label", files / "empty.nii.gz"), "must share one grid"),
        ((*brain, "--label_scheme", "brats1999"), "Unknown --label_scheme"),
        (("--brain", files / "empty.nii.gz", "--out", files / "out"), "is empty; give a mask"),
    ):
        assert run(monkeypatch, *words) == 2, words
        assert message in capsys.readouterr().err
    assert not (files / "out").exists()
    assert run(monkeypatch, *brain) == 0
    before = (files / "out" / "lesion_000.nii.gz").read_bytes()
    assert run(monkeypatch, *brain, "--seed", 5) == 2
    assert "exists; add --overwrite" in capsys.readouterr().err
    assert (files / "out" / "lesion_000.nii.gz").read_bytes() == before
    assert run(monkeypatch, *brain, "--seed", 5, "--overwrite") == 0
    assert (files / "out" / "lesion_000.nii.gz").read_bytes() != before
