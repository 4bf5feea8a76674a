"""Structure maps of given or random codes, for the figures."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.synthetic_sets.building import Draft, MapSampler, random_maps
from experiments.systems.structure_gan.context import Context
from experiments.systems.structure_gan.training import map_decoder
from models.structure_gan.structure import to_binary
from utils.images import resize_nearest_tf1
from utils.metrics.images import pairwise_overlap


def decode_codes(context: Context, codes: np.ndarray) -> np.ndarray:
    """Returns the maps of codes [N,L] in units of the run's prior: 0/1, float32 [N,H,W].

    With the prior `fitted` a code first takes mean and spread of the training codes, as random
    codes do; with `standard` it stays.
    """
    networks = context.trained("structure").networks
    size, batch = context.prepared.size, context.config.dataset.batch_size
    parts = []
    for start in range(0, len(codes), batch):
        z = tf.constant(codes[start : start + batch], tf.float32)
        if "code_prior" in networks:
            z = networks["code_prior"](z)
        parts.append(resize_nearest_tf1(to_binary(networks["G_s"](z)), size))
    return np.concatenate(parts)[..., 0]


def first_and_sieved(context: Context, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns random maps as drawn, the same after sieving, and how many never passed.

    Both are uint8 [count,H,W]. Place k of the second set holds place k of the first if that passed
    the run's filter (Algorithm 3), and else the first later draw that did.
    """
    decode, config = map_decoder(context), context.config.dataset
    sampler = MapSampler(decode, config, seed)
    first = []
    for start in range(0, count, config.batch_size):
        drafts = [Draft(i) for i in range(start, min(start + config.batch_size, count))]
        first.append(decode(sampler.seeds(drafts))[0][: len(drafts)])
    sieved, _, after_retries = random_maps(decode, count, config, seed)
    return np.concatenate(first)[..., 0].astype(np.uint8), sieved[..., 0], after_retries


def mean_overlap(maps: np.ndarray) -> float:
    """Returns the mean Dice of the lines over all pairs of maps [N,H,W]; lower is more diverse."""
    return float(pairwise_overlap(maps[np.newaxis])[0])
