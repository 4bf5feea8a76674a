"""No source file runs what it reads: no pickles, archives, shells, tags or code from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.test_style import SOURCE

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}  # run code
MODULES |= {"tarfile", "zipfile", "pty", "ctypes"}
# What NumPy raises for a damaged file; members are written, or read by name, and never unpacked.
HARMLESS = {f"zipfile.{name}" for name in ("BadZipFile", "ZipFile", "ZipInfo", "ZIP_DEFLATED")}
BUILTINS = {"eval", "exec", "compile", "__import__"}
ANYWHERE = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.Loader"),
    *("shutil.unpack_archive", "pd.read_pickle", "tf.saved_model.load", "np.fromregex"),
}
SHORT = {"numpy": "np", "pandas": "pd", "tensorflow": "tf"}
ENDINGS = {"load_model", "model_from_json", "model_from_config", "enable_unsafe_deserialization"}
ENDINGS |= {"extractall"}  # writes where an archive says


def dotted(node: ast.AST) -> str:
    """`np.load` of the expression np.load; "" for what is no chain of names."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def keywords(call: ast.Call) -> dict[str, object]:
    """Constants by keyword; a value that is only known when it runs is `...`."""
    constant = ast.Constant
    return {k.arg: k.value.value if isinstance(k.value, constant) else ... for k in call.keywords}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def aliases(tree: ast.AST) -> dict[str, str]:
    """What names of a text stand for that imports give it."""
    found = {}
    for node in ast.walk(tree):
        module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else ():
            if alias.asname or module:
                found[alias.asname or alias.name] = f"{module}{alias.name}"
    return found


def in_full(name: str, known: dict[str, str]) -> str:
    """`np.load` of get, if `known` has it as numpy.load."""
    first, dot, rest = name.partition(".")
    first, second, others = f"{known.get(first, first)}{dot}{rest}".partition(".")
    return f"{SHORT.get(first, first)}{second}{others}"


def forbidden(name: str) -> bool:
    return in_full(name, {}) in ANYWHERE or name.rpartition(".")[2] in ENDINGS


def unsafe(text: str) -> list[str]:
    """Everything in a source text that could run, unpack or build what a file says."""
    tree = ast.parse(text)
    known = aliases(tree)
    found = [
        name
        for name in imports(tree)
        if (name.split(".")[0] in MODULES and name not in HARMLESS) or forbidden(name)
    ]
    for node in ast.walk(tree):
        name = in_full(dotted(node), known)
        if forbidden(name) or name in BUILTINS:
            found.append(name)
        if not isinstance(node, ast.Call):
            continue
        name = in_full(dotted(node.func), known)
        if name == "np.load" and keywords(node).get("allow_pickle") is not False:
            found.append(f"{name} without allow_pickle=False")
        if keywords(node).get("shell") not in (None, False):
            found.append(f"{name} with shell")
        if keywords(node).get("allow_pickle") not in (None, False):
            found.append(f"{name} with allow_pickle")
    return found


def test_what_is_read_back_is_checked():
    """By `utils.runs.reading` and `utils.runs.files`, which name a damaged file."""
    others = {  # lists that users give, and files that are made anew if they are not as expected
        *("data/synthetic_sets/export.py", "experiments/ledger.py", "data/brats/phantom.py"),
        *(
            "data/shards.py",
            "data/splits.py",
            "utils/runs/locking.py",
            "experiments/judge_nnunet.py",
        ),
    }
    loaders = {"utils/runs/reading.py", "utils/runs/files.py", "utils/runs/run_directory.py"}
    calls = ("np.load(", "pd.read_csv(", "json.loads(path", "json.loads(Path", ".read_text())")
    found = {str(path) for path, text in SOURCE.items() if any(call in text for call in calls)}
    assert found - loaders <= others


def test_no_source_runs_what_it_reads():
    assert {path: found for path, text in SOURCE.items() if (found := unsafe(text))} == {}


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from pickle import loads", "import tarfile", "from zipfile import Zip"),
        *("import zipfile", "archive.extractall(folder)"),
        *("eval('1')", "exec(text)", "os.system('ls')", "from os import system as run"),
        *("subprocess.run('ls', shell=True)", "subprocess.Popen(words, shell=wanted)"),
        *("yaml.load(text)", "yaml.load(text, Loader=yaml.SafeLoader)", "load = yaml.unsafe_load"),
        *("np.load(path)", "np.load(path, allow_pickle=True)", "np.load(path, None, wanted)"),
        *("np.save(path, array, allow_pickle=True)", "pd.read_pickle(path)"),
        *("tf.keras.models.load_model(path)", "from keras.models import load_model"),
        "from keras.models import load_model as read",
        *("import numpy as n\nn.load(path)", "from numpy import load as get\nget(path)"),
        *("import pandas\npandas.read_pickle(path)", "from tensorflow.saved_model import load"),
        *("import keras as k\nk.models.load_model(path)", "read = eval\nread(text)"),
        *("shutil.unpack_archive(path)", "tf.saved_model.load(path)", "__import__(name)"),
    ],
)
def test_the_search_finds_it(line):
    assert unsafe(line)


@pytest.mark.parametrize(
    "line",
    [
        *("np.load(path, allow_pickle=False)", "yaml.safe_load(text)", "re.compile('a')"),
        *("model.load_weights(path)", "subprocess.run(['ls'])", "retrieval('1')", "import json"),
        *("from zipfile import BadZipFile", "from zipfile import ZipFile\nZipFile(p).read(n)"),
    ],
)
def test_the_search_leaves_the_rest(line):
    assert unsafe(line) == []
