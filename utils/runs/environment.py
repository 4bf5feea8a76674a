"""What the code runs on: the check before anything heavy is imported, and the record of a run.

Only the standard library is imported until the check has passed, in syntax that older and newer
Pythons read too, so that the wrong Python or package set is told in a sentence, not a traceback.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

PYTHON_RANGE = ((3, 9), (3, 11))
# Distribution names that provide one package, and the start that its version must have.
REQUIRED = (
    (("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"), "2.15"),
    (("tensorflow-addons",), "0.23"),
    (("keras",), "2.15"),
    (("numpy",), "1"),
)
RECORDED = (
    "tensorflow",
    "tensorflow-addons",
    "keras",
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-python",
    "SimpleITK",
    "nilearn",
    "pandas",
    "matplotlib",
    "jsonargparse",
)
REPOSITORY = Path(__file__).resolve().parents[2]


def _installed(names: tuple) -> dict:
    """Return {name: version} of those distributions that are installed, without importing them."""
    from importlib import metadata  # Python 3.8; the check of the Python version comes first.

    found = {}
    for name in names:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if version:  # Leftovers of a broken removal have no version.
            found[name] = version
    return found


def _exit_with(sentence: str) -> None:
    """Print one sentence to the error stream and leave with the exit code of bad usage."""
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


def _check_python() -> None:
    """Exit unless the running Python is one that TensorFlow 2.15 was built for."""
    lowest, highest = PYTHON_RANGE
    if not lowest <= tuple(sys.version_info[:2]) <= highest:
        _exit_with(
            "Found Python {}.{}.{}, but TensorFlow 2.15 needs Python 3.9, 3.10 or 3.11: run "
            "`PYTHON=python3.11 make demo`, which makes an environment with it.".format(
                *sys.version_info[:3]
            )
        )


def default_cache() -> Path:
    """Return the folder for phantom and prepared slices, outside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "synthetic-labelled-mri"


def require_supported_versions() -> None:
    """Exit unless Python and the packages that exclude each other have the supported versions.

    Supported are Python 3.9 to 3.11, TensorFlow 2.15 with Keras 2.15, tensorflow-addons 0.23 and
    NumPy 1. Versions are read from the installed metadata; nothing is imported. Call it before the
    first import of TensorFlow.

    Raises:
        SystemExit: code 2, after one sentence on the error stream that names what was found, what
            is expected and what to do.
    """
    _check_python()
    found, expected = [], []
    for names, series in REQUIRED:
        versions = _installed(names)
        wrong = {n: v for n, v in versions.items() if not (v + ".").startswith(series + ".")}
        if wrong or not versions:
            found += [f"{name} {version}" for name, version in wrong.items()] or [f"no {names[0]}"]
            expected.append(f"{names[0]} {series}.x")
    if found:
        _exit_with(
            f"Found {', '.join(found)}, but this project needs {', '.join(expected)}: run "
            "`make demo`, or `pip install -c constraints.txt -e .` in a fresh environment."
        )


def prepare_tensorflow() -> None:
    """Silence TensorFlow's start, choose its fast CPU kernels, import it, fix the order of sums.

    Log level 3 is needed: 2.15 reports a second registration of cuDNN, cuFFT and cuBLAS as errors
    on every machine. Failures of operations still arrive as Python exceptions. TensorFlow uses
    oneDNN by default only on CPUs with AVX-512 or AMX, but its kernels are faster on others too.
    Variables that are already set are kept. Call it before the first `tf.function` runs.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    _fix_order_of_sums()


def _fix_order_of_sums() -> None:
    """Keep TensorFlow from splitting sums of many tensors into additions in order of arrival.

    Its memory optimiser does so where it expects to save memory, and then the last bits of a
    training's weights depend on which thread is faster. No public option turns it off alone, and
    `enable_op_determinism` does not turn it off.
    """
    from tensorflow.compat.v1 import ConfigProto
    from tensorflow.python.eager import context

    config = ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.memory_optimization = rewriting.NO_MEM_OPT
    context.context()._config = config


def _git(root: Path, *arguments: str) -> str:
    """Return what a git command prints in `root`, stripped.

    Raises:
        OSError: git cannot be run.
        subprocess.SubprocessError: git refuses or takes longer than 10 s.
    """
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    return (
        subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=10
        )
        .stdout.decode()
        .strip()
    )


def git_state(root: Path = REPOSITORY) -> dict:
    """Return the commit of the checkout at `root` and whether its code differs from it.

    New Python files differ, too: a system that is being added is not in the commit.

    A directory that merely lies inside another repository is not a checkout of this project.

    Args:
        root: top directory of the checkout.

    Returns:
        {"commit": 40 hexadecimal digits, "modified": bool}; both None where there is no checkout,
        no commit yet or no usable git.
    """
    if (root / ".git").exists():
        try:
            commit = _git(root, "rev-parse", "--verify", "HEAD")
            changes = _git(root, "status", "--porcelain", "--untracked-files=no")
            new = _git(root, "ls-files", "--others", "--exclude-standard", "--", "*.py")
            return {"commit": commit, "modified": bool(changes or new)}
        except (OSError, subprocess.SubprocessError):
            pass
    return {"commit": None, "modified": None}


def environment_record() -> dict:
    """Return what a run needs to be repeated, without a path, user or host name.

    Returns:
        JSON-ready dict with `python` (version), `platform` (system and machine), `cpus` (those this
        process may use), `packages` ({name: version}) and `git` (see `git_state`). The caller adds
        the devices.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count()
    names = RECORDED + tuple(name for name in REQUIRED[0][0] if name not in RECORDED)
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": cpus,
        "packages": _installed(names),
        "git": git_state(),
    }
