"""Command line, YAML and JSON for a tree of frozen dataclasses, on top of jsonargparse."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import sys
import typing
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Optional

import docstring_parser
import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter, Namespace

from utils.errors import UserError

# How the releases of jsonargparse put an unknown name on the command line or in a YAML file.
_UNKNOWN = (
    r"[Uu]nrecognized arguments: *--([\w.-]+)",
    r"Option '([\w.-]+)' is not accepted",
    r"Group '([\w.-]+)' does not accept option '([\w.-]+)'",
    r"No action for key \"([\w.-]+)\"",
)
LARGEST_YAML, DEEPEST_YAML = 1_000_000, 10  # bytes, groups in groups
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class _HelpAll(argparse.Action):
    """`--help-all`: the help with the options that `--help` leaves out."""

    def __call__(self, parser, *others) -> NoReturn:
        parser.rare = frozenset()
        parser.print_help()
        parser.exit()


class _Formatter(DefaultHelpFormatter):
    """Help lines without Python's names of types, and without defaults that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = (action.help or "").rstrip("."), action.default
        silent = default is None or default is False or isinstance(default, tuple)
        silent = silent or default == argparse.SUPPRESS
        return text if silent or "default" in text else f"{text} (default: %(default)s)"


class Parser(ArgumentParser):
    """An argument parser that ends a mistake with one sentence and exit code 2.

    Attributes:
        rare: names of the options that `--help` leaves out and `--help-all` shows.
    """

    rare: Collection[str] = frozenset()

    def __init__(self, *arguments: Any, **options: Any):
        own = {"formatter_class": _Formatter, "print_config": None}  # --dry-run prints it
        super().__init__(*arguments, **{**own, **options})

    def show_only(self, names: Collection[str]) -> None:
        """Leaves all options but some, by their names in the parsed values, to `--help-all`."""
        help_all = "show all options, in groups; --dry-run prints their values as YAML"
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help=help_all)
        shown = {"help", "help_all", *names}
        self.rare = frozenset(action.dest for action in self._actions) - shown

    def format_help(self) -> str:
        """Returns the help, without the options that are `rare`."""
        texts = {action: action.help for action in self._actions if action.dest in self.rare}
        for action in texts:
            action.help = argparse.SUPPRESS
        try:
            return super().format_help()
        finally:
            for action, text in texts.items():
                action.help = text

    def error(self, message: str, ex: Optional[Exception] = None) -> NoReturn:
        """Prints the sentence, with the nearest known option for an unknown one."""
        text = " ".join(str(message).split())
        for pattern in _UNKNOWN:
            match = re.search(pattern, text)
            if match:
                option = f"--{'.'.join(match.groups())}"
                text = f"unknown option {option}{self._nearest(option)}"
                break
        match = re.search(r"key \"([\w.-]+)\"", text)
        if match:
            text = self._refused(match[1], text)
        self.exit(2, f"{self.prog}: {text} (see --help)\n")

    def _refused(self, name: str, text: str) -> str:
        """Returns the parser's `text` about the value of an option in words of the command line."""
        defaults = {action.dest: action.default for action in self._actions}
        if isinstance(defaults.get(name), tuple):
            values = re.search(r"Got value: (.*)$", text)
            form = f"--{name}={_in_brackets(defaults[name])}"
            found = f"--{name} is {values[1]!r}" if values else text
            return f"{found}; give all {len(defaults[name])} values in brackets, such as {form}"
        if "Exceeds the limit" in text:
            return f"--{name} has too many digits; give a smaller number"
        kinds = re.findall(r"Expected a <class '(\w+)'>", text)
        expected = [_KINDS[kind] for kind in kinds if kind in _KINDS]
        given = re.search(r"(?:Given|Got) value: (.*)$", text)
        return f"--{name} is {given[1]!r}; give {expected[0]}" if expected and given else text

    def _nearest(self, option: str) -> str:
        options = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(option, options, 1)
        return f"; did you mean {near[0]}?" if near else ""

    def exit(self, status: int = 0, message: Optional[str] = None) -> NoReturn:
        """Exits with `status` after writing `message` to stderr."""
        if message:
            sys.stderr.write(message)
        sys.exit(status)


def _in_brackets(values: tuple) -> str:
    return f"[{','.join(map(str, values))}]"


def field_types(config: Any) -> dict[str, type]:
    """Returns the fields of a dataclass (class or instance) with their resolved types."""
    hints = typing.get_type_hints(config if isinstance(config, type) else type(config))
    return {field.name: hints[field.name] for field in dataclasses.fields(config)}


def add_config(parser: ArgumentParser, config: Any) -> None:
    """Adds every field of the dataclass instance `config` as a dotted option with its value.

    Fields that are dataclasses become groups; help texts are the fields' docstrings. The help shows
    the bracket form in which tuples are given.
    """
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these")
    kinds = field_types(config)
    groups = {name for name, kind in kinds.items() if dataclasses.is_dataclass(kind)}
    parser.add_class_arguments(type(config), skip=groups)
    for name in (name for name in kinds if name in groups):
        parser.add_class_arguments(kinds[name], name)
    parser.set_defaults(flatten(dataclasses.asdict(config)))
    texts = _field_texts(type(config))
    for name in groups:
        texts.update({f"{name}.{key}": text for key, text in _field_texts(kinds[name]).items()})
    for action in parser._actions:
        if action.help is None:  # the parser does not read the docstrings of a base's bases
            action.help = texts.get(action.dest)
        if isinstance(action.default, tuple):
            action.metavar = _in_brackets(action.default)


def _field_texts(kind: type) -> dict[str, str]:
    """Returns what the docstrings of a dataclass and of all its bases say of the fields."""
    docs = (docstring_parser.parse(base.__doc__ or "") for base in reversed(kind.__mro__))
    return {param.arg_name: param.description for doc in docs for param in doc.params}


class _PlainLoader(yaml.SafeLoader):
    """Reads YAML without aliases, names that stand twice, and endless nesting."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise ValueError(f"*{self.peek_event().anchor} is an alias; write the value itself")
        self.depth += 1
        if self.depth > DEEPEST_YAML:
            raise ValueError(f"its groups lie more than {DEEPEST_YAML} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        twice = [str(name) for i, name in enumerate(names) if name in names[:i]]
        if twice:
            raise ValueError(f"{twice[0]} stands there twice")
        return super().construct_mapping(node, deep)


def check_yaml(path: Path) -> None:
    """Raises UserError unless a `--config` file is YAML with plain values by name.

    Tags that would make objects are refused, as the parser refuses them; so are aliases, which can
    make a short file a huge one, names that stand twice, and groups deeper than any configuration.
    """
    if not path.is_file():
        raise UserError(f"--config {path} does not exist or is no file; give a YAML file")
    if path.stat().st_size > LARGEST_YAML:
        raise UserError(f"--config {path} has more than {LARGEST_YAML} bytes; give a settings file")
    try:
        content = _PlainLoader(path.read_text(encoding="utf-8")).get_single_data()
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"--config {path} must be a YAML file with plain values, but {reason}; correct it or "
            "give another file"
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f"--config {path} must hold values by name, such as `seed: 1`, found "
            f"{type(content).__name__}; correct it or give another file"
        )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested mappings as one, with dotted names: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        flat.update(flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value})
    return flat


def with_values(config: Any, values: Mapping[str, Any]) -> Any:
    """Returns a copy of a dataclass instance with other values, by dotted names of fields."""
    groups: dict[str, dict[str, Any]] = {}
    own = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            groups.setdefault(first, {})[rest] = value
        else:
            own[first] = value
    nested = {name: with_values(getattr(config, name), part) for name, part in groups.items()}
    return dataclasses.replace(config, **own, **nested)


def from_namespace(kind: type, values: Namespace) -> Any:
    """Returns an instance of the dataclass `kind` from parsed options."""
    return from_dict(kind, {name: values[name] for name in field_types(kind)})


def from_dict(kind: type, values: Mapping[str, Any], group: str = "") -> Any:
    """Returns an instance of the dataclass `kind` from nested mappings (JSON, YAML, namespaces).

    Args:
        kind: the dataclass; its fields may be dataclasses.
        values: values of all its fields.
        group: prefix of the fields' names on the command line, such as "training.gan.".

    Raises:
        UserError: a key is unknown or missing, a group is not a mapping, a value does not have its
            field's type, or `kind` refuses a value; such a message names the options with their
            groups.
    """
    types = field_types(kind)
    if not isinstance(values, (Mapping, Namespace)):
        raise UserError(f"{kind.__name__} is {values!r}; expected a mapping of {', '.join(types)}")
    values = values.as_dict() if isinstance(values, Namespace) else dict(values)
    missing, unknown = set(types) - set(values), set(values) - set(types)
    for problem, names in (("unknown", unknown), ("another version wrote it without the", missing)):
        if names:
            raise UserError(
                f"{problem} configuration field {', '.join(sorted(names))} of {kind.__name__}; "
                f"expected {', '.join(types)}; a run of another version has to be made anew, or "
                "goes on with the commit in its environment.json"
            )
    arguments = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]):
            value = from_dict(types[name], value, f"{group}{name}.")
        elif not _fits(value, types[name]):
            wanted = getattr(types[name], "__name__", None) or types[name]
            raise UserError(f"--{group}{name} is {value!r}; give a value of the type {wanted}")
        elif isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    try:
        return kind(**arguments)
    except UserError as error:
        raise UserError(_with_group(str(error), types, group)) from error


def _fits(value: Any, kind: Any) -> bool:
    """Tells whether a value from JSON has the type of a field; a list stands for a tuple."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if origin is tuple:
        sized = isinstance(value, (tuple, list))
        kinds = parts[:1] * len(value) if sized and parts[1:] == (...,) else parts
        return sized and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if isinstance(value, bool) and kind is not bool:
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _with_group(text: str, names: Iterable[str], group: str) -> str:
    """Puts `group` in front of the options in a message of a class, in place of the usual one.

    A class does not know where in a larger configuration it stands.
    """
    option = rf"--(?:\w+\.)*(?=(?:{'|'.join(names)})\b)"
    return re.sub(option, f"--{group}", text) if group else text


def differences(old: Any, new: Any) -> list[str]:
    """Returns "field: old -> new" for every field in which two configurations differ."""
    before, after = flatten(dataclasses.asdict(old)), flatten(dataclasses.asdict(new))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
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
