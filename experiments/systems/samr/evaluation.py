"""Stage "evaluate" of SAMR: slices made from the labels of held-out patients, beside theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import numpy as np

from data.brats.slices import voxel_size
from data.contract import DataSet
from data.slice_sets import Slices, real_slices
from experiments.engine.run import Run
from experiments.engine.scoring import per_channel, segmentation_figures, sharpness_figures
from experiments.engine.volumes import score_volumes, volume_figures
from utils.inference import compiled, infer
from utils.metrics.images import paired_ssim, psnr
from utils.metrics.sharpness import healthy_inside


def evaluate(run: Run) -> None:
    """Adds the figures of real and of generated slices, and of their pairs, to metrics.json.

    The generated ones are made from the held-out patients' own labels.
    """
    real = real_slices(run.prepared, run.split.test)
    made = replace(real, images=made_from(run, real))
    dataset = run.prepared.dataset
    find = compiled(run.trained("segmenter").synthesize)
    for name, slices in {"real": real, "synthetic": made}.items():
        found = infer(find, {"images": slices.images}, run.config.batch_size)["labels"]
        place = f"segmentation/{name}"
        volumes = score_volumes(slices, found, dataset, voxel_size(run.config.slicing))
        metrics = {
            **segmentation_figures(dataset, found, slices.label, place),
            **volume_figures(volumes, f"{place}/volume"),
            **contrast_figures(dataset, slices, f"contrast/{name}"),
            **sharpness_figures(
                dataset, slices.images, normal_brain(dataset, slices), f"sharpness/{name}"
            ),
        }
        run.update_metrics(metrics)
    scores = {"psnr": psnr, "ssim": paired_ssim}
    for key, score in scores.items():
        means = score(made.images, real.images).mean(axis=0)
        run.update_metrics(per_channel(dataset, means, "synthesis", key))


def made_from(run: Run, slices: Slices) -> np.ndarray:
    """Returns the images [N,H,W,M] that the trained generator makes of labels and heights."""
    return image_maker(run)(slices)


def image_maker(run: Run) -> Callable[[Slices], np.ndarray]:
    """Returns the function that `made_from` applies; the generator is loaded once."""
    synthesize, size = compiled(run.trained("gan").synthesize), run.config.batch_size

    def make(slices: Slices) -> np.ndarray:
        source = np.stack([np.zeros_like(slices.index), slices.index], axis=1).astype(np.int32)
        arrays = {"label": slices.label[..., None].astype(np.int32), "source": source}
        # Of another size than a whole batch, networks may round differently.
        return infer(synthesize, arrays, size, padded=True)["images"]

    return make


def contrast_figures(dataset: DataSet, slices: Slices, prefix: str) -> dict[str, float]:
    """Returns how bright each lesion class is beside normal brain, in every sequence.

    Keys are `<prefix>/<sequence>/<class>`: the mean over pixels of all slices divided by that of
    normal brain, minus 1; 0 is no contrast. Classes without a pixel are left out.
    """
    normal = (slices.label > 0) & (slices.label < dataset.first_lesion)
    figures, brain = {}, slices.images[normal].mean(axis=0)
    for value in range(dataset.first_lesion, dataset.num_classes):
        region = slices.images[slices.label == value]
        ratios = region.mean(axis=0) / brain if len(region) else ()
        for name, ratio in zip(dataset.channels, ratios):
            figures[f"{prefix}/{name}/{dataset.classes[value]}"] = float(ratio - 1)
    return figures


def normal_brain(dataset: DataSet, slices: Slices) -> np.ndarray:
    """Returns the normal brain away from rim and lesion, bool [N,H,W]."""
    return healthy_inside(slices.label == 0, dataset.lesion_of(slices.label))
