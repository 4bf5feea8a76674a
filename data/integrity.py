"""Checks that the bytes of a volume's file are complete, before an image reader sees them.

ITK loads truncated NIfTI files and corrupted compressed MetaImages without an error, so that stale
memory can appear as voxels, and both readers allocate whatever a header asks for.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Optional

import nibabel
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from utils.errors import UserError

MAX_VOXELS = 1 << 28  # 30 BRATS volumes; a body scan of 512 x 512 x 1024 just fits
METAIMAGES = (".mha", ".mhd")
SURPLUS = 1 << 20  # bytes that may follow the last voxel, such as padding
_DEFLATE = 1032  # no byte of gzip or zlib stands for more bytes than this
_CHUNK = 1 << 20
_HEADER = 1 << 16  # bytes within which a MetaImage header has to end
_AUTOMATIC = 47  # zlib or gzip, as ITK accepts both
_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError)


def check_bytes(path: Path, kept: Optional[list[bytes]] = None) -> None:
    """Decodes a `.mha`, `.mhd`, `.nii` or `.nii.gz` and compares it with what its header declares.

    Checksums are verified. At most one chunk is in memory, except for the decoded content of a
    `.nii.gz`, which is added to `kept` in pieces. Files with other suffixes are not checked.

    Raises:
        UserError: an unreadable header, more voxels than `MAX_VOXELS` or than the file can hold,
            fewer bytes than declared, a wrong checksum, many more bytes than declared, a `.mha`
            whose voxels lie in another file, or a `.mhd` whose file of voxels is missing.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path, kept)
        elif name.endswith(METAIMAGES):
            _check_metaimage(path)
    except UserError:
        raise
    except _UNREADABLE as error:
        kind = "MetaImage" if name.endswith(METAIMAGES) else "NIfTI"
        raise damaged(path, f"it does not decode as {kind} ({error})") from error


def damaged(path: Path, reason: str) -> UserError:
    """Returns the error for a file that is not what its name says."""
    return UserError(f"The volume {path} is damaged or of another type: {reason}; fetch it again.")


def _check_nifti(path: Path, kept: Optional[list[bytes]]) -> None:
    _refuse_distant_voxels(path)
    voxels = nibabel.load(path).dataobj
    length = voxels.offset + _declared(path, voxels.shape) * voxels.dtype.itemsize
    stored = path.stat().st_size
    if not path.name.lower().endswith(".gz"):
        _compare(path, length, stored)
        return
    _refuse_impossible(path, length, stored)
    with gzip.open(path, "rb") as file:
        _compare(path, length, _counted(iter(lambda: file.read(_CHUNK), b""), length, kept))


def _refuse_distant_voxels(path: Path) -> None:
    """Raises UserError if the header's extensions, which nibabel reads whole, are too long."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        start = file.read(nibabel.Nifti2Header.sizeof_hdr)
    kind = image_class(start).header_class
    if len(start) < kind.sizeof_hdr:
        return  # which nibabel refuses
    offset = float(kind(start[: kind.sizeof_hdr], check=False)["vox_offset"])
    if not offset <= SURPLUS:
        raise damaged(
            path, f"its voxels begin at byte {offset:.0f} where {SURPLUS} is the furthest expected"
        )


def image_class(content: bytes) -> type[nibabel.Nifti1Image]:
    """Returns the class for the content of a NIfTI file, of the first or second version."""
    sizes = [int.from_bytes(content[:4], order) for order in ("little", "big")]
    second = nibabel.Nifti2Header.sizeof_hdr in sizes
    return nibabel.Nifti2Image if second else nibabel.Nifti1Image


def _check_metaimage(path: Path) -> None:
    with path.open("rb") as file:
        header, start = _metaimage_header(path, file), file.tell()
    place = _voxels_of(path, header)
    if not place.is_file():
        raise UserError(
            f"The voxels of {path} must lie in {place}, found no such file; put it there or fetch "
            "the volume again."
        )
    with place.open("rb") as file:
        file.seek(start if place == path else 0)
        channels = int(header.get("ElementNumberOfChannels", 1))
        sides = [int(side) for side in header["DimSize"].split()]
        voxels = _declared(path, [*sides, channels] if channels != 1 else sides)
        size = _BYTES.get(header.get("ElementType", ""))
        if size is None:
            raise damaged(path, f"its ElementType is {header.get('ElementType')}")
        length = voxels * size
        stored = place.stat().st_size - file.tell()
        if _is_true(header.get("CompressedData")):
            # ITK reads as many bytes as this field says, of a file by themselves all without it,
            # and otherwise stale memory.
            whole = 0 if place == path else stored
            packed = int(header.get("CompressedDataSize", whole))
            if not 0 < packed <= stored:
                found = f"{stored} compressed bytes where its header promises {packed}"
                raise damaged(path, f"it holds {found}")
            _refuse_impossible(path, length, packed)
            _compare(path, length, _counted(_decompressed(path, file, packed), length))
        elif _is_true(header.get("BinaryData", "True")):
            _compare(path, length, stored)


def _metaimage_header(path: Path, file: BinaryIO) -> Mapping[str, str]:
    """Reads the header's fields and leaves `file` at the first byte of the voxels."""
    fields: dict[str, str] = {}
    while file.tell() < _HEADER and "ElementDataFile" not in fields:
        match = re.match(r"\s*(\w+)\s*[=:](.*)", file.readline(_HEADER).decode("latin-1"))
        if match is None:
            break
        fields[match[1]] = match[2].strip()
    if "ElementDataFile" not in fields or "DimSize" not in fields:
        raise damaged(path, "it has no MetaImage header")
    if path.name.lower().endswith(".mha") and not _is_local(fields):
        raise UserError(
            f"The volume {path} must hold its own voxels, but they lie in "
            f"{fields['ElementDataFile']}; write header and voxels into one .mha file."
        )
    return fields


def _is_local(fields: Mapping[str, str]) -> bool:
    return fields["ElementDataFile"].upper() == "LOCAL"


def voxel_file(path: Path) -> Path:
    """Returns the file that holds the voxels of a MetaImage: the header's own, or one beside it.

    Raises UserError for a file without header.
    """
    with path.open("rb") as file:
        return _voxels_of(path, _metaimage_header(path, file))


def _voxels_of(path: Path, fields: Mapping[str, str]) -> Path:
    return path if _is_local(fields) else path.parent / fields["ElementDataFile"]


def _is_true(value: str | None) -> bool:
    return value is not None and value[:1] in ("T", "t", "1")


def _decompressed(path: Path, file: BinaryIO, stored: int) -> Iterator[bytes]:
    """Yields what the next `stored` bytes decode to, in pieces."""
    decoder = zlib.decompressobj(_AUTOMATIC)
    while not decoder.eof:
        packed = decoder.unconsumed_tail
        if not packed:
            packed = file.read(min(_CHUNK, stored))
            stored -= len(packed)
        if not packed:
            raise damaged(path, "its compressed voxels end too early")
        yield decoder.decompress(packed, _CHUNK)


def _declared(path: Path, shape: Sequence[int]) -> int:
    """Returns the number of voxels of a header; UserError for none or too many."""
    voxels = math.prod(shape)
    if not 1 <= voxels <= MAX_VOXELS or min(shape) < 1:
        raise damaged(
            path,
            f"its header declares {' x '.join(map(str, shape))} voxels where 1 to {MAX_VOXELS} are "
            "expected",
        )
    return voxels


def _refuse_impossible(path: Path, length: int, stored: int) -> None:
    if length > _DEFLATE * stored + SURPLUS:
        reason = f"its header promises {length} bytes, but {stored} compressed ones cannot hold so"
        raise damaged(path, f"{reason} many")


def _counted(chunks: Iterator[bytes], length: int, kept: Optional[list[bytes]] = None) -> int:
    """Returns the sum of lengths; stops soon beyond what `_compare` accepts."""
    found = 0
    for chunk in chunks:
        found += len(chunk)
        if kept is not None:
            kept.append(chunk)
        if found > length + SURPLUS:
            break
    return found


def _compare(path: Path, length: int, found: int) -> None:
    if found < length:
        raise damaged(path, f"its header promises {length} bytes and it holds {found}")
    if found > length + SURPLUS:
        raise damaged(path, f"its header promises {length} bytes and it holds many more")
