"""What goes wrong is told to administrators once, shows where operators look, and is over by itself."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import requests
from flask.testing import FlaskClient
from pydantic import SecretStr

from bot import alerts, health, incidents, pace, staff, tick, troubles
from bot.clock import wall_time
from bot.incidents import IncidentKind
from bot.staff import Role
from bot.storage import tables
from channels import doctor
from tests.journeys.test_callback import Mailbox, mailbox, sign_in  # noqa: F401 - a fixture
from tests.journeys.world import Worker, World

PASSWORD = "correct horse battery staple"
EVENING = "2026-03-02T18:01:00+07:00"
FIVE = tuple(Worker(number=f"+628120000001{n}", alias=f"W-{n}") for n in range(5))


@pytest.fixture
def watched(sqlite_world: World) -> World:
    """A world with an administrator who reads mail."""
    service = sqlite_world.service
    staff.add(
        service.database, service.sealer, service.clock, "Ada", PASSWORD, [Role.ADMIN], "ada@example.org"
    )
    return sqlite_world


def alarms(world: World) -> set[tuple[str, str]]:
    """Kind and subject of the open incidents that the rules opened."""
    kinds = {"clock", "lateness", "backlog", "errors", "number_blocked"}
    return {(kind, subject) for kind, subject in world.incidents() if kind in kinds}


def told(world: World) -> int:
    """How many notices were written to administrators."""
    return sum(row.template == "operations" for row in world.rows(tables.Outbox))


def look(world: World, after: timedelta = timedelta(seconds=31)) -> None:
    """Let time pass, and the clock look."""
    world.pass_time(after)
    list(tick.beat(world.service))


# --- the clock ------------------------------------------------------------------------------------


def test_a_clock_that_stops_is_noticed_by_the_web_process_and_is_over_when_it_beats(watched: World) -> None:
    tick.alive(watched.service, tick.CLOCK)
    watched.pass_time(timedelta(seconds=50))
    requests.get(watched.url + "/readyz", timeout=10)
    assert alarms(watched) == set()
    watched.pass_time(timedelta(seconds=20))
    for _ in range(2):
        requests.get(watched.url + "/readyz", timeout=10)
    assert alarms(watched) == {("clock", "clock")}
    look(watched)
    assert alarms(watched) == set()


def test_administrators_are_told_of_a_stopped_clock_past_the_outbox(
    watched: World,
    mailbox: tuple[Mailbox, str],  # noqa: F811 - the fixture that is imported above
) -> None:
    box, address = mailbox
    changes = {"smtp_url": SecretStr(address), "email_from": "voiceback@example.org"}
    object.__setattr__(watched.service, "settings", watched.service.settings.model_copy(update=changes))
    tick.alive(watched.service, tick.CLOCK)
    watched.pass_time(timedelta(seconds=70))
    for _ in range(2):
        # Closed, because the mail is sent after the answer.
        watched.app.test_client().get("/readyz").close()
    ((to, letter),) = box.letters
    assert to == ["ada@example.org"]
    assert b"Subject: Voiceback: please look now" in letter
    assert b"clock" not in letter


def test_doctor_readiness_and_the_alarm_agree_when_the_clock_has_stopped(watched: World) -> None:
    def told() -> tuple[bool, bool]:
        """Whether doctor and readiness complain."""
        ready = {check.name: check.ok for check in health.checks(watched.service)}
        return any(finding.subject == "clock" for finding in doctor._health(watched.service)), not ready[
            "clock"
        ]

    assert told() == (True, True)
    tick.alive(watched.service, tick.CLOCK)
    watched.pass_time(alerts.CLOCK_STOPPED - timedelta(seconds=20))
    assert (told(), alerts.clock_stopped(watched.service)) == ((False, False), False)
    watched.pass_time(timedelta(seconds=30))
    assert (told(), alerts.clock_stopped(watched.service)) == ((True, True), True)
    (finding,) = [each for each in doctor._health(watched.service) if each.subject == "clock"]
    assert re.search(r"has not beaten for \d+ s: `voiceback work`", finding.message)


def test_a_service_whose_clock_never_ran_is_not_stopped(watched: World) -> None:
    requests.get(watched.url + "/readyz", timeout=10)
    assert alarms(watched) == set()


# --- lateness -------------------------------------------------------------------------------------


def test_dials_that_are_late_raise_one_alarm_that_is_over_when_they_are_made(watched: World) -> None:
    watched.interviewed(*FIVE)
    watched.at(EVENING)
    pace.make(watched.service.database, pace.CALLS, watched.clock.now())
    for minutes in range(6):
        shut(watched)
        look(watched, timedelta(minutes=3))
        assert alarms(watched) == ({("lateness", "callbacks")} if minutes >= 4 else set())
    assert told(watched) == 1
    watched.pass_time(timedelta(minutes=5))
    watched.rest()
    look(watched, timedelta(minutes=6))
    assert alarms(watched) == set()
    assert told(watched) == 1


def shut(world: World) -> None:
    """Twilio wants to be left alone for a while."""
    with world.service.database.write() as connection:
        pace.close(connection, pace.CALLS, wall_time() + timedelta(minutes=4))


def test_dials_that_get_later_and_later_raise_an_alarm_before_they_are_too_late(watched: World) -> None:
    an_hour = watched.service.settings.model_copy(update={"alert_late_minutes": 60})
    object.__setattr__(watched.service, "settings", an_hour)
    watched.interviewed(*FIVE)
    watched.at(EVENING)
    pace.make(watched.service.database, pace.CALLS, watched.clock.now())
    raised = []
    for _ in range(7):
        shut(watched)
        look(watched, timedelta(minutes=3))
        raised.append(bool(alarms(watched)))
    # There is no quarter of an hour to compare with before the sixth.
    assert raised == [False] * 5 + [True] * 2
    assert (alarms(watched), told(watched)) == ({("lateness", "callbacks")}, 1)
    watched.pass_time(timedelta(minutes=5))
    watched.rest()
    look(watched, timedelta(minutes=6))
    assert (alarms(watched), told(watched)) == (set(), 1)


def test_what_is_over_is_listed_as_recovered_for_a_day(watched: World) -> None:
    with watched.service.database.write() as connection:
        incidents.begin(connection, IncidentKind.LATENESS, "callbacks", watched.clock.now())
    visitor = watched.app.test_client()
    sign_in(visitor, secret_of(watched, "supervisor"))
    assert "Recovered within a day" not in operations(visitor)
    look(watched, timedelta(minutes=6))
    assert alarms(watched) == set()
    page = operations(visitor)
    recovered = page.partition("Recovered within a day")[2]
    assert "Lateness <code>callbacks</code>" in recovered
    assert "Nothing needs to be looked at." in page
    watched.clock.advance(timedelta(hours=25))
    assert "Recovered within a day" not in operations(visitor)


def secret_of(world: World, name: str) -> str:
    """Somebody who may look at operations; gives the secret of her one-time passwords."""
    service = world.service
    return staff.add(service.database, service.sealer, service.clock, name, PASSWORD, [Role.ADMIN])


def operations(visitor: FlaskClient) -> str:
    """The page of operations."""
    return visitor.get("/console/operations").text


# --- numbers and providers ------------------------------------------------------------------------


def test_calls_that_are_refused_in_a_row_are_a_blocked_number(watched: World) -> None:
    watched.interviewed(*FIVE)
    for worker in FIVE:
        watched.network.post("/sim/errors", number=worker.number, call="failed", sip=603)
    watched.at(EVENING)
    watched.rest()
    look(watched)
    assert alarms(watched) == {("number_blocked", "voice ID refused")}
    look(watched, timedelta(minutes=40))
    assert (alarms(watched), told(watched)) == ({("number_blocked", "voice ID refused")}, 1)
    look(watched, timedelta(minutes=31))
    look(watched, timedelta(minutes=6))
    assert alarms(watched) == set()


def test_one_worker_who_declines_is_no_blocked_number(watched: World) -> None:
    watched.interviewed(*FIVE[:1])
    watched.network.post("/sim/errors", number=FIVE[0].number, call="failed", sip=603)
    watched.at(EVENING)
    watched.rest()
    look(watched)
    assert alarms(watched) == set()


def test_a_number_that_may_not_send_is_told_at_the_first_text(watched: World) -> None:
    watched.network.post("/sim/errors", number="+6281277788899", create=21606)
    watched.network.text("+6281277788899", "They have not paid us since January, nobody helps us")
    watched.network.idle()
    watched.run()
    look(watched)
    assert alarms(watched) == {("number_blocked", "sms ID 21606")}
    assert told(watched) == 1
    assert "77788899" not in str(watched.rows(tables.Trouble)) + str(watched.rows(tables.Incident))


@pytest.mark.parametrize(("missing", "found"), [(1, set()), (0, {("number_blocked", "sms ID 30007")})])
def test_one_filtered_text_is_no_blocked_number_and_many_are(
    watched: World, missing: int, found: set[tuple[str, str]]
) -> None:
    with watched.service.database.write() as connection:
        for _ in range(watched.service.settings.alert_refused - missing):
            troubles.note(connection, "sms", "ID", "30007", "", watched.clock.now())
    look(watched)
    assert alarms(watched) == found


def test_a_text_that_the_worker_blocked_is_no_alarm(watched: World) -> None:
    watched.network.post("/sim/errors", number="+6281277788899", create=21610)
    watched.network.text("+6281277788899", "They have not paid us since January, nobody helps us")
    watched.network.idle()
    watched.run()
    look(watched)
    assert [(row.code, row.ours) for row in watched.rows(tables.Trouble)] == [("21610", False)]
    assert alarms(watched) == set()


def test_a_provider_that_fails_often_is_told(watched: World) -> None:
    numbers = [f"+62812777888{n:02}" for n in range(12)]
    for number in numbers:
        watched.network.post("/sim/errors", number=number, create=20003)
        watched.network.text(number, "They have not paid us since January, nobody helps us")
    watched.network.idle()
    watched.run()
    look(watched)
    assert alarms(watched) == {("errors", "sms")}
    look(watched, timedelta(minutes=16))
    look(watched, timedelta(minutes=6))
    assert alarms(watched) == set()
    assert told(watched) == 1


def test_texts_that_nobody_sends_are_a_backlog(watched: World) -> None:
    watched.network.text("+6281277788899", "They have not paid us since January, nobody helps us")
    watched.network.idle()
    list(tick.beat(watched.service))
    for _ in range(11):
        # Leases run out and the texts are queued again, because no worker runs.
        shut_texts(watched)
        look(watched, timedelta(minutes=2))
    assert ("backlog", "sms") in alarms(watched)
    watched.pass_time(timedelta(minutes=5))
    watched.run()
    look(watched, timedelta(minutes=6))
    assert alarms(watched) == set()


def shut_texts(world: World) -> None:
    """The provider of texts wants to be left alone."""
    with world.service.database.write() as connection:
        pace.close(connection, "sms", wall_time() + timedelta(minutes=5))
