"""Who watches the service sees how it goes, and nobody behind the numbers."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from bot import figures, tally, watch
from bot.callbacks.states import Disposition
from bot.cases.lifecycle import Severity
from bot.clock import FrozenClock
from bot.rates import Cases
from bot.service import Service
from bot.staff import Role
from bot.storage import tables
from bot.storage.tables import table
from bot.tally import Count, What
from console import charts
from tests.cases.planting import plant
from tests.console.conftest import Age, SignedIn
from tests.test_tally import planted


def tiles(page: str) -> dict[str, str]:
    """The big numbers of a page."""
    found = re.findall(r"<dt>([^<]+)</dt><dd>(?:<a[^>]*>)?([^<]*)", page)
    return {label: number.strip() for label, number in found}


@pytest.mark.parametrize("role", [Role.SUPERVISOR, Role.ADMIN])
def test_the_page_of_an_empty_service_says_so(signed_in: SignedIn, role: Role) -> None:
    page = signed_in(role).get("/console/watch")
    assert page.status_code == 200
    assert tiles(page.text)["Due"] == "0"
    assert "No callback was given up." in page.text
    assert "Nobody was called in the last 7 days." in page.text
    assert "No readings yet" in page.text


def test_big_numbers_lead_supervisors_to_the_callbacks_and_administrators_nowhere(
    service: Service, frozen_clock: FrozenClock, signed_in: SignedIn
) -> None:
    callback_id = planted(service, attempts=1)
    callback = table(tables.Callback)
    now = frozen_clock.now()
    with service.database.write() as connection:
        connection.execute(
            update(callback).values(
                state="scheduled",
                due_at=now - timedelta(minutes=6),
                window_end=now + timedelta(hours=1),
            )
        )
    number = {"Due": "1", "Late": "1"}
    seen = signed_in(Role.SUPERVISOR).get("/console/watch").text
    assert number.items() <= tiles(seen).items()
    assert 'href="/console/callbacks?show=late"' in seen
    told = signed_in(Role.ADMIN).get("/console/watch").text
    assert number.items() <= tiles(told).items()
    assert "/console/callbacks" not in told
    listed = signed_in(Role.SUPERVISOR, name="Mira").get("/console/callbacks?show=late").text
    assert callback_id in listed
    assert '<td data-label="Attempts"><span>1</span>' in listed


def test_looking_again_and_again_keeps_no_session_alive(signed_in: SignedIn, age: Age) -> None:
    visitor = signed_in(Role.ADMIN)
    age(seen=timedelta(minutes=20))
    assert visitor.get("/console/watch?watching=1").status_code == 200
    age(seen=timedelta(minutes=31))
    assert visitor.get("/console/watch?watching=1").status_code == 303


def test_cases_are_for_those_who_may_read_them(service: Service, signed_in: SignedIn) -> None:
    now = service.clock.now()
    plant(service.database, service.sealer, now - timedelta(hours=2), severity=Severity.S1)
    seen = signed_in(Role.SUPERVISOR).get("/console/watch").text
    row = re.search(r'<a href="/console/cases\?severity=S1">S1</a>.*?</tr>', seen, re.DOTALL)
    assert row
    assert re.findall(r">(\d+)<", row[0]) == ["1", "1", "0", "0", "0"]
    assert "retaliation" in seen
    told = signed_in(Role.ADMIN).get("/console/watch").text
    assert "Callers and agents" in told
    assert not any(word in told for word in ("retaliation", "S1", "Substantiated", "Open now"))


def test_the_line_and_the_cases_of_a_period_are_shown_with_their_times(
    service: Service, frozen_clock: FrozenClock, signed_in: SignedIn
) -> None:
    today = frozen_clock.now().date()
    earlier = today - timedelta(days=20)
    counts = {
        (today, What.LINE, "talked"): 3,
        (today, What.LINE, "gone"): 1,
        (today, What.LINE_WAIT, "10"): 2,
        (today, What.LINE_WAIT, "90"): 1,
        (today, What.LINE_SECONDS, "talk"): 375,
        (earlier, What.CASE, "opened"): 7,
        (earlier, What.CASE_CLOSE, str(7 * 86400)): 4,
        (earlier - timedelta(days=20), What.CASE, "opened"): 2,
    }
    with service.database.write() as connection:
        summed = {(day, "-", what.value, code): number for (day, what, code), number in counts.items()}
        tally.add(connection, Counter(summed))
    page = re.sub(
        r"</?bdi>|<span class=.unseen.>.*?</span>", "", signed_in(Role.SUPERVISOR).get("/console/watch").text
    )
    assert '<th scope="row">Asked for a person</th><td>4</td><td>4</td>' in page
    assert '<th scope="row">Answer rate</th><td>75.0%</td><td>75.0%</td>' in page
    assert '<th scope="row">Taken within 20 s</th><td>50.0%</td><td>50.0%</td>' in page
    assert '<th scope="row">Wait, at most</th><td>10 s / 90 s</td><td>10 s / 90 s</td>' in page
    assert '<th scope="row">Talk, average</th><td>2:05</td><td>2:05</td>' in page
    assert '<th scope="row">Opened</th><td>7</td><td>9</td>' in page
    assert '<th scope="row">Closed, at most</th><td>7 d / 7 d</td><td>7 d / 7 d</td>' in page
    assert '<th scope="row">Half of all, open ones too, closed within</th><td></td><td>7 d</td>' in page


def test_the_week_is_shown_beside_the_day(
    service: Service, frozen_clock: FrozenClock, signed_in: SignedIn
) -> None:
    today = frozen_clock.now().date()
    days = {today: 3, today - timedelta(days=6): 4, today - timedelta(days=7): 100}
    with service.database.write() as connection:
        for day, number in days.items():
            connection.execute(
                insert(table(tables.Tally)).values(
                    day=day, client_id="-", what="dialled", code="inside", number=number
                )
            )
    page = signed_in(Role.ADMIN).get("/console/watch").text
    assert '<th scope="row">Dialled</th><td>3</td><td>7</td>' in page
    assert f"{today.isoformat()}: 3" in page


# --- what the numbers mean ------------------------------------------------------------------------


def of(**counts: dict[str, int]) -> figures.Sums:
    """Some sums."""
    return figures.sums(
        Count(tally.ALL_DAYS, "-", What[what.upper()].value, code, number)
        for what, codes in counts.items()
        for code, number in codes.items()
    )


@pytest.mark.parametrize(
    ("counts", "name", "value"),
    [
        ({"attempt": {"completed": 2, "no_answer": 3, "released": 9}, "outcome": {"I": 2}}, "attempts_per_complete", 2.5),
        ({"dialled": {"inside": 9, "outside": 1}}, "in_window", 0.9),
        ({"dialled": {"inside": 9}, "missed": {"window": 1}}, "broken", 0.1),
        ({"dialled": {"inside": 9}, "missed": {"window": 1}}, "promised", 10),
        ({"heard": {"answered": 4, "safe": 3}}, "safe", 0.75),
        ({"heard": {"began": 4, "finished": 1}}, "completion", 0.25),
        ({"ended": {"reached": 2, "refused": 1, "unsafe": 1, "given_up period_over": 5}}, "otherwise", 2),
        ({"ended": {"given_up period_over": 5, "reached": 1}}, "given_up", {"period_over": 5}),
        ({"outcome": {"I": 1, "NC": 2}}, "cases", Cases(complete=1, non_contact=2)),
        ({}, "attempts_per_complete", None),
        ({}, "in_window", None),
        ({}, "broken", None),
    ],
)  # fmt: skip
def test_each_number_of_a_period_is_its_formula(
    counts: dict[str, dict[str, int]], name: str, value: object
) -> None:
    assert getattr(figures.calls(of(**counts)), name) == value


def test_only_attempts_that_were_not_released_count_as_attempts() -> None:
    every = {each.value: 1 for each in Disposition}
    assert figures.calls(of(attempt=every, outcome={"I": 1})).attempts_per_complete == len(Disposition) - 1


def test_a_curve_rises_with_its_readings(service: Service, frozen_clock: FrozenClock) -> None:
    for due in (0, 10, 5):
        with service.database.write() as connection:
            found = watch.read(connection, frozen_clock.now())
            changed = {name: getattr(found, name) for name in found.__slots__} | {"due": due}
            watch.note(connection, watch.Now(**changed), frozen_clock.now())
        frozen_clock.advance(timedelta(minutes=1))
    now = frozen_clock.now()
    with service.database.read() as connection:
        readings = watch.history(connection, "due", now - timedelta(hours=1))
    drawn = charts.curve(readings, now - timedelta(hours=1), now)
    assert drawn is not None
    assert (drawn.top, drawn.last) == (10, 5)
    heights = [float(point.split(",")[1]) for point in drawn.points.split()]
    assert heights[1] < heights[2] < heights[0]
