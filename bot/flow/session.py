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

_VERSION: Final = 2
_FIRST_VERSION: Final = 1
_FIRST_PAGE: Final = 1024
"""Where the flags of the first version began to count pages."""

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
TALKED: Final = 1024
WANTS_PERSON: Final = 2048
"""A person was asked for before the safety check, and is looked for right after it."""
CARRIED: Final = 4096
"""The conversation came here from another channel: whether it is safe is asked by the engine."""
UNFINISHED: Final = 8192
"""It is over for now, and can be carried on from where it stood."""
HAS_CODE: Final = 16384
"""She has a code by which we know her when we call."""
RECORD_ASKED: Final = 32768
"""She was asked already if her voice may be recorded."""
NOBODY_CAME: Final = 65536
"""She asked for a person on the telephone already, and there was none."""
PAGE: Final = 131072
"""Which page of a long menu of languages is heard is counted in the flags above all others."""


ASIDE: Final = "*"
"""Names of values that the engine keeps for itself begin with this, which no step's name does."""
WISH: Final = "*wish"
"""When she wants to be called, in her own words, while she is asked if that was understood."""
WISH_AT: Final = "*wish_at"
"""The own question of the engine that she answered so, or empty for one of the flow."""
FIRST_WISH: Final = "*first_wish"
"""When she wants to be called, where she said so before anything was asked, until she is asked when."""
PREFERENCE: Final = "*later"
"""When she wants to be called, while she is asked for a code."""


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
    back: str = ""
    """The step to come back to when a person was asked for and nobody came."""

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
                self.back,
            )
        )

    @classmethod
    def load(cls, data: bytes) -> Session:
        """The session that was dumped; :class:`EngineError` if it is damaged or of an unknown version."""
        try:
            version, *kept = orjson.loads(data)
            if version == _FIRST_VERSION:
                # It knew neither the newer flags nor a way back; which page of a menu was open is no loss.
                kept[7] %= _FIRST_PAGE
                kept.append("")
            elif version != _VERSION:
                raise EngineError("a session of another version cannot be read")
            flow, revision, step, mode, language, sprint, tries, flags, values, raised, stack, back = kept
            waiting = tuple((name, pinned, onward) for name, pinned, onward in stack)
            return cls(
                flow, revision, step, mode, language, sprint, tries, flags, values, raised, waiting, back
            )
        except (TypeError, ValueError, IndexError) as error:
            raise EngineError("a session is damaged") from error
