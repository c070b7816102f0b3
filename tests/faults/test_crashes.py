"""Kill -9 at moments that nobody picked; ``python -m tests.faults.crashes`` takes all of them, on each database."""

from __future__ import annotations

import subprocess
import sys

from tests.faults.tap import Deed, Moment, Point, label, moments, without_ids
from tests.journeys.world import ROOT

PLOTS = ("no reports", "text")
EVERY = 8
"""So many moments are left to the command for each that is taken here."""


def beat(unit: int, *what: str) -> list[Moment]:
    """A beat of the clock in which this was done."""
    return [Moment("clock", Point("beat", unit, n), each) for n, each in enumerate(what)]


WRITES = ("BEGIN", "SELECT callback", "UPDATE callback", "commit", "committed", "enqueue RPUSH")
READS = ("BEGIN", "SELECT callback", "commit", "committed")


def test_every_moment_of_a_step_is_one_to_be_killed_at() -> None:
    found = moments(beat(0, *WRITES), "clock", set(), lasting_only=False)
    assert [each.what for each in found] == list(WRITES)


def test_what_was_done_before_is_not_done_again() -> None:
    known: set[Deed] = set()
    seen = [*beat(0, *WRITES), *beat(1, *WRITES), *beat(2, *READS, *WRITES)]
    found = moments(seen, "clock", known, lasting_only=True)
    assert {each.point.unit for each in found} == {0}
    assert moments(seen, "clock", known, lasting_only=True) == []


def test_a_commit_of_nothing_leaves_nothing_behind() -> None:
    assert moments(beat(0, *READS), "clock", set(), lasting_only=True) == []
    found = moments(beat(0, *READS, *WRITES), "clock", set(), lasting_only=True)
    assert [each.what for each in found] == ["commit", "committed", "enqueue RPUSH"]


def test_a_moment_is_told_without_ids_and_numbers() -> None:
    assert label("UPDATE attempt SET state=:state WHERE attempt.id = :id") == "UPDATE attempt"
    assert without_ids(f"/channels/voice/turn/{'0a' * 16}?n=3") == "/channels/voice/turn/*?n=3"
    assert "81200000001" not in without_ids("/sim/handsets/+6281200000001")


def test_a_process_killed_at_any_moment_calls_nobody_twice_and_loses_nothing() -> None:
    # A process of its own, without threads, because it forks.
    wanted = [word for plot in PLOTS for word in ("--plot", plot)]
    told = subprocess.run(
        [sys.executable, "-m", "tests.faults.crashes", "--lasting", "--every", str(EVERY), *wanted],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert [line.partition(":")[0] for line in told.stdout.splitlines()] == list(PLOTS)
