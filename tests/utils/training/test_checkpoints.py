from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.utils.toy import Toy
from utils.errors import DiskFullError, UserError
from utils.training import checkpoints
from utils.training.checkpoints import (
    Checkpoints,
    checkpoint_index,
    load_networks,
    newest_checkpoint,
    saved_step,
)

PARTS = {"data": "ckpt-{}.data-00000-of-00001", "index": "ckpt-{}.index"}


def trained(steps: int = 2, **arguments) -> Toy:
    system = Toy(0.1, **arguments)
    for _ in range(steps):
        system.train_step({"images": tf.ones([1, arguments.get("inputs", 1)])})
    return system


def saved(directory: Path, *steps: int) -> Toy:
    """Trains a system and saves it at each step, all with different weights."""
    system = trained()
    writer = Checkpoints(system, directory)
    for step in steps:
        writer.save(step)
        system.train_step({"images": tf.ones([1, 1])})
    return system


def state_of(directory: Path) -> tuple[int, list]:
    system = Toy(0.1)
    return Checkpoints(system, directory).restore(), system.state


def contents(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_a_new_stage_starts_at_step_0(tmp_path):
    assert Checkpoints(Toy(), tmp_path / "structure").restore() == 0
    assert saved_step(tmp_path / "structure") == 0


def test_the_last_two_are_kept_and_the_newest_is_used(tmp_path, capsys):
    saved(tmp_path, 5, 9, 12)
    names = {PARTS[part].format(step) for part in PARTS for step in (9, 12)}
    assert set(contents(tmp_path)) == {*names, "checkpoint"}
    assert state_of(tmp_path)[0] == saved_step(tmp_path) == 12
    assert tf.train.latest_checkpoint(str(tmp_path)) == newest_checkpoint(tmp_path)
    assert capsys.readouterr().err == ""


def test_saving_a_step_again_replaces_it(tmp_path):
    saved(tmp_path, 7, 7)
    step, (weight, updates, *_) = state_of(tmp_path)
    assert (step, updates) == (7, 3)


def other_network() -> tf.keras.Sequential:
    return tf.keras.Sequential([tf.keras.Input([1]), tf.keras.layers.Dense(1)])


def test_networks_that_do_not_fit_are_named(tmp_path, capsys):
    saved(tmp_path, 6, 7)
    wider = Toy(inputs=2)
    variable = wider.networks["G"].variables[0].name.partition(":")[0]
    shapes = rf"{variable} of network G has the shape \(1, 1\) in it instead of \(2, 1\); use the"
    for restore in (Checkpoints(wider, tmp_path).restore, lambda: load_networks(wider, tmp_path)):
        with pytest.raises(UserError, match=f"ckpt-7 does not fit the configuration: {shapes} run"):
            restore()
    assert capsys.readouterr().err == "" and saved_step(tmp_path) == 7  # whole, so never passed by


def test_a_checkpoint_of_less_than_the_system_is_refused(tmp_path):
    saved(tmp_path, 7)
    larger = Toy()
    larger.networks["D"] = other_network()
    for restore in (Checkpoints(larger, tmp_path).restore, lambda: load_networks(larger, tmp_path)):
        with pytest.raises(UserError, match=r"it has no dense\S*/kernel of network D and 1 more;"):
            restore()


def test_a_checkpoint_of_more_than_the_system_is_refused_where_training_goes_on(tmp_path):
    larger = trained()
    larger.networks["D"] = other_network()
    Checkpoints(larger, tmp_path).save(7)
    with pytest.raises(UserError, match="ckpt-7 .*: only it has networks/D/.*bias and 1 more"):
        Checkpoints(Toy(), tmp_path).restore()
    load_networks(Toy(), tmp_path)  # a part is enough to compute with


def test_optimisers_of_another_precision_are_refused(tmp_path):
    saved(tmp_path, 7)
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        scaled = Checkpoints(Toy(0.1), tmp_path)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    with pytest.raises(UserError, match=r"ckpt-7 .* but not its optimisers .*and precision"):
        scaled.restore()
    scaled.save(8)  # its state can be saved


def damage(directory: Path, step: int, kind: str) -> None:
    how, _, part = kind.partition(" ")
    file = directory / PARTS[part].format(step)
    content = bytearray(file.read_bytes())
    file.unlink()
    if how == "flipped":
        content[len(content) // 3] ^= 0x10
    if how != "no":
        file.write_bytes(content[: len(content) // 2] if how == "half" else content)


DAMAGES = ["half data", "no data", "flipped data", "half index", "no index", "flipped index"]


@pytest.mark.parametrize("kind", DAMAGES)
def test_all_readers_pass_by_a_damaged_checkpoint_and_say_so(tmp_path, capsys, kind):
    saved(tmp_path, 5, 9)
    (tmp_path / "whole").mkdir()
    for part in PARTS.values():
        shutil.copyfile(tmp_path / part.format(5), tmp_path / "whole" / part.format(5))
    damage(tmp_path, 9, kind)
    step, state = state_of(tmp_path)
    assert step == saved_step(tmp_path) == 5
    for found, expected in zip(state, state_of(tmp_path / "whole")[1]):
        np.testing.assert_array_equal(found, expected)
    loaded = Toy()
    load_networks(loaded, tmp_path)
    np.testing.assert_array_equal(loaded.state[0], state[0])
    (line,) = capsys.readouterr().err.splitlines()  # once for all of them
    assert line.startswith(f"ckpt-9 in {tmp_path} cannot be read (")
    assert line.endswith("); ckpt-5 is used instead")


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_never_taken_for_a_fresh_start(tmp_path, kind):
    saved(tmp_path, 7)
    damage(tmp_path, 7, kind)
    sentence = rf"No checkpoint in {tmp_path} is complete: ckpt-7 cannot be read .*; restore them"
    readers = (
        Checkpoints(Toy(), tmp_path).restore,
        lambda: load_networks(Toy(), tmp_path),
        lambda: saved_step(tmp_path),
    )
    for restore in readers:
        with pytest.raises(UserError, match=sentence):
            restore()


@pytest.mark.parametrize("part", PARTS)
def test_every_byte_counts(tmp_path, part):
    """A flipped byte or a cut anywhere is found, or has no influence on what is restored."""
    saved(tmp_path, 7)
    file, (_, expected) = tmp_path / PARTS[part].format(7), state_of(tmp_path)
    whole = file.read_bytes()
    for i in range(0, len(whole), 7):
        for content in (whole[:i] + bytes([whole[i] ^ 0x10]) + whole[i + 1 :], whole[:i]):
            file.write_bytes(content)
            if checkpoints._damage(str(tmp_path / "ckpt-7")) is None:
                for value, found in zip(expected, state_of(tmp_path)[1]):
                    np.testing.assert_array_equal(value, found)
                assert len(content) == len(whole) and part == "index"


@pytest.mark.parametrize("content", [None, b"", b"\x00", b'model_checkpoint_path: "ckpt-99"'])
def test_the_list_of_checkpoints_does_not_matter(tmp_path, capsys, content):
    saved(tmp_path, 5, 9)
    (tmp_path / "checkpoint").unlink()
    if content is not None:
        (tmp_path / "checkpoint").write_bytes(content)
    assert state_of(tmp_path)[0] == saved_step(tmp_path) == 9
    assert capsys.readouterr().err == ""


def test_a_damaged_checkpoint_goes_when_the_next_is_complete(tmp_path):
    system = saved(tmp_path, 5, 9)
    damage(tmp_path, 9, "half data")
    resumed = Checkpoints(system, tmp_path)
    assert resumed.restore() == 5
    resumed.save(8)
    assert {path.stem for path in tmp_path.glob("ckpt-*")} == {"ckpt-5", "ckpt-8"}
    resumed.save(9)
    assert {path.stem for path in tmp_path.glob("ckpt-*")} == {"ckpt-8", "ckpt-9"}
    assert saved_step(tmp_path) == 9


def test_bytes_are_read_once_as_long_as_files_stay_the_same(tmp_path, monkeypatch):
    saved(tmp_path, 5, 9)
    read, check = [], checkpoints._damage
    monkeypatch.setattr(checkpoints, "_damage", lambda prefix: read.append(prefix) or check(prefix))
    for _ in range(3):
        assert saved_step(tmp_path) == 9
    load_networks(Toy(), tmp_path)
    assert read == [str(tmp_path / "ckpt-9")]
    os.utime(tmp_path / "ckpt-9.index", ns=(0, 0))
    assert saved_step(tmp_path) == 9 and len(read) == 2


def test_both_files_are_on_the_disk_before_the_index_gets_its_name(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def note_fsync(descriptor):
        calls.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def note_replace(source, target):
        calls.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    saved(tmp_path, 7)
    data, index = PARTS["data"].format(7), PARTS["index"].format(7)
    files = [("fsync", data), ("fsync", index), ("rename", data), ("rename", index)]
    assert calls[:5] == [*files, ("fsync", tmp_path.name)]


class Killed(BaseException):
    """Stands for the end of a process: nothing after it takes place."""


def kill_at_rename(monkeypatch, number: int) -> None:
    """Ends the next save before its n-th renaming; what it left stays, as after kill -9."""
    calls, replace = [], os.replace

    def counted(source, target):
        calls.append(target)
        if len(calls) == number:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", counted)
    monkeypatch.setattr("utils.runs.files._remove", lambda path: None)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("before", [(), (5,)])
def test_a_killed_save_leaves_the_checkpoint_before_it(tmp_path, capsys, number, before):
    saved(tmp_path, *before)
    tmp_path.joinpath("random_maps.npz").write_bytes(b"somebody's")
    with pytest.MonkeyPatch.context() as patch:
        kill_at_rename(patch, number)
        with pytest.raises(Killed):
            Checkpoints(trained(), tmp_path).save(7)
    assert len([path for path in tmp_path.iterdir() if path.name.startswith(".")]) == 1
    resumed = Checkpoints(Toy(0.1), tmp_path)
    assert resumed.restore() == saved_step(tmp_path) == sum(before)
    assert capsys.readouterr().err == ""
    resumed.save(8)  # clears up
    assert {path.stem for path in tmp_path.glob("ckpt-*")} == {
        *(f"ckpt-{step}" for step in before),
        "ckpt-8",
    }
    assert not list(tmp_path.glob(".*")) and (tmp_path / "random_maps.npz").exists()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_killed_save_of_the_same_step_never_mixes_two_states(tmp_path, number):
    saved(tmp_path, 5, 9)
    with pytest.MonkeyPatch.context() as patch:
        kill_at_rename(patch, number)
        with pytest.raises(Killed):
            Checkpoints(trained(5), tmp_path).save(9)
    step, (_, updates, *_) = state_of(tmp_path)
    assert (step, updates) == ((9, 3) if number == 1 else (5, 2))


FULL = (
    tf.errors.ResourceExhaustedError(None, None, "/run/ckpt-9_temp; No space left on device"),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
)


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_a_full_disk_leaves_the_earlier_checkpoints_and_is_named(tmp_path, monkeypatch, error):
    system = saved(tmp_path, 5, 7)
    before = contents(tmp_path)

    def full(state, prefix):
        Path(f"{prefix}.data-00000-of-00001").write_bytes(b"half")
        Path(f"{prefix}_temp").mkdir()
        raise error

    monkeypatch.setattr(tf.train.Checkpoint, "write", full)
    # weight, two slots and the optimiser's counter: 3 x 4 + 8
    with pytest.raises(DiskFullError, match=f"of {tmp_path} is full: about 20 bytes were"):
        Checkpoints(system, tmp_path).save(9)
    assert contents(tmp_path) == before and not list(tmp_path.glob(".*"))
    assert saved_step(tmp_path) == 7


def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused(tmp_path):
    folder = tmp_path / "run[1]"
    for read in (lambda: Checkpoints(Toy(), folder), lambda: saved_step(folder)):
        with pytest.raises(UserError, match=r"run\[1\] has one of .*; give the run another folder"):
            read()


def test_networks_load_without_their_optimisers(tmp_path):
    system, other = trained(), Toy(0.1)
    Checkpoints(system, tmp_path).save(7)
    other.optimizers = {}
    load_networks(other, tmp_path)
    np.testing.assert_array_equal(
        system.networks["G"].get_weights(), other.networks["G"].get_weights()
    )


def test_a_stage_without_checkpoint_has_no_networks(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint in .*structure; run that stage first"):
        load_networks(Toy(), tmp_path / "structure")


def test_a_worker_saves_along_but_writes_nothing(tmp_path):
    saved(tmp_path, 7)
    before = contents(tmp_path)
    worker = Checkpoints(trained(), tmp_path, writes=False)
    assert worker.restore() == 7
    worker.save(8)
    worker.save(9)
    assert contents(tmp_path) == before


def test_an_index_tells_networks_apart(tmp_path):
    for name, system in (("one", Toy(0.1)), ("other", trained())):
        Checkpoints(system, tmp_path / name).save(7)
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    one, copy, other = (checkpoint_index(tmp_path / name) for name in ("one", "copy", "other"))
    assert one == copy != other and checkpoint_index(tmp_path / "none") == b""
