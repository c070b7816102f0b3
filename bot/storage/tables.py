"""Every table, in the order in which data moves: audits → contacts → callbacks → conversations → cases → staff.

Columns named ``*sealed`` hold AES-GCM seals bound to their table, column and row
(:mod:`bot.privacy.seal`); ``index`` columns hold blind indexes. No row prints anything but its id.
All instants are UTC. Codes, states and categories are in clear, so that reports can count them.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, Table, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from bot.storage.types import UTCDateTime

ID = 32


def _id() -> Any:
    return Field(primary_key=True, max_length=ID)


def _ref(target: str, *, nullable: bool = False, index: bool = False) -> Any:
    return Field(
        default=None if nullable else ..., foreign_key=target, nullable=nullable, max_length=ID, index=index
    )


def _at(*, nullable: bool = False) -> Any:
    return Field(default=None if nullable else ..., sa_type=UTCDateTime, nullable=nullable)


def _sealed(*, nullable: bool = False) -> Any:
    return Field(default=None if nullable else ..., sa_type=LargeBinary, nullable=nullable, repr=False)


class Row(SQLModel):
    """The base of every table: prints as its class name, because a row may hold what no log may."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


# --- audits ---------------------------------------------------------------------------------


class Client(Row, table=True):
    """A brand or buyer for whom audits are made: the tenant."""

    id: str = _id()
    name: str = Field(unique=True)
    policy: str | None = None
    """The callback policy as JSON; NULL means the defaults of :class:`bot.callbacks.policy.Policy`."""
    daily_cap: int | None = None
    """The same number as in the policy, where a clock finds it without reading every policy."""
    mode: str | None = Field(default=None, max_length=16)
    """Who calls, if the policy says that it is not the system alone; likewise for the clock."""
    anew_after: str | None = Field(default=None, max_length=ID)
    """The last audit whose callbacks follow a new policy already; NULL if all do."""
    created_at: datetime = _at()


class PolicyChange(Row, table=True):
    """That a client was given another policy, and which one it had before: append-only."""

    __tablename__ = "policy_change"
    id: str = _id()
    client_id: str = _ref("client.id", index=True)
    former: str | None = None
    """As in the client's row; NULL means the defaults."""
    staff_id: str | None = _ref("staff.id", nullable=True)
    """None is the command line."""
    created_at: datetime = _at()


class ClientDay(Row, table=True):
    """How many callbacks of a client with a daily cap were begun on a day of the policy's calendar."""

    __tablename__ = "client_day"
    client_id: str = Field(primary_key=True, foreign_key="client.id", max_length=ID)
    day: date = Field(primary_key=True)
    begun: int = 0


class Factory(Row, table=True):
    """A workplace of a supplier."""

    __table_args__ = (UniqueConstraint("client_id", "name", "country"),)
    id: str = _id()
    client_id: str = _ref("client.id")
    name: str
    supplier: str | None = None
    country: str = Field(max_length=2)
    region: str | None = None
    industry: str | None = None


class Shift(Row, table=True):
    """Hours in which the workers of a factory are at work, on the wall clock there."""

    id: str = _id()
    factory_id: str = _ref("factory.id", index=True)
    days: str = Field(max_length=32)
    """The days on which it begins, as ``mon tue``."""
    begins: time
    ends: time
    """Not after ``begins`` means: on the next day."""
    valid_from: date | None = None
    valid_until: date | None = None
    """The last day on which it begins."""


class Audit(Row, table=True):
    """One visit to one factory. ``card_code`` stands on the card that workers are given."""

    __table_args__ = (UniqueConstraint("client_id", "ref"), Index("audit_day", "client_id", "audit_date"))
    id: str = _id()
    client_id: str = _ref("client.id")
    factory_id: str = _ref("factory.id", index=True)
    ref: str
    audit_date: date
    card_code: str = Field(unique=True, max_length=8)
    created_at: datetime = _at()


# --- contacts -------------------------------------------------------------------------------


class Contact(Row, table=True):
    """A person who can prove by pass-word that it is them. Shared phones never merge contacts."""

    id: str = _id()
    language: str | None = Field(default=None, max_length=16)
    timezone: str | None = Field(default=None, max_length=64)
    country: str | None = Field(default=None, max_length=2)
    alias_sealed: bytes | None = _sealed(nullable=True)
    pass_word_digest: str | None = Field(default=None, max_length=40, repr=False)
    reminders: bool | None = None
    """Her own last word on texts before a call (:mod:`bot.callbacks.reminders`); NULL if she never said one."""
    created_at: datetime = _at()


class AddressRow(Row, table=True):
    """A number or other address. The clear text is in ``sealed`` and nowhere else."""

    __tablename__ = "address"
    __table_args__ = (UniqueConstraint("kind", "index"),)
    id: str = _id()
    kind: str = Field(max_length=16)
    index: str = Field(max_length=40, repr=False)
    stop_index: str = Field(max_length=40, repr=False)
    sealed: bytes = _sealed()
    country: str | None = Field(default=None, max_length=2)
    language: str | None = Field(default=None, max_length=16)
    """The language that was confirmed on this address."""
    same_as: str | None = _ref("address.id", nullable=True, index=True)
    """The provider's other name for the account of that address; all that is said is kept with that one."""
    created_at: datetime = _at()


class ContactAddress(Row, table=True):
    """Which addresses a contact uses, and how we know."""

    __tablename__ = "contact_address"
    contact_id: str = Field(primary_key=True, foreign_key="contact.id", max_length=ID)
    address_id: str = Field(primary_key=True, foreign_key="address.id", max_length=ID, index=True)
    how: str = Field(max_length=16)
    created_at: datetime = _at()


class Stop(Row, table=True):
    """The stop list. Its index is keyed apart, so that it survives purge and re-import of the address."""

    index: str = Field(primary_key=True, max_length=40, repr=False)
    reason: str = Field(max_length=32)
    created_at: datetime = _at()


class CohortMember(Row, table=True):
    """A worker as the auditor registered her: one row of an upload."""

    __tablename__ = "cohort_member"
    id: str = _id()
    row_key: str = Field(unique=True, max_length=40, repr=False)
    digest: str = Field(max_length=40, repr=False)
    """Keyed digest of the row's content: an equal upload changes nothing."""
    audit_id: str = _ref("audit.id", index=True)
    contact_id: str = _ref("contact.id", index=True)
    address_id: str = _ref("address.id", index=True)
    role: str = Field(max_length=16)
    preference: str
    channel: str = Field(max_length=16)
    nationality: str | None = None
    consent: bool | None = None
    reminder: bool | None = None
    """Whether she agreed at the interview to a text before the call."""
    created_at: datetime = _at()
    updated_at: datetime = _at()


# --- callbacks ------------------------------------------------------------------------------


class Callback(Row, table=True):
    """A promise to call somebody back. States: :class:`bot.callbacks.states.CallbackState`."""

    __table_args__ = (
        Index(
            "callback_due",
            "due_at",
            sqlite_where=text("state = 'scheduled'"),
            postgresql_where=text("state = 'scheduled'"),
        ),
        Index(
            "callback_open_address",
            "address_id",
            sqlite_where=text("state IN ('scheduled', 'dialling')"),
            postgresql_where=text("state IN ('scheduled', 'dialling')"),
        ),
        Index(
            "callback_one_of_a_round",
            "cohort_member_id",
            "round",
            unique=True,
            sqlite_where=text("kind = 'audit'"),
            postgresql_where=text("kind = 'audit'"),
        ),
        Index(
            "callback_remind",
            "remind_at",
            sqlite_where=text("state = 'scheduled' AND remind_at IS NOT NULL"),
            postgresql_where=text("state = 'scheduled' AND remind_at IS NOT NULL"),
        ),
        Index(
            "callback_unfollowed",
            "id",
            sqlite_where=text("kind = 'audit' AND state IN ('reached', 'given_up') AND followed IS NULL"),
            postgresql_where=text("kind = 'audit' AND state IN ('reached', 'given_up') AND followed IS NULL"),
        ),
        Index(
            "callback_given_up",
            "id",
            sqlite_where=text("state = 'given_up'"),
            postgresql_where=text("state = 'given_up'"),
        ),
        Index(
            "callback_given_up_for",
            "give_up_reason",
            "id",
            sqlite_where=text("state = 'given_up'"),
            postgresql_where=text("state = 'given_up'"),
        ),
        Index(
            "callback_untallied",
            "id",
            sqlite_where=text(
                "state NOT IN ('scheduled', 'dialling') AND (tallied IS NULL OR tallied <> state)"
            ),
            postgresql_where=text(
                "state NOT IN ('scheduled', 'dialling') AND (tallied IS NULL OR tallied <> state)"
            ),
        ),
    )
    id: str = _id()
    contact_id: str = _ref("contact.id", index=True)
    address_id: str = _ref("address.id", index=True)
    cohort_member_id: str | None = _ref("cohort_member.id", nullable=True, index=True)
    audit_id: str | None = _ref("audit.id", nullable=True, index=True)
    kind: str = Field(max_length=16)
    """``audit`` (interviewed or comparison worker), ``requested`` (asked for on the hotline) or ``missed`` (a
    call to a number that is answered by calling back)."""
    round: int = 1
    followed: bool | None = None
    """After its end: whether the next round's callback was looked for (:mod:`bot.callbacks.rounds`)."""
    tallied: str | None = Field(default=None, max_length=16)
    """The end under which it was counted (:mod:`bot.tally`)."""
    instead: bool | None = None
    """Calls have failed, and one opening in writing takes their place."""
    continues_id: str | None = Field(default=None, max_length=ID)
    """The conversation that goes on in this callback, from the question at which it stands. (No foreign key:
    a conversation knows its attempt, an attempt its callback, and a circle of keys cannot be purged.)"""
    channel: str = Field(max_length=16)
    language: str = Field(max_length=16)
    timezone: str = Field(max_length=64)
    country: str = Field(max_length=2)
    region: str | None = None
    preference: str
    first_day: date
    last_day: date
    state: str = Field(max_length=16)
    due_at: datetime | None = _at(nullable=True)
    window_end: datetime | None = _at(nullable=True)
    remind_at: datetime | None = _at(nullable=True)
    """When a short text goes out before the planned call; NULL if none does, or it went out."""
    give_up_reason: str | None = Field(default=None, max_length=32)
    attempts: int = 0
    created_at: datetime = _at()
    updated_at: datetime = _at()


class Attempt(Row, table=True):
    """One dial of one callback: at most one call to the provider. States: :mod:`bot.callbacks.states`."""

    __table_args__ = (
        UniqueConstraint("callback_id", "n"),
        Index(
            "attempt_open",
            "state",
            "lease_until",
            sqlite_where=text("state <> 'settled'"),
            postgresql_where=text("state <> 'settled'"),
        ),
        Index(
            "attempt_untallied",
            "id",
            sqlite_where=text("state = 'settled' AND tallied IS NULL"),
            postgresql_where=text("state = 'settled' AND tallied IS NULL"),
        ),
        Index(
            "attempt_hanging_up",
            "settled_at",
            sqlite_where=text("state = 'settled' AND ended_at IS NULL AND call_id IS NOT NULL"),
            postgresql_where=text("state = 'settled' AND ended_at IS NULL AND call_id IS NOT NULL"),
        ),
    )
    id: str = _id()
    callback_id: str = _ref("callback.id")
    n: int
    channel: str = Field(max_length=16)
    state: str = Field(max_length=16)
    disposition: str | None = Field(default=None, max_length=24)
    call_id: str | None = Field(default=None, max_length=64, unique=True)
    """The provider's id of the call."""
    provider_rank: int = -1
    answered_by: str | None = Field(default=None, max_length=32)
    code: str | None = Field(default=None, max_length=16)
    """SIP code or the provider's error code."""
    due_at: datetime | None = _at(nullable=True)
    """When the callback was due; None of a talk that the worker began."""
    window_end: datetime = _at()
    lease_until: datetime = _at()
    """Wall time until which the present state may last before the clock looks after it."""
    tallied: bool | None = None
    """Whether it was counted (:mod:`bot.tally`)."""
    claimed_at: datetime = _at()
    counted_on: date | None = None
    """The day whose cap it has used a place of; None if its client has none."""
    asked_at: datetime | None = _at(nullable=True)
    """Wall time at which the provider was asked to dial."""
    placed_at: datetime | None = _at(nullable=True)
    answered_at: datetime | None = _at(nullable=True)
    ended_at: datetime | None = _at(nullable=True)
    settled_at: datetime | None = _at(nullable=True)
    seconds: int | None = None


class Reminder(Row, table=True):
    """One short text before one planned call: never two for the same instant (:mod:`bot.callbacks.reminders`)."""

    __table_args__ = (UniqueConstraint("callback_id", "call_at"),)
    id: str = _id()
    callback_id: str = _ref("callback.id")
    message_id: str = _ref("message.id", index=True)
    call_at: datetime = _at()
    """The instant of the call that it tells."""
    created_at: datetime = _at()


class CallbackMove(Row, table=True):
    """That somebody of ours moved a callback to a time that the worker named, and which it had before."""

    __tablename__ = "callback_move"
    id: str = _id()
    callback_id: str = _ref("callback.id", index=True)
    staff_id: str | None = _ref("staff.id", nullable=True)
    """None is the command line."""
    preference: str
    """What the callback was planned by afterwards."""
    former: str
    """And before, with the days and the instants of then."""
    former_first_day: date
    former_last_day: date
    former_due_at: datetime | None = _at(nullable=True)
    former_window_end: datetime | None = _at(nullable=True)
    undone_at: datetime | None = _at(nullable=True)
    created_at: datetime = _at()


class Pace(Row, table=True):
    """How fast things may start over all processes: calls, texts of a channel. ``next_at`` is wall time."""

    name: str = Field(primary_key=True, max_length=32)
    next_at: datetime = _at()


# --- conversations --------------------------------------------------------------------------


class FlowRevision(Row, table=True):
    """The source of a flow that some conversation began with."""

    __tablename__ = "flow_revision"
    name: str = Field(primary_key=True, max_length=64)
    revision: str = Field(primary_key=True, max_length=40)
    source: str
    created_at: datetime = _at()


class Conversation(Row, table=True):
    """One talk through one flow, in writing or by telephone."""

    __table_args__ = (
        Index(
            "conversation_open_address",
            "address_id",
            "channel",
            unique=True,
            sqlite_where=text("state = 'open' AND call_id IS NULL AND channel <> 'email'"),
            postgresql_where=text("state = 'open' AND call_id IS NULL AND channel <> 'email'"),
        ),
        Index(
            "conversation_timer",
            "timer_at",
            sqlite_where=text("timer_at IS NOT NULL"),
            postgresql_where=text("timer_at IS NOT NULL"),
        ),
    )
    id: str = _id()
    address_id: str | None = _ref("address.id", nullable=True, index=True)
    """None when the caller's number is withheld."""
    contact_id: str | None = _ref("contact.id", nullable=True)
    """Known only after the pass-word."""
    attempt_id: str | None = _ref("attempt.id", nullable=True, index=True)
    audit_id: str | None = _ref("audit.id", nullable=True)
    """Known from the callback, or from the code on the worker's card."""
    channel: str = Field(max_length=16)
    call_id: str | None = Field(default=None, max_length=64, unique=True)
    line: str = Field(max_length=64)
    """Our own number that is talked with."""
    flow: str = Field(max_length=64)
    revision: str = Field(max_length=40)
    language: str = Field(max_length=16)
    state: str = Field(max_length=16)
    """``open``, ``human`` (a person answers, see :mod:`bot.handoff`) or ``ended``."""
    outcome: str | None = Field(default=None, max_length=16)
    version: int = 0
    """Guards against two writers; counts the inputs that were taken."""
    moved_to: str | None = Field(default=None, max_length=ID)
    """Of a talk that only opened the door: the conversation that went on in its place (:mod:`bot.moving`)."""
    turn: int = 0
    """Telephone: the number of the last turn that was answered."""
    answers: int = 0
    invited: bool = False
    """The worker asked on the telephone for a text message to write in."""
    session_sealed: bytes = _sealed()
    timer_at: datetime | None = _at(nullable=True)
    timer_kind: str | None = Field(default=None, max_length=16)
    timer_lease: datetime | None = _at(nullable=True)
    """Wall time until which a worker has the timer that fired."""
    sprint: str = Field(max_length=ID)
    heard_at: datetime | None = _at(nullable=True)
    """When the worker last wrote or spoke in it."""
    started_at: datetime = _at()
    updated_at: datetime = _at()


class Message(Row, table=True):
    """One thing said, either way. On the telephone an inbound row is one turn and holds what was answered to it."""

    __table_args__ = (
        UniqueConstraint("channel", "event_id"),
        Index("message_thread", "conversation_id", "id"),
        Index(
            "message_parked",
            "retry_at",
            sqlite_where=text("retry_at IS NOT NULL"),
            postgresql_where=text("retry_at IS NOT NULL"),
        ),
        Index(
            "message_forget",
            "forget_at",
            sqlite_where=text("forget_at IS NOT NULL"),
            postgresql_where=text("forget_at IS NOT NULL"),
        ),
    )
    id: str = _id()
    conversation_id: str | None = _ref("conversation.id", nullable=True)
    address_id: str | None = _ref("address.id", nullable=True)
    channel: str = Field(max_length=16)
    direction: str = Field(max_length=3)
    event_id: str | None = Field(default=None, max_length=128)
    """The provider's id of an inbound event; makes duplicates visible."""
    body_sealed: bytes = _sealed()
    options_sealed: bytes | None = _sealed(nullable=True)
    """Outgoing, where the channel has buttons: the options as JSON, with the sprint that they belong to."""
    reply_sealed: bytes | None = _sealed(nullable=True)
    """Telephone: the document that answered this turn, given again when the turn is repeated."""
    origin_sealed: bytes | None = _sealed(nullable=True)
    """E-mail: the Message-ID that the worker's program gave it; our answer refers to it."""
    input_sealed: bytes | None = _sealed(nullable=True)
    """Only while parked: the whole inbound, to be tried again."""
    retry_at: datetime | None = _at(nullable=True)
    provider_id: str | None = Field(default=None, max_length=64, index=True)
    status: str | None = Field(default=None, max_length=16)
    status_rank: int = -1
    error_code: str | None = Field(default=None, max_length=16)
    forget_at: datetime | None = _at(nullable=True)
    """Wall time at which the provider's copy is to be deleted; None when there is none, or it is to stay."""
    created_at: datetime = _at()


class Media(Row, table=True):
    """A file that lies with the provider: to be fetched, kept as an attachment, and deleted there.

    States: :mod:`bot.media`.
    """

    __table_args__ = (
        UniqueConstraint("message_id", "n"),
        Index(
            "media_due",
            "due_at",
            sqlite_where=text("state IN ('due', 'fetched')"),
            postgresql_where=text("state IN ('due', 'fetched')"),
        ),
    )
    id: str = _id()
    message_id: str = _ref("message.id")
    n: int
    channel: str = Field(max_length=16)
    ref_sealed: bytes | None = _sealed(nullable=True)
    """The provider's id or address of the file; NULL once it is kept."""
    content_type: str = Field(max_length=128)
    state: str = Field(max_length=16)
    due_at: datetime = _at()
    """Wall time of the next try."""
    tries: int = 0
    created_at: datetime = _at()


class Attachment(Row, table=True):
    """What came with a message: files, and the parts of a mail that the flow did not read."""

    __table_args__ = (UniqueConstraint("message_id", "n"),)
    id: str = _id()
    message_id: str = _ref("message.id")
    n: int
    is_file: bool = True
    content_type: str = Field(max_length=128)
    name_sealed: bytes = _sealed()
    content_sealed: bytes = _sealed()
    size: int
    created_at: datetime = _at()


class Mailbox(Row, table=True):
    """How far a mailbox was read: the last UID that is stored here, under its UIDVALIDITY (RFC 9051, 2.3.1.1)."""

    index: str = Field(primary_key=True, max_length=40, repr=False)
    uid_validity: int = Field(sa_type=BigInteger)
    last_uid: int = Field(sa_type=BigInteger)
    updated_at: datetime = _at()


class Outbox(Row, table=True):
    """Something to be sent. Its states are drawn in :mod:`bot.outbox`."""

    __table_args__ = (
        Index(
            "outbox_channel_due",
            "channel",
            "due_at",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "outbox_notice_due",
            "due_at",
            sqlite_where=text("state = 'queued' AND kind = 'notice'"),
            postgresql_where=text("state = 'queued' AND kind = 'notice'"),
        ),
        Index(
            "outbox_open_address",
            "address_id",
            "id",
            sqlite_where=text("state IN ('queued', 'leased', 'sending', 'unknown')"),
            postgresql_where=text("state IN ('queued', 'leased', 'sending', 'unknown')"),
        ),
        Index(
            "outbox_waiting",
            "address_id",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "outbox_leased",
            "lease_until",
            sqlite_where=text("state IN ('leased', 'sending', 'unknown')"),
            postgresql_where=text("state IN ('leased', 'sending', 'unknown')"),
        ),
    )
    id: str = _id()
    kind: str = Field(max_length=16)
    """``message`` to a worker or ``notice`` to a member of staff."""
    message_id: str | None = _ref("message.id", nullable=True, index=True)
    address_id: str | None = _ref("address.id", nullable=True)
    staff_id: str | None = _ref("staff.id", nullable=True)
    template: str | None = Field(default=None, max_length=32)
    channel: str = Field(max_length=16)
    state: str = Field(max_length=16)
    due_at: datetime = _at()
    lease_until: datetime | None = _at(nullable=True)
    tries: int = 0
    created_at: datetime = _at()


class Leftover(Row, table=True):
    """A message or a call that is done with us and still lies with the provider, to be deleted there.

    A row goes when its thing is gone; nothing refers to it.
    """

    __table_args__ = (Index("leftover_due", "due_at"),)
    id: str = _id()
    kind: str = Field(max_length=16)
    """``message`` or ``call``."""
    channel: str = Field(max_length=16)
    provider_id: str = Field(max_length=128, unique=True)
    due_at: datetime = _at()
    """Wall time of the next try."""
    tries: int = 0


class LinkCode(Row, table=True):
    """A code by which a worker joins another address to a talk of hers: shown once, good once, for minutes."""

    __tablename__ = "link_code"
    digest: str = Field(primary_key=True, max_length=40, repr=False)
    """Keyed digest of the code."""
    conversation_id: str = _ref("conversation.id", index=True)
    expires_at: datetime = _at()
    used_at: datetime | None = _at(nullable=True)


class Answer(Row, table=True):
    """An answer to one question of a flow. ``code`` counts; ``text_sealed`` is what was said."""

    __table_args__ = (UniqueConstraint("conversation_id", "n"),)
    id: str = _id()
    conversation_id: str = _ref("conversation.id")
    n: int
    question: str = Field(max_length=64)
    kind: str = Field(max_length=16)
    code: str | None = Field(default=None, max_length=64)
    text_sealed: bytes | None = _sealed(nullable=True)
    created_at: datetime = _at()


class Consent(Row, table=True):
    """What a worker allowed or refused, each scope on its own; the newest row of a scope holds."""

    id: str = _id()
    conversation_id: str = _ref("conversation.id", index=True)
    scope: str = Field(max_length=24)
    given: bool
    created_at: datetime = _at()


class RecordingRow(Row, table=True):
    """Speech, brought home and sealed, then deleted at the provider. States: :mod:`bot.media`."""

    __tablename__ = "recording"
    __table_args__ = (
        Index(
            "recording_due",
            "due_at",
            sqlite_where=text("state IN ('due', 'fetched')"),
            postgresql_where=text("state IN ('due', 'fetched')"),
        ),
    )
    id: str = _id()
    conversation_id: str = _ref("conversation.id", index=True)
    answer_id: str | None = _ref("answer.id", nullable=True, index=True)
    provider_id: str = Field(max_length=64, unique=True)
    seconds: int | None = None
    state: str = Field(max_length=16)
    due_at: datetime = _at()
    """Wall time of the next try."""
    tries: int = 0
    audio_sealed: bytes | None = _sealed(nullable=True)
    content_type: str | None = Field(default=None, max_length=64)
    created_at: datetime = _at()


# --- agents ---------------------------------------------------------------------------------


class Agent(Row, table=True):
    """A member of staff who talks with workers on the telephone. States: :mod:`bot.agents`."""

    staff_id: str = Field(primary_key=True, foreign_key="staff.id", max_length=ID)
    phone_sealed: bytes = _sealed()
    """The telephone on which she is rung; workers never see or hear it."""
    languages: str
    """BCP-47 codes, separated by spaces."""
    state: str = Field(max_length=16)
    since: datetime = _at()
    """When the present state began."""
    missed: int = 0
    """Rings in a row that she did not take."""


class Transfer(Row, table=True):
    """A caller who waits for an agent or talks with one, or a worker whom an agent calls. States: :mod:`bot.transfers`."""

    __table_args__ = (
        Index(
            "transfer_open",
            "state",
            "language",
            sqlite_where=text("state <> 'ended'"),
            postgresql_where=text("state <> 'ended'"),
        ),
        Index(
            "transfer_open_callback",
            "callback_id",
            unique=True,
            sqlite_where=text("state <> 'ended'"),
            postgresql_where=text("state <> 'ended'"),
        ),
        Index(
            "transfer_attempt",
            "attempt_id",
            unique=True,
            sqlite_where=text("attempt_id IS NOT NULL"),
            postgresql_where=text("attempt_id IS NOT NULL"),
        ),
        Index(
            "transfer_untallied",
            "id",
            sqlite_where=text("state = 'ended' AND tallied IS NULL"),
            postgresql_where=text("state = 'ended' AND tallied IS NULL"),
        ),
    )
    id: str = _id()
    conversation_id: str | None = _ref("conversation.id", nullable=True, index=True)
    """None of a callback whose worker has not picked up."""
    callback_id: str | None = Field(default=None, max_length=ID)
    """The callback that an agent leads, if the agent is rung before the worker (:mod:`bot.leads`). (No foreign
    key: SQLite cannot add one to a table that there is.)"""
    attempt_id: str | None = Field(default=None, max_length=ID)
    """The dial to its worker, once the agent is on the line."""
    language: str = Field(max_length=16)
    state: str = Field(max_length=16)
    outcome: str | None = Field(default=None, max_length=16)
    agent_id: str | None = _ref("staff.id", nullable=True, index=True)
    """Who is rung for it, talks in it, or talked last in it."""
    ring: int = 0
    """How many times somebody was rung; names the present ring in the provider's addresses."""
    agent_call_id: str | None = Field(default=None, max_length=64, unique=True)
    lease_until: datetime = _at()
    """Wall time until which the present state may last before the clock looks after it."""
    waiting_since: datetime = _at()
    answered_at: datetime | None = _at(nullable=True)
    ended_at: datetime | None = _at(nullable=True)
    wrapped_up_at: datetime | None = _at(nullable=True)
    """When the agent had written down what there was to write."""
    tallied: bool | None = None
    """Whether it was counted (:mod:`bot.tally`)."""


# --- cases ----------------------------------------------------------------------------------


_OPEN_CASE = "state NOT IN ('closed_unreached', 'closed_validated', 'inconclusive', 'referred', 'unsubstantiated', 'withdrawn')"


class Case(Row, table=True):
    """What was reported in one conversation, worked on by supervisors. Lifecycle: :mod:`bot.cases.lifecycle`."""

    __tablename__ = "cases"
    __table_args__ = (
        Index("cases_queue", "state", "review_due_at"),
        Index("cases_recent", "updated_at", "id"),
        Index("cases_recent_of_severity", "severity", "updated_at", "id"),
        Index(
            "cases_open",
            "severity",
            "assignee_id",
            sqlite_where=text(_OPEN_CASE),
            postgresql_where=text(_OPEN_CASE),
        ),
    )
    id: str = _id()
    reference: str = Field(unique=True, max_length=12)
    conversation_id: str = Field(foreign_key="conversation.id", max_length=ID, unique=True)
    contact_id: str | None = _ref("contact.id", nullable=True)
    audit_id: str | None = _ref("audit.id", nullable=True, index=True)
    client_id: str | None = _ref("client.id", nullable=True)
    factory_id: str | None = _ref("factory.id", nullable=True, index=True)
    category: str = Field(max_length=32)
    severity: str = Field(max_length=2)
    state: str = Field(max_length=24)
    language: str = Field(max_length=16)
    assignee_id: str | None = _ref("staff.id", nullable=True)
    received_at: datetime = _at()
    review_due_at: datetime = _at()
    safety_due_at: datetime = _at()
    plan_due_at: datetime | None = _at(nullable=True)
    close_due_at: datetime | None = _at(nullable=True)
    reviewed_at: datetime | None = _at(nullable=True)
    updated_at: datetime = _at()
    version: int = 0


class Grievance(Row, table=True):
    """One thing reported in a conversation; a case gathers them."""

    __table_args__ = (
        UniqueConstraint("conversation_id", "question", "category"),
        Index(
            "grievance_untallied",
            "id",
            sqlite_where=text("tallied IS NULL"),
            postgresql_where=text("tallied IS NULL"),
        ),
    )
    id: str = _id()
    case_id: str = _ref("cases.id", index=True)
    conversation_id: str = _ref("conversation.id")
    question: str = Field(max_length=64)
    category: str = Field(max_length=32)
    severity: str = Field(max_length=2)
    indicators: str = ""
    """ILO indicator codes, separated by spaces."""
    tallied: bool | None = None
    """Whether it was counted (:mod:`bot.tally`)."""
    created_at: datetime = _at()


class CaseEvent(Row, table=True):
    """What happened to a case: append-only."""

    __tablename__ = "case_event"
    __table_args__ = (
        Index("case_event_order", "case_id", "id"),
        Index(
            "case_event_untallied",
            "id",
            sqlite_where=text("tallied IS NULL"),
            postgresql_where=text("tallied IS NULL"),
        ),
    )
    id: str = _id()
    case_id: str = _ref("cases.id")
    staff_id: str | None = _ref("staff.id", nullable=True)
    kind: str = Field(max_length=24)
    detail: str | None = Field(default=None, max_length=64)
    """A code, never words."""
    note_sealed: bytes | None = _sealed(nullable=True)
    tallied: bool | None = None
    """Whether it was counted (:mod:`bot.tally`)."""
    created_at: datetime = _at()


# --- staff ----------------------------------------------------------------------------------


class Staff(Row, table=True):
    """A member of staff. ``totp_step`` is the last time step used: a one-time password works once."""

    id: str = _id()
    name: str = Field(unique=True, max_length=64)
    password_hash: str = Field(repr=False)
    totp_sealed: bytes = _sealed()
    totp_step: int = 0
    email_sealed: bytes | None = _sealed(nullable=True)
    roles: str
    """Role names, separated by spaces."""
    active: bool = True
    created_at: datetime = _at()


class LoginThrottle(Row, table=True):
    """Failed sign-ins by keyed digest of the name that was typed, of its source, or of both; and wrong codes of
    workers by that of the address they came from. Times are wall time."""

    __tablename__ = "login_throttle"
    index: str = Field(primary_key=True, max_length=40, repr=False)
    failures: int = 0
    locked_until: datetime | None = _at(nullable=True)
    updated_at: datetime = _at()


class StaffSession(Row, table=True):
    """A console session, kept here and not in the cookie. Times are wall time."""

    __tablename__ = "staff_session"
    id: str = Field(primary_key=True, max_length=64)
    """SHA-256 of the cookie's token: a copy of the table opens no session."""
    staff_id: str | None = _ref("staff.id", nullable=True, index=True)
    data: str = "{}"
    created_at: datetime = _at()
    seen_at: datetime = _at()


class AccessLog(Row, table=True):
    """Who read what. Append-only; the clock chains rows by hash in batches (:mod:`bot.privacy.access`)."""

    __tablename__ = "access_log"
    __table_args__ = (
        Index(
            "access_log_unsealed",
            "id",
            sqlite_where=text("seq IS NULL"),
            postgresql_where=text("seq IS NULL"),
        ),
    )
    id: str = _id()
    at: datetime = _at()
    staff_id: str | None = _ref("staff.id", nullable=True)
    action: str = Field(max_length=32)
    object_kind: str = Field(max_length=32)
    object_id: str = Field(max_length=ID)
    seq: int | None = Field(default=None, unique=True)
    hash: str | None = Field(default=None, max_length=64)


class Incident(Row, table=True):
    """Something an operator must look at: a broken flow file, a parked message, a refused configuration."""

    __table_args__ = (
        UniqueConstraint("kind", "subject"),
        Index(
            "incident_open",
            "last_at",
            sqlite_where=text("resolved_at IS NULL"),
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("incident_resolved", "resolved_at"),
    )
    id: str = _id()
    kind: str = Field(max_length=32)
    subject: str = Field(max_length=128)
    """An opaque id, a file name or a provider's code."""
    count: int = 1
    first_at: datetime = _at()
    last_at: datetime = _at()
    resolved_at: datetime | None = _at(nullable=True)


class Tally(Row, table=True):
    """How often something happened on a day (UTC), for one client; counted once when it happens (:mod:`bot.tally`)."""

    __table_args__ = (Index("tally_what", "what", "day"),)
    day: date = Field(primary_key=True)
    """1970-01-01 holds the sum over all days."""
    client_id: str = Field(primary_key=True, max_length=ID)
    """``-`` where no client is known: who asked for a call on the hotline."""
    what: str = Field(primary_key=True, max_length=16)
    code: str = Field(primary_key=True, max_length=48)
    number: int = Field(default=0, sa_type=BigInteger)


class Reading(Row, table=True):
    """A number of this moment, read once a minute and kept for a day (:mod:`bot.watch`)."""

    name: str = Field(primary_key=True, max_length=48)
    at: datetime = Field(primary_key=True, sa_type=UTCDateTime)
    value: float


class Trouble(Row, table=True):
    """A provider did not take something, or said later that it failed; kept for a day (:mod:`bot.troubles`)."""

    __table_args__ = (
        Index("trouble_at", "at"),
        Index(
            "trouble_untallied",
            "id",
            sqlite_where=text("tallied IS NULL"),
            postgresql_where=text("tallied IS NULL"),
        ),
    )
    id: str = _id()
    at: datetime = _at()
    channel: str = Field(max_length=16)
    country: str = Field(max_length=2)
    """Which was called or written to, and with it which number of ours it was; ``*`` where it is not known."""
    code: str = Field(max_length=32)
    ours: bool
    """Whether it is about us or the provider, and not about the worker's own telephone."""
    tallied: bool | None = None
    """Whether it was counted (:mod:`bot.tally`)."""


class Heartbeat(Row, table=True):
    """When a part of the service was last alive (wall time), and the demo's clock offset."""

    name: str = Field(primary_key=True, max_length=32)
    at: datetime = _at()
    value: float = 0.0


metadata = SQLModel.metadata


def table(row: type[Row]) -> Table:
    """The Core table of a row class, for statements on the hot paths."""
    found: Table = row.__table__  # type: ignore[attr-defined]  # SQLModel sets it at run time
    return found
