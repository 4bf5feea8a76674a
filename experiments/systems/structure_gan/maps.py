"""Structure maps from random or given codes, drawn by a run's trained networks."""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from data.slice_sets import Slices
from experiments.engine.run import Run
from models.system import GANSystem
from utils.inference import compiled, infer


def map_decoder(run: Run) -> Callable[[np.ndarray], tuple]:
    """Returns the function from seeds [B,2] to random maps and masks [B,H,W,1], and scores [B]."""
    return seed_decoder(run.trained("structure"), run.prepared.size, run.config.dataset.batch_size)


def seed_decoder(
    system: GANSystem, size: tuple[int, int], batch_size: int
) -> Callable[[np.ndarray], tuple]:
    """Returns `map_decoder` of a system of the stage structure, for maps of a size (H, W).

    It takes `batch_size` seeds at a time.
    """
    root = _root(system)

    @tf.function(autograph=False)
    def decode(seeds: tf.Tensor) -> tuple:
        maps = system.random_maps(tf.ensure_shape(seeds, [batch_size, 2]), size, root)
        return maps["structure"], maps["outside"], maps["score"]

    return lambda seeds: tuple(tensor.numpy() for tensor in decode(seeds))


def _root(system: GANSystem) -> Optional[tf.Tensor]:
    """Returns the root of the system's prior, once for all maps; None without a fitted one."""
    prior = system.networks.get("code_prior")
    return None if prior is None else prior.root()


def images_of_maps(
    system: GANSystem, maps: Slices, seeds: np.ndarray, batch_size: int
) -> np.ndarray:
    """Returns what a system of the stage synthesis makes of maps with labels: [N,H,W,M].

    Args:
        system: that reads the batch keys `random_...`.
        maps: with structure, outside and label.
        seeds: int32 [N,2], of each image.
        batch_size: images per forward pass.
    """
    batch = {
        "random_structure": maps.structure[..., None].astype(np.float32),
        "random_outside": maps.outside[..., None].astype(np.float32),
        "random_label": maps.label[..., None].astype(np.int32),
        "seed": seeds,
    }
    return infer(compiled(system.synthesize), batch, batch_size, padded=True)["images"]


def decode_codes(run: Run, codes: np.ndarray) -> np.ndarray:
    """Returns the maps of codes [N,L] in units of the run's prior: 0/1, float32 [N,H,W]."""
    size, batch_size = run.prepared.size, run.config.dataset.batch_size
    return code_decoder(run.trained("structure"), size, batch_size)(codes)["structure"]


def code_decoder(
    system: GANSystem, size: tuple[int, int], batch_size: int
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns the function from codes [N,L] to `structure` and `outside`, 0/1, float32 [N,H,W].

    With the prior `fitted` a code first takes mean and spread of the training codes, as random
    codes do; with `standard` it stays.
    """
    root = _root(system)

    @tf.function(autograph=False)
    def decode(batch: dict) -> dict:
        maps = system.maps_of(batch["z"], batch["seed"], size, root)
        return {name: maps[name][..., 0] for name in ("structure", "outside")}

    def decoded(codes: np.ndarray) -> dict[str, np.ndarray]:
        seeds = np.zeros([len(codes), 2], np.int32)  # of the drop-out, alike for all
        batch = {"z": codes.astype(np.float32), "seed": seeds}
        return infer(decode, batch, batch_size, padded=True)

    return decoded
