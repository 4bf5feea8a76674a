"""Instance normalisation with statistics in float32, plain and conditional.

Our own small layers: tensorflow-addons and Keras cast the statistics back to float16 (overflow)
and use epsilon 1e-3 and constant scales; the original code has epsilon 1e-5, scales ~ N(1, 0.02).
"""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

EPSILON = 1e-5
SCALE_STDDEV = 0.02


class InstanceNormalization(tf.keras.layers.Layer):
    """Normalises each sample and channel over height and width, then scales and shifts.

    With `num_conditions` the scale and offset are looked up per sample (conditional instance norm,
    Dumoulin et al. 2017): this lets a modality code survive the normalisation.

    Args:
        num_conditions: rows of the scale/offset tables, or None for the plain layer.
        scale: mean of the initial scale (its spread is 0.02).
        offset: initial offset.
    """

    def __init__(
        self,
        num_conditions: Optional[int] = None,
        scale: float = 1.0,
        offset: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_conditions = num_conditions
        self.initial_scale = scale
        self.initial_offset = offset

    def build(self, input_shape) -> None:
        """Creates scale and offset, [channels] or [num_conditions, channels]."""
        rows = () if self.num_conditions is None else (self.num_conditions,)
        shape = (*rows, input_shape[-1])
        normal = tf.keras.initializers.RandomNormal(self.initial_scale, SCALE_STDDEV)
        constant = tf.keras.initializers.Constant(self.initial_offset)
        # No autocast: scale and offset take part in the float32 arithmetic.
        options = {"dtype": tf.float32, "experimental_autocast": False}
        self.scale = self.add_weight("scale", shape, initializer=normal, **options)
        self.offset = self.add_weight("offset", shape, initializer=constant, **options)
        super().build(input_shape)

    def call(self, x: tf.Tensor, condition: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Returns the normalised x [B,H,W,C] in x's type; condition is one-hot [B,K]."""
        scale, offset = tf.convert_to_tensor(self.scale), tf.convert_to_tensor(self.offset)
        if self.num_conditions is not None:
            condition = tf.cast(condition, tf.float32)
            scale = tf.matmul(condition, scale)[:, None, None, :]  # [B,1,1,C]
            offset = tf.matmul(condition, offset)[:, None, None, :]
        return tf.cast(instance_norm(tf.cast(x, tf.float32), scale, offset), x.dtype)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_conditions": self.num_conditions,
            "scale": self.initial_scale,
            "offset": self.initial_offset,
        }


def instance_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Returns scale * (x - mean) / sqrt(variance + 1e-5) + offset with biased variance over H, W.

    x is [B,H,W,C] float32; scale and offset broadcast against [B,1,1,C].
    """
    mean, variance = tf.nn.moments(x, axes=[1, 2], keepdims=True)
    factor = scale * tf.math.rsqrt(variance + EPSILON)  # [B,1,1,C]
    return x * factor + (offset - mean * factor)
