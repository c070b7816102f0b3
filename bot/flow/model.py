"""A compiled flow: immutable, checked by the loader, shared by every conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bot.flow.condition import Condition
from bot.flow.events import ConsentScope, Outcome
from bot.messages import Expects


class Kind(StrEnum):
    """What a step asks for."""

    YES_NO = "yes_no"
    CHOICE = "choice"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    OPEN = "open"
    MEDIA = "media"
    PASS_WORD = "pass_word"  # noqa: S105 - the name of a kind of question, not a secret
    LANGUAGE = "language"
    PERSON = "person"
    """On the telephone: wait for a person. In writing it is passed over."""

    @property
    def expects(self) -> Expects:
        """The same in the words of the common format; a language is chosen like anything else."""
        return Expects.CHOICE if self is Kind.LANGUAGE else Expects(self.value)


FACTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "medium": ("voice", "text"),
        "trigger": ("callback", "returned", "proved", "missed", "call", "message"),
        "kind": ("audit", "requested", "missed"),
        "led": ("agent", "system"),
        "continues": ("yes", "no"),
        "callback_medium": ("voice", "text"),
        "country": (),
        "code_open": ("yes", "no"),
        "role": ("interviewed", "comparison"),
        "has_pass_word": ("yes", "no"),
        "text_allowed": ("yes", "no"),
        "language_known": ("yes", "no"),
        "reachable": ("yes", "no"),
        "first_words": ("yes", "no"),
        "round": ("1", "2", "3"),
        "severity": ("none", "S4", "S3", "S2", "S1"),
        "consent_record": ("yes", "no"),
        "consent_take_part": ("yes", "no"),
    }
)
"""What a condition may ask besides earlier answers. ``medium``, ``first_words``, ``severity`` and the
consents are set by the engine, the others come from whoever starts the conversation."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One text, as it is heard on a telephone and as it is read."""

    voice: str
    text: str

    def on(self, keypad: bool) -> str:
        """The wording for a telephone keypad or for a written channel."""
        return self.voice if keypad else self.text


@dataclass(frozen=True, slots=True)
class Choice:
    """One option. ``words`` are further ways to write it, parted by commas; ``key`` overrides its place."""

    code: str
    label: str
    words: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. Seconds in ``timeout``; ``minimum`` and ``maximum`` hold for numbers."""

    kind: Kind
    wording: Wording
    choices: tuple[Choice, ...] = ()
    not_sure: bool = True
    skip: bool = True
    minimum: int | None = None
    maximum: int | None = None
    period: str = "any"
    """Of a date: ``past``, ``future`` or ``any``."""
    timeout: int = 8
    wish: bool = False
    """Of a choice: when we are to call. In writing a day and a time in words is an answer too."""
    choose: bool = False
    """Of a pass-word: the worker makes one up, instead of proving one."""
    failed: str | None = None
    third_party: str | None = None

    def codes(self) -> frozenset[str]:
        """Every canonical code that an answer can have; empty where codes are not countable."""
        fixed: dict[Kind, tuple[str, ...]] = {
            Kind.YES_NO: ("yes", "no", "not_sure"),
            Kind.CHOICE: tuple(choice.code for choice in self.choices),
            Kind.OPEN: ("said", "person", "text"),
            Kind.MEDIA: ("said",),
            Kind.PASS_WORD: ("chosen", "none") if self.choose else ("verified",),
        }
        if self.kind is Kind.PERSON:
            return frozenset(("talked", "nobody", "message"))
        codes = fixed.get(self.kind)
        return frozenset((*codes, "skip")) if codes is not None else frozenset()


@dataclass(frozen=True, slots=True)
class Grievance:
    """What a step reports, if ``when`` holds after its answer."""

    category: str
    severity: str
    indicators: tuple[str, ...]
    when: Condition | None
    only_if_nothing_else: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """A callback that the worker asks for: a fixed preference, or one made of earlier answers."""

    reason: str
    preference: str | None = None
    answer: str | None = None
    date: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Where to go on when a condition holds."""

    when: Condition
    to: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``following`` is the next step of the file, None at its end."""

    id: str
    line: int
    note: str = ""
    when: Condition | None = None
    say: tuple[Wording, ...] = ()
    ask: Ask | None = None
    routes: Mapping[str, str] = field(default_factory=dict)
    next: str | None = None
    following: str | None = None
    branches: tuple[Branch, ...] = ()
    grievances: tuple[Grievance, ...] = ()
    consent: ConsentScope | None = None
    safety: str | None = None
    schedule: Schedule | None = None
    handoff: str | None = None
    run: str | None = None
    end: Outcome | None = None
    first_words: bool = False
    back: bool = False
    """Back to the question from which a person was asked for; on as usual if there was none."""
    carries: bool = False
    """Ends this conversation so that the one for which the worker asked to be called goes on."""

    @property
    def onward(self) -> str | None:
        """Where it goes on when nothing else is said; None after the last step."""
        return self.next or self.following

    def exits(self) -> tuple[tuple[str, str], ...]:
        """Every (reason, step) by which the conversation can leave this step within its flow."""
        found = [(code, to) for code, to in self.routes.items()]
        found += [(str(branch.when), branch.to) for branch in self.branches]
        if self.ask is not None:
            found += [("failed", self.ask.failed)] if self.ask.failed else []
            found += [("third party", self.ask.third_party)] if self.ask.third_party else []
        if self.goes_on and self.onward:
            found.append(("", self.onward))
        return tuple(found)

    @property
    def goes_on(self) -> bool:
        """Whether the conversation can leave by the default way."""
        if self.when is not None:
            return True
        if self.end is not None or self.carries or (self.handoff and self.next is None):
            return False
        return not self._all_routed()

    def _all_routed(self) -> bool:
        """Whether every possible answer has its own way, so that the default is never taken."""
        codes = set(self.ask.codes()) if self.ask is not None else set()
        if self.ask is None or not codes or self.ask.kind is Kind.PERSON:
            # In writing nobody waits for a person: the default way is always taken there.
            return False
        if not self.ask.skip:
            codes.discard("skip")
        if not self.ask.not_sure:
            codes.discard("not_sure")
        if self.safety is not None:
            codes &= {"yes"}
        return codes <= set(self.routes)


@dataclass(frozen=True, slots=True)
class Flow:
    """One revision of one flow. Durations are seconds of real time."""

    name: str
    revision: str
    file: str
    title: str
    first: str
    steps: Mapping[str, Step]
    known: frozenset[str] | None
    """Names whose values the session must keep, because something later asks for them; None for all
    (a flow that shares its values with another one)."""
    part: bool = False
    remind: int | None = None
    expire: int = 3 * 86400
    expired: str | None = None
    hung_up: str | None = None
    critical: str | None = None
    unasked: str | None = None
    person: str | None = None
    """On the telephone: the step to go to when a person is asked for."""
    guarded: bool = False
    """Nobody is trusted until the safety check: the flow asks for a pass-word."""
    gated: bool = False
    """The flow has a safety check."""
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
