"""Series of Tianchi: boxes lie on lesions, however the volume is stored; what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from data.lung_ct.dataset import CtConfig
from data.tianchi_ct.dataset import ANNOTATION, CODES, MOST_BOXES, TIANCHI_CT
from data.tianchi_ct.phantom import COLUMNS
from utils.errors import UserError

SIDE = 64
CONFIG = CtConfig(size=SIDE)
SHAPE = (7, SIDE, SIDE)  # of the volume in its usual order
LESION = (slice(2, 5), slice(20, 30), slice(40, 44))
AIR, DENSE = -900, 300


def volume() -> np.ndarray:
    array = np.full(SHAPE, AIR, np.int16)
    array[LESION] = DENSE
    return array


def write(
    folder: Path,
    spacing=(0.7, 0.7, 2.5),
    flips=(1, 1, 1),
    compress=False,
    rows=None,
    name="1001",
    code=1,
) -> Path:
    """A series with one dense block and its row in the annotation, in mm of the scanner."""
    folder.mkdir(parents=True, exist_ok=True)
    array = volume()[tuple(slice(None, None, flip) for flip in flips[::-1])]
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    size, first = np.array(SHAPE[::-1]), np.array([-120.0, -90.0, -310.0])
    image.SetDirection(np.diag(flips).astype(float).ravel().tolist())
    last = first + (size - 1) * spacing
    image.SetOrigin(np.where(np.array(flips) > 0, first, last).tolist())
    sitk.WriteImage(image, str(folder / f"{name}.mhd"), useCompression=compress)
    centre, extent = [], []
    for part, origin, length in zip(LESION[::-1], first, spacing):
        centre.append(origin + length * (part.start + part.stop - 1) / 2)
        extent.append(length * (part.stop - part.start))
    row = ",".join(map(str, (name, *centre, *extent, code)))
    (folder / ANNOTATION).write_text("\n".join([COLUMNS, *(rows or [row])]) + "\n")
    return folder


def prepared(folder: Path):
    (case,) = TIANCHI_CT.find(folder, CONFIG)
    return TIANCHI_CT.prepare(case, CONFIG)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)])
@pytest.mark.parametrize("spacing", [(0.7, 0.7, 2.5), (0.7, 0.7, 5.0), (0.5, 0.8, 1.0)])
def test_boxes_lie_on_the_lesion_however_the_volume_is_stored(tmp_path, spacing, flips, compress):
    found = prepared(write(tmp_path, spacing, flips, compress))
    assert found.index.tolist() == [2, 3, 4] and found.label.shape == (3, MOST_BOXES, 5)
    np.testing.assert_array_equal(found.label[:, 1:], 0)
    expected = [1, 42 / SIDE, 25 / SIDE, 4 / SIDE, 10 / SIDE]
    np.testing.assert_allclose(found.label[:, 0], [expected] * 3, atol=1e-5)
    inside = found.images[:, 20:30, 40:44, 1]
    np.testing.assert_allclose(inside, (DENSE + 1000) / 1400, rtol=1e-5)
    assert (found.images[..., 1] > 0.5).sum() == 3 * 40  # nothing dense beside the boxes


def test_channels_are_the_neighbours(tmp_path):
    images = prepared(write(tmp_path)).images
    dense = images[:, 25, 42] > 0.5
    np.testing.assert_array_equal(dense, [[False, True, True], [True] * 3, [True, True, False]])


def test_the_first_slice_stands_for_the_missing_one_below(tmp_path):
    low = "1001,-91.7,-72.5,-310,2.8,7,1.0,5"
    found = prepared(write(tmp_path, rows=[low]))
    assert found.index.tolist() == [0] and found.label[0, 0, 0] == CODES[5]
    np.testing.assert_array_equal(found.images[0, ..., 0], found.images[0, ..., 1])


def test_other_kinds_and_other_series_do_not_count(tmp_path):
    write(tmp_path, name="1002")
    row = (tmp_path / ANNOTATION).read_text().splitlines()[1]
    rows = [row, row.replace("1002,", "9999,"), row[:-1] + "33"]
    write(tmp_path, rows=rows, name="1003")
    write(tmp_path, rows=[*rows, "1002,0,0,900,5,5,5,1"], name="1003")
    first, second = TIANCHI_CT.find(tmp_path, CONFIG)
    assert first.id == "1002" and len(first.lesions) == 2 and not first.problems()
    (problem,) = second.problems()
    assert "1003.mhd has no lesion of the kinds 1, 5, 31, 32 in" in str(problem)
    assert "seriesuid; correct that or remove the series" in str(problem)
    verdicts = TIANCHI_CT.verify([first, second], CONFIG, tmp_path, progress=False)
    assert [bool(verdict.problems) for verdict in verdicts] == [False, True]
    notes = verdicts[0].notes
    assert notes[0] == f"1 rows of {ANNOTATION} have other codes (33)"
    assert notes[1] == f"{ANNOTATION} has 1 series without a file (9999)"
    assert notes[2] == "1 of its lesions lie outside of the volume"


def test_a_volume_without_hounsfield_units_is_refused(tmp_path):
    write(tmp_path)
    image = sitk.Cast(sitk.ReadImage(str(tmp_path / "1001.mhd")) + 1024, sitk.sitkUInt16)
    sitk.WriteImage(image, str(tmp_path / "1001.mhd"))
    with pytest.raises(UserError, match="1001.mhd must hold Hounsfield units, found 124 to 1324"):
        prepared(tmp_path)


def test_names_of_series_stay_as_they_are_written(tmp_path):
    """Whatever other rows hold: pandas would make numbers of them, 0012 to 12 or 12.0."""
    write(tmp_path, name="0012")
    (case,) = TIANCHI_CT.find(tmp_path, CONFIG)
    assert case.id == "0012" and len(case.lesions) == 1
    file = tmp_path / ANNOTATION
    file.write_text(file.read_text() + ",0,0,0,5,5,5,1\n")
    with pytest.raises(UserError, match="Row 2 of .* has no seriesuid; give the name of its"):
        TIANCHI_CT.find(tmp_path, CONFIG)


def test_two_annotations_are_refused(tmp_path):
    write(tmp_path / "a", name="1")
    write(tmp_path / "b", name="2")
    with pytest.raises(UserError, match="once, found .*; remove one of them"):
        TIANCHI_CT.find(tmp_path, CONFIG)


def test_boxes_are_clipped_and_specks_left_out(tmp_path):
    edge = "1001,-120,-72.5,-305,20,7,1,1"  # half of it lies beside the volume
    speck = "1001,-100,-72.5,-305,0.2,0.2,1,1"
    label = prepared(write(tmp_path, rows=[edge, speck])).label
    _, cx, _, w, _ = label[0, 0]
    assert cx - w / 2 == pytest.approx(0, abs=1e-6) and not label[0, 1:].any()


def test_what_is_wrong_is_told(tmp_path):
    with pytest.raises(UserError, match="must hold chestCT_round1_annotation.csv and series"):
        TIANCHI_CT.find(tmp_path, CONFIG)
    far = write(tmp_path / "far", rows=["1001,0,0,900,5,5,5,1"])
    with pytest.raises(UserError, match="No slice of .*1001.mhd has one of its 1 lesions"):
        prepared(far)
    for bad in ("1001,a,0,0,5,5,5,1", "1001,0,0,0,5,5,-5,1", "1001,0,0,0,5,5,,1"):
        with pytest.raises(UserError, match=f"{ANNOTATION}"):
            TIANCHI_CT.find(write(tmp_path / "bad", rows=[bad]), CONFIG)
    cut = write(tmp_path / "cut")
    raw = cut / "1001.raw"
    raw.write_bytes(raw.read_bytes()[:1000])
    (case,) = TIANCHI_CT.find(cut, CONFIG)
    (verdict,) = TIANCHI_CT.verify([case], CONFIG, tmp_path, progress=False)
    assert "1001.mhd is damaged" in verdict.problems[0] and raw in case.paths
    many = write(tmp_path / "many")
    row = (many / ANNOTATION).read_text().splitlines()[1]
    write(many, rows=[row] * (MOST_BOXES + 1))
    with pytest.raises(UserError, match=f"has {MOST_BOXES + 1} lesions, more than the"):
        prepared(many)
    write(tmp_path / "twice" / "a")
    write(tmp_path / "twice" / "b")
    (tmp_path / "twice" / "b" / ANNOTATION).unlink()
    with pytest.raises(UserError, match="are one series; remove one of them"):
        TIANCHI_CT.find(tmp_path / "twice", CONFIG)


def test_a_turned_volume_is_refused(tmp_path):
    write(tmp_path)
    image = sitk.ReadImage(str(tmp_path / "1001.mhd"))
    angle = np.deg2rad(10)
    c, s = np.cos(angle), np.sin(angle)
    image.SetDirection([c, -s, 0, s, c, 0, 0, 0, 1])
    sitk.WriteImage(image, str(tmp_path / "1001.mhd"))
    with pytest.raises(UserError, match="is turned against the scanner's axes"):
        prepared(tmp_path)


def test_the_phantoms_lesions_differ_from_what_is_around_them(tmp_path):
    root = TIANCHI_CT.phantoms["nodules"].make(tmp_path, 3, 0)
    config = CtConfig(size=256)
    cases = TIANCHI_CT.find(root, config)
    assert all(not v.problems for v in TIANCHI_CT.verify(cases, config, tmp_path, progress=False))
    seen = 0
    for case in cases:
        found = TIANCHI_CT.prepare(case, config)
        for image, rows in zip(found.images[..., 1], found.label):
            for kind, cx, cy, w, h in rows[rows[:, 0] > 0]:
                x, y = (int(v * 256) for v in (cx, cy))
                near = image[y - 1 : y + 2, x - 1 : x + 2]
                if kind in (3, 4):  # calcified: somewhere in the box it is as bright as bone
                    top, left = int((cy - h / 2) * 256), int((cx - w / 2) * 256)
                    box = image[top : top + int(h * 256) + 2, left : left + int(w * 256) + 2]
                    assert box.max() > 0.95
                elif kind == 1:
                    assert near.max() > 0.25  # air of the lung is 0.1
                seen += 1
    assert seen > 5
