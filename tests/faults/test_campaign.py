"""A short campaign of faults on each database; ``python -m tests.faults.campaign`` makes long ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.faults.campaign import run
from tests.faults.schedule import Kind, schedule

FAULTS = 8


def test_a_seed_makes_the_same_schedule_again() -> None:
    assert schedule(7, 200, "sqlite") == schedule(7, 200, "sqlite")
    assert schedule(7, 200, "sqlite") != schedule(8, 200, "sqlite")


def test_a_long_schedule_has_every_kind_of_fault() -> None:
    assert {fault.kind for fault in schedule(7, 60, "postgresql")} == set(Kind)
    assert Kind.CRASH_DATABASE not in {fault.kind for fault in schedule(7, 500, "sqlite")}


def test_a_few_faults_break_no_promise(tmp_path: Path, database_url: str) -> None:
    outcome = run(tmp_path, database_url, FAULTS, seed=7)
    assert outcome.broken == [], "\n".join(outcome.lines())
    assert sum(outcome.struck.values()) == FAULTS
    assert outcome.dials, "there were calls to go wrong"
    assert Counter(outcome.dispositions).total() >= outcome.dials
