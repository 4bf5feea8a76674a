"""Data sets whose files have other names, which a layout file tells."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.brats.label_schemes import resolve_scheme
from data.brats.layouts import EXAMPLE, kind_named, layout_text
from data.brats.namings import patient_of
from data.brats.preparation import prepare_subject
from data.brats.subjects import Case, find_cases
from data.brats.verification import case_verdict, verify_cases
from data.volumes import write_volume
from tests.data.trees import TINY, case_files, tiny_case, write_case
from utils.errors import UserError

FOREIGN = {"T1": "T1", "T2": "T2", "T1c": "T1_contrast", "Flair": "FLAIR", "label": "mask"}
LAYOUT = {kind: f"{{case}}/{name}.nii.gz" for kind, name in FOREIGN.items()}
SCHEME = {"label_scheme": "brats2020"}


def volumes(number: int) -> dict[str, np.ndarray]:
    case = tiny_case(number)
    return {**case.images, "label": case.label}


def foreign(root: Path, folder: str = "sub-{:03d}") -> Path:
    """Two cases of a naming of their own."""
    for number in (1, 2):
        for kind, array in volumes(number).items():
            write_volume(root / folder.format(number) / f"{FOREIGN[kind]}.nii.gz", array)
    return root


def text_of(content: dict) -> str:
    return layout_text(json.dumps(content))


def slices_of(case: Case, layout: str | None = None):
    config = replace(TINY, layout=layout)
    return prepare_subject(case.subject(), config, resolve_scheme([case], None))


def assert_read(cases: list[Case], tmp_path: Path) -> None:
    """The slices are those of the same two cases in a known layout, and everything is good."""
    assert len(cases) == 2
    for number, case in enumerate(cases, 1):
        write_case(case_files(tmp_path / "known", "brats2020", number), tiny_case(number))
        known = find_cases(tmp_path / "known")[number - 1]
        expected, found = slices_of(known), slices_of(case)
        np.testing.assert_array_equal(found.images, expected.images)
        np.testing.assert_array_equal(found.label, expected.label)
        assert case_verdict(case, TINY).problems == ()
    first = verify_cases(cases, TINY, tmp_path / "cache", progress=False)
    assert verify_cases(cases, TINY, tmp_path / "cache", progress=False) == first


def test_a_layout_file_reads_any_naming_and_is_kept_as_its_content(tmp_path):
    file = tmp_path / "names.yaml"
    file.write_text("".join(f'{k}: "{v}"\n' for k, v in {**LAYOUT, **SCHEME}.items()))
    config = replace(TINY, layout=str(file))
    file.unlink()
    assert json.loads(config.layout) == {**LAYOUT, **SCHEME}
    assert replace(config, slices=(1, 4)).layout == config.layout  # its own text is one, too
    cases = find_cases(foreign(tmp_path / "data"), config.layout)
    assert [case.id for case in cases] == ["sub-001", "sub-002"]
    assert_read(cases, tmp_path)


def test_without_a_layout_the_message_shows_one_that_works_with_the_files_names(tmp_path):
    root = foreign(tmp_path / "data")
    with pytest.raises(UserError, match=r"found 10 others such as \S+sub-001/FLAIR.nii.gz") as e:
        find_cases(root)
    (example,) = re.findall(r"YAML file for --slicing.layout, such as (\{.*\})\.$", str(e.value))
    assert example == EXAMPLE
    for told, name in (("T1c", "T1_contrast"), ("Flair", "FLAIR"), ("label", "mask")):
        example = example.replace(f"/{told}.nii.gz", f"/{name}.nii.gz")
    (tmp_path / "names.yaml").write_text(example)
    assert_read(find_cases(root, layout_text(str(tmp_path / "names.yaml"))), tmp_path)


def test_patterns_match_the_end_of_a_path_with_stars_and_repeated_names(tmp_path):
    for number in (1, 2):
        for kind, array in volumes(number).items():
            name = f"p{number}/deep/s_{number}/s_{number}-x{number}-{FOREIGN[kind]}.nii.gz"
            write_volume(tmp_path / "data" / name, array)
    hidden = tmp_path / "data/p1/deep/s_1/._s_1-x1-T1.nii.gz"
    hidden.write_bytes(b"macOS")
    layout = {k: f"{{case}}/{{case}}-*-{name}.nii.gz" for k, name in FOREIGN.items()}
    cases = find_cases(tmp_path / "data", text_of({**layout, **SCHEME}))
    assert [case.id for case in cases] == ["s_1", "s_2"]
    assert_read(cases, tmp_path)
    with pytest.raises(UserError, match="searched for files as --slicing.layout .* describes"):
        find_cases(tmp_path / "data", text_of({**LAYOUT, **SCHEME}))


def test_a_layout_may_tell_the_patient_of_several_cases(tmp_path):
    layout = {k: f"{{patient}}/{{case}}/{name}.nii.gz" for k, name in FOREIGN.items()}
    cases = find_cases(foreign(tmp_path, "anna/scan{:d}"), text_of({**layout, **SCHEME}))
    assert [case.id for case in cases] == ["anna__scan1", "anna__scan2"]
    assert {patient_of(case.id) for case in cases} == {"anna"}


def test_label_values_of_a_layout_have_to_be_told(tmp_path):
    cases = find_cases(foreign(tmp_path), text_of(LAYOUT))
    with pytest.raises(UserError, match="case sub-00. do not tell .* 1=necrosis,2=oedema,4=enh"):
        resolve_scheme(cases, None)
    assert resolve_scheme(cases, "brats2020") == "brats2020"
    own = text_of({**LAYOUT, "label_scheme": {1: "necrosis", 2: "oedema", 4: "enhancing"}})
    assert resolve_scheme(find_cases(tmp_path, own), None) == "1=necrosis,2=oedema,4=enhancing"
    assert resolve_scheme(find_cases(tmp_path, own), "brats2015") == "brats2015"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({k: v for k, v in LAYOUT.items() if k != "T2"}, "for each of T1, T2, .* found no T2"),
        ({**LAYOUT, "PD": "{case}/PD.nii.gz"}, "found the unknown PD; write it such as"),
        ({**LAYOUT, "T1": "T1.nii.gz"}, r"T1 as a pattern with \{case\} .* found 'T1.nii.gz'"),
        ({**LAYOUT, "T1": "{case}/T1.nrrd"}, "ends in .nii.gz, .nii or .mha, found"),
        ({**LAYOUT, "label_scheme": "2021"}, "Unknown --slicing.label_scheme 2021"),
        ([1, 2], "found no T1, no T2, no T1c, no Flair, no label"),
    ],
)
def test_what_is_wrong_with_a_layout_is_told(tmp_path, content, sentence):
    file = tmp_path / "names.yaml"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=sentence):
        replace(TINY, layout=str(file))


@pytest.mark.parametrize("text", [None, "T1: [", "\xff"])
def test_a_layout_that_cannot_be_read_is_named(tmp_path, text):
    file = tmp_path / "names.yaml"
    if text:
        file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=f"--slicing.layout {file} must be a YAML file, but"):
        replace(TINY, layout=str(file))


WORDS = {"T1": "T1w t1n T1", "T2": "T2w t2", "T1c": "T1Gd t1ce T1-post", "Flair": "T2-FLAIR t2f"}


@pytest.mark.parametrize("kind", WORDS)
def test_modalities_have_many_names(kind):
    assert {kind_named(word) for word in WORDS[kind].split()} == {kind}
    assert kind_named("CT") is None
