"""The JSON Schema of a flow file (draft 2020-12), published as ``flows/schema.json`` for editors."""

from __future__ import annotations

import json
from typing import Any, Final

from bot.flow.events import ConsentScope, Outcome
from bot.flow.model import Kind

PREFERENCE: Final = r"^(now|(weekday_|weekend_|(mon|tue|wed|thu|fri|sat|sun)_)?(morning|lunch|afternoon|evening|night)|weekend)$"
"""The part of the grammar of ``preferred_time`` that a flow may fix in advance."""

SEVERITIES: Final = ("S1", "S2", "S3", "S4")
INDICATORS: Final = (
    "vulnerability",
    "deception",
    "restriction_of_movement",
    "isolation",
    "violence",
    "intimidation",
    "retention_of_documents",
    "withholding_of_wages",
    "debt_bondage",
    "abusive_conditions",
    "excessive_overtime",
)
"""The eleven ILO indicators of forced labour (ILO, 2012), in short."""

_NAME: Final = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}
_DURATION: Final = {"type": "string", "pattern": "^[1-9][0-9]*[smhd]$"}


def _described(definition: dict[str, Any], description: str) -> dict[str, Any]:
    return definition | {"description": description}


def _text(description: str) -> dict[str, Any]:
    return {"$ref": "#/$defs/text", "description": description}


def _name(description: str) -> dict[str, Any]:
    return {"$ref": "#/$defs/name", "description": description}


def _definitions() -> dict[str, Any]:
    spoken = {"type": "string", "minLength": 1}
    return {
        "name": _NAME,
        "text": {
            "anyOf": [
                spoken,
                {
                    "type": "object",
                    "properties": {"voice": spoken, "text": spoken},
                    "required": ["voice", "text"],
                    "additionalProperties": False,
                },
            ]
        },
        "condition": {
            "type": ["object", "array"],
            "minProperties": 1,
            "minItems": 1,
            "items": {"$ref": "#/$defs/condition"},
            "additionalProperties": {"$ref": "#/$defs/wanted"},
            "properties": {"not": {"$ref": "#/$defs/condition"}},
        },
        "wanted": {
            "type": ["string", "integer", "array", "object"],
            "items": {"type": ["string", "integer"]},
            "properties": {"below": {"type": "integer"}, "above": {"type": "integer"}},
            "additionalProperties": False,
            "minProperties": 1,
            "minItems": 1,
        },
        "option": {
            "type": "object",
            "properties": {
                "code": _name("canonical code, kept and counted"),
                "label": _described(spoken, "what the worker hears or reads"),
                "words": _described(spoken, "other ways to write it, parted by commas"),
            },
            "required": ["code", "label"],
            "additionalProperties": False,
        },
        "grievance": {
            "type": "object",
            "properties": {
                "category": _name("a category of taxonomy.yaml"),
                "severity": {"enum": list(SEVERITIES), "description": "start level; default by category"},
                "indicators": {"type": "array", "items": {"enum": list(INDICATORS)}},
                "when": {"$ref": "#/$defs/condition"},
                "only_if_nothing_else": {"type": "boolean"},
            },
            "required": ["category"],
            "additionalProperties": False,
        },
        "branch": {
            "type": "object",
            "properties": {"when": {"$ref": "#/$defs/condition"}, "to": {"$ref": "#/$defs/name"}},
            "required": ["when", "to"],
            "additionalProperties": False,
        },
        "schedule": {
            "type": "object",
            "properties": {
                "reason": {"enum": ["later", "requested"]},
                "preference": {"type": "string", "pattern": PREFERENCE},
                "answer": _name("step whose code is the preference; default: this one"),
                "date": _name("step that asked for the date"),
                "time": _name("step that asked for the time"),
            },
            "required": ["reason"],
            "additionalProperties": False,
        },
        "step": _step(),
    }


def _step() -> dict[str, Any]:
    flag = {"type": "boolean"}
    properties = {
        "id": _name("name of the step, unique in the flow"),
        "note": {"type": "string", "description": "for translators"},
        "when": {"$ref": "#/$defs/condition", "description": "without it the step is passed over"},
        "say": {
            "anyOf": [
                {"$ref": "#/$defs/text"},
                {"type": "array", "items": {"$ref": "#/$defs/text"}, "minItems": 1},
            ],
            "description": "one or several statements",
        },
        "ask": {"enum": [kind.value for kind in Kind], "description": "type of the answer"},
        "text": _text("the question"),
        "options": {
            "type": "array",
            "items": {"$ref": "#/$defs/option"},
            "minItems": 2,
            "maxItems": 10,
            "description": "of a choice; at most 7 can be heard on a telephone",
        },
        "not_sure": _described(flag, "of yes_no: 'not sure' is an answer; default true"),
        "skip": _described(flag, "the question may be left out; default true"),
        "min": {"type": "integer"},
        "max": {"type": "integer"},
        "period": {"enum": ["past", "future", "any"], "description": "of a date"},
        "wish": _described(flag, "of a choice of times: a day and a time in words is an answer too"),
        "timeout": {"type": "integer", "minimum": 3, "maximum": 60, "description": "seconds of silence"},
        "choose": _described(flag, "of pass_word: the worker makes one up"),
        "failed": _name("of pass_word: step after two failures"),
        "third_party": _name("of pass_word: step for 0, 'I have no code'"),
        "first_words": _described(flag, "the text that opened the conversation is stored here"),
        "consent": {"enum": [scope.value for scope in ConsentScope]},
        "safety": {"enum": ["check", "recheck"]},
        "grievance": {
            "anyOf": [
                {"$ref": "#/$defs/grievance"},
                {"type": "array", "items": {"$ref": "#/$defs/grievance"}, "minItems": 1},
            ]
        },
        "schedule": {"$ref": "#/$defs/schedule"},
        "next": {
            "anyOf": [
                {"$ref": "#/$defs/name"},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/name"}, "minProperties": 1},
            ],
            "description": "one step, or a step by code ('else' for the rest); default: the following step",
        },
        "branch": {"type": "array", "items": {"$ref": "#/$defs/branch"}, "minItems": 1},
        "handoff": _name("reason; ends the conversation unless 'next' is given"),
        "run": _name("another flow that is run before going on"),
        "end": {"enum": [outcome.value for outcome in Outcome if outcome is not Outcome.MOVED]},
        "back": {
            "const": True,
            "description": "back to the question from which a person was asked for; on as usual if there was none",
        },
        "continue": {
            "const": True,
            "description": "ends this conversation so that the one for which the worker asked to be called goes on",
        },
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["id"],
        "additionalProperties": False,
        "dependentRequired": {"ask": ["text"], "text": ["ask"], "options": ["ask"]},
    }


def schema() -> dict[str, Any]:
    """A fresh copy of the schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Voiceback conversation flow",
        "type": "object",
        "properties": {
            "name": _name("name of the flow; the file has the same name"),
            "title": {"type": "string", "minLength": 1, "description": "for staff"},
            "part": {"type": "boolean", "description": "only ever run by other flows; returns at its end"},
            "remind": _described(_DURATION, "written channels: repeat the question once after this time"),
            "expire": _described(_DURATION, "written channels: over after this time; default 3d"),
            "expired": _name("step that is gone through, unheard, when it expires"),
            "hung_up": _name("step that is gone through, unheard, when the caller hangs up"),
            "critical": _name("step to go to at once when the first S1 grievance is raised"),
            "person": _name("telephone: step to go to when a person is asked for; default: one will call"),
            "unasked": _name("category for words that were written where a choice was asked for"),
            "facts": {
                "type": "object",
                "propertyNames": {"$ref": "#/$defs/name"},
                "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "description": "further facts that the starter hands in, with their possible values",
            },
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
        },
        "required": ["name", "title", "steps"],
        "additionalProperties": False,
        "$defs": _definitions(),
    }


def published() -> str:
    """The text of ``flows/schema.json``."""
    return json.dumps(schema(), indent=2) + "\n"
