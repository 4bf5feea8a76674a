"""Geometric image operations from tensorflow-addons; the only module that imports that package.

Each function moves pixels by parameters that the caller has drawn, so images and their label move
together when called with the same parameters and "bilinear" or "nearest". What enters from beyond
the border is 0. Parameters may be tensors; static shapes survive.
"""

from __future__ import annotations

import functools
import types
import warnings

import tensorflow as tf

from utils.errors import UserError


@functools.cache
def _tfa_image() -> types.ModuleType:
    """Import `tensorflow_addons.image` at its first use, without its end-of-life warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons", category=UserWarning)
        try:
            import tensorflow_addons.image as tfa_image
        except ImportError as error:
            raise UserError(
                f"tensorflow-addons cannot be imported ({error}); install "
                "tensorflow-addons==0.23.0 beside tensorflow==2.15.1."
            ) from error
    return tfa_image


def _lengths(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the height and the width of an image [...,H,W,C] as float32 scalars."""
    height, width = tf.unstack(tf.cast(tf.shape(image)[-3:-1], tf.float32))
    return height, width


def _resample(image: tf.Tensor, matrices: list[tf.Tensor], interpolation: str) -> tf.Tensor:
    """Read each output pixel where the product of the [1,8] output-to-input matrices points."""
    tfa_image = _tfa_image()
    matrix = tfa_image.compose_transforms(matrices)
    moved = tfa_image.transform(image, matrix, interpolation=interpolation, fill_mode="constant")
    return tf.ensure_shape(moved, image.shape)


def _scaling(scale_y, scale_x, offset_y, offset_x) -> tf.Tensor:
    """Return the [1,8] matrix of y' = scale_y * y + offset_y, x' = scale_x * x + offset_x."""
    row = [scale_x, 0.0, offset_x, 0.0, scale_y, offset_y, 0.0, 0.0]
    return tf.stack([tf.cast(entry, tf.float32) for entry in row])[tf.newaxis]


def rotate(
    image: tf.Tensor, angle: tf.Tensor, interpolation: str, expand: bool = False
) -> tf.Tensor:
    """Rotate an image counter-clockwise about its centre.

    With `expand` the corners stay: the rotated image is read from the smallest upright canvas that
    holds it, squeezed back to H x W. Both steps are one resampling.

    Args:
        image: [H,W,C] or [B,H,W,C], integer or floating.
        angle: scalar, radians.
        interpolation: "nearest" or "bilinear".
        expand: whether to squeeze the whole rotated image into the frame.

    Returns:
        Tensor of the shape and dtype of `image`.
    """
    image = tf.convert_to_tensor(image)
    angle = tf.cast(angle, tf.float32)
    height, width = _lengths(image)
    matrices = [_tfa_image().angles_to_projective_transforms(angle, height, width)]
    if expand:
        cosine, sine = tf.abs(tf.cos(angle)), tf.abs(tf.sin(angle))
        scale_y = (height * cosine + width * sine) / height
        scale_x = (width * cosine + height * sine) / width
        offset_y, offset_x = (height - 1) / 2 * (1 - scale_y), (width - 1) / 2 * (1 - scale_x)
        matrices.append(_scaling(scale_y, scale_x, offset_y, offset_x))
    return _resample(image, matrices, interpolation)


def translate(image: tf.Tensor, shift: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Move an image by (rows, columns); positive is down and to the right.

    Args:
        image: [H,W,C] or [B,H,W,C], integer or floating.
        shift: [2], pixels, in the order (rows, columns).
        interpolation: "nearest" or "bilinear".

    Returns:
        Tensor of the shape and dtype of `image`.
    """
    image = tf.convert_to_tensor(image)
    shift = tf.cast(shift, tf.float32)
    return _resample(image, [_scaling(1.0, 1.0, -shift[0], -shift[1])], interpolation)


def shrink(image: tf.Tensor, pixels: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Resize an image to (H - rows, W - columns) and paste it on a zero canvas of H x W.

    The paste offset is floor(rows / 2), floor(columns / 2); sampling is at pixel centres.

    Args:
        image: [H,W,C] or [B,H,W,C], integer or floating.
        pixels: [2] integers, (rows, columns) to lose, below H and W; negative ones enlarge the
            image, of which the centre is kept.
        interpolation: "nearest" or "bilinear".

    Returns:
        Tensor of the shape and dtype of `image`.
    """
    image = tf.convert_to_tensor(image)
    lengths = tf.stack(_lengths(image))
    scale = lengths / (lengths - tf.cast(pixels, tf.float32))
    start = tf.cast(tf.math.floordiv(pixels, 2), tf.float32)
    offset = scale * (0.5 - start) - 0.5
    return _resample(image, [_scaling(scale[0], scale[1], offset[0], offset[1])], interpolation)


def affine(
    image: tf.Tensor,
    angle: tf.Tensor,
    scale: tf.Tensor,
    shift: tf.Tensor,
    interpolation: str,
) -> tf.Tensor:
    """Rotate an image counter-clockwise and enlarge it, both about its centre, then move it.

    All is one resampling.

    Args:
        image: [H,W,C] or [B,H,W,C], integer or floating.
        angle: scalar, radians.
        scale: scalar, above 0; above 1 enlarges.
        shift: [2], pixels, in the order (rows, columns); positive is down and to the right.
        interpolation: "nearest" or "bilinear".

    Returns:
        Tensor of the shape and dtype of `image`.
    """
    image = tf.convert_to_tensor(image)
    height, width = _lengths(image)
    shift, inverse = tf.cast(shift, tf.float32), 1.0 / tf.cast(scale, tf.float32)
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    offset_y = centre_y - inverse * (centre_y + shift[0])
    offset_x = centre_x - inverse * (centre_x + shift[1])
    rotation = _tfa_image().angles_to_projective_transforms(
        tf.cast(angle, tf.float32), height, width
    )
    return _resample(
        image, [rotation, _scaling(inverse, inverse, offset_y, offset_x)], interpolation
    )
