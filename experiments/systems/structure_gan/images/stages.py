"""The main system on single images: its stages, and the scripts that run them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from data.chest_xray import dataset as xray
from data.contract import BOX_ROW, IMAGE, MAPS, DataSet
from data.lung_ct.dataset import LUNG_CT
from data.pipeline import RandomMaps, evaluation_batches
from data.retina import dataset as retina
from data.splits import Split
from data.structure_maps.cutting import middle_map
from data.synthetic_sets.building import ScoreImages
from data.synthetic_sets.drafts import LabelSource
from data.synthetic_sets.matching import EveryClass, NoLabels, PlaceBoxes, PlacedBoxes
from data.tianchi_ct.dataset import TIANCHI_CT
from data.tianchi_ct.placing import fitting_boxes, places_of
from experiments.configs.images import presets
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import Drawing
from experiments.systems.structure_gan.images import pictures
from experiments.systems.structure_gan.images.evaluation import (
    Judge,
    box_figures,
    class_figures,
    evaluate,
)
from experiments.systems.structure_gan.images.report import describe, write_pages
from experiments.systems.structure_gan.pictures import draw_structure
from experiments.systems.structure_gan.stages import (
    TRAIN_BRATS,
    closing_tasks,
    pretraining,
    random_map_arrays,
    slices_and_maps,
    take_pretrained,
    training,
)
from models.networks.discriminator import check_image_size
from models.networks.unet import check_sides
from models.structure_gan.classification import Classification
from models.structure_gan.config import Content
from models.structure_gan.detection import Detection
from models.structure_gan.guidance import Guide, JudgeGuide
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from utils.errors import UserError
from utils.inference import compiled
from utils.metrics.detection import recall
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_sizes

BOX_SETS = 8  # that fit each random map


class Guidance(NamedTuple):
    """What a data set's labels are learnt by, and how G is guided and judged with it.

    Attributes:
        training: the stage that trains the guide.
        guides: function from the run to what judges G.
        labels: function from the run to the labels of the random maps, for `RandomMaps`.
        source: function from the run to what gives samples their labels.
        score: function from the run to the score of samples.
        judge: figures of the stage evaluate.
        check: refuses images of a size (height, width) that the guide cannot take.
    """

    training: Optional[Training] = None
    guides: Callable[[Run], Sequence[Guide]] = lambda run: ()
    labels: Callable[[Run], Mapping[str, Any]] = lambda run: {}
    source: Callable[[Run], LabelSource] = lambda run: lambda config, seed: NoLabels()
    score: Callable[[Run], Optional[ScoreImages]] = lambda run: None
    judge: Optional[Judge] = None
    check: Callable[[Any, Sequence[int]], None] = lambda config, size: None


UNGUIDED = Guidance()


def content(dataset: DataSet) -> Content:
    """Returns what G makes of a data set of single images."""
    return Content(
        channels=len(dataset.channels),
        classes=dataset.num_classes,
        of_image=dataset.label_kind == IMAGE,
        maps=dataset.map_channels,
    )


def class_labels(run: Run) -> dict[str, Any]:
    """Returns each class once as constant label: classes are drawn equally often."""
    shape = (*run.prepared.size, 1)
    classes = range(run.prepared.dataset.num_classes)
    labels = np.stack([np.full(shape, number, np.uint8) for number in classes])
    return {"labels": labels, "match": False}


def class_score(run: Run) -> ScoreImages:
    """Returns the function to the classifier's probability of each image's class."""
    find = compiled(run.trained("classification").synthesize)

    def score(images: np.ndarray, label: np.ndarray) -> np.ndarray:
        found = find({"images": tf.constant(images)})["probabilities"].numpy()
        return found[np.arange(len(found)), label[:, 0, 0, 0]]

    return score


def class_guidance(build: Callable[[Run], Classification]) -> Guidance:
    """Returns the guidance by a classifier of whole images."""
    stage = training(
        "classification",
        build=build,
        batches=lambda run, stage: run.pipeline(
            stage, maps=None, augmentation=run.config.augmentation
        ),
        draw=pictures.draw_classes,
        keys=("images", "label", "seed", "source"),
    )
    return Guidance(
        stage,
        lambda run: [JudgeGuide(run.trained("classification"), run.config.synthesis.lesion)],
        class_labels,
        lambda run: lambda config, seed: EveryClass(run.prepared.dataset.num_classes),
        class_score,
        class_figures,
        lambda config, size: config.classification.check_image_size(size),
    )


def _known_boxes(run: Run) -> np.ndarray:
    """Returns the boxes of the training slices, float32 [L,M,5]."""
    batches = evaluation_batches(run.prepared, run.split.train, 64)
    return np.concatenate([batch["boxes"].numpy() for batch in batches])


def placed_boxes(run: Run) -> PlaceBoxes:
    """Returns what finds boxes of training slices that fit a mask [H,W,K]."""
    known, config = _known_boxes(run), run.config.dataset

    def place(rng: np.random.Generator, outside: np.ndarray) -> tuple:
        places = places_of(middle_map(outside))
        return fitting_boxes(rng, places, known, config.label_tries, config.augment_labels)

    return place


def box_labels(run: Run) -> dict[str, Any]:
    """Returns sets of boxes for the random maps, `BOX_SETS` that fit each of them.

    A map without any place for a lesion keeps none: its boxes are all 0.
    """
    place, outside = placed_boxes(run), random_map_arrays(run)["outside"]
    rng = np.random.default_rng(derive_seed(run.config.seed, "boxes of random maps"))
    boxes = [place(rng, mask)[0] for mask in outside for _ in range(BOX_SETS)]
    empty = np.zeros((run.prepared.dataset.most_boxes, BOX_ROW), np.float32)
    boxes = np.stack([empty if rows is None else rows for rows in boxes])
    fitting = np.arange(len(boxes), dtype=np.int32).reshape(len(outside), BOX_SETS)
    return {"boxes": boxes, "fitting": fitting}


def box_score(run: Run) -> ScoreImages:
    """Returns the function to the share of each image's boxes that the detector finds."""
    find = compiled(run.trained("detection").synthesize)

    def score(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        found = {k: v.numpy() for k, v in find({"images": tf.constant(images)}).items()}
        one = ({k: v[i : i + 1] for k, v in found.items()} for i in range(len(images)))
        return np.array([recall(each, rows[None]) for each, rows in zip(one, boxes)])

    return score


def box_guidance() -> Guidance:
    """Returns the guidance by a detector of boxes."""
    stage = training(
        "detection",
        build=lambda run: Detection(
            run.config.detection,
            len(run.dataset.channels),
            run.dataset.num_classes,
            run.total_steps("detection"),
        ),
        batches=lambda run, stage: run.pipeline(
            stage, maps=None, augmentation=run.config.augmentation
        ),
        draw=pictures.draw_boxes,
        keys=("images", "label", "boxes", "seed", "source"),
    )
    return Guidance(
        stage,
        lambda run: [JudgeGuide(run.trained("detection"), run.config.synthesis.lesion)],
        box_labels,
        lambda run: lambda config, seed: PlacedBoxes(placed_boxes(run), seed),
        box_score,
        box_figures,
        lambda config, size: config.detection.check_image_size(size),
    )


def image_experiment(
    name: str,
    summary: str,
    data: DataSet,
    guidance: Guidance = UNGUIDED,
    divide: Optional[Callable[[Sequence[str], float, int], Split]] = None,
    maps_of: Any = "train",
) -> Experiment:
    """Returns the script that trains the main system on a data set of single images.

    Args:
        name: of the script and the presets, such as "chest_xray".
        summary: first line of its help.
        data: the data set.
        guidance: of the labels, if there are any.
        divide: function from (ids, test fraction, seed) to the split.
        maps_of: subjects whose maps the stage structure learns, see `Training.subjects`.
    """
    keys = (*data.keys, *MAPS, "seed", "source")
    guide = [guidance.training] if guidance.training else []
    trainings = (
        training(
            "structure",
            build=lambda run: StructureGAN(run.config.structure, data.map_channels),
            batches=slices_and_maps,
            draw=draw_structure,
            keys=(*MAPS, "seed", "source"),
            subjects=maps_of,
        ),
        *guide,
        pretraining(
            lambda run: Pretraining(run.config.synthesis, content(data)),
            draw=pictures.draw_pretraining,
            keys=keys,
        ),
        training(
            "synthesis",
            needs=("structure", *(stage.name for stage in guide)),
            build=lambda run: Synthesis(run.config.synthesis, guidance.guides(run), content(data)),
            begin=take_pretrained,
            batches=functools.partial(_synthesis_batches, guidance=guidance),
            draw=pictures.draw_synthesis,
            keys=keys,
        ),
    )
    return Experiment(
        f"experiments/train_{name}.py",
        summary,
        presets(name),
        stages=(*trainings, *_tasks(guidance, trainings)),
        shown=("slicing.size", "dataset.samples"),
        data=data,
        divide=None if divide is None else functools.partial(_divided, divide=divide),
        check=functools.partial(_check_sizes, data=data, guidance=guidance, trainings=trainings),
        drawing=Drawing(
            tuple(stage.name for stage in trainings if stage.name != "pretraining"),
            guidance.source,
            guidance.score,
            describe,
        ),
    )


def _tasks(guidance: Guidance, trainings: Sequence[Training]) -> tuple[Task, ...]:
    """Returns the stages behind the trainings."""
    names = tuple(dict.fromkeys(stage.part_of or stage.name for stage in trainings))
    guide = (guidance.training.name,) if guidance.training else ()
    measure = functools.partial(evaluate, judge=guidance.judge)
    return closing_tasks(names, guide, measure, write_pages)


def _divided(ids: Sequence[str], config: Any, divide: Callable[..., Split]) -> Split:
    return divide(ids, config.test_fraction, config.seed)


def _synthesis_batches(run: Run, stage: Training, guidance: Guidance) -> Callable:
    """Returns what makes batches of generated maps and labels beside other real images."""
    maps = RandomMaps(**random_map_arrays(run), **guidance.labels(run))
    return slices_and_maps(run, stage, unpaired=True, random_maps=maps)


def _check_sizes(
    request: Request,
    strategy: tf.distribute.Strategy,
    data: DataSet,
    guidance: Guidance,
    trainings: Sequence[Training],
) -> None:
    """Checks sizes of images, maps and batches against networks and devices.

    Raises UserError for sides that the U-Nets or the guide cannot halve, images that a
    discriminator shrinks to one pixel, maps of a channel that there is not, weighted fusion, or
    batches that the replicas cannot share.
    """
    config = request.config
    size = data.size(config.slicing)
    config.maps.check(data)
    check_sides("An image of --slicing.size", size)
    check_image_size("synthesis.discriminator", config.synthesis.discriminator, size)
    guidance.check(config, size)
    if config.synthesis.fusion == "weighted":
        raise UserError(
            "--synthesis.fusion is weighted, which adds a map and a label of pixels; give concat "
            "or noise for single images"
        )
    names = [stage.name for stage in trainings if not stage.skip(config)]
    check_batch_sizes("--schedule", config.schedule, names, strategy)


def _normal_children(run: Run) -> tuple[str, ...]:
    """Returns the training children without pneumonia, whose lines are those of anatomy alone."""
    return tuple(name for name in run.split.train if xray.is_normal(name))


def _classifier(run: Run) -> Classification:
    sizes = len(run.dataset.channels), run.dataset.num_classes
    return Classification(run.config.classification, *sizes, run.total_steps("classification"))


TRAIN_CHEST_XRAY = image_experiment(
    "chest_xray",
    "Train the main system on chest X-rays and build a set of X-rays of three classes with it.",
    xray.CHEST_XRAY,
    class_guidance(_classifier),
    xray.divide,
    _normal_children,
)
TRAIN_LUNG_CT = image_experiment(
    "lung_ct",
    "Train the main system on slices of lung CT and build a set of such slices with it.",
    LUNG_CT,
)
TRAIN_RETINA = image_experiment(
    "retina",
    "Train the main system on photographs of the retina and build a set of them with it.",
    retina.RETINA,
    divide=retina.divide,
)
TRAIN_TIANCHI_CT = image_experiment(
    "tianchi_ct",
    "Train the main system on Tianchi's lung CT and build a set of slices with boxes of lesions.",
    TIANCHI_CT,
    box_guidance(),
)
TRAININGS = (TRAIN_CHEST_XRAY, TRAIN_LUNG_CT, TRAIN_RETINA, TRAIN_TIANCHI_CT)
MAIN_SYSTEM = (TRAIN_BRATS, *TRAININGS)
