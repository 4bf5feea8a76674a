"""Every public loss function has a test that compares its value with a number."""

from __future__ import annotations

import ast
import pathlib

import pytest

from utils.runs.environment import REPOSITORY

COMPARISONS = {"approx", "assert_allclose", "assert_array_equal"}


def functions(path: pathlib.Path) -> list[ast.FunctionDef]:
    return [n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.FunctionDef)]


def called(function: ast.FunctionDef) -> set[str]:
    """Names of everything that a function calls."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {getattr(f, "attr", getattr(f, "id", None)) for f in calls}


def golden(test: ast.FunctionDef) -> bool:
    """Whether a function is a test that compares something with a value."""
    return test.name.startswith("test_") and bool(called(test) & COMPARISONS)


def public(path: pathlib.Path) -> set[str]:
    return {f.name for f in functions(path) if not f.name.startswith("_")}


MODULES = sorted((REPOSITORY / "losses").glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_loss_has_a_golden_value(module):
    mirror = REPOSITORY / "tests" / "losses" / f"test_{module.stem}.py"
    tests = functions(mirror) if public(module) else []
    covered = {name for test in tests if golden(test) for name in called(test)}
    assert public(module) - covered == set()


def test_a_call_without_a_value_does_not_count():
    source = "def test_a():\n    assert f(1) == approx(2)\ndef test_b():\n    g(1)\n"
    tests = ast.parse(source).body
    assert [golden(test) for test in tests] == [True, False]
    assert "f" in called(tests[0]) and "g" in called(tests[1])
