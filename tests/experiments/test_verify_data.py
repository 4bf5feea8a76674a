from __future__ import annotations

import csv
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from data.brats.layouts import EXAMPLE
from data.brats.subjects import find_cases
from data.brats.verification import verify_cases
from data.volumes import write_volume
from experiments import verify_data
from tests.data.defects import DEFECTS
from tests.data.trees import TINY, case_files, tiny_case, write_case, write_tree
from utils.runs.environment import REPOSITORY
from utils.runs.exits import exit_code

CROP = (
    "--slicing.slices=[1,5]",
    "--slicing.rows=[2,10]",
    "--slicing.columns=[1,9]",
    "--slicing.frame=[6,12,10]",
)
PLANTED = list(DEFECTS)[:10]


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the script in this process: words -> (exit code, text of stdout, text of stderr)."""

    def call(*words: str) -> tuple[int, str, str]:
        words = (*words, "--cache", str(tmp_path / "cache"))
        code = exit_code(lambda: verify_data.main(words), verify_data._after_interrupt)
        return (code, *capsys.readouterr())

    return call


def table(text: str) -> dict[str, tuple[str, str]]:
    """{case: (verdict, problem)} of what is on screen."""
    rows = re.findall(r"^(\S+) +(ok|bad) *(.*)$", text, re.MULTILINE)
    return {case: (verdict, problem) for case, verdict, problem in rows}


def test_ten_defects_in_twelve_cases_are_named_and_two_cases_pass(tmp_path):
    root = write_tree(tmp_path / "data", "flat2015", count=12)
    for number, name in enumerate(PLANTED, start=2):
        DEFECTS[name].spoil(case_files(root, "flat2015", number))
    out = tmp_path / "verdicts.csv"
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "experiments/verify_data.py"), "--data", str(root)]
        + [*CROP, "--out", str(out), "--cache", str(tmp_path / "cache")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert f"error: 10 of the 12 cases in {root} are bad" in result.stderr
    found = table(result.stdout)
    with out.open(newline="", encoding="utf-8") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    names = {number: f"brats_2013_pat{number:04d}_1" for number in range(1, 13)}
    assert list(found) == list(rows) == list(names.values())
    for number in (1, 12):
        assert found[names[number]] == ("ok", "")
        assert list(rows[names[number]].values()) == [names[number], "ok", "4", "", "", ""]
    for number, name in enumerate(PLANTED, start=2):
        verdict, problem = found[names[number]]
        assert verdict == "bad" and re.search(DEFECTS[name].sentence, problem), name
        assert rows[names[number]]["problems"] == problem and str(root) not in problem
        assert rows[names[number]]["verdict"] == "bad"
    assert rows[names[2]]["files"] == f"HGG/{names[2]}/VSD.Brain.XX.O.MR_T2.54021.mha"
    assert len(rows[names[5]]["files"].splitlines()) == 2  # both files of a modality


def test_good_data_ends_with_0_and_is_not_read_again_by_training(run, tmp_path, capsys):
    root = write_tree(tmp_path / "data", "brats2020")
    code, printed, complaint = run("--data", str(root), *CROP)
    assert code == 0 and f"All 2 cases in {root} are good." in printed
    assert "Checking cases: 100%" in complaint
    assert list(table(printed).values()) == [("ok", "")] * 2
    verify_cases(find_cases(root), TINY, tmp_path / "cache")  # as training does
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("count, advised", [(2, False), (3, True)])
def test_leaving_out_is_advised_only_if_enough_would_be_left(run, tmp_path, count, advised):
    root = write_tree(tmp_path / "data", "flat2015", count=count)
    DEFECTS["value"].spoil(case_files(root, "flat2015"))
    code, _, complaint = run("--data", str(root), *CROP)
    assert code == 2 and "do what their verdicts say" in complaint
    assert ("train on the other 2 with --skip-bad" in complaint) == advised
    assert ("--skip-bad" in complaint) == advised


def test_several_problems_have_a_line_each(run, tmp_path):
    root = write_tree(tmp_path / "data", "flat2015", count=1)
    for name in ("missing", "value"):
        DEFECTS[name].spoil(case_files(root, "flat2015"))
    code, printed, complaint = run("--data", str(root), *CROP)
    assert code == 2 and f"1 of the 1 cases in {root} is bad" in complaint
    assert "--skip-bad" not in complaint  # nothing would be left
    first, second = printed.splitlines()[1:]
    assert "bad      Case" in first and first.index("Case") == second.index("The label")


def test_the_label_scheme_is_demanded(run, tmp_path):
    root = write_tree(tmp_path / "data", "brats2023")
    code, printed, _ = run("--data", str(root), *CROP)
    assert code == 2 and printed.count("--slicing.label_scheme brats2023|brats2024") == 2
    assert run("--data", str(root), *CROP, "--slicing.label_scheme=brats2023")[0] == 0
    code, printed, complaint = run("--data", str(root), "--slicing.label_scheme=brats2030")
    assert (code, printed) == (2, "") and "expected one of brats2015" in complaint


def test_cases_of_two_releases_are_refused(run, tmp_path):
    write_tree(tmp_path / "data", "flat2015")
    root = write_tree(tmp_path / "data", "brats2020")
    code, printed, complaint = run("--data", str(root), *CROP)
    assert code == 2 and len(table(printed)) == 4
    assert "must be named after one BRATS release" in complaint


def test_a_table_is_replaced_only_when_told(run, tmp_path):
    root, out = write_tree(tmp_path / "data", "flat2015"), tmp_path / "a.csv"
    out.write_text("mine")
    words = ("--data", str(root), *CROP, "--out", str(out))
    code, printed, complaint = run(*words)
    assert (code, printed) == (2, "") and "exists; add --overwrite or choose another" in complaint
    assert out.read_text() == "mine"
    assert run(*words, "--overwrite")[0] == 0 and out.read_text().startswith("case,verdict,")
    for place, reason in ((tmp_path, "is a folder; give a file"), (out / "b", "cannot be written")):
        code, printed, complaint = run(*words[:-1], str(place), "--overwrite")
        assert (code, printed) == (2, "") and f"--out {place} {reason}" in complaint


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "data"),
        (("--data", "no/such"), "no/such does not exist or is not a folder; check --data"),
        (("--data", "."), "No BRATS case was found in"),
        (("--data", ".", "--slicing.slice=[1,5]"), "did you mean --slicing.slices?"),
        (("--data", ".", "--slicing.slices=[5,1]"), "must be a range 0 <= first < end"),
    ],
)
def test_bad_usage_ends_with_2(run, tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    try:
        code, _, complaint = run(*words)
    except SystemExit as caught:
        code, complaint = caught.code, capsys.readouterr().err
    assert code == 2 and sentence in complaint


def test_names_of_cases_cannot_harm_terminal_or_spreadsheet(run, tmp_path):
    files = case_files(tmp_path / "data", "flat2015")
    write_case(files, tiny_case(1))
    patient = files["T1"].parent
    for name in ("=cmd|'!A1", "-1+1", "red\x1b[31m\nnext", "a,b;$(touch x)"):
        (patient.parent / name).mkdir()
        (patient.parent / name / files["T1"].name).write_bytes(files["T1"].read_bytes())
    out = tmp_path / "a.csv"
    code, printed, _ = run("--data", str(tmp_path / "data"), *CROP, "--out", str(out))
    assert code == 2 and "\x1b" not in printed and "red\ufffd[31m\ufffdnext" in printed
    with out.open(newline="", encoding="utf-8") as file:
        names = [row["case"] for row in csv.DictReader(file)]
    assert names[:2] == ["'-1+1", "'=cmd|'!A1"] and "a,b;$(touch x)" in names
    assert "\x1b" not in out.read_text()


def test_it_needs_no_tensorflow_and_shows_its_help():
    """TensorFlow takes seconds to import."""
    program = "import sys, runpy\nsys.argv = ['verify_data.py', '--help']\ntry:\n    {}\n{}"
    program = program.format(
        f"runpy.run_path({str(REPOSITORY / 'experiments/verify_data.py')!r}, run_name='__main__')",
        "except SystemExit as end:\n    sys.exit(end.code or 'tensorflow' in sys.modules)",
    )
    folder = str(REPOSITORY / "experiments")
    words = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {folder!r})\n{program}"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--slicing.layout" in result.stdout and "--slicing.label_scheme" in result.stdout


def without_lesion(root, layout: str, *numbers: int):
    for number in numbers:
        files = case_files(root, layout, number)
        write_case(files, replace(tiny_case(number), label=np.zeros((6, 12, 10), np.uint8)))
    return root


def test_cases_without_lesion_are_counted_and_data_without_any_is_refused(run, tmp_path):
    root = without_lesion(write_tree(tmp_path / "data", "flat2015", 3), "flat2015", 2)
    out = tmp_path / "a.csv"
    code, printed, _ = run("--data", str(root), *CROP, "--out", str(out))
    assert code == 0 and ") do not have a lesion in the slices that are used" in printed
    with out.open(newline="", encoding="utf-8") as file:
        assert [row["slices with lesion"] for row in csv.DictReader(file)] == ["4", "0", "4"]
    without_lesion(root, "flat2015", 1, 3)
    code, printed, complaint = run("--data", str(root), *CROP)
    assert code == 2 and list(table(printed).values()) == [("ok", "")] * 3
    assert "none of the 3 cases" in complaint and "or choose other --slicing.slices" in complaint


def test_the_advice_on_slices_without_lesion_is_followed(run, tmp_path):
    root, label = tmp_path / "data", np.zeros((6, 12, 10), np.uint8)
    label[5, 4, 4] = 1
    write_case(case_files(root, "flat2015"), replace(tiny_case(1), label=label))
    assert run("--data", str(root), *CROP)[0] == 2
    assert run("--data", str(root), *CROP[1:], "--slicing.slices=[4,6]")[0] == 0


def test_what_happens_to_many_cases_is_said_once(run, tmp_path):
    root = tmp_path / "data"
    for number in (1, 2):
        case = tiny_case(number)
        images = {name: np.zeros((6, 12, 10), np.int16) for name in case.images}
        for name, array in images.items():
            array[1:5, 2:10, 2:9] = case.images[name][1:5, 2:10, 2:9] - 500
        write_case(case_files(root, "brats2020", number), replace(case, images=images))
        label = case_files(root, "brats2020", number)["label"]
        write_volume(label, case.label * 1.0001)
    code, printed, _ = run("--data", str(root), *CROP, "--slicing.label_scheme=brats2015")
    notes = [line for line in printed.splitlines() if line.startswith("note on 2 cases")]
    assert code == 0 and len(notes) == 3
    assert "read as brats2015, not as brats2020" in notes[0]
    assert "label values up to 0.01 off whole numbers are rounded" in notes[1]
    assert "T1, T2, T1c, Flair: the background is not the minimum" in notes[2]
    code, printed, _ = run("--data", str(root), *CROP[:3], "--slicing.frame=[8,14,10]")
    assert "size (6, 12, 10), not (8, 14, 10): slices 0..3, rows 1..8, columns 1..8 are" in printed


def test_a_renumbered_label_is_read_by_the_scheme_that_the_message_names(run, tmp_path):
    root = tmp_path / "data"
    for number in (1, 2):
        files, case = case_files(root, "brats2020", number), tiny_case(number)
        write_case(files, case)
        write_volume(files["label"], np.where(case.label == 4, 3, case.label))
    code, printed, _ = run("--data", str(root), *CROP)
    assert code == 2 and "holds the values 3 where brats2020 allows only 0, 1, 2, 4" in printed
    assert "brats2023 (1=necrosis,2=oedema,3=enhancing)" in printed
    for scheme in ("brats2023", "1=necrosis,2=oedema,3=enhancing"):
        assert run("--data", str(root), *CROP, f"--slicing.label_scheme={scheme}")[0] == 0


def test_a_name_that_is_not_utf_8_is_one_sentence_until_it_is_renamed(run, tmp_path):
    root = write_tree(tmp_path / "data", "brats2020")
    folder = case_files(root, "brats2020", 2)["T1"].parent
    strange = folder.rename(root / "case_M\udcfcller")
    out = tmp_path / "a.csv"
    code, printed, _ = run("--data", str(root), *CROP, "--out", str(out))
    assert code == 2 and printed.count("must be text in UTF-8, found other bytes; rename it") == 1
    assert "case_M\ufffdller" in out.read_text()
    strange.rename(folder)
    assert run("--data", str(root), *CROP)[0] == 0


def test_a_layout_reads_other_names(run, tmp_path):
    root = write_tree(tmp_path / "data", "brats2020")
    for number in (1, 2):
        for kind, path in case_files(root, "brats2020", number).items():
            path.rename(path.with_name(f"{kind}.nii.gz"))
    code, _, complaint = run("--data", str(root), *CROP)
    assert code == 2 and "describe the names in a YAML file for --slicing.layout" in complaint
    (tmp_path / "names.yaml").write_text(EXAMPLE)  # of the message, whose names these are
    layout = f"--slicing.layout={tmp_path / 'names.yaml'}"
    assert run("--data", str(root), *CROP, layout)[0] == 0


def test_other_data_sets_are_checked_by_their_name(run, tmp_path):
    folder = tmp_path / "data" / "2d_images"
    folder.mkdir(parents=True)
    for number, level in enumerate((0, 3000)):
        ramp = np.full((16, 16), level, np.int16)
        ramp[:8] = level and 3000
        ramp[:4] = -500 if not level else 3000
        sitk.WriteImage(sitk.GetImageFromArray(ramp), str(folder / f"ID_000{number}_Z_0001.tif"))
    words = ("--dataset", "lung_ct", "--data", str(tmp_path / "data"))
    code, out, err = run(*words)
    assert code == 2 and "1 of the 2 cases" in err
    assert table(out)["ID_0000"] == ("ok", "") and "without air" in table(out)["ID_0001"][1]
    code, out, _ = run(*words, "--slicing.window", "[-1000,4000]")
    assert code == 2  # still constant
    (folder / "ID_0001_Z_0001.tif").unlink()
    code, out, _ = run(*words)
    assert code == 0 and "All 1 cases in" in out
    code, _, err = run("--dataset", "kidney", "--data", str(tmp_path))
    assert code == 2 and "--dataset is 'kidney'; give one of brats, chest_xray" in err
