"""Stage "dataset" of MM-GAN: new patients, volumes that each G makes of one new label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable

import numpy as np

from data.slice_sets import Slices, real_slices
from data.synthetic_sets.changed import build_changed_set
from data.synthetic_sets.datasheet import set_datasheet
from data.synthetic_sets.files import DATASHEET, WHOLE, Shard, finished_manifest
from data.synthetic_sets.reshaped import ReshapedConfig, VolumeChanger
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import begin_own_set, count_own_set, notes, origin
from experiments.systems.mm_gan.evaluation import gan, label_with_organ
from experiments.systems.mm_gan.report import volume_table
from utils.inference import compiled, infer
from utils.runs.files import write_text
from utils.seeding import derive_seed

SYSTEM = "MM-GAN, a volume of each modality from one label volume (docs/papers.md)"
LABELS = (
    "Each label has the {organ} of a training patient, as {channel} shows it, and the patient's "
    "lesion, flipped, deformed, turned and scaled at random. The patient's number among the "
    "training cases, from 0 on, is label_source in samples.csv, which also has the place of the "
    "patient's volume in the scanner (mm, LPS). The outline is the patient's own: "
    "the set is as confidential as the patients' data."
)


def build_dataset(run: Run) -> None:
    """Draws new labels, makes their volumes and writes `synthetic/`, or what is missing of it."""
    begin_own_set(run, asdict(run.config.dataset), networks(run))
    draw_set(run, run.synthetic, run.config.dataset)
    count_own_set(run)


def networks(run: Run) -> tuple[str, ...]:
    """Returns the stages whose networks make the samples."""
    return tuple(map(gan, run.config.made))


def draw_set(run: Run, directory: Path, config: ReshapedConfig, shard: Shard = WHOLE) -> None:
    """Draws a shard of a set with a run's networks, or as much of it as is missing.

    Sample k depends on the run's seed and on k alone, so that a larger set begins with a smaller.
    """
    build_changed_set(
        directory,
        label_changer(run, config),
        volume_maker(run),
        None,
        config,
        1,
        derive_seed(run.config.seed, "dataset"),
        {**notes(run), "voxel (depth, height, width)": f"{voxel(run)} mm"},
        lambda manifest: describe(run, manifest),
        shard,
    )


def label_changer(run: Run, config: ReshapedConfig) -> VolumeChanger:
    """Returns what draws new labels of a run's training patients."""
    prepared, train = run.prepared, run.split.train
    lesions = dict(zip(prepared.subject_ids, prepared.lesions_per_subject))
    places = dict(zip(prepared.subject_ids, prepared.places))
    dataset = prepared.dataset

    def read(patient: int) -> np.ndarray:
        """Returns the label [D,H,W] of a training patient with the organ as a class."""
        return label_with_organ(real_slices(prepared, [train[patient]]), dataset.organ)

    patients = [number for number, name in enumerate(train) if lesions[name]]
    lie = [places[name] for name in train]
    spacing = run.config.slicing.spacing
    return VolumeChanger(read, patients, lie, dataset.organ_first, spacing, config)


def volume_maker(run: Run) -> Callable[[Slices], np.ndarray]:
    """Returns the function from labels to volumes [N,D,H,W,K], K = the run's modalities."""
    made = [compiled(run.trained(stage).synthesize) for stage in networks(run)]

    def make(slices: Slices) -> np.ndarray:
        batch = {"label": slices.label[..., None].astype(np.int32)}
        volumes = [infer(synthesize, batch, 1)["images"] for synthesize in made]
        return np.concatenate(volumes, axis=-1)

    return make


def voxel(run: Run) -> str:
    """Returns depth, height and width of a run's voxels in mm, such as "4 x 4 x 4"."""
    return " x ".join(f"{side:g}" for side in run.config.slicing.spacing)


def describe(run: Run, manifest: Mapping[str, Any]) -> str:
    """Returns the datasheet of a set that is drawn with a run's networks."""
    dataset = run.dataset
    source = origin(
        run,
        manifest,
        manifest["settings"],
        networks(run),
        system=SYSTEM,
        making=(
            "`python experiments/generate.py --run RUN` draws more samples with the same networks.",
            f"Voxels of {voxel(run)} mm: depth, height and width.",
        ),
        score="",
        labels=LABELS.format(organ=dataset.classes[dataset.organ], channel=dataset.channels[0]),
        figures=volume_table(run),
        measured="Volumes made from the labels of held-out patients, which are not in this set, "
        "beside theirs",
        texture={},
    )
    return set_datasheet(manifest, source)


def write_datasheet(run: Run) -> None:
    """Writes the datasheet of the run's set anew, with the figures that were measured since."""
    write_text(run.synthetic / DATASHEET, describe(run, finished_manifest(run.synthetic)))
