"""Networks as arrays to hand on: which, how exact, and back as a checkpoint that loads."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from utils.errors import UserError
from utils.training.checkpoints import Checkpoints, load_networks, saved_step
from utils.training.packing import packed_networks, unpack_networks


class Moments(tf.keras.Model):
    """Variables as those of a prior: a symmetric matrix and a vector."""

    def __init__(self):
        super().__init__()
        values = np.random.default_rng(1).normal(size=(6, 6)).astype(np.float32)
        self.second = tf.Variable(values @ values.T, trainable=False)
        self.steps = tf.Variable(70000, dtype=tf.int64, trainable=False)
        self.huge = tf.Variable([1e6, -3.0])


def system() -> SimpleNamespace:
    dense = tf.keras.Sequential([tf.keras.Input([3]), tf.keras.layers.Dense(4)])
    other = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(2)])
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(dense.trainable_variables)
    networks = {"G": dense, "prior": Moments(), "D": other}
    return SimpleNamespace(networks=networks, optimizers={"G": optimizer})


@pytest.fixture
def saved(tmp_path):
    tf.keras.utils.set_random_seed(0)
    trained = system()
    Checkpoints(trained, tmp_path / "own").save(7)
    return trained, tmp_path


def test_networks_come_back_rounded_to_half_precision(saved):
    trained, folder = saved
    arrays = packed_networks(folder / "own", ("G", "prior"))
    assert not any("D/" in name or "optimizers" in name for name in arrays)
    unpack_networks(arrays, folder / "new", 7, ("G", "prior"))
    assert saved_step(folder / "new") == 7
    other = system()
    load_networks(other, folder / "new")
    assert set(other.networks) == {"G", "prior"}  # D would have the weights of its start
    for name in other.networks:
        for old, new in zip(trained.networks[name].variables, other.networks[name].variables):
            np.testing.assert_allclose(new.numpy(), old.numpy(), rtol=5e-4, atol=1e-7)
            if old.dtype != tf.float32 or np.abs(old.numpy()).max() > 70000:
                np.testing.assert_array_equal(new.numpy(), old.numpy())
    second = other.networks["prior"].second.numpy()
    np.testing.assert_array_equal(second, second.T)
    sizes = {name: array.nbytes for name, array in arrays.items()}
    assert sum(v for k, v in sizes.items() if "second" in k) == 2 * 21  # half of 6x6, two bytes
    assert sum(v for k, v in sizes.items() if "kernel" in k and "networks/G" in k) == 2 * 12


def test_a_stage_without_networks_is_known_as_finished(saved):
    _, folder = saved
    unpack_networks(packed_networks(folder / "own", ()), folder / "new", 3, ())
    assert saved_step(folder / "new") == 3


def test_what_is_not_there_is_named(saved):
    _, folder = saved
    with pytest.raises(UserError, match="has no network G_t"):
        packed_networks(folder / "own", ("G_t",))
    with pytest.raises(UserError, match="There is no checkpoint in"):
        packed_networks(folder / "gone", ("G",))
