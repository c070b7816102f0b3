"""What the make-believe world remembers: calls, messages, recordings, handsets, alerts."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from simulator.scripts import Script, parse_script

Json = dict[str, Any]

LIVE_CALL = frozenset({"queued", "initiated", "ringing", "in-progress"})
FINAL_MESSAGE = frozenset({"delivered", "read", "undelivered", "failed", "received", "canceled"})
WHATSAPP = "whatsapp:"

# Country by calling code, longest first, for the From/To country parameters of a webhook.
CALLING_CODES = (
    ("+1876", "JM"), ("+1658", "JM"), ("+254", "KE"), ("+251", "ET"), ("+962", "JO"), ("+230", "MU"),
    ("+880", "BD"), ("+977", "NP"), ("+856", "LA"), ("+855", "KH"), ("+886", "TW"), ("+852", "HK"),
    ("+351", "PT"), ("+62", "ID"), ("+84", "VN"), ("+60", "MY"), ("+95", "MM"), ("+86", "CN"),
    ("+91", "IN"), ("+81", "JP"), ("+82", "KR"), ("+55", "BR"), ("+63", "PH"), ("+66", "TH"),
    ("+94", "LK"), ("+92", "PK"), ("+65", "SG"), ("+52", "MX"), ("+34", "ES"), ("+44", "GB"),
    ("+49", "DE"), ("+33", "FR"), ("+61", "AU"), ("+1", "US"),
)  # fmt: skip


def new_sid(prefix: str) -> str:
    """A fresh identifier as Twilio's: two letters and 32 hexadecimal digits."""
    return prefix + secrets.token_hex(16)


def steady_sid(prefix: str, of: str) -> str:
    """An identifier that is the same for the same ``of`` after every start."""
    return prefix + hashlib.sha256(of.encode()).hexdigest()[:32]


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime | None) -> str | None:
    """The moment in RFC 2822 form, as in Twilio's resources and callbacks."""
    return None if moment is None else format_datetime(moment)


def country_of(number: str) -> str:
    """ISO 3166 code of the number's country, or an empty text."""
    bare = number.removeprefix("whatsapp:")
    return next((country for code, country in CALLING_CODES if bare.startswith(code)), "")


def account_of(number: str) -> str:
    """The id by which WhatsApp names the owner of ``number`` to one customer: country, dot, digits."""
    digits = int(hashlib.sha256(number.encode()).hexdigest()[:16], 16) % 10**16
    return f"{country_of(number) or 'ZZ'}.{digits:016d}"


@dataclass
class Call:
    """One telephone call. Times are aware UTC; ``steps`` is all that was said, played and pressed, in order."""

    sid: str
    direction: str
    to: str
    from_: str
    status: str = "queued"
    created: datetime = field(default_factory=now)
    started: datetime | None = None
    answered: datetime | None = None
    ended: datetime | None = None
    duration: int | None = None
    queue_ms: int = 0
    answered_by: str | None = None
    sip: int | None = None
    doing: str = ""
    sequence: int = 0
    error_code: int | None = None
    parent_sid: str | None = None
    request: dict[str, list[str]] = field(default_factory=dict)
    steps: list[Json] = field(default_factory=list)
    deleted: bool = False
    """The customer deleted its record: the REST API knows it no more, the handset's log does."""

    @property
    def live(self) -> bool:
        """Whether the call has not ended."""
        return self.status in LIVE_CALL

    @property
    def handset(self) -> str:
        """The number on the other side of the line from the customer's."""
        return self.from_ if self.direction == "inbound" else self.to

    def note(self, kind: str, **details: Any) -> None:
        """Add a step to the record of the call."""
        self.steps.append({"n": len(self.steps), "kind": kind, "at": now().isoformat(), **details})

    def to_json(self) -> Json:
        """The call for the inspection API and the state file."""
        data = asdict(self)
        data["from"] = data.pop("from_")
        return data


@dataclass
class Message:
    """One text message. ``error_code`` is set when it failed."""

    sid: str
    direction: str
    to: str
    from_: str
    body: str
    status: str
    created: datetime = field(default_factory=now)
    sent: datetime | None = None
    updated: datetime = field(default_factory=now)
    segments: int = 1
    error_code: int | None = None
    status_callback: str | None = None
    content: Json = field(default_factory=dict)
    inbound: dict[str, str] = field(default_factory=dict)
    media: list[Json] = field(default_factory=list)
    """Its files: sid, name, content type and size."""
    owner: str = ""
    """The handset's number, where the address is the id of an account that hides it."""

    @property
    def handset(self) -> str:
        """The number on the other side from the customer's, without a channel's prefix."""
        return self.owner or (self.from_ if self.direction == "inbound" else self.to).removeprefix(WHATSAPP)

    @property
    def on_whatsapp(self) -> bool:
        """Whether it goes by WhatsApp."""
        return self.to.startswith(WHATSAPP)

    def grow_older(self, by: timedelta) -> None:
        """Move its times into the past."""
        self.created, self.updated = self.created - by, self.updated - by
        self.sent = self.sent - by if self.sent else None

    def to_json(self) -> Json:
        """The message for the inspection API and the state file."""
        data = asdict(self)
        data["from"] = data.pop("from_")
        return data


@dataclass
class Recording:
    """What a ``<Record>`` kept. The sound is made from ``text`` and ``seconds`` unless a microphone gave it."""

    sid: str
    call_sid: str
    seconds: int
    text: str = ""
    source: str = "RecordVerb"
    created: datetime = field(default_factory=now)
    deleted: bool = False
    audio: bytes | None = None

    def to_json(self) -> Json:
        """The recording for the inspection API; the sound itself is fetched apart."""
        data = asdict(self)
        data["audio"] = self.audio is not None
        return data


@dataclass
class Handset:
    """A make-believe phone and its owner."""

    number: str
    name: str = ""
    language: str = ""
    note: str = ""
    pass_word: str = ""
    script: Script = field(default_factory=lambda: parse_script("manual"))
    listed: bool = True
    hides_number: bool = False
    unread: dict[str, int] = field(default_factory=dict)
    """How many messages came that nobody looked at, by the tab of the phone page."""
    calls_seen: datetime = field(default_factory=now)
    """When its owner last looked at the calls."""
    call_sid: str | None = None
    calls: list[str] = field(default_factory=list)
    rung: int = 0
    """How many calls there were with it, also those that were forgotten since."""
    messages: list[str] = field(default_factory=list)

    def notice(self, tab: str) -> None:
        """A message came that nobody has looked at: in ``sms``, ``whatsapp``, ``telegram`` or ``mail``."""
        self.unread[tab] = self.unread.get(tab, 0) + 1

    def to_json(self) -> Json:
        """The handset for the inspection API and the state file."""
        return {
            "number": self.number,
            "name": self.name,
            "language": self.language,
            "country": country_of(self.number),
            "note": self.note,
            "pass_word": self.pass_word,
            "script": self.script.to_json(),
            "listed": self.listed,
            "hides_number": self.hides_number,
            "account": account_of(self.number),
            "unread": self.unread,
            "call_sid": self.call_sid,
            "calls": self.calls,
            "messages": self.messages,
        }


@dataclass(frozen=True)
class Alert:
    """What Twilio's debugger would show: an error code about a call or a message."""

    code: int
    sid: str
    reason: str
    at: datetime = field(default_factory=now)

    def to_json(self) -> Json:
        """The alert for the inspection API."""
        return asdict(self)
