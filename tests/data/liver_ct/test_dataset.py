"""Abdominal CT as volumes: which files, which voxels, which numbers, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.cropping import DARKEST
from data.liver_ct.dataset import LIVER_VOLUMES, LiverConfig, body_mask
from data.volumes import write_volume
from utils.errors import UserError

SHAPE = (12, 24, 20)
SPACING = (2.0, 3.0, 4.0)  # depth, height, width
CONFIG = LiverConfig(SPACING, crop=(16.0, 48.0, 64.0))  # 8 x 16 x 16 voxels


def small_scan() -> tuple[np.ndarray, np.ndarray]:
    """A block of 40 HU in air with gas, a thin table behind it; a liver of 100, a lesion of 40."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 4:20, 3:17] = 40
    hu[:, 7:10, 7:10] = -900  # gas
    hu[:, 22] = 0  # 3 mm thick
    label = np.zeros(SHAPE, np.uint8)
    label[3:9, 10:16, 6:12] = 1
    label[5:7, 12:14, 8:10] = 2
    hu[label == 1] = 100
    return hu, label


def write_scan(volume: Path, segmentation: Path, hu=None, label=None, **options):
    arrays = small_scan()
    for path, given, own in ((volume, hu, arrays[0]), (segmentation, label, arrays[1])):
        array = own if given is None else given
        write_volume(path, array, SPACING[::-1], (5.0, 6.0, 7.0), **options)


def only_case(folder: Path):
    (case,) = LIVER_VOLUMES.find(folder, CONFIG)
    return case


def test_a_case_becomes_a_window_of_hounsfield_units_around_the_liver(tmp_path):
    write_scan(tmp_path / "volume-7.nii", tmp_path / "segmentation-7.nii")
    case = only_case(tmp_path)
    found = LIVER_VOLUMES.prepare(case, CONFIG)
    assert case.id == "volume-7" and LIVER_VOLUMES.size(CONFIG) == (8, 16, 16)
    assert found.images.shape == (1, 8, 16, 16, 1) and found.label.shape == (1, 8, 16, 16)
    # The liver's middle is (6, 13, 9): the crop begins at voxel (2, 5, 1), x at 5 + 1 * 4 mm.
    assert found.place.origin == (9.0, 21.0, 11.0)
    part = (slice(2, 10), slice(5, 21), slice(1, 17))
    hu, label = small_scan()
    body = np.zeros(SHAPE, bool)
    body[:, 4:20, 3:17] = True
    expected = np.where(body, np.maximum((np.clip(hu, -160, 240) + 160) / 400, DARKEST), 0)
    np.testing.assert_allclose(found.images[0, ..., 0], expected[part], atol=1e-6)
    classes = np.where(label > 0, label + 1, body)  # 0 outside, 1 body, 2 liver, 3 lesion
    np.testing.assert_array_equal(found.label[0], classes[part])
    assert found.images[0, 3, 2, 7, 0] == np.float32(DARKEST)  # gas is inside of the body


def test_larger_voxels_keep_liver_and_lesion(tmp_path):
    write_scan(tmp_path / "volume-0.nii.gz", tmp_path / "segmentation-0.nii.gz")
    config = LiverConfig((4.0, 6.0, 8.0), (16.0, 48.0, 64.0))
    found = LIVER_VOLUMES.prepare(only_case(tmp_path), config)
    assert found.images.shape == (1, 8, 8, 8, 1)
    assert (found.label == 2).sum() + (found.label == 3).sum() == 6**3 / 8
    assert (found.label == 3).any() and (found.images[found.label[..., None] > 0] > 0).all()


def test_the_body_has_its_gas_and_no_table():
    hu, _ = small_scan()
    body = body_mask(hu, SPACING)
    assert body[:, 4:20, 3:17].all() and body.sum() == 12 * 16 * 14
    assert not body_mask(np.full(SHAPE, -1000), SPACING).any()


@pytest.mark.parametrize(
    "volume, segmentation, name",
    [
        ("Training Batch 1/volume-12.nii", "Training Batch 1/segmentation-12.nii", "volume-12"),
        ("imagesTr/liver_3.nii.gz", "labelsTr/liver_3.nii.gz", "liver_3"),
        ("imagesTr/case_1_0000.nii.gz", "labelsTr/case_1.nii.gz", "case_1"),
        ("imagesTr/a_0000.nii.gz", "labelsTr/a_0000.nii.gz", "a_0000"),
    ],
)
def test_files_of_lits_decathlon_and_nnunet_are_found(tmp_path, volume, segmentation, name):
    write_scan(tmp_path / volume, tmp_path / segmentation)
    (tmp_path / "imagesTr").mkdir(exist_ok=True)
    (tmp_path / "imagesTr" / "._hidden.nii.gz").write_bytes(b"x")
    case = only_case(tmp_path)
    assert case.id == name and not case.problems()
    assert case.paths == (tmp_path / volume, tmp_path / segmentation)


def test_what_is_wrong_with_the_files_is_told(tmp_path):
    with pytest.raises(UserError, match="must hold scans such as volume-0.nii"):
        LIVER_VOLUMES.find(tmp_path, CONFIG)
    write_scan(tmp_path / "volume-0.nii", tmp_path / "segmentation-0.nii")
    write_scan(tmp_path / "b" / "volume-0.nii", tmp_path / "b" / "segmentation-1.nii")
    first, second = LIVER_VOLUMES.find(tmp_path, CONFIG)
    verdicts = LIVER_VOLUMES.verify([first, second], CONFIG, tmp_path, progress=False)
    assert "two files of its volume" in verdicts[0].problems[0]
    assert "segmentation-1.nii but no volume; add it" in verdicts[1].problems[0]
    assert verdicts[1].files == (tmp_path / "b" / "segmentation-1.nii",)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"label": small_scan()[1] * 3}, "segmentation-0.nii must be 0, 1 in the liver"),
        ({"label": small_scan()[1] * 0}, "must have the value 1 in the liver"),
        ({"label": small_scan()[1][1:]}, "must share one grid"),
        ({"hu": small_scan()[0] + 1024}, "volume-0.nii must hold Hounsfield units"),
    ],
)
def test_what_is_wrong_with_a_scan_is_told(tmp_path, change, words):
    write_scan(tmp_path / "volume-0.nii", tmp_path / "segmentation-0.nii", **change)
    (verdict,) = LIVER_VOLUMES.verify([only_case(tmp_path)], CONFIG, tmp_path, progress=False)
    assert len(verdict.problems) == 1 and words in verdict.problems[0]


def test_a_damaged_file_and_a_liver_without_lesion(tmp_path):
    label = np.minimum(small_scan()[1], 1)
    write_scan(tmp_path / "volume-0.nii", tmp_path / "segmentation-0.nii", label=label)
    case = only_case(tmp_path)
    (verdict,) = LIVER_VOLUMES.verify([case], CONFIG, tmp_path, progress=False)
    assert not verdict.problems and verdict.lesions == 0
    path = tmp_path / "volume-0.nii"
    path.write_bytes(path.read_bytes()[:2000])
    (verdict,) = LIVER_VOLUMES.verify([case], CONFIG, tmp_path, progress=False)
    assert str(path) in verdict.problems[0] and verdict.lesions is None


def test_a_window_ascends():
    with pytest.raises(UserError, match="--slicing.window"):
        LiverConfig(window=(100.0, 100.0))


def test_the_phantom_passes(tmp_path):
    folder = LIVER_VOLUMES.phantoms["abdomen"].make(tmp_path, 1, 0)
    config = LiverConfig((6.0, 6.0, 6.0))
    cases = LIVER_VOLUMES.find(folder, config)
    (verdict,) = LIVER_VOLUMES.verify(cases, config, tmp_path, progress=False)
    assert not verdict.problems and verdict.lesions == 1
    found = LIVER_VOLUMES.prepare(cases[0], config)
    means = [float(found.images[found.label == k].mean()) for k in range(4)]
    assert means[0] == 0 and means[3] < means[2] and 0.55 < means[2] < 0.75
