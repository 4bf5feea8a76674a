"""Where each fault of `tests/experiments/test_fault_table.py` is stopped, as data.

A guard is a text of the source that occurs once. With its replacement it is gone, and each of its
tests has to fail then; `tests/guards.py` tries it. Guards of trainings and of what is around them
have tables of their own.
"""

from __future__ import annotations

from typing import NamedTuple

REFUSALS = (
    "tests/experiments/test_fault_table.py::test_bad_data_ends_in_one_sentence_and_leaves_nothing"
)


class Guard(NamedTuple):
    """What stops the fault of a row, and the tests that fail without it."""

    row: int
    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]


def refusal(row: int, file: str, text: str, replacement: str, *names: str) -> Guard:
    """A guard whose tests are bad data sets, by their names in the row."""
    tests = tuple(f"{REFUSALS}[{row}: {name}]" for name in names)
    return Guard(row, ", ".join(names), file, text, replacement, tests)


def tested(row: int, file: str, text: str, replacement: str, *tests: str) -> Guard:
    """A guard with tests of its own."""
    name = tests[0].partition("::")[2]
    paths = tuple(f"tests/{test}" for test in tests)
    return Guard(row, name, file, text, replacement, paths)


_INTEGRITY = "data/integrity.py"
_UNREADABLE = "_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, ImageFileError, "
_UNREADABLE += "HeaderDataError)"
_INTEGRITY_TESTS = "data/test_integrity.py"

BAD_FILES = (
    refusal(
        1,
        "data/volumes.py",
        "    check_bytes(path)\n    try:\n        image",
        "    try:\n        image",
        "10 % of an mha",
        "60 % of an mha",
        "only the header of an mha",
    ),
    tested(
        1,
        _INTEGRITY,
        'raise damaged(path, "its compressed voxels end too early")',
        "return",
        f"{_INTEGRITY_TESTS}::test_compressed_voxels_count_what_they_decode_to",
    ),
    refusal(
        2,
        _INTEGRITY,
        _UNREADABLE,
        "_UNREADABLE = (KeyError,)",
        "10 % of a nii.gz",
        "60 % of a nii.gz",
        "only the header of a nii.gz",
    ),
    refusal(2, _INTEGRITY, "if found < length:", "if False:", "a whole nii.gz of fewer voxels"),
    refusal(
        3,
        _INTEGRITY,
        _UNREADABLE,
        "_UNREADABLE = (KeyError,)",
        *(f"a flipped byte at {share}%" for share in (30, 50, 70, 90)),
    ),
    refusal(
        3,
        _INTEGRITY,
        'iter(lambda: file.read(_CHUNK), b"")',
        "iter([file.read(length)])",
        "a checksum that does not fit",
    ),
    refusal(
        3,
        "data/volumes.py",
        "    check_bytes(path)\n    try:\n        image",
        "    try:\n        image",
        "a flipped byte in an mha",
    ),
    refusal(
        4,
        _INTEGRITY,
        'if "ElementDataFile" not in fields or "DimSize" not in fields:',
        "if False:",
        "no bytes",
        "a web page saved as mha",
    ),
    refusal(
        5,
        _INTEGRITY,
        'if path.name.lower().endswith(".mha") and not _is_local(fields):',
        "if False:",
        "voxels in a file of their own",
    ),
    refusal(
        55,
        _INTEGRITY,
        "if not 1 <= voxels <= MAX_VOXELS or min(shape) < 1:",
        "if False:",
        "a decompression bomb",
    ),
    tested(
        55,
        _INTEGRITY,
        "if length > _DEFLATE * stored + SURPLUS:",
        "if False:",
        f"{_INTEGRITY_TESTS}::test_more_than_the_compressed_bytes_can_hold_is_refused_without_decoding",
    ),
    tested(
        55,
        _INTEGRITY,
        "if not 1 <= voxels <= MAX_VOXELS or min(shape) < 1:",
        "if False:",
        f"{_INTEGRITY_TESTS}::test_a_header_that_asks_for_too_much_memory_is_refused",
    ),
    tested(
        55,
        _INTEGRITY,
        "if found > length + SURPLUS:\n            break",
        "if False:\n            break",
        f"{_INTEGRITY_TESTS}::test_reading_stops_soon_beyond_what_the_header_promises",
    ),
    tested(
        55,
        _INTEGRITY,
        "if found > length + SURPLUS:\n        raise",
        "if False:\n        raise",
        f"{_INTEGRITY_TESTS}::test_a_file_that_expands_far_beyond_its_header_is_refused",
    ),
)

_SUBJECTS = "data/brats/subjects.py"
_SCALING = "data/brats/scaling.py"
_SCHEMES = "data/brats/label_schemes.py"
_GRIDS = "data/grids.py"

BAD_CASES = (
    refusal(6, _SUBJECTS, "        if missing:", "        if False:", "a missing modality"),
    refusal(
        7,
        _SUBJECTS,
        "found = [_repeated(self.id, kind, paths) for kind, paths in repeated.items()]",
        "found = []",
        "a modality twice",
        "a copied case",
    ),
    refusal(8, _SUBJECTS, "        if missing:", "        if False:", "only T1c"),
    refusal(9, _GRIDS, "if first.array.shape != second.array.shape:", "if False:", "another shape"),
    refusal(
        10,
        _GRIDS,
        "if not np.allclose(*pair, rtol=0.0, atol=tolerance):",
        "if False:",
        "another spacing",
    ),
    refusal(
        11,
        _GRIDS,
        "if not np.allclose(*pair, rtol=0.0, atol=tolerance):",
        "if False:",
        "another origin",
        "another direction",
    ),
    refusal(12, "data/volumes.py", "    if invalid:", "    if False:", "not a number"),
    refusal(13, "data/volumes.py", "    if invalid:", "    if False:", "infinite"),
    refusal(
        14,
        _SCALING,
        "    if 0 < visible < high - low:",
        "    if False:",
        "two voxels at the ends of 16 bits",
        "one huge voxel",
    ),
    refusal(15, _SCALING, "    if low == high:", "    if False:", "a volume of zeros"),
    refusal(17, _SCALING, "    if low == high:", "    if False:", "a constant volume"),
    refusal(
        18,
        _SCHEMES,
        "if (found == _UNKNOWN).any():",
        "if False:",
        "a foreign label",
        "a label between two",
    ),
    refusal(19, _SCHEMES, "if len(possible) > 1:", "if False:", "labels of an unknown year"),
    refusal(20, _SCHEMES, "if (found == _UNKNOWN).any():", "if False:", "an interpolated label"),
    refusal(
        22,
        "data/brats/windows.py",
        "if name in names and inside < _LEAST_SHARE * (stop - first):",
        "if False:",
        "too few slices",
    ),
    refusal(
        23,
        "data/volumes.py",
        "if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:",
        "if False:",
        "two dimensions",
        "four dimensions",
    ),
    refusal(24, _SUBJECTS, "    if not cases:", "    if False:", "an empty folder"),
    refusal(25, "data/splits.py", "    if len(names) < least:", "    if False:", "one case"),
)
