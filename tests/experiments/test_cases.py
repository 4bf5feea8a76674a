"""Bad cases of the user's data: refused, or left out of a run by --skip-bad and kept out of it."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.layouts import EXAMPLE
from data.opening import read_skipped
from data.shards import PreparedSlices
from data.splits import split_subjects
from data.volumes import write_volume
from experiments import verify_data
from experiments.engine.cli import parse
from experiments.engine.performing import make
from experiments.engine.recording import command
from experiments.engine.report import add_trainings
from experiments.engine.run import Run
from tests.data.trees import SHAPE, case_files, tiny_case, write_case, write_tree
from tests.experiments.bench import CONFIG, Bench
from utils.errors import UserError
from utils.reporting.report import Report

NAMES = [f"brats_2013_pat{number:04d}_1" for number in range(1, 7)]


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_good_data_trains_as_ever_and_is_checked_once(bench, capsys):
    assert bench.start() == 0
    assert "Checking cases: 100%" in capsys.readouterr().err
    (run,) = bench.runs
    assert run.skipped == {} and run.data_note == "data"
    assert (
        not bench.run.skipped_cases.exists() and "skip_bad" not in bench.run.config_file.read_text()
    )
    settings = {"seed": CONFIG.seed, "patient_of": BRATS.patient_of}
    assert split_subjects(NAMES, CONFIG.test_fraction, **settings) == run.split
    shutil.rmtree(bench.data.parent / "cache" / "verified")
    assert bench.start("--resume") == 0  # the slices of these cases are there
    assert "Checking" not in capsys.readouterr().err


def test_bad_cases_are_refused_in_one_sentence(bench, capsys):
    for number, name in ((2, "missing"), (3, "NaN"), (4, "value"), (6, "cut")):
        bench.spoil(number, name)
    assert bench.start() == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line[:6] == "error:"]
    assert error.startswith(f"error: 4 of the 6 cases in {bench.data} cannot be trained on: ")
    assert all(f"{name} (" in error for name in NAMES[1:4]) and NAMES[5] not in error
    assert " and 1 more; see all" in error and error.endswith("or add --skip-bad to a new run")
    assert not bench.run.path.exists()
    words = shlex.split(error.split("`")[1])
    assert words[:2] == ["python", "experiments/verify_data.py"]
    with pytest.raises(UserError, match="4 of the 6 cases"):  # it checks the same
        verify_data.main([*words[2:], "--cache", str(bench.data.parent / "cache")])


def test_skip_bad_leaves_them_out_of_split_and_slices_and_says_so(bench, capsys):
    bench.spoil(2, "missing")
    bench.spoil(3, "NaN")
    assert bench.start("--skip-bad") == 0
    assert f"left out as bad: {NAMES[1]}, {NAMES[2]}; {bench.run.skipped_cases} says why" in (
        capsys.readouterr().out
    )
    (run,) = bench.runs
    good = [NAMES[0], *NAMES[3:]]
    split = json.loads(bench.run.splits.read_text())
    assert sorted(split["train"] + split["test"]) == good
    assert list(PreparedSlices.open(BRATS, run.prepared.directory).subject_ids) == good
    assert run.data_note == "data (2 of 6 cases left out as bad)"
    report = Report("<report>")
    add_trainings(report, run.changed(experiment=replace(run.experiment, stages=())))
    report.write(bench.run.path / "report.html")
    page = (bench.run.path / "report.html").read_text()
    assert "2 bad cases left out" in page and NAMES[1] not in page  # the page names no patient
    assert "holds 1 NaN" in bench.run.skipped_cases.read_text()


def test_the_same_good_cases_share_slices_and_split_with_a_folder_of_them(bench, tmp_path):
    bench.spoil(5, "value")
    assert bench.start("--skip-bad") == 0
    shutil.rmtree(bench.run.path)
    shutil.rmtree(case_files(bench.data, "flat2015", 5)["T1"].parent)
    assert bench.start() == 0
    skipped, removed = bench.runs
    assert skipped.prepared == removed.prepared and skipped.split == removed.split


def test_a_resumed_run_leaves_the_same_cases_out(bench, capsys):
    good = bench.data.parent / "good"
    shutil.copytree(bench.data, good)
    bench.spoil(2, "missing")
    assert bench.start("--skip-bad") == 0
    assert json.loads(bench.run.config_file.read_text())["skip_bad"] is True
    launch = bench.launch("--resume")
    assert launch.skip_bad and parse(shlex.split(launch.command)[2:], bench.experiment) == launch
    assert bench.start("--resume") == 0
    # Repaired, the case stays out: nothing of a run's split changes.
    shutil.rmtree(bench.data)
    shutil.copytree(good, bench.data)
    assert bench.start("--resume") == 0
    assert [run.skipped.keys() for run in bench.runs] == [{NAMES[1]}] * 3
    assert len({run.split for run in bench.runs}) == 1
    # A case that the run works on is never left out later.
    bench.spoil(4, "zero")
    capsys.readouterr()
    assert bench.start("--resume") == 2
    error = capsys.readouterr().err
    assert f"1 of the 5 cases in {bench.data} cannot be trained on: {NAMES[3]} (" in error


def test_a_run_begun_without_it_refuses_it(bench):
    assert bench.start() == 0
    with pytest.raises(UserError, match="changes skip-bad: False -> True"):
        bench.launch("--resume", "--skip-bad")


def test_too_few_good_cases_are_refused_and_leave_nothing(bench, capsys):
    for number in range(1, 7):
        bench.spoil(number, "zero")
    assert bench.start("--skip-bad") == 2
    error = capsys.readouterr().err
    assert "6 of the 6 cases" in error and "--skip-bad" not in error
    assert not bench.run.path.exists()
    shutil.rmtree(bench.data)
    write_tree(bench.data, "flat2015", count=2)
    bench.spoil(1, "zero")
    assert bench.start("--skip-bad") == 2
    error = capsys.readouterr().err
    assert "1 of the 2 cases" in error and "repair or remove" in error and "says why" not in error
    assert not bench.run.path.exists()
    assert not bench.run.path.exists()


def test_the_main_run_of_a_table_leaves_them_out_as_well(bench):
    bench.spoil(3, "origin")
    path, strategy = bench.run.path / "main", tf.distribute.get_strategy()
    with pytest.raises(UserError, match="1 of the 6 cases"):
        make(bench.experiment, replace(bench.launch(), out=path), strategy)
    assert not path.exists()
    for _ in range(2):
        make(bench.experiment, replace(bench.launch("--skip-bad"), out=path), strategy)
    assert [run.skipped.keys() for run in bench.runs] == [{NAMES[2]}] * 2


def test_a_link_to_nothing_is_a_bad_case(bench, capsys):
    bench.spoil(6, "link to nothing")
    assert bench.start() == 2 and "does not exist or is not a file" in capsys.readouterr().err
    assert bench.start("--skip-bad") == 0 and bench.runs[0].skipped.keys() == {NAMES[5]}


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}'])
def test_a_damaged_record_is_told(bench, content):
    bench.run.path.mkdir()
    bench.run.skipped_cases.write_text(content)
    with pytest.raises(UserError, match="skipped_cases.json must be a JSON object"):
        read_skipped(bench.run)
    assert bench.start() == 2 and bench.run.skipped_cases.read_text() == content


def test_a_printed_command_keeps_the_word(bench):
    def printed(*words: str) -> str:
        strategy = tf.distribute.get_strategy()
        return command(Run(bench.experiment, bench.launch(*words), strategy, writes=False))

    assert printed("--skip-bad").endswith("--data DIR --skip-bad")
    assert "--skip-bad" not in printed()


def without_lesion(bench: Bench, *names: str) -> None:
    for name in names:
        files = case_files(bench.data, "flat2015", int(name[-3]))
        write_case(files, replace(tiny_case(int(name[-3])), label=np.zeros(SHAPE, np.uint8)))


def test_data_without_lesion_is_refused_before_the_first_step(bench, capsys):
    without_lesion(bench, *NAMES)
    assert bench.start() == 2 and not bench.runs and not bench.run.path.exists()
    error = capsys.readouterr().err
    assert f"No training case in {bench.data} has a lesion in the slices" in error
    assert "or choose other --slicing.slices" in error
    files = case_files(bench.data, "flat2015", 1)
    write_case(files, tiny_case(1))  # the advice: cases with lesions, or other slices
    write_case(case_files(bench.data, "flat2015", 2), tiny_case(2))
    assert bench.start() == 0


def test_lesions_are_counted_for_each_part_and_a_part_without_is_told(bench, capsys):
    assert bench.start() == 0
    (run,) = bench.runs
    counts = dict(zip(run.prepared.subject_ids, run.prepared.lesions_per_subject))
    assert set(counts.values()) == {4}
    held_out = len(run.split.test)
    assert f"slices with a lesion: {4 * (6 - held_out)} in train, {4 * held_out} in test" in (
        capsys.readouterr().out
    )
    shutil.rmtree(bench.run.path)
    without_lesion(bench, *run.split.test)
    assert bench.start() == 0
    assert " in train, 0 in test" in capsys.readouterr().out
    # Reports and tables print the note on the data.
    assert bench.runs[-1].data_note == "data (no slices with a lesion in the part test)"
    assert bench.start("--resume") == 0 and bench.runs[-1].data_note == bench.runs[-2].data_note


def test_a_run_keeps_its_layout_and_needs_no_file_any_more(bench, capsys):
    for number in range(1, 7):
        for kind, path in case_files(bench.data, "flat2015", number).items():
            path.rename(path.with_name(f"{kind}.mha"))
    assert bench.start() == 2
    assert "or describe the names in a YAML file for --slicing.layout, such as {" in (
        capsys.readouterr().err
    )
    file = bench.data.parent / "names.yaml"
    file.write_text(EXAMPLE.replace(".nii.gz", ".mha"))
    word = f"--slicing.layout={file}"
    assert bench.start(word) == 0 and bench.runs[-1].split.train
    file.unlink()
    assert bench.start("--resume") == 0
    first, resumed = bench.runs
    assert resumed.config == first.config and resumed.split == first.split
    # The command that a refusal names has the content, too.
    label = bench.data / "HGG" / first.split.train[0] / "label.mha"
    label.write_bytes(b"")
    assert bench.start("--resume") == 2
    words = shlex.split(capsys.readouterr().err.split("`")[1])
    with pytest.raises(UserError, match="1 of the 6 cases"):
        verify_data.main([*words[2:], "--cache", str(bench.data.parent / "cache")])


@pytest.mark.parametrize("kind", ["rounded", "bright"])
def test_what_happens_to_good_cases_is_said_before_training(bench, capsys, kind):
    files = case_files(bench.data, "flat2015", 1)
    if kind == "rounded":
        write_volume(files["label"], tiny_case(1).label * 1.0001)
        note = "label values up to 0.01 off whole numbers are rounded"
    else:
        array = np.zeros(SHAPE, np.int16)
        array[1:5, 2:10, 2:9] = tiny_case(1).images["T2"][1:5, 2:10, 2:9] - 500
        write_volume(files["T2"], array)
        note = "T2: the background is not the minimum, as in z-scored volumes: it becomes 0, the"
    assert bench.start() == 0
    assert f"note on case {NAMES[0]}: {note}" in capsys.readouterr().out
