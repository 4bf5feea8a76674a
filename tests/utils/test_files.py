from __future__ import annotations

import json

import pytest

from utils.files import read_json, replacing, replacing_folder, write_json, write_text


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "array.npz"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".npz"
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole" and names(path.parent) == ["array.npz"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "text.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["text.txt"]


def test_a_folder_replaces_the_old_one_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "set"
    for text in ("first", "second"):
        with replacing_folder(path) as temporary:
            (temporary / f"{text}.txt").write_text(text)
        assert names(path) == [f"{text}.txt"] and names(path.parent) == ["set"]
    with pytest.raises(RuntimeError), replacing_folder(path) as temporary:
        (temporary / "half.txt").write_text("half")
        raise RuntimeError
    assert names(path) == ["second.txt"] and names(path.parent) == ["set"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path):
    path = tmp_path / "set"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(OSError), replacing_folder(path) as temporary:
        temporary.rmdir()
    assert names(path) == ["old.txt"] and names(tmp_path) == ["set"]


def test_text_is_utf8_and_replaces_the_old(tmp_path):
    path = tmp_path / "text.txt"
    write_text(path, "old, and longer than the new text")
    write_text(path, "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"


def test_json_comes_back(tmp_path):
    content = {"seed": 3, "rates": [1e-5, None], "name": "é"}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == content


@pytest.mark.parametrize("content", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_changes_nothing(tmp_path, content):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"value": content})
    assert read_json(path) == 1 and names(tmp_path) == ["a.json"]
