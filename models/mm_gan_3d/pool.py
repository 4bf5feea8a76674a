"""The image pool of MM-GAN: D also sees pairs of a generated volume and its label of earlier steps.

Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training",
2017; here the label travels with the volume. The pool is part of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from models.system import STATE
from utils.seeding import fold_in


class ImagePool(tf.keras.Model):
    """The last generated volumes with their labels, of which D is shown a random one.

    While it is not full every pair is stored and shown. Then a coin decides: either the pair itself
    is shown, or a stored one, whose place it takes. A volume that is not finite is not stored. With
    several replicas the pairs of the first one are stored.

    Args:
        pairs: number of pairs that it holds; 0 = every pair is shown, none stored.
        size: of the volumes, D, H and W, voxels.
        probability: of showing a stored pair, 0..1.
    """

    def __init__(self, pairs: int, size: Sequence[int], probability: float):
        super().__init__(name="pool")
        self.pairs, self.probability = pairs, probability
        self.count = self.add_weight("count", [], tf.int32, **STATE)
        shape = [pairs, *size, 1]
        self.volumes = self.add_weight("volumes", shape, tf.float32, **STATE)
        self.labels = self.add_weight("labels", shape, tf.int32, **STATE)
        self.built = True

    def exchange(
        self, volumes: tf.Tensor, labels: tf.Tensor, seeds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the pairs that D is shown, one for each generated pair, and stores some of them.

        Args:
            volumes: [B,D,H,W,1] float32, generated; no gradient flows through them.
            labels: [B,D,H,W,1] int32.
            seeds: [B,2] int32, on which the choice depends.
        """
        volumes = tf.stop_gradient(volumes)
        if not self.pairs:
            return volumes, labels
        shown = [
            self._exchange_one(volume, label, seed)
            for volume, label, seed in zip(*map(tf.unstack, (volumes, labels, seeds)))
        ]
        return tuple(map(tf.stack, zip(*shown)))

    def _exchange_one(
        self, volume: tf.Tensor, label: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.convert_to_tensor(self.count)
        coin = tf.random.stateless_uniform([], fold_in(seed, "pool/coin"))
        place = tf.random.stateless_uniform(
            [], fold_in(seed, "pool/place"), 0, self.pairs, tf.int32
        )
        filling = count < self.pairs
        sound = tf.reduce_all(tf.math.is_finite(volume))
        stored = sound & (filling | (coin < self.probability))
        place = tf.where(filling, count, place)
        old = tf.gather(self.volumes, place), tf.gather(self.labels, place)
        shown = tuple(
            tf.where(stored & ~filling, before, now) for before, now in zip(old, (volume, label))
        )
        for variable, before, now in zip((self.volumes, self.labels), old, (volume, label)):
            kept = tf.where(stored, now, before)
            variable.assign(tf.tensor_scatter_nd_update(variable, [[place]], kept[None]))
        self.count.assign(count + tf.cast(stored & filling, tf.int32))
        return shown
