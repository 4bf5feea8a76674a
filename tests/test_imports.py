"""The import direction, read from the sources: also imports inside functions count."""

from __future__ import annotations

import ast

import pytest

from utils.runs.environment import REPOSITORY

PACKAGES = ("utils", "losses", "data", "models", "experiments")
SOURCES = sorted(file for top in PACKAGES for file in (REPOSITORY / top).rglob("*.py"))
SHARED_MODELS = ("models.blocks", "models.networks", "models.system", "models.lesions")
# Unit -> the other units that it may import; a paper's package may also import all SHARED_MODELS.
ALLOWED = {
    "utils": set(),
    "losses": {"utils"},
    "data": {"utils"},
    "models": set(),
    "models.blocks": {"utils", "losses"},
    "models.networks": {"utils", "losses", "models.blocks"},
    "models.system": {"utils", "losses", "models.blocks", "models.networks"},
    "models.lesions": {"utils", "losses", "models.networks", "models.system"},
}
# What holds for any data set imports nothing of one of them.
KNOWS_BRATS = ("data.brats", "data.nnunet", "data.synthetic_sets")
PAPER = {"utils", "losses", *SHARED_MODELS}
# Rooms of experiments -> the rooms that each may import beside itself; all others are scripts,
# which may import every room and are imported by nobody.
ROOMS = {
    "configs": set(),
    "engine": set(),
    "systems": {"configs", "engine"},
    "tables": {"configs", "engine", "systems"},
    "benchmarking": {"configs", "engine", "systems"},
}


def module_name(file) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(source: str, package: str) -> set[str]:
    """Dotted names that a source in `package` imports; of `from a import b` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join([*(base if node.level else []), *filter(None, [node.module])])
            found |= {start} | {f"{start}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
    return found


def unit(module: str) -> str | None:
    """The part of the project that a module belongs to; None for anybody else's."""
    top, *rest = module.split(".")
    if top == "models" and rest:
        return f"models.{rest[0]}"
    return top if top in (*PACKAGES, "tests") else None


def wrong_rooms(module: str, imported: set[str]) -> list[str]:
    """Modules of experiments that `module` must not import, and papers and data sets in engine."""
    parts = module.split(".") + [""]
    room, allowed, wrong = parts[1], ROOMS.get(parts[1]), []
    for name in sorted(imported):
        top, other, *rest = name.split(".") + [""]
        if room == "engine" and top == "models" and unit(name) not in (*SHARED_MODELS, "models"):
            wrong.append(name)
        if room == "engine" and name.startswith("data.brats"):
            wrong.append(name)
        if top != "experiments" or not other:
            continue
        script = other not in ROOMS and other != "_start"
        outside = allowed is not None and other != room and other not in allowed
        # A system is a module or a package of its own.
        foreign = room == other == "systems" and rest[0] not in ("", parts[2])
        if script or outside or foreign:
            wrong.append(name)
    return wrong


def violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """Units that `module` imports against the direction."""
    package = module if is_package else module.rpartition(".")[0]
    here = unit(module)
    # `from models import x` names the bare package too; only its part x counts.
    imported = imported_modules(source, package)
    there = {unit(name) for name in imported} - {None, here, "models"}
    if here == "data" and not module.startswith(KNOWS_BRATS):
        there |= {"data.brats" for name in imported if f"{name}.".startswith("data.brats.")}
    if here == "experiments":
        return sorted(there & {"tests"}) + wrong_rooms(module, imported)
    return sorted(there - ALLOWED.get(here, PAPER))


@pytest.mark.parametrize("file", SOURCES, ids=module_name)
def test_imports_follow_the_direction(file):
    wrong = violations(module_name(file), file.read_text("utf-8"), file.name == "__init__.py")
    assert not wrong, f"{module_name(file)} must not import {', '.join(wrong)}"


def test_only_the_adapter_imports_tensorflow_addons():
    users = {
        module_name(file)
        for file in SOURCES
        for name in imported_modules(file.read_text("utf-8"), "")
        if name.split(".")[0] == "tensorflow_addons"
    }
    assert users <= {"utils.addons"}


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("utils.training.trainer", "def f():\n    from experiments import run", ["experiments"]),
        ("utils.training.trainer", "from models.system import GANSystem", ["models.system"]),
        ("losses.adversarial", "import models.blocks.layers as l", ["models.blocks"]),
        ("data.brats.slices", "from models import structure_gan", ["models.structure_gan"]),
        ("data.shards", "def f():\n    from data.brats import slices", ["data.brats"]),
        ("data.structure_maps.labels", "import data.brats.names", ["data.brats"]),
        ("data.brats.slices", "from data.brats import names", []),
        ("models.samr.system", "import data.contract", ["data"]),
        ("models.samr.system", "from models.tc_mgan.losses import f", ["models.tc_mgan"]),
        ("models.samr.system", "from ..tc_mgan import f", ["models.tc_mgan"]),
        ("models.blocks.layers", "importlib.import_module('models.networks')", ["models.networks"]),
        ("models.networks.unet", "from models.blocks.layers import Conv", []),
        ("models.samr.system", "from models.networks import unet\nfrom .generator import G", []),
        ("experiments.train", "import tests.data.trees", ["tests"]),
        ("experiments.engine.run", "import experiments.systems.a", ["experiments.systems.a"]),
        ("experiments.engine.run", "import models.samr.system", ["models.samr.system"]),
        ("experiments.engine.run", "import data.brats.dataset", ["data.brats.dataset"]),
        ("experiments.systems.a.stages", "import experiments.systems.b", ["experiments.systems.b"]),
        ("experiments.systems.a.stages", "import experiments.tables.t", ["experiments.tables.t"]),
        ("experiments.tables.t", "import experiments.train", ["experiments.train"]),
        ("experiments.tables.t", "import experiments.systems.b.maps", []),
        ("experiments.systems.a.stages", "import experiments.systems.a.maps", []),
        ("experiments.train", "from data import slices\nfrom models.samr import system", []),
    ],
)
def test_a_wrong_direction_is_seen(module, source, wrong):
    assert violations(module, source) == wrong
