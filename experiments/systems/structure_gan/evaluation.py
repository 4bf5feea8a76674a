"""Stage "evaluate": the same figures on held-out slices and on the unfiltered synthetic set."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf

from data.brats.slices import pixel_size, voxel_size
from data.contract import DataSet
from data.slice_sets import Slices, patient_volumes, real_slices, stored_slices
from data.structure_maps.extraction import extract_outside, structure_and_outside
from experiments.engine.run import Run
from experiments.engine.scoring import per_channel, segmentation_figures, sharpness_figures
from experiments.engine.volumes import score_volumes, volume_figures
from models.networks.modalities import BY_TARGET, TARGET, TRANSLATIONS
from utils.inference import compiled, infer
from utils.metrics.detectability import detection_accuracy
from utils.metrics.distributions import is_rank_deficient
from utils.metrics.features import TEXTURE_FEATURE_NAMES
from utils.metrics.images import diversity_ssim, outside_share, paired_ssim, pairwise_overlap, psnr
from utils.metrics.quality import frechet_texture
from utils.metrics.segmentation import dice, mean_and_count
from utils.metrics.sharpness import healthy_inside, line_share
from utils.metrics.surface import hausdorff95_batch
from utils.metrics.volumes import slice_steps
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed


def evaluate(run: Run) -> None:
    """Adds the figures of translations, textures and, by kind, of both sets to metrics.json."""
    segmenters, dataset = run.trained("segmentation"), run.prepared.dataset
    find = compiled(segmenters.synthesize)
    sets = {"real": held_out(run), "synthetic": synthetic(run)}
    run.update_metrics(translation_figures(run, find, sets["real"]))
    run.update_metrics(texture_figures(run, sets["real"], sets["synthetic"]))
    for name, slices in sets.items():
        found = find_labels(find, slices.images, run.config.evaluation.batch_size)
        metrics = {
            **segmentation_figures(dataset, found, slices.label, f"segmentation/{name}"),
            **surface_figures(run, found, slices.label, f"segmentation/{name}"),
            **overlap_figures(run, slices, f"registration/{name}"),
            **per_channel(
                dataset,
                outside_share(slices.images, slices.outside).mean(axis=0),
                f"outside/{name}",
                "share",
            ),
            **healthy_figures(dataset, slices, f"sharpness/{name}"),
            **per_channel(dataset, diversity(run, slices), f"diversity/{name}", "ssim"),
        }
        run.update_metrics(metrics)
        if name == "real":  # synthetic slices make up no volume
            volumes = score_volumes(slices, found, dataset, voxel_size(run.config.slicing))
            place = f"segmentation/{name}/volume"
            run.update_metrics(volume_figures(volumes, place), f"{place}/")
            run.update_metrics({"volumes/real/step": neighbour_step(slices)})


def neighbour_step(slices: Slices) -> float:
    """Returns the mean absolute difference of neighbouring slices of a patient inside the brain.

    It is the mean over modalities and patients.
    """
    steps = [
        slice_steps(images[..., i], inside)[0]
        for images, inside in (
            volume.values for volume in patient_volumes(slices, slices.images, slices.outside == 0)
        )
        for i in range(images.shape[-1])
    ]
    return float(np.mean(steps))


def evaluated(run: RunDirectory) -> bool:
    """Returns whether `evaluate` has finished: its last figure is there."""
    return "diversity/synthetic/ssim" in run.read_metrics()


def held_out(run: Run) -> Slices:
    """Returns the held-out patients' slices.

    `outside` is Algorithm 2 on all modalities; `structure` is Algorithm 1 on the modality of
    `maps.modality`, or on each in turn where the training draws it at random, without lesion.
    """
    slices = real_slices(run.prepared, run.split.test)
    dataset, maps = run.prepared.dataset, run.config.maps
    constants, size = maps.constants(dataset), run.config.evaluation.batch_size
    turns = np.arange(len(slices)) % len(dataset.channels)
    if maps.modality != "random":
        turns[:] = dataset.channels.index(maps.modality)

    def cut(batch: dict) -> dict:
        images = batch["images"]
        planes = tf.split(images, images.shape[-1], axis=-1)
        masks = [extract_outside(plane, constants) for plane in planes]
        chosen = tf.gather(images, batch["turn"], axis=-1, batch_dims=1)[..., None]
        structure, _ = structure_and_outside(chosen, batch["label"], constants)
        # A pixel is outside the organ only if no modality shows it.
        return {"outside": np.min(masks, axis=0), "structure": structure}

    arrays = {"images": slices.images, "label": slices.label[..., None], "turn": turns}
    found = infer(cut, arrays, size)
    return replace(slices, **{key: values[..., 0] for key, values in found.items()})


def synthetic(run: Run) -> Slices:
    """Returns every sample of the synthetic set, selected or not; each is its own patient."""
    return stored_slices(run.synthetic)


def find_labels(find: Callable[[dict], dict], images: np.ndarray, batch_size: int) -> np.ndarray:
    """Returns the labels [N,H,W,K] that a segmenter's K networks find in images [N,H,W,4].

    `find` is `Segmentation.synthesize`, compiled or not.
    """
    return infer(find, {"images": images}, batch_size)["labels"]


def surface_figures(
    run: Run, found: np.ndarray, label: np.ndarray, prefix: str
) -> dict[str, float]:
    """Returns the whole tumour's HD95 per slice in mm of labels [N,H,W,4] against [N,H,W].

    Keys are those of `segmentation_figures` with `hd95_wt`, and with `hd95_wt_one_empty` for the
    number of slices that have no distance because only one of the two masks is empty.
    """
    dataset = run.prepared.dataset
    spacing = [pixel_size(run.config.slicing)] * 2
    distances = [
        hausdorff95_batch(found[..., i] > 0, label > 0, spacing)
        for i in range(len(dataset.channels))
    ]
    figures = {
        **per_channel(dataset, np.array([d.mean for d in distances]), prefix, "hd95_wt"),
        **per_channel(
            dataset, np.array([d.one_empty for d in distances]), prefix, "hd95_wt_one_empty"
        ),
    }
    return {key: value for key, value in figures.items() if np.isfinite(value)}


def overlap_figures(run: Run, slices: Slices, prefix: str) -> dict[str, float]:
    """Returns the overlap of each modality's structure map with the other three, lesions removed.

    Keys are `<prefix>/<modality>/overlap` and `<prefix>/overlap`; 1 for perfect registration.
    """
    count = min(len(slices.images), run.config.evaluation.overlap_slices)
    chosen = np.linspace(0, len(slices.images) - 1, count).astype(int)  # evenly, all patients
    images, label = slices.images[chosen], slices.label[chosen, ..., None]
    dataset = run.prepared.dataset
    modalities, constants = range(len(dataset.channels)), run.config.maps.constants(dataset)
    maps = [
        structure_and_outside(images[..., i : i + 1], label, constants)[0].numpy()[..., 0]
        for i in modalities
    ]
    pairs = np.full([len(modalities)] * 2, np.nan)
    for i, j in itertools.combinations(modalities, 2):
        overlap = pairwise_overlap(np.stack([maps[i], maps[j]], axis=1))
        pairs[i, j] = pairs[j, i] = np.nanmean(overlap)
    return per_channel(dataset, np.nanmean(pairs, axis=1), prefix, "overlap")


def translator(run: Run) -> Callable[[dict], dict]:
    """Returns the function from `images` [B,H,W,4] to `translations` [B,12,H,W,1] of a run.

    They are those of G_t, or of the system that makes the images, if it translates itself.
    """
    if hasattr(run.config, "registration"):
        return run.trained("registration").synthesize
    system = run.trained("synthesis")
    return lambda batch: {"translations": system.translations(batch["images"])}


def translation_figures(run: Run, find: Callable[[dict], dict], slices: Slices) -> dict[str, float]:
    """Returns what G_t's translations of held-out slices are worth, as the guide of G.

    Keys are `translation/[<source>_to_<target>/]<figure>`: psnr (dB) and ssim to the true slice,
    and dice_wt of the target's segmenter on the translation; the others are means over the twelve.

    Args:
        run: with its trained translator.
        find: as in `find_labels`.
        slices: the held-out slices.
    """
    translate = compiled(translator(run))
    size, channels = run.config.evaluation.batch_size, run.prepared.dataset.channels
    rows = np.arange(len(slices))
    # In parts: twelve translations of all slices of many patients take gigabytes.
    parts = [
        _translation_scores(translate, find, slices.choose(rows[start : start + 8 * size]), size)
        for start in range(0, len(slices), 8 * size)
    ]
    figures = {}
    for key in parts[0]:
        scores = np.concatenate([part[key] for part in parts])  # [N,12]
        numbers = [mean_and_count(column)[0] for column in scores.T]
        for (i, j), number in zip(TRANSLATIONS, numbers):
            figures[f"translation/{channels[i]}_to_{channels[j]}/{key}"] = number
        figures[f"translation/{key}"] = float(np.mean(numbers))
    return {key: value for key, value in figures.items() if np.isfinite(value)}


def _translation_scores(
    translate: Callable[[dict], dict], find: Callable[[dict], dict], slices: Slices, size: int
) -> dict[str, np.ndarray]:
    """Returns psnr, ssim and dice_wt [N,12] of the twelve translations of some slices."""
    # Padded: TensorFlow 2.15 crashes in the optimiser of a graph with any number of rows.
    found = infer(translate, {"images": slices.images}, size, padded=True)
    translated = np.moveaxis(found["translations"][..., 0], 1, -1)  # [N,H,W,12]
    truth = slices.images[..., list(TARGET)]
    scores = {"psnr": psnr(translated, truth), "ssim": paired_ssim(translated, truth)}
    scores["dice_wt"] = np.empty(scores["psnr"].shape)
    for chosen in np.transpose(BY_TARGET):  # to each target once: images that segmenters know
        labels = find_labels(find, translated[..., chosen], size)
        for i, k in enumerate(chosen):
            scores["dice_wt"][:, k] = dice(labels[..., i] > 0, slices.label > 0)
    return scores


def texture_figures(run: Run, real: Slices, fake: Slices) -> dict[str, float]:
    """Returns how near the texture of synthetic slices is to that of real ones.

    Keys are `texture/synthetic/[<modality>/]frechet`, the Frechet distance of texture features to
    the held-out slices, and the same with `real` for training slices: the mark to meet;
    `detectability/synthetic/accuracy`, how often a small network tells synthetic texture from real
    (0.5 is chance, 1: always), and `detectability/real/accuracy` of two groups of real patients. An
    accuracy is left out if a part of it has no slices or no patches, a distance if there are fewer
    slices than features. The network learns from training patients and half of the set, the rest is
    for its test.

    Args:
        run: whose training patients are used, at most as many slices as the set has.
        real: the held-out slices.
        fake: the synthetic set.
    """
    seed, config = derive_seed(run.config.seed, "detector"), run.config.evaluation.detector
    seen = real_slices(run.prepared, run.split.train, len(fake), seed)
    dataset, figures = run.prepared.dataset, {}
    fewest, width = min(map(len, (seen, fake, real))), len(TEXTURE_FEATURE_NAMES)
    sets = {} if is_rank_deficient(fewest, width) else {"real": seen, "synthetic": fake}
    for name, slices in sets.items():
        distances = frechet_texture(slices.images, real.images)
        figures.update(per_channel(dataset, distances, f"texture/{name}", "frechet"))
    pairs = {
        "synthetic": [(seen.images, fake.images[::2]), (real.images, fake.images[1::2])],
        "real": [_two_groups(seen), _two_groups(real)],
    }
    for name, parts in pairs.items() if config.patch <= min(run.prepared.size) else ():
        if all(len(images) for part in parts for images in part):
            accuracy = detection_accuracy(*parts, config, seed)
            figures[f"detectability/{name}/accuracy"] = accuracy
    return {key: value for key, value in figures.items() if np.isfinite(value)}


def _two_groups(slices: Slices) -> list[np.ndarray]:
    """Returns the images of every other patient, and those of the others."""
    _, patient = np.unique(slices.subjects, return_inverse=True)
    return [slices.images[patient % 2 == k] for k in (0, 1)]


def healthy_figures(dataset: DataSet, slices: Slices, prefix: str) -> dict[str, float]:
    """Returns `sharpness_figures` of the healthy organ, and `<prefix>/lines` (`line_share`).

    Figures of sets without healthy organ are left out.
    """
    healthy = healthy_inside(slices.outside, slices.label)
    lines = line_share(slices.structure, slices.outside)
    found = {f"{prefix}/lines": lines} if np.isfinite(lines) else {}
    return {**found, **sharpness_figures(dataset, slices.images, healthy, prefix)}


def diversity(run: Run, slices: Slices) -> np.ndarray:
    """Returns the mean SSIM of random pairs of slices of each channel, [M]."""
    seed = derive_seed(run.config.seed, "diversity")
    pairs = run.config.evaluation.ssim_pairs
    several = np.ptp(slices.subjects) > 0  # of a single held-out patient any two slices are paired
    return diversity_ssim(slices.images, pairs, seed, slices.subjects if several else None)
