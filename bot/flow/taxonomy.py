"""What can be reported: our own short list of categories with its crosswalk to public codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from bot.flow.schema import INDICATORS, SEVERITIES
from bot.flow.source import read, validate


@dataclass(frozen=True, slots=True)
class Category:
    """One category. ``eti`` are clauses of the ETI Base Code, ``sa8000`` elements, ``ilo`` indicators."""

    code: str
    label: str
    severity: str
    branch: str
    eti: tuple[str, ...]
    sa8000: tuple[str, ...]
    ilo: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """All categories by code."""

    categories: Mapping[str, Category]


_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "categories": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "severity": {"enum": list(SEVERITIES)},
                    "branch": {"enum": ["integrity", "retaliation", "work"]},
                    "eti": _TEXTS,
                    "sa8000": _TEXTS,
                    "ilo": {"type": "array", "items": {"enum": list(INDICATORS)}},
                },
                "required": ["label", "severity", "branch"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["categories"],
    "additionalProperties": False,
}


def load_taxonomy(text: str, file: str) -> Taxonomy:
    """Read ``taxonomy.yaml``. Raises :class:`~bot.flow.source.FlowFaults`."""
    source = read(text, file)
    validate(source, _SCHEMA)
    source.raise_if_faulty()
    found = {
        code: Category(
            code,
            item["label"],
            item["severity"],
            item["branch"],
            tuple(item.get("eti", ())),
            tuple(item.get("sa8000", ())),
            tuple(item.get("ilo", ())),
        )
        for code, item in source.data["categories"].items()
    }
    return Taxonomy(MappingProxyType(found))
