from __future__ import annotations

import json
import re
import socket

import pytest
import tensorflow as tf

from utils.errors import UserError
from utils.runs.cluster import Cluster, WorkerLostError, naming_lost_workers, read_cluster

TWO = {"worker": ["a:2222", "b:2223"]}


def describe(cluster=TWO, **task: object) -> str:
    return json.dumps({"cluster": cluster, "task": task or {"type": "worker", "index": 1}})


def test_no_cluster_without_the_variable(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert read_cluster() is None


def test_a_cluster_and_the_place_in_it(monkeypatch):
    cluster = {"chief": ["a-1.org:2221"], "worker": ["10.0.0.2:2222", "[fe80::1]:2223"]}
    monkeypatch.setenv("TF_CONFIG", describe(cluster, type="worker", index=1))
    found = read_cluster()
    assert found == Cluster(cluster, "worker", 1) and found.size == 3
    assert found.name("chief", 0) == "chief 0 (a-1.org:2221)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{bad", "it is no JSON (Expecting property name"),
        ("{}", "it lacks a cluster or a task (KeyError('cluster'))"),
        ("[1]", "it lacks a cluster or a task"),
        (json.dumps({"cluster": TWO, "task": {}}), "a task (KeyError('type'))"),
        (describe(type="worker"), "a task (KeyError('index'))"),
        (describe(type="worker", index="0"), "the task's index is '0', expected a whole number"),
        (describe(type="worker", index=True), "the task's index is True, expected a whole"),
        (describe({"worker": ["a:1", "b\0:2"]}), "'b\\x00:2' is no host:port"),
        ("[" * 100_000, "its lists lie too deep"),
        (f'{{"cluster": {{}}, "task": {{"type": "worker", "index": {"9" * 5000}}}}}', "integer"),
        (describe(type="ps", index=0), "'ps' is none of chief, worker"),
        (describe({**TWO, "evaluator": ["c:1"]}), "'evaluator' is none of chief, worker"),
        (describe(type="worker", index=2), "there is no worker 2, numbers start at 0"),
        (describe(type="worker", index=-1), "there is no worker -1, numbers start at 0"),
        (describe(type="chief", index=0), "there is no chief 0"),
        (describe({"worker": "a:2222"}), "there is no worker 1"),
        (describe({"worker": []}), "there is no worker 1"),
        (describe({"worker": ["a:2222", "a:2222"]}), "'a:2222' is there more than once"),
        (describe({"chief": ["b:1"], "worker": ["a:2", "b:1"]}), "'b:1' is there more than once"),
        (describe({"chief": ["a:1", "b:1"], "worker": ["c:1", "d:1"]}), "more than one chief"),
        (describe({"worker": ["a:2222", "b"]}), "'b' is no host:port"),
        (describe({"worker": ["a:2222", "http://b:2222"]}), "'http://b:2222' is no host:port"),
        (describe({"worker": ["a:2222", "b:65536"]}), "'b:65536' is no host:port"),
        (describe({"worker": ["a:2222", 7]}), "7 is no host:port"),
    ],
)
def test_an_unusable_description_is_told(monkeypatch, text, problem):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=re.escape(problem)) as caught:
        read_cluster()
    sentence = str(caught.value)
    assert sentence.startswith(f"The environment variable TF_CONFIG is {text!r}: ")
    assert "expected JSON such as" in sentence and sentence.endswith("correct or unset it")


@pytest.mark.parametrize("family, host", [(socket.AF_INET, ""), (socket.AF_INET6, "::")])
def test_a_second_process_with_the_same_index_is_told(monkeypatch, family, host):
    with socket.socket(family) as other:
        other.bind((host, 0))
        port = other.getsockname()[1]
        cluster = {"worker": [f"localhost:{port}", "b:2223"]}
        monkeypatch.setenv("TF_CONFIG", describe(cluster, type="worker", index=0))
        other.listen()
        with pytest.raises(UserError, match=f"Port {port}, at which .* worker 0 .*Address already"):
            read_cluster()
        monkeypatch.setenv("TF_CONFIG", describe(cluster, type="worker", index=1))
        assert read_cluster().index == 1


@pytest.mark.parametrize(
    ("error", "message", "lost"),
    [
        (
            tf.errors.UnavailableError,
            "from remote target /job:worker/replica:0/task:1 while calling /tensorflow.Worker",
            "worker 1 (b:2223) of the 2",
        ),
        (
            tf.errors.InternalError,
            "node at /job:worker/replica:0/task:0\nCollective ops is aborted by: heartbeat of "
            "/job:worker/task:1",
            "worker 1 (b:2223) of the 2",
        ),
        (tf.errors.DeadlineExceededError, "deadline", "one of the 2"),
        (tf.errors.AbortedError, "/job:worker/task:7", "one of the 2"),
    ],
)
def test_a_lost_process_is_named(monkeypatch, error, message, lost):
    monkeypatch.setenv("TF_CONFIG", describe(type="worker", index=0))
    with pytest.raises(WorkerLostError) as caught, naming_lost_workers():
        raise error(None, None, message)
    assert str(caught.value) == (
        f"{lost} processes in TF_CONFIG does not answer any more; see what it told last, then "
        "start all of them again with --resume; checkpoints are whole"
    )


def test_other_errors_stay_what_they_are(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", describe())
    with pytest.raises(tf.errors.InvalidArgumentError), naming_lost_workers():
        raise tf.errors.InvalidArgumentError(None, None, "shapes")
    monkeypatch.delenv("TF_CONFIG")
    with pytest.raises(tf.errors.UnavailableError), naming_lost_workers():
        raise tf.errors.UnavailableError(None, None, "no cluster")
