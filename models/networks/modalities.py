"""The U-Nets G and G_t, stacking four modalities along the batch, and the twelve translations.

Rows are sample-major: row 4b + i is modality i of sample b; of the twelve translations of a sample,
row k goes from modality `SOURCE[k]` to modality `TARGET[k]`.
"""

from __future__ import annotations

import tensorflow as tf

from models.networks.unet import UNet

NUM_MODALITIES = M = 4  # of BRATS, between which G_t translates
TRANSLATIONS = tuple((i, j) for i in range(M) for j in range(M) if i != j)
SOURCE = tuple(i for i, _ in TRANSLATIONS)
TARGET = tuple(j for _, j in TRANSLATIONS)
# For each translation the one that leads back.
BACK = tuple(TRANSLATIONS.index((j, i)) for i, j in TRANSLATIONS)
# For each target the rows of `TRANSLATIONS` that lead to it.
BY_TARGET = tuple(tuple(k for k, j in enumerate(TARGET) if j == i) for i in range(M))


def to_rows(images: tf.Tensor, modalities: int = M) -> tf.Tensor:
    """Returns images [B,H,W,K] of K modalities as rows [B*K,H,W,1]; one image stays as it is."""
    if modalities == 1:
        return images
    shape = tf.shape(images)
    height, width = images.shape[1:3]
    rows = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [shape[0] * shape[3], height, width, 1])
    return rows


def from_rows(rows: tf.Tensor, count: int) -> tf.Tensor:
    """Returns rows [B*count,...] as [B,count,...]."""
    return tf.reshape(rows, [-1, count, *rows.shape[1:]])


def to_channels(rows: tf.Tensor, modalities: int = M) -> tf.Tensor:
    """Returns rows [B*K,H,W,1] of K modalities as images [B,H,W,K]; one image stays as it is."""
    if modalities == 1:
        return rows
    return tf.transpose(from_rows(rows, modalities)[..., 0], [0, 2, 3, 1])


def modality_index(batch_size: tf.Tensor, order: tuple = tuple(range(M))) -> tf.Tensor:
    """Returns the modality of each row, `order` repeated for every sample: [B*len(order)]."""
    return tf.tile(tf.constant(order, tf.int32), [batch_size])


def translation_codes(
    network: UNet, samples: tf.Tensor, order: tuple = tuple(range(len(TRANSLATIONS)))
) -> tf.Tensor:
    """Returns G_t's one-hot codes [samples*len(order),K] of the translations with these numbers.

    Of K = 4 conditions a code names the target, of 12 the translation.
    """
    conditions = network.spec.conditions
    if conditions == M:
        order = tuple(TARGET[k] for k in order)
    return tf.one_hot(modality_index(samples, order), conditions)


def translate_to_others(network: UNet, rows: tf.Tensor) -> tf.Tensor:
    """Returns G_t's twelve translations per sample, rows [B*12,H,W,1], from rows [B*4,H,W,1].

    Four encoder passes and twelve decoder rows per sample; the same numbers as twelve whole calls.
    """
    codes = translation_codes(network, tf.shape(rows)[0] // M)  # 3 consecutive rows per source
    return network.decode(network.encode(rows), codes)
