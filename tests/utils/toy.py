"""A system that is small enough to check by hand, and a reader of TensorBoard's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from models.system import GANSystem


class Toy(GANSystem):
    """One weight w per input, at first 1: the loss is the mean of (w x)^2 over the batch."""

    def __init__(self, learning_rate: float = 0.0, inputs: int = 1):
        layer = tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        network = tf.keras.Sequential([tf.keras.Input([inputs]), layer])
        super().__init__({"G": network}, {"G": ["G"]}, {"G": learning_rate})

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            output = tf.cast(self.networks["G"](batch["images"]), tf.float32)
            loss = tf.reduce_mean(tf.square(output))
        return {**self.descend(tape, {"G": loss}), "G/one": tf.constant(1.0)}

    def synthesize(self, batch):
        return {"images": self.networks["G"](batch["images"])}

    @property
    def state(self) -> list[np.ndarray]:
        """The weight, and the optimiser's step and slots."""
        variables = [*self.networks["G"].variables, *self.optimizers["G"].variables()]
        return [variable.numpy() for variable in variables]


def toy_examples(loss_of_example) -> tf.data.Dataset:
    """Returns examples 1, 2, ...; the untrained loss of example i is `loss_of_example(i)`."""
    return tf.data.Dataset.range(1, 1000).map(
        lambda i: {
            "images": tf.sqrt(loss_of_example(tf.cast(i, tf.float32)))[None],
            "source": tf.stack([tf.constant(0), tf.cast(i, tf.int32)]),
        }
    )


def read_events(folder: Path) -> dict[str, dict[int, np.ndarray]]:
    """Returns {tag: {step: value}} of all event files in a folder; a picture's value is [H,W,C]."""
    values: dict = {}
    for file in sorted(str(path) for path in Path(folder).glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                if value.metadata.plugin_data.plugin_name == "images":
                    array = tf.io.decode_png(array[2]).numpy()  # after width and height
                values.setdefault(value.tag, {})[event.step] = array
    return values
