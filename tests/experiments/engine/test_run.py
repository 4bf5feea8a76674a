from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.names import MODALITIES
from data.brats.slices import SliceConfig
from data.shards import parse_record
from data.splits import Split
from experiments.configs.brats import TINY as PRESET
from experiments.engine import fitting, run_context
from experiments.engine.fitting import check_first_batch
from experiments.systems.structure_gan import training
from experiments.systems.structure_gan.context import check_sizes, open_context
from experiments.systems.structure_gan.dataset import build_dataset, lesion_scorer
from experiments.systems.structure_gan.evaluation import held_out, surface_figures
from experiments.systems.structure_gan.pictures import plain_row, slice_rows
from experiments.systems.structure_gan.report import segmentation_table, summary_table
from experiments.systems.structure_gan.training import (
    _copy_generator,
    generated_maps,
    map_decoder,
    train_segmentation,
)
from tests.data.trees import write_tree
from tests.devices import mirrored_strategy
from utils.errors import UserError
from utils.runs.files import replacing, write_json
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import Checkpoints

SLICING = SliceConfig(slices=(1, 5), rows=(1, 25), columns=(2, 18))
CONFIG = replace(PRESET, slicing=SLICING)


def context_of(folder, layout: str = "flat2015", config=CONFIG, writes: bool = True):
    """A context on two tiny cases in one layout, with a run directory and a cache of its own."""
    data = folder / layout
    if not data.exists():
        write_tree(data, layout, shape=(6, 26, 20))
    run = RunDirectory(folder / "run" / layout, writes=writes)
    return open_context(config, run, tf.distribute.get_strategy(), data, folder / "cache" / layout)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return context_of(tmp_path_factory.mktemp("stages"))


def records(context) -> list[dict]:
    size = context.prepared.size
    files = tf.data.TFRecordDataset([str(path) for path in context.prepared.files])
    return list(files.map(lambda record: parse_record(record, BRATS, size)).as_numpy_iterator())


@pytest.mark.parametrize("layout", ["nested2015", "brats2020", "brats2023"])
def test_every_release_gives_the_same_slices(context, layout, tmp_path):
    scheme = "brats2023" if layout == "brats2023" else None
    config = replace(CONFIG, slicing=replace(SLICING, label_scheme=scheme))
    expected, found = records(context), records(context_of(tmp_path, layout, config))
    assert len(expected) == len(found) == 8
    for one, other in zip(expected, found):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_an_ambiguous_release_is_refused(tmp_path):
    with pytest.raises(UserError, match="label_scheme"):
        context_of(tmp_path, "brats2023")


def test_the_split_is_written_once_and_kept(tmp_path):
    first = context_of(tmp_path)
    content = json.loads(first.run.splits.read_text())
    assert content == {"train": list(first.split.train), "test": list(first.split.test)}
    Split(train=first.split.test, test=first.split.train).save(first.run.splits)
    again = context_of(tmp_path, config=replace(CONFIG, seed=99))
    assert again.split.train == first.split.test and again.data_note == "flat2015"


def test_data_that_changed_since_the_split_is_refused_at_once(tmp_path, monkeypatch):
    context_of(tmp_path)
    write_tree(tmp_path / "flat2015", "flat2015", count=3)
    monkeypatch.setattr(run_context, "prepare_shards", pytest.fail)
    with pytest.raises(UserError, match=r"2 cases of .*splits\.json, found 1 new \(.*pat0003_1\)"):
        context_of(tmp_path)


def test_bad_data_leaves_no_split_behind(tmp_path):
    config = replace(CONFIG, slicing=replace(SLICING, rows=(1, 33)))
    with pytest.raises(UserError, match="has 26 rows"):
        context_of(tmp_path, config=config)
    assert not list(tmp_path.rglob("splits.json"))


def test_a_worker_splits_alike_and_writes_nothing(tmp_path, context):
    worker = context_of(tmp_path, writes=False)
    assert worker.split == context.split and not worker.run.path.exists()


def test_initial_weights_depend_on_seed_and_stage(context):
    def weights(seed: int, stage: str) -> np.ndarray:
        system = replace(context, config=replace(CONFIG, seed=seed)).build(stage)
        return next(iter(system.networks.values())).trainable_variables[0].numpy()

    first = weights(0, "segmentation")
    np.testing.assert_array_equal(first, weights(0, "segmentation"))
    assert not np.array_equal(first, weights(1, "segmentation"))
    assert not np.array_equal(weights(0, "registration"), weights(1, "registration"))


def test_a_stage_needs_the_ones_before(context):
    with pytest.raises(UserError, match=r"no checkpoint in .*segmentation; run that stage first"):
        context.trained("segmentation")
    with pytest.raises(UserError, match=r"no checkpoint in .*registration; run that stage first"):
        context.build("synthesis")


def test_a_stage_is_finished_by_its_last_step(context, tmp_path):
    context = replace(context, run=RunDirectory(tmp_path))
    checkpoints = Checkpoints(context.build("segmentation"), tmp_path / "checkpoints/segmentation")
    assert not context.finished("segmentation")
    checkpoints.save(2)
    assert not context.finished("segmentation")
    message = r"segmentation stands at step 2 of 20; finish it with --resume --stages segmentation"
    with pytest.raises(UserError, match=message):
        context.trained("segmentation")
    checkpoints.save(20)
    assert context.finished("segmentation") and context.trained("segmentation").networks


def test_a_stage_without_networks_is_finished_by_its_result(context, tmp_path):
    run = RunDirectory(tmp_path)
    context = replace(context, run=run)
    run.update_metrics({"synthesis/random_maps/accepted_after_retries": 0})
    stages = ("dataset", "evaluate", "report")
    assert [context.finished(stage) for stage in stages] == [False] * 3
    write_json(run.synthetic / "manifest.json", {})
    run.update_metrics({"diversity/synthetic/ssim": 0.4})
    run.report.touch()
    assert [context.finished(stage) for stage in stages] == [True] * 3


def test_cases_are_named(context):
    text = context.describe_source(np.array([[1, 70], [0, 71]]))
    assert text == "brats_2013_pat0002_1 slice 70; brats_2013_pat0001_1 slice 71"


def test_devices_must_share_the_batch():
    odd = replace(CONFIG.schedule.pretraining, batch_size=3)
    config = replace(CONFIG, schedule=replace(CONFIG.schedule, pretraining=odd))
    with pytest.raises(UserError, match=r"^--schedule\.pretraining\.batch_size is 3 but 2 devices"):
        check_sizes(config, mirrored_strategy())
    check_sizes(replace(config, pretrain=False), mirrored_strategy())


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("slicing", {"rows": (1, 24)}, "A slice cut by --slicing.rows"),
        ("slicing", {"rows": (1, 9), "columns": (2, 10)}, "registration.discriminator .* 8x8"),
        ("synthesis", {"discriminator": "vgg11"}, "synthesis.discriminator is vgg11, .* 24x16"),
        ("structure", {"map_size": (36, 24)}, "structure.map_size"),
        ("structure", {"discriminator": "vgg11"}, "structure.discriminator is vgg11, .* 32x24"),
    ],
)
def test_sizes_are_checked_before_the_data_is_looked_at(tmp_path, part, changes, message):
    strategy = tf.distribute.get_strategy()
    with pytest.raises(UserError, match=f"^{message}"):
        config = replace(CONFIG, **{part: replace(getattr(CONFIG, part), **changes)})
        open_context(config, RunDirectory(tmp_path), strategy, tmp_path / "none", tmp_path)


def test_every_part_of_the_first_batch_is_checked():
    plane = np.ones((2, 4, 4, 1), np.float32)
    batch = {"images": plane.repeat(4, -1), "structure": plane, "outside": plane}
    strategy = mirrored_strategy()

    def pairs(*values: int) -> tf.distribute.DistributedDataset:
        label = plane.astype(np.int32) * np.reshape(values, (2, 1, 1, 1)).astype(np.int32)
        examples = tf.data.Dataset.from_tensor_slices({**batch, "label": label}).batch(1)
        return strategy.distribute_datasets_from_function(lambda context: examples)

    dataset = pairs(4, 3)
    check_first_batch(dataset, BRATS, strategy)
    (trained_on,) = dataset
    labels = strategy.experimental_local_results(trained_on["label"])
    assert [int(label[0, 0, 0, 0]) for label in labels] == [4, 3]  # nothing was skipped
    with pytest.raises(UserError, match="Batch key label .* with 5"):
        check_first_batch(pairs(4, 5), BRATS, strategy)


@pytest.mark.parametrize("step", [0, 2])
def test_a_stage_checks_its_data_at_every_start(context, tmp_path, monkeypatch, step):
    context = replace(context, run=RunDirectory(tmp_path))
    if step:
        folder = context.run.checkpoints("segmentation")
        Checkpoints(context.build("segmentation"), folder).save(step)
    starts = []

    def broken(strategy, batch_size, first_step, **arguments):
        starts.append(first_step)
        return tf.data.Dataset.from_tensors({"images": tf.zeros([batch_size, 24, 16, 4])})

    monkeypatch.setattr(fitting, "distributed", broken)
    with pytest.raises(UserError, match="Batch key label is missing"):
        train_segmentation(context)
    assert starts == [step] and not list(tmp_path.rglob("*.png"))


def test_the_decoder_hands_out_maps_masks_and_scores():
    def random_maps(seeds, size):
        total = tf.cast(tf.reduce_sum(seeds, axis=1), tf.float32)
        maps = tf.ones([2, *size, 1])
        return {"structure": maps, "outside": 2 * maps, "score": total}

    context = SimpleNamespace(
        trained=lambda stage: SimpleNamespace(random_maps=random_maps),
        config=SimpleNamespace(dataset=SimpleNamespace(batch_size=2)),
        prepared=SimpleNamespace(size=(3, 4)),
    )
    structure, outside, score = map_decoder(context)(np.int32([[1, 2], [3, 4]]))
    assert structure.shape == (2, 3, 4, 1) and (outside == 2 * structure).all()
    np.testing.assert_array_equal(score, [3, 7])


def test_counts_of_the_set_become_metrics(tmp_path):
    run = RunDirectory(tmp_path, writes=True)
    counts = {"rejected": {"no organ": 3}, "accepted_after_retries": 2}
    write_json(run.synthetic / "manifest.json", counts)
    build_dataset(SimpleNamespace(run=run, finished=lambda stage: stage == "dataset"))
    expected = {"dataset/rejected/no organ": 3, "dataset/accepted_after_retries": 2}
    assert run.read_metrics() == expected


def test_pretraining_hands_its_generator_over():
    def system():
        layer = tf.keras.layers.Dense(2, bias_initializer="normal")
        return SimpleNamespace(networks={"G": tf.keras.Sequential([tf.keras.Input([3]), layer])})

    first, second = system(), system()
    _copy_generator(first, second)
    for one, other in zip(first.networks["G"].get_weights(), second.networks["G"].get_weights()):
        np.testing.assert_array_equal(one, other)


def test_generated_maps_are_drawn_once(context):
    maps = np.random.default_rng(0).integers(0, 2, (2, 3, 8, 8, 1), np.uint8)
    with replacing(context.run.checkpoints("synthesis") / "random_maps.npz") as temporary:
        np.savez(temporary, structure=maps[0], outside=maps[1])
    found = generated_maps(context)  # without a trained stage "structure"
    np.testing.assert_array_equal(found.structure, maps[0])
    np.testing.assert_array_equal(found.outside, maps[1])
    assert found.labels.shape == (4, 24, 16, 1) and found.augment


def test_generated_maps_that_passed_no_filter_are_counted(context, tmp_path, monkeypatch):
    context = replace(context, run=RunDirectory(tmp_path))
    maps = np.ones((2, 8, 8, 1), np.uint8)
    monkeypatch.setattr(training, "map_decoder", lambda context: None)
    monkeypatch.setattr(training, "random_maps", lambda *_: (maps, 1 - maps, 5))
    np.testing.assert_array_equal(generated_maps(context).outside, 1 - maps)
    expected = {"synthesis/random_maps/accepted_after_retries": 5}
    assert context.run.read_metrics() == expected


def test_the_score_is_the_mean_dice_of_the_modalities():
    label = np.zeros((2, 4, 4, 1), np.int32)
    label[:, :2, :2] = 3  # 4 pixels
    found = np.zeros((2, 4, 4, 4), np.int32)
    found[0, :2, :2, 0] = 1  # another class of the same tumour: 1
    found[0, :2, :4, 1] = 3  # twice as many: 2 * 4 / 12
    found[0, :1, :2, 2] = 3  # half as many: 2 * 2 / 6
    found[1, :2, :2] = 3
    score = lesion_scorer(SimpleNamespace(synthesize=lambda batch: {"labels": tf.constant(found)}))
    expected = [(1 + 8 / 12 + 4 / 6 + 0) / 4, 1]
    np.testing.assert_allclose(score(np.zeros((2, 4, 4, 4), np.float32), label), expected)


def test_held_out_slices_are_those_of_the_test_patients(context):
    slices = held_out(context)
    number = context.prepared.subject_ids.index(context.split.test[0])
    expected = [record for record in records(context) if record["source"][0] == number]
    np.testing.assert_array_equal(slices.images, [record["images"] for record in expected])
    np.testing.assert_array_equal(slices.label, [record["label"][..., 0] for record in expected])
    assert slices.outside.shape == (4, 24, 16) and set(np.unique(slices.outside)) <= {0, 1}


def test_surface_distances_are_millimetres_of_the_slices_grid(context):
    label, found = np.zeros((2, 24, 16), int), np.zeros((2, 24, 16, 4), int)
    label[0, 4, 4], found[0, 4, 7] = 4, 1  # three pixels apart in every modality
    found[1, 0, 0, 0] = 2  # T1's segmenter finds a lesion where there is none
    halved = replace(context.config, slicing=replace(SLICING, downsample=2))
    for config, millimetres in ((context.config, 3.0), (halved, 6.0)):
        figures = surface_figures(replace(context, config=config), found, label, "x")
        assert figures["x/T1/hd95_wt"] == millimetres
        assert figures["x/T2/hd95_wt"] == millimetres / 2  # two empty masks have the distance 0
        assert figures["x/hd95_wt"] == pytest.approx(millimetres * (1 + 3 / 2) / 4)
        assert figures["x/T1/hd95_wt_one_empty"] == 1 and figures["x/T2/hd95_wt_one_empty"] == 0


def test_rows_of_slices_are_enlarged_and_outlined():
    images = np.zeros((2, 4, 4, 4))
    images[..., 1] = 1
    label = np.zeros((2, 4, 4), int)
    label[1, 1:3, 1:3] = 4
    rows = slice_rows(images, label)
    assert len(rows) == len(MODALITIES) and rows[0][0].shape == (8, 8, 3)
    assert not rows[0][0].any() and (rows[1][0] == 255).all()
    assert rows[0][1].any() and not rows[0][1][0].any()
    (plain,) = plain_row(np.array([[[0.0, 1.0]]]))
    np.testing.assert_array_equal(plain, [[0, 0, 255, 255]] * 2)


def test_tables_set_real_beside_synthetic():
    metrics = {
        "segmentation/real/dice_wt": 0.81234,
        "segmentation/synthetic/dice_wt": 0.75,
        "outside/synthetic/share": 0.01,
        "segmentation/real/T1c/dice_enhancing": 0.61,
    }
    summary = summary_table(metrics)
    assert summary.loc["whole-tumour Dice (higher is better)"].tolist() == [0.8123, 0.75]
    share = summary.loc["share of intensity outside the mask (lower is better)"]
    assert np.isnan(share["real"]) and share["synthetic"] == 0.01
    table = segmentation_table(metrics)
    assert table.shape == (8, 5) and table.loc["T1c real", "dice_enhancing"] == 0.61
    assert table.notna().to_numpy().sum() == 1
