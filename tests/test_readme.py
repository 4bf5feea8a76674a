"""What README names is there: links, scripts, modules, options; and nothing stands there twice."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec

import pytest

from utils.runs.environment import REPOSITORY

TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", TEXT)
SCRIPTS = sorted({name for name in re.findall(r"(?<!tests/)experiments/(\w+\.py)", TEXT)})


def test_no_section_and_no_paragraph_stands_there_twice():
    blocks = [block.strip() for block in TEXT.split("\n\n")]
    long = [block for block in blocks if len(block) > 40 or block.startswith("#")]
    assert [text for text, count in Counter(long).items() if count > 1] == []


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert links and [link for link in links if not (REPOSITORY / link).exists()] == []


def test_scripts_exist():
    assert SCRIPTS and [n for n in SCRIPTS if not (REPOSITORY / "experiments" / n).exists()] == []


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
    module = name if name.rpartition(".")[2].islower() else name.rpartition(".")[0]
    parent, _, last = module.rpartition(".")
    assert find_spec(module) or last in vars(__import__(parent, fromlist=[last]))


def test_servers_are_for_private_networks():
    """TensorBoard binds to localhost unless told otherwise; workers' ports have no password."""
    assert "a private network only" in TEXT and "bind_all" not in TEXT
