"""The benchmarks run and tell the truth, at the smallest sizes: no number of theirs is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import channels, drain, flow, inbound, machine, race, report, whole
from benchmarks.databases import prepared
from benchmarks.questions import QUESTIONS, folder_of_flows
from bot.flow.library import Library


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


def test_channels_answer_every_worker_and_the_outbox_sends_every_text_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with prepared("sqlite") as ground, whole.running(ground) as at:
        answered = channels.measure_at(at, ground.version, 4, 1)
        drained = drain.measure_at(at, ground.version, 10, 1)
    assert all(each[0].messages >= 4 for each in answered.values())
    assert drained.texts[0].count >= 10
    channels.show("sqlite", answered)
    drain.show("sqlite", drained)
    told = capsys.readouterr().out
    assert "telegram" in told
    assert "Bare RQ jobs" in told
