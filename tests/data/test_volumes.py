from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from data.volumes import Volume, check_same_geometry, read_volume, write_volume
from utils.errors import UserError

ARRAY = np.random.default_rng(0).integers(0, 900, (6, 12, 10)).astype(np.int16)
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("suffix", [".mha", ".nii", ".nii.gz"])
@pytest.mark.parametrize("compress", [True, False])
def test_voxels_and_geometry_survive(tmp_path, suffix, compress):
    path = tmp_path / "new folder" / f"患者{suffix}"
    write_volume(path, ARRAY, (1.0, 2.0, 3.0), (4.0, -5.0, 6.0), TURNED, compress)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.spacing, (1.0, 2.0, 3.0), atol=1e-5)
    np.testing.assert_allclose(volume.origin, (4.0, -5.0, 6.0), atol=1e-5)
    np.testing.assert_allclose(volume.direction, TURNED, atol=1e-5)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_axes_agree_with_nibabel(tmp_path):
    write_volume(tmp_path / "a.nii.gz", ARRAY)
    stored = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").array, stored.T)


def test_compression_makes_the_file_smaller(tmp_path):
    sizes = []
    for compress in (True, False):
        write_volume(tmp_path / "a.mha", np.zeros((20, 20, 20), np.int16), compress=compress)
        sizes.append((tmp_path / "a.mha").stat().st_size)
    assert sizes[0] < 1000 < 16000 < sizes[1]


def test_a_failed_write_keeps_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / "a.mha"
    write_volume(path, ARRAY)

    def full_disk(image, name, useCompression):
        Path(name).write_bytes(b"half")
        raise RuntimeError("no space")

    monkeypatch.setattr(sitk, "WriteImage", full_disk)
    with pytest.raises(UserError, match="Cannot write"):
        write_volume(path, ARRAY + 1)
    np.testing.assert_array_equal(read_volume(path).array, ARRAY)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_and_an_unknown_suffix_are_named(tmp_path):
    (tmp_path / "taken").write_text("a file in the way")
    with pytest.raises(UserError, match="Cannot write the volume .*taken/a.mha"):
        write_volume(tmp_path / "taken" / "a.mha", ARRAY)
    with pytest.raises(UserError, match="a.xyz"):
        write_volume(tmp_path / "a.xyz", ARRAY)


@pytest.mark.parametrize("suffix", [".mha", ".nii", ".nii.gz"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.99])
def test_a_truncated_file_is_refused(tmp_path, suffix, compress, kept):
    path = tmp_path / f"cut{suffix}"
    write_volume(path, ARRAY, compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError, match=path.name):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz"])
@pytest.mark.parametrize("position", [0.5, 0.7, 0.9])
def test_a_flipped_byte_in_compressed_voxels_is_refused(tmp_path, suffix, position):
    path = tmp_path / f"flipped{suffix}"
    write_volume(path, ARRAY)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_volume(path)


def test_a_complete_gzip_of_too_few_voxels_is_refused(tmp_path):
    path = tmp_path / "short.nii.gz"
    write_volume(path, ARRAY)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-20]))
    with pytest.raises(UserError, match="promises 1792 bytes and it holds 1772"):  # 352 + 720 * 2
        read_volume(path)


@pytest.mark.parametrize("suffix", [".mha", ".nii", ".nii.gz"])
def test_a_missing_file_and_a_web_page_saved_as_a_volume_are_named(tmp_path, suffix):
    path = tmp_path / f"page{suffix}"
    with pytest.raises(UserError, match=f"{path.name} does not exist"):
        read_volume(path)
    path.write_text("<html>sign in first</html>" * 50)
    with pytest.raises(UserError, match=path.name):
        read_volume(path)


@pytest.mark.parametrize(
    ("shape", "colour", "message"),
    [
        ((12, 10), False, "must have 3 dimensions"),
        ((2, 6, 12, 10), False, "must have 3 dimensions"),
        ((4, 4, 4, 3), True, "3 values"),
    ],
)
def test_only_three_dimensions_and_one_value_per_voxel_are_accepted(
    tmp_path, shape, colour, message
):
    path = tmp_path / "image.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones(shape, np.uint8), isVector=colour), path)
    with pytest.raises(UserError, match=message):
        read_volume(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_counted(tmp_path, value):
    array = ARRAY.astype(np.float32)
    array[1, 2, 3:5] = value
    write_volume(tmp_path / "a.mha", array)
    with pytest.raises(UserError, match="a.mha holds 2 NaN or infinite"):
        read_volume(tmp_path / "a.mha")


FIRST = Volume(ARRAY, (1.0,) * 3, (0.0,) * 3, TURNED)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("shape", replace(FIRST, array=ARRAY[1:])),
        ("spacing", replace(FIRST, spacing=(1.0, 1.0, 1.1))),
        ("origin", replace(FIRST, origin=(0.0, 5.0, 0.0))),
        ("direction", replace(FIRST, direction=tuple(np.eye(3).ravel()))),
    ],
)
def test_another_geometry_names_both_files_and_the_property(name, other):
    with pytest.raises(UserError, match=rf"the {name} of a\.mha is .* of c\.mha is"):
        check_same_geometry({Path("a.mha"): FIRST, Path("b.mha"): FIRST, Path("c.mha"): other})


def test_rounding_of_a_header_is_no_difference():
    near = replace(FIRST, spacing=(1.00001,) * 3, origin=(-1e-5,) * 3)
    check_same_geometry({Path("a.mha"): FIRST, Path("b.mha"): near})
