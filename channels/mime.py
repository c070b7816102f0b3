"""A raw mail, read: who, what about, which words are new, what came along, and whether a machine wrote it.

Nothing in a mail can be trusted and everything can be broken, so the headers are read as bytes, the
charsets by :mod:`channels.charsets`, and what cannot be understood is kept as it came.
Sources: RFC 5322 (messages), 2045-2047 (MIME), 3676 (flowed text), 3464 (delivery reports), 3834 (automatic
answers).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import HeaderParseError, MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from typing import Final

from bot.messages import Attention, Part
from channels import html, quotes
from channels.charsets import decode

MOST_BYTES: Final = 10 * 1024 * 1024
"""A longer mail is not taken whole."""
_MOST_PARTS: Final = 60
_DEEPEST: Final = 20
_MOST_WORDS: Final = 20_000
"""Characters of new words that the flow reads; the whole is kept beside them."""
_ADDRESS: Final = re.compile(r"[^\s@<>\"(),:;\\\[\]\x00-\x1f]{1,64}@[^\s@<>\"(),:;\\\[\]\x00-\x1f]{1,190}")
_BRACKETED: Final = re.compile(r"<([^<>]*)>")
_KIND: Final = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,67}")
_MESSAGE_ID: Final = re.compile(r"<([^<>\s]{1,512})>")
_BROKEN: Final = (ValueError, LookupError, MessageError, TypeError, AttributeError)
"""What the standard library raises about mails that are broken enough."""
_BLOCKS_OF_WORDS: Final = ("text/plain", "text/html")

_DAEMONS: Final = re.compile(
    r"(?:mailer-daemon|postmaster|no-?_?reply|do-?_?not-?_?reply|donotreply|bounces?|mail-daemon|"
    r"notifications?|automailer)(?:[+=\-].*)?@",
    re.IGNORECASE,
)
_ROBOT_HEADERS: Final = (
    *(
        "x-autoreply",
        "x-autorespond",
        "x-autoresponder",
        "x-auto-reply",
        "x-autoreply-from",
        "x-mail-autoreply",
    ),
    *("x-failed-recipients", "x-ms-exchange-inbox-rules-loop", "x-fc-machinegenerated"),
)
_LIST_HEADERS: Final = ("list-id", "list-unsubscribe", "list-post", "mailing-list", "x-mailing-list")


@dataclass(frozen=True, slots=True)
class Mail:
    """What was read out of a raw mail."""

    sender: str | None = field(repr=False)
    """The address that it says it is from, in small letters; anybody can write any."""
    name: str | None = field(repr=False)
    """Its Message-ID with brackets."""
    digest: str
    """Equal for the same mail in whatever way it comes, also for one without a Message-ID."""
    subject: str = field(repr=False)
    words: str = field(repr=False)
    parts: tuple[Part, ...]
    recipients: tuple[str, ...] = field(repr=False)
    """Everything that may be an address of ours at which it arrived."""
    references: tuple[str, ...] = field(repr=False)
    """The Message-IDs that it answers, without brackets, the latest first."""
    attention: Attention
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a delivery report tells of one recipient: RFC 3464 action and status."""

    action: str
    status: str


def read(raw: bytes) -> Mail | None:
    """Read a mail; None if it is none: no header says who sent it, or nothing is in it."""
    message = BytesParser().parsebytes(raw)
    headers = Headers(message)
    sender = headers.address("from") or headers.address("sender")
    reports = tuple(_reports(message, headers))
    if sender is None and not reports and not headers.first("message-id"):
        return None
    leaves = list(_leaves(message))
    whole = _words_of(message).strip("\n")
    words = quotes.new_words(whole)[:_MOST_WORDS]
    return Mail(
        sender=sender,
        name=_name(headers),
        digest=_digest(headers, whole),
        subject=_one_line(headers.first("subject")),
        words=words,
        parts=tuple(_kept(leaves, whole, words)),
        recipients=tuple(
            headers.addresses("to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to")
        ),
        references=tuple(_references(message, headers)),
        attention=attention(headers),
        reports=reports,
    )


class Headers:
    """The headers of a mail as texts, by name in small letters; the first of each name comes first."""

    def __init__(self, message: Message) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in message.raw_items():
            self._values.setdefault(name.lower(), []).append(_header_text(str(value)))

    def first(self, name: str) -> str:
        """The first value, empty if there is none."""
        return self._values.get(name, [""])[0]

    def all(self, *names: str) -> list[str]:
        """All values of these names."""
        return [value for name in names for value in self._values.get(name, [])]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def address(self, name: str) -> str | None:
        """The first usable address of a header."""
        return next(iter(self.addresses(name)), None)

    def addresses(self, *names: str) -> list[str]:
        """All usable addresses of these headers, in small letters."""
        pieces = (piece for value in self.all(*names) for piece in _bare(value).split(","))
        found = ((_BRACKETED.findall(piece) or [piece])[-1].strip().lower() for piece in pieces)
        return [address for address in found if _ADDRESS.fullmatch(address)]


# --- headers ----------------------------------------------------------------------------------


def _header_text(value: str) -> str:
    """A header with its encoded words read (RFC 2047), also raw bytes that nobody declared."""
    if not value.isascii():
        value = decode(value.encode("utf-8", "surrogateescape"), None)
    if "=?" not in value:
        return value
    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    return "".join(
        piece if isinstance(piece, str) else decode(piece, charset or "ascii") for piece, charset in pieces
    )


def _bare(value: str) -> str:
    """A header of addresses without names in quotation marks and without comments."""
    return re.sub(r"\([^()]*\)", " ", re.sub(r'"(?:\\.|[^"\\])*"', " ", value))


def _one_line(value: str) -> str:
    return " ".join(value.split())[:500]


def _name(headers: Headers) -> str | None:
    found = _MESSAGE_ID.search(headers.first("message-id"))
    return found.group() if found and found.group().isascii() else None


def _digest(headers: Headers, whole: str) -> str:
    """Name, date and sender: some programs give all their mails the same name. Without one, the words too."""
    parts = [headers.first("message-id"), headers.first("date"), headers.address("from") or ""]
    if not parts[0]:
        parts += [headers.first("subject"), whole]
    return hashlib.sha256(
        "\0".join(" ".join(part.split()) for part in parts).encode("utf-8", "replace")
    ).hexdigest()


def _references(message: Message, headers: Headers) -> Iterator[str]:
    """The mails that this one answers, or that it reports about."""
    for value in (headers.first("in-reply-to"), *reversed(headers.all("references"))):
        yield from reversed(_MESSAGE_ID.findall(value)[-50:])
    yield from _MESSAGE_ID.findall(headers.first("x-original-message-id"))
    for part in _walk(message):
        if part.get_content_type() in ("text/rfc822-headers", "message/rfc822"):
            yield from _names_inside(part)


def _names_inside(part: Message) -> Iterator[str]:
    if part.get_content_type() == "message/rfc822":
        for inner in _children(part)[:1]:
            yield from _MESSAGE_ID.findall(Headers(inner).first("message-id"))
        return
    text = _decoded(part)
    yield from re.findall(r"(?im)^message-id:\s*<([^<>\s]{1,512})>", text)


def attention(headers: Headers) -> Attention:
    """Whether a person wrote it who may be answered (RFC 3834, section 2)."""
    submitted = headers.first("auto-submitted").partition(";")[0].strip().lower()
    if (submitted and submitted != "no") or headers.first("return-path").strip() == "<>":
        return Attention.FILE
    if any(name in headers for name in _ROBOT_HEADERS) or _DAEMONS.match(headers.address("from") or ""):
        return Attention.FILE
    kind = headers.first("content-type").lower()
    precedence = headers.first("precedence").strip().lower()
    if kind.startswith("multipart/report") or precedence == "auto_reply":
        return Attention.FILE
    if any(name in headers for name in _LIST_HEADERS):
        # What a list sends is no talk with us, unless it answers a mail of ours.
        return Attention.KEEP if headers.first("in-reply-to") else Attention.FILE
    if precedence in ("bulk", "list", "junk") or "x-auto-response-suppress" in headers:
        return Attention.KEEP
    return Attention.ANSWER


# --- parts ------------------------------------------------------------------------------------


def _walk(message: Message, depth: int = 0) -> Iterator[Message]:
    """The mail and its parts, not looking into mails inside it."""
    yield message
    if message.get_content_maintype() == "multipart" and depth < _DEEPEST:
        for part in _children(message):
            yield from _walk(part, depth + 1)


def _children(message: Message) -> list[Message]:
    payload = message.get_payload() if message.is_multipart() else []
    return [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []


def _leaves(message: Message) -> Iterator[Message]:
    for part in _walk(message):
        if not (part.get_content_maintype() == "multipart" and _children(part)):
            yield part


def _is_words(part: Message) -> bool:
    """Whether a part is what was written, not a file that was attached."""
    if part.get_content_type() not in _BLOCKS_OF_WORDS and not _is_unnamed_multipart(part):
        return False
    return _disposition(part) != "attachment" and not (_filename(part) and _disposition(part) != "inline")


def _is_unnamed_multipart(part: Message) -> bool:
    """A multipart without parts is broken; its lines are words all the same."""
    return part.get_content_maintype() == "multipart" and not _children(part)


def _disposition(part: Message) -> str:
    return str(part.get("content-disposition") or "").partition(";")[0].strip().lower()


def _filename(part: Message) -> str:
    try:
        name = part.get_filename() or ""
    except _BROKEN:
        return "?"
    return _one_line(_header_text(name))[:200]


def _words_of(message: Message, depth: int = 0) -> str:
    """The words of a part: of alternatives the plain one if it says something, else of all parts in order."""
    children = _children(message)
    if message.get_content_maintype() != "multipart" or not children or depth >= _DEEPEST:
        return _leaf_words(message) if _is_words(message) else ""
    texts = [_words_of(part, depth + 1) for part in children[:_MOST_PARTS]]
    if message.get_content_subtype() == "alternative":
        plain = (
            text
            for part, text in zip(children, texts, strict=False)
            if part.get_content_type() == "text/plain"
        )
        return next((text for text in (*plain, *texts) if text.strip()), "")
    return "\n".join(text for text in texts if text.strip())


def _leaf_words(part: Message) -> str:
    text = _decoded(part).replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    if part.get_content_type() == "text/html":
        return html.text_of(text)
    return _unflowed(part, text)


def _unflowed(part: Message, text: str) -> str:
    """Flowed text (RFC 3676): a line that ends with a space goes on in the next."""
    if str(part.get_param("format") or "").lower() != "flowed":
        return text
    join = "" if str(part.get_param("delsp") or "").lower() == "yes" else " "
    lines: list[str] = []
    going_on = False
    for line in text.split("\n"):
        if going_on and not line.startswith(">") and line != "-- ":
            lines[-1] = lines[-1].removesuffix(" ") + join + line.removeprefix(" ")
        else:
            lines.append(line)
        going_on = line.endswith(" ") and line != "-- " and not line.startswith(">")
    return "\n".join(lines)


def _payload(part: Message) -> bytes:
    """The bytes of a leaf; those of a mail inside the mail are its own source."""
    if part.get_content_maintype() == "message" and (inner := _children(part)):
        return b"\n".join(_source(each) for each in inner)
    try:
        found = part.get_payload(decode=True)
    except _BROKEN:
        found = None
    if isinstance(found, bytes):
        return found
    return _source(part)


def _source(message: Message) -> bytes:
    try:
        return message.as_bytes()
    except _BROKEN:
        # The standard library stumbles over some broken headers; without them it gives the lines below.
        for name in ("content-type", "content-transfer-encoding", "content-disposition"):
            del message[name]
    try:
        return message.as_bytes()
    except _BROKEN:
        return b""


def _decoded(part: Message) -> str:
    charset = part.get_param("charset")
    if isinstance(charset, tuple):
        charset = charset[2]
    return decode(_payload(part), charset if isinstance(charset, str) else None)


def _kept(leaves: list[Message], whole: str, words: str) -> Iterator[Part]:
    """Everything but the words that the flow reads: files, HTML, and the whole text if some of it was cut."""
    if whole.strip() != words:
        yield Part("text/plain", whole.encode("utf-8", "replace"), is_file=False)
    for part in leaves[:_MOST_PARTS]:
        kind = part.get_content_type()
        kind = kind if _KIND.fullmatch(kind) else "application/octet-stream"
        if not _is_words(part):
            yield Part(kind, _payload(part), _filename(part))
        elif kind == "text/html":
            yield Part(kind, _payload(part), is_file=False)
    for part in leaves[_MOST_PARTS:]:
        yield Part("application/octet-stream", _source(part), is_file=False)


# --- delivery reports -------------------------------------------------------------------------


def _reports(message: Message, headers: Headers) -> Iterator[Report]:
    found = False
    for part in _walk(message):
        if part.get_content_type() == "message/delivery-status":
            for block in _children(part):
                fields = Headers(block)
                if "action" in fields:
                    found = True
                    yield Report(fields.first("action").strip().lower(), _status(fields.first("status")))
    if not found and _is_odd_bounce(headers):
        yield Report("failed", _status(_words_of(message)))


def _is_odd_bounce(headers: Headers) -> bool:
    """A bounce in the words of a server that does not write reports (RFC 3464 is not followed everywhere)."""
    if "x-failed-recipients" in headers:
        return True
    daemon = re.match(
        r"(?:mailer-daemon|postmaster|mail-daemon)@", headers.address("from") or "", re.IGNORECASE
    )
    kind = headers.first("content-type").lower()
    return (
        bool(daemon)
        and not headers.first("auto-submitted").lower().startswith("auto-replied")
        and ("report-type" not in kind)
    )


def _status(text: str) -> str:
    """The first enhanced status code (RFC 3463) in a text; empty if there is none."""
    found = re.search(r"\b([245])\.\d{1,3}\.\d{1,3}\b", text)
    return found.group() if found else ""
