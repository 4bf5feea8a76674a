"""Bytes that a graph's tensors hold at once, counted by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from utils.graphs import peak_bytes, reached_operations

X = tf.TensorSpec([1000], tf.float32)
K = 4000  # bytes of a tensor like X


def graph(function, *specs) -> tf.Graph:
    return tf.function(function, autograph=False).get_concrete_function(*specs).graph


def test_a_chain_holds_input_and_output():
    # Cumulative sums need a buffer of their own; the one before is freed.
    assert peak_bytes(graph(lambda x: tf.cumsum(tf.cumsum(tf.cumsum(x))), X)) < 2 * K + 100


def test_what_is_read_later_is_kept():
    def read_at_the_end(x):
        parts = [tf.cumsum(tf.cumsum(x)) for _ in range(5)]
        return tf.stack(parts)

    # Five parts and the stack of them, but not the sums in between.
    assert 10 * K <= peak_bytes(graph(read_at_the_end, X)) < 11 * K


def test_buffers_are_given_on():
    def elementwise(x):
        y = tf.cumsum(x)
        return tf.reshape(tf.nn.relu(tf.sqrt(y * y)), [10, 100])

    assert 2 * K <= peak_bytes(graph(elementwise, X)) < 2 * K + 100


def test_gradients_keep_what_they_need():
    weight = tf.Variable(np.ones(1000, np.float32))

    def descend(x):
        with tf.GradientTape() as tape:
            y = x * weight
            for _ in range(4):
                y = tf.sin(y)
            loss = tf.reduce_sum(y)
        return tape.gradient(loss, weight)

    # x, the four arguments of sin, its gradients and one product; not the weight itself.
    assert 6 * K <= peak_bytes(graph(descend, X)) <= 8 * K + 200


def test_what_nobody_asks_for_is_left_out():
    def asked_for(x):
        tf.tile(x, [50])
        return x + 1.0

    made = graph(asked_for, X)
    assert "Tile" in {op.type for op in made.get_operations()}
    assert "Tile" not in {op.type for op in reached_operations(made)}
    assert peak_bytes(made) < 3 * K
