"""Networks of PGGAN, with an equalised learning rate: kernels ~ N(0,1) are scaled as they are used.

Of the channels c_k at 4 * 2^k pixels (`PGGANConfig.channels`):

    G  pixel norm, dense 4x4 c_0, 3x3 c_0 | doubled, 3x3 c_k, 3x3 c_k | .. | 1x1 to the image
    D  1x1 c_k from the image | .. | 3x3 c_k, 3x3 c_(k-1), halved | .. | deviation of the batch,
       3x3 c_0, dense c_0, dense 1

All but the last layers have a leaky ReLU, those of G a pixel norm besides. Every size has a 1x1
layer of its own to, or from, the image. Source: Karras et al. 2018 and the authors' code, in which
D takes the mean of four pixels before the leaky ReLU.
"""

from __future__ import annotations

import math

import tensorflow as tf

from models.baselines.latent_config import PGGANConfig
from models.baselines.latent_networks import double, halve
from models.blocks.convolution import LEAK

GAIN = math.sqrt(2.0)
SMALL = 1e-8  # inside of roots
GROUP = 4  # samples whose deviation D sees, at most


class EqualizedConv2D(tf.keras.layers.Conv2D):
    """A convolution whose kernel ~ N(0,1) is multiplied by gain / sqrt(its inputs)."""

    def __init__(self, filters: int, kernel: int, gain: float = GAIN, **options):
        initializer = tf.keras.initializers.RandomNormal(0.0, 1.0)
        super().__init__(filters, kernel, padding="same", kernel_initializer=initializer, **options)
        self.gain = gain

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolves with the scaled kernel."""
        kernel = tf.convert_to_tensor(kernel)
        scale = self.gain / math.sqrt(math.prod(kernel.shape[:-1]))
        return super().convolution_op(inputs, scale * kernel)


class EqualizedDense(tf.keras.layers.Dense):
    """A dense layer whose kernel ~ N(0,1) is multiplied by gain / sqrt(its inputs)."""

    def __init__(self, units: int, gain: float = GAIN, **options):
        initializer = tf.keras.initializers.RandomNormal(0.0, 1.0)
        super().__init__(units, kernel_initializer=initializer, **options)
        self.gain = gain

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps [B,C] to [B,units]."""
        scale = self.gain / math.sqrt(self.kernel.shape[0])
        y = tf.matmul(inputs, scale * tf.convert_to_tensor(self.kernel))
        return y if self.bias is None else y + self.bias


def pixel_norm(x: tf.Tensor) -> tf.Tensor:
    """Divides the channels of each pixel by their root mean square."""
    wide = tf.cast(x, tf.float32)  # in 16 bits the constant would be 0
    scale = tf.math.rsqrt(tf.reduce_mean(tf.square(wide), axis=-1, keepdims=True) + SMALL)
    return tf.cast(wide * scale, x.dtype)


def with_deviation(x: tf.Tensor) -> tf.Tensor:
    """Appends a channel: the mean standard deviation over the samples of a group, [B,H,W,C+1].

    A group has as many of up to four samples as divide the batch; sample b is in group
    b modulo B / 4.
    """
    samples, height, width, channels = x.shape
    group = max(n for n in range(1, GROUP + 1) if samples % n == 0)
    y = tf.reshape(tf.cast(x, tf.float32), [group, samples // group, height, width, channels])
    variance = tf.reduce_mean(tf.square(y - tf.reduce_mean(y, axis=0, keepdims=True)), axis=0)
    deviation = tf.reduce_mean(tf.sqrt(variance + SMALL), axis=[1, 2, 3], keepdims=True)
    channel = tf.tile(deviation, [group, height, width, 1])
    return tf.concat([x, tf.cast(channel, x.dtype)], axis=-1)


def _leaky(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.leaky_relu(x, LEAK)


class GrowingGenerator(tf.keras.Model):
    """A vector [B,latent] -> an image [B,S,S,C] of any of its sizes, linear, about [-1,1]."""

    def __init__(self, config: PGGANConfig, channels: int, name: str):
        super().__init__(name=name)
        levels = range(config.doublings + 1)
        widths = [config.channels(level) for level in levels]
        self.width = widths[0]
        self.dense = EqualizedDense(16 * self.width, GAIN / 4, use_bias=False)
        self.bias = self.add_weight("bias", [self.width], initializer="zeros")
        self.blocks = [
            [EqualizedConv2D(widths[k], 3) for _ in range(2 if k else 1)] for k in levels
        ]
        self.to_image = [EqualizedConv2D(channels, 1, gain=1.0) for _ in levels]
        for level in levels:  # creates the variables
            self(tf.zeros([1, config.latent]), level, tf.constant(1.0))

    def call(self, z: tf.Tensor, level: int, share: tf.Tensor) -> tf.Tensor:
        """Makes images of 4 * 2^level pixels.

        Args:
            z: [B,latent].
            level: 0 for 4x4 pixels.
            share: of this level in the image, 0..1; the rest is the level below, doubled.
        """
        x = tf.reshape(self.dense(pixel_norm(z)), [-1, 4, 4, self.width])
        x = pixel_norm(_leaky(x + tf.cast(self.bias, x.dtype)))
        before = x
        for number, convolutions in enumerate(self.blocks[: level + 1]):
            if number:
                before, x = x, double(x)
            for convolution in convolutions:
                x = pixel_norm(_leaky(convolution(x)))
        image = tf.cast(self.to_image[level](x), tf.float32)
        if level:
            below = tf.cast(self.to_image[level - 1](before), tf.float32)
            image = share * image + (1.0 - share) * double(below)
        return image


class GrowingCritic(tf.keras.Model):
    """Images [B,S,S,C] of any of its sizes -> scores [B,1,1,1], float32."""

    def __init__(self, config: PGGANConfig, channels: int):
        super().__init__(name="D")
        levels = range(config.doublings + 1)
        widths = [config.channels(level) for level in levels]
        self.from_image = [EqualizedConv2D(width, 1) for width in widths]
        # Of level 0 the one behind the batch's deviation.
        self.blocks = [[EqualizedConv2D(widths[0], 3)]]
        for level in levels[1:]:
            self.blocks.append([EqualizedConv2D(widths[k], 3) for k in (level, level - 1)])
        self.dense = EqualizedDense(widths[0])
        self.score = EqualizedDense(1, gain=1.0)
        for level in levels:  # creates the variables
            side = 4 * 2**level
            self(tf.zeros([1, side, side, channels]), level, tf.constant(1.0))

    def call(self, images: tf.Tensor, level: int, share: tf.Tensor) -> tf.Tensor:
        """Scores images of 4 * 2^level pixels; `level` and `share` as of G."""
        x = _leaky(self.from_image[level](images))
        for number in range(level, 0, -1):
            first, second = self.blocks[number]
            x = _leaky(halve(second(_leaky(first(x)))))
            if number == level:
                below = _leaky(self.from_image[level - 1](halve(images)))
                weight = tf.cast(share, x.dtype)
                x = weight * x + (1 - weight) * below
        x = _leaky(self.blocks[0][0](with_deviation(x)))
        x = _leaky(self.dense(tf.reshape(x, [tf.shape(x)[0], -1])))
        return tf.reshape(tf.cast(self.score(x), tf.float32), [-1, 1, 1, 1])
