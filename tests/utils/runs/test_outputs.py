from __future__ import annotations

import os

import pytest

from utils.errors import UserError
from utils.runs import outputs
from utils.runs.outputs import check_output_file, check_output_folder, replacing_files

NAMES = ("record", "a", "b")


def content(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def old(tmp_path):
    for name in (*NAMES, "other"):
        (tmp_path / name).write_text(f"old {name}")
    return content(tmp_path)


def write_new(folder) -> None:
    for name in NAMES:
        (folder / name).write_text(f"new {name}")


def test_files_are_replaced_together(tmp_path, old):
    with replacing_files(tmp_path, NAMES) as folder:
        write_new(folder)
        assert content(tmp_path) == old
    assert content(tmp_path) == {**{name: f"new {name}" for name in NAMES}, "other": "old other"}
    with replacing_files(tmp_path / "made", NAMES) as folder:
        write_new(folder)
    assert sorted(content(tmp_path / "made")) == sorted(NAMES)


def test_a_failure_leaves_the_old_ones(tmp_path, old):
    with pytest.raises(FileNotFoundError), replacing_files(tmp_path, NAMES) as folder:
        (folder / "record").write_text("new record")  # the others are not made
    with pytest.raises(KeyboardInterrupt), replacing_files(tmp_path, NAMES) as folder:
        write_new(folder)
        raise KeyboardInterrupt
    assert content(tmp_path) == old and len(list(tmp_path.iterdir())) == len(old)


def test_old_and_new_are_never_side_by_side(tmp_path, old, monkeypatch):
    """Looks at the folder after each change, which a power loss may make the last."""
    seen = []

    def monitored(function):
        def call(*arguments, **options):
            function(*arguments, **options)
            seen.append(content(tmp_path))

        return call

    monkeypatch.setattr(outputs.os, "replace", monitored(os.replace))
    monkeypatch.setattr(outputs.Path, "unlink", monitored(outputs.Path.unlink))
    with replacing_files(tmp_path, NAMES) as folder:
        write_new(folder)
    states = [tuple(found[name] for name in NAMES if name in found) for found in seen[:6]]
    assert [len(state) for state in states] == [2, 1, 0, 1, 2, 3]
    assert all(len({text.split()[0] for text in state}) <= 1 for state in states)
    assert states[3] == ("new record",)


def test_a_file_is_made_only_where_none_is(tmp_path):
    check_output_file("--out", tmp_path / "new" / "a.csv", overwrite=False)
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(UserError, match="--out .*a.csv exists; add --overwrite or choose another"):
        check_output_file("--out", tmp_path / "a.csv", overwrite=False)
    check_output_file("--out", tmp_path / "a.csv", overwrite=True)
    with pytest.raises(UserError, match="is a folder; give a file"):
        check_output_file("--out", tmp_path, overwrite=True)


@pytest.mark.parametrize("check", [check_output_folder, lambda *w: check_output_file(*w, False)])
def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch, check):
    (tmp_path / "file").write_text("mine")
    place = tmp_path / "file" / "out"
    with pytest.raises(UserError, match="--out .*out cannot be written, for .*file is no folder"):
        check("--out", place)
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UserError, match=f"for {tmp_path} is no folder that this user may write to"):
        check("--out", tmp_path / "out")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="--out .*file is a file; give a folder"):
        check_output_folder("--out", tmp_path / "file")
    check_output_folder("--out", tmp_path / "a" / "b")
    check_output_folder("--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
