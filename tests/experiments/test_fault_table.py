"""Every fault that users of such software report: what happens here, and the test that shows it.

`REFUSED` are faults of data: each spoils a good data set, on which a training then has to end with
one sentence, leaving nothing behind and everything else as it was. `HARMLESS` do not stop a
training. Other faults have tests of their own, which `ELSEWHERE` names.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import re
import shutil
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import pytest
import SimpleITK as sitk

from data.volumes import read_volume, write_volume
from experiments.engine.cli import main
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.data.defects import DEFECTS
from tests.data.trees import case_files
from tests.experiments.bench import Bench
from utils.runs.environment import REPOSITORY

NUMBERS = range(1, 63)


class Fault(NamedTuple):
    """`spoil` changes a tree of two cases in `layout`; `sentence` is a pattern of what is said."""

    number: int
    name: str
    spoil: Callable[[Path], object]
    sentence: str
    layout: str = "flat2015"


def _in_first_case(change: Callable[[Path], object], kind: str, layout: str = "flat2015"):
    return lambda root: change(case_files(root, layout)[kind])


def _defect(name: str) -> Callable[[Path], object]:
    return lambda root: DEFECTS[name].spoil(case_files(root, "flat2015"))


def _keep(share: float) -> Callable[[Path], object]:
    def cut(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])

    return cut


def _keep_header(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: content.index(b"LOCAL") + 6])


def _flip(position: float) -> Callable[[Path], object]:
    def flip(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[int(position * len(content))] ^= 0xFF
        file.write_bytes(content)

    return flip


def _without_raw_file(file: Path) -> None:
    text = "ObjectType = Image\nNDims = 3\nDimSize = 10 12 6\nElementType = MET_SHORT\n"
    file.write_text(text + "ElementDataFile = gone.raw\n")


def _only_t1c(root: Path) -> None:
    for kind in ("T1", "T2", "Flair"):
        case_files(root, "flat2015")[kind].unlink()


def _copy_case(root: Path) -> None:
    case = case_files(root, "flat2015")["T1"].parent
    shutil.copytree(case, case.parents[1] / "copy" / case.name)


def _smooth_label(file: Path) -> None:
    array = read_volume(file).array.astype(np.float32)
    write_volume(file, 0.5 * (array + np.roll(array, 1, axis=2)))


def _of_rank(rank: int) -> Callable[[Path], object]:
    def write(file: Path) -> None:
        sitk.WriteImage(sitk.Image([10, 12, 6, 2][:rank], sitk.sitkInt16), str(file))

    return write


def _keep_cases(count: int) -> Callable[[Path], object]:
    def remove(root: Path) -> None:
        for number in (1, 2)[count:]:
            shutil.rmtree(case_files(root, "flat2015", number)["T1"].parent)

    return remove


def _bomb(file: Path) -> None:
    """A header of 10^9 voxels per axis in front of compressed zeros."""
    content = gzip.decompress(file.read_bytes())
    header = bytearray(content[:352])
    header[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    file.write_bytes(gzip.compress(bytes(header) + bytes(1_000_000)))


def _extremes(root: Path) -> None:
    file = case_files(root, "flat2015")["T1"]
    array = read_volume(file).array.astype(np.int16)
    array[2, 5, 5], array[2, 5, 6] = -32768, 32767
    write_volume(file, array)


def _huge(root: Path) -> None:
    file = case_files(root, "flat2015")["T1"]
    array = read_volume(file).array.astype(np.float32)
    array[2, 5, 5] = 1e30
    write_volume(file, array)


CUTS = {"10 %": _keep(0.1), "60 %": _keep(0.6)}
REFUSED = [
    *(
        Fault(1, f"{name} of an mha", _in_first_case(cut, "T2"), r"MR_T2\.\S+ is damaged")
        for name, cut in {**CUTS, "only the header": _keep_header}.items()
    ),
    *(
        Fault(
            2,
            f"{name} of a nii.gz",
            _in_first_case(cut, "T2", "brats2020"),
            r"001_t2\.nii\.gz is damaged",
            "brats2020",
        )
        for name, cut in {**CUTS, "only the header": _keep(0.02)}.items()
    ),
    *(
        Fault(
            3,
            f"a flipped byte at {position:.0%}",
            _in_first_case(_flip(position), "Flair", "brats2020"),
            r"001_flair\.nii\.gz is damaged",
            "brats2020",
        )
        for position in (0.3, 0.5, 0.7, 0.9)
    ),
    Fault(3, "a flipped byte in an mha", _defect("flipped"), r"MR_Flair\.\S+ is damaged"),
    Fault(4, "no bytes", _defect("no bytes"), r"MR_T1\.\S+ is damaged"),
    Fault(
        4,
        "a web page saved as mha",
        _in_first_case(lambda file: file.write_text("<html>404</html>"), "T1"),
        r"MR_T1\.\S+ is damaged or of another type",
    ),
    Fault(
        5, "voxels in a file of their own", _in_first_case(_without_raw_file, "T1"), r"MR_T1\.\S+"
    ),
    Fault(6, "a missing modality", _defect("missing"), "has no T1c file"),
    Fault(7, "a modality twice", _defect("repeated"), "has T1 twice, in .*99999.mha; keep one"),
    Fault(7, "a copied case", _copy_case, r"pat0001_1.* twice"),
    Fault(8, "only T1c", _only_t1c, "has no T1(, | and )"),
    Fault(9, "another shape", _defect("shape"), r"the shape of \S+MR_T1\.\S+ is \(6, 12, 10\)"),
    Fault(10, "another spacing", _defect("spacing"), r"the spacing of \S+ is"),
    Fault(11, "another origin", _defect("origin"), r"the origin of \S+ is"),
    Fault(11, "another direction", _defect("direction"), r"the direction of \S+ is"),
    Fault(12, "not a number", _defect("NaN"), r"MR_T1c\.\S+ holds 1 NaN or infinite"),
    Fault(13, "infinite", _defect("infinite"), r"OT\.\S+ holds 1 NaN or infinite"),
    Fault(14, "two voxels at the ends of 16 bits", _extremes, r"MR_T1\.\S+ ranges from -32768 to"),
    Fault(14, "one huge voxel", _huge, r"MR_T1\.\S+ ranges from \S+ to 1e\+30"),
    Fault(15, "a volume of zeros", _defect("zero"), r"MR_T2\.\S+ is constant"),
    Fault(17, "a constant volume", _defect("constant"), "is constant .every voxel is 7"),
    Fault(18, "a foreign label", _defect("value"), r"OT\.\S+ holds the values 7"),
    Fault(18, "a label between two", _defect("fraction"), "holds the values 2.5"),
    Fault(
        19,
        "labels of an unknown year",
        lambda root: None,
        "--slicing.label_scheme brats2023|brats2024",
        "brats2023",
    ),
    Fault(20, "an interpolated label", _in_first_case(_smooth_label, "label"), r"OT\.\S+ holds"),
    Fault(22, "too few slices", _defect("short"), "has 1 slices, and of --slicing.slices"),
    Fault(23, "two dimensions", _in_first_case(_of_rank(2), "T1"), r"10, 12\)"),
    Fault(23, "four dimensions", _in_first_case(_of_rank(4), "T1"), "10, 12, 6, 2"),
    Fault(24, "an empty folder", _keep_cases(0), r"No .* in \S*data"),
    Fault(25, "one case", _keep_cases(1), "at least 2 patients"),
    Fault(
        55,
        "a decompression bomb",
        _in_first_case(_bomb, "T1", "brats2020"),
        r"001_t1\.nii\.gz",
        "brats2020",
    ),
]


def _zero_slice(root: Path) -> None:
    for kind, file in case_files(root, "flat2015").items():
        array = np.array(read_volume(file).array)
        array[2] = 0
        write_volume(file, array.astype(np.uint8 if kind == "label" else np.int16))


def _no_lesion(root: Path) -> None:
    write_volume(case_files(root, "flat2015")["label"], np.zeros([6, 12, 10], np.uint8))


def _clutter(root: Path) -> None:
    case = case_files(root, "flat2015")["T1"].parent
    for name in (".DS_Store", "._VSD.Brain.XX.O.MR_T1.1.mha", "notes.txt"):
        (case / name).write_text("x")
    (case / "loop").symlink_to(root)


HARMLESS = [
    Fault(16, "an empty slice in the range", _zero_slice, ""),
    Fault(21, "a case without lesion", _no_lesion, ""),
    Fault(28, "hidden files and links in a circle", _clutter, ""),
]

ELSEWHERE = {
    16: ["data/test_shards.py::test_empty_slices_are_skipped_and_counted"],
    26: [
        "data/test_splits.py::test_scans_of_one_patient_stay_on_one_side",
        "data/test_splits.py::test_a_leaking_or_empty_split_is_refused",
    ],
    27: [
        "experiments/test_names.py::test_hostile_names_are_data_like_any_other",
        "data/brats/test_subjects.py::"
        "test_a_root_that_is_the_patient_folder_and_other_alphabets_in_the_path",
    ],
    29: [
        "utils/runs/test_locking.py::test_a_read_only_folder_is_told_before_anything_else",
        "experiments/engine/test_starting.py::test_a_cache_that_cannot_be_written_is_told_before_training",
    ],
    30: [
        "experiments/test_small_disk.py::"
        "test_a_full_disk_ends_the_run_and_the_printed_command_goes_on",
        "utils/training/test_checkpoints.py::test_a_full_disk_leaves_the_earlier_checkpoints_and_is_named",
        "data/test_full_disk.py::test_a_full_disk_leaves_whole_samples_and_the_set_goes_on",
    ],
    31: [
        "utils/training/test_checkpoints.py::test_a_killed_save_leaves_the_checkpoint_before_it",
        "experiments/test_killed_runs.py::test_runs_survive_fifty_kills_at_random_moments",
    ],
    32: [
        "data/test_shards.py::test_kill_9_half_way_is_made_good_by_the_next_build",
    ],
    33: [
        "experiments/test_processes.py::test_ctrl_c_saves_and_says_how_to_continue",
        "utils/training/test_signals.py::test_the_second_signal_stops_at_once",
    ],
    34: [
        "utils/runs/test_files.py::test_a_file_is_on_the_disk_before_it_gets_its_name",
        "utils/training/test_checkpoints.py::test_both_files_are_on_the_disk_before_the_index_gets_its_name",
    ],
    35: ["experiments/engine/test_resuming.py::test_a_change_has_to_be_allowed"],
    36: [
        "utils/training/test_checkpoints.py::test_networks_that_do_not_fit_are_named",
    ],
    37: [
        "utils/training/test_checkpoints.py::"
        "test_all_readers_pass_by_a_damaged_checkpoint_and_say_so"
    ],
    38: [
        "experiments/engine/test_starting.py::test_a_second_start_ends_with_2_and_touches_nothing",
        "utils/runs/test_locking.py::test_what_a_killed_process_leaves_locks_nobody_out",
    ],
    39: [
        "utils/training/test_trainer.py::test_stop_and_resume_equal_an_uninterrupted_run_bit_by_bit"
    ],
    40: [
        "utils/training/test_faults.py::"
        "test_the_state_before_a_bad_step_is_saved_and_all_is_written_down"
    ],
    41: ["utils/training/test_alarms.py::test_a_storm_of_overflows_is_told"],
    42: [
        "utils/training/test_alarms.py::"
        "test_a_constant_generator_is_told_once_and_a_healthy_one_never"
    ],
    43: [
        "utils/training/test_faults.py::test_too_little_memory_is_told_and_the_checkpoint_kept",
    ],
    44: ["utils/training/test_distribute.py::test_a_run_without_gpu_says_so"],
    45: [
        "experiments/test_faults.py::test_the_other_worker_ends_with_a_sentence",
    ],
    46: [
        "utils/runs/test_cluster.py::test_an_unusable_description_is_told",
        "utils/runs/test_cluster.py::test_a_second_process_with_the_same_index_is_told",
    ],
    47: ["data/test_sharding.py::test_one_file_feeds_any_number_of_workers"],
    48: [
        "utils/runs/test_environment.py::test_wrong_packages_are_named_with_their_remedy",
    ],
    50: [
        "experiments/engine/test_cli.py::test_runs_of_the_same_second_have_folders_of_their_own",
    ],
    51: [
        "data/test_shards.py::test_other_settings_or_sources_get_another_directory",
    ],
    52: [
        "utils/metrics/test_features.py::test_inception_weights_are_checked_before_use",
    ],
    53: [
        "utils/metrics/test_distributions.py::test_too_few_samples_are_warned_about",
    ],
    55: [
        "data/test_integrity.py::test_a_file_that_expands_far_beyond_its_header_is_refused",
    ],
    56: [
        "test_safety.py::test_no_source_runs_what_it_reads",
        "data/synthetic_sets/test_files.py::test_a_sample_that_is_no_archive_of_arrays_is_named",
    ],
    57: [
        "experiments/engine/test_hostile_settings.py::test_a_file_that_is_no_plain_yaml_is_named",
    ],
    59: ["experiments/test_names.py::test_hostile_names_are_data_like_any_other"],
    60: [
        "utils/reporting/test_tables.py::test_a_formula_becomes_text_and_other_texts_stay",
        "utils/reporting/test_report.py::test_text_from_outside_never_becomes_markup",
    ],
    61: ["utils/runs/test_outputs.py::test_a_file_is_made_only_where_none_is"],
    62: ["test_readme.py::test_servers_are_for_private_networks"],
}
NOT_HERE = {
    49: "there are no optional dependencies: all packages are required at installation",
    54: "no archive is ever unpacked: tests/test_safety.py finds no import that could",
    58: "no model is ever built from a file: tests/test_safety.py finds no call that could",
}


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
