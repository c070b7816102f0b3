"""The pages on which supervisors work, as they use them."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import insert, select, update
from werkzeug.test import TestResponse

from bot import folding
from bot.cases.lifecycle import CaseState, Severity
from bot.clock import FrozenClock
from bot.ids import new_id
from bot.outbox import queue_row
from bot.service import Service
from bot.staff import Role
from bot.storage.tables import (
    AccessLog,
    Attempt,
    Callback,
    Case,
    Conversation,
    Heartbeat,
    Incident,
    Message,
    Outbox,
    RecordingRow,
    table,
)
from tests.cases.planting import ALIAS, AUDIO, NUMBER, WORDS, Planted, answer, plant
from tests.console.conftest import SignedIn, Visitor, hidden

_log = table(AccessLog)


@pytest.fixture
def supervisor(signed_in: SignedIn) -> Visitor:
    """A supervisor at work."""
    return signed_in(Role.SUPERVISOR)


def page_of(case: Planted) -> str:
    """The address of a case's page."""
    return f"/console/cases/{case.id}"


def do(somebody: Visitor, case: Planted, action: str, **fields: str) -> TestResponse:
    """Send one form of a case's page and follow where it leads."""
    page = page_of(case)
    data = {**hidden(somebody.get(page).text), **fields}
    return somebody.client.post(f"{page}/{action}", data=data, follow_redirects=True)


def readings(service: Service) -> list[tuple[str, str]]:
    """What the access log says, in order."""
    with service.database.read() as connection:
        query = select(_log.c.action, _log.c.object_id).where(_log.c.action != "add_staff")
        rows = connection.execute(query.order_by(_log.c.id))
        return [(row.action, row.object_id) for row in rows]


def test_a_supervisor_never_sees_a_number_or_a_name(
    service: Service, signed_in: SignedIn, case: Planted
) -> None:
    somebody = signed_in(Role.SUPERVISOR, Role.ADMIN)
    words = f"Ini nomor saya: 0812 3456 7890 atau {NUMBER}"
    plant(
        service.database,
        service.sealer,
        service.clock.now(),
        library=service.library,
        words=words,
        number="+628999000111",
    )
    paths = ["/console/cases", "/console/callbacks", "/console/operations", page_of(case)]
    paths += [f"/console/cases?show={show}" for show in ("mine", "closed")]
    pages = [somebody.get(path) for path in paths]
    assert all(page.status_code == 200 for page in pages)
    everything = "".join(page.text + str(page.headers) for page in pages)
    for canary in (NUMBER, NUMBER[1:], NUMBER[3:], "0812 3456", ALIAS, case.contact_id, case.address_id):
        assert canary not in everything


def test_the_queue_shows_what_a_supervisor_needs_to_choose(
    supervisor: Visitor, case: Planted, frozen_clock: FrozenClock
) -> None:
    frozen_clock.advance(timedelta(hours=4, minutes=25))
    page = supervisor.get("/console/cases").text
    for shown in (
        case.reference,
        "S2 high",
        "Received",
        "25 min overdue",
        "received 4 h 25 min ago",
        "Pabrik Maju",
        "Indonesian",
        "nobody yet",
    ):
        assert shown in page, shown


def test_an_empty_queue_says_so(supervisor: Visitor) -> None:
    assert "New ones appear here" in supervisor.get("/console/cases").text
    assert "You work on no open case" in supervisor.get("/console/cases?show=mine").text
    assert "is closed yet" in supervisor.get("/console/cases?show=closed&severity=S1").text


def test_a_long_queue_is_read_page_by_page(service: Service, supervisor: Visitor) -> None:
    planted = {
        plant(service.database, service.sealer, service.clock.now(), number=f"+62812{n:08d}").reference
        for n in range(53)
    }
    first = supervisor.get("/console/cases").text
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following
    second = supervisor.get(following[1].replace("&amp;", "&")).text
    assert 'rel="next"' not in second
    found = [{reference for reference in planted if f">{reference}<" in page} for page in (first, second)]
    assert [len(part) for part in found] == [50, 3]
    assert found[0] | found[1] == planted


@pytest.mark.parametrize("query", ["show=all", "severity=S9", "after=%00", "after=bm90aGluZw", "after=W10"])
def test_an_address_that_makes_no_sense_is_told(supervisor: Visitor, query: str) -> None:
    response = supervisor.get(f"/console/cases?{query}")
    assert response.status_code == 400
    assert "Error 400" in response.text


def test_a_case_page_shows_what_was_said_asked_and_allowed(supervisor: Visitor, case: Planted) -> None:
    page = supervisor.get(page_of(case)).text
    for shown in (
        case.reference,
        "Pabrik Maju",
        "A-1, 2026-02-20",
        "2 Mar 2026, 16:00 (Asia/Jakarta)",
        "Mereka mengancam saya",
        "Apakah aman?",
        "Record the voice",
        "Review by a person",
        'lang="id" dir="auto"',
    ):
        assert shown in page, shown


def test_questions_are_shown_as_they_were_asked(service: Service, supervisor: Visitor, case: Planted) -> None:
    flow = service.library.get("callback")
    question = next(step for step in flow.steps.values() if step.ask is not None and step.ask.choices)
    assert question.ask is not None
    chosen = question.ask.choices[0]
    answer(service.database, case.conversation_id, question.id, chosen.code, service.clock.now())
    page = supervisor.get(page_of(case)).text.replace("&#39;", "'")
    assert question.ask.wording.text in page
    assert chosen.label in page


def test_a_flow_that_nobody_knows_any_more_hides_no_answer(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    with service.database.write() as connection:
        connection.execute(update(table(Conversation)).values(flow="gone", revision="gone"))
    page = supervisor.get(page_of(case)).text
    assert "Anything else" in page
    assert "Mereka mengancam" in page


def test_what_a_worker_writes_cannot_act_on_the_page(supervisor: Visitor, case: Planted) -> None:
    page = supervisor.get(page_of(case)).text
    assert "<script" in WORDS
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;canary&#39;)&lt;/script&gt;" in page


def test_page_titles_hold_nothing_of_the_case(supervisor: Visitor, case: Planted) -> None:
    title = re.search(r"<title>(.*)</title>", supervisor.get(page_of(case)).text)
    assert title
    assert title[1] == "Case · Voiceback"


def test_every_reading_is_in_the_access_log(service: Service, supervisor: Visitor, case: Planted) -> None:
    supervisor.get("/console/cases")
    supervisor.get(page_of(case))
    supervisor.get(f"/console/recordings/{case.recording_id}").close()
    assert sorted(readings(service)[1:]) == [
        ("list_cases", "open"),
        ("play_recording", case.recording_id),
        ("read_case", case.id),
        ("read_transcript", case.conversation_id),
    ]


def test_nothing_is_read_when_the_reading_cannot_be_logged(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    with service.database.write() as connection:
        _log.drop(connection)
    response = supervisor.get(page_of(case))
    assert response.status_code == 500
    assert "Mereka mengancam" not in response.text


def test_a_recording_can_be_played_from_anywhere_in_it(supervisor: Visitor, case: Planted) -> None:
    path = f"/console/recordings/{case.recording_id}"
    with supervisor.get(path) as whole:
        assert (whole.status_code, whole.mimetype, whole.data) == (200, "audio/wav", AUDIO)
    with supervisor.client.get(path, headers={"Range": "bytes=5-9"}) as part:
        assert (part.status_code, part.data) == (206, AUDIO[5:10])
        assert part.headers["Content-Range"] == f"bytes 5-9/{len(AUDIO)}"
    assert supervisor.client.get(path, headers={"Range": "bytes=999999-"}).status_code == 416


def test_a_recording_that_is_no_sound_is_never_shown_as_a_page(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    with service.database.write() as connection:
        connection.execute(update(table(RecordingRow)).values(content_type="text/html"))
    with supervisor.get(f"/console/recordings/{case.recording_id}") as response:
        assert response.mimetype == "application/octet-stream"


def test_a_recording_of_no_case_is_not_there(service: Service, supervisor: Visitor, case: Planted) -> None:
    with service.database.write() as connection:
        connection.execute(update(table(RecordingRow)).values(audio_sealed=None))
    assert supervisor.get(f"/console/recordings/{case.recording_id}").status_code == 404
    assert supervisor.get(f"/console/recordings/{new_id()}").status_code == 404


def test_a_case_that_is_not_there_gives_a_page(supervisor: Visitor) -> None:
    response = supervisor.get(f"/console/cases/{new_id()}")
    assert response.status_code == 404
    assert "There is nothing here" in response.text


def test_a_supervisor_takes_reviews_notes_and_moves_a_case(supervisor: Visitor, case: Planted) -> None:
    assert "You work on this case now." in do(supervisor, case, "take").text
    assert "Marked as reviewed." in do(supervisor, case, "review").text
    noted = do(supervisor, case, "note", note="Called the NGO <b>today</b>").text
    assert "Called the NGO &lt;b&gt;today&lt;/b&gt;" in noted
    assert "S1 critical" in do(supervisor, case, "severity", severity="S1").text
    moved = do(supervisor, case, "move", to="safety_screen").text
    assert "Received → Safety check" in moved
    assert 'Undo: back to "Received"' in moved
    assert "The last move was taken back." in do(supervisor, case, "undo").text


def test_only_allowed_moves_are_offered(supervisor: Visitor, case: Planted) -> None:
    offered = re.findall(r'name="to" value="(\w+)"', supervisor.get(page_of(case)).text)
    assert offered == ["safety_screen", "held_at_worker_request", "withdrawn"]
    refused = do(supervisor, case, "move", to="closed_validated", note="the employer wrote that it is done")
    assert refused.status_code == 400
    assert "the employer wrote that it is done" in refused.text
    assert "The case cannot go there" in refused.text


def test_while_the_worker_is_asked_no_button_confirms_the_remedy(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    with service.database.write() as connection:
        connection.execute(update(table(Case)).values(state=CaseState.WORKER_CHECK))
    page = supervisor.get(page_of(case)).text
    assert "closed_validated" not in page
    assert "Only the worker's own answer" in page.replace("&#39;", "'")


@pytest.mark.parametrize(
    ("action", "fields", "kept"),
    [
        ("move", {"to": "safety_screen", "note": "what I typed"}, "what I typed"),
        ("take", {}, ""),
        ("review", {}, ""),
        ("severity", {"severity": "S4"}, '<option value="S4" selected>'),
    ],
)
def test_a_stale_form_says_so_and_loses_nothing(
    signed_in: SignedIn, case: Planted, action: str, fields: dict[str, str], kept: str
) -> None:
    slow, quick = signed_in(Role.SUPERVISOR, name="slow"), signed_in(Role.SUPERVISOR, name="quick")
    stale = hidden(slow.get(page_of(case)).text)
    do(quick, case, "take")
    response = slow.client.post(f"{page_of(case)}/{action}", data={**stale, **fields})
    assert response.status_code == 409
    assert "Somebody else changed this case meanwhile" in response.text
    assert kept in response.text
    # The page that says so carries the new version: sending it again is a decision, not an accident.
    again = slow.client.post(f"{page_of(case)}/{action}", data={**hidden(response.text), **fields})
    assert again.status_code == 303


def test_a_note_is_kept_even_if_the_case_changed(signed_in: SignedIn, case: Planted) -> None:
    slow, quick = signed_in(Role.SUPERVISOR, name="slow"), signed_in(Role.SUPERVISOR, name="quick")
    stale = hidden(slow.get(page_of(case)).text)
    do(quick, case, "take")
    response = slow.client.post(
        f"{page_of(case)}/note", data={**stale, "note": "not lost"}, follow_redirects=True
    )
    assert "not lost" in response.text


@pytest.mark.parametrize(
    ("action", "fields", "words"),
    [
        ("note", {"note": "   "}, "Write a few words"),
        ("note", {"note": "x" * 4001}, "at most 4000 characters"),
        ("move", {"to": "withdrawn"}, "Write a few words"),
        ("move", {"to": "heaven", "note": "kept"}, "not one of the choices"),
        ("severity", {"severity": "S9"}, "not one of the choices"),
        ("undo", {}, "no change of state to take back"),
        ("take", {"version": "x"}, "form is damaged"),
    ],
)
def test_what_cannot_be_done_is_told(
    supervisor: Visitor, case: Planted, action: str, fields: dict[str, str], words: str
) -> None:
    response = do(supervisor, case, action, **fields)
    assert response.status_code == 400
    assert words in response.text
    assert fields.get("note", "").strip() in response.text


def test_closed_cases_are_listed_apart(service: Service, supervisor: Visitor) -> None:
    closed = plant(
        service.database,
        service.sealer,
        service.clock.now(),
        state=CaseState.CLOSED_UNREACHED,
        severity=Severity.S4,
    )
    assert closed.reference not in supervisor.get("/console/cases").text
    page = supervisor.get("/console/cases?show=closed").text
    assert closed.reference in page
    assert "Closed: worker not reached" in page
    assert "No clock runs." in supervisor.get(page_of(closed)).text


def test_callbacks_are_counted_without_anybody_behind_them(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    now = service.clock.now()
    states = [("scheduled", None), ("scheduled", None), ("given_up", "attempts_used"), ("reached", None)]
    for state, reason in states:
        callback = {
            "id": new_id(),
            "contact_id": case.contact_id,
            "address_id": case.address_id,
            "kind": "audit",
            "round": 1,
            "channel": "voice",
            "language": "id",
            "timezone": "Asia/Jakarta",
            "country": "ID",
            "preference": "evening",
            "first_day": now.date(),
            "last_day": now.date(),
            "state": state,
            "due_at": now + timedelta(hours=2) if state == "scheduled" else None,
            "give_up_reason": reason,
            "attempts": 0,
            "created_at": now,
            "updated_at": now,
        }
        attempt = {
            "id": new_id(),
            "callback_id": callback["id"],
            "n": 1,
            "channel": "voice",
            "state": "settled",
            "disposition": "no_answer",
            "provider_rank": 4,
            "window_end": now,
            "lease_until": now,
            "claimed_at": now,
            "settled_at": now,
        }
        with service.database.write() as connection:
            connection.execute(insert(table(Callback)).values(callback))
            connection.execute(insert(table(Attempt)).values(attempt))
    folding.fold(service)
    page = supervisor.get("/console/callbacks").text
    rows = dict(re.findall(r"<tr><td>([^<]+)</td><td>(\d+)</td></tr>", page))
    assert rows == {"Given up": "1", "Reached": "1", "Attempts used": "1", "No answer": "4"}
    assert "<dt>Scheduled</dt><dd>2</dd>" in page
    assert "in 2 h" in page


def test_an_operator_sees_incidents_and_parts_and_marks_what_was_looked_after(
    service: Service, signed_in: SignedIn
) -> None:
    operator = signed_in(Role.ADMIN)
    now = service.clock.now()
    incident = {
        "id": new_id(),
        "kind": "flow_file",
        "subject": "flows/broken.yaml",
        "count": 3,
        "first_at": now,
        "last_at": now,
    }
    with service.database.write() as connection:
        connection.execute(insert(table(Incident)).values(incident))
        connection.execute(insert(table(Heartbeat)).values(name="clock", at=now, value=0.0))
    page = operator.get("/console/operations").text
    for shown in ("Flow file", "flows/broken.yaml", "silent for", "off: not set", "SMS"):
        assert shown in page, shown
    done = operator.send("/console/operations", f"/console/operations/incidents/{incident['id']}/resolve")
    assert done.status_code == 303
    assert "Nothing needs to be looked at." in operator.get("/console/operations").text
    again = operator.send("/console/operations", f"/console/operations/incidents/{incident['id']}/resolve")
    assert again.status_code == 404


def test_somebody_whose_role_has_no_page_yet_is_told(signed_in: SignedIn) -> None:
    page = signed_in(Role.AUDITOR).get("/console/")
    assert page.status_code == 200
    assert "There is no page for this role" in page.text


# --- what became of what was written ----------------------------------------------------------------


def write(
    service: Service,
    case: Planted,
    state: str,
    *,
    channel: str = "sms",
    direction: str = "out",
    tries: int = 0,
    status: str | None = None,
    code: str | None = None,
    minute: int = 1,
) -> None:
    """One message more in the conversation of a case, as it stands in the outbox."""
    message, now = new_id(), service.clock.now() + timedelta(minutes=minute)
    body = service.sealer.seal_text(f"message.body_sealed:{message}", "Words")
    row = {"conversation_id": case.conversation_id, "address_id": case.address_id}
    sealed = {"body_sealed": body, "status": status, "error_code": code, "status_rank": 0}
    values = row | sealed | {"channel": channel, "direction": direction, "created_at": now}
    with service.database.write() as connection:
        connection.execute(insert(table(Message)).values(id=message, **values))
        if direction == "out":
            queued = queue_row(message, case.address_id, channel, now)
            connection.execute(insert(table(Outbox)).values(queued | {"state": state, "tries": tries}))


BECAME = (
    ("queued", 0, None, None, "waits to be sent"),
    ("leased", 0, None, None, "waits to be sent"),
    ("queued", 1, "queued", "30003", "is tried again (the phone was off or out of reach)"),
    ("sending", 1, None, None, "is being sent"),
    ("unknown", 1, None, None, "perhaps sent; the provider is being asked"),
    ("waiting", 0, "failed", "63016", "waits for the worker's next message"),
    ("sent", 1, "queued", None, "sent"),
    ("sent", 1, "delivered", None, "delivered"),
    ("sent", 1, "read", None, "read"),
    ("sent", 1, "undelivered", "30006", "not delivered (there is nobody at this number or account)"),
    ("failed", 8, "failed", "21610", "not delivered (the worker's provider lets nothing of ours through)"),
    ("failed", 8, "failed", "5.2.2", "not delivered (the mailbox is full)"),
    ("failed", 8, "failed", "99999", "not delivered (the provider's reason is 99999)"),
    ("failed", 8, "failed", None, "not delivered (the reason is not known)"),
    ("cancelled", 0, None, None, "not sent: it meant nothing any more"),
)
"""State in the outbox, tries, the provider's status and code: and the words for it."""


def test_a_supervisor_reads_in_words_what_became_of_every_text(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    for n, (state, tries, status, code, _) in enumerate(BECAME, 1):
        write(service, case, state, tries=tries, status=status, code=code, minute=n)
    page = unescape(supervisor.get(page_of(case)).text)
    told = re.findall(r'<p class="meta">Voiceback · <time[^>]*>[^<]*</time> · ([^<]*)</p>', page)
    assert len(told) >= len(BECAME)
    for (*_, words), found in zip(BECAME, told[-len(BECAME) :], strict=True):
        assert found.endswith(words)


def test_a_talk_that_went_on_elsewhere_reads_as_one_thread(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    write(service, case, "", channel="telegram", direction="in")
    write(service, case, "sent", channel="telegram", status="delivered", minute=2)
    write(service, case, "", channel="voice", direction="in", minute=3)
    page = supervisor.get(page_of(case)).text
    first, second = page.index("Went on by Telegram<"), page.index("Went on by Telephone<")
    assert first < second
    assert page.count("Went on") == 2


def test_a_talk_that_fell_back_says_why_it_went_on_elsewhere(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    write(service, case, "failed", status="failed", code="30005")
    write(service, case, "cancelled", minute=2)
    write(service, case, "sent", channel="email", status="sent", minute=3)
    page = supervisor.get(page_of(case)).text
    assert "Not delivered, so it went on by E-mail, as the worker had allowed" in page


# --- circumstances ----------------------------------------------------------------------------------


def test_circumstances_raise_a_case_by_one_level_and_only_once(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    assert "One level graver, because of" in supervisor.get(page_of(case)).text
    data = {**hidden(supervisor.get(page_of(case)).text), "grounds": ["minor", "dormitory"]}
    path = f"{page_of(case)}/circumstances"
    page = supervisor.client.post(path, data=data, follow_redirects=True).text
    assert "One level graver; the clocks follow." in page
    assert "Graver by its circumstances: S2 → S1" in page
    assert "dormitory, minor" in page
    assert "One level graver, because of" not in page
    do(supervisor, case, "severity", severity="S3")
    again = do(supervisor, case, "circumstances", grounds="migrant")
    assert again.status_code == 400
    assert "raised this case already" in again.text


@pytest.mark.parametrize(("grounds", "told"), [("", "Say which circumstances"), ("rich", "not one of")])
def test_circumstances_must_be_named(supervisor: Visitor, case: Planted, grounds: str, told: str) -> None:
    fields = {"grounds": grounds} if grounds else {}
    refused = do(supervisor, case, "circumstances", **fields)
    assert refused.status_code == 400
    assert told.lower() in refused.text.lower()
