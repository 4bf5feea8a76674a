"""The size and documentation of the code, measured; the figures are the project's targets."""

from __future__ import annotations

import ast
import importlib.util
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from utils.runs.environment import REPOSITORY

PACKAGES = ("models", "losses", "data", "experiments", "utils")
# Keras fixes what these do; the docstring of the class tells the rest.
KERAS_HOOKS = {"build", "call", "get_config", "compute_output_shape", "update_state", "result"}
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def _read(*tops: str) -> dict[str, str]:
    """{path below the repository: text} of all Python files in some folders."""
    files = sorted(file for top in tops for file in (REPOSITORY / top).rglob("*.py"))
    return {f.relative_to(REPOSITORY).as_posix(): f.read_text("utf-8") for f in files}


SOURCE, TESTS = _read(*PACKAGES), _read("tests")


def line_count(text: str) -> int:
    return len(text.splitlines())


def functions(files: dict[str, str]) -> dict[str, int]:
    """{path:line name: lines} of every function, nested ones too."""
    return {
        f"{path}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, FUNCTION)
    }


def public(tree: ast.Module):
    """Yield (name, node, is a method) of module-level functions, classes and their methods."""
    kinds = (*FUNCTION, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node, False
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, FUNCTION) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member, True


def undocumented(text: str) -> list[str]:
    return [
        name
        for name, node, method in public(ast.parse(text))
        if not ast.get_docstring(node) and not (method and node.name in KERAS_HOOKS)
    ]


def unannotated(text: str) -> list[str]:
    """Public functions with an argument or a result that has no annotation."""
    found = []
    for name, node, method in public(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            continue
        static = any(getattr(d, "id", None) == "staticmethod" for d in node.decorator_list)
        positional = [*node.args.posonlyargs, *node.args.args][int(method and not static) :]
        rest = filter(None, [*node.args.kwonlyargs, node.args.vararg, node.args.kwarg])
        if not node.returns or not all(a.annotation for a in [*positional, *rest]):
            found.append(name)
    return found


def failures(check) -> str:
    return "\n".join(f"{path}: {name}" for path, text in SOURCE.items() for name in check(text))


def test_files_are_short():
    lengths = {path: line_count(text) for path, text in {**SOURCE, **TESTS}.items()}
    assert {path: n for path, n in lengths.items() if n > 400} == {}
    median = statistics.median(lengths[path] for path in SOURCE)
    assert median <= 150, f"the median source file has {median} lines"


def test_functions_are_short():
    lengths = functions({**SOURCE, **TESTS})
    assert {name: n for name, n in lengths.items() if n > 80} == {}
    longer = {name: n for name, n in lengths.items() if n > 40}
    assert len(longer) <= 0.1 * len(lengths), f"{len(longer)} of {len(lengths)}: {longer}"


def test_public_source_has_docstrings():
    assert failures(undocumented) == ""


def test_public_source_has_annotations():
    assert failures(unannotated) == ""


def test_tests_are_in_proportion_to_the_source():
    source, tests = (sum(map(line_count, files.values())) for files in (SOURCE, TESTS))
    ratio = tests / source
    assert 0.6 <= ratio <= 1.0, f"{tests} test lines / {source} source lines = {ratio:.2f}"


# Words of our own that the field has other words for, and the field's.
OLD_WORDS = {
    r"\barms?\b": "ablation variants",
    r"\bmain runs?\b": "trained run",
    r"\bplain form\b": "reference implementation",
    r"\bsieved\b": "filtered",
    r"\bunmoved\b": "without augmentation",
    r"(?<!\")\benhanced\b(?!\")": "augmented",
    r"\brecompute\b(?!d| the| activations)": "gradient checkpointing",
    r"(?<!label-)\bindex Dice\b": "label-index Dice",
    r"\bwatched\b": "monitored",
    r"\bmanieth\b": "every n-th",
}


@pytest.mark.parametrize("word", OLD_WORDS)
def test_the_fields_own_terms_are_used(word):
    pages = (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"))
    texts = {**SOURCE, **{page: page.read_text(encoding="utf-8") for page in pages}}
    texts = {path: text for path, text in texts.items() if Path(path).name != "CHANGELOG.md"}
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(word, line) and not re.search(r'"arms"\)', line)
    ]
    assert found == [], f"say {OLD_WORDS[word]}"


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_ruff_is_clean():
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "."]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


EXAMPLE = '''
def documented(a: int) -> int:
    """Does it."""
    def nested(x): return x
    return nested(a)
def bare(a, *, b: int): return a
def _private(a): return a
class Layer:
    """A layer."""
    def __init__(self, n): self.n = n
    def call(self, x: int) -> int: return x
    def run(self, x) -> int:
        return x
    @staticmethod
    def of(x: int) -> int: return x
'''


def test_the_measures_see_what_is_missing():
    assert undocumented(EXAMPLE) == ["bare", "Layer.run", "Layer.of"]
    assert unannotated(EXAMPLE) == ["bare", "Layer.run"]
    lengths = {name.split()[-1]: n for name, n in functions({"example": EXAMPLE}).items()}
    assert lengths["documented"] == 4 and lengths["run"] == 2 and lengths["nested"] == 1


def test_no_data_set_is_told_apart_by_its_name_where_all_are_alike():
    """Models, losses and utilities know channels, classes and kinds of labels, not data sets."""
    alike = _read("models", "losses", "utils")
    told = [path for path, text in alike.items() if re.search(r"dataset(\.name)?\s*(==|!=)", text)]
    assert not told
