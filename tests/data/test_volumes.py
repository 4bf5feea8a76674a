from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from data.grids import Volume, check_same_geometry, check_spacing
from data.volumes import read_volume, read_volume_and_grid, write_on_grid, write_volume
from utils.errors import UserError

ARRAY = np.random.default_rng(0).integers(0, 900, (6, 12, 10)).astype(np.int16)
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
TILTED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)  # nearest to LPS as it is


@pytest.mark.parametrize("suffix", [".mha", ".nii", ".nii.gz"])
@pytest.mark.parametrize("compress", [True, False])
def test_voxels_and_geometry_survive(tmp_path, suffix, compress):
    path = tmp_path / "new folder" / f"患者{suffix}"
    write_volume(path, ARRAY, (1.0, 2.0, 3.0), (4.0, -5.0, 6.0), TILTED, compress)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.spacing, (1.0, 2.0, 3.0), atol=1e-5)
    np.testing.assert_allclose(volume.origin, (4.0, -5.0, 6.0), atol=1e-5)
    np.testing.assert_allclose(volume.direction, TILTED, atol=1e-5)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_axes_agree_with_nibabel(tmp_path):
    write_volume(tmp_path / "a.nii.gz", ARRAY)
    stored = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").array, stored.T)


# Stored arrays of the scan ARRAY, whose first voxel lies at 0: (array, origin, direction).
STORED = {
    "flipped": (ARRAY[::-1, ::-1, ::-1], (9, 11, 5), (-1, 0, 0, 0, -1, 0, 0, 0, -1)),
    "columns run down": (ARRAY[:, :, ::-1].transpose(0, 2, 1), (9, 0, 0), TURNED),
    "sagittal": (ARRAY.transpose(2, 0, 1), (0, 0, 0), (0, 0, 1, 1, 0, 0, 0, 1, 0)),
}


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz"])
@pytest.mark.parametrize("kind", list(STORED))
def test_every_storage_order_gives_the_same_volume(tmp_path, suffix, kind):
    array, origin, direction = STORED[kind]
    write_volume(tmp_path / f"a{suffix}", array, origin=origin, direction=direction)
    volume = read_volume(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.origin, (0, 0, 0), atol=1e-5)
    np.testing.assert_allclose(volume.direction, np.eye(3).ravel(), atol=1e-5)


TILTED_BACK = (0.8, 0.0, 0.6, 0.6, 0.0, -0.8, 0.0, -1.0, 0.0)  # oblique, permuted and flipped
DIRECTIONS = {**{name: row[2] for name, row in STORED.items()}, "tilted": TILTED_BACK}


@pytest.mark.parametrize("suffix", [".mha", ".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_an_lps_array_goes_back_to_the_grid_of_its_file(tmp_path, suffix, dtype, direction):
    first, second, array = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", ARRAY.astype(dtype)
    write_volume(first, array, (0.7, 1.3, 2.1), (-12.3456789, 5.0, 81.1), direction)
    volume, grid = read_volume_and_grid(first)
    assert grid.size == (10, 12, 6) and volume.array.dtype == dtype
    changed = volume.array.copy()
    changed[1, 2, 3] += 1
    write_on_grid(second, changed, grid)
    before, after = (sitk.ReadImage(str(path)) for path in (first, second))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelID"):
        assert getattr(before, name)() == getattr(after, name)(), name
    # One voxel differs in the file, and it is the one of the LPS array.
    difference = sitk.GetArrayFromImage(after) - array
    assert np.count_nonzero(difference) == 1
    np.testing.assert_array_equal(read_volume(second).array, changed)
    if suffix != ".mha":
        affines = [nibabel.load(path).affine for path in (first, second)]
        np.testing.assert_array_equal(*affines)


def test_an_array_of_another_size_does_not_fit_the_grid(tmp_path):
    array, origin, direction = STORED["sagittal"]
    write_volume(tmp_path / "a.mha", array, origin=origin, direction=direction)
    volume, grid = read_volume_and_grid(tmp_path / "a.mha")
    with pytest.raises(UserError, match=r"grid of \(12, 6, 10\), found \(12, 5, 10\)"):
        write_on_grid(tmp_path / "b.mha", volume.array[1:], grid)
    assert not (tmp_path / "b.mha").exists()


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


@pytest.mark.parametrize(
    ("spacing", "found"), [((1, 1, 1.02), "1 x 1 x 1.02"), ((0.98, 1, 1), "0.98 x 1 x 1")]
)
def test_voxels_must_be_1_mm_wide(spacing, found):
    check_spacing(Path("a.mha"), replace(FIRST, spacing=(0.995, 1.0, 1.005)))
    with pytest.raises(UserError, match=f"a.mha must .* 1 mm .* found {found} mm; resample"):
        check_spacing(Path("a.mha"), replace(FIRST, spacing=spacing))


def test_rounding_of_a_header_is_no_difference():
    near = replace(FIRST, spacing=(1.00001,) * 3, origin=(-1e-5,) * 3)
    check_same_geometry({Path("a.mha"): FIRST, Path("b.mha"): near})
