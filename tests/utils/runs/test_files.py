from __future__ import annotations

import errno
import json
import os
import re
import time
from pathlib import Path

import pytest

from utils.errors import DiskFullError, UserError
from utils.runs import files
from utils.runs.files import (
    ABANDONED,
    append_line,
    making_folder,
    naming_full_disk,
    read_json,
    remove_leftovers,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def calls(monkeypatch):
    """What reaches the disk, in order: (call, name of the file or folder without hidden part)."""
    made, originals = [], {name: getattr(os, name) for name in ("fsync", "replace", "rename")}

    def plain(path) -> str:
        return re.sub(r"^\.[0-9a-f]{32}-", "hidden ", Path(path).name)

    def fsync(descriptor):
        made.append(("fsync", plain(os.readlink(f"/proc/self/fd/{descriptor}"))))
        originals["fsync"](descriptor)

    def renaming(call):
        def rename(source, target):
            made.append(("rename", f"{plain(source)} -> {plain(target)}"))
            originals[call](source, target)

        return rename

    monkeypatch.setattr(os, "fsync", fsync)
    for call in ("replace", "rename"):
        monkeypatch.setattr(os, call, renaming(call))
    return made


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, calls):
    write_text(tmp_path / "a.txt", "whole")
    assert calls == [
        ("fsync", "hidden a.txt"),
        ("rename", "hidden a.txt -> a.txt"),
        ("fsync", tmp_path.name),
    ]


def test_the_folder_of_a_new_folder_is_on_the_disk_first(tmp_path, calls):
    write_text(tmp_path / "one" / "two" / "a.txt", "whole")
    assert calls[:3] == [("fsync", tmp_path.name), ("fsync", "one"), ("fsync", "hidden a.txt")]


@pytest.mark.parametrize("place", [replacing_folder, making_folder])
def test_all_of_a_folder_is_on_the_disk_before_it_gets_its_name(tmp_path, calls, place):
    with place(tmp_path / "set") as folder:
        (folder / "part").mkdir()
        (folder / "a.txt").write_text("a")
        (folder / "part" / "b.txt").write_text("b")
    *synced, renamed, last = calls
    expected = [("fsync", name) for name in ("a.txt", "b.txt", "hidden set", "part")]
    assert sorted(synced) == expected
    assert (renamed, last) == (("rename", "hidden set -> set"), ("fsync", tmp_path.name))


def test_a_file_system_that_flushes_no_folders_is_no_obstacle(tmp_path, monkeypatch):
    def refuse(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "no folders")

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_file_that_cannot_be_flushed_does_not_replace_the_old(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def refuse(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        RuntimeError("ITK ERROR: File cannot be written\nReason: No space left on device"),
        UserError("Cannot write to the run directory (No space left on device)"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path, error):
    path = tmp_path / "text.txt"
    write_text(path, "old")
    sentence = rf"The disk of {tmp_path} is full: about 7 bytes .* \d+ bytes are free; free some"
    with pytest.raises(DiskFullError, match=sentence), replacing(path, needed=7) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["text.txt"]


def test_a_full_disk_in_a_hidden_folder_is_named_by_the_folder_that_people_see(tmp_path):
    with pytest.raises(DiskFullError, match=rf"of {tmp_path} is full: \d+ bytes are free"):
        with replacing_folder(tmp_path / "set") as folder, replacing(folder / "a.txt"):
            raise FULL
    assert names(tmp_path) == []


def test_an_error_that_names_its_folder_keeps_it(tmp_path):
    with pytest.raises(DiskFullError, match=f"of {tmp_path} is full"):
        with naming_full_disk(Path("elsewhere")), replacing(tmp_path / "a.txt"):
            raise FULL


def test_the_first_to_finish_makes_the_folder(tmp_path):
    path = tmp_path / "new" / "set"
    with making_folder(path) as slow:
        with making_folder(path) as fast:
            (fast / "fast.txt").write_text("fast")
        (slow / "slow.txt").write_text("slow")
    assert names(path) == ["fast.txt"] and names(path.parent) == ["set"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError), making_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "in the way"


def test_what_a_killed_process_left_can_be_removed(tmp_path):
    for name in (".hidden", "a-b.txt"):
        (tmp_path / name).write_text("kept")
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(files, "_remove", lambda path: None)
        for place in (replacing, making_folder):
            with pytest.raises(RuntimeError), place(tmp_path / "set") as temporary:
                if place is replacing:
                    temporary.write_text("half")
                raise RuntimeError
    assert len(names(tmp_path)) == 4
    remove_leftovers(tmp_path, "other".__eq__)
    assert len(names(tmp_path)) == 4
    remove_leftovers(tmp_path, "set".__eq__)
    assert names(tmp_path) == [".hidden", "a-b.txt"]


def test_a_new_folder_removes_what_was_abandoned_beside_it(tmp_path):
    ages = {f".{letter * 32}-set": days for letter, days in zip("ab", (0.5, 1.5))}
    for name, days in ages.items():
        (tmp_path / name / "deep").mkdir(parents=True)
        then = time.time() - days * ABANDONED
        os.utime(tmp_path / name, (then, then))
    with making_folder(tmp_path / "other"):
        pass
    assert names(tmp_path) == [f".{'a' * 32}-set", "other"]


def test_lines_are_added_and_flushed(tmp_path, calls):
    path = tmp_path / "lines.txt"
    for line in ("a", "é"):
        append_line(path, line)
    assert path.read_text("utf-8") == "a\né\n" and calls == [("fsync", "lines.txt")] * 2


def test_a_line_without_room_leaves_the_earlier_ones(tmp_path, monkeypatch):
    append_line(tmp_path / "lines.txt", "first")

    def full(descriptor):
        raise FULL

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match=f"of {tmp_path} is full: about 7 bytes"):
        append_line(tmp_path / "lines.txt", "second")
    assert (tmp_path / "lines.txt").read_text().startswith("first\n")


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
