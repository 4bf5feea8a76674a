"""Results are made once, appear whole, and are made anew with other settings."""

from __future__ import annotations

import numpy as np
import pytest

from utils.runs.files import read_json
from utils.runs.results import kept, read_kept


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_result_is_made_once_and_again_with_other_settings(tmp_path, suffix):
    path, count = tmp_path / "rows" / f"a{suffix}", iter(range(9))

    def make() -> dict:
        return {"count": next(count)}

    settings = ({"x": (1, 2)}, {"x": (1, 2)}, {"x": (1, 3)}, None, None)
    assert [kept(path, make, x)["count"] for x in settings] == [0, 0, 1, 2, 2]
    with pytest.raises(ZeroDivisionError):
        kept(path, lambda: {"count": 1 / 0}, {"x": 3})
    assert read_kept(path, None) == {"count": 2} and read_kept(path, {"x": 3}) is None
    with pytest.raises(ZeroDivisionError):
        kept(path.with_name(f"b{suffix}"), lambda: {"count": 1 / 0}, {})
    assert [file.name for file in path.parent.iterdir()] == [f"a{suffix}"]


def test_a_file_tells_its_settings(tmp_path):
    kept(tmp_path / "a.json", lambda: {"count": 1}, {"x": 2})
    assert read_json(tmp_path / "a.json") == {"settings": {"x": 2}, "count": 1}


def test_arrays_come_back_as_they_were(tmp_path):
    images = np.random.default_rng(0).random((2, 3, 3, 4), np.float32)
    for make in (lambda: {"images": images}, lambda: 1 / 0):
        found = kept(tmp_path / "a.npz", make, {"samples": 2})
        np.testing.assert_array_equal(found["images"], images)


def test_what_tells_no_settings_is_made_anew(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros(2))
    assert kept(tmp_path / "a.npz", lambda: {"images": np.ones(2)}, {})["images"].sum() == 2
