"""Events of a sprint become rows: answers, consents, cases, callbacks, stops. All in the caller's transaction."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import singledispatchmethod
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select, update

from bot import contacts, media, safety, ways
from bot.audits import places
from bot.callbacks import consents, reminders, settle
from bot.callbacks.preference import wish
from bot.callbacks.states import CallbackState
from bot.cases import opening
from bot.contacts import StopReason
from bot.errors import InputError
from bot.flow.context import Locality, nowhere
from bot.flow.events import (
    Answered,
    CallbackRequested,
    ConsentGiven,
    ConsentScope,
    ContinueRequested,
    Ended,
    Event,
    GrievanceRaised,
    HandoffRequested,
    HideRequested,
    LanguageChosen,
    LinkRequested,
    Outcome,
    PassWordChosen,
    StartRequested,
    StopRequested,
    TextInvited,
    UnsafeFlagged,
    Verified,
)
from bot.flow.words import digits
from bot.ids import new_id
from bot.messages import Address, AddressKind, Channel
from bot.privacy.seal import Sealer
from bot.storage.tables import (
    AddressRow,
    Answer,
    Attempt,
    Audit,
    Callback,
    Consent,
    Contact,
    Conversation,
    Factory,
    RecordingRow,
    table,
)

_answer = table(Answer)
_attempt = table(Attempt)
_consent = table(Consent)
_recording = table(RecordingRow)
_conversation = table(Conversation)
_callback = table(Callback)
_contact = table(Contact)
_audit = table(Audit)
_address = table(AddressRow)
_factory = table(Factory)

_ADD_ANSWER: Final = insert(_answer)
_ADD_CONSENT: Final = insert(_consent)
REQUESTED_FOR = timedelta(days=14)
"""How long a callback that was asked for on the hotline is tried."""
CARD_QUESTIONS = frozenset({"card_number", "place"})
"""Questions of the hotline whose answer may hold the number of the worker's card."""
_CARD = re.compile(r"(?<!\d)\d{6}(?!\d)")


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a conversation while a sprint is written."""

    conversation_id: str
    channel: Channel
    address_id: str | None
    contact_id: str | None
    attempt_id: str | None
    audit_id: str | None
    language: str
    answers: int
    """How many answers it has so far."""
    address: Address | None = None
    """The address in clear, only while the worker is on it: for the zone of its number."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What the events changed of the conversation itself."""

    standing: Standing
    outcome: Outcome | None
    stopped: bool
    """The worker said stop: the one text that still goes out confirms it."""
    invited: bool
    """The worker asked on the telephone to be written to."""
    hidden: bool
    """The worker took the quick exit: what we sent is to leave her screen."""
    links: bool
    """The worker asked for a code by which she can go on from elsewhere."""
    answers: list[dict[str, object]] = field(repr=False)
    """Rows of answers that nothing refers to yet: the caller writes them together with the conversation."""


def apply(
    connection: Connection,
    sealer: Sealer,
    standing: Standing,
    events: tuple[Event, ...],
    now: datetime,
    matched: str | None,
) -> Applied:
    """Write what a sprint's events say. ``matched`` is the contact whose pass-word was given in it."""
    writing = _Writing(connection, sealer, standing, now, matched)
    for event in events:
        writing.take(event)
    return writing.finish()


class _Writing:
    """The events of one sprint on their way into rows: one method for each kind of event."""

    def __init__(
        self, connection: Connection, sealer: Sealer, standing: Standing, now: datetime, matched: str | None
    ) -> None:
        self.connection = connection
        self.sealer = sealer
        self.standing = standing
        self.now = now
        self.matched = matched
        self.outcome: Outcome | None = None
        self.wish: CallbackRequested | None = None
        self.stopped = False
        self.invited = False
        self.hidden = False
        self.links = False
        self.raised: list[GrievanceRaised] = []
        self.answers: list[dict[str, object]] = []
        self.recordings: list[tuple[str, str]] = []

    @singledispatchmethod
    def take(self, event: Event) -> None:
        """Take one event; each kind has its own method below."""
        raise TypeError(f"no rows are known for {type(event).__name__}")

    @take.register
    def _(self, event: Answered) -> None:
        row_id = new_id()
        text = self.sealer.seal_text(f"answer.text_sealed:{row_id}", event.text) if event.text else None
        self.answers.append(
            {
                "id": row_id,
                "conversation_id": self.standing.conversation_id,
                "n": self.standing.answers + len(self.answers) + 1,
                "question": event.question,
                "kind": event.kind,
                "code": event.code,
                "text_sealed": text,
                "created_at": self.now,
            }
        )
        if event.recording:
            self.recordings.append((event.recording, row_id))
        if self.standing.audit_id is None and event.question in CARD_QUESTIONS:
            audit_id = audit_of_card(self.connection, event.text or event.code or "")
            self.standing = replace(self.standing, audit_id=audit_id)

    @take.register
    def _(self, event: GrievanceRaised) -> None:
        self.raised.append(event)

    @take.register
    def _(self, event: ConsentGiven) -> None:
        row = {
            "id": new_id(),
            "conversation_id": self.standing.conversation_id,
            "scope": event.scope,
            "given": event.given,
            "created_at": self.now,
        }
        self.connection.execute(_ADD_CONSENT, row)
        if event.scope == ConsentScope.RECORD and not event.given:
            media.withdraw(self.connection, self.standing.conversation_id)
        if event.scope == ConsentScope.CONTACT_AGAIN and not event.given and self.standing.contact_id:
            consents.no_more_contact(self.connection, self.standing.contact_id, self.now)
        if event.scope == ConsentScope.REMIND:
            who, where = self.standing.contact_id, self.standing.address_id
            reminders.said(self.connection, who, where, event.given, self.now)

    @take.register
    def _(self, event: LanguageChosen) -> None:
        self.standing = replace(self.standing, language=event.language)
        if self.standing.address_id:
            contacts.speaks(self.connection, self.standing.address_id, event.language)

    @take.register
    def _(self, _event: Verified) -> None:
        self.standing = replace(self.standing, contact_id=self.matched)

    @take.register
    def _(self, event: PassWordChosen) -> None:
        self.standing = with_contact(self.connection, self.standing, self.now)
        if self.standing.contact_id:
            contacts.set_pass_word(self.connection, self.sealer, self.standing.contact_id, event.digits)

    @take.register
    def _(self, event: CallbackRequested) -> None:
        self.wish = event

    @take.register
    def _(self, _event: HandoffRequested) -> None:
        self.raised.append(GrievanceRaised("wants_a_person", opening.UNCLASSIFIED, "S3"))

    @take.register
    def _(self, _event: TextInvited) -> None:
        self.invited = True

    @take.register
    def _(self, event: UnsafeFlagged) -> None:
        self.raised.append(GrievanceRaised("duress", "threat", "S1" if event.threat else "S2"))
        self._stop(StopReason.UNSAFE)

    @take.register
    def _(self, _event: HideRequested) -> None:
        self.hidden = True

    @take.register
    def _(self, _event: StopRequested) -> None:
        self.stopped = True
        self._stop(StopReason.WORKER)

    @take.register
    def _(self, _event: StartRequested) -> None:
        if self.standing.address_id:
            contacts.lift_stop(self.connection, self.standing.address_id)

    @take.register
    def _(self, _event: ContinueRequested) -> None:
        """Nothing is written for it here: the talk that goes on is another one (:mod:`bot.moving`)."""

    @take.register
    def _(self, _event: LinkRequested) -> None:
        self.links = True

    @take.register
    def _(self, event: Ended) -> None:
        self.outcome = event.outcome

    def finish(self) -> Applied:
        """Write what was gathered: spoken answers with their recordings, the case, the end of an attempt."""
        answers = self.answers
        preference = self._promised()
        self.standing = replace(self.standing, answers=self.standing.answers + len(answers))
        if self.recordings:
            self.connection.execute(_ADD_ANSWER, answers)
            answers = []
        for provider_id, answer_id in self.recordings:
            media.expect_recording(
                self.connection, self.standing.conversation_id, provider_id, self.now, answer_id=answer_id
            )
        if self.raised:
            standing = self.standing
            source = opening.Source(
                standing.conversation_id, standing.contact_id, standing.audit_id, standing.language
            )
            opening.record(self.connection, source, self.raised, self.now)
        # A talk that only opened the door settles nothing: the one that goes on behind it does.
        if self.outcome not in (None, Outcome.MOVED) and self.standing.attempt_id:
            settle.conversation_ended(
                self.connection, self.standing.attempt_id, self.outcome, self.now, preference
            )
        return Applied(
            self.standing,
            self.outcome,
            self.stopped,
            self.invited,
            self.hidden,
            self.links,
            answers,
        )

    def _promised(self) -> str | None:
        """Promise the callback that was asked for. Another time for the callback that takes place in this very
        talk is no new one: it is given to the caller, who plans that anew."""
        put_off = self.outcome is Outcome.LATER
        if self.wish is None:
            return None
        if self.wish.reason != "requested" or (put_off and self.standing.attempt_id):
            if put_off and not self.standing.attempt_id:
                self._put_off(self.wish.preference)
            return self.wish.preference
        self.standing = with_contact(self.connection, self.standing, self.now)
        continues = self.standing.conversation_id if put_off else None
        _promise(self.connection, self.sealer, self.standing, self.wish.preference, self.now, continues)
        return None

    def _put_off(self, preference: str) -> None:
        """Another time for the callback that waits for her who wrote before we did."""
        where = self.standing.address_id
        who = self.standing.contact_id
        proven = who is not None
        if who is None and where and self.standing.channel is not Channel.VOICE:
            who = safety.unguarded(self.connection, where, self.now)
        if who is not None:
            settle.put_off_next(self.connection, who, preference, self.now, proven=proven)

    def _stop(self, reason: StopReason) -> None:
        if self.standing.address_id:
            contacts.stop(
                self.connection, self.standing.address_id, self.standing.contact_id, reason, self.now
            )


def unheard_recording(connection: Connection, conversation_id: str) -> str | None:
    """The provider's id of the newest recording of a conversation that answers nothing so far."""
    return connection.execute(
        select(_recording.c.provider_id)
        .where(_recording.c.conversation_id == conversation_id, _recording.c.answer_id.is_(None))
        .order_by(_recording.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def audit_of_card(connection: Connection, words: str) -> str | None:
    """The audit whose card's code stands in ``words``, or None."""
    found = _CARD.search(digits(words))
    if found is None:
        return None
    return connection.execute(
        select(_audit.c.id).where(_audit.c.card_code == found.group())
    ).scalar_one_or_none()


def with_contact(connection: Connection, standing: Standing, now: datetime) -> Standing:
    """A worker who wants to be called back, or gives her number, becomes a contact."""
    if standing.contact_id or standing.address_id is None:
        return standing
    contact_id = contacts.new_contact(
        connection, standing.address_id, now, how=contacts.How.SELF, language=standing.language
    )
    return replace(standing, contact_id=contact_id)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a worker who asked for it is called back: by telephone where we know a number, else in writing."""

    address_id: str
    channel: Channel
    country: str | None
    zone: str


def place_of(connection: Connection, sealer: Sealer, standing: Standing, now: datetime) -> Locality:
    """Where the clock is read by which a worker says when she wants to be called: that of the callback that takes
    place in this talk, or of the one that would be promised in it."""
    if standing.attempt_id:
        planned = select(_callback.c.timezone, _callback.c.country)
        planned = planned.join(_attempt, _attempt.c.callback_id == _callback.c.id)
        row = connection.execute(planned.where(_attempt.c.id == standing.attempt_id)).one()
        return Locality(ZoneInfo(row.timezone), row.country)
    if standing.address_id is None:
        return nowhere()
    way = _way_back(connection, sealer, standing, standing.address_id, now)
    return Locality(ZoneInfo(way.zone), way.country or "")


def _way_back(
    connection: Connection, sealer: Sealer, standing: Standing, address_id: str, now: datetime
) -> _Way:
    """The telephone that she writes or calls from, else the number that she gave us, else the same thread.

    A number that she gave is called only if she has a code: nothing else would prove who picks up there.
    The zone is that of the number; without one it is that of the audited factory's country.
    """
    kind, country = connection.execute(
        select(_address.c.kind, _address.c.country).where(_address.c.id == address_id)
    ).one()
    phone = standing.address
    channel = Channel.VOICE
    if kind != AddressKind.PHONE:
        known = contacts.has_pass_word(connection, standing.contact_id)
        given = contacts.given_phone(connection, sealer, address_id) if known else None
        address_id, country, phone = given or (address_id, country, phone)
        channel = Channel.VOICE if given else ways.WRITTEN[kind]
    zone = contacts.timezone_of(phone) if phone else None
    if zone is None and standing.audit_id:
        place, zone = _place_of_audit(connection, standing.audit_id, now)
        country = country or place
    return _Way(address_id, channel, country, zone or "UTC")


def _place_of_audit(connection: Connection, audit_id: str, now: datetime) -> tuple[str | None, str | None]:
    row = connection.execute(
        select(_factory.c.country, _factory.c.region)
        .join(_audit, _audit.c.factory_id == _factory.c.id)
        .where(_audit.c.id == audit_id)
    ).one()
    try:
        return row.country, places.zone_of(row.country, row.region, None, now.year)
    except InputError:
        # A country of several zones and no region that we know: nobody can tell what the clock shows there.
        return row.country, None


def _promise(
    connection: Connection,
    sealer: Sealer,
    standing: Standing,
    preference: str,
    now: datetime,
    continues: str | None,
) -> None:
    """A callback at the time that the worker chose. A newer wish replaces one that is not under way.

    ``continues`` is the talk that goes on in it, if this one was put off in the middle.
    """
    if standing.contact_id is None or standing.address_id is None:
        return
    way = _way_back(connection, sealer, standing, standing.address_id, now)
    zone = ZoneInfo(way.zone)
    today = now.astimezone(zone).date()
    connection.execute(
        update(_contact)
        .where(_contact.c.id == standing.contact_id)
        .values(timezone=way.zone, country=way.country)
    )
    connection.execute(
        update(_callback)
        .where(
            _callback.c.address_id.in_((standing.address_id, way.address_id)),
            _callback.c.kind == "requested",
            _callback.c.state == CallbackState.SCHEDULED,
        )
        .values(state=CallbackState.GIVEN_UP, give_up_reason="replaced", due_at=None, updated_at=now)
    )
    settle.promise(
        connection,
        now,
        contact_id=standing.contact_id,
        address_id=way.address_id,
        audit_id=standing.audit_id,
        kind="requested",
        continues_id=continues,
        channel=way.channel,
        language=standing.language,
        timezone=way.zone,
        country=way.country or "",
        preference=str(wish(preference, now, zone)),
        first_day=today,
        last_day=today + REQUESTED_FOR,
    )
