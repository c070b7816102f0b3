"""A conversation led by a test: the session is written out and read again between any two inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from bot.flow.catalog import Catalogs
from bot.flow.context import Context, Sprint
from bot.flow.engine import carry_on, resume, start
from bot.flow.events import Ended, Event, Outcome
from bot.flow.library import Library
from bot.flow.session import Session
from bot.flow.trial import VOICE, WRITTEN
from bot.messages import Capabilities, Input, Keys, Prompt, Text, Transferred

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
PASS_WORD = "73519"
SMS = WRITTEN["sms"]
CALLBACK_FACTS = {"trigger": "callback", "role": "interviewed", "has_pass_word": "yes", "text_allowed": "yes"}
HOTLINE_FACTS = {"trigger": "message", "language_known": "yes"}

TAXONOMY = "categories:\n  unclassified: {label: Not read, severity: S3, branch: work}\n" + "".join(
    f"  {code}: {{label: {code}, severity: {severity}, branch: work}}\n"
    for code, severity in (("wages", "S3"), ("violence", "S1"), ("threat", "S2"))
)
WORDS = "".join(
    f"{line}\n"
    for line in (
        "stop: stop",
        "start: start",
        "help: help",
        "language: language",
        "human: person",
        "later: later",
        "hide: hide",
        "skip: skip",
        "link: link",
        "quiet: no text",
        "greeting: hello, hi",
    )
)
TELLING = "before_pass_word: secret\nbefore_safety: factory\n"


def shelf(folder: Path, **flows: str) -> Path:
    """A folder of flows with small words, taxonomy and telling words beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"taxonomy": TAXONOMY, "words": WORDS, "telling": TELLING, **flows}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def flow_text(name: str, steps: str, head: str = "") -> str:
    """The text of a small flow."""
    return f"name: {name}\ntitle: A test\n{head}steps:\n{steps}"


@dataclass
class Conversation:
    """Leads one conversation and keeps all its events."""

    library: Library
    catalogs: Catalogs
    capabilities: Capabilities = VOICE
    now: datetime = NOW
    people: frozenset[str] = frozenset()
    """Languages of the people who can take a call."""
    events: list[Event] = field(default_factory=list)
    sprints: list[Sprint] = field(default_factory=list)
    moves: int = 0
    ids: count[int] = field(default_factory=lambda: count(1))

    def begin(self, flow: str, facts: Mapping[str, str], first: Input | None = None) -> Conversation:
        return self._took(start(self.library.get(flow), self._context(), facts, first))

    def take(self, *inputs: Input | str) -> Conversation:
        """Give inputs one by one; a string is keys on the telephone and a text elsewhere."""
        typed = Keys if self.capabilities.keypad else Text
        for item in inputs:
            given = item if not isinstance(item, str) or isinstance(item, Transferred) else typed(item)
            session = Session.load(self.sprint.session.dump())
            assert session == self.sprint.session
            self._took(resume(session, given, self._context()))
        return self

    def move(
        self, capabilities: Capabilities, *, proven: bool = True, safe: bool = False, **facts: str
    ) -> Conversation:
        """Carry the conversation on in another channel."""
        session = Session.load(self.sprint.session.dump())
        self.capabilities = capabilities
        self.moves += 1
        return self._took(carry_on(session, self._context(), facts, proven=proven, safe=safe))

    @property
    def sprint(self) -> Sprint:
        return self.sprints[-1]

    @property
    def prompt(self) -> Prompt:
        return self.sprint.prompt

    @property
    def said(self) -> str:
        return "\n".join(self.prompt.texts)

    @property
    def outcome(self) -> Outcome | None:
        ended = [event.outcome for event in self.events if isinstance(event, Ended)]
        assert len(ended) <= 1 + self.moves
        return ended[-1] if ended else None

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def _took(self, sprint: Sprint) -> Conversation:
        self.sprints.append(sprint)
        self.events += sprint.events
        return self

    def _context(self) -> Context:
        return Context(
            now=self.now,
            new_id=lambda: f"{next(self.ids):032x}",
            library=self.library,
            catalogs=self.catalogs,
            capabilities=self.capabilities,
            check_pass_word=lambda entry: entry == PASS_WORD,
            person_there=lambda language: language in self.people,
        )
