"""NIfTI headers and values that readers change, choose or reject on their own."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from data.volumes import read_volume, read_volume_and_grid, write_on_grid, write_volume
from utils.errors import UserError

ARRAY = np.random.default_rng(0).integers(0, 900, (10, 12, 6)).astype(np.int16)  # x, y, z
LPS = np.array([[-1, 0, 0, 0], [0, -1, 0, 11], [0, 0, 1, 0], [0, 0, 0, 1]], float)


def image_of(array=ARRAY, sform=LPS, qform=LPS, codes=(1, 1)) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(array, None)
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    return image


def moved(*offset: float) -> np.ndarray:
    affine = LPS.copy()
    affine[:3, 3] += offset
    return affine


def save(path: Path, image: nibabel.Nifti1Image) -> Path:
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_seen_which_simpleitk_makes_0(tmp_path, suffix, value):
    array = ARRAY.astype(np.float32)
    array[1, 2, 3:5] = value
    path = save(tmp_path / f"a{suffix}", image_of(array))
    assert np.isfinite(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).all()
    with pytest.raises(UserError, match=f"a{suffix} holds 2 NaN or infinite voxels; repair"):
        read_volume(path)
    save(path, image_of(np.nan_to_num(array, posinf=0, neginf=0)))  # which the message asks for
    assert read_volume(path).array.max() == ARRAY.max()


def test_an_infinite_scale_factor_is_no_scale(tmp_path):
    path = save(tmp_path / "a.nii", image_of())
    content = bytearray(path.read_bytes())
    content[112:116] = np.float32(np.inf).tobytes()
    path.write_bytes(content)
    with pytest.raises(UserError, match="scl_slope is infinite; fetch it again"):
        read_volume(path)


@pytest.mark.parametrize("offset", [(9, -6, 0), (0, 0, 0.02)])
def test_two_positions_are_told_and_the_advice_mends_them(tmp_path, offset):
    image = image_of(sform=moved(*offset), codes=(2, 1))
    path = save(tmp_path / "a.nii.gz", image)
    with pytest.raises(UserError, match=r"holds two positions: by its sform .* by its qform") as e:
        read_volume(path)
    assert "(0, -11, 0) mm" in str(e.value)  # that of the qform; the other one is
    assert f"({-offset[0]:g}, {-11 - offset[1]:g}, {offset[2]:g})" in str(e.value)
    by_sform, by_qform = (-offset[0], -11 - offset[1], offset[2]), (0, -11, 0)
    for advice, place in (
        ("image.set_qform(image.get_sform(), 1) keeps the sform", by_sform),
        ("image.set_sform(image.get_qform(), 1) the qform", by_qform),
    ):
        assert advice in str(e.value)
        mended = nibabel.load(path)
        exec(advice.partition(" keeps")[0].partition(" the qform")[0], {"image": mended})
        found = read_volume(save(tmp_path / "mended.nii.gz", mended)).origin
        np.testing.assert_allclose(found, place, atol=1e-6)


def test_positions_that_rounding_sets_apart_are_one(tmp_path):
    path = save(tmp_path / "a.nii", image_of(sform=moved(0.005, 0, 0)))
    np.testing.assert_allclose(read_volume(path).origin, (0, -11, 0), atol=0.01)


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (4, 0)])
def test_one_position_is_enough(tmp_path, codes):
    path = save(tmp_path / "a.nii", image_of(codes=codes))
    assert read_volume(path).origin == (0, -11, 0)
    np.testing.assert_array_equal(read_volume(path).array, ARRAY.T)


def test_no_position_is_refused_and_the_advice_mends_it(tmp_path):
    image = image_of(codes=(0, 0))
    path = save(tmp_path / "a.nii", image)
    with pytest.raises(UserError, match="the codes of sform and qform are 0; store its position"):
        read_volume(path)
    image.set_sform(LPS, 1)
    assert read_volume(save(path, image)).origin == (0, -11, 0)


@pytest.mark.parametrize("entry, value", [((0, 1), 0.2), ((0, 0), np.nan), ((1, 3), np.inf)])
def test_axes_without_right_angles_and_lost_numbers_are_refused(tmp_path, entry, value):
    path = save(tmp_path / "a.nii", image_of(codes=(1, 0)))
    content, start = bytearray(path.read_bytes()), 280 + 16 * entry[0] + 4 * entry[1]
    content[start : start + 4] = np.float32(value).tobytes()  # of the sform's rows
    path.write_bytes(content)
    with pytest.raises(UserError, match="must have three axes at right angles and a position"):
        read_volume(path)


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_voxels_that_are_not_real_numbers_are_told_and_the_advice_mends_them(tmp_path, kind):
    path = save(tmp_path / "a.nii.gz", image_of(ARRAY.astype(kind)))
    with pytest.raises(UserError, match="must hold one real number per voxel, found the type"):
        read_volume(path)
    save(path, image_of(np.abs(ARRAY.astype(kind)).astype(np.float32)))
    np.testing.assert_array_equal(read_volume(path).array, ARRAY.T)


@pytest.mark.parametrize("unit, factor", [("meter", 1e-3), ("micron", 1e3), ("mm", 1)])
def test_units_of_length_are_those_of_the_header(tmp_path, unit, factor):
    image = image_of(sform=np.diag((-factor, -factor, factor, 1)), codes=(1, 0))
    image.header.set_xyzt_units(unit)
    np.testing.assert_allclose(read_volume(save(tmp_path / "a.nii", image)).spacing, 1, rtol=1e-6)


def test_big_endian_scaled_and_trailing_axes_are_read_as_they_are(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nibabel.Nifti1Image(ARRAY[..., None].astype(">i2"), LPS, header)
    np.testing.assert_array_equal(read_volume(save(tmp_path / "a.nii", image)).array, ARRAY.T)
    image = image_of(ARRAY / 3)
    image.header.set_data_dtype(np.int16)
    found = read_volume(save(tmp_path / "b.nii", image)).array
    np.testing.assert_allclose(found, ARRAY.T / 3, atol=0.01)


def test_a_volume_of_a_file_of_several_is_named_by_its_number(tmp_path):
    several = np.stack([ARRAY, ARRAY + 1, ARRAY + 2], axis=-1)
    path = save(tmp_path / "a.nii.gz", image_of(several))
    for number in range(3):
        volume = read_volume(path.with_name(f"a.nii.gz#{number}"))
        np.testing.assert_array_equal(volume.array, ARRAY.T + number)
    with pytest.raises(UserError, match=r"must have 3 dimensions .* \(10, 12, 6, 3\); split it"):
        read_volume(path)
    with pytest.raises(UserError, match="must have 4 dimensions and more than 3 volumes"):
        read_volume(path.with_name("a.nii.gz#3"))
    with pytest.raises(UserError, match="must have 4 dimensions"):
        read_volume(save(tmp_path / "b.nii", image_of()).with_name("b.nii#0"))


def test_a_file_that_changed_is_read_anew(tmp_path):
    path = save(tmp_path / "a.nii", image_of())
    read_volume(path)
    save(path, image_of(ARRAY + 1))
    np.testing.assert_array_equal(read_volume(path).array, ARRAY.T + 1)


@pytest.mark.parametrize("codes", [(4, 1), (2, 0), (0, 3)])
def test_sform_and_qform_are_carried_on_with_their_codes(tmp_path, codes):
    path = save(tmp_path / "a.nii.gz", image_of(codes=codes))
    volume, grid = read_volume_and_grid(path)
    write_on_grid(tmp_path / "b.nii.gz", volume.array, grid)
    before, after = (nibabel.load(tmp_path / name).header for name in ("a.nii.gz", "b.nii.gz"))
    for form in ("sform", "qform"):
        assert int(after[f"{form}_code"]) == int(before[f"{form}_code"])
        np.testing.assert_array_equal(
            getattr(after, f"get_{form}")(), getattr(before, f"get_{form}")()
        )
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii.gz").array, volume.array)


def test_a_new_file_has_both_positions(tmp_path):
    write_volume(tmp_path / "a.nii", ARRAY.T, (1, 1, 2), (3, 4, 5))
    header = nibabel.load(tmp_path / "a.nii").header
    assert int(header["sform_code"]) == int(header["qform_code"]) == 1
    np.testing.assert_allclose(header.get_sform(), header.get_qform())
    assert sitk.ReadImage(str(tmp_path / "a.nii")).GetOrigin() == (3, 4, 5)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz"])
def test_a_name_that_is_not_utf_8_is_told_and_never_ends_the_process(tmp_path, suffix):
    write_volume(tmp_path / "good" / f"a{suffix}", ARRAY.T)
    strange = tmp_path / "case_M\udcfcller"
    (tmp_path / "good").rename(strange)
    with pytest.raises(UserError, match="The name of .*ller must be text in UTF-8") as caught:
        read_volume(strange / f"a{suffix}")
    assert f"a{suffix}" not in str(caught.value)  # the folder is what has to be renamed
    with pytest.raises(UserError, match="must be text in UTF-8"):
        write_volume(strange / f"b{suffix}", ARRAY.T)
    strange.rename(tmp_path / "Müller")
    np.testing.assert_array_equal(read_volume(tmp_path / "Müller" / f"a{suffix}").array, ARRAY.T)
