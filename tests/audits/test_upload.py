"""What an auditor may upload, and what is said about what cannot be used."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.audits import sheet
from bot.audits.upload import COLUMNS, REQUIRED, Role, Row, RowError, read
from bot.errors import FileRejected
from bot.messages import Address, AddressKind, Channel, Reveal

GOOD = {
    "audit_ref": "A-1",
    "client": "Acme",
    "factory": "North mill",
    "country": "VN",
    "audit_date": "2026-05-02",
    "phone": "+84 912 345 678",
    "language": "vi",
    "preferred_time": "evening;weekend",
    "pass_word": "4711",
}
NUMBER = Address(AddressKind.PHONE, "+84912345678")


def table(*rows: dict[str, str], columns: Sequence[str] | None = None, delimiter: str = ",") -> str:
    names = list(columns or dict.fromkeys(name for row in (GOOD, *rows) for name in row))
    quoted = [['"' + row.get(name, "").replace('"', '""') + '"' for name in names] for row in rows]
    return "\n".join(delimiter.join(cells) for cells in ([*names], *quoted)) + "\n"


def reading(content: str | bytes) -> list[Row | RowError]:
    return list(read(io.BytesIO(content.encode() if isinstance(content, str) else content)))


def only_row(**changes: str) -> Row:
    (row,) = reading(table(GOOD | changes))
    assert isinstance(row, Row), row
    return row


def problems(**changes: str) -> list[tuple[str | None, str]]:
    found = reading(table(GOOD | changes))
    assert all(isinstance(problem, RowError) and problem.line == 2 for problem in found)
    return [(problem.column, problem.code) for problem in found if isinstance(problem, RowError)]


def workbook(*rows: Sequence[object], formats: dict[str, str] | None = None) -> bytes:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in rows:
        page.append(list(row))
    for cell, number_format in (formats or {}).items():
        page[cell].number_format = number_format
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


# --- a good row ---------------------------------------------------------------------------------


def test_a_row_is_read_with_every_cell_understood() -> None:
    row = only_row(
        supplier="Blue Textiles",
        region="Hà Nội",
        industry="garments",
        alias="W1",
        role="comparison",
        nationality="Nepali",
        consent="no",
        channel="SMS",
    )
    assert row == Row(
        line=2,
        audit_ref="A-1",
        client="Acme",
        factory="North mill",
        country="VN",
        audit_date=date(2026, 5, 2),
        phone=NUMBER,
        language="vi",
        preferred_time=row.preferred_time,
        timezone="Asia/Ho_Chi_Minh",
        supplier="Blue Textiles",
        region="Hà Nội",
        industry="garments",
        channel=Channel.SMS,
        pass_word="4711",
        alias="W1",
        role=Role.COMPARISON,
        nationality="Nepali",
        consent=False,
    )
    assert str(row.preferred_time) == "evening;weekend"


def test_what_may_be_left_out_has_a_default() -> None:
    row = only_row()
    assert (row.channel, row.role, row.consent, row.alias) == (Channel.VOICE, Role.INTERVIEWED, None, None)


def test_a_row_never_shows_number_pass_word_or_alias() -> None:
    shown = repr(only_row(alias="Binh"))
    assert all(secret not in shown for secret in ("912345678", "4711", "Binh"))


@pytest.mark.parametrize(
    "phone", ["0912 345 678", "84912345678", "912345678", "0084912345678", "(091) 234-5678"]
)
def test_a_number_in_the_countrys_own_form_is_understood(phone: str) -> None:
    assert only_row(phone=phone).phone == NUMBER


def test_invisible_marks_and_wide_or_local_digits_are_understood() -> None:
    assert only_row(phone="\u202a+84 912 345 678\u202c").phone == NUMBER
    assert only_row(phone="+84912345678", pass_word="४७११").pass_word == "4711"
    assert only_row(audit_date="၂၀၂၆-၀၅-၀၂").audit_date == date(2026, 5, 2)
    assert only_row(preferred_time="２０２６-05-09 18:30:00").preferred_time.alternatives != ()


def test_a_number_of_another_country_keeps_its_country() -> None:
    assert only_row(phone="+977 984 1234567").phone.reveal(Reveal.INDEX) == "+9779841234567"


@pytest.mark.parametrize("name", ["VN", "vnm", "Vietnam", "Viet Nam", " Việt Nam "])
def test_a_country_is_understood_by_code_and_name(name: str) -> None:
    assert only_row(country=name).country == "VN"


@pytest.mark.parametrize(
    ("name", "code"),
    [("Bahasa Indonesia", "id"), ("zh", "zh-Hans"), ("zh-TW", "zh-Hant"), ("tl", "fil"), ("မြန်မာဘာသာ", "my")],
)
def test_a_language_is_understood_by_code_and_name(name: str, code: str) -> None:
    assert only_row(language=name).language == code


# --- time zones ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "zone"),
    [
        ({"timezone": "asia/kathmandu"}, "Asia/Kathmandu"),
        ({"country": "MY", "phone": "+60123456789"}, "Asia/Kuala_Lumpur"),
        ({"country": "CN", "phone": "13812345678"}, "Asia/Shanghai"),
        ({"country": "ID", "phone": "08123456789", "region": "Sulawesi Selatan"}, "Asia/Makassar"),
        ({"country": "ID", "phone": "08123456789", "region": "ID-JB"}, "Asia/Jakarta"),
        ({"country": "ID", "phone": "08123456789", "region": "West Papua"}, "Asia/Jayapura"),
        ({"country": "US", "phone": "+12125550123"}, "America/New_York"),
        ({"country": "BR", "phone": "+5511912345678", "region": "somewhere"}, "America/Sao_Paulo"),
    ],
)
def test_the_zone_comes_from_the_cell_the_country_the_region_or_the_number(
    changes: dict[str, str], zone: str
) -> None:
    assert only_row(**changes).timezone == zone


def test_where_the_zone_stays_open_it_is_asked_for() -> None:
    assert problems(country="ES", phone="+34612345678") == [("timezone", "timezone_needed")]
    assert problems(country="US", phone="+84912345678") == [("timezone", "timezone_needed")]
    assert only_row(country="ES", phone="+34612345678", timezone="Europe/Madrid").timezone == "Europe/Madrid"


# --- bad cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("country", "Atlantis", "unknown_country"),
        ("audit_date", "02/05/2026", "date_format"),
        ("audit_date", "2026-02-30", "date_format"),
        ("phone", "12", "phone_invalid"),
        ("phone", "+84", "phone_invalid"),
        ("phone", "call me", "phone_invalid"),
        ("phone", "0912345678 / 0912345679", "phone_invalid"),
        ("phone", "0912345678 ext 5", "phone_invalid"),
        ("phone", "8.49123E+10", "phone_shortened"),
        ("language", "Klingon", "unknown_language"),
        ("preferred_time", "teatime", "unknown_window"),
        ("preferred_time", "2026-05-09 25:00", "bad_time"),
        ("timezone", "../../etc/passwd", "unknown_timezone"),
        ("timezone", "Hanoi", "unknown_timezone"),
        ("channel", "pigeon", "unknown_channel"),
        ("pass_word", "123", "pass_word_format"),
        ("pass_word", "123456789", "pass_word_format"),
        ("pass_word", "12ab", "pass_word_format"),
        ("role", "manager", "unknown_role"),
        ("consent", "perhaps", "consent_format"),
        ("reminder", "perhaps", "reminder_format"),
        ("factory", '=HYPERLINK("http://x","y")', "formula"),
        ("alias", "@SUM(A1)", "formula"),
        ("client", "+cmd", "formula"),
        ("factory", "#REF!", "cell_error"),
        ("factory", "North\x07mill", "control_character"),
        ("factory", "\u200b\u200b", "required"),
        ("factory", "n" * 201, "too_long"),
        ("alias", "n" * 5000, "too_long"),
        ("audit_ref", "", "required"),
        ("phone", "  ", "required"),
        ("pass_word", "", "required"),
    ],
)
def test_a_bad_cell_is_reported_with_its_line_column_and_reason(column: str, value: str, code: str) -> None:
    assert problems(**{"timezone": "Asia/Ho_Chi_Minh", column: value}) == [(column, code)]


def test_a_premium_number_is_never_called() -> None:
    assert problems(country="GB", phone="+44 9098 790000") == [("phone", "phone_premium")]
    assert problems(phone="1900 123456") == [("phone", "phone_premium")]


def test_one_row_may_have_several_faults_and_all_are_told() -> None:
    assert set(problems(audit_date="soon", language="?", pass_word="1")) == {
        ("audit_date", "date_format"),
        ("language", "unknown_language"),
        ("pass_word", "pass_word_format"),
    }


def test_a_text_message_needs_no_pass_word() -> None:
    assert only_row(channel="sms", pass_word="").pass_word is None


def test_an_error_never_repeats_what_was_in_the_cell() -> None:
    secret = "secret-7391"
    for column in COLUMNS:
        for value in (secret, f"={secret}", f"+84 {secret}", f"2026-05-09 {secret}", secret + "\x07"):
            for found in reading(table(GOOD | {column: value})):
                assert isinstance(found, Row) or "7391" not in repr(found)


def test_good_rows_go_on_around_a_bad_one() -> None:
    found = reading(table(GOOD | {"alias": "a"}, GOOD | {"language": "?"}, GOOD | {"alias": "b"}))
    assert [type(entry) for entry in found] == [Row, RowError, Row]
    assert [entry.line for entry in found] == [2, 3, 4]


def test_the_same_worker_twice_is_reported_with_the_earlier_line() -> None:
    found = reading(table(GOOD, GOOD | {"alias": "other"}, GOOD | {"phone": "0912345678", "language": "my"}))
    assert [type(entry) for entry in found] == [Row, Row, RowError]
    assert isinstance(found[2], RowError)
    assert (found[2].line, found[2].code) == (4, "duplicate_row")
    assert "line 2" in found[2].message


# --- the header ---------------------------------------------------------------------------------


def test_the_header_may_be_written_loosely_and_in_any_order() -> None:
    names = {name: name.replace("_", " ").title() + " *" for name in GOOD}
    content = table(
        {names[name]: value for name, value in GOOD.items()}, columns=list(reversed(names.values()))
    )
    assert [type(entry) for entry in reading(content)] == [Row]


def test_an_unknown_column_is_remarked_and_the_file_goes_on() -> None:
    found = reading(table(GOOD | {"nationalty": "x", "shoe size": "42"}))
    assert [(entry.line, getattr(entry, "code", "")) for entry in found] == [
        (1, "unknown_column"),
        (1, "unknown_column"),
        (2, ""),
    ]
    assert isinstance(found[0], RowError)
    assert "nationality" in found[0].message


def test_missing_columns_are_all_named() -> None:
    with pytest.raises(FileRejected) as refused:
        reading("phone,client\n1,2\n")
    assert all(name in str(refused.value) for name in REQUIRED if name not in {"phone", "client"})
    assert refused.value.code == "missing_column"


def test_a_file_without_a_header_does_not_spill_its_first_worker() -> None:
    content = ",".join(GOOD.values()) + "\n"
    with pytest.raises(FileRejected) as refused:
        reading(content)
    assert "912" not in str(refused.value)


def test_a_column_that_is_there_twice_is_refused() -> None:
    with pytest.raises(FileRejected, match="twice"):
        reading(table(GOOD).replace("client", "phone", 1))


# --- CSV ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_any_common_separator_and_encoding_is_read(delimiter: str, encoding: str) -> None:
    content = table(GOOD | {"factory": "Xưởng Bắc"}, delimiter=delimiter)
    (row,) = reading(content.encode(encoding))
    assert isinstance(row, Row)
    assert row.factory == "Xưởng Bắc"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_numbers_are_those_that_a_person_sees(ending: str) -> None:
    content = table(GOOD, GOOD | {"language": "?"}).replace("\n", ending)
    content = content.replace(ending, ending * 3, 1)
    assert [entry.line for entry in reading(content)] == [4, 5]


def test_excels_own_separator_line_is_understood() -> None:
    (row,) = reading("sep=;\n" + table(GOOD, delimiter=";"))
    assert isinstance(row, Row)
    assert row.line == 3


def test_a_separator_that_is_not_quoted_is_pointed_out() -> None:
    found = reading(table(GOOD, delimiter=";").replace('"', ""))
    assert [(entry.line, getattr(entry, "code", "")) for entry in found] == [(2, "too_many_cells")]


def test_a_quote_that_is_never_closed_costs_one_line_only() -> None:
    lines = table(GOOD, GOOD | {"alias": "b"}, GOOD | {"alias": "c"}, columns=[*GOOD, "alias"]).splitlines()
    lines[1] = lines[1].replace('"Acme"', '"Acme')
    found = reading("\n".join(lines))
    assert [(entry.line, getattr(entry, "code", "")) for entry in found] == [(2, "quotes"), (3, ""), (4, "")]


def test_a_cell_of_two_lines_and_an_inch_mark_are_read() -> None:
    content = table(GOOD | {"factory": "North\nmill"}, GOOD | {"alias": "b"}, columns=[*GOOD, "alias"])
    content += ",".join((*GOOD.values(), 'the 5" one')) + "\n"
    found = reading(content)
    assert all(isinstance(entry, Row) for entry in found)
    assert [entry.line for entry in found] == [2, 4, 5]
    assert isinstance(found[0], Row)
    assert found[0].factory == "North mill"


def test_a_giant_cell_costs_one_line_only() -> None:
    found = reading(table(GOOD | {"factory": "x" * 1_000_000}, GOOD))
    assert [(entry.line, getattr(entry, "code", "")) for entry in found] == [(2, "line_too_long"), (3, "")]


def test_letters_in_another_encoding_cost_their_row_only() -> None:
    bad = table(GOOD | {"factory": "M\xfchle"}).encode("latin-1")
    found = reading(bad + table(GOOD).encode().partition(b"\n")[2])
    assert [(entry.line, getattr(entry, "code", "")) for entry in found] == [(2, "encoding"), (3, "")]


def test_too_many_rows_are_cut_with_a_word_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_LINES", 3)
    found = reading(table(*(GOOD | {"alias": str(number)} for number in range(9)), columns=[*GOOD, "alias"]))
    assert [getattr(entry, "code", "") for entry in found] == ["", "", "", "too_many_rows"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file_empty"),
        (b"\n\n", "header"),
        (bytes.fromhex("D0CF11E0A1B11AE1") + b"x" * 100, "file_type"),
        (b"%PDF\0\x01\x02" + bytes(range(256)), "file_type"),
        (b"PK\x03\x04 not really a zip", "file_damaged"),
    ],
)
def test_a_file_of_another_kind_is_rejected_at_once(content: bytes, code: str) -> None:
    with pytest.raises(FileRejected) as refused:
        read(io.BytesIO(content))
    assert refused.value.code == code


def test_a_file_that_is_too_large_is_rejected_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_BYTES", 100)
    with pytest.raises(FileRejected, match="larger"):
        read(io.BytesIO(table(GOOD).encode()))


def test_a_path_is_read_too_and_a_missing_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "workers.csv").write_text(table(GOOD), encoding="utf-8")
    assert isinstance(next(read(tmp_path / "workers.csv")), Row)
    with pytest.raises(FileRejected, match=r"none\.csv"):
        read(tmp_path / "none.csv")


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_rejected(content: bytes) -> None:
    for start in (b"", ",".join(GOOD).encode() + b"\n"):
        try:
            found = reading(start + content)
        except FileRejected:
            continue
        assert all(isinstance(entry, Row | RowError) for entry in found)


# --- XLSX ---------------------------------------------------------------------------------------


def test_a_workbook_is_read_with_its_dates_and_numbers() -> None:
    cells = GOOD | {
        "audit_date": datetime(2026, 5, 2),  # noqa: DTZ001 - Excel knows no zones
        "phone": 84912345678,
        "preferred_time": datetime(2026, 5, 9, 18, 30),  # noqa: DTZ001 - Excel knows no zones
        "pass_word": 711,
        "audit_ref": 12.0,
        "consent": True,
    }
    content = workbook(list(cells), [], list(cells.values()), formats={"I3": "0000"})
    (row,) = reading(content)
    assert isinstance(row, Row)
    assert (row.line, row.audit_date, row.phone, row.audit_ref) == (3, date(2026, 5, 2), NUMBER, "12")
    assert (str(row.preferred_time), row.pass_word, row.consent) == ("2026-05-09 18:30", "0711", True)


def test_a_workbook_and_a_csv_of_the_same_table_say_the_same() -> None:
    rows = [GOOD, GOOD | {"phone": "1"}, GOOD]
    assert reading(workbook(list(GOOD), *(list(row.values()) for row in rows))) == reading(table(*rows))


def test_a_hidden_first_sheet_and_formulas_are_no_trouble() -> None:
    book = openpyxl.Workbook()
    hidden = book.active
    assert hidden is not None
    hidden.sheet_state = "hidden"
    page = book.create_sheet("workers")
    page.append(list(GOOD))
    page.append([*(GOOD | {"pass_word": "=1234+1"}).values()])
    content = io.BytesIO()
    book.save(content)
    (problem,) = reading(content.getvalue())
    assert isinstance(problem, RowError)
    assert (problem.line, problem.column, problem.code) == (2, "pass_word", "required")


def test_a_workbook_that_unpacks_too_far_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(FileRejected, match="unpacks"):
        read(io.BytesIO(workbook(list(GOOD), list(GOOD.values()))))


def test_a_workbook_that_breaks_off_says_where() -> None:
    whole = io.BytesIO(workbook(list(GOOD), list(GOOD.values()), list(GOOD.values())))
    broken = io.BytesIO()
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith("sheet1.xml"):
                content = content[: content.rindex(b"<row")] + b"<row <<<"
            target.writestr(entry.filename, content)
    found = reading(broken.getvalue())
    assert isinstance(found[-1], RowError)
    assert found[-1].code == "file_damaged"
