"""The viewer of volumes: what it finds, converts, serves and refuses, without a browser."""

from __future__ import annotations

import fnmatch
import gzip
import json
import re
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from data.volumes import write_volume
from experiments import view
from experiments.engine import pages
from tests.utils.serving.asking import ask
from utils.errors import UserError
from utils.runs.environment import REPOSITORY
from utils.runs.exits import exit_code
from utils.serving.starting import serving

SIZE = (6, 8, 10)  # [D,H,W]
GEOMETRY = ((1.0, 1.5, 2.0), (-20.0, 30.5, 7.0))


def voxels(dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, SIZE).astype(dtype)


def label() -> np.ndarray:
    """[D,H,W] uint8 with the values 1 and 4."""
    array = np.zeros(SIZE, np.uint8)
    array[2:4, 3:5, 6:8], array[2, 3, 6] = 1, 4
    return array


@pytest.fixture
def case(tmp_path) -> Path:
    """A folder with two volumes, their label, and files that are none."""
    folder = tmp_path / "case"
    write_volume(folder / "a_t1.nii.gz", voxels(), *GEOMETRY)
    write_volume(folder / "a_t2.mha", voxels(np.float32), *GEOMETRY)
    write_volume(folder / "a_seg.nii.gz", label(), *GEOMETRY)
    (folder / "notes.txt").write_text("none")
    (folder / "._a_t1.nii.gz").write_bytes(b"none")
    return folder


def run(monkeypatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["view.py", *map(str, words)])
    monkeypatch.setattr(view, "serve", lambda routes, options: None)
    return exit_code(view.main, view._after_interrupt)


def shown(*paths: Path, label: Path | None = None) -> list[view.Shown]:
    return [view.read(found) for found in view.find_files(paths, label)]


def listed(routes) -> dict:
    return json.loads(next(r for r in routes if r.path == "/volumes.json").handler(None).body)


def unpacked(packed: bytes) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(packed))


def test_a_folder_is_listed_with_its_label_on_top(case):
    content = listed(view.volume_routes(shown(case)))
    names = [[one["name"] for one in content[kind]] for kind in ("volumes", "labels")]
    assert names == [["a_t1.nii.gz", "a_t2.mha"], ["a_seg.nii.gz"]]
    assert content["volumes"][0] == {
        "name": "a_t1.nii.gz",
        "size": [10, 8, 6],
        "spacing": [1.0, 1.5, 2.0],
        "label": 0,
        "other_grid": [],
    }
    assert content["labels"][0]["values"] == [1, 4]
    middle = np.array(GEOMETRY[1]) + np.array(GEOMETRY[0]) * (6.5, 3.5, 2.5)  # LPS
    assert content["labels"][0]["centre"] == pytest.approx([-middle[0], -middle[1], middle[2]])


def test_what_is_served_is_the_list_and_the_volumes_and_nothing_else(case):
    routes = [*pages.page_routes("view", with_niivue=True), *view.volume_routes(shown(case))]
    paths = {"/", "/common.css", "/view.css", "/view.js", "/niivue.js", "/volumes.json"}
    paths |= {"/volume-0.nii", "/volume-1.nii", "/label-0.nii"}
    assert {route.path for route in routes} == paths
    assert all(route.method == "GET" and route.limit_bytes == 0 for route in routes)
    before = {path: path.stat().st_mtime_ns for path in case.rglob("*")}
    with serving(routes) as server:
        for path in paths:
            assert ask(server, path).status == 200
        answer = ask(server, "/volume-0.nii")
        assert ask(server, "/a_t1.nii.gz").status == ask(server, "/volume-2.nii").status == 404
    assert answer.headers["Content-Encoding"] == "gzip"
    assert np.array_equal(unpacked(answer.body).get_fdata().T, voxels())
    assert {path: path.stat().st_mtime_ns for path in case.rglob("*")} == before


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nii", ".nii.gz"])
def test_conversion_keeps_the_affine(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    turn = sitk.VersorTransform((0, 0, 1), 0.1).GetMatrix()
    write_volume(path, voxels(), *GEOMETRY, turn)
    image = unpacked(shown(path)[0].packed)
    expected = np.diag((-1.0, -1, 1)) @ np.reshape(turn, (3, 3)) * GEOMETRY[0]
    assert image.affine[:3, :3] == pytest.approx(expected, abs=1e-5)
    assert image.affine[:3, 3] == pytest.approx([20.0, -30.5, 7.0], abs=1e-5)
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    assert np.array_equal(image.get_fdata().T, voxels()) and image.get_data_dtype() == np.int16


def test_voxels_of_other_axes_stay_where_they_are(tmp_path):
    """A file in another order of axes: every value at the same place in mm."""
    affine = np.array([[0, 0, 2.0, -5], [1.5, 0, 0, 6], [0, 1, 0, 7], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(voxels(), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    new = unpacked(shown(tmp_path / "a.nii.gz")[0].packed)
    for place in ((0, 0, 0), (5, 7, 9), (1, 2, 3)):
        world = affine @ (*place, 1)
        there = np.rint(np.linalg.inv(new.affine) @ world)[:3].astype(int)
        assert new.get_fdata()[tuple(there)] == voxels()[place]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float64, np.float32), (np.int64, np.float32), (np.uint16, np.uint16)],
)
def test_types_that_textures_lack_become_float32(tmp_path, dtype, expected):
    write_volume(tmp_path / "a.mha", voxels(dtype))
    image = unpacked(shown(tmp_path / "a.mha")[0].packed)
    assert image.get_data_dtype() == expected and np.array_equal(image.get_fdata().T, voxels())


def test_values_of_labels(tmp_path):
    assert view.label_values(label().astype(np.float32)) == [1, 4]
    assert view.label_values(np.zeros(SIZE, np.int16)) == []
    for others in (label() - 1.0, label() / 2, label() * 100.0):
        assert view.label_values(others) is None
    write_volume(tmp_path / "a_seg.mha", np.zeros(SIZE, np.uint8))
    write_volume(tmp_path / "a.mha", voxels())
    content = listed(view.volume_routes(shown(tmp_path)))["labels"][0]
    assert (content["values"], content["centre"]) == ([], None)


def test_each_case_has_its_own_label(tmp_path):
    folder = tmp_path / "set"
    for name in ("imagesTr/a_0000", "imagesTr/b_0000", "imagesTr/b_0001", "imagesTr/c_0000"):
        write_volume(folder / f"{name}.nii.gz", voxels())
    for name in ("labelsTr/a", "labelsTr/b"):
        write_volume(folder / f"{name}.nii.gz", label())
    content = listed(view.volume_routes(shown(folder)))
    assert [one["name"] for one in content["labels"]] == ["a.nii.gz", "b.nii.gz"]
    assert [one["label"] for one in content["volumes"]] == [0, 1, 1, None]


def test_the_label_of_the_option_lies_over_all_also_on_another_grid(case, tmp_path):
    write_volume(tmp_path / "mine.mha", label()[1:])
    content = listed(view.volume_routes(shown(case, label=tmp_path / "mine.mha")))
    assert [one["name"] for one in content["labels"]] == ["a_seg.nii.gz", "mine.mha"]
    assert [one["label"] for one in content["volumes"]] == [1, 1]
    assert [one["other_grid"] for one in content["volumes"]] == [[1], [1]]


def test_labels_alone_are_volumes_and_equal_names_have_folders(case, tmp_path):
    content = listed(view.volume_routes(shown(case / "a_seg.nii.gz")))
    assert [one["name"] for one in content["volumes"]] == ["a_seg.nii.gz"]
    assert content["labels"] == [] and content["volumes"][0]["label"] is None
    write_volume(tmp_path / "other" / "a_t2.mha", voxels())
    found = view.find_files([tmp_path, case / "a_t2.mha"])
    assert [one.name for one in found if one.path.suffix == ".mha"] == [
        "case/a_t2.mha",
        "other/a_t2.mha",
    ]


def test_a_volume_of_a_file_of_several_is_shown(tmp_path):
    stack = np.stack([voxels().T, voxels().T + 1], axis=-1)
    image = nibabel.Nifti1Image(stack, np.eye(4))
    image.set_sform(np.eye(4), 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    first = shown(tmp_path / "a.nii.gz#1")[0]
    assert unpacked(first.packed).get_fdata().sum() == (voxels() + 1).sum()


def test_the_command_line(monkeypatch, case):
    assert run(monkeypatch, case, "--label", case / "a_seg.nii.gz", "--port", 0) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("none.nii",), "none.nii does not exist or is no file; give a volume or a folder"),
        (("case/notes.txt",), "must be a volume .*found another suffix; convert it"),
        (("empty",), "empty holds no volume .*; give a folder with volumes, or a file"),
        (("case", "--label", "none.mha"), "none.mha does not exist"),
        (("case/a_seg.nii.gz", "--label", "case/a_seg.nii.gz"), "is the only volume; leave out"),
        (("cut.nii.gz",), "cut.nii.gz is damaged or of another type"),
        (("nan.mha",), "nan.mha holds 1 NaN or infinite voxels; repair or remove it"),
        (("case", "--port", "70000"), "--port is 70000; give 1 to 65535, or 0"),
        (("case", "--host", "192.0.2.1"), "--host is 192.0.2.1, where other machines may see"),
    ],
)
def test_what_cannot_be_shown_is_told_in_one_sentence(
    monkeypatch, capsys, tmp_path, case, words, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.nii.gz").write_bytes((case / "a_t1.nii.gz").read_bytes()[:-40])
    array = voxels(np.float32)
    array[0, 0, 0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "nan.mha"))
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert re.search(sentence, error) and error.count("\n") == 1


def test_too_many_volumes_are_told(monkeypatch, case):
    monkeypatch.setattr(view, "MOST", 2)
    with pytest.raises(UserError, match="3 volumes were named; give files or folders with 2"):
        view.find_files([case])


def test_niivue_is_the_release_that_was_checked(tmp_path):
    content = pages.checked(pages.NIIVUE, pages.NIIVUE_SHA256)
    assert b"niivue" in content[:500]
    licences = (pages.NIIVUE.parent / "LICENSES.txt").read_text(encoding="utf-8")
    assert "BSD 2-Clause" in licences and "unchanged" in licences
    (tmp_path / "other.js").write_bytes(content + b" ")
    with pytest.raises(UserError, match="must have the SHA-256 .* put back the repository's file"):
        pages.checked(tmp_path / "other.js", pages.NIIVUE_SHA256)
    with pytest.raises(UserError, match="missing.js cannot be read .* install the project anew"):
        pages.checked(tmp_path / "missing.js", pages.NIIVUE_SHA256)


def test_all_files_of_pages_are_installed():
    text = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    patterns = re.findall(r'"(pages/[^"]+)"', text)
    files = [path for path in pages.FOLDER.rglob("*") if path.is_file()]
    names = [path.relative_to(pages.FOLDER.parent).as_posix() for path in files]
    assert names and [n for n in names if not any(fnmatch.fnmatch(n, p) for p in patterns)] == []


@pytest.mark.parametrize("name", ["view.html", "view.js", "view.css", "common.css"])
def test_pages_ask_nothing_of_other_hosts(name):
    text = (pages.FOLDER / name).read_text(encoding="utf-8")
    assert "//" not in re.sub(r"^\s*// .*$", "", text, flags=re.MULTILINE)
    assert not re.search(r"<script>|\son\w+=|style=|innerHTML|eval\(", text)
