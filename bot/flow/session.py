"""A conversation between two sprints: all that the engine needs to go on, and not a word more.

No open answer, no pass-word and no number is ever in it, only canonical codes that a later condition
asks for. The caller seals the dumped form all the same, because codes are answers too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from bot.errors import EngineError

_VERSION: Final = 1

PRESSED: Final = 1
SAFE: Final = 2
VERIFIED: Final = 4
RECORD: Final = 8
REMINDED: Final = 16
SILENT: Final = 32
CALLBACK: Final = 64
NO_TEXT: Final = 128
CRITICAL: Final = 256
ENDED: Final = 512
PAGE: Final = 1024
"""Which page of a long menu of languages is heard is counted in the flags above all others."""


@dataclass(frozen=True, slots=True)
class Session:
    """Where a conversation stands. ``mode`` names an own question of the engine, or is empty."""

    flow: str
    revision: str
    step: str
    mode: str
    language: str
    sprint: str
    tries: int
    flags: int
    values: Mapping[str, str] = field(repr=False)
    raised: Mapping[str, str] = field(repr=False)
    """The severity that was reported for each category so far."""
    stack: tuple[tuple[str, str, str], ...] = ()
    """Flows that wait for this one: name, revision, and the step to go on with."""

    @property
    def ended(self) -> bool:
        """Whether the conversation is over."""
        return bool(self.flags & ENDED)

    @property
    def verified(self) -> bool:
        """Whether the worker's pass-word was given."""
        return bool(self.flags & VERIFIED)

    @property
    def safe(self) -> bool:
        """Whether the worker said that it is safe to talk (or the flow has no such check)."""
        return bool(self.flags & SAFE)

    def dump(self) -> bytes:
        """The session as compact JSON, versioned."""
        return orjson.dumps(
            (
                _VERSION,
                self.flow,
                self.revision,
                self.step,
                self.mode,
                self.language,
                self.sprint,
                self.tries,
                self.flags,
                self.values,
                self.raised,
                self.stack,
            )
        )

    @classmethod
    def load(cls, data: bytes) -> Session:
        """The session that was dumped; :class:`EngineError` if it is damaged or of an unknown version."""
        try:
            version, flow, revision, step, mode, language, sprint, tries, flags, values, raised, stack = (
                orjson.loads(data)
            )
            if version != _VERSION:
                raise EngineError("a session of another version cannot be read")
            waiting = tuple((name, pinned, onward) for name, pinned, onward in stack)
            return cls(flow, revision, step, mode, language, sprint, tries, flags, values, raised, waiting)
        except (TypeError, ValueError) as error:
            raise EngineError("a session is damaged") from error
