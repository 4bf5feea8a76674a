from __future__ import annotations

import gzip
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from data import integrity
from data.integrity import MAX_VOXELS, SURPLUS, check_bytes, voxel_file
from data.volumes import read_volume, write_volume
from utils.errors import UserError

ARRAY = np.random.default_rng(0).integers(0, 900, (6, 12, 10)).astype(np.int16)


def written(path: Path, compress: bool = True) -> Path:
    write_volume(path, ARRAY, compress=compress)
    return path


def metaimage(path: Path, payload: bytes, **fields: str) -> Path:
    """A MetaImage of 10 x 12 x 6 shorts with other fields or voxels."""
    known = {"NDims": "3", "BinaryData": "True", "DimSize": "10 12 6", "ElementType": "MET_SHORT"}
    lines = {"ObjectType": "Image", **known, **fields, "ElementDataFile": "LOCAL"}
    lines["ElementDataFile"] = fields.get("ElementDataFile", "LOCAL")
    head = "".join(f"{name} = {value}\n" for name, value in lines.items() if value)
    path.write_bytes(head.encode() + payload)
    return path


def compressed(path: Path, payload: bytes, **fields: str) -> Path:
    """The same with compressed voxels."""
    known = {"CompressedData": "True", "CompressedDataSize": str(len(payload))}
    return metaimage(path, payload, **{**known, **fields})


def nifti_with(path: Path, offset: int, form: str, *values: float) -> Path:
    """A compressed NIfTI of ARRAY with other values at an offset of its header."""
    content = bytearray(gzip.decompress(written(path).read_bytes()))
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content)))
    return path


@pytest.mark.parametrize("name", ["a.mha", "a.nii", "a.nii.gz", "A.MHA", "A.NII.GZ"])
@pytest.mark.parametrize("compress", [True, False])
def test_whole_files_pass(tmp_path, name, compress):
    path = written(tmp_path / name.lower(), compress).rename(tmp_path / name)
    check_bytes(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{name} is damaged"):
        check_bytes(path)


def test_an_uncompressed_metaimage_says_how_many_bytes_are_missing(tmp_path):
    path = written(tmp_path / "a.mha", compress=False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="header promises 1440 bytes and it holds 1340"):
        check_bytes(path)


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_compressed_voxels_count_what_they_decode_to(tmp_path, pack):
    voxels = ARRAY.tobytes()
    path = compressed(tmp_path / "a.mha", pack(voxels))
    np.testing.assert_array_equal(read_volume(path).array, ARRAY)
    compressed(path, pack(voxels[:-4]))
    with pytest.raises(UserError, match="promises 1440 bytes and it holds 1436"):
        check_bytes(path)
    compressed(path, pack(voxels)[:-6])
    with pytest.raises(UserError, match="end too early"):
        check_bytes(path)


@pytest.mark.parametrize("shift", [-6, 1])
def test_compressed_voxels_are_as_long_as_the_header_says(tmp_path, shift):
    """The reader takes that many bytes, and leaves stale memory where they do not decode."""
    payload = zlib.compress(ARRAY.tobytes())
    for size in (str(len(payload) + shift), ""):
        path = compressed(tmp_path / "a.mha", payload, CompressedDataSize=size)
        with pytest.raises(UserError, match="a.mha is damaged"):
            read_volume(path)
    compressed(path, payload + b"padding", CompressedDataSize=str(len(payload)))
    np.testing.assert_array_equal(read_volume(path).array, ARRAY)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"ElementDataFile": "/etc/passwd"}, "must hold its own voxels, but they lie in /etc/pass"),
        ({"ElementDataFile": "LIST"}, "must hold its own voxels"),
        ({"DimSize": "10 12"}, "BAD"),
        ({"DimSize": "10 0 6"}, "declares 10 x 0 x 6 voxels"),
        ({"DimSize": "-1 -12 6"}, "declares -1 x -12 x 6 voxels"),
        ({"DimSize": "ten"}, "does not decode as MetaImage"),
        ({"DimSize": ""}, "no MetaImage header"),
        ({"ElementType": "MET_STRING"}, "ElementType is MET_STRING"),
        ({"ElementType": ""}, "ElementType is None"),
        ({"ElementType": "MET_DOUBLE"}, "promises 5760 bytes and it holds 1440"),
        ({"ElementNumberOfChannels": "3"}, "promises 4320 bytes and it holds 1440"),
    ],
)
def test_a_metaimage_header_that_does_not_fit_is_refused(tmp_path, fields, sentence):
    path = metaimage(tmp_path / "a.mha", ARRAY.tobytes(), **fields)
    if sentence == "BAD":  # two sides of three: whole by its own count, refused by the reader
        with pytest.raises(UserError, match="a.mha"):
            read_volume(path)
        return
    with pytest.raises(UserError, match=sentence):
        check_bytes(path)


@pytest.mark.parametrize("sides", ["100000 100000 100000", f"{MAX_VOXELS + 1} 1 1"])
def test_a_header_that_asks_for_too_much_memory_is_refused(tmp_path, sides):
    path = compressed(tmp_path / "a.mha", b"x", DimSize=sides)
    with pytest.raises(UserError, match=f"1 to {MAX_VOXELS} are expected"):
        check_bytes(path)
    huge = nifti_with(tmp_path / "a.nii.gz", 42, "<3h", 32767, 32767, 32767)
    with pytest.raises(UserError, match="declares 32767 x 32767 x 32767 voxels"):
        check_bytes(huge)


def test_channels_count_as_voxels(tmp_path):
    channels = {"DimSize": "10 12 6", "ElementNumberOfChannels": "500000"}
    path = compressed(tmp_path / "a.mha", b"x", **channels)
    with pytest.raises(UserError, match=f"10 x 12 x 6 x 500000 voxels where 1 to {MAX_VOXELS}"):
        check_bytes(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_extensions_that_ask_for_too_much_memory_are_not_read(tmp_path, name, monkeypatch):
    path = nifti_with(tmp_path / "a.nii.gz", 108, "<f", 6e8)
    if name == "a.nii":
        path = path.with_suffix("")
        path.write_bytes(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    monkeypatch.setattr("data.integrity.nibabel.load", lambda path: pytest.fail("read whole"))
    with pytest.raises(UserError, match=f"begin at byte 600000000 where {SURPLUS} is the furthest"):
        check_bytes(path)


def test_more_than_the_compressed_bytes_can_hold_is_refused_without_decoding(tmp_path):
    path = compressed(tmp_path / "a.mha", b"x" * 99, DimSize="600 600 600")
    with pytest.raises(UserError, match="promises 432000000 bytes, but 99 compressed ones cannot"):
        check_bytes(path)
    wide = nifti_with(tmp_path / "a.nii.gz", 42, "<3h", 600, 600, 600)
    with pytest.raises(UserError, match="compressed ones cannot hold so many"):
        check_bytes(wide)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nii"])
def test_a_file_that_expands_far_beyond_its_header_is_refused(tmp_path, suffix):
    path, bomb = tmp_path / f"a{suffix}", bytes(40 * SURPLUS)
    if suffix == ".mha":
        compressed(path, zlib.compress(ARRAY.tobytes() + bomb))
    elif suffix == ".nii":
        path.write_bytes(written(path).read_bytes() + bomb)
    else:
        path.write_bytes(gzip.compress(gzip.decompress(written(path).read_bytes()) + bomb))
    with pytest.raises(UserError, match="promises [0-9]+ bytes and it holds many more"):
        check_bytes(path)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz"])
def test_reading_stops_soon_beyond_what_the_header_promises(tmp_path, suffix, monkeypatch):
    path, read = tmp_path / f"a{suffix}", []
    bomb = bytes(40 * SURPLUS)
    if suffix == ".mha":
        compressed(path, zlib.compress(ARRAY.tobytes() + bomb))
    else:
        path.write_bytes(gzip.compress(gzip.decompress(written(path).read_bytes()) + bomb))
    compare = integrity._compare
    monkeypatch.setattr(
        integrity, "_compare", lambda path, *sizes: read.append(sizes) or compare(path, *sizes)
    )
    with pytest.raises(UserError, match="holds many more"):
        check_bytes(path)
    ((promised, found),) = read
    assert found <= promised + 2 * SURPLUS


@pytest.mark.parametrize("suffix", [".mha", ".nii"])
def test_some_padding_is_no_damage(tmp_path, suffix):
    path = written(tmp_path / f"a{suffix}", compress=False)
    path.write_bytes(path.read_bytes() + bytes(512))
    np.testing.assert_array_equal(read_volume(path).array, ARRAY)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz"])
def test_any_flipped_byte_is_noticed_or_harmless(tmp_path, suffix):
    """Headers have no checksum: what they then declare is read, or refused in a sentence."""
    path = written(tmp_path / f"a{suffix}")
    content = path.read_bytes()
    start = re.search(b"LOCAL\n", content).end() if suffix == ".mha" else 10
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        path.write_bytes(flipped)
        if position >= start:
            with pytest.raises(UserError, match="damaged"):
                check_bytes(path)
            continue
        try:
            check_bytes(path)
        except UserError as error:
            assert path.name in str(error)


def two_files(folder: Path, compress: bool) -> tuple[Path, Path]:
    """A MetaImage with its voxels in a file of their own."""
    image = sitk.GetImageFromArray(ARRAY)
    sitk.WriteImage(image, str(folder / "a.mhd"), useCompression=compress)
    return folder / "a.mhd", folder / ("a.zraw" if compress else "a.raw")


@pytest.mark.parametrize("compress", [True, False])
def test_voxels_in_a_file_of_their_own_are_checked_too(tmp_path, compress):
    header, voxels = two_files(tmp_path, compress)
    check_bytes(header)
    assert voxel_file(header) == voxels
    np.testing.assert_array_equal(read_volume(header).array, ARRAY)
    whole = voxels.read_bytes()
    for content in (whole[:-9], b"", *([] if compress else [whole + bytes(SURPLUS + 1)])):
        voxels.write_bytes(content)
        with pytest.raises(UserError, match="a.mhd is damaged"):
            check_bytes(header)
    voxels.unlink()
    with pytest.raises(UserError, match=f"must lie in .*{voxels.name}, found no such file"):
        read_volume(header)


def test_one_wrong_byte_of_compressed_voxels_is_found(tmp_path):
    header, voxels = two_files(tmp_path, True)
    content = bytearray(voxels.read_bytes())
    content[len(content) // 2] ^= 255
    voxels.write_bytes(content)
    with pytest.raises(UserError, match="a.mhd is damaged"):
        read_volume(header)


def test_compressed_voxels_without_their_size_in_the_header_are_the_whole_file(tmp_path):
    header, _ = two_files(tmp_path, True)
    text = re.sub("CompressedDataSize.*\n", "", header.read_text())
    header.write_text(text)
    np.testing.assert_array_equal(read_volume(header).array, ARRAY)
