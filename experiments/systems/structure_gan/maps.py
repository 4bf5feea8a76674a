"""Structure maps from random or given codes, drawn by a run's trained networks."""

from __future__ import annotations

from typing import Callable

import numpy as np
import tensorflow as tf

from experiments.engine.run import Run
from models.structure_gan.structure import to_binary
from utils.images import resize_nearest_tf1
from utils.inference import infer


def map_decoder(run: Run) -> Callable[[np.ndarray], tuple]:
    """Returns the function from seeds [B,2] to random maps and masks [B,H,W,1], and scores [B]."""
    system = run.trained("structure")
    batch_size = run.config.dataset.batch_size
    size = run.prepared.size

    @tf.function(autograph=False)
    def decode(seeds: tf.Tensor) -> tuple:
        maps = system.random_maps(tf.ensure_shape(seeds, [batch_size, 2]), size)
        return maps["structure"], maps["outside"], maps["score"]

    return lambda seeds: tuple(tensor.numpy() for tensor in decode(seeds))


def decode_codes(run: Run, codes: np.ndarray) -> np.ndarray:
    """Returns the maps of codes [N,L] in units of the run's prior: 0/1, float32 [N,H,W].

    With the prior `fitted` a code first takes mean and spread of the training codes, as random
    codes do; with `standard` it stays.
    """
    networks = run.trained("structure").networks

    def decode(batch: dict) -> dict:
        z = batch["z"]
        if "code_prior" in networks:
            z = networks["code_prior"](z)
        return {"maps": resize_nearest_tf1(to_binary(networks["G_s"](z)), run.prepared.size)}

    codes = {"z": codes.astype(np.float32)}
    return infer(decode, codes, run.config.dataset.batch_size)["maps"][..., 0]
