"""What README and docs name is there: links, scripts, modules; and nothing stands there twice."""

from __future__ import annotations

import re
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from utils.runs.environment import REPOSITORY

PAGES = {
    page: page.read_text(encoding="utf-8")
    for page in (
        *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
        *sorted((REPOSITORY / "docs").glob("*.md")),
    )
}
TEXT = "\n\n".join(PAGES.values())
CODE = re.findall(r"`([^`\n]+)`", TEXT)
ROOM = r"(?:data|models|utils|losses|experiments|tests)"
# Names of things that the pages on adding something only make up.
MADE_UP = {"train_toy.py", "toy_table.py", "train_samr.py", "train_photographs.py"}
SCRIPTS = sorted({name for name in re.findall(r"(?<!tests/)experiments/(\w+\.py)", TEXT)})


def test_no_section_and_no_paragraph_stands_there_twice():
    blocks = [block.strip() for block in TEXT.split("\n\n")]
    long = [block for block in blocks if len(block) > 40 or block.startswith("#")]
    assert [text for text, count in Counter(long).items() if count > 1] == []


def test_links_lead_somewhere():
    links = [
        page.parent / link
        for page, text in PAGES.items()
        for link in re.findall(r"\]\(([^)#]+)\)", text)
        if "://" not in link
    ]
    assert links and [link for link in links if not link.exists()] == []


def test_scripts_exist():
    real = set(SCRIPTS) - MADE_UP
    assert real and [n for n in real if not (REPOSITORY / "experiments" / n).exists()] == []


@pytest.mark.parametrize("path", sorted({c for c in CODE if re.fullmatch(rf"{ROOM}/[\w/.]+", c)}))
def test_files_and_folders_exist(path):
    assert (REPOSITORY / path).exists() or Path(path).name in MADE_UP


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            word
            for words in CODE
            for word in re.findall(r"^(?:data|models|utils|losses|experiments)(?:\.\w+)+$", words)
        }
    ),
)
def test_modules_exist(name):
    parent, _, last = name.rpartition(".")
    assert last in vars(import_module(parent)) or find_spec(name)


def test_servers_are_for_private_networks():
    """TensorBoard binds to localhost unless told otherwise; workers' ports have no password."""
    assert "in a private network only" in TEXT and "bind_all" not in TEXT
