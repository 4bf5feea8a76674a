"""The phantom of lung CT: files, Hounsfield units, lung masks, and neighbouring slices."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from data.lung_ct import phantom
from data.lung_ct.anatomy import draw_thorax, scanned, thorax_slice

PATIENTS = 4
SIDE = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return phantom.cached_phantom(tmp_path_factory.mktemp("cache"), PATIENTS, 0)


def test_images_and_masks_have_the_published_names(folder):
    images, masks = (
        sorted(path.name for path in (folder / part).iterdir())
        for part in ("2d_images", "2d_masks")
    )
    assert images == masks and len(images) == PATIENTS
    assert all(re.fullmatch(r"ID_\d{4}_Z_\d{4}\.tif", name) for name in images)


def test_images_are_hounsfield_units_and_masks_0_or_255(folder):
    for path in (folder / "2d_images").iterdir():
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        assert image.dtype == np.int16 and image.shape == (phantom.SIDE, phantom.SIDE)
        np.testing.assert_array_equal(image, cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "2d_masks" / path.name)))
        assert mask.dtype == np.uint8 and np.unique(mask).tolist() == [0, 255]
        assert np.median(image[mask > 0]) == pytest.approx(-860, abs=40)
        assert image.max() > 400  # bone


def test_some_files_are_padded_outside_the_scanners_circle():
    padded = [phantom.phantom_slice(0, index, SIDE)[0][0, 0] == -2000 for index in range(4)]
    assert padded == [False, False, False, True]


@pytest.mark.parametrize("height", [-1.0, 0.0, 1.0])
def test_a_slice_has_two_lungs_within_a_closed_body(height):
    drawn = thorax_slice(draw_thorax(np.random.default_rng(1)), height, SIDE)
    lungs, number = ndimage.label(drawn.lungs)
    sizes = np.sort(np.bincount(lungs.ravel())[1:])[::-1] / SIDE**2
    assert number >= 2 and sizes[1] > 0.03 and sizes[2:].sum() < 0.003
    assert not (drawn.lungs & drawn.mediastinum).any()
    body = ndimage.binary_fill_holes(drawn.hu > -500)
    assert body[drawn.lungs].all()


def test_neighbouring_slices_differ_a_little():
    thorax = draw_thorax(np.random.default_rng(1))
    here, above = (thorax_slice(thorax, height, SIDE).hu for height in (0.1, 0.13))
    far = thorax_slice(thorax, -0.9, SIDE).hu
    near = np.corrcoef(here.ravel(), above.ravel())[0, 1]
    assert 0.95 < near < 1 and np.corrcoef(here.ravel(), far.ravel())[0, 1] < near


def test_the_trachea_divides_halfway():
    thorax = draw_thorax(np.random.default_rng(1))
    for height, airways in ((-0.6, 1), (0.35, 2)):
        drawn = thorax_slice(thorax, height, 256)
        air = (drawn.hu < -700) & ndimage.binary_fill_holes(drawn.mediastinum)
        assert ndimage.label(ndimage.binary_opening(air))[1] == airways


def test_the_scanner_adds_noise_of_its_amount():
    flat = np.zeros((64, 64), np.float32)
    stored = scanned(np.random.default_rng(0), flat)
    assert stored.dtype == np.int16 and stored.std() == pytest.approx(15, rel=0.05)
