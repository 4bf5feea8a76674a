"""A run's data, split, systems and stages, on two tiny cases."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from data import opening
from data.brats.dataset import BRATS
from data.splits import Split
from experiments.engine import fitting
from experiments.engine.fitting import check_first_batch
from experiments.engine.performing import perform
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from tests.data.trees import write_tree
from tests.devices import mirrored_strategy
from tests.experiments.small_run import CONFIG, SLICING, in_folder, records, run_on
from utils.errors import UserError
from utils.runs.files import write_json
from utils.training.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_on(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("layout", ["nested2015", "brats2020", "brats2023"])
def test_every_release_gives_the_same_slices(run, layout, tmp_path):
    scheme = "brats2023" if layout == "brats2023" else None
    config = replace(CONFIG, slicing=replace(SLICING, label_scheme=scheme))
    expected, found = records(run), records(run_on(tmp_path, layout, config))
    assert len(expected) == len(found) == 8
    for one, other in zip(expected, found):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_an_ambiguous_release_is_refused(tmp_path):
    with pytest.raises(UserError, match="label_scheme"):
        run_on(tmp_path, "brats2023")


def test_the_split_is_written_once_and_kept(tmp_path):
    first = run_on(tmp_path)
    content = json.loads(first.splits.read_text())
    assert content == {"train": list(first.split.train), "test": list(first.split.test)}
    Split(train=first.split.test, test=first.split.train).save(first.splits)
    again = run_on(tmp_path, config=replace(CONFIG, seed=99))
    assert again.split.train == first.split.test and again.data_note == "flat2015"


def test_data_that_changed_since_the_split_is_refused_at_once(tmp_path, monkeypatch):
    run_on(tmp_path)
    write_tree(tmp_path / "flat2015", "flat2015", count=3)
    monkeypatch.setattr(opening, "prepare_shards", pytest.fail)
    with pytest.raises(UserError, match=r"2 cases of .*splits\.json, found 1 new \(.*pat0003_1\)"):
        run_on(tmp_path)


def test_bad_data_leaves_no_split_behind(tmp_path):
    config = replace(CONFIG, slicing=replace(SLICING, rows=(18, 50)))
    with pytest.raises(UserError, match="has 26 rows"):
        run_on(tmp_path, config=config)
    assert not list(tmp_path.rglob("splits.json"))


def test_a_worker_splits_alike_and_writes_nothing(tmp_path, run):
    worker = run_on(tmp_path, writes=False)
    assert worker.split == run.split and not worker.path.exists()


def test_initial_weights_depend_on_seed_and_stage(run):
    def weights(seed: int, stage: str) -> np.ndarray:
        system = run.changed(config=replace(CONFIG, seed=seed)).build(stage)
        return next(iter(system.networks.values())).trainable_variables[0].numpy()

    first = weights(0, "segmentation")
    np.testing.assert_array_equal(first, weights(0, "segmentation"))
    assert not np.array_equal(first, weights(1, "segmentation"))
    assert not np.array_equal(weights(0, "registration"), weights(1, "registration"))


def test_a_stage_needs_the_ones_before(run):
    with pytest.raises(UserError, match=r"no checkpoint in .*segmentation; run that stage first"):
        run.trained("segmentation")
    with pytest.raises(UserError, match=r"no checkpoint in .*registration; run that stage first"):
        run.build("synthesis")


def test_a_stage_is_finished_by_its_last_step(run, tmp_path):
    run = in_folder(run, tmp_path)
    checkpoints = Checkpoints(run.build("segmentation"), tmp_path / "checkpoints/segmentation")
    assert not run.finished("segmentation")
    checkpoints.save(2)
    assert not run.finished("segmentation")
    message = r"segmentation stands at step 2 of 20; finish it with --resume --stages segmentation"
    with pytest.raises(UserError, match=message):
        run.trained("segmentation")
    checkpoints.save(20)
    assert run.finished("segmentation") and run.trained("segmentation").networks


def test_a_stage_without_networks_is_finished_by_its_result(run, tmp_path):
    run = in_folder(run, tmp_path)
    run.update_metrics({"synthesis/random_maps/accepted_after_retries": 0})
    stages = ("dataset", "evaluate", "report")
    assert [run.finished(stage) for stage in stages] == [False] * 3
    write_json(run.synthetic / "manifest.json", {})
    run.update_metrics({"dataset/accepted_after_retries": 0, "diversity/synthetic/ssim": 0.4})
    run.report.touch()
    assert [run.finished(stage) for stage in stages] == [True] * 3


def test_cases_are_named(run):
    text = run.describe(np.array([[1, 70], [0, 71]]))
    assert text == "brats_2013_pat0002_1 slice 70; brats_2013_pat0001_1 slice 71"


def test_devices_must_share_the_batch(tmp_path):
    odd = replace(CONFIG.schedule.pretraining, batch_size=3)
    config = replace(CONFIG, schedule=replace(CONFIG.schedule, pretraining=odd))
    with pytest.raises(UserError, match=r"^--schedule\.pretraining\.batch_size is 3 but 2 devices"):
        TRAIN_BRATS.check(Request(tmp_path, config), mirrored_strategy())
    config = replace(config, pretrain=False)
    TRAIN_BRATS.check(Request(tmp_path, config), mirrored_strategy())


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
        patch = replace(CONFIG.registration, discriminator="patch")  # needs more pixels than fine
        config = replace(CONFIG, registration=patch)
        config = replace(config, **{part: replace(getattr(config, part), **changes)})
        perform(Run(TRAIN_BRATS, Request(tmp_path, config, data=tmp_path / "none"), strategy))


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
def test_a_stage_checks_its_data_at_every_start(run, tmp_path, step):
    run = in_folder(run, tmp_path)
    if step:
        folder = run.checkpoints("segmentation")
        Checkpoints(run.build("segmentation"), folder).save(step)
    starts = []

    def broken(batch_size, first_step, shard):
        starts.append(first_step)
        return tf.data.Dataset.from_tensors({"images": tf.zeros([batch_size, 24, 16, 4])})

    segmentation = TRAIN_BRATS.stage("segmentation")
    with pytest.raises(UserError, match="Batch key label is missing"):
        replace(segmentation, batches=lambda run, training: broken).perform(run)
    assert starts == [step] and not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("borrowed", [False, True])
def test_a_training_writes_its_settings_into_folders_of_its_own_only(
    run, tmp_path, monkeypatch, borrowed
):
    monkeypatch.setattr(fitting, "Trainer", lambda *arguments, **options: None)
    folder = tmp_path / "segmentation" if borrowed else run.checkpoints("segmentation")
    own = run.changed(borrowed={"segmentation": folder} if borrowed else {})
    training = TRAIN_BRATS.stage("segmentation")
    fitting.fit(own, training, SimpleNamespace(synthesize=lambda batch: batch))
    assert (folder / "config.json").exists() != borrowed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"needs": ("sgmenter",)}, "segmentation needs sgmenter, which no stage before it is"),
        ({"learning_rate": "--nope.rate"}, "segmentation names the option --nope.rate, which is"),
        ({"batch_size": "--schedule.nope"}, "segmentation names the option --schedule.nope"),
    ],
)
def test_a_stage_that_names_what_is_not_there_is_noticed_at_once(change, sentence):
    stage = replace(TRAIN_BRATS.stage("segmentation"), **change)
    with pytest.raises(ValueError, match=sentence):
        replace(TRAIN_BRATS, stages=(TRAIN_BRATS.stage("structure"), stage))
