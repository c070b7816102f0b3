"""The hotline's mailbox: read by IMAP, each mail taken once, and taken off the server only after it is stored.

How far the mailbox was read is kept in SQL, by UIDVALIDITY and UID, so that nobody who looks into it with
another program can make us miss a mail; a mail that comes twice all the same is told by its Message-ID.
A stored mail is deleted on the server, or with ``?keep`` at the end of IMAP_URL marked as seen. Where the
server offers IDLE (RFC 2177), mail is taken the moment it comes, else every half minute.
"""

from __future__ import annotations

import imaplib
import re
import selectors
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from imap_tools import MailBox, MailBoxStartTls, MailBoxUnencrypted, MailMessageFlags
from imap_tools.errors import ImapToolsError
from imap_tools.mailbox import BaseMailBox
from sqlalchemy import insert, select, update
from sqlalchemy.exc import DataError, SQLAlchemyError

from bot import incidents, tick
from bot.clock import wall_time
from bot.errors import ConfigurationError, ConflictError, VoicebackError
from bot.incidents import IncidentKind
from bot.messages import Attention, Inbound, Returned
from bot.revisions import Watch
from bot.service import Service
from bot.storage.tables import Mailbox, table
from channels import mime
from channels.base import take
from channels.certificates import trusted
from channels.email import Email

log = structlog.get_logger()

_mailbox = table(Mailbox)

PART: Final = "mailbox"
"""Its name among the parts of the service that say that they are alive."""
TIMEOUT_SECONDS: Final = 30.0
POLL_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 1.0
"""How soon a stop is seen while nothing comes."""
IDLE_SECONDS: Final = 60.0
"""Then it is looked all the same, and the server hears that we are still there."""
LONGEST_PAUSE: Final = 60.0
OLD: Final = timedelta(days=3)
"""What lay in the mailbox for longer is put before a supervisor and gets no automatic answer."""
TROUBLE: Final = "email mailbox"

FAILURES: Final = (OSError, imaplib.IMAP4.error, ImapToolsError)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the mailbox is, as IMAP_URL says."""

    scheme: str
    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    folder: str
    keep: bool

    @classmethod
    def parse(cls, url: str) -> Place:
        """Read ``imaps://user:password@host:port/INBOX?keep``. Raises :class:`ConfigurationError`."""
        parts = urlsplit(url)
        ports = {"imaps": 993, "imap": 143, "imap+starttls": 143}
        try:
            port = parts.port
        except ValueError:
            raise ConfigurationError("IMAP_URL: the port is not a number") from None
        if parts.scheme not in ports or not parts.hostname or not parts.username:
            raise ConfigurationError(
                "IMAP_URL must look like imaps://user:password@host/INBOX (or imap+starttls://, or imap:// "
                "for a server on this machine)"
            )
        options = parse_qs(parts.query, keep_blank_values=True)
        return cls(
            parts.scheme,
            parts.hostname,
            port or ports[parts.scheme],
            unquote(parts.username),
            unquote(parts.password or ""),
            unquote(parts.path.strip("/")) or "INBOX",
            "keep" in options,
        )

    @property
    def name(self) -> str:
        """What tells this mailbox from others, without its password."""
        return f"{self.user}@{self.host}:{self.port}/{self.folder}"


@contextmanager
def connected(place: Place) -> Iterator[BaseMailBox]:
    """A signed-in connection with the folder opened. Raises :data:`FAILURES` if there is none."""
    box = _signed_in(place)
    try:
        yield box
    finally:
        try:
            box.logout()
        except FAILURES:
            # The connection is broken already; its socket has to be closed all the same.
            with suppress(*FAILURES):
                box.client.shutdown()


def _signed_in(place: Place) -> BaseMailBox:
    if place.scheme == "imaps":
        box: BaseMailBox = MailBox(place.host, place.port, timeout=TIMEOUT_SECONDS, ssl_context=trusted())
    elif place.scheme == "imap+starttls":
        box = MailBoxStartTls(place.host, place.port, timeout=TIMEOUT_SECONDS, ssl_context=trusted())
    else:
        box = MailBoxUnencrypted(place.host, place.port, timeout=TIMEOUT_SECONDS)
    try:
        if place.user.isascii() and place.password.isascii():
            box.login(place.user, place.password, place.folder)
        else:
            box.login_utf8(place.user, place.password, place.folder)
    except FAILURES:
        box.client.shutdown()
        raise
    return box


def can_idle(box: BaseMailBox) -> bool:
    """Whether the server tells by itself that mail has come."""
    # Asked after the sign-in: many servers tell strangers less.
    _, lines = box.client.capability()
    return any(b"IDLE" in line.upper().split() for line in lines if isinstance(line, bytes))


@dataclass(frozen=True, slots=True)
class Raw:
    """A mail as the server has it. ``content`` is cut where the mail is longer than we take."""

    uid: int
    size: int
    arrived: datetime | None
    content: bytes = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether nothing of it was cut."""
        return len(self.content) >= self.size


class Reader:
    """Takes what is in the mailbox. Nothing of a mail is in what it logs or raises."""

    def __init__(self, service: Service, place: Place) -> None:
        self._service = service
        self._place = place
        self._door = Email(service.settings)
        self._index = service.sealer.index(place.name, "mailbox")
        self._watch = Watch(service.database, service.library, service.clock)

    def keep_reading(self, stop: threading.Event) -> None:
        """Read until told to stop. A server or a database that is away is waited for, longer and longer."""
        pause = 1.0
        while not stop.is_set():
            began = time.monotonic()
            try:
                self._stay(stop)
            except (*FAILURES, SQLAlchemyError, VoicebackError) as error:
                log.error("mailbox_failed", error=type(error).__name__)
                with suppress(SQLAlchemyError):
                    self._tell(f"{TROUBLE} {type(error).__name__}")
                lasted = time.monotonic() - began
                pause = 1.0 if lasted > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
                stop.wait(pause)

    def read(self, box: BaseMailBox) -> int:
        """Take everything that was not taken yet; gives how many mails that were."""
        validity = box.folder.status(self._place.folder, ["UIDVALIDITY"])["UIDVALIDITY"]
        last = self._last_uid(validity)
        # "n:*" names the newest mail even if its UID is below n (RFC 9051, 9).
        uids = sorted(uid for uid in map(int, box.uids(f"UID {last + 1}:*")) if uid > last)
        if uids:
            self._watch.look()
        for uid in uids:
            raw = _fetch(box, uid)
            if raw is not None:
                self._take(raw)
            self._move_on(validity, uid)
            if raw is not None:
                self._tidy_away(box, raw)
        return len(uids)

    # --- one connection ------------------------------------------------------------------------

    def _stay(self, stop: threading.Event) -> None:
        with connected(self._place) as box:
            idles = can_idle(box)
            self._mended()
            while not stop.is_set():
                tick.alive(self._service, PART)
                box.client.response("EXISTS")
                self.read(box)
                if _has_more(box):
                    # It came while we read, and the server does not say so twice.
                    continue
                if idles:
                    _idle(box, stop)
                else:
                    stop.wait(POLL_SECONDS)

    def _mended(self) -> None:
        """Incidents about the connection are over."""
        now = self._service.clock.now()
        with self._service.database.write() as connection:
            for kind, subject, *_ in incidents.unresolved(connection):
                if kind == IncidentKind.PROVIDER and subject.startswith(TROUBLE):
                    incidents.resolve(connection, IncidentKind.PROVIDER, subject, now)

    # --- one mail ------------------------------------------------------------------------------

    def _take(self, raw: Raw) -> None:
        """Store a mail. One that nobody can read is kept as it came, and does not stop the others."""
        try:
            came = self._read(raw)
            take(self._service, self._door, came)
        except (SQLAlchemyError, ConflictError) as error:
            if not isinstance(error, DataError):
                raise
            self._keep_unread(raw)
        except Exception as error:  # its text may hold what no log may; its kind is enough
            log.error("mail_unreadable", error=type(error).__name__)
            self._keep_unread(raw)
        if not raw.whole:
            self._tell("email too large")

    def _read(self, raw: Raw) -> Sequence[Inbound | Returned]:
        mail = mime.read(raw.content)
        if mail is None:
            self._tell("email unreadable")
            return [self._door.unreadable(raw.content)]
        is_old = raw.arrived is not None and wall_time() - raw.arrived > OLD
        late = is_old and mail.attention is Attention.ANSWER
        return self._door.take(mail, attention=Attention.KEEP if late else None)

    def _keep_unread(self, raw: Raw) -> None:
        self._tell("email unreadable")
        take(self._service, self._door, [self._door.unreadable(raw.content)])

    def _tidy_away(self, box: BaseMailBox, raw: Raw) -> None:
        """After it is stored: off the server, or marked as seen. What is not stored whole stays there."""
        if not raw.whole:
            box.flag(str(raw.uid), [MailMessageFlags.SEEN, MailMessageFlags.FLAGGED], True)
        elif self._place.keep:
            box.flag(str(raw.uid), [MailMessageFlags.SEEN], True)
        else:
            box.delete(str(raw.uid))

    # --- what is known of the mailbox ----------------------------------------------------------

    def _last_uid(self, validity: int) -> int:
        """The last UID that is stored; 0 for a mailbox that is new to us or was made anew."""
        with self._service.database.read() as connection:
            return (
                connection.execute(
                    select(_mailbox.c.last_uid).where(
                        _mailbox.c.index == self._index, _mailbox.c.uid_validity == validity
                    )
                ).scalar_one_or_none()
                or 0
            )

    def _move_on(self, validity: int, uid: int) -> None:
        values = {"uid_validity": validity, "last_uid": uid, "updated_at": wall_time()}
        with self._service.database.write() as connection:
            moved = connection.execute(
                update(_mailbox).where(_mailbox.c.index == self._index).values(**values)
            )
            if not moved.rowcount:
                connection.execute(insert(_mailbox).values(index=self._index, **values))

    def _tell(self, subject: str) -> None:
        with self._service.database.write() as connection:
            incidents.report(connection, IncidentKind.PROVIDER, subject, self._service.clock.now())


def _idle(box: BaseMailBox, stop: threading.Event) -> None:
    """Wait until the server says that something came, or it is time to look again."""
    until = time.monotonic() + IDLE_SECONDS
    with box.idle:
        # What was said is read by the end of IDLE, which waits for whole lines; the library's own poll() takes half a
        # line for a broken connection. A server that hung up is noticed there, too.
        while not stop.is_set() and time.monotonic() < until and not _speaks(box):
            pass


def _has_more(box: BaseMailBox) -> bool:
    """Whether the server told of new mail beside its answers since this was asked last."""
    return box.client.response("EXISTS")[1][0] is not None


def _speaks(box: BaseMailBox) -> bool:
    """Whether the server has said something, or says so or hangs up within a moment."""
    if _has_spoken(box):
        return True
    with selectors.DefaultSelector() as waiting:
        waiting.register(box.client.sock, selectors.EVENT_READ)
        return bool(waiting.select(LOOK_SECONDS))


def _has_spoken(box: BaseMailBox) -> bool:
    """Whether words lie here that came together with the last ones; no selector knows of those."""
    # The attribute has another name from Python 3.14 on.
    heard: BufferedReader = getattr(box.client, "_file", None) or box.client.file  # type: ignore[assignment]  # it is one
    patience = box.client.sock.gettimeout()
    box.client.sock.settimeout(0)
    try:
        return bool(heard.peek(1))
    except OSError:
        # TLS says so where nothing has come.
        return False
    finally:
        box.client.sock.settimeout(patience)


def _fetch(box: BaseMailBox, uid: int) -> Raw | None:
    """One mail, without marking it as seen; None if it is gone since it was listed."""
    _, told = box.client.uid("FETCH", str(uid), "(RFC822.SIZE INTERNALDATE)")
    line = b" ".join(part for part in told if isinstance(part, bytes))
    size = re.search(rb"RFC822\.SIZE (\d+)", line)
    if size is None:
        return None
    _, found = box.client.uid("FETCH", str(uid), f"(BODY.PEEK[]<0.{mime.MOST_BYTES}>)")
    content = next((part[1] for part in found if isinstance(part, tuple)), None)
    if content is None:
        return None
    date = imaplib.Internaldate2tuple(line)
    arrived = datetime.fromtimestamp(time.mktime(date), UTC) if date else None
    return Raw(uid, int(size[1]), arrived, content)
