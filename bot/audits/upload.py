"""Reading an audit upload: one interviewed worker a row, CSV or XLSX.

Every cell is checked here, so that whoever stores a :class:`Row` need not ask again. A bad row becomes
one :class:`RowError` for each thing that is wrong with it, and the good rows go on. No message ever holds
what was in a cell. Nothing is stored, and nothing is read twice: files of any length stream through.
"""

from __future__ import annotations

import difflib
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import IO, TypeVar

import phonenumbers

from bot import language
from bot.audits import places
from bot.audits.sheet import Line, Unreadable, lines, refuse_size
from bot.callbacks.preference import Preference, parse
from bot.errors import AddressError, FileRejected, InputError
from bot.messages import Address, AddressKind, Channel

REQUIRED = ("audit_ref", "client", "factory", "country", "audit_date", "phone", "language", "preferred_time")
OPTIONAL = (
    "supplier",
    "region",
    "industry",
    "timezone",
    "channel",
    "pass_word",
    "alias",
    "role",
    "nationality",
    "consent",
    "reminder",
)
COLUMNS = REQUIRED + OPTIONAL
MAX_CELL = 1000
MAX_NAME = 200

T = TypeVar("T")


class Role(StrEnum):
    """Why a worker is in the cohort."""

    INTERVIEWED = "interviewed"
    COMPARISON = "comparison"


@dataclass(frozen=True, slots=True)
class Row:
    """One worker, every field checked. Together ``client``, ``audit_ref``, ``phone`` and ``alias`` are the key."""

    line: int
    audit_ref: str
    client: str
    factory: str
    country: str
    """ISO 3166 alpha-2."""
    audit_date: date
    phone: Address = field(repr=False)
    """A telephone number in E.164."""
    language: str
    """A served BCP-47 code."""
    preferred_time: Preference
    timezone: str
    """A name of the time zone database."""
    supplier: str | None = None
    region: str | None = None
    industry: str | None = None
    channel: Channel = Channel.VOICE
    pass_word: str | None = field(default=None, repr=False)
    """4 to 8 ASCII digits; always there when the channel is voice."""
    alias: str | None = field(default=None, repr=False)
    role: Role = Role.INTERVIEWED
    nationality: str | None = field(default=None, repr=False)
    consent: bool | None = None
    """None if the file does not say."""
    reminder: bool | None = None
    """Whether she agreed to a text before the call; None, which counts as no, if the file does not say."""


@dataclass(frozen=True, slots=True)
class RowError:
    """Something wrong with one line. ``column`` is its name, or its letter if it has no known name."""

    line: int
    column: str | None
    code: str
    message: str


def read(source: Path | IO[bytes]) -> Iterator[Row | RowError]:
    """The rows of an upload and what is wrong with others, in the order of the file, as a stream.

    ``source`` is a path or a seekable binary stream, which stays open. Line numbers are those that a person
    sees; the header is line 1. Raises :class:`FileRejected` at once, before the first row, if the file
    cannot be read at all or lacks a required column.
    """
    return _read(_content(source) if isinstance(source, Path) else source)


def _content(path: Path) -> IO[bytes]:
    """The whole file in memory, which is bounded, so that no file stays open with a reader who gave up."""
    try:
        refuse_size(path.stat().st_size)
        return io.BytesIO(path.read_bytes())
    except OSError as error:
        raise FileRejected(f"The file cannot be opened: {path.name}", code="file_missing") from error


def _read(stream: IO[bytes]) -> Iterator[Row | RowError]:
    found = lines(stream)
    header = next(found, None)
    if not isinstance(header, Line):
        raise FileRejected("The first line is not a row of column names.", code="header")
    known, warnings = columns_of(header, COLUMNS, REQUIRED)
    return chain(warnings, _rows(found, known))


# --- the header ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header:
    """Which cell holds which column, and how many cells a line may have."""

    columns: dict[int, str]
    width: int


def columns_of(header: Line, known: Sequence[str], required: Sequence[str]) -> tuple[Header, list[RowError]]:
    """Which cell holds which of the ``known`` columns, and a remark for each column that is none of them.

    Raises :class:`FileRejected` for a column that is there twice, and for ``required`` ones that are missing.
    """
    by_key = {_key(name): name for name in known}
    columns: dict[int, str] = {}
    warnings: list[RowError] = []
    for index, cell in enumerate(header.cells):
        name = by_key.get(_key(cell))
        if name is None:
            warnings += _unknown_column(header.number, index, cell, by_key)
        elif name in columns.values():
            raise FileRejected(f"The column {name} is there twice.", code="duplicate_column")
        else:
            columns[index] = name
    if missing := [name for name in required if name not in columns.values()]:
        raise FileRejected(
            f"The first line must name the columns. Missing: {', '.join(missing)}.", code="missing_column"
        )
    width = max(index for index, cell in enumerate(header.cells) if cell.strip()) + 1
    return Header(columns, width), warnings


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _unknown_column(line: int, index: int, cell: str, by_key: Mapping[str, str]) -> list[RowError]:
    """A remark that does not repeat the cell: without a header row, it would be a worker's."""
    if not cell.strip():
        return []
    close = difflib.get_close_matches(_key(cell[:MAX_NAME]), list(by_key), n=1, cutoff=0.7)
    hint = f" Did you mean {by_key[close[0]]}?" if close else ""
    message = f"This column is not known and was left out.{hint}"
    return [RowError(line, _letters(index), "unknown_column", message)]


def _letters(index: int) -> str:
    """The name that spreadsheets give a column: A, B, …, Z, AA."""
    name = ""
    while index >= 0:
        name, index = chr(ord("A") + index % 26) + name, index // 26 - 1
    return name


# --- the rows -----------------------------------------------------------------------------------


def _rows(found: Iterator[Line | Unreadable], header: Header) -> Iterator[Row | RowError]:
    seen: dict[tuple[str, str, Address, str | None], int] = {}
    for line in found:
        if isinstance(line, Unreadable):
            yield RowError(line.number, None, line.code, line.message)
            continue
        row, problems = _RowReader(line, header).read()
        if row is None:
            yield from problems
            continue
        first = seen.setdefault((row.client, row.audit_ref, row.phone, row.alias), row.line)
        if first != row.line:
            message = f"The same worker of the same audit is on line {first} already; this line was left out."
            yield RowError(row.line, None, "duplicate_row", message)
        else:
            yield row


class _RowReader:
    """Reads one line and gathers everything that is wrong with it."""

    def __init__(self, line: Line, header: Header) -> None:
        self._number = line.number
        self._problems: list[RowError] = []
        self._refused: set[str] = set()
        self._cells = dict.fromkeys(COLUMNS, "")
        for index, cell in enumerate(line.cells):
            if name := header.columns.get(index):
                self._cells[name] = self._bounded(name, cell)
            elif index >= header.width and cell.strip():
                self._report(None, "too_many_cells", _TOO_MANY_CELLS)
                break

    def read(self) -> tuple[Row | None, list[RowError]]:
        """The row, or None and what is wrong."""
        if any(problem.code == "too_many_cells" for problem in self._problems):
            # The cells have moved out of their columns, so whatever else were said would mislead.
            return None, self._problems
        channel = self._take("channel", _channel) or Channel.VOICE
        country = self._need("country", places.country)
        audit_date = self._need("audit_date", _audit_date)
        number = self._need("phone", lambda text: _phone(text, country))
        region = self._take("region", plain_name)
        zone = self._zone(country, region, number, audit_date)
        row_language = self._need("language", _language)
        preference = self._need("preferred_time", _preference)
        audit_ref, client, factory = (
            self._need(column, plain_name) for column in ("audit_ref", "client", "factory")
        )
        pass_word = self._take("pass_word", _pass_word)
        if channel is Channel.VOICE and not self._cells["pass_word"]:
            self._report("pass_word", "required", "A call needs a pass_word of 4 to 8 digits.")
        others = {
            column: self._take(column, plain_name)
            for column in ("supplier", "industry", "alias", "nationality")
        }
        role, consent = self._take("role", _role), self._take("consent", _yes_no("consent"))
        reminder = self._take("reminder", _yes_no("reminder"))
        if (
            self._problems
            or audit_ref is None
            or client is None
            or factory is None
            or country is None
            or audit_date is None
            or number is None
            or row_language is None
            or preference is None
            or zone is None
        ):
            return None, self._problems
        row = Row(
            line=self._number,
            audit_ref=audit_ref,
            client=client,
            factory=factory,
            country=country,
            audit_date=audit_date,
            phone=Address(AddressKind.PHONE, _e164(number)),
            language=row_language,
            preferred_time=preference,
            timezone=zone,
            region=region,
            channel=channel,
            pass_word=pass_word,
            role=role or Role.INTERVIEWED,
            consent=consent,
            reminder=reminder,
            **others,
        )
        return row, []

    def _zone(
        self,
        country: str | None,
        region: str | None,
        number: phonenumbers.PhoneNumber | None,
        audit_date: date | None,
    ) -> str | None:
        if self._cells["timezone"]:
            return self._take("timezone", places.zone)
        if country is None or audit_date is None:
            return None
        return self._try("timezone", lambda _: places.zone_of(country, region, number, audit_date.year), "")

    def _need(self, column: str, read_cell: Callable[[str], T]) -> T | None:
        if not self._cells[column]:
            self._report(column, "required", f"{column} must not be empty.")
            return None
        return self._take(column, read_cell)

    def _take(self, column: str, read_cell: Callable[[str], T]) -> T | None:
        text = self._cells[column]
        return self._try(column, read_cell, text) if text and column not in self._refused else None

    def _try(self, column: str, read_cell: Callable[[str], T], text: str) -> T | None:
        try:
            return read_cell(text)
        except InputError as error:
            self._report(column, error.code, str(error))
            return None

    def _bounded(self, column: str, cell: str) -> str:
        if len(cell) > MAX_CELL:
            self._report(column, "too_long", f"The cell is longer than {MAX_CELL} characters.")
            self._refused.add(column)
            return cell[:1]
        if any("\ud800" <= letter <= "\udfff" or letter == "\ufffd" for letter in cell):
            self._report(column, "encoding", "The cell holds broken letters; save the file as CSV UTF-8.")
            self._refused.add(column)
            return cell[:1]
        return " ".join(cell.split())

    def _report(self, column: str | None, code: str, message: str) -> None:
        self._problems.append(RowError(self._number, column, code, message))


_TOO_MANY_CELLS = (
    "The line has more cells than the first line has columns; put cells with separators into quotes."
)


# --- single cells -------------------------------------------------------------------------------


def plain_name(text: str) -> str:
    """Free text that later stands in pages and exports: one line, no control signs, no formula."""
    # Marks of direction can make a name look like another; joiners belong to many scripts and stay.
    kept = "".join(
        letter for letter in text if unicodedata.category(letter) != "Cf" or letter in "\u200c\u200d"
    )
    name = unicodedata.normalize("NFC", kept).strip()
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise InputError("The cell holds control characters.", code="control_character")
    if len(name) > MAX_NAME:
        raise InputError(f"The cell is longer than {MAX_NAME} characters.", code="too_long")
    if re.match(r"[=+\-@]", name):
        raise InputError("The cell begins like a formula (= + - @); write plain text.", code="formula")
    if re.fullmatch(r"#[A-Z/0]+[!?]?", name):
        raise InputError("The cell holds an error of the spreadsheet.", code="cell_error")
    if not name:
        raise InputError("The cell holds no visible text.", code="required")
    return name


def _plain(text: str) -> str:
    """Text of a code-like cell: compatibility forms made plain, invisible signs gone, every digit ASCII."""
    letters = (
        str(digit) if (digit := unicodedata.decimal(letter, None)) is not None else letter
        for letter in unicodedata.normalize("NFKC", text)
        if unicodedata.category(letter) != "Cf"
    )
    return "".join(letters).strip()


def _audit_date(text: str) -> date:
    plain = _plain(text).removesuffix(" 00:00").removesuffix(" 00:00:00")
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", plain):
        raise InputError("A date is written YYYY-MM-DD, for instance 2026-05-02.", code="date_format")
    try:
        return date.fromisoformat(plain)
    except ValueError:
        raise InputError("There is no such date.", code="date_format") from None


def _phone(text: str, country: str | None) -> phonenumbers.PhoneNumber:
    plain = _plain(text)
    if re.search(r"\d[.,]?\d*e\+?\d", plain, re.IGNORECASE):
        raise AddressError(
            "The spreadsheet shortened the number and lost digits; format the column as text and type it again.",
            code="phone_shortened",
        )
    # NFKC has made signs of other scripts plain; what is left besides digits are the usual separators.
    if not re.fullmatch(r"\+?[\d\s().\-‐-―]+", plain):
        raise AddressError("Give one telephone number, for instance +84 912 345 678.", code="phone_invalid")
    try:
        number = phonenumbers.parse(plain, country)
    except phonenumbers.NumberParseException:
        number = phonenumbers.PhoneNumber()
    if not phonenumbers.is_valid_number(number):
        raise AddressError(
            "This is not a telephone number of the country; give it with + and the country code.",
            code="phone_invalid",
        )
    if phonenumbers.number_type(number) in _COSTLY:
        raise AddressError("This number is charged extra and is not called.", code="phone_premium")
    return number


_COSTLY = {phonenumbers.PhoneNumberType.PREMIUM_RATE, phonenumbers.PhoneNumberType.SHARED_COST}


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _language(text: str) -> str:
    code = language.find(_plain(text)) or language.find(text)
    if code is None:
        raise InputError(
            f"This language is not served; use one of {', '.join(language.SERVED)}.", code="unknown_language"
        )
    return code


def _preference(text: str) -> Preference:
    # Excel writes a date with a time as 2026-05-02 18:30:00.
    return parse(re.sub(r"(\d\d:\d\d):00\b", r"\1", _plain(text)))


def _channel(text: str) -> Channel:
    channel = {"voice": Channel.VOICE, "sms": Channel.SMS}.get(_plain(text).casefold())
    if channel is None:
        raise InputError("channel is voice or sms.", code="unknown_channel")
    return channel


def _pass_word(text: str) -> str:
    plain = _plain(text)
    if not re.fullmatch(r"[0-9]{4,8}", plain):
        raise InputError("A pass_word has 4 to 8 digits.", code="pass_word_format")
    return plain


def _role(text: str) -> Role:
    try:
        return Role(_plain(text).casefold())
    except ValueError:
        raise InputError("role is interviewed or comparison.", code="unknown_role") from None


_YES_NO = {
    "yes": True,
    "y": True,
    "true": True,
    "1": True,
    "no": False,
    "n": False,
    "false": False,
    "0": False,
}


def _yes_no(column: str) -> Callable[[str], bool]:
    def read(text: str) -> bool:
        given = _YES_NO.get(_plain(text).casefold())
        if given is None:
            raise InputError(f"{column} is yes or no.", code=f"{column}_format")
        return given

    return read
