"""What the owner of a phone does when it rings, written down as JSON.

A script is the name of a preset or an object::

    {
        "answer": "human",
        "ring": 2,
        "sip": 404,
        "then": "hangup",
        "hangs_up_after": 20,
        "before": ["busy", "no-answer"],
        "steps": [
            {"keys": "1"},
            {"pause": 1, "keys": "{pass_word}#"},
            {"silence": true},
            {"speak": "text", "seconds": 3},
            {"talk": [{"speak": "text", "seconds": 3}, {"pause": 20, "hangup": true}]},
            {"hangup": true},
        ],
    }

One step is used up by each ``<Gather>`` or ``<Record>`` that is reached, and by each talk when somebody else comes
on the line. A step that has only ``pause`` is joined to the step after it. A ``talk`` holds what is done in a talk,
one after another; the person then stays until the other hangs up. ``then`` is what happens when no step is left:
``hangup``, ``silent``, or ``{"keys": "1"}`` to press the same at every question (in a talk: to say a few words and
stay). ``{pass_word}`` stands for the handset's own. ``before`` holds what is done at the first calls, one script each
(without a ``before`` of its own); after them the script itself holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.errors import ConfigError

ANSWERS = ("manual", "human", "machine", "fax", "busy", "no-answer", "failed")
KEYPAD = frozenset("0123456789*#")


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """One reaction to one question. ``pause`` in seconds; ``barge`` presses before the prompt has ended."""

    keys: str = ""
    speak: str = ""
    seconds: float = 3.0
    silence: bool = False
    hangup: bool = False
    pause: float = 0.0
    barge: bool = False
    talk: tuple[ScriptStep, ...] = ()

    @property
    def is_pause(self) -> bool:
        """Whether the step does nothing but wait."""
        return not (self.keys or self.speak or self.silence or self.hangup or self.talk)

    def to_json(self) -> dict[str, Any]:
        """The step as it is written in a configuration."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "talk"}
        written = {name: value for name, value in row.items() if value != getattr(_BLANK, name)}
        return written | ({"talk": [step.to_json() for step in self.talk]} if self.talk else {})


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script. ``ring`` and ``hangs_up_after`` in seconds; ``sip`` only where the call fails."""

    name: str = ""
    answer: str = "human"
    ring: float = 2.0
    sip: int | None = None
    steps: tuple[ScriptStep, ...] = ()
    then: str = "hangup"
    then_keys: str = ""
    hangs_up_after: float | None = None
    before: tuple[Script, ...] = ()

    def at_call(self, number: int) -> Script:
        """What is done at the call of that number, counted from 0."""
        return self.before[number] if number < len(self.before) else self

    def to_json(self) -> object:
        """The script as it is written in a configuration: a preset's name, or an object."""
        if self.name:
            return self.name
        then: object = {"keys": self.then_keys} if self.then_keys else self.then
        return {
            "answer": self.answer,
            "ring": self.ring,
            "sip": self.sip,
            "steps": [step.to_json() for step in self.steps],
            "then": then,
            "hangs_up_after": self.hangs_up_after,
            "before": [script.to_json() for script in self.before],
        }


_BLANK = ScriptStep()

_TALK: tuple[dict[str, Any], ...] = (
    {"speak": "Hello, you are talking to the hotline.", "seconds": 3},
    {"pause": 30, "hangup": True},
)

PRESETS: dict[str, Mapping[str, Any]] = {
    "manual": {"answer": "manual"},
    "busy": {"answer": "busy"},
    "no-answer": {"answer": "no-answer"},
    "failed": {"answer": "failed", "sip": 503},
    "unreachable": {"answer": "failed", "sip": 404},
    "fax": {"answer": "fax", "hangs_up_after": 30},
    "machine": {"answer": "machine", "then": "silent", "hangs_up_after": 60},
    "silent": {"answer": "human", "then": "silent", "hangs_up_after": 90},
    "hangs-up": {"answer": "human", "hangs_up_after": 1},
    "human-yes": {"steps": [{"keys": "1"}, {"keys": "{pass_word}#"}], "then": {"keys": "1"}},
    "human-no": {"steps": [{"keys": "1"}, {"keys": "{pass_word}#"}], "then": {"keys": "2"}},
    "not-now": {"steps": [{"keys": "2"}]},
    "wrong-person": {"steps": [{"keys": "1"}, {"keys": "0000#"}, {"hangup": True}]},
    "unsafe": {"steps": [{"keys": "1"}, {"keys": "{pass_word}#"}, {"keys": "*"}]},
    "agent": {"ring": 4, "steps": [{"keys": "1"}, {"talk": _TALK}]},
    "agent-stays": {"ring": 4, "steps": [{"keys": "1"}, {"talk": _TALK[:1]}], "then": "silent"},
    "agent-refuses": {"ring": 4, "steps": [{"keys": "2"}]},
}


def parse_script(data: object) -> Script:
    """The script that ``data`` (a preset's name or an object) describes, or :class:`ConfigError`."""
    if isinstance(data, Script):
        return data
    if isinstance(data, str):
        if data not in PRESETS:
            raise ConfigError(f"script: no preset is called {data!r}")
        return _parse_object(PRESETS[data], data)
    if not isinstance(data, Mapping):
        raise ConfigError("script must be the name of a preset or an object")
    return _parse_object(data, "")


def _parse_object(data: Mapping[str, Any], name: str) -> Script:
    allowed = {"answer", "ring", "sip", "steps", "then", "hangs_up_after", "before"}
    for key in data:
        if key not in allowed:
            raise ConfigError(f"script: unknown key {key!r}")
    answer = data.get("answer", "human")
    if answer not in ANSWERS:
        raise ConfigError("script: answer must be one of " + ", ".join(ANSWERS))
    then, then_keys = _parse_then(data.get("then", "hangup"))
    after = data.get("hangs_up_after")
    return Script(
        name=name,
        answer=answer,
        ring=_seconds(data.get("ring", 2.0), "ring"),
        sip=_sip(data.get("sip")),
        steps=_parse_steps(data.get("steps", [])),
        then=then,
        then_keys=then_keys,
        hangs_up_after=None if after is None else _seconds(after, "hangs_up_after"),
        before=_parse_before(data.get("before", [])),
    )


def _parse_before(data: object) -> tuple[Script, ...]:
    if not isinstance(data, list | tuple):
        raise ConfigError("script: before must be a list")
    scripts = tuple(parse_script(row) for row in data)
    if any(script.before for script in scripts):
        raise ConfigError("script: a script of before has none of its own")
    return scripts


def _parse_then(then: object) -> tuple[str, str]:
    if then in ("hangup", "silent"):
        return str(then), ""
    if isinstance(then, Mapping) and isinstance(then.get("keys"), str):
        return "keys", _keys(then["keys"])
    raise ConfigError('script: then must be "hangup", "silent" or {"keys": …}')


def _parse_steps(data: object) -> tuple[ScriptStep, ...]:
    if not isinstance(data, list | tuple):
        raise ConfigError("script: steps must be a list")
    steps: list[ScriptStep] = []
    waiting = 0.0
    for row in data:
        step = _parse_step(row, waiting)
        if step.is_pause:
            waiting = step.pause
        else:
            waiting = 0.0
            steps.append(step)
    return tuple(steps)


def _parse_step(row: object, waiting: float) -> ScriptStep:
    if not isinstance(row, Mapping):
        raise ConfigError("script: a step must be an object")
    for key in row:
        if key not in ScriptStep.__dataclass_fields__:
            raise ConfigError(f"script: unknown key {key!r} in a step")
    return ScriptStep(
        keys=_keys(row.get("keys", "")),
        speak=str(row.get("speak", "")),
        seconds=_seconds(row.get("seconds", 3.0), "seconds"),
        silence=bool(row.get("silence", False)),
        hangup=bool(row.get("hangup", False)),
        pause=waiting + _seconds(row.get("pause", 0.0), "pause"),
        barge=bool(row.get("barge", False)),
        talk=_parse_steps(row.get("talk", [])),
    )


def _keys(value: object) -> str:
    text = str(value)
    if not set(text.replace("{pass_word}", "")) <= KEYPAD:
        raise ConfigError("script: keys may hold 0-9, *, # and {pass_word}")
    return text


def _seconds(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ConfigError(f"script: {where} must be a number of seconds")
    return float(value)


def _sip(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 699:
        raise ConfigError("script: sip must be a SIP response code")
    return value
