"""Sets drawn with a tiny run: shards together are the run's own set, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path

import pytest

from experiments import generate
from tests.experiments.conftest import content, finish, start, stop
from utils.runs.environment import REPOSITORY
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json


@pytest.fixture
def run(monkeypatch):
    def words(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["generate.py", *map(str, words)])
        return exit_code(generate.main, generate._after_interrupt)

    return words


@pytest.fixture
def own(tiny_run) -> dict[str, bytes]:
    """The run's own set of 8 samples, which its stage "dataset" drew."""
    return content(tiny_run / "synthetic")


@pytest.fixture(scope="module")
def halves(tiny_run, tmp_path_factory) -> list[Path]:
    """Two folders, each with one half of the set, drawn with what is left of the run."""
    bare = tmp_path_factory.mktemp("bare") / "run"
    ignored = shutil.ignore_patterns("synthetic", "report.html", "metrics.json", "tensorboard")
    shutil.copytree(tiny_run, bare, ignore=ignored)
    folders = [tmp_path_factory.mktemp("half") / "set" for _ in range(2)]
    for index, out in enumerate(folders):
        words = ["generate.py", f"--run={bare}", f"--out={out}", f"--shard={index}/2"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words)
            assert exit_code(generate.main, generate._after_interrupt) == 0
    return folders


@pytest.mark.slow
def test_two_shards_in_one_folder_are_the_set_of_one_process(run, tiny_run, halves, tmp_path, own):
    out = shutil.copytree(halves[0], tmp_path / "set")
    assert len(content(out)) == 4 * 2 + 1  # and made_with.json
    assert run("--run", tiny_run, "--out", out, "--shard", "1/2") == 0
    assert content(out) == own


@pytest.mark.slow
def test_folders_copied_together_are_finished_without_drawing(
    run, tiny_run, halves, tmp_path, own, monkeypatch, capsys
):
    out = shutil.copytree(halves[1], tmp_path / "set")
    shutil.copytree(halves[0] / "samples", out / "samples", dirs_exist_ok=True)
    monkeypatch.setattr("data.synthetic_sets.building.MapSampler.draw", pytest.fail)
    words = ("--run", tiny_run, "--out", out, "--shard", "1/2")
    assert run(*words) == 0
    assert "all 8 samples are there, the set is finished" in capsys.readouterr().out
    assert content(out) == own
    monkeypatch.setattr(generate, "draw_set", pytest.fail)
    assert run(*words) == 0 and content(out) == own
    assert "is finished, with 8 samples; there is nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_missing_is_drawn_again_and_a_larger_set_begins_with_the_runs_own(
    run, tiny_run, tmp_path, own, capsys
):
    out = tmp_path / "set"
    shutil.copytree(tiny_run / "synthetic", out)
    for name in ("manifest.json", "samples.csv", "samples/synthetic_000003.json"):
        (out / name).unlink()
    assert run("--run", tiny_run, "--out", out, "--samples", 18, "--shard", "3/9") == 0
    assert "shard 3/9 is drawn, 9 of 18 samples are there; which" in capsys.readouterr().out
    larger = {f"samples/synthetic_000012{suffix}" for suffix in (".json", ".npz")}
    assert set(content(out)) == set(own) - {"manifest.json", "samples.csv"} | larger
    assert content(out).items() >= {k: v for k, v in own.items() if "/" in k}.items()
    assert run("--run", tiny_run, "--out", out) == 2
    assert "--samples is 8, but --out" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["2/2", "x", "0/0", "-1/2", "1", "1/2/3", "", "0.5/2"])
def test_a_shard_that_is_none_is_refused(run, tmp_path, capsys, shard):
    assert run("--run", tmp_path, "--out", tmp_path / "set", f"--shard={shard}") == 2
    assert f"error: --shard is '{shard}'; give i/n with i from 0 to n-1" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_mistakes_are_told_before_anything_is_drawn(run, tiny_run, tmp_path, capsys):
    words = ("--run", tiny_run, "--out", tmp_path / "set")
    assert run(*words, "--samples", 0) == 2
    assert "--samples is 0; give 1 or more" in capsys.readouterr().err
    assert run("--run", tmp_path, "--out", tmp_path / "set") == 2
    assert "holds no config.json" in capsys.readouterr().err
    (tmp_path / "unfinished").mkdir()
    for name in ("config.json", "splits.json"):
        shutil.copy(tiny_run / name, tmp_path / "unfinished")
    assert run("--run", tmp_path / "unfinished", "--out", tmp_path / "set") == 2
    missing = "structure, segmentation, registration, synthesis"
    assert f"has not finished {missing}; continue it" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    assert run("--run", tiny_run, "--out", tiny_run / "config.json") == 2
    assert "is a file; give a folder" in capsys.readouterr().err
    assert run("--run", tiny_run, "--out", tiny_run / "synthetic", "--samples", 9) == 2
    assert "is the run's own set, which has 8 samples" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["networks", "settings", "seed", "precision", "missing"])
def test_a_set_that_was_begun_with_something_else_is_refused(
    run, tiny_run, halves, tmp_path, capsys, change
):
    out = shutil.copytree(halves[0], tmp_path / "set")
    if change == "missing":
        (out / "made_with.json").unlink()
    else:
        made_with = read_json(out / "made_with.json")
        made_with[change] = "another"
        (out / "made_with.json").write_text(json.dumps(made_with))
    before = content(out)
    assert run("--run", tiny_run, "--out", out, "--shard", "1/2") == 2
    assert "samples that were drawn with other networks, settings or" in capsys.readouterr().err
    assert content(out) == before


def test_a_run_with_other_settings_does_not_go_on_with_the_set(
    run, tiny_run, halves, tmp_path, capsys
):
    other = tmp_path / "run"
    shutil.copytree(tiny_run, other, ignore=shutil.ignore_patterns("synthetic"))
    saved = read_json(other / "config.json")
    saved["config"]["dataset"]["min_score"] = 0.5
    write_json(other / "config.json", saved)
    assert run("--run", other, "--out", halves[1], "--shard", "0/2") == 2
    assert "choose another folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_shard_goes_on_beside_another(tiny_run, tmp_path, own):
    out, program = tmp_path / "set", str(REPOSITORY / "experiments/generate.py")
    words = ("--run", str(tiny_run), "--out", str(out))
    other = start(*words, "--shard", "1/2", program=program)
    killed = start(*words, "--shard", "0/2", program=program)
    stop(killed, signal.SIGKILL, lambda: any((out / "samples").glob("*.npz")))
    assert finish(other)[0] == 0
    assert finish(start(*words, "--shard", "0/2", program=program))[0] == 0
    assert content(out) == own
