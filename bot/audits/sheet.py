"""Lines of text cells out of a CSV or an Excel file, whatever program wrote it.

CSV may be UTF-8 (with or without a byte order mark) or UTF-16, separated by commas, semicolons, tabs or
bars, with an Excel ``sep=;`` line or without. XLSX is read as a stream; dates and numbers become text.
The limits below keep a broken or hostile file from using up memory or time.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import IO, Any

from bot.errors import FileRejected

MAX_BYTES = 64 * 1024 * 1024
MAX_UNPACKED_BYTES = 400 * 1024 * 1024
MAX_LINES = 200_000
MAX_LINE_LENGTH = 64 * 1024
MAX_LINES_OF_A_RECORD = 20
MAX_COLUMNS = 100

_ZIP = b"PK\x03\x04"
_OLD_EXCEL = bytes.fromhex("D0CF11E0A1B11AE1")
_DELIMITERS = ",;\t|"
_PADDED_NUMBER = re.compile(r"0+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of cells. ``number`` is the line that a person sees; the first is 1."""

    number: int
    cells: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that cannot be taken apart into cells."""

    number: int
    code: str
    message: str


def lines(stream: IO[bytes]) -> Iterator[Line | Unreadable]:
    """The lines of a seekable binary stream that have any text in them, in order; the first is the header.

    Raises :class:`FileRejected` before the first line if the file cannot be read at all.
    """
    refuse_size(stream.seek(0, io.SEEK_END))
    stream.seek(0)
    head = stream.read(4096)
    stream.seek(0)
    if not head:
        raise FileRejected("The file is empty.", code="file_empty")
    if head.startswith(_OLD_EXCEL):
        raise FileRejected(
            "This is an old or a password-protected Excel file; save it as .xlsx without a password.",
            code="file_type",
        )
    found = _workbook_lines(stream) if head.startswith(_ZIP) else _csv_lines(stream, _encoding(head))
    return _bounded(found)


def refuse_size(size: int) -> None:
    """Raises :class:`FileRejected` if a file of ``size`` bytes is too large to be read."""
    if size > MAX_BYTES:
        raise FileRejected(
            f"The file is larger than {MAX_BYTES // 1024**2} MB; split it.", code="file_too_large"
        )


def _bounded(found: Iterable[Line | Unreadable]) -> Iterator[Line | Unreadable]:
    for count, line in enumerate(found):
        if count > MAX_LINES:
            yield Unreadable(
                line.number,
                "too_many_rows",
                f"Only the first {MAX_LINES} rows were read; put the rest into another file.",
            )
            return
        yield line


# --- CSV ----------------------------------------------------------------------------------------


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" not in head:
        return "utf-8-sig"
    # UTF-16 without a mark: of Latin letters, every second byte is zero.
    odd, even = head[1::2].count(0), head[::2].count(0)
    if max(odd, even) * 4 < len(head):
        raise FileRejected("This is not a text file; save the table as CSV UTF-8 or XLSX.", code="file_type")
    return "utf-16-le" if odd > even else "utf-16-be"


def _csv_lines(stream: IO[bytes], encoding: str) -> Iterator[Line | Unreadable]:
    # Bytes that are not UTF-8 become lone surrogates, which the rows report one by one.
    errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
    text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline=None)
    try:
        physical = deque[tuple[int, str]]()
        numbered = enumerate(text, 1)
        delimiter = _delimiter(numbered, physical)
        for record in _records(_PushBack(numbered, physical), delimiter):
            if isinstance(record, Unreadable) or any(cell.strip() for cell in record.cells):
                yield record
    finally:
        # The stream is the caller's and stays open, unless the caller has closed it meanwhile.
        if not stream.closed:
            text.detach()


def _delimiter(numbered: Iterator[tuple[int, str]], unread: deque[tuple[int, str]]) -> str:
    """What separates the cells of the header; the header itself is put back."""
    for number, line in numbered:
        if declared := re.fullmatch(r"sep=(.)\s*", line, re.IGNORECASE):
            return declared[1]
        if line.strip():
            unread.append((number, line))
            return max(_DELIMITERS, key=line.count)
    return ","


class _PushBack:
    """Numbered lines of which some can be put back to be read again."""

    def __init__(self, source: Iterator[tuple[int, str]], unread: deque[tuple[int, str]]) -> None:
        self._source = source
        self._unread = unread

    def take(self) -> tuple[int, str] | None:
        """The next line with its number, or None at the end."""
        return self._unread.popleft() if self._unread else next(self._source, None)

    def put_back(self, taken: list[tuple[int, str]]) -> None:
        """Make ``taken`` the next lines again."""
        self._unread.extendleft(reversed(taken))


def _records(source: _PushBack, delimiter: str) -> Iterator[Line | Unreadable]:
    """Lines of cells. A quote that is never closed costs its own line only, not those after it."""
    quoted = re.compile(rf'(^|{re.escape(delimiter)})\s*"')
    while first := source.take():
        taken = [first]
        while quoted.search(first[1]) and _is_open(taken) and (following := source.take()):
            taken.append(following)
        unclosed = quoted.search(first[1]) is not None and _has_odd_quotes(taken)
        record = _quotes(first[0]) if unclosed else _cells(taken, delimiter)
        if isinstance(record, Unreadable):
            source.put_back(taken[1:])
        yield record


def _is_open(taken: list[tuple[int, str]]) -> bool:
    return (
        len(taken) < MAX_LINES_OF_A_RECORD and len(taken[-1][1]) <= MAX_LINE_LENGTH and _has_odd_quotes(taken)
    )


def _has_odd_quotes(taken: list[tuple[int, str]]) -> bool:
    return sum(line.count('"') for _, line in taken) % 2 == 1


def _quotes(number: int) -> Unreadable:
    message = 'The quotes of this line do not match; put a cell with " in it into quotes and double each ".'
    return Unreadable(number, "quotes", message)


def _cells(taken: list[tuple[int, str]], delimiter: str) -> Line | Unreadable:
    number = taken[0][0]
    record = "".join(line for _, line in taken).rstrip("\n")
    if len(record) > MAX_LINE_LENGTH:
        return Unreadable(number, "line_too_long", f"The line is longer than {MAX_LINE_LENGTH} characters.")
    try:
        cells = next(csv.reader([record], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return _quotes(number)
    if len(cells) > MAX_COLUMNS:
        return Unreadable(number, "too_many_cells", f"The line has more than {MAX_COLUMNS} cells.")
    return Line(number, tuple(cells))


# --- XLSX ---------------------------------------------------------------------------------------


def _workbook_lines(stream: IO[bytes]) -> Iterator[Line | Unreadable]:
    sheet = _first_sheet(stream)
    number = 0
    try:
        for number, row in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS), 1):
            cells = tuple(_text(cell) for cell in row)
            if any(cell.strip() for cell in cells):
                yield Line(number, cells)
    except (ValueError, KeyError, TypeError, SyntaxError, OSError, zipfile.BadZipFile, zlib.error):
        yield Unreadable(number + 1, "file_damaged", "The file is damaged from here on.")


def _first_sheet(stream: IO[bytes]) -> Any:
    import openpyxl

    try:
        with zipfile.ZipFile(stream) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise FileRejected("The file unpacks to more than can be read; split it.", code="file_too_large")
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        sheet = next(sheet for sheet in book.worksheets if sheet.sheet_state == "visible")
    except FileRejected:
        raise
    except Exception as error:
        # A damaged or foreign archive makes zipfile and openpyxl fail in many ways, all meaning the same.
        raise FileRejected(
            "This is not a readable Excel file; save the table again as .xlsx or CSV UTF-8.",
            code="file_damaged",
        ) from error
    # Some programs write a wrong size of the table into the file, which would hide rows.
    sheet.reset_dimensions()
    return sheet


def _text(cell: Any) -> str:
    """A cell as a person would have typed it: ISO dates, whole numbers without a point, yes and no."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(value, cell.number_format)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:%H:%M}" if isinstance(value, time) else str(value)


def _number(value: float, number_format: str) -> str:
    if value != value // 1:
        return repr(value)
    digits = str(int(value))
    # A format such as 00000 shows zeros in front that the number itself has lost.
    return digits.zfill(len(number_format)) if _PADDED_NUMBER.fullmatch(number_format or "") else digits
