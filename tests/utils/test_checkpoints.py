from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.utils.toy import Toy
from utils.checkpoints import Checkpoints, load_networks, saved_step
from utils.errors import UserError


def trained(steps: int = 2, **arguments) -> Toy:
    system = Toy(0.1, **arguments)
    for _ in range(steps):
        system.train_step({"images": tf.ones([1, arguments.get("inputs", 1)])})
    return system


def saved(directory, step: int = 7) -> Toy:
    system = trained()
    Checkpoints(system, directory).save(step)
    return system


def test_a_new_stage_starts_at_step_0(tmp_path):
    assert Checkpoints(Toy(), tmp_path / "structure").restore() == 0
    assert saved_step(tmp_path / "structure") == 0


def test_networks_optimisers_and_step_come_back(tmp_path):
    system, other = saved(tmp_path), Toy(0.1)
    assert Checkpoints(other, tmp_path).restore() == 7
    assert len(other.state) == 4 and other.state[1] == 2  # weight, step, two slots
    for old, new in zip(system.state, other.state):
        np.testing.assert_array_equal(old, new)


def test_the_newest_of_the_last_two_is_used(tmp_path):
    checkpoints = Checkpoints(trained(), tmp_path)
    for step in (5, 12, 9):
        checkpoints.save(step)
    assert {path.stem for path in tmp_path.glob("*.index")} == {"ckpt-12", "ckpt-9"}
    assert Checkpoints(Toy(), tmp_path).restore() == saved_step(tmp_path) == 9


def test_other_networks_are_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(UserError, match=r"ckpt-7 .*does not fit the configuration"):
        Checkpoints(Toy(inputs=2), tmp_path).restore()
    with pytest.raises(UserError, match=r"ckpt-7 .*does not fit the configuration"):
        load_networks(Toy(inputs=2), tmp_path)


def test_a_checkpoint_of_less_than_the_system_is_refused(tmp_path):
    saved(tmp_path)
    larger = Toy()
    larger.networks["D"] = tf.keras.Sequential([tf.keras.Input([1]), tf.keras.layers.Dense(1)])
    for restore in (Checkpoints(larger, tmp_path).restore, lambda: load_networks(larger, tmp_path)):
        with pytest.raises(UserError, match="ckpt-7"):
            restore()


@pytest.mark.parametrize("damage", ["half data", "no data", "half index", "no index", "no list"])
def test_damage_is_never_taken_for_a_fresh_start(tmp_path, damage):
    saved(tmp_path)
    part = {"data": "ckpt-7.data-00000-of-00001", "index": "ckpt-7.index", "list": "checkpoint"}
    file = tmp_path / part[damage.split()[1]]
    content = file.read_bytes()
    file.unlink()
    if damage.startswith("half"):
        file.write_bytes(content[: len(content) // 2])
    if damage == "no list":
        file.write_bytes(b"\x00")
    for restore in (Checkpoints(Toy(), tmp_path).restore, lambda: load_networks(Toy(), tmp_path)):
        with pytest.raises(UserError, match=rf"{tmp_path}.* is damaged .*; use the run's own"):
            restore()


def test_networks_load_without_their_optimisers(tmp_path):
    system, other = saved(tmp_path), Toy(0.1)
    other.optimizers = {}
    load_networks(other, tmp_path)
    np.testing.assert_array_equal(
        system.networks["G"].get_weights(), other.networks["G"].get_weights()
    )


def test_a_stage_without_checkpoint_has_no_networks(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint in .*structure; run that stage first"):
        load_networks(Toy(), tmp_path / "structure")


def test_a_worker_saves_along_but_writes_nothing(tmp_path):
    saved(tmp_path / "chief")
    shutil.copytree(tmp_path / "chief", tmp_path / "seen")
    worker = Checkpoints(trained(), tmp_path / "chief", writes=False)
    assert worker.restore() == 7
    worker.save(8)
    worker.save(9)
    seen, chief = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("seen", "chief")
    )
    assert seen == chief
