"""What is handed in to the engine, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.flow.catalog import Catalogs
from bot.flow.events import Event
from bot.flow.library import Library
from bot.flow.session import Session
from bot.messages import Capabilities, Prompt


def nobody_there(_language: str) -> bool:
    """Where no telephone of an agent exists, nobody is there in any language."""
    return False


@dataclass(frozen=True, slots=True)
class Locality:
    """Where the worker's clock is read: her zone, and her country (ISO 3166, or empty) for what a weekend is."""

    zone: ZoneInfo
    country: str


def nowhere() -> Locality:
    """Of nobody knows where, times are those of UTC."""
    return Locality(ZoneInfo("UTC"), "")


@dataclass(frozen=True, slots=True)
class Context:
    """The world around one sprint. ``now`` is aware; ``check_pass_word`` says whether digits are right."""

    now: datetime
    new_id: Callable[[], str]
    library: Library
    catalogs: Catalogs
    capabilities: Capabilities
    check_pass_word: Callable[[str], bool] = field(repr=False)
    person_there: Callable[[str], bool] = field(default=nobody_there, repr=False)
    """Whether a person who speaks a language (BCP-47 code) can take a call now."""

    place: Callable[[], Locality] = field(default=nowhere, repr=False)
    """Where the worker is; asked only when she says when she wants to be called."""

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("naive datetimes are an error")


@dataclass(frozen=True, slots=True)
class Timer:
    """Wake the conversation with ``Timeout(sprint, kind)`` after ``seconds``, if it still waits then."""

    sprint: str
    kind: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Sprint:
    """What one input led to. ``redact`` says that the stored form of the input must be masked."""

    session: Session
    events: tuple[Event, ...]
    prompt: Prompt
    redact: bool
    timers: tuple[Timer, ...]
    ended: bool
