"""The common format: what crosses the doors between providers and the heart.

A channel turns a provider's request into an :class:`Inbound`; the flow engine answers an
:class:`Input` with a :class:`Prompt`; a channel renders the prompt by its :class:`Capabilities` and
sends an :class:`Outbound`, for which the provider gives a :class:`Receipt`. Nothing here knows a
provider, and nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn


class Channel(StrEnum):
    """The ways in which a worker can talk with us."""

    SMS = "sms"
    VOICE = "voice"
    WHATSAPP = "whatsapp"
    TELEGRAM = "telegram"
    EMAIL = "email"


class AddressKind(StrEnum):
    """What an address is; SMS and voice share the phone number."""

    PHONE = "phone"
    WHATSAPP = "whatsapp"
    TELEGRAM = "telegram"
    EMAIL = "email"


KIND_OF_CHANNEL = {
    Channel.SMS: AddressKind.PHONE,
    Channel.VOICE: AddressKind.PHONE,
    Channel.WHATSAPP: AddressKind.WHATSAPP,
    Channel.TELEGRAM: AddressKind.TELEGRAM,
    Channel.EMAIL: AddressKind.EMAIL,
}


class Reveal(StrEnum):
    """Why an address is opened. There is no other reason."""

    DIAL = "dial"
    SEND = "send"
    RECONCILE = "reconcile"
    INDEX = "index"
    SEAL = "seal"


class Address:
    """A worker's number or other address. It prints as ``<address>`` and cannot be pickled.

    The clear text comes out only through :meth:`reveal`.
    """

    __slots__ = ("_value", "kind")

    def __init__(self, kind: AddressKind, value: str) -> None:
        self.kind = kind
        self._value = value

    def reveal(self, reason: Reveal) -> str:
        """The clear text, for the one purpose named by ``reason``."""
        if not isinstance(reason, Reveal):
            raise TypeError("an address is opened for a Reveal reason only")
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self.kind, self._value) == (other.kind, other._value)

    def __hash__(self) -> int:
        return hash((self.kind, self._value))

    def __repr__(self) -> str:
        return "<address>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an address never leaves the process in clear")


# --- what a worker did -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """Words that were written."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of a telephone, ``0-9*#``, without the key that finished the entry."""

    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Button:
    """A button or list entry, by the code of the option that it stands for.

    ``sprint`` names the question that the button belongs to, where the channel can carry it: a late tap on
    an old button is not taken as the answer to a new question. Where a button holds little, it is the
    beginning of that name.
    """

    code: str = field(repr=False)
    sprint: str | None = None


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A file at the provider. ``ref`` is the provider's id or address, opened by the channel only."""

    ref: str = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class Media:
    """Pictures, voice notes or files, perhaps with a caption."""

    items: tuple[MediaRef, ...]
    caption: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Brought:
    """A file, or recorded speech, as the provider handed it over, with the type that it gave."""

    content: bytes = field(repr=False)
    content_type: str
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Recording:
    """Speech recorded on the telephone. ``ref`` is the provider's recording id."""

    ref: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Silence:
    """On the telephone: no key in the time given."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The call ended."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """A timer of the conversation fired. A timer of an earlier sprint is stale and does nothing."""

    sprint: str
    kind: str  # "remind" or "expire"


class Transferred(StrEnum):
    """On the telephone: what became of the wait for a person."""

    TALKED = "talked"
    """A person talked with her, and that is over."""
    NOBODY = "nobody"
    """Nobody took the call in the time that there was."""


Input = Text | Keys | Button | Media | Recording | Silence | HangUp | Timeout | Transferred


class Signal(StrEnum):
    """What a worker did with the provider's own buttons, where that is more than words."""

    OPENED = "opened"
    """Pressed the button that opens a talk (Telegram's START): begins one, and takes back a stop."""
    BLOCKED = "blocked"
    """Told the provider to let nothing of ours through."""
    SHARED = "shared"
    """Handed over a number of her own: it is kept, and the question of the moment is asked again."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that came with a message, or the part of it that the flow did not read: kept sealed beside it."""

    content_type: str
    content: bytes = field(repr=False)
    name: str = field(default="", repr=False)
    is_file: bool = True
    """Whether the worker attached it; False for the whole text of a mail of which only the new words count."""


class Attention(StrEnum):
    """What a message asks of us."""

    ANSWER = "answer"
    """Somebody wrote to us: the conversation goes on."""
    KEEP = "keep"
    """It may be from a person, but must not be answered by a machine: a supervisor reads it."""
    FILE = "file"
    """A machine wrote: it is kept, and nothing follows from it."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event from a worker, verified and parsed, not yet stored.

    ``event_id`` is the provider's id and makes duplicates visible (for a telephone turn, call id and
    turn number). ``sender`` is None when the caller's number is withheld. ``line`` is our own number
    or account that was reached.
    """

    channel: Channel
    event_id: str
    sender: Address | None
    line: str
    input: Input
    received_at: datetime
    country: str | None = None
    """ISO 3166 code that the provider gave, only a hint."""
    language_hint: str | None = None
    """BCP-47 code that the provider gave, only a hint."""
    also: Address | None = None
    """Another name that the provider itself gives to the sender's account, under which it may write later."""
    card: str | None = None
    """Code of the worker's card, where the way in carried it (a link on the card)."""
    signal: Signal | None = None
    shared: Address | None = None
    """With ``SHARED``: the number, which the provider says is the sender's own."""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Where threads are told by tokens: what may be a token of ours, the likeliest first, not yet verified."""
    origin: str | None = field(default=None, repr=False)
    """The sender's own name of the message, by which an answer refers to it."""
    subject: str = field(default="", repr=False)
    """A heading: people read it, the flow does not."""
    parts: tuple[Part, ...] = ()
    attention: Attention = Attention.ANSWER
    late: bool = False
    """Found at the provider long after it was written, at ``received_at``: it answers no later question."""
    forget_at: datetime | None = None
    """Wall time at which the provider's copy is to be deleted; None if there is none, or it is to stay."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A message of ours came back, or another message tells how far it came.

    ``tokens`` is what may be the token of our message, not yet verified. For ``action`` see
    :class:`StatusUpdate`.
    """

    tokens: tuple[str, ...] = field(repr=False)
    status: DeliveryStatus
    code: str | None = None
    action: str = ""


# --- what we say ----------------------------------------------------------------------------


class Expects(StrEnum):
    """The kind of answer that a prompt waits for."""

    NOTHING = "nothing"
    YES_NO = "yes_no"
    CHOICE = "choice"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    OPEN = "open"
    MEDIA = "media"
    PASS_WORD = "pass_word"  # noqa: S105 - the name of a kind of answer, not a secret
    PERSON = "person"
    """Telephone: a person is looked for meanwhile; a key leaves the line."""


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers that a prompt offers. ``code`` is canonical, ``label`` translated, ``key`` on the keypad."""

    code: str
    label: str
    key: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to say, and what is expected back. The channel decides how it looks.

    Each entry of ``texts`` is one whole translated catalog text, because a language without a
    synthetic voice has one recording per text.
    """

    texts: tuple[str, ...]
    language: str
    expects: Expects = Expects.NOTHING
    options: tuple[Option, ...] = ()
    timeout: int = 8
    """Telephone: seconds of silence after which the prompt is over."""
    max_digits: int | None = None
    """Telephone: number of keys after which the entry is complete; None means that # ends it."""
    languages: tuple[str, ...] = ()
    """The language of each of ``texts`` where they differ (a menu of languages); empty if all are in ``language``."""

    def spoken(self) -> tuple[tuple[str, str], ...]:
        """Each text with the language in which it is to be said."""
        return tuple(zip(self.texts, self.languages or (self.language,) * len(self.texts), strict=True))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can show and take."""

    channel: Channel
    text_limit: int
    """Most characters of one outgoing text; 0 for speech."""
    buttons: int = 0
    list_items: int = 0
    keypad: bool = False
    synchronous: bool = False
    """The answer goes out in the response to the request (telephone)."""
    media_in: bool = False
    window: bool = False
    """Free text is taken only for some hours after the worker's last message; see :class:`Outbound`."""
    erases: bool = False
    """What we sent can be taken off the worker's screen again."""
    finds: bool = True
    """The provider can be asked which texts it took, after an answer that got lost."""
    threads: bool = False
    """A conversation is found by the token that we gave it and never by the sender's address (e-mail: anybody
    can write any sender)."""
    at_once: int = 8
    """How many messages one worker process hands to the provider at the same time."""
    rest: timedelta = timedelta()
    """The least time between two messages to one address."""
    answers_per_day: int = 0
    """Most messages to one address within 24 hours, so that two machines do not answer one another for ever;
    0 for no limit."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message as a channel will show it: a text, and options that it shows as buttons or a list."""

    text: str = field(repr=False)
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Outbound:
    """One rendered message to be sent. ``message_id`` is ours and opaque.

    ``sprint`` names the question that ``options`` belong to; buttons carry it (see :class:`Button`).
    ``silent_for`` is how long ago the worker last wrote in this conversation (None: not yet), for channels
    that allow free text only within some hours of it. ``notice`` asks for the channel's approved neutral notice
    in place of the text: the texts themselves wait until the worker writes.
    """

    message_id: str
    channel: Channel
    to: Address
    text: str = field(repr=False)
    language: str = "en"
    options: tuple[Option, ...] = ()
    sprint: str | None = None
    silent_for: timedelta | None = None
    notice: bool = False
    line: str | None = None
    """Our own number or account that the worker talks with, if she wrote first."""
    token: str = field(default="", repr=False)
    """The name of this message for the world: unguessable, and known again when it comes back."""
    in_reply_to: str | None = field(default=None, repr=False)
    """The worker's own name of the message that this one answers (see :attr:`Inbound.origin`)."""


class DeliveryStatus(StrEnum):
    """How far an outgoing message came."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    CANCELED = "canceled"
    READ = "read"

    @property
    def rank(self) -> int:
        """Statuses only ever go up in rank, in whatever order they arrive."""
        return _RANKS[self]


_RANKS = {
    DeliveryStatus.QUEUED: 0,
    DeliveryStatus.SENDING: 1,
    DeliveryStatus.SENT: 2,
    DeliveryStatus.CANCELED: 3,
    DeliveryStatus.FAILED: 3,
    DeliveryStatus.UNDELIVERED: 3,
    DeliveryStatus.DELIVERED: 3,
    DeliveryStatus.READ: 4,
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider took it. ``provider_id`` is the provider's id of the message or call."""

    provider_id: str
    status: DeliveryStatus = DeliveryStatus.QUEUED
    forget_at: datetime | None = None
    """Wall time at which the provider's copy is to be deleted; None if there is none, or it is to stay."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The provider tells how far a message came. ``code`` is its error code, if any.

    ``action`` is what a failure asks of us: ``blocked``, ``soon``, ``later``, ``tomorrow``, ``window``,
    ``bad_number``, ``operator`` or nothing.
    """

    message_id: str
    provider_id: str
    status: DeliveryStatus
    code: str | None = None
    action: str = ""
    forget_at: datetime | None = None
    """As in :class:`Receipt`."""
