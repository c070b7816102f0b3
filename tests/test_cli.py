"""The command as people and programs use it: exit codes, JSON, and messages that hold no secret."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pyotp
import pytest
from openpyxl import Workbook
from sqlalchemy import select

import cli
from bot import logs
from bot.service import start_demo_clock
from bot.storage.database import open_database
from bot.storage.tables import AccessLog, table
from tests.journeys.world import ROOT, Worker, upload

WORKERS = (
    Worker(number="+6281277788899", alias="Kestrel", pass_word="40926173", preferred_time="evening"),
    Worker(number="+6281277788900", alias="Osprey", pass_word="5550123", preferred_time="lunch"),
)
SECRETS = [secret for worker in WORKERS for secret in (worker.number[1:], worker.alias, worker.pass_word)]


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


Voiceback = Callable[..., Ran]


@pytest.fixture
def voiceback(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Voiceback:
    """Runs the command within this process: ``voiceback("callbacks", "due", "--json")``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("VOICEBACK_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.setenv("VOICEBACK_FLOWS", str(ROOT / "flows"))
    monkeypatch.setenv("VOICEBACK_LOCALES", str(ROOT / "locales"))
    monkeypatch.setattr(logs, "set_up", lambda _level: None)

    def run(*arguments: str, given: str = "") -> Ran:
        monkeypatch.setattr(sys, "argv", ["voiceback", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        code = ended.value.code
        assert "Traceback" not in captured.out + captured.err
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def ready(voiceback: Voiceback) -> Voiceback:
    """The command after ``voiceback init``."""
    assert voiceback("init").code == 0
    return voiceback


def recent(workers: tuple[Worker, ...] = WORKERS) -> str:
    """An upload of an audit of today."""
    return upload(workers, audit_date=datetime.now().astimezone().date().isoformat())


def commands() -> list[tuple[str, ...]]:
    """Every command and group."""

    def below(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from below(command, (*path, name))
            else:
                yield (*path, name)

    return list(below(cli.cli, ()))


# --- help and exit codes --------------------------------------------------------------------------


PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(path) or "voiceback")
def test_every_command_helps(voiceback: Voiceback, path: tuple[str, ...]) -> None:
    ran = voiceback(*path, "--help")
    assert ran.code == 0
    assert "Usage:" in ran.out
    assert len(ran.out.splitlines()) >= 4


def test_every_command_of_the_contract_is_there() -> None:
    wanted = {
        *(("demo",), ("init",), ("serve",), ("work",), ("doctor",), ("detect",), ("verify-log",)),
        *(("db", "upgrade"), ("flows", "check"), ("flows", "graph"), ("flows", "try"), ("audits", "import")),
        *(("callbacks", "due"), ("callbacks", "show"), ("callbacks", "plan"), ("policy", "show")),
        *(("policy", "set"), ("clock", "advance"), ("clock", "until"), ("staff", "add")),
        *(("staff", word) for word in ("list", "edit", "password", "totp-reset", "deactivate", "activate")),
    }
    assert wanted <= set(commands())


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("callbacks", "due", "--limit", "0"), ("flows", "try"), ("--nonsense",)]
)
def test_wrong_usage_exits_with_2(voiceback: Voiceback, arguments: tuple[str, ...]) -> None:
    ran = voiceback(*arguments)
    assert ran.code == 2
    assert ran.err


def test_an_id_that_is_not_known_exits_with_2(ready: Voiceback) -> None:
    assert ready("callbacks", "show", "0" * 32).code == 2


@pytest.mark.parametrize(
    "arguments",
    [("callbacks", "due"), ("audits", "import", "x.csv"), ("clock", "advance", "1h"), ("verify-log",)],
)
def test_missing_keys_exit_with_3_and_say_what_to_do(
    voiceback: Voiceback, arguments: tuple[str, ...]
) -> None:
    ran = voiceback(*arguments)
    assert ran.code == 3
    assert "voiceback init" in ran.err


def test_a_wrong_setting_exits_with_3_and_is_named_without_its_value(
    ready: Voiceback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_SMS_FROM", "hunter2-not-a-number")
    ran = ready("callbacks", "due")
    assert ran.code == 3
    assert "TWILIO_SMS_FROM" in ran.err
    assert "hunter2" not in ran.err


def test_an_interrupted_command_exits_with_130(ready: Voiceback, monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.callbacks import overview

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(overview, "due", interrupted)
    assert ready("callbacks", "due").code == 130


# --- init -------------------------------------------------------------------------------------------


def test_init_makes_private_keys_and_tells_the_secret_once(voiceback: Voiceback, tmp_path: Path) -> None:
    ran = voiceback("init", "--admin", "boss", "--password-stdin", given="correct horse battery staple\n")
    assert ran.code == 0
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert "correct horse" not in ran.out + ran.err
    secret = next(line for line in ran.out.splitlines() if "TOTP secret" in line).split()[-1]
    assert len(pyotp.TOTP(secret).now()) == 6
    before = (tmp_path / "keys.json").read_bytes()
    again = voiceback("init")
    assert again.code == 0
    assert (tmp_path / "keys.json").read_bytes() == before
    assert secret not in again.out


def test_a_weak_password_is_refused(ready: Voiceback) -> None:
    ran = ready("staff", "add", "x", "--role", "supervisor", "--password-stdin", given="1234\n")
    assert ran.code == 2
    assert "1234" not in ran.out + ran.err


# --- staff ------------------------------------------------------------------------------------------


def test_an_agent_is_added_and_changed_without_her_number_on_the_command_line(ready: Voiceback) -> None:
    given = f"{PASSWORD}\n+84 912 345 678\n"
    flags = ("--role", "agent", "--languages", "vi,en", "--password-stdin", "--phone-stdin")
    added = ready("staff", "add", "lan", *flags, given=given)
    assert added.code == 0
    assert ready("staff", "edit", "Lan", "--languages", "th").code == 0
    assert ready("staff", "edit", "lan", "--phone-stdin", given="+84 912 345 679\n").code == 0
    listed = ready("staff", "list", "--json")
    (lan,) = listed.json
    assert (lan["roles"], lan["languages"], lan["has_phone"]) == (["agent"], ["th"], True)
    assert "912" not in added.out + added.err + listed.out + ready("staff", "list").out


def test_somebody_is_not_half_added_when_the_telephone_is_wrong(ready: Voiceback) -> None:
    given = f"{PASSWORD}\n12\n"
    ran = ready(
        *("staff", "add", "lan", "--role", "agent", "--languages", "vi", "--password-stdin", "--phone-stdin"),
        given=given,
    )
    assert ran.code == 2
    assert ready("staff", "list", "--json").json == []


def test_access_is_taken_away_and_given_back_and_the_last_administrator_stays(ready: Voiceback) -> None:
    for name, role in (("boss", "admin"), ("mira", "supervisor")):
        ready("staff", "add", name, "--role", role, "--password-stdin", given=f"{PASSWORD}\n")
    assert ready("staff", "deactivate", "mira").code == 0
    assert "left: supervisor" in ready("staff", "list").out
    assert ready("staff", "activate", "mira").code == 0
    refused = ready("staff", "deactivate", "boss")
    assert refused.code == 2
    assert "last active administrator" in refused.err
    assert ready("staff", "password", "mira", "--password-stdin", given="a new and long one\n").code == 0
    assert "TOTP secret" in ready("staff", "totp-reset", "mira").out
    assert ready("staff", "deactivate", "nobody").code == 2
    assert ready("staff", "edit", "mira").code == 2


# --- audits -----------------------------------------------------------------------------------------


def test_an_upload_is_reported_as_json_and_again_changes_nothing(ready: Voiceback, tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    path.write_text(recent(), encoding="utf-8")
    first, again = ready("audits", "import", str(path)), ready("audits", "import", str(path))
    assert first.code == again.code == 0
    counts = {"audits": 1, "updated": 0, "rejected": 0, "errors": []}
    assert first.json == counts | {"created": 2, "unchanged": 0}
    assert again.json == counts | {"created": 0, "unchanged": 2}
    assert len(ready("callbacks", "show", "--json").json) == 2


def test_bad_rows_are_told_without_their_values_and_good_rows_go_in(ready: Voiceback, tmp_path: Path) -> None:
    lines = recent().splitlines()
    bad = lines[1].replace(WORKERS[0].number, "12-not-a-number").replace("evening", "at tea time")
    path = tmp_path / "audit.csv"
    path.write_text("\n".join([lines[0], bad, lines[2]]) + "\n", encoding="utf-8")
    ran = ready("audits", "import", str(path))
    assert ran.code == 1
    assert (ran.json["created"], ran.json["rejected"]) == (1, 1)
    assert {error["column"] for error in ran.json["errors"]} == {"phone", "preferred_time"}
    assert {error["line"] for error in ran.json["errors"]} == {2}
    assert all(set(error) == {"line", "column", "code", "message"} for error in ran.json["errors"])
    for value in ("not-a-number", "tea", *SECRETS):
        assert value not in ran.out + ran.err


def test_a_changed_wish_moves_a_callback_that_nobody_dialled(ready: Voiceback, tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    path.write_text(recent(), encoding="utf-8")
    ready("audits", "import", str(path))
    before = {each["id"]: each for each in ready("callbacks", "plan", "--json").json}
    path.write_text(recent().replace("evening", "morning"), encoding="utf-8")
    ran = ready("audits", "import", str(path))
    assert (ran.json["updated"], ran.json["unchanged"]) == (1, 1)
    after = {each["id"]: each for each in ready("callbacks", "plan", "--json").json}
    assert before.keys() == after.keys()
    moved = [key for key in before if before[key]["due_at"] != after[key]["due_at"]]
    assert [after[key]["preference"] for key in moved] == ["morning"]


def test_a_callback_is_moved_in_words_and_back_and_both_are_logged(
    ready: Voiceback, sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "audit.csv"
    path.write_text(recent(), encoding="utf-8")
    ready("audits", "import", str(path))
    before = ready("callbacks", "plan", "--json").json[0]
    moved = ready("callbacks", "move", before["id"], "weekend")
    assert (moved.code, moved.out.endswith("on the worker's clock\n")) == (0, True)
    assert ready("callbacks", "show", before["id"], "--json").json["preference"] == "weekend"
    assert ready("callbacks", "move", before["id"], "some day").code == 2
    assert ready("callbacks", "move", before["id"]).code == 2
    assert ready("callbacks", "move", before["id"], "--back").code == 0
    assert ready("callbacks", "show", before["id"], "--json").json == before
    assert ready("callbacks", "move", before["id"], "--back").code != 0
    database, log = open_database(sqlite_url), table(AccessLog)
    with database.read() as connection:
        done = select(log.c.action).where(log.c.object_kind == "callback").order_by(log.c.id)
        assert list(connection.execute(done).scalars()) == ["move_callback", "undo_move"]
    database.dispose()


def test_a_spreadsheet_is_taken_too(ready: Voiceback, tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for line in recent().splitlines():
        sheet.append(line.split(","))
    book.save(tmp_path / "audit.xlsx")
    ran = ready("audits", "import", str(tmp_path / "audit.xlsx"))
    assert (ran.code, ran.json["created"]) == (0, 2)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n", b"PK\x03\x04broken"])
def test_a_file_that_cannot_be_read_is_refused(ready: Voiceback, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "audit.csv"
    path.write_bytes(content)
    ran = ready("audits", "import", str(path))
    assert ran.code in {1, 2}
    assert ran.out or ran.err


def test_a_missing_file_is_told(ready: Voiceback) -> None:
    assert ready("audits", "import", "nowhere.csv").code == 2


# --- callbacks --------------------------------------------------------------------------------------


@pytest.fixture
def planned(ready: Voiceback, tmp_path: Path) -> Voiceback:
    """The command after an upload."""
    path = tmp_path / "audit.csv"
    path.write_text(recent(), encoding="utf-8")
    assert ready("audits", "import", str(path)).code == 0
    return ready


FIELDS = {"id", "state", "due_at", "window_end", "timezone", "attempts", "give_up_reason"}


@pytest.mark.parametrize(
    "arguments",
    [("callbacks", "show"), ("callbacks", "plan"), ("callbacks", "due"), ("callbacks", "plan", "--explain")],
)
def test_callbacks_are_shown_in_ids_and_codes(planned: Voiceback, arguments: tuple[str, ...]) -> None:
    ran = planned(*arguments, "--json")
    assert ran.code == 0
    for each in ran.json:
        assert set(each) >= FIELDS
        assert datetime.fromisoformat(each["due_at"]).tzinfo is not None
    plain = planned(*arguments)
    assert plain.code == 0
    for secret in SECRETS:
        assert secret not in ran.out + plain.out


def test_one_callback_is_shown_alone(planned: Voiceback) -> None:
    first = planned("callbacks", "show", "--json").json[0]
    assert planned("callbacks", "show", first["id"], "--json").json == first


def test_an_explained_plan_says_why_each_day(planned: Voiceback) -> None:
    (first, *_) = planned("callbacks", "plan", "--explain", "--json").json
    assert {day["code"] for day in first["explanation"]["days"]}


def test_a_policy_is_set_and_shown(planned: Voiceback, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("first_call_day: 1\nlast_call_day: 3\nattempts: unlimited\n", encoding="utf-8")
    before = planned("callbacks", "plan", "--json").json
    ran = planned("policy", "set", "Brand A", str(path))
    assert ran.code == 0
    assert "first_call_day: 1" in planned("policy", "show", "Brand A").out
    after = planned("callbacks", "plan", "--json").json
    assert min(each["due_at"] for each in after) < min(each["due_at"] for each in before)


def test_a_policy_is_previewed_and_taken_back(planned: Voiceback, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("first_call_day: 8\nlast_call_day: 9\nrounds: []\n")
    before = planned("callbacks", "plan", "--json").json
    told = planned("policy", "preview", "Brand A", str(path), "--json").json
    assert (told["workers"], told["changes"]["moved"], told["complete"]) == (2, 2, True)
    plain = planned("policy", "preview", "Brand A", str(path)).out
    assert "2 workers, 2 calls" in plain
    assert not any(secret in plain + json.dumps(told) for secret in SECRETS)
    assert planned("callbacks", "plan", "--json").json == before, "a preview changes nothing"
    planned("policy", "set", "Brand A", str(path))
    due = sorted(each["due_at"] for each in planned("callbacks", "plan", "--json").json)
    assert due == sorted(line["due_at"] for line in told["lines"])
    assert planned("policy", "undo", "Brand A").code == 0
    assert planned("callbacks", "plan", "--json").json == before


def test_a_policy_that_was_never_changed_cannot_be_taken_back(planned: Voiceback) -> None:
    ran = planned("policy", "undo", "Brand A")
    assert ran.code == 2
    assert "never changed" in ran.err


def test_shifts_of_a_factory_are_set_and_shown(planned: Voiceback, tmp_path: Path) -> None:
    path = tmp_path / "shifts.yaml"
    path.write_text("- {days: [mon, tue], from: 07:00, until: '16:00'}\n")
    assert "2 callbacks planned anew" in planned("factories", "shifts", "Blue Works", str(path)).out
    assert "16:00" in planned("factories", "shifts", "Blue Works").out
    (factory,) = planned("factories", "list", "--json").json
    assert factory["shifts"] == [{"days": ["mon", "tue"], "from": "07:00", "until": "16:00"}]
    assert planned("factories", "shifts", "Blue Work").code == 2


@pytest.mark.parametrize("text", ["first_call_dya: 1", "first_call_day: soon", "- 1", "{", "attempts: 0"])
def test_a_wrong_policy_is_refused(planned: Voiceback, tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    assert planned("policy", "set", "Brand A", str(path)).code == 2


def test_an_unknown_client_is_told_with_a_suggestion(planned: Voiceback) -> None:
    ran = planned("policy", "show", "Brand")
    assert ran.code == 2
    assert "Brand A" in ran.err


# --- time and language --------------------------------------------------------------------------------


def test_time_moves_in_a_demo_only(ready: Voiceback) -> None:
    assert ready("clock", "advance", "8h").code == 3
    assert ready("clock", "until", "2099-01-01").code == 3


def test_the_demos_time_moves_forward_only(ready: Voiceback, sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    start_demo_clock(database)
    database.dispose()
    first = datetime.fromisoformat(ready("clock", "advance", "1d12h").out.strip())
    second = datetime.fromisoformat(ready("clock", "advance", "30m").out.strip())
    assert 29 <= (second - first).total_seconds() / 60 <= 32
    assert ready("clock", "until", "2020-01-01T00:00:00+00:00").code == 2
    assert ready("clock", "advance", "soon").code == 2
    assert ready("clock", "advance", "900d").code == 2


def test_detect_gives_one_code_a_line(voiceback: Voiceback) -> None:
    lines = [
        "They have not paid us since January and nobody helps us",
        "Kami belum dibayar sejak bulan Januari dan tidak ada yang membantu kami di pabrik",
        "ကျွန်တော်တို့ လစာ မရသေးပါ",
        "12345",
        "",
    ]
    ran = voiceback("detect", given="\n".join(lines) + "\n")
    assert ran.code == 0
    assert ran.out.split() == ["en", "id", "my", "und", "und"]


# --- the rest -------------------------------------------------------------------------------------------


def test_doctor_names_what_is_missing_and_exits_with_3(ready: Voiceback) -> None:
    ran = ready("doctor", "--json")
    assert ran.code in {0, 3}
    assert all({"level", "subject", "message"} <= set(finding) for finding in ran.json)
    levels = {finding["subject"]: finding["level"] for finding in ran.json}
    assert "error" in levels.values() or "warning" in levels.values() or "off" in levels.values()


def test_verify_log_walks_an_empty_log(ready: Voiceback) -> None:
    ran = ready("verify-log", "--json")
    assert (ran.code, ran.json["findings"]) == (0, [])


def test_flows_are_drawn_and_a_typing_slip_is_met_with_a_suggestion(voiceback: Voiceback) -> None:
    assert "opening" in voiceback("flows", "graph", "callback").out
    slip = voiceback("flows", "graph", "calback")
    assert slip.code == 2
    assert "callback" in slip.err


def test_a_flow_can_be_talked_with(voiceback: Voiceback) -> None:
    ran = voiceback("flows", "try", "callback", "--channel", "voice", given="2\n4\n")
    assert ran.code in {0, 1}
    assert "Is this a good time?" in ran.out


def test_the_command_is_quick_to_help() -> None:
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "--help"],
        capture_output=True,
        env=environment,
        timeout=20,
        check=True,
    )
    assert b"callbacks" in done.stdout
