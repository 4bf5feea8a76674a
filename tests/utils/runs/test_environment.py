from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from utils.runs import environment
from utils.runs.environment import (
    REPOSITORY,
    environment_record,
    git_state,
    prepare_tensorflow,
    require_supported_versions,
)

SUPPORTED = {"tensorflow": "2.15.1", "keras": "2.15.0", "numpy": "1.26.4"}
SUPPORTED["tensorflow-addons"] = "0.23.0"


@pytest.fixture
def pretend(monkeypatch):
    """Make the check see a Python and {distribution: version}."""

    def set_versions(python=(3, 11, 7), **changes):
        versions = {**SUPPORTED, **{name.replace("_", "-"): v for name, v in changes.items()}}

        def version(name):
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(sys, "version_info", (*python, "final", 0))
        monkeypatch.setattr(metadata, "version", version)

    return set_versions


def refusal(capsys) -> str:
    """The sentence with which the check leaves."""
    with pytest.raises(SystemExit) as stop:
        require_supported_versions()
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1 and printed.err.endswith(".\n")
    return printed.err


@pytest.mark.parametrize("python", [(3, 9, 0), (3, 10, 13), (3, 11, 99)])
def test_supported_versions_pass_silently(pretend, capsys, python):
    pretend(python)
    require_supported_versions()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("python", [(3, 8, 18), (3, 12, 1), (2, 7, 18), (4, 0, 0)])
def test_other_pythons_are_refused(pretend, capsys, python):
    pretend(python)
    sentence = refusal(capsys)
    assert f"Python {python[0]}.{python[1]}.{python[2]}" in sentence
    assert "PYTHON=python3.11 make demo" in sentence


@pytest.mark.parametrize(
    ("versions", "found", "needed"),
    [
        ({"tensorflow": "2.16.1"}, "tensorflow 2.16.1", "tensorflow 2.15.x: "),
        ({"tensorflow": "2.150.0"}, "tensorflow 2.150.0", "tensorflow 2.15.x: "),
        ({"tensorflow_addons": "0.22.0"}, "tensorflow-addons 0.22.0", "tensorflow-addons 0.23.x: "),
        ({"tensorflow_addons": None}, "no tensorflow-addons", "tensorflow-addons 0.23.x: "),
        ({"keras": "3.0.0"}, "keras 3.0.0", "keras 2.15.x: "),
        ({"numpy": "2.0.0"}, "numpy 2.0.0", "numpy 1.x: "),
        ({"tensorflow": "2.18.0", "keras": "3.6.0"}, "tensorflow 2.18.0, keras 3.6.0", ""),
    ],
)
def test_wrong_packages_are_named_with_their_remedy(pretend, capsys, versions, found, needed):
    pretend(**versions)
    sentence = refusal(capsys)
    assert f"Found {found}, but this project needs {needed}" in sentence
    assert "make demo" in sentence and "pip install -c constraints.txt -e ." in sentence


@pytest.mark.parametrize("name", ["tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"])
def test_other_distributions_of_tensorflow_count(pretend, capsys, name):
    pretend(tensorflow=None, **{name: "2.15.1"})
    require_supported_versions()
    pretend(tensorflow=None, **{name: "2.14.0"})
    assert f"Found {name} 2.14.0, but this project needs tensorflow 2.15.x" in refusal(capsys)


def isolated(code: str, *options: str) -> subprocess.CompletedProcess:
    """Run code that can import our modules in a new Python."""
    start = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); "
    command = [sys.executable, "-B", *options, "-c", start + code]
    environ = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


def test_the_module_needs_only_the_standard_library_and_old_pythons_can_read_it():
    result = isolated("import utils.runs.environment", "-I", "-S")
    assert result.returncode == 0, result.stderr
    ast.parse(Path(environment.__file__).read_text("utf-8"), feature_version=(3, 6))


def test_the_check_imports_nothing_heavy():
    code = (
        "from utils.runs.environment import require_supported_versions as check; check(); "
        "print({'tensorflow', 'tensorflow_addons', 'keras', 'numpy'} & set(sys.modules))"
    )
    assert isolated(code).stdout.strip() == "set()"


def test_tensorflow_starts_without_a_word():
    result = isolated(
        "from utils.runs.environment import prepare_tensorflow; prepare_tensorflow(); "
        "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "name, default", [("TF_CPP_MIN_LOG_LEVEL", "3"), ("TF_ENABLE_ONEDNN_OPTS", "1")]
)
def test_start_settings_are_made_unless_the_user_made_them(monkeypatch, name, default):
    monkeypatch.delenv(name, raising=False)
    prepare_tensorflow()
    assert os.environ[name] == default
    monkeypatch.setenv(name, "0")
    prepare_tensorflow()
    assert os.environ[name] == "0"


def test_sums_of_large_tensors_always_have_the_same_bits():
    # Sixteen terms of 16 MB are more than TensorFlow takes for the memory of a CPU.
    result = isolated(
        "from utils.runs.environment import prepare_tensorflow; prepare_tensorflow(); "
        "import tensorflow as tf; start = tf.random.stateless_normal([2048, 2048], [0, 1]); "
        "add = tf.function(lambda x: tf.add_n([tf.sin(k * x) for k in range(1, 17)])); "
        "print(len({add(start).numpy().tobytes() for _ in range(4)}))"
    )
    assert result.stdout.strip() == "1", result.stderr


def test_the_record_names_versions_and_nothing_personal():
    record = environment_record()
    text = json.dumps(record)
    assert record["python"] == sys.version.split()[0]
    assert record["packages"]["numpy"] == np.__version__
    assert 1 <= record["cpus"] <= os.cpu_count()
    for secret in (platform.node(), str(Path.home()), str(REPOSITORY), sys.prefix):
        assert secret not in text


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit of one file."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "file.txt").write_text("one")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_of_a_clean_checkout_and_a_changed_one(checkout):
    commit = (checkout / ".git/refs/heads/main").read_text().strip()
    assert git_state(checkout) == {"commit": commit, "modified": False}
    (checkout / "file.txt").write_text("two")
    assert git_state(checkout) == {"commit": commit, "modified": True}


def test_a_new_file_of_code_is_no_part_of_the_commit(checkout):
    (checkout / "notes.txt").write_text("")
    assert git_state(checkout)["modified"] is False
    (checkout / "new.py").write_text("")
    assert git_state(checkout)["modified"] is True


def test_a_folder_inside_another_repository_and_no_git_give_no_commit(checkout, monkeypatch):
    (checkout / "inner").mkdir()
    assert git_state(checkout / "inner") == {"commit": None, "modified": None}
    monkeypatch.setenv("PATH", "")
    assert git_state(checkout) == {"commit": None, "modified": None}
