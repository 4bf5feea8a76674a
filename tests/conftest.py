"""Every test sees the same machine: two logical CPUs, no GPU, no screen and an empty cache."""

from __future__ import annotations

import os
import signal

import pytest

from tests.browser import started
from utils.runs.environment import prepare_tensorflow

prepare_tensorflow()
# A shell that starts pytest in the background leaves Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

import tensorflow as tf  # noqa: E402

# The devices are fixed once TensorFlow has started, which importing a test module may do.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# Tests run each graph a few times: optimising it first takes longer than it saves.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="session", autouse=True)
def _temporary_cache(tmp_path_factory):
    """Point XDG_CACHE_HOME, also that of subprocesses, away from the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def browser():
    """A headless browser for `tests.browser.Visit`; skips where none is installed."""
    with started() as browser:
        yield browser


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep a file's tests in one process, and in one all that look at the same tiny runs."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        shared = [name for name in ("tiny_run", "tiny_variants", "samr_run") if name in names]
        item.add_marker(pytest.mark.xdist_group((shared or [item.path.as_posix()])[0]))
