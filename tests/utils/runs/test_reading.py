"""What a run reads back is checked: a damaged file is named in a sentence, whatever is in it."""

from __future__ import annotations

import os

import numpy as np
import pytest

from utils.errors import UserError
from utils.runs.files import read_json, read_text
from utils.runs.reading import read_arrays, read_table
from utils.runs.run_directory import RunDirectory

READERS = {
    "a.json": lambda path: read_json(path, dict),
    "a.txt": read_text,
    "a.csv": lambda path: read_table(path, {"sample": int}),
    "a.npz": read_arrays,
}
CONTENTS = [
    b"",
    b"\xff\xfe",
    b"[1",
    b"[" * 100_000,
    b"[1]",
    b"x,y\n1,2\n",
    b"sample\nmany\n",
    b"PK\x03",
]


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.npz"])
def test_what_is_damaged_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=f"^{path} is damaged .*; put back the file that was there$"
    ):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_not_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)  # without a writer its reading never ends
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / name, tmp_path / "folder", tmp_path / "none"):
        with pytest.raises(UserError, match=f"^{path} is missing or no regular file"):
            READERS[name](path)


def test_what_is_whole_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "a.csv").write_text("sample,other\n3,x\n")
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    assert READERS["a.json"](tmp_path / "a.json") == {"a": 1}
    assert READERS["a.csv"](tmp_path / "a.csv")["sample"].tolist() == [3]
    assert READERS["a.npz"](tmp_path / "a.npz")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": "1"}', '{"a": true}', '{"a": [1]}', "[]", "{"]
)
def test_metrics_are_finite_numbers_by_name(tmp_path, text):
    run = RunDirectory(tmp_path)
    run.metrics.write_text(text)
    for action in (run.read_metrics, lambda: run.update_metrics({"b": 1})):
        with pytest.raises(
            UserError, match="metrics.json (holds a: .*, expected finite|is damaged)"
        ):
            action()
    assert run.metrics.read_text() == text


ROW = '{"stage": "structure", "step": 1, "seconds_per_step": 0.5, "loss/G": 2}'


@pytest.mark.parametrize(
    "line",
    ["[]", "3", "{}", ROW.replace("1,", '"1",'), ROW.replace("2", "NaN"), ROW.replace("2", "[]")],
)
def test_a_line_of_the_history_has_a_stage_and_numbers(tmp_path, line):
    run = RunDirectory(tmp_path)
    run.history.write_text(f"{ROW}\n{line}\n")
    with pytest.raises(UserError, match="Line 2 of .*metrics.jsonl is no line of a training's"):
        run.read_history()
    text = run.history.read_text().splitlines()
    run.history.write_text(f"{text[0]}\n")  # as it says
    assert [row["step"] for row in run.read_history()] == [1]
