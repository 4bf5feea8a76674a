"""Ways to spoil a tree of `tests.data.trees` or a file of it, for the table of faults."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Callable

import numpy as np
import SimpleITK as sitk

from data.volumes import read_volume, write_volume
from tests.data.defects import DEFECTS
from tests.data.trees import case_files


def in_first_case(
    change: Callable[[Path], object], kind: str, layout: str = "flat2015"
) -> Callable:
    """Returns what applies a change to one file of the first case of a tree."""
    return lambda root: change(case_files(root, layout)[kind])


def defect(name: str) -> Callable[[Path], object]:
    """Returns what makes one of `DEFECTS` in the first case of a tree."""
    return lambda root: DEFECTS[name].spoil(case_files(root, "flat2015"))


def keep(share: float) -> Callable[[Path], object]:
    """Returns what cuts a file down to a share of its bytes."""

    def cut(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])

    return cut


def keep_header(file: Path) -> None:
    """Leaves a MetaImage its header alone."""
    content = file.read_bytes()
    file.write_bytes(content[: content.index(b"LOCAL") + 6])


def flip(position: float) -> Callable[[Path], object]:
    """Returns what inverts one byte of a file, at a share of its length."""

    def change(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[int(position * len(content))] ^= 0xFF
        file.write_bytes(content)

    return change


def spoil_checksum(file: Path) -> None:
    """Only the CRC-32 in the last 8 bytes tells: all voxels decode."""
    content = bytearray(file.read_bytes())
    content[-8] ^= 0xFF
    file.write_bytes(content)


def drop_voxels(file: Path) -> None:
    """Leaves a whole gzip, of fewer bytes than its header promises."""
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-40]))


def without_raw_file(file: Path) -> None:
    """Makes a file a header whose voxels would lie in another one."""
    text = "ObjectType = Image\nNDims = 3\nDimSize = 10 12 6\nElementType = MET_SHORT\n"
    file.write_text(text + "ElementDataFile = gone.raw\n")


def only_t1c(root: Path) -> None:
    """Removes the other modalities of the first case."""
    for kind in ("T1", "T2", "Flair"):
        case_files(root, "flat2015")[kind].unlink()


def copy_case(root: Path) -> None:
    """Puts the first case into a second folder as well."""
    case = case_files(root, "flat2015")["T1"].parent
    shutil.copytree(case, case.parents[1] / "copy" / case.name)


def smooth_label(file: Path) -> None:
    """Makes a label what interpolation leaves of it."""
    array = read_volume(file).array.astype(np.float32)
    write_volume(file, 0.5 * (array + np.roll(array, 1, axis=2)))


def of_rank(rank: int) -> Callable[[Path], object]:
    """Returns what makes a file one of another number of dimensions."""

    def write(file: Path) -> None:
        sitk.WriteImage(sitk.Image([10, 12, 6, 2][:rank], sitk.sitkInt16), str(file))

    return write


def keep_cases(count: int) -> Callable[[Path], object]:
    """Returns what removes all cases of a tree but a number."""

    def remove(root: Path) -> None:
        for number in (1, 2)[count:]:
            shutil.rmtree(case_files(root, "flat2015", number)["T1"].parent)

    return remove


def bomb(file: Path) -> None:
    """A header of 10^9 voxels per axis in front of compressed zeros."""
    content = gzip.decompress(file.read_bytes())
    header = bytearray(content[:352])
    header[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    file.write_bytes(gzip.compress(bytes(header) + bytes(1_000_000)))


def extremes(root: Path) -> None:
    """Gives two voxels the ends of 16 bits."""
    file = case_files(root, "flat2015")["T1"]
    array = read_volume(file).array.astype(np.int16)
    array[2, 5, 5], array[2, 5, 6] = -32768, 32767
    write_volume(file, array)


def huge(root: Path) -> None:
    """Gives one voxel a value far beyond the others."""
    file = case_files(root, "flat2015")["T1"]
    array = read_volume(file).array.astype(np.float32)
    array[2, 5, 5] = 1e30
    write_volume(file, array)


def zero_slice(root: Path) -> None:
    """Empties one of the slices that are used."""
    for kind, file in case_files(root, "flat2015").items():
        array = np.array(read_volume(file).array)
        array[2] = 0
        write_volume(file, array.astype(np.uint8 if kind == "label" else np.int16))


def no_lesion(root: Path) -> None:
    """Makes the first case one without lesion."""
    write_volume(case_files(root, "flat2015")["label"], np.zeros([6, 12, 10], np.uint8))


def clutter(root: Path) -> None:
    """Adds what systems and people leave in folders."""
    case = case_files(root, "flat2015")["T1"].parent
    for name in (".DS_Store", "._VSD.Brain.XX.O.MR_T1.1.mha", "notes.txt"):
        (case / name).write_text("x")
    (case / "loop").symlink_to(root)
