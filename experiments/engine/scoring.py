"""Figures of any data set by their keys in metrics.json."""

from __future__ import annotations

import numpy as np

from data.contract import DataSet
from utils.metrics.segmentation import segmentation_metrics
from utils.metrics.sharpness import power_spectrum, relative_gradient


def segmentation_figures(
    dataset: DataSet, found: np.ndarray, label: np.ndarray, prefix: str = ""
) -> dict[str, float]:
    """Returns `segmentation_metrics` of labels [N,H,W,K] against [N,H,W], and their means.

    Keys are `[<prefix>/]<figure>` and, of one network per modality, also
    `[<prefix>/]<modality>/<figure>`; figures that do not exist, such as the Dice of a class that
    never occurs, are left out.
    """
    place = f"{prefix}/" if prefix else ""
    per_network = [
        segmentation_metrics(
            found[..., i], label, dataset.num_classes, dataset.classes, dataset.regions
        )
        for i in range(found.shape[-1])
    ]
    names = dataset.channels if len(per_network) == len(dataset.channels) else ()
    figures = {
        f"{place}{modality}/{key}": value
        for modality, values in zip(names, per_network)
        for key, value in values.items()
    }
    for key in per_network[0]:
        figures[f"{place}{key}"] = float(np.mean([values[key] for values in per_network]))
    return {key: value for key, value in figures.items() if np.isfinite(value)}


def sharpness_figures(
    dataset: DataSet, images: np.ndarray, region: np.ndarray, prefix: str
) -> dict[str, float]:
    """Returns gradient and spectrum of images [N,H,W,M] in a region [N,H,W] bool.

    See `utils.metrics.sharpness`. Keys are `<prefix>/[<channel>/]gradient`, and the same with
    `spectrum_<band>`; those of an empty region are left out.
    """
    values = {"gradient": relative_gradient(images, region)}
    for band, power in power_spectrum(images, region).items():
        values[f"spectrum_{band}"] = power
    figures = {}
    for key, numbers in values.items():
        figures.update(per_channel(dataset, numbers, prefix, key))
    return {key: value for key, value in figures.items() if np.isfinite(value)}


def per_channel(dataset: DataSet, values: np.ndarray, prefix: str, key: str) -> dict[str, float]:
    """Returns a figure of each channel and their mean: <prefix>/[<channel>/]<key>."""
    metrics = {f"{prefix}/{m}/{key}": float(v) for m, v in zip(dataset.channels, values)}
    return {**metrics, f"{prefix}/{key}": float(np.mean(values))}
