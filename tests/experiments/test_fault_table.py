"""Every fault that users of such software report: what happens here, and the test that shows it.

`REFUSED` are faults of data: each spoils a good data set, on which a training then has to end with
one sentence, leaving nothing behind and everything else as it was. `HARMLESS` do not stop a
training. Other faults have tests of their own, which `ELSEWHERE` names.
"""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from experiments.engine.cli import main
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.experiments.bench import Bench
from tests.experiments.fault_rows import ELSEWHERE, NOT_HERE
from tests.experiments.spoilers import (
    bomb,
    clutter,
    copy_case,
    defect,
    drop_voxels,
    extremes,
    flip,
    huge,
    in_first_case,
    keep,
    keep_cases,
    keep_header,
    no_lesion,
    of_rank,
    only_t1c,
    smooth_label,
    spoil_checksum,
    without_raw_file,
    zero_slice,
)
from utils.runs.environment import REPOSITORY

NUMBERS = range(1, 63)


class Fault(NamedTuple):
    """`spoil` changes a tree of two cases in `layout`; `sentence` is a pattern of what is said."""

    number: int
    name: str
    spoil: Callable[[Path], object]
    sentence: str
    layout: str = "flat2015"


CUTS = {"10 %": keep(0.1), "60 %": keep(0.6)}
CUT = r"(has no MetaImage header|holds \d+ compressed bytes where its header promises)"
REFUSED = [
    *(
        Fault(1, f"{name} of an mha", in_first_case(cut, "T2"), rf"MR_T2\.\S+ is damaged .*{CUT}")
        for name, cut in {**CUTS, "only the header": keep_header}.items()
    ),
    *(
        Fault(
            2,
            f"{name} of a nii.gz",
            in_first_case(cut, "T2", "brats2020"),
            r"001_t2\.nii\.gz is damaged",
            "brats2020",
        )
        for name, cut in {**CUTS, "only the header": keep(0.02)}.items()
    ),
    Fault(
        2,
        "a whole nii.gz of fewer voxels",
        in_first_case(drop_voxels, "T2", "brats2020"),
        r"001_t2\.nii\.gz is damaged .* header promises 1792 bytes and it holds 1752",
        "brats2020",
    ),
    *(
        Fault(
            3,
            f"a flipped byte at {position:.0%}",
            in_first_case(flip(position), "Flair", "brats2020"),
            r"001_flair\.nii\.gz is damaged",
            "brats2020",
        )
        for position in (0.3, 0.5, 0.7, 0.9)
    ),
    Fault(
        3,
        "a checksum that does not fit",
        in_first_case(spoil_checksum, "Flair", "brats2020"),
        r"001_flair\.nii\.gz is damaged .*CRC check failed",
        "brats2020",
    ),
    Fault(3, "a flipped byte in an mha", defect("flipped"), r"MR_Flair\.\S+ is damaged"),
    Fault(4, "no bytes", defect("no bytes"), r"MR_T1\.\S+ is damaged"),
    Fault(
        4,
        "a web page saved as mha",
        in_first_case(lambda file: file.write_text("<html>404</html>"), "T1"),
        r"MR_T1\.\S+ is damaged or of another type",
    ),
    Fault(
        5,
        "voxels in a file of their own",
        in_first_case(without_raw_file, "T1"),
        r"MR_T1\.\S+ must hold its own voxels",
    ),
    Fault(6, "a missing modality", defect("missing"), "has no T1c file"),
    Fault(7, "a modality twice", defect("repeated"), "has T1 twice, in .*99999.mha; keep one"),
    Fault(7, "a copied case", copy_case, r"pat0001_1.* twice"),
    Fault(8, "only T1c", only_t1c, "has no T1(, | and )"),
    Fault(9, "another shape", defect("shape"), r"the shape of \S+MR_T1\.\S+ is \(6, 12, 10\)"),
    Fault(10, "another spacing", defect("spacing"), r"the spacing of \S+ is"),
    Fault(11, "another origin", defect("origin"), r"the origin of \S+ is"),
    Fault(11, "another direction", defect("direction"), r"the direction of \S+ is"),
    Fault(12, "not a number", defect("NaN"), r"MR_T1c\.\S+ holds 1 NaN or infinite"),
    Fault(13, "infinite", defect("infinite"), r"OT\.\S+ holds 1 NaN or infinite"),
    Fault(14, "two voxels at the ends of 16 bits", extremes, r"MR_T1\.\S+ ranges from -32768 to"),
    Fault(14, "one huge voxel", huge, r"MR_T1\.\S+ ranges from \S+ to 1e\+30"),
    Fault(15, "a volume of zeros", defect("zero"), r"MR_T2\.\S+ is constant"),
    Fault(17, "a constant volume", defect("constant"), "is constant .every voxel is 7"),
    Fault(18, "a foreign label", defect("value"), r"OT\.\S+ holds the values 7"),
    Fault(18, "a label between two", defect("fraction"), "holds the values 2.5"),
    Fault(
        19,
        "labels of an unknown year",
        lambda root: None,
        "--slicing.label_scheme brats2023|brats2024",
        "brats2023",
    ),
    Fault(20, "an interpolated label", in_first_case(smooth_label, "label"), r"OT\.\S+ holds"),
    Fault(22, "too few slices", defect("short"), "has 1 slices, and only 1 slices of "),
    Fault(23, "two dimensions", in_first_case(of_rank(2), "T1"), r"10, 12\)"),
    Fault(23, "four dimensions", in_first_case(of_rank(4), "T1"), "10, 12, 6, 2"),
    Fault(24, "an empty folder", keep_cases(0), r"No .* in \S*data"),
    Fault(25, "one case", keep_cases(1), "at least 2 patients"),
    Fault(
        55,
        "a decompression bomb",
        in_first_case(bomb, "T1", "brats2020"),
        r"001_t1\.nii\.gz is damaged .* declares 30000 x 30000 x 30000 voxels",
        "brats2020",
    ),
]


HARMLESS = [
    Fault(16, "an empty slice in the range", zero_slice, ""),
    Fault(21, "a case without lesion", no_lesion, ""),
    Fault(28, "hidden files and links in a circle", clutter, ""),
]


def contents(folder: Path, without: Path) -> dict[Path, str]:
    """{file: SHA-256} of everything below `folder` but for one folder."""
    files = (file for file in folder.rglob("*") if file.is_file() and "loop" not in file.parts)
    return {
        file: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if without not in file.parents
    }


@pytest.fixture
def earlier(tmp_path) -> Path:
    """A run that is already there."""
    folder = tmp_path / "earlier"
    (folder / "checkpoints" / "structure").mkdir(parents=True)
    (folder / "checkpoints" / "structure" / "ckpt-4.index").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: f"{fault.number}: {fault.name}")
def test_bad_data_ends_in_one_sentence_and_leaves_nothing(tmp_path, earlier, capsys, fault):
    bench = Bench(tmp_path, fault.layout, count=2)
    fault.spoil(bench.data)
    before = contents(tmp_path, without=tmp_path / "cache")
    assert bench.start() == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert re.search(fault.sentence, line), line
    assert bench.runs == [] and not bench.run.path.exists()
    assert contents(tmp_path, without=tmp_path / "cache") == before
    assert not list((tmp_path / "cache").rglob("*.tfrecord"))


@pytest.mark.parametrize("fault", HARMLESS, ids=lambda fault: f"{fault.number}: {fault.name}")
def test_odd_data_trains(tmp_path, fault):
    bench = Bench(tmp_path, fault.layout, count=3)
    fault.spoil(bench.data)
    assert bench.start() == 0
    (run,) = bench.runs
    assert len(run.prepared.subject_ids) == 3


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    words = ("--data", str(tmp_path / "gone"), "--out", str(tmp_path / "run"))
    assert main(TRAIN_BRATS, words) == 2
    assert f"--data {tmp_path / 'gone'} is not a folder" in capsys.readouterr().err


def test_every_fault_is_tested_or_does_not_apply():
    tabled = {fault.number for fault in (*REFUSED, *HARMLESS)}
    assert tabled | set(ELSEWHERE) | set(NOT_HERE) == set(NUMBERS)
    assert not set(NOT_HERE) & (tabled | set(ELSEWHERE))


@pytest.mark.parametrize("place", sorted({place for row in ELSEWHERE.values() for place in row}))
def test_the_tests_that_the_table_names_exist(place):
    file, _, name = place.partition("::")
    tree = ast.parse((REPOSITORY / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
