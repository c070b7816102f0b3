"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from console.timing import iso, local, span

AT = datetime(2026, 3, 2, 20, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=20), "less than 1 min"),
        (timedelta(minutes=25), "25 min"),
        (timedelta(minutes=60), "1 h"),
        (timedelta(hours=3, minutes=4), "3 h 4 min"),
        (timedelta(days=2, minutes=4), "2 d"),
        (timedelta(days=2, hours=5, minutes=4), "2 d 5 h"),
        (-timedelta(minutes=25), "25 min"),
    ],
)
def test_a_length_is_told_in_its_two_largest_units(length: timedelta, words: str) -> None:
    assert span(length) == words


def test_an_instant_is_told_on_the_workers_wall_clock_with_its_zone() -> None:
    assert local(AT, "Asia/Kathmandu") == "3 Mar 2026, 01:50 (Asia/Kathmandu)"
    assert local(AT) == "2 Mar 2026, 20:05 (UTC)"
    assert local(AT, "Nowhere/At-All") == "2 Mar 2026, 20:05 (UTC)"
    assert iso(AT) == "2026-03-02T20:05:09Z"
