"""Kaggle's lung CT: slices, windows, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from data.lung_ct.dataset import FILE_MINMAX, LUNG_CT, CtConfig, scaled
from utils.errors import UserError

CONFIG = CtConfig(size=16)
HU = np.linspace(-2000, 1200, 16 * 16).reshape(16, 16).astype(np.int16)


def write(root: Path, *names: str, array: np.ndarray = HU) -> Path:
    for name in names:
        path = root / "2d_images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return root


def test_slices_of_one_patient_are_a_case(tmp_path):
    names = ("ID_0000_Z_0142.tif", "ID_0001_Z_0146.tif", "ID_0001_Z_0012.tif")
    cases = LUNG_CT.find(write(tmp_path, *names), CONFIG)
    assert [(case.id, len(case.paths)) for case in cases] == [("ID_0000", 1), ("ID_0001", 2)]
    found = LUNG_CT.prepare(cases[1], CONFIG)
    assert found.images.shape == (2, 16, 16, 1) and found.label is None


def test_windows(tmp_path):
    values = np.float32([-2000, -1000, -300, 400, 1200])
    np.testing.assert_allclose(scaled(values, CONFIG), [0, 0, 0.5, 1, 1])
    whole = CtConfig(size=16, scaling=FILE_MINMAX)
    np.testing.assert_allclose(scaled(values, whole), [0, 0.3125, 0.53125, 0.75, 1])
    with pytest.raises(UserError, match="--slicing.window"):
        CtConfig(window=(400, 400))
    with pytest.raises(UserError, match="--slicing.window"):
        CtConfig(window=(400.0, -1000.0))


def test_what_is_wrong_is_told(tmp_path):
    with pytest.raises(UserError, match="must hold the folder 2d_images with slices such as"):
        LUNG_CT.find(tmp_path, CONFIG)
    with pytest.raises(UserError, match="scan.tif must be such as ID_0000_Z_0142.tif"):
        LUNG_CT.find(write(tmp_path / "name", "scan.tif"), CONFIG)
    root = write(tmp_path / "data", "ID_0000_Z_0001.tif", array=np.full((16, 16), 3000, np.int16))
    colour = np.zeros((16, 16, 3), np.uint8)
    colour[3] = 9
    Image.fromarray(colour).save(root / "2d_images" / "ID_0001_Z_0001.png")
    cases = LUNG_CT.find(root, CONFIG)
    first, second = LUNG_CT.verify(cases, CONFIG, tmp_path, progress=False)
    assert "must hold Hounsfield units, found 3000 to 3000 without air" in first.problems[0]
    assert "ID_0001_Z_0001.png must be grey, found colours" in second.problems[0]


def test_the_phantom_is_read_by_the_same_reader(tmp_path):
    root = LUNG_CT.phantoms["lung"].make(tmp_path, 4, 0)
    cases = LUNG_CT.find(root, CONFIG)
    verdicts = LUNG_CT.verify(cases, CONFIG, tmp_path, progress=False)
    assert len(cases) == 4 and not any(verdict.problems for verdict in verdicts)


def test_eight_bits_are_no_hounsfield_units(tmp_path):
    root = write(
        tmp_path, "ID_0000_Z_0001.tif", array=np.arange(256, dtype=np.uint8).reshape(16, 16)
    )
    (case,) = LUNG_CT.find(root, CONFIG)
    with pytest.raises(UserError, match="must hold Hounsfield units, found 8 bits"):
        LUNG_CT.prepare(case, CONFIG)
    assert LUNG_CT.prepare(case, replace(CONFIG, scaling="file_minmax")).images.max() == 1
    (case,) = LUNG_CT.find(write(tmp_path / "b", "ID_0000_Z_0001.tif", array=HU + 2024), CONFIG)
    with pytest.raises(UserError, match="found 24 to 3224 without air .*1024 added"):
        LUNG_CT.prepare(case, CONFIG)
