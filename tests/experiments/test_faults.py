"""Faults and alarms in whole runs: a poisoned batch, a killed worker, what TensorBoard shows."""

from __future__ import annotations

import json
import re
import signal
import time
from dataclasses import asdict

import numpy as np
import pytest
import tensorflow as tf

from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from models.lesions import Segmentation
from tests.experiments.conftest import TINY, finish, history, start, train
from tests.experiments.test_processes import SEGMENTATION, free_ports
from tests.utils.toy import read_events
from utils.config import flatten
from utils.runs.files import read_json


@pytest.mark.parametrize("experiment", [TRAIN_BRATS, TRAIN_TC_MGAN], ids=["brats", "tc_mgan"])
def test_the_options_that_a_fault_names_are_those_of_its_stage(experiment):
    known = {f"--{name}" for name in flatten(asdict(experiment.presets["thesis"]))}
    for training in experiment.trainings:
        group = {"pretraining": "synthesis.pretraining"}.get(training.name, training.name)
        assert training.learning_rate == f"--{group}.learning_rate"
        assert training.batch_size == f"--schedule.{training.name}.batch_size"
        assert {training.learning_rate, training.batch_size} <= known


@pytest.mark.parametrize(
    ("stage", "judges", "collapse"),
    [
        ("structure", ["D_s", "D_z"], True),
        ("segmentation", [], False),
        ("registration", ["D_t"], True),
        ("pretraining", ["D"], True),
        ("synthesis", ["D"], True),
    ],
)
def test_tensorboard_shows_accuracies_and_the_variety_of_samples(tiny_run, stage, judges, collapse):
    events = read_events(tiny_run / "tensorboard" / stage)
    found = sorted(name for name in events if "/accuracy/" in name)
    assert found == [f"{stage}/accuracy/{judge}" for judge in judges]
    assert all(0 <= value <= 1 for name in found for value in events[name].values())
    figures = sorted(name for name in events if "/collapse/" in name)
    names = ("similarity", "variance") if collapse else ()
    most = 2 if stage in ("pretraining", "synthesis") else 3  # maps, and images of untrained G_t
    assert figures == [f"{stage}/collapse/{name}" for name in names]
    for name in figures:
        assert min(events[name]) == 0 and all(0 < v < most for v in events[name].values())
    assert all(f"accuracy/{judge}" in row for row in history(tiny_run, stage) for judge in judges)


class Poison:
    """A segmentation step whose third batch has a pixel without a value."""

    def __init__(self):
        self.number = tf.Variable(0, trainable=False)
        self.step = Segmentation.train_step

    def __call__(self, system, batch):
        bad = tf.where(self.number.assign_add(1) == 3, np.nan, 0.0)
        corner = tf.pad([[[[bad]]]], [[0, n - 1] for n in batch["images"].shape])
        return self.step(system, {**batch, "images": batch["images"] + corner})


@pytest.mark.slow
def test_a_run_survives_a_poisoned_batch(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    words = (*TINY, "--stages=segmentation", "--schedule.segmentation.steps=6", "--out", str(out))
    poison = Poison()
    monkeypatch.setattr(Segmentation, "train_step", lambda system, batch: poison(system, batch))
    assert train(*words) == 1
    monkeypatch.undo()
    error = capsys.readouterr().err
    record = read_json(out / "faults" / "segmentation-3.json")
    assert record["checkpoint_step"] == 2 and record["finite_state"]
    assert "loss/G" in record["bad_terms"] and len(record["cases"]) == 4
    patients = read_json(out / "splits.json")["train"]
    assert all(case.split(" slice ")[0] in patients for case in record["cases"])
    assert (
        f"at step 3; cases: {'; '.join(record['cases'])}; the checkpoint of step 2 holds" in error
    )
    assert "and a smaller --segmentation.learning_rate" in error
    smaller = ("--allow-config-change", "--segmentation.learning_rate=0.0005")
    assert train("--out", str(out), "--resume", "--stages=segmentation", *smaller) == 0
    reader = tf.train.load_checkpoint(str(out / "checkpoints" / "segmentation" / "ckpt-6"))
    rate = "optimizers/G/learning_rate/.ATTRIBUTES/VARIABLE_VALUE"
    assert reader.get_tensor(rate) == pytest.approx(0.0005)


def begin_two(out, *words: str) -> list:
    """Two workers that train together, in processes of their own."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    return [
        start(
            *(*SEGMENTATION, "--schedule.segmentation.steps=100000", "--out", str(out), *words),
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in (0, 1)
    ]


@pytest.fixture
def workers(tmp_path):
    """Two workers of the run `tmp_path / "run"`, in the midst of their training."""
    both = begin_two(tmp_path / "run")
    try:
        end = time.monotonic() + 600
        while not history(tmp_path / "run", "segmentation"):
            assert time.monotonic() < end and all(worker.poll() is None for worker in both)
            time.sleep(0.1)
        yield both
    finally:
        for worker in both:
            worker.kill()
            worker.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_a_stop_of_one_worker_stops_both_when_the_state_is_saved(tmp_path, workers, asked):
    workers[asked].send_signal(signal.SIGTERM)
    ends = [finish(worker) for worker in workers]
    assert [code for code, _ in ends] == [130, 130]
    (step,) = {re.search(r"segmentation at step (\d+) of 100000", error)[1] for _, error in ends}
    assert (tmp_path / "run" / "checkpoints" / "segmentation" / f"ckpt-{step}.index").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number, lost", [(signal.SIGKILL, 1), (signal.SIGSTOP, 0)])
def test_the_other_worker_ends_with_a_sentence(workers, number, lost):
    """A killed process is missed at once, one that is silent after TensorFlow's heartbeats."""
    workers[lost].send_signal(number)
    began = time.monotonic()
    code, error = finish(workers[1 - lost])
    assert code == 1 and time.monotonic() - began < 60
    last = error.strip().splitlines()[-1]
    assert re.fullmatch(
        rf"error: (worker {lost} \(localhost:\d+\)|one) of the 2 processes in TF_CONFIG does "
        "not answer any more; see what it told last, then start all of them again with "
        "--resume; checkpoints are whole",
        last,
    )
