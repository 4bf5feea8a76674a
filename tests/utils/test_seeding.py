"""Random numbers belong to an example and a name; neither batch, device nor order changes them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from utils.seeding import derive_seed, dropout, fold_in, normal, uniform

SEEDS = tf.constant([[1, 2], [3, 4], [2, 1]])


def correlation(a, b) -> float:
    return abs(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


# The first four bytes, little-endian and without the sign, of `printf 7/train | sha256sum` etc.
@pytest.mark.parametrize(
    "arguments, expected",
    [((7, "train"), 0x7A7EA8D5), ((0,), 0x66EBEC5F), ((7, 3, "a"), 0x14322A78)],
)
def test_derived_seeds_never_change(arguments, expected):
    assert derive_seed(*arguments) == expected


def test_derived_seeds_differ_and_fit_int32():
    seeds = [derive_seed(s, name, k) for s in (0, 1) for name in "ab" for k in range(50)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize("draw", [normal, uniform])
def test_draws_do_not_depend_on_the_batch_nor_on_compilation(draw):
    whole = draw(SEEDS, "z", (4, 5)).numpy()
    assert whole.shape == (3, 4, 5)
    for row in range(3):
        alone = draw(SEEDS[row : row + 1], "z", (4, 5))
        np.testing.assert_array_equal(alone[0], whole[row])
    compiled = tf.function(lambda seeds: draw(seeds, "z", (4, 5)))
    np.testing.assert_allclose(compiled(SEEDS[::-1])[::-1], whole, rtol=1e-6)


@pytest.mark.parametrize("draw", [normal, uniform])
def test_rows_and_names_are_independent(draw):
    size = (5000,)
    z, code = draw(SEEDS, "z", size), draw(SEEDS, "code", size)
    parts = [*z.numpy(), *code.numpy()]
    pairs = [(a, b) for i, a in enumerate(parts) for b in parts[:i]]
    assert max(correlation(a, b) for a, b in pairs) < 5 / 5000**0.5


def test_normal_is_standard():
    z = normal(SEEDS, "z", (20000,)).numpy()
    assert abs(z.mean()) < 5 / 60000**0.5
    assert z.std() == pytest.approx(1, abs=5 / 120000**0.5)
    assert np.mean(z < -1.0) == pytest.approx(0.1587, abs=0.01)


def test_uniform_fills_its_range():
    u = uniform(SEEDS, "fusion", (20000,), 0.5, 0.6).numpy()
    assert 0.5 <= u.min() < 0.5001 and 0.5999 < u.max() < 0.6
    counts = np.histogram(u, bins=10, range=(0.5, 0.6))[0]
    assert np.abs(counts - 6000).max() < 6 * 6000**0.5


def test_dropout_zeroes_a_share_and_keeps_the_expectation():
    x = tf.ones([3, 100, 100, 1])
    y = dropout(x, 0.85, SEEDS, "E_s").numpy()
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.85], rtol=1e-6)
    assert np.mean(y > 0) == pytest.approx(0.85, abs=5 * (0.85 * 0.15 / 30000) ** 0.5)
    assert y.mean() == pytest.approx(1, abs=0.015)


def test_dropout_draws_by_example_and_name():
    x = tf.ones([3, 1000])
    y = dropout(x, 0.5, SEEDS, "D_s").numpy()
    np.testing.assert_array_equal(dropout(x[1:2], 0.5, SEEDS[1:2], "D_s")[0], y[1])
    assert 0.4 < np.mean(y[0] == y[1]) < 0.6
    assert 0.4 < np.mean(dropout(x, 0.5, SEEDS, "G_m").numpy() == y) < 0.6


def test_dropout_passes_gradients_through_the_kept_and_keeps_the_type():
    x = tf.ones([3, 50], tf.float16)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = dropout(x, 0.8, SEEDS, "E_s")
    assert y.dtype == tf.float16 and dropout(x, 1.0, SEEDS, "G_m") is x
    np.testing.assert_allclose(tape.gradient(y, x), y, rtol=1e-3)


def test_folding_in_names_and_numbers():
    folded = [fold_in(SEEDS[0], name).numpy() for name in ("a", "b", 0, 1)]
    folded.append(fold_in(SEEDS[1], "a").numpy())
    assert all(seed.shape == (2,) and seed.dtype == np.int32 for seed in folded)
    assert len({tuple(seed) for seed in folded}) == 5
    np.testing.assert_array_equal(fold_in(SEEDS[0], tf.constant(1)), folded[3])


def test_unknown_batch_size_is_refused():
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int32)])
    def draw(seeds):
        return normal(seeds, "z", (3,))

    with pytest.raises(ValueError, match="static batch size"):
        draw(SEEDS)
