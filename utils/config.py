"""Command line, YAML and JSON for a tree of frozen dataclasses, on top of jsonargparse."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
import typing
from collections.abc import Mapping
from typing import Any, NoReturn, Optional

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from utils.errors import UserError


class Parser(ArgumentParser):
    """An argument parser that ends a mistake with one sentence and exit code 2."""

    def error(self, message: str, ex: Optional[Exception] = None) -> NoReturn:
        """Prints the sentence, with the nearest known option for an unknown one."""
        text = " ".join(str(message).split())
        unknown = re.match(r"(?i)unrecognized arguments: *(--[\w.]+)", text)
        key = unknown or re.search(r"Key '([\w.]+)' is not expected", text)
        if key:
            text = f"unknown option {key[1]}{self._nearest(key[1])}"
        self.exit(2, f"{self.prog}: {text} (see --help)\n")

    def _nearest(self, name: str) -> str:
        options = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(name if name.startswith("--") else f"--{name}", options, 1)
        return f"; did you mean {near[0]}?" if near else ""

    def exit(self, status: int = 0, message: Optional[str] = None) -> NoReturn:
        """Exits with `status` after writing `message` to stderr."""
        if message:
            sys.stderr.write(message)
        sys.exit(status)


def field_types(config: Any) -> dict[str, type]:
    """Returns the fields of a dataclass (class or instance) with their resolved types."""
    hints = typing.get_type_hints(config if isinstance(config, type) else type(config))
    return {field.name: hints[field.name] for field in dataclasses.fields(config)}


def add_config(parser: ArgumentParser, config: Any) -> None:
    """Adds every field of the dataclass instance `config` as a dotted option with its value.

    Fields that are dataclasses become groups; help texts are the fields' docstrings.
    """
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these")
    for name, kind in field_types(config).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(kind):
            parser.add_class_arguments(kind, name)
            parser.set_defaults(_flatten(dataclasses.asdict(value), name))
        else:
            parser.add_argument(f"--{name}", type=kind, default=value)


def _flatten(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        key = f"{prefix}.{name}"
        flat.update(_flatten(value, key) if isinstance(value, dict) else {key: value})
    return flat


def from_namespace(kind: type, values: Namespace) -> Any:
    """Returns an instance of the dataclass `kind` from parsed options."""
    return from_dict(kind, {name: values[name] for name in field_types(kind)})


def from_dict(kind: type, values: Mapping[str, Any]) -> Any:
    """Returns an instance of the dataclass `kind` from nested mappings (JSON, YAML, namespaces).

    Raises UserError for an unknown or missing key.
    """
    types = field_types(kind)
    values = values.as_dict() if isinstance(values, Namespace) else dict(values)
    unknown = set(values) - set(types)
    if unknown:
        name = sorted(unknown)[0]
        near = difflib.get_close_matches(name, types, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"unknown configuration field {name} of {kind.__name__}{hint}")
    arguments = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]):
            value = from_dict(types[name], value)
        elif isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    return kind(**arguments)


def differences(old: Any, new: Any) -> list[str]:
    """Returns "field: old -> new" for every field in which two configurations differ."""
    before = _flatten(dataclasses.asdict(old), "")
    after = _flatten(dataclasses.asdict(new), "")
    return [
        f"{key[1:]}: {before.get(key)} -> {after.get(key)}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def to_yaml(config: Any) -> str:
    """Returns a configuration as YAML that `--config` reads back."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return yaml.safe_dump(plain(dataclasses.asdict(config)), sort_keys=False)
