"""Training and rendering of Table 1's variants on a run's networks, maps and labels."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

import numpy as np

from data.pipeline import lesion_labels
from data.slice_sets import Slices, stored_slices
from data.synthetic_sets.drafts import BestMap, Draft
from data.synthetic_sets.matching import FittingLabels
from experiments.engine.run import Run
from experiments.systems.structure_gan.maps import images_of_maps
from experiments.systems.structure_gan.stages import TRAIN_BRATS, synthesis_batches
from experiments.tables.ablation.variants import (
    COMPLETE,
    Variant,
    first_twin,
    pretraining_twin,
    variant_run_config,
)
from utils.inference import seeds_of
from utils.runs.files import replacing
from utils.runs.results import kept
from utils.seeding import derive_seed
from utils.training.distribute import wait_for_all_workers

MAPS = "random_maps.npz"


def variant_run(run: Run, order: str, variant: Variant, writes: bool = True) -> Run:
    """Returns the run of one variant: its own generator and discriminator, all else borrowed.

    Without `writes` no folder is made for it.

    Args:
        run: of the table.
        order: name of the order that the variant stands in.
        variant: the variant.
        writes: whether this process may write to the variant's run.
    """
    source, table = run.source, run.config
    config = variant_run_config(variant, source.config, table)
    folder, name = run.path / "variants", first_twin(order, variant)
    request = replace(source.request, out=folder / name, config=config)
    own = Run(TRAIN_BRATS, request, source.strategy, writes and run.writes)
    borrowed = {
        stage: source.checkpoints(stage) for stage in ("structure", "segmentation", "registration")
    }
    as_main = variant_run_config(COMPLETE, source.config, table) == source.config
    twin = pretraining_twin(variant)
    if as_main and twin == pretraining_twin(COMPLETE):
        borrowed["pretraining"] = source.checkpoints("pretraining")
    else:
        borrowed["pretraining"] = folder / twin / "checkpoints" / "pretraining"
    if as_main and name == first_twin("thesis", COMPLETE):
        borrowed["synthesis"] = source.checkpoints("synthesis")
    return own.on_data_of(source).changed(borrowed=borrowed)


def variant_finished(run: Run, order: str, variant: Variant) -> bool:
    """Returns whether a variant has been trained to its end."""
    return variant_run(run, order, variant, writes=False).finished("synthesis")


def train_variant(run: Run, order: str, variant: Variant) -> None:
    """Brings a variant to the end of its schedule, from wherever its checkpoints stand."""
    own = variant_run(run, order, variant)
    maps = own.checkpoints("synthesis") / MAPS
    if run.writes and not maps.exists():  # all variants train on the trained run's maps
        with replacing(maps) as temporary:
            shutil.copyfile(run.source.checkpoints("synthesis") / MAPS, temporary)
    wait_for_all_workers(run.strategy)
    TRAIN_BRATS.stage("pretraining").perform(own)
    synthesis = TRAIN_BRATS.stage("synthesis")
    replace(synthesis, batches=partial(synthesis_batches, match=variant.match)).perform(own)


def variant_slices(run: Run, order: str, variant: Variant, matched: Slices) -> Slices:
    """Returns a variant's slices for the maps of a set; they are rendered once and kept.

    The label is the set's, or for a variant without mask filter any label (`any_labels`).
    """
    label = matched.label if variant.match else any_labels(run, matched)
    size, own = run.source.config.dataset.batch_size, variant_run(run, order, variant, writes=False)

    def render() -> dict[str, np.ndarray]:
        seeds = seeds_of(len(label), run.config.seed, "arms")
        maps = replace(matched, label=label)
        return {"images": images_of_maps(own.trained("synthesis"), maps, seeds, size)}

    path = run.path / "sets" / f"{first_twin(order, variant)}.npz"
    settings = {
        "weights": own.weights_hash("synthesis"),
        "seed": run.config.seed,
        "samples": len(label),
    }
    return replace(matched, images=kept(path, render, settings)["images"], label=label)


def any_labels(run: Run, matched: Slices) -> np.ndarray:
    """Returns one label per slice as the trained run draws them, wherever they lie: [N,H,W]."""
    labels = lesion_labels(run.prepared, run.split.train)
    seed = derive_seed(run.config.seed, "any labels")
    sampler = FittingLabels(labels, run.source.config.dataset, seed)
    everywhere = BestMap(outside=np.zeros(labels.shape[1:], np.uint8))
    drawn = [sampler.draw(Draft(i, best=everywhere))[0][..., 0] for i in range(len(matched))]
    return np.stack(drawn).astype(np.int32)


def judged_slices(run: Run) -> Slices:
    """Returns the first samples of the run's synthetic set: maps that no variant trained on."""
    return stored_slices(run.source.synthetic, run.config.samples)
