"""A YAML file with the line of everything in it, and its mistakes collected instead of raised one by one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from bot.errors import FlowError

Path = tuple[str | int, ...]

_DEPTH: Final = 30
_NODES: Final = 50_000
"""Bounds on a file, because an alias of YAML can stand for itself or for millions of entries."""


class Fault(FlowError):
    """One mistake in a flow file. ``code`` is stable for programs."""

    def __init__(
        self, code: str, message: str, *, file: str, line: int | None, suggestion: str | None = None
    ) -> None:
        super().__init__(message, file=file, line=line, suggestion=suggestion)
        self.code = code


class FlowFaults(FlowError):
    """All mistakes of a file (or of a folder) at once, in the order of lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.file, fault.line or 0)))
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(first.reason + more, file=first.file, line=first.line, suggestion=first.suggestion)


@dataclass
class Source:
    """The data of a file, where everything stands, and what is wrong so far."""

    file: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line (from 1) of the thing at ``path``, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def fault(self, code: str, message: str, path: Path, *, near: Iterable[str] = (), word: str = "") -> None:
        """Note a mistake at ``path``; ``word`` is compared with the words in ``near`` for a suggestion."""
        suggestion = close_match(word, near)
        self.faults.append(Fault(code, message, file=self.file, line=self.line(path), suggestion=suggestion))

    def raise_if_faulty(self) -> None:
        """Raise :class:`FlowFaults` if anything was noted."""
        if self.faults:
            raise FlowFaults(self.faults)


def close_match(word: str, near: Iterable[str]) -> str | None:
    """The word of ``near`` that was probably meant, if there is one."""
    found = difflib.get_close_matches(word, list(near), n=1, cutoff=0.6) if word else []
    return found[0] if found else None


def read(text: str, file: str) -> Source:
    """Parse YAML. Scalars stay text except whole numbers, ``true``, ``false`` and ``null``.

    YAML 1.1 reads the bare words yes and no as booleans; here they are answers, so they stay words.
    """
    source = Source(file)
    try:
        _check_depth(text, file)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        message = f"this is not YAML: {error.problem or 'it cannot be read'}"
        raise FlowFaults([Fault("yaml", message, file=file, line=line)]) from None
    except yaml.YAMLError:
        raise FlowFaults([Fault("yaml", "this is not YAML", file=file, line=1)]) from None
    if root is None:
        raise FlowFaults([Fault("empty", "the file is empty", file=file, line=1)])
    source.data = _plain(root, (), source)
    return source


def _check_depth(text: str, file: str) -> None:
    """Refuse deep nesting before the nodes are composed: the C composer recurses and would crash."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise FlowFaults([Fault("too_large", "the file is nested too deeply", file=file, line=line)])


def _plain(node: yaml.Node, path: Path, source: Source) -> Any:
    source.lines[path] = node.start_mark.line + 1
    if len(path) > _DEPTH or len(source.lines) > _NODES:
        message = "the file is nested too deeply or is too large"
        line = node.start_mark.line + 1
        raise FlowFaults([Fault("too_large", message, file=source.file, line=line)])
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, source)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, place), source) for place, item in enumerate(node.value)]
    return _scalar(node)


def _mapping(node: yaml.MappingNode, path: Path, source: Source) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        inner = (*path, key)
        if key in data:
            line = key_node.start_mark.line + 1
            message = f"'{key}' is given twice"
            source.faults.append(Fault("duplicate_key", message, file=source.file, line=line))
        data[key] = _plain(value_node, inner, source)
        source.lines[inner] = key_node.start_mark.line + 1
    return data


def _scalar(node: yaml.Node) -> Any:
    value = str(node.value)
    if node.tag == "tag:yaml.org,2002:int" and re.fullmatch(r"-?(0|[1-9][0-9]*)", value):
        return int(value)
    if node.tag == "tag:yaml.org,2002:bool" and value in ("true", "false"):
        return value == "true"
    if node.tag == "tag:yaml.org,2002:null":
        return None
    return value


def validate(source: Source, schema: Mapping[str, Any]) -> None:
    """Note every place where the data does not fit the schema."""
    for error in Draft202012Validator(schema).iter_errors(source.data):
        _explain(source, error)


def _explain(source: Source, error: ValidationError) -> None:
    if error.validator == "anyOf" and error.context:
        inner = [item for item in error.context if item.validator != "type" or len(item.path) > 0]
        chosen = best_match(inner) if inner else None
        if chosen is not None:
            _explain(source, chosen)
            return
    path: Path = tuple(error.absolute_path)
    wanted: Any = error.validator_value
    instance: Any = error.instance
    where = f"'{path[-1]}'" if path and isinstance(path[-1], str) else "this"
    if error.validator == "additionalProperties":
        _unknown_keys(source, error, path)
    elif error.validator == "enum":
        allowed = [str(value) for value in wanted]
        message = f"{where} must be one of {', '.join(allowed)}"
        source.fault("value", message, path, near=allowed, word=str(instance))
    elif error.validator == "required":
        missing = [name for name in wanted if name not in instance]
        source.fault("missing_key", f"the key '{missing[0]}' is missing", path)
    elif error.validator == "dependentRequired":
        source.fault("missing_key", f"{error.message.split(' is a dep')[0]} is missing here", path)
    elif error.validator == "pattern":
        source.fault("value", f"{where} does not have the expected form", path)
    elif error.validator in ("type", "anyOf"):
        source.fault("type", f"{where} has the wrong type", path)
    else:
        source.fault("value", f"{where} is too short, too long or out of range", path)


def _unknown_keys(source: Source, error: ValidationError, path: Path) -> None:
    allowed = list(error.schema.get("properties", {})) if isinstance(error.schema, Mapping) else []
    instance: Any = error.instance
    for key in instance:
        if key not in allowed:
            source.fault(
                "unknown_key", f"the key '{key}' is unknown", (*path, key), near=allowed, word=str(key)
            )
