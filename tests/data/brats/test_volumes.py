"""BRATS cases as volumes: crop, voxels, intensities, label; what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.brats.volumes import BRATS_VOLUMES, VolumeConfig
from data.cropping import DARKEST
from tests.data.trees import case_files, tiny_case, write_case
from utils.errors import UserError

SHAPE = (12, 20, 14)
BRAIN = (slice(3, 9), slice(4, 16), slice(2, 12))
CONFIG = VolumeConfig(crop=(8, 16, 16))


def brain_case(seed: int = 0):
    """A case whose brain fills `BRAIN`, on zeros, with a tumour of three classes inside."""
    case, inside = tiny_case(seed, SHAPE), np.zeros(SHAPE, bool)
    inside[BRAIN] = True
    images = {
        k: np.where(inside, 100 + v % 200, 0).astype(np.int16) for k, v in case.images.items()
    }
    label = np.zeros(SHAPE, np.uint8)
    label[5, 6:9, 5:8] = np.array([1, 2, 4], np.uint8)
    return replace(case, images=images, label=label)


def found_in(root, case, config=CONFIG, layout="brats2020"):
    write_case(case_files(root, layout), case)
    cases = BRATS_VOLUMES.find(root, config)
    settled = BRATS_VOLUMES.settle(cases, config)
    return BRATS_VOLUMES.prepare(cases[0], settled), cases, settled


def test_the_crop_lies_around_the_brain(tmp_path):
    case = brain_case()
    found, *_ = found_in(tmp_path, case)
    assert found.images.shape == (1, 8, 16, 16, 4) and found.label.shape == (1, 8, 16, 16)
    brain = found.images[0] > 0
    # Its middle is the crop's: 6 of 8, 12 of 16 and 10 of 16 voxels.
    expected = np.zeros((8, 16, 16), bool)
    expected[1:7, 2:14, 3:13] = True
    assert (brain == expected[..., None]).all()
    np.testing.assert_array_equal(found.label[0][expected], case.label[BRAIN].ravel())
    assert found.label[0][~expected].max() == 0 and found.index.tolist() == [0]


def test_intensities_are_z_scores_of_the_brain(tmp_path):
    case = brain_case()
    case.images["T2"][BRAIN][0, 0, 0] = 30000  # far beyond five deviations
    found, *_ = found_in(tmp_path, case)
    for k, name in enumerate(case.images):
        brain = case.images[name][BRAIN].astype(float).ravel()
        scores = np.clip((brain - brain.mean()) / brain.std(), -5, 5)
        image = found.images[0, ..., k]
        np.testing.assert_allclose(
            image[image > 0], np.maximum((scores / 5 + 1) / 2, DARKEST), atol=1e-5
        )
    assert found.images.max() == 1


def test_the_thesis_non_enhancing_core_is_the_core_and_leaves_room_for_the_brain(tmp_path):
    case = brain_case()
    case.label[5, 10, 5] = 3
    found, *_ = found_in(tmp_path, case, layout="nested2015")
    values, counts = np.unique(found.label, return_counts=True)
    assert values.tolist() == [0, 1, 2, 4] and counts.tolist()[1:] == [4, 3, 3]


def test_larger_voxels_keep_brain_and_lesion(tmp_path):
    config = replace(CONFIG, spacing=(2.0, 2.0, 2.0), crop=(16, 16, 16))
    found, *_ = found_in(tmp_path, brain_case(), config)
    assert found.images.shape == (1, 8, 8, 8, 4)
    inside = found.images[0, ..., 0] > 0
    assert 8 * inside.sum() == pytest.approx(6 * 12 * 10, rel=0.3)
    lesion = found.label[0] > 0
    assert lesion.any() and inside[lesion].all()


def test_what_is_wrong_is_told(tmp_path):
    case = brain_case()
    case.images["T1c"][:] = 7
    write_case(case_files(tmp_path, "brats2020"), case)
    cases = BRATS_VOLUMES.find(tmp_path, CONFIG)
    settled = BRATS_VOLUMES.settle(cases, CONFIG)
    (verdict,) = BRATS_VOLUMES.verify(cases, settled, tmp_path, progress=False)
    assert (
        "t1ce.nii.gz must show a brain on a constant background, found none" in verdict.problems[0]
    )
    for options in ({"spacing": (1, 0, 1)}, {"crop": (-1, 8, 8)}):
        with pytest.raises(UserError, match=f"--slicing.{next(iter(options))}"):
            VolumeConfig(**options)


def test_a_damaged_volume_is_named(tmp_path):
    _, cases, settled = found_in(tmp_path, brain_case())
    path = cases[0].subject().images["T2"]
    content = path.read_bytes()
    for spoiled in (content[: len(content) // 2], b"", b"no volume" * 50):
        path.write_bytes(spoiled)
        with pytest.raises(UserError, match=str(path)):
            BRATS_VOLUMES.prepare(cases[0], settled)
