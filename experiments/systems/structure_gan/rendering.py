"""Images of a user's own lesion label by a finished run of the main system, without its data.

G draws four modalities of a structure map, a mask and a label. Map and mask are those of a scan, or
of a random code; the label is the user's.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.names import MODALITIES
from data.brats.scaling import scaled_slices
from data.brats.slices import output_size
from data.brats.windows import axial_range
from data.grids import Volume
from data.structure_maps.extraction import remove_tumour, structure_and_outside
from data.synthetic_sets.building import judged_map, random_maps
from experiments.configs.brats import BratsConfig
from experiments.engine.derived import network_hash
from experiments.engine.resuming import finished_config
from experiments.systems.structure_gan.evaluation import evaluated, find_labels
from experiments.systems.structure_gan.maps import code_decoder, seed_decoder
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from models.lesions import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining
from utils.inference import compiled, infer
from utils.metrics.segmentation import dice
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.checkpoints import checkpoint_index, load_networks

NETWORKS = ("structure", "synthesis", "segmentation")  # stages whose networks are used
TURN = 6.0  # degrees from slice to slice: the demo then changes as its real patients do


class Brain(NamedTuple):
    """Maps of N slices of one brain, as the run's networks see them.

    Attributes:
        structure: [N,h,w], 1 on lines.
        outside: [N,h,w], 1 = outside the brain.
    """

    structure: np.ndarray
    outside: np.ndarray


class LabelRenderer:
    """G, its map networks and the segmenters G_l of a finished run of `train_brats.py`.

    Args:
        path: the run directory.

    Attributes:
        config: the run's configuration.
        network: hash of the networks and of how slices are cut.
        sequences: names of what it makes.
        size: height and width of its slices in pixels.
        real_step: how much neighbouring slices of real patients differ; None = not known.

    Raises:
        UserError: the folder holds no such run, or the run is not finished.
    """

    sequences = MODALITIES

    def __init__(self, path: Path):
        run = RunDirectory(path, writes=False)
        self.config = finished_config(path, BratsConfig, TRAIN_BRATS.script, evaluated)
        self.size = output_size(self.config.slicing)
        maps = StructureGAN(self.config.structure)
        # G alone: what D did is in its weights.
        alone = replace(self.config.synthesis.pretraining, adversarial=0.0)
        generator = Pretraining(replace(self.config.synthesis, pretraining=alone))
        segmenters = Segmentation(self.config.segmentation)
        for name, system in zip(NETWORKS, (maps, generator, segmenters)):
            load_networks(system, run.checkpoints(name))
        batch_size = self.config.dataset.batch_size
        self._of_codes = code_decoder(maps, self.size, batch_size)
        self._of_seeds = seed_decoder(maps, self.size, batch_size)
        self._draw = tf.function(generator.synthesize, autograph=False)
        self._find = compiled(segmenters.synthesize)
        self._cut = compiled(self._maps_of)
        contents = (checkpoint_index(run.checkpoints(name)) for name in NETWORKS)
        self.network = network_hash(asdict(self.config.slicing), *contents)
        self.real_step = run.read_metrics().get("volumes/real/step")

    def random_brain(self, seed: int) -> Brain:
        """Returns maps of one slice of a random brain that pass the run's filter (Algorithm 3)."""
        structure, outside, _ = random_maps(
            self._of_seeds, 1, self.config.dataset, derive_seed(seed, "map")
        )
        return Brain(structure[..., 0], outside[..., 0])

    def random_stack(self, seed: int, lesion: np.ndarray, turn: float = TURN) -> Brain:
        """Returns maps of neighbouring slices of a random brain around a lesion.

        The middle slice has a random code, its neighbours codes that are turned by a small angle in
        a random direction, and so on: all codes are distributed as random ones. Of the directions
        that are drawn the first is taken whose map holds the lesion and passes the filter, or else
        the best.

        Args:
            seed: of the codes.
            lesion: bool [N,h,w], what the brain has to hold in each of N slices.
            turn: the angle in degrees.
        """
        rng, count = np.random.default_rng(derive_seed(seed, "stack")), len(lesion)
        middle, nothing = count // 2, np.zeros(self.config.structure.code_size)
        first, maps = self._turned(nothing, 90.0, lesion[middle], rng)
        chosen = {middle: maps}
        for way in (range(middle + 1, count), range(middle - 1, -1, -1)):
            code = first
            for k in way:
                code, chosen[k] = self._turned(code, turn, lesion[k], rng)
        return Brain(*map(np.stack, zip(*(chosen[k] for k in range(count)))))

    def _turned(
        self, code: np.ndarray, turn: float, lesion: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, Brain]:
        """Returns a code turned by an angle in degrees in a random direction, and its maps."""
        directions = rng.standard_normal((self.config.dataset.batch_size, len(code)))
        codes = np.cos(np.radians(turn)) * code + np.sin(np.radians(turn)) * directions
        found = self._of_codes(codes)
        maps = [Brain(*pair) for pair in zip(found["structure"], found["outside"])]
        best = min(range(len(maps)), key=lambda k: self._flaws(maps[k], lesion))
        return codes[best], maps[best]

    def _flaws(self, brain: Brain, lesion: np.ndarray) -> tuple[int, bool, float]:
        """Returns what is wrong with maps [h,w], worst first; 0 where it passes."""
        config = self.config.dataset
        flaw, error = judged_map(*brain, config)
        lost = int((lesion & (brain.outside > 0)).sum())
        return lost, bool(flaw), error if error > config.max_contour_error else 0.0

    def brain_of(self, path: Path, scan: Volume) -> tuple[Brain, np.ndarray]:
        """Returns the maps of a scan's slices (Algorithms 1 and 2), and their numbers [N].

        Args:
            path: the scan's file, for messages.
            scan: skull-stripped, voxels of 1 mm, where the training data lies.

        Raises UserError for a scan that cannot be scaled.
        """
        axial = axial_range(scan.array.shape, self.config.slicing)
        images = scaled_slices({path: scan.array}, axial, self.config.slicing)
        found = infer(self._cut, {"images": images}, self.config.dataset.batch_size)
        brain = Brain(*(found[name][..., 0] for name in Brain._fields))
        seen = (brain.outside == 0).any(axis=(1, 2))
        return Brain(*(part[seen] for part in brain)), axial[seen]

    def _maps_of(self, batch: dict) -> dict:
        constants = self.config.maps.constants(BRATS)
        structure, outside = structure_and_outside(batch["images"], None, constants)
        return {"structure": structure, "outside": outside}

    def images(
        self, brain: Brain, label: np.ndarray, seed: int, batch_size: Optional[int] = None
    ) -> np.ndarray:
        """Returns the modalities of labelled slices, float32 [N,h,w,4] in [0,1].

        All slices have the same noise, so that neighbours differ by their maps and labels alone.

        Args:
            brain: maps of N slices.
            label: [N,h,w], classes of BRATS 2015; lines under a lesion are erased as in training.
            seed: of the noise.
            batch_size: slices per forward pass; default: the run's.
        """
        label = label[..., None].astype(np.int32)
        structure = brain.structure[..., None].astype(np.float32)
        if self.config.maps.remove_tumour:
            structure = remove_tumour(tf.constant(structure), label).numpy()
        seeds = [derive_seed(seed, "noise", part) for part in "ab"]
        batch = {
            "structure": structure,
            "outside": brain.outside[..., None].astype(np.float32),
            "label": label,
            "seed": np.tile(np.int32(seeds), [len(label), 1]),
        }
        # Seeds need a batch of a known size; a single slice, as on a page, must not wait for eight.
        size = 1 if len(label) == 1 else batch_size or self.config.dataset.batch_size
        return infer(self._draw, batch, size, padded=True)["images"]

    def found(self, images: np.ndarray) -> np.ndarray:
        """Returns the labels [N,h,w,4] that each modality's G_l finds in images [N,h,w,4]."""
        return find_labels(self._find, images, self.config.dataset.batch_size)

    def scores(self, found: np.ndarray, label: np.ndarray) -> dict[str, float]:
        """Returns the whole tumour's Dice in a volume's slices, by modality.

        Args:
            found: [N,h,w,4], what the G_l find in them.
            label: [N,h,w], what they show; without a lesion there are no scores.
        """
        if not label.any():
            return {}
        return {
            name: float(dice(found[None, ..., i] > 0, label[None] > 0)[0])
            for i, name in enumerate(self.sequences)
        }
