"""The benchmarks run and tell the truth, at the smallest sizes: no number of theirs is tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from benchmarks import __main__ as command
from benchmarks import channels, dialling, drain, flow, inbound, machine, race, report, whole
from benchmarks.databases import prepared
from benchmarks.filling import fill
from benchmarks.questions import QUESTIONS, folder_of_flows
from benchmarks.workers import service_of, settings_of
from bot.flow.library import Library
from bot.storage.tables import Attempt, Callback, Message, table

_message = table(Message)
_FILLED = (table(Callback), table(Attempt), _message)


def test_facts_of_the_machine_tell_versions_and_no_paths() -> None:
    facts = "\n".join(machine.facts())
    assert "Python 3." in facts
    assert "granian" in facts
    assert "/" not in facts.replace("(1, 5, 15 minutes)", "")


def test_our_engine_is_led_through_all_twelve_questions(tmp_path: Path) -> None:
    found = flow.lead(Library.open(folder_of_flows(tmp_path)), 0.05)
    assert found.questions == len(QUESTIONS)
    assert found.steps >= len(QUESTIONS)


def test_a_ratio_is_taken_within_each_round() -> None:
    assert report.ratio([10, 20, 30], [10, 10, 10]) == (2, 1, 3)


def test_inbound_counts_rows_and_drives_all_contenders(capsys: pytest.CaptureFixture[str]) -> None:
    found = inbound.measure("sqlite", 0.2, 1)
    assert found.rows >= 4
    assert all(each[0].load.per_second > 0 for each in (found.ours, found.nothing, found.inserts))
    inbound.show("sqlite", found)
    assert f"A message writes {found.rows} rows" in capsys.readouterr().out


def test_race_keeps_every_answer_exactly_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = race.run("sqlite", workers=4, each=4)
    assert found.clean
    assert (found.sent, found.stored, found.deliveries) == (16, 16, 32)
    race.show("sqlite", found)
    assert "Every answer exactly once." in capsys.readouterr().out


def test_channels_answer_the_outbox_sends_every_text_and_each_due_callback_is_dialled_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with prepared("sqlite") as ground, whole.running(ground) as at:
        answered = channels.measure_at(at, ground.version, 4, 1)
        drained = drain.measure_at(at, ground.version, 10, 1)
        dialled = dialling.measure_at(at, ground.version, 3, 1, dialling.claims("sqlite", 3, 1))
    assert all(each[0].messages >= 4 for each in answered.values())
    assert drained.texts[0].count >= 10
    channels.show("sqlite", answered)
    drain.show("sqlite", drained)
    assert dialled.dials[0].count == 3
    dialling.show("sqlite", dialled)
    told = capsys.readouterr().out
    assert "telegram" in told
    assert "Bare RQ jobs" in told
    assert "Due to provider asked" in told


def test_sizes_are_compared_through_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = "size --database sqlite --repeats 1 --callbacks 40 120"
    monkeypatch.setattr("sys.argv", ["python -m benchmarks", *order.split()])
    command.main()
    told = capsys.readouterr().out
    assert "times, at 120" in told
    for name in ("claim", "inbound text", "queue of cases", "callbacks given up", "/metrics", "preview"):
        assert name in told


def test_a_filled_database_is_one_that_the_service_reads(tmp_path: Path) -> None:
    with prepared("sqlite") as ground:
        service = service_of(settings_of(ground, folder_of_flows(tmp_path)))
        heard: list[int] = []
        fill(service, 0, 40, heard.append)
        with service.database.read() as connection:
            some = connection.execute(select(_message).limit(1)).one()
            dangling = connection.execute(text("PRAGMA foreign_key_check")).all()
            numbers = [
                connection.execute(select(func.count()).select_from(each)).scalar_one() for each in _FILLED
            ]
        service.database.dispose()
    assert service.sealer.open_text(f"message.body_sealed:{some.id}", some.body_sealed)
    assert dangling == []
    assert numbers == [40, 38, 380]
    assert heard == [40]
