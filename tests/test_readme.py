"""What README and docs name is there: links, scripts, modules; and nothing stands there twice."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from utils.runs.environment import REPOSITORY
from utils.runs.files import write_json

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
MADE_UP = {"train_toy.py", "toy_table.py", "train_photographs.py"}
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


class Parsed(BaseException):
    """Ends a script when it has read its command line."""


def commands() -> list[str]:
    """The words behind `python` of every command of the pages that calls a script."""
    text = re.sub(r"\s*\\\n\s*", " ", TEXT)
    found = re.findall(r"python (experiments/\w+\.py[^`\n]*)", text)
    ends = r"\s+#|'|\s+\(|;|\s+\|"
    found = [re.split(ends, words)[0].strip().rstrip(".,:") for words in found]
    return sorted({words for words in found if Path(words.split()[0]).name not in MADE_UP})


@pytest.mark.parametrize("words", commands())
def test_every_command_is_understood(words, tmp_path, monkeypatch, capsys):
    names = {"...", "<system>", "<name>"}
    argv = [word for word in shlex.split(words) if word not in names]
    for folder in ("RUN", "RUN_OF_A_TABLE"):
        start = {"preset": "demo", "data": None, "precision": "float32", "config": {}}
        write_json(tmp_path / folder / "config.json", start)
    (tmp_path / "experiments").symlink_to(REPOSITORY / "experiments")

    def parsed(parse):
        def read(self, *arguments, **options):
            parse(self, *arguments, **options)
            raise Parsed

        return read

    for parser in (ArgumentParser, argparse.ArgumentParser):
        monkeypatch.setattr(parser, "parse_args", parsed(parser.parse_args))
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments"))
    with pytest.raises(Parsed):
        runpy.run_path(str(REPOSITORY / argv[0]), run_name="__main__")


def test_the_front_door_is_short():
    """A picture above the fold, a command at once, and few words."""
    text = PAGES[REPOSITORY / "README.md"]
    lines = text.splitlines()
    assert len(lines) <= 110 and len(text.split()) <= 1000
    assert next(i for i, line in enumerate(lines, 1) if "![" in line) <= 25
    assert next(i for i, line in enumerate(lines, 1) if line.startswith("make ")) <= 15
    assert all(f"(docs/{page.name})" in text for page in PAGES if page.parent.name == "docs")
