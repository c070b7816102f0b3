"""What is handed in to the engine, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bot.flow.catalog import Catalogs
from bot.flow.events import Event
from bot.flow.library import Library
from bot.flow.session import Session
from bot.messages import Capabilities, Prompt


@dataclass(frozen=True, slots=True)
class Context:
    """The world around one sprint. ``now`` is aware; ``check_pass_word`` says whether digits are right."""

    now: datetime
    new_id: Callable[[], str]
    library: Library
    catalogs: Catalogs
    capabilities: Capabilities
    check_pass_word: Callable[[str], bool] = field(repr=False)

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
