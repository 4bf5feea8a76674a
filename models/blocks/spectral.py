"""Spectral normalisation: convolutions whose kernel is divided by its largest singular value.

Miyato et al., "Spectral normalization for generative adversarial networks", 2018. The kernel is
seen as a matrix W [outputs, rest]. One vector u per kernel holds the last estimate of the first
left singular vector; v = W^T u / |W^T u| and sigma = u^T W v, through which gradients flow to W
alone. `power_iteration` improves u and belongs once into each training step, whatever the number
of forward passes: all of a step's passes then see the same network.

Keras 2.15 has no such layer; those of tensorflow-addons and Keras 3 overwrite the kernel, so that
no gradient flows through sigma.
"""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

EPSILON = 1e-12
FIRST = 15  # power iterations before the first step: a random u may be far from the singular vector


class SpectralConvolution:
    """What makes a Keras convolution of any rank spectrally normalised; first of two base classes.

    Attributes:
        u: [filters], unit length; part of the network's state, changed by `power_iteration` alone.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        """Creates kernel, bias and u."""
        super().build(input_shape)
        self.u = self.add_weight(
            "u",
            [self.filters],
            dtype=tf.float32,
            initializer=_unit_vector,
            trainable=False,
            # Every replica computes the same u from the same kernel.
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            experimental_autocast=False,
        )
        for _ in range(FIRST):
            self.power_iteration()

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolves with the kernel over its largest singular value."""
        kernel = tf.convert_to_tensor(kernel)  # in the layer's precision, unlike kernel.dtype
        return super().convolution_op(inputs, kernel / tf.cast(self.sigma(), kernel.dtype))

    def sigma(self) -> tf.Tensor:
        """Returns the estimated largest singular value of the kernel, float32."""
        matrix = self._matrix()
        u = tf.convert_to_tensor(self.u)[:, None]
        v = tf.stop_gradient(_normalised(tf.matmul(matrix, u)))
        return tf.reduce_sum(v * tf.matmul(matrix, u))

    def power_iteration(self) -> None:
        """Replaces u by W v / |W v|, one step of the power iteration."""
        matrix = self._matrix()
        v = _normalised(tf.matmul(matrix, tf.convert_to_tensor(self.u)[:, None]))
        self.u.assign(_normalised(tf.matmul(matrix, v, transpose_a=True))[:, 0])

    def _matrix(self) -> tf.Tensor:
        """Returns the kernel as float32 [rest, filters], the transpose of W."""
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), tf.float32)
        return tf.reshape(kernel, [-1, self.filters])


class SpectralConv2D(SpectralConvolution, tf.keras.layers.Conv2D):
    """A spectrally normalised convolution of images [B,H,W,C]."""


class SpectralConv3D(SpectralConvolution, tf.keras.layers.Conv3D):
    """A spectrally normalised convolution of volumes [B,D,H,W,C]."""


def spectral_layers(network: tf.keras.Model) -> Iterator[SpectralConvolution]:
    """Yields a network's spectrally normalised convolutions."""
    for layer in network.submodules:
        if isinstance(layer, SpectralConvolution):
            yield layer


def power_iterations(*networks: tf.keras.Model) -> None:
    """Takes one step of the power iteration in every such layer; once in a training step."""
    for network in networks:
        for layer in spectral_layers(network):
            layer.power_iteration()


def _normalised(x: tf.Tensor) -> tf.Tensor:
    return x / (tf.norm(x) + EPSILON)


def _unit_vector(shape: tuple, dtype: tf.DType = tf.float32) -> tf.Tensor:
    return _normalised(tf.keras.initializers.RandomNormal(0.0, 1.0)(shape, dtype))
