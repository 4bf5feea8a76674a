"""The phantom of Tianchi's chest CT: series, annotation, and lesions inside their boxes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import ndimage

from data.lung_ct.anatomy import NOISE, draw_thorax, thorax_slice
from data.tianchi_ct import phantom
from data.tianchi_ct.lesions import ARTERY, CORD, DRAW, NODE, NODULE, Geometry, Lesion, insert

SERIES = 4
IN_LUNG = (NODULE, CORD)
SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return phantom.cached_phantom(tmp_path_factory.mktemp("cache"), SERIES, 0)


@pytest.fixture(scope="module")
def annotation(folder):
    return pd.read_csv(folder / "chestCT_round1_annotation.csv")


def test_series_are_volumes_with_an_origin_and_a_spacing_of_their_own(folder):
    paths = sorted((folder / "chestCT_round1" / "train_part1").glob("*.mhd"))
    images = [sitk.ReadImage(str(path)) for path in paths]
    assert len(images) == SERIES and all(path.with_suffix(".raw").is_file() for path in paths)
    for image in images:
        assert image.GetPixelID() == sitk.sitkInt16 and 8 <= image.GetDepth() <= 12
        assert all(abs(value) > 1 for value in image.GetOrigin())
    assert len({image.GetSpacing() for image in images}) == SERIES


def test_the_annotation_has_the_published_columns_and_a_lesion_of_each_series(annotation):
    assert list(annotation) == [
        "seriesuid", "coordX", "coordY", "coordZ",
        "diameterX", "diameterY", "diameterZ", "label",
    ]  # fmt: skip
    counts = annotation.groupby("seriesuid").size()
    assert len(counts) == SERIES and counts.between(1, 3).all()
    assert set(annotation["label"]) <= {NODULE, CORD, ARTERY, NODE}


def test_boxes_lie_on_lesions(folder, annotation):
    for row in annotation.itertuples():
        path = folder / "chestCT_round1" / "train_part1" / f"{row.seriesuid}.mhd"
        image = sitk.ReadImage(str(path))
        centre = np.array([row.coordX, row.coordY, row.coordZ]) - image.GetOrigin()
        extent = np.array([row.diameterX, row.diameterY, row.diameterZ]) / image.GetSpacing()
        middle = centre / image.GetSpacing()
        low, high = (np.rint(middle + sign * (extent - 1) / 2).astype(int) for sign in (-1, 1))
        np.testing.assert_allclose(high - low + 1, extent, atol=1e-3)
        volume = sitk.GetArrayFromImage(image)[low[2] : high[2] + 1]
        inside = np.zeros(volume.shape[1:], bool)
        inside[low[1] : high[1] + 1, low[0] : high[0] + 1] = True
        around = ndimage.binary_dilation(inside, iterations=3) & ~inside
        # Beside a lesion of the lung is lung, perhaps with a vessel or the wall.
        level = np.percentile(volume[:, around], 40)
        assert volume[:, inside].mean() > level + 2 * NOISE, row


@pytest.fixture(scope="module")
def thorax():
    return draw_thorax(np.random.default_rng(0))


@pytest.fixture(scope="module")
def slices(thorax):
    return [thorax_slice(thorax, -0.3 + 0.03 * z, 128) for z in range(6)]


@pytest.mark.parametrize("code", DRAW)
def test_every_kind_of_lesion_is_seen_where_it_can_grow(code, thorax, slices):
    tissue = "lungs" if code in IN_LUNG else "mediastinum"
    bare, where = (np.stack([getattr(s, name) for s in slices]) for name in ("hu", tissue))
    geometry, found = Geometry(128, 2.8, 2.5), 0
    for seed in range(6):
        lesion = DRAW[code](np.random.default_rng(seed), thorax, slices, geometry, 3)
        if lesion is None or not lesion.voxels.any():
            continue
        found += 1
        volume = bare.copy()
        insert(volume, lesion)
        voxels = lesion.voxels
        assert (volume - bare)[voxels].mean() > 2 * NOISE
        assert where[voxels].mean() > 0.7
        np.testing.assert_array_equal(volume[lesion.cover == 0], bare[lesion.cover == 0])
    assert found >= 3


def test_ground_glass_does_not_hide_vessels():
    volume = np.array([[[-860.0, 20.0]]])
    insert(volume, Lesion(NODULE, -500.0, np.ones((1, 1, 2), np.float32)))
    np.testing.assert_array_equal(volume, [[[-500, 20]]])


def test_lesions_of_a_series_do_not_overlap():
    for index in range(4):
        lesions = phantom.phantom_series(1, index, SIDE).lesions
        assert sum(lesion.voxels.any(0).astype(int) for lesion in lesions).max() == 1


def test_z_grows_towards_the_head(monkeypatch):
    heights = []
    monkeypatch.setattr(phantom, "draw_lesions", lambda *_: [])

    def recorded(thorax, height, side):
        heights.append(height)
        return thorax_slice(thorax, height, side)

    monkeypatch.setattr(phantom, "thorax_slice", recorded)
    phantom.phantom_series(0, 0, 16)
    # Heights of a thorax count downwards.
    np.testing.assert_allclose(np.diff(heights), -phantom.STEP)
