"""Training and rendering of Table 1's arms on the networks, maps and labels of a main run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.pipeline import lesion_labels
from data.synthetic_sets.building import BestMap, Draft, LabelSampler
from experiments.configs.table1 import Table1Config
from experiments.systems.structure_gan.context import Context
from experiments.systems.structure_gan.dataset import image_renderer
from experiments.systems.structure_gan.evaluation import SliceSet, synthetic
from experiments.systems.structure_gan.training import train_synthesis
from experiments.tables.ablation.arms import (
    COMPLETE,
    Arm,
    arm_run_config,
    first_twin,
    pretraining_twin,
)
from utils.runs.files import replacing
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.distribute import wait_for_all_workers

MAPS = "random_maps.npz"


class ArmRun(RunDirectory):
    """A run directory some of whose stages lie elsewhere: {stage: checkpoint folder}."""

    def __init__(self, path: Path, writes: bool, elsewhere: Mapping[str, Path]):
        super().__init__(path, writes)
        self.elsewhere = elsewhere

    def checkpoints(self, stage: str) -> Path:
        """Returns the checkpoint folder of a stage."""
        return self.elsewhere.get(stage) or super().checkpoints(stage)


@dataclass(frozen=True)
class Ablation:
    """The arms of Table 1 on one main run.

    Attributes:
        source: the main run.
        run: where to write.
        table: settings.
    """

    source: Context
    run: RunDirectory
    table: Table1Config

    def context(self, order: str, arm: Arm, writes: bool = True) -> Context:
        """Returns the run of one arm: its own generator and discriminator, all else borrowed.

        Without `writes` no folder is made for it.
        """
        config = arm_run_config(arm, self.source.config, self.table)
        folder, name = self.run.path / "arms", first_twin(order, arm)
        elsewhere = {
            stage: self.source.run.checkpoints(stage)
            for stage in ("structure", "segmentation", "registration")
        }
        as_main = arm_run_config(COMPLETE, self.source.config, self.table) == self.source.config
        twin = pretraining_twin(arm)
        if as_main and twin == pretraining_twin(COMPLETE):
            elsewhere["pretraining"] = self.source.run.checkpoints("pretraining")
        else:
            elsewhere["pretraining"] = folder / twin / "checkpoints" / "pretraining"
        if as_main and name == first_twin("thesis", COMPLETE):
            elsewhere["synthesis"] = self.source.run.checkpoints("synthesis")
        run = ArmRun(folder / name, writes and self.run.writes, elsewhere)
        return replace(self.source, config=config, run=run)

    def finished(self, order: str, arm: Arm) -> bool:
        """Returns whether an arm has been trained to its end."""
        return self.context(order, arm, writes=False).finished("synthesis")

    def train(self, order: str, arm: Arm) -> None:
        """Brings an arm to the end of its schedule, from wherever its checkpoints stand."""
        context = self.context(order, arm)
        maps = context.run.checkpoints("synthesis") / MAPS
        if self.run.writes and not maps.exists():  # all arms train on the main run's maps
            with replacing(maps) as temporary:
                shutil.copyfile(self.source.run.checkpoints("synthesis") / MAPS, temporary)
        wait_for_all_workers(self.source.strategy)
        train_synthesis(context, arm.match)

    def slices(self, order: str, arm: Arm, matched: SliceSet) -> SliceSet:
        """Returns an arm's slices for the maps of a set; they are rendered once and kept.

        The label is the set's, or for an arm without mask filter any label (`any_labels`).
        """
        label = matched.label if arm.match else self.any_labels(matched)
        path = self.run.path / "sets" / f"{first_twin(order, arm)}.npz"
        if not path.exists():
            size, images = self.source.config.dataset.batch_size, []
            render = image_renderer(self.context(order, arm).trained("synthesis"), size)
            for start in range(0, len(label), size):
                rows = np.minimum(np.arange(start, start + size), len(label) - 1)
                seeds = [
                    [derive_seed(self.table.seed, "arms", row, part) for part in "ab"]
                    for row in rows
                ]
                maps = (matched.structure, matched.outside, label)
                planes = [plane[rows, ..., None] for plane in maps]
                images.append(render(*planes, np.array(seeds, np.int32)))
            with replacing(path) as temporary:
                np.savez_compressed(temporary, images=np.concatenate(images)[: len(label)])
        with np.load(path, allow_pickle=False) as arrays:
            return replace(matched, images=arrays["images"], label=label)

    def any_labels(self, matched: SliceSet) -> np.ndarray:
        """Returns one label per slice as the main run draws them, wherever they lie: [N,H,W]."""
        labels = lesion_labels(self.source.prepared, self.source.split.train)
        seed = derive_seed(self.table.seed, "any labels")
        sampler = LabelSampler(labels, self.source.config.dataset, seed)
        everywhere = BestMap(outside=np.zeros(labels.shape[1:], np.uint8))
        drawn = [
            sampler.draw(Draft(i, best=everywhere))[0][..., 0] for i in range(len(matched.label))
        ]
        return np.stack(drawn).astype(np.int32)


def judged_slices(context: Context, samples: int) -> SliceSet:
    """Returns the first samples of a main run's synthetic set: maps that no arm was trained on."""
    whole = synthetic(context)
    parts = (whole.images, whole.label, whole.outside, whole.structure, whole.subjects)
    return SliceSet(*(part[:samples] for part in parts))
