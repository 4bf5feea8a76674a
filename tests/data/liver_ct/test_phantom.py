"""The phantom of abdominal CT: files, lesions that are seen, and voxels of any size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from data.liver_ct import phantom
from data.liver_ct.anatomy import draw_abdomen
from data.liver_ct.lesions import LESION, draw_lesions
from data.liver_ct.phantom import cached_phantom, phantom_patient
from data.volumes import read_volume
from utils.runs.files import read_json

COARSE = (4.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def patients():
    return [phantom_patient(0, index, COARSE) for index in range(4)]


def test_files_are_named_as_those_of_lits_and_marked_as_phantom(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom, "SPACING", (12.0, 8.0, 8.0))
    folder = cached_phantom(tmp_path, 2, 0)
    expected = {f"{kind}-{n}.nii.gz" for kind in ("volume", "segmentation") for n in (0, 1)}
    assert {path.name for path in folder.iterdir()} == {*expected, "phantom.json"}
    assert "not medical data" in read_json(folder / "phantom.json")["notice"]
    scan, label = (read_volume(folder / f"{k}-1.nii.gz") for k in ("volume", "segmentation"))
    assert scan.array.dtype == np.int16 and label.array.dtype == np.uint8
    assert scan.spacing == label.spacing == (8.0, 8.0, 12.0) and scan.origin == label.origin
    np.testing.assert_array_equal(scan.array, phantom_patient(0, 1, (12.0, 8.0, 8.0)).hu)


def test_a_patient_is_a_function_of_its_numbers(patients):
    again = phantom_patient(0, 1, COARSE)
    np.testing.assert_array_equal(again.hu, patients[1].hu)
    np.testing.assert_array_equal(again.label, patients[1].label)
    assert (phantom_patient(1, 1, COARSE).hu != again.hu).mean() > 0.5


def test_label_and_picture_agree(patients):
    for patient in patients:
        hu, label = patient.hu.astype(float), patient.label
        inner = ndimage.binary_erosion(label == 1, iterations=2)
        assert np.median(hu[inner]) == pytest.approx(107, abs=16)
        lesion = hu[label == LESION]
        assert 5 < np.median(hu[inner]) - lesion.mean() < 70
        around = ndimage.binary_dilation(label > 0, iterations=3)
        around &= ~ndimage.binary_dilation(label > 0)
        assert np.median(hu[around]) < 60  # fat, muscle, lung


def test_lesions_lie_inside_of_the_liver(patients):
    for patient in patients:
        found, number = ndimage.label(patient.label == LESION)
        assert 1 <= number <= 5 + 2  # a bumpy one may fall into pieces on coarse voxels
        shell = ndimage.binary_dilation(found > 0) & (found == 0)
        assert (patient.label[shell] == 1).mean() > 0.95
        liver = 4**3 * (patient.label > 0).sum() / 1000
        assert 1000 < liver < 3000  # ml


def test_small_voxels_show_the_same_patient():
    fine, coarse = (phantom_patient(0, 2, (side,) * 3) for side in (4.0, 8.0))
    for value in (1, LESION):
        volumes = [side**3 * (p.label == value).sum() for p, side in ((fine, 4), (coarse, 8))]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.05 if value == 1 else 0.3)
    depth, height, width = (2 * side for side in coarse.hu.shape)
    means = fine.hu[: depth - 2, : height - 2, : width - 2].astype(float)
    means = means.reshape(depth // 2 - 1, 2, height // 2 - 1, 2, width // 2 - 1, 2).mean((1, 3, 5))
    assert np.corrcoef(means.ravel(), coarse.hu[:-1, :-1, :-1].ravel())[0, 1] > 0.97


def test_some_lesions_have_a_bright_rim_and_none_is_outside():
    rims = 0
    for index in range(12):
        rng = np.random.default_rng(index)
        abdomen = draw_abdomen(rng)
        parts = draw_lesions(rng, abdomen)
        assert parts and all(part.label == LESION for part in parts)
        rims += sum(part.hu > abdomen.liver_hu for part in parts)
        for part in parts:
            (solid,) = part.solids
            centre = (np.asarray(solid.low) + solid.high) / 2
            assert abdomen.whole.depth(*centre.astype(np.float32)) > 3
    assert rims > 0


def test_an_abdomen_has_its_organs(patients):
    """Bone, fat, air in lungs and bowel, soft tissue, and a table behind the patient."""
    for patient in patients:
        hu = patient.hu
        body = ndimage.binary_fill_holes(ndimage.binary_opening(hu > -300))
        shares = {
            "fat": ((hu > -150) & (hu < -50) & body).sum() / body.sum(),
            "soft": ((hu > 0) & (hu < 200) & body).sum() / body.sum(),
            "bone": ((hu > 300) & body).sum() / body.sum(),
        }
        assert 0.1 < shares["fat"] < 0.6 and 0.3 < shares["soft"] < 0.8
        assert 0.005 < shares["bone"] < 0.06
        assert hu[-1].min() < -800 and hu[hu.shape[0] // 3].min() < -800
