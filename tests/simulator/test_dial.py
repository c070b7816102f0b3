"""Calls that are joined: conferences, telephones that ring for a caller, and what the customer is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.simulator.conftest import HOTLINE, WORKER, Customer, Json, Page, Twilio, eventually, refused, steps

AGENT = "+15005550020"
SECOND = "+15005550021"
EVENTS = 'statusCallback="/room" statusCallbackEvent="start end join leave mute hold"'
MODERATED = 'endConferenceOnExit="true"'
WORDS = {"speak": "They kept my passport.", "seconds": 3}
HELLO = {"speak": "Hello, this is the hotline.", "seconds": 2}
ACCEPT = '<Gather numDigits="1" action="/accepted" timeout="5"><Say>Press 1</Say></Gather><Hangup/>'


def stays(*words: Json) -> Json:
    """Somebody who says ``words`` when another is on the line, and stays until the other hangs up."""
    return {"steps": [{"talk": list(words)}] if words else [], "then": "silent"}


def leaves(*words: Json) -> Json:
    """Somebody who says ``words`` when another is on the line, and hangs up."""
    return {"steps": [{"talk": [*words, {"hangup": True}]}]}


def heard(call: Json) -> list[str]:
    """What the others said, as this call heard it."""
    return [step["text"] for step in steps(call, "heard")]


def said(call: Json) -> list[str]:
    """What the customer's documents said in this call."""
    return [step["text"] for step in steps(call, "say")]


@dataclass
class Case:
    """A worker who waits in a conference, and an agent who is called into it."""

    twilio: Twilio
    customer: Customer

    def wait(self, worker: object, attributes: str = "", dial: str = "") -> str:
        """Let the worker wait; the SID of the call."""
        room = f'<Conference startConferenceOnEnter="false" {attributes}>case-1</Conference>'
        self.customer.pages["/worker"] = f'<Dial action="/after" {dial}>{room}</Dial>'
        self.twilio.script(worker)
        caller = self.twilio.call(url=self.customer.url + "/worker")
        self.twilio.until(caller, doing="waiting")
        return caller

    def call_agent(self, agent: object, attributes: str = MODERATED, number: str = AGENT) -> str:
        """Call an agent into the conference; the SID of the call."""
        room = f"<Conference {attributes}>case-1</Conference>"
        self.customer.pages["/agent"] = f'<Dial action="/agent/after">{room}</Dial>'
        self.twilio.post("/sim/handsets", number=number, script=agent)
        return self.twilio.call(to=number, url=self.customer.url + "/agent")

    def run(self, worker: object, agent: object, waiting: str = "", joining: str = MODERATED) -> list[Json]:
        """From the waiting to the end; both calls."""
        sids = [self.wait(worker, waiting), self.call_agent(agent, joining)]
        self.twilio.idle()
        return [self.record(sid) for sid in sids]

    def meet(self, waiting: str = EVENTS, joining: str = MODERATED) -> tuple[str, str]:
        """Both in a talk that goes on until something happens; the SIDs."""
        caller, called = self.wait(stays(), waiting), self.call_agent(stays(), joining)
        self.twilio.until(caller, doing="talk")
        self.twilio.until(called, doing="talk")
        return caller, called

    def record(self, sid: str) -> Json:
        """A call with its steps."""
        call: Json = self.twilio.get(f"/sim/calls/{sid}")
        return call

    def room(self) -> Any:
        """The newest conference, through the SDK."""
        return self.twilio.client.conferences.list()[0]

    def told(self) -> list[str]:
        """The events of the conference in the order in which they were told."""
        return [form["StatusCallbackEvent"] for form in self.customer.forms("/room")]


@pytest.fixture
def case(twilio: Twilio, customer: Customer) -> Case:
    return Case(twilio, customer)


# Conferences


def test_each_hears_what_the_other_says(case: Case) -> None:
    worker, agent = case.run(stays(WORDS), leaves(HELLO, {"pause": 5}))
    assert heard(worker) == [HELLO["speak"]]
    assert heard(agent) == [WORDS["speak"]]
    assert steps(worker, "joined")[0]["others"] == [agent["sid"]]


def test_the_one_who_waits_hears_music_until_the_other_comes(case: Case) -> None:
    worker, agent = case.run(stays(), leaves())
    kinds = [step["kind"] for step in worker["steps"]]
    assert kinds.index("music") < kinds.index("joined")
    assert steps(agent, "music") == []


def test_the_conference_reports_who_comes_and_goes(case: Case) -> None:
    worker, agent = case.run(stays(), leaves(HELLO), waiting=EVENTS)
    forms = case.customer.forms("/room")
    assert [(form["StatusCallbackEvent"], form.get("CallSid")) for form in forms[:4]] == [
        ("participant-join", worker["sid"]),
        ("participant-join", agent["sid"]),
        ("conference-start", None),
        ("participant-leave", agent["sid"]),
    ]
    assert forms[3]["ReasonParticipantLeft"] == "participant_hung_up"
    ends = {form["StatusCallbackEvent"]: form for form in forms[4:]}
    assert ends["conference-end"]["CallSidEndingConference"] == agent["sid"]
    assert ends["participant-leave"]["ReasonParticipantLeft"] == "moderator_ended_conference"
    assert [form["SequenceNumber"] for form in forms] == ["1", "2", "3", "4", "5", "6"]
    assert len({form["ConferenceSid"] for form in forms}) == 1
    assert all(hit.genuine for hit in case.customer.at("/room"))


def test_only_the_events_that_were_asked_for_are_told(case: Case) -> None:
    case.run(stays(), leaves(), waiting='statusCallback="/room" statusCallbackEvent="end"')
    assert case.told() == ["conference-end"]


def test_the_first_to_come_says_where_the_events_go(case: Case) -> None:
    case.run(stays(), leaves(), waiting=EVENTS, joining=f'{MODERATED} statusCallback="/elsewhere"')
    assert case.customer.at("/elsewhere") == []
    assert len(case.told()) == 6


def test_when_the_moderator_leaves_the_others_dial_ends_and_its_action_is_asked(case: Case) -> None:
    case.customer.pages["/after"] = "<Say>Goodbye</Say>"
    worker, _ = case.run(stays(), leaves(HELLO))
    (form,) = case.customer.forms("/after")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("answered", "true")
    assert form["CallStatus"] == "in-progress"
    assert "DialCallSid" not in form
    assert "DialCallDuration" not in form
    assert said(worker) == ["Goodbye"]


def test_when_an_ordinary_participant_leaves_the_other_stays(case: Case) -> None:
    caller = case.wait(stays())
    agent = case.call_agent(leaves(HELLO), attributes="")
    case.twilio.until(agent, status="completed")
    assert case.record(caller)["doing"] == "talk"
    assert case.room().status == "in-progress"


def test_the_action_is_told_even_when_the_one_who_waits_hangs_up(case: Case) -> None:
    case.customer.pages["/after"] = "<Say>Never heard</Say>"
    caller = case.wait(stays(), EVENTS)
    case.twilio.post(f"/sim/handsets/{WORKER}/hangup")
    case.twilio.idle()
    (form,) = case.customer.forms("/after")
    assert (form["DialCallStatus"], form["DialBridged"], form["CallStatus"]) == (
        "answered",
        "false",
        "completed",
    )
    assert said(case.record(caller)) == []
    assert case.told() == ["participant-join", "participant-leave", "conference-end"]


def test_the_same_name_after_the_end_is_another_conference(case: Case) -> None:
    case.run(stays(), leaves())
    case.run(stays(), leaves())
    rooms = case.twilio.client.conferences.list(friendly_name="case-1")
    assert [room.status for room in rooms] == ["completed", "completed"]
    assert rooms[0].sid != rooms[1].sid


def test_a_new_document_takes_a_participant_out_and_its_action_is_not_asked(case: Case) -> None:
    case.customer.pages["/voicemail"] = "<Say>Leave a message</Say>"
    caller = case.wait(stays(), EVENTS)
    case.twilio.client.calls(caller).update(url=case.customer.url + "/voicemail")
    case.twilio.idle()
    assert said(case.record(caller)) == ["Leave a message"]
    assert case.customer.at("/after") == []
    form = next(form for form in case.customer.forms("/room") if "ReasonParticipantLeft" in form)
    assert form["ReasonParticipantLeft"] == "participant_updated_via_api"


def test_a_new_document_in_the_middle_of_a_talk_leaves_the_other_behind(case: Case) -> None:
    case.customer.pages["/moved"] = "<Say>Please wait</Say>"
    caller, called = case.meet(joining="")
    case.twilio.client.calls(caller).update(url=case.customer.url + "/moved")
    case.twilio.until(caller, status="completed")
    assert said(case.record(caller)) == ["Please wait"]
    assert case.record(called)["doing"] == "talk"


def test_a_participant_who_is_called_away_can_come_back(case: Case) -> None:
    caller, called = case.meet(joining="")
    case.twilio.client.calls(caller).update(url=case.customer.url + "/worker")
    eventually(lambda: len(steps(case.record(caller), "joined")) == 2)
    assert [step["others"] for step in steps(case.record(caller), "joined")] == [[called], [called]]


@pytest.mark.parametrize(
    ("what", "reason"),
    [("end", "conference-ended-via-api"), ("kick", "participant-with-end-conference-on-exit-kicked")],
)
def test_the_rest_api_ends_a_conference_or_sends_somebody_away(case: Case, what: str, reason: str) -> None:
    _, called = case.meet()
    room = case.room()
    if what == "end":
        case.twilio.client.conferences(room.sid).update(status="completed")
    else:
        case.twilio.client.conferences(room.sid).participants(called).delete()
    case.twilio.idle()
    ended = case.twilio.client.conferences(room.sid).fetch()
    assert (ended.status, ended.reason_conference_ended) == ("completed", reason)
    assert len(case.customer.at("/after")) == len(case.customer.at("/agent/after")) == 1


def test_the_rest_api_lists_who_is_in_a_conference(case: Case) -> None:
    caller, called = case.meet(waiting='participantLabel="worker"')
    (room,) = case.twilio.client.conferences.list(status="in-progress")
    assert room.friendly_name == "case-1"
    people = {each.call_sid: each for each in case.twilio.client.conferences(room.sid).participants.list()}
    assert set(people) == {caller, called}
    assert (people[caller].label, people[caller].start_conference_on_enter) == ("worker", False)
    assert people[called].end_conference_on_exit
    case.twilio.client.calls(called).update(status="completed")
    case.twilio.idle()
    assert case.twilio.client.conferences(room.sid).participants.list() == []


def test_a_muted_participant_is_heard_by_nobody(case: Case) -> None:
    worker, agent = case.run(stays(WORDS), leaves({"pause": 10}), waiting='muted="true"')
    assert [step["text"] for step in steps(worker, "speech")] == [WORDS["speak"]]
    assert heard(agent) == []


def test_muting_is_reported(case: Case) -> None:
    caller, _ = case.meet()
    worker = case.twilio.client.conferences(case.room().sid).participants(caller)
    assert worker.update(muted=True).muted
    assert not worker.update(muted=False).muted
    case.twilio.client.calls(caller).update(status="completed")
    case.twilio.post(f"/sim/handsets/{AGENT}/hangup")
    case.twilio.idle()
    assert case.told()[3:5] == ["participant-mute", "participant-unmute"]


def test_whoever_is_on_hold_hears_music_and_not_the_others(case: Case) -> None:
    case.customer.pages["/hold"] = "<Say>One moment</Say>"
    caller, called = case.meet()
    worker = case.twilio.client.conferences(case.room().sid).participants(caller)
    assert worker.update(hold=True, hold_url=case.customer.url + "/hold").hold
    case.twilio.until(caller, doing="waiting")
    case.twilio.post(f"/sim/handsets/{AGENT}/speak", text="Can you look this up?", seconds=1)
    eventually(lambda: bool(steps(case.record(called), "speech")))
    worker.update(hold=False)
    case.twilio.until(caller, doing="talk")
    case.twilio.post(f"/sim/handsets/{AGENT}/speak", text="I am back.", seconds=1)
    case.twilio.client.calls(called).update(status="completed")
    case.twilio.idle()
    assert [hit.method for hit in case.customer.at("/hold")] == ["GET"]
    assert "Can you look this up?" not in heard(case.record(caller))
    assert case.told()[3:5] == ["participant-hold", "participant-unhold"]


@pytest.mark.parametrize(
    ("music", "words", "asked"),
    [
        ("<Say>All are busy</Say><Pause/>", ["All are busy"], 1),
        ('<Say>Music</Say><Redirect method="GET">music?n=2</Redirect>', ["Music", "Music"], 2),
    ],
)
def test_a_wait_document_is_played_while_somebody_waits(
    case: Case, music: str, words: list[str], asked: int
) -> None:
    case.customer.pages["/music"] = lambda hit: music if hit.method == "POST" else "<Say>Music</Say>"
    caller = case.wait(stays(), 'waitUrl="/music"')
    eventually(lambda: said(case.record(caller)) == words)
    case.twilio.client.calls(caller).update(status="completed")
    assert len(case.customer.at("/music")) == asked


@pytest.mark.parametrize(
    "music", [Page(status=500), "<Gather/>", "<Hangup/>", Page(b"words", content_type="text/plain")]
)
def test_a_wait_document_that_cannot_be_played_ends_the_dial(case: Case, music: str | Page) -> None:
    case.customer.pages["/music"] = music
    case.customer.pages["/worker"] = (
        '<Dial action="/after"><Conference waitUrl="/music">case-1</Conference></Dial>'
    )
    case.twilio.script("silent")
    call = case.twilio.talk(url=case.customer.url + "/worker")
    (form,) = case.customer.forms("/after")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("failed", "false")
    assert call["error_code"] is not None


def test_no_music_is_asked_for_with_an_empty_address(case: Case) -> None:
    caller = case.wait(stays(), 'waitUrl=""')
    case.twilio.client.calls(caller).update(status="completed")
    case.twilio.idle()
    assert steps(case.record(caller), "music") == []


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("", 'maxParticipants="1"', 12200),
        ('participantLabel="worker"', 'participantLabel="worker"', 16025),
    ],
)
def test_who_is_not_let_in_goes_on_with_the_next_verb(case: Case, first: str, second: str, code: int) -> None:
    case.wait(stays(), first)
    case.customer.pages["/late"] = (
        f'<Dial action="/late/after"><Conference {second}>case-1</Conference></Dial><Say>Full</Say>'
    )
    case.twilio.post("/sim/handsets", number=SECOND, script="human-yes")
    sid = case.twilio.call(to=SECOND, url=case.customer.url + "/late")
    case.twilio.until(sid, status="completed")
    late = case.record(sid)
    assert (said(late), late["error_code"]) == (["Full"], code)
    assert case.customer.at("/late/after") == []


def test_a_star_leaves_the_conference_where_that_is_allowed(case: Case) -> None:
    case.customer.pages["/after"] = "<Say>You have left</Say>"
    caller = case.wait(stays({"pause": 2, "keys": "*"}), dial='hangupOnStar="true"')
    case.call_agent(stays())
    case.twilio.until(caller, status="completed")
    assert said(case.record(caller)) == ["You have left"]


def test_a_time_limit_ends_the_dial_and_not_the_call(case: Case) -> None:
    case.customer.pages["/after"] = "<Say>Time is up</Say>"
    room = '<Conference startConferenceOnEnter="false">case-1</Conference>'
    case.customer.pages["/worker"] = f'<Dial action="/after" timeLimit="30">{room}</Dial>'
    case.twilio.script(stays())
    assert said(case.twilio.talk(url=case.customer.url + "/worker")) == ["Time is up"]


def test_keys_pressed_in_a_talk_are_not_taken_for_an_answer_after_it(case: Case) -> None:
    case.customer.pages["/after"] = '<Gather numDigits="1" action="/answer" timeout="1"/>'
    case.run({"steps": [{"talk": [{"keys": "3"}]}], "then": "silent"}, leaves({"pause": 5}))
    assert case.customer.at("/answer") == []


# Telephones that ring for a caller


def ring(twilio: Twilio, customer: Customer, dial: str, agent: object, worker: object = None) -> Json:
    """A worker's call that meets ``dial``; the call when all is over."""
    customer.pages["/voice"] = dial
    twilio.script(worker or stays())
    twilio.post("/sim/handsets", number=AGENT, script=agent)
    return twilio.talk(url=customer.url + "/voice")


def child_of(twilio: Twilio, call: Json) -> Json:
    """The call that a ``<Dial>`` made."""
    (child,) = twilio.client.calls.list(parent_call_sid=call["sid"])
    return dict(twilio.get(f"/sim/calls/{child.sid}"))


def test_a_number_that_answers_is_joined_with_the_caller(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/after"] = "<Say>Thanks</Say>"
    call = ring(
        twilio, customer, f'<Dial action="/after">{AGENT}</Dial>', leaves(HELLO, {"pause": 30}), stays(WORDS)
    )
    child = child_of(twilio, call)
    (form,) = customer.forms("/after")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
    assert form["DialCallSid"] == child["sid"]
    assert int(form["DialCallDuration"]) >= 30
    assert (heard(call), heard(child)) == ([HELLO["speak"]], [WORDS["speak"]])
    assert said(call) == ["Thanks"]


def test_without_a_caller_id_the_called_party_sees_the_callers_own_number(
    twilio: Twilio, customer: Customer
) -> None:
    assert child_of(twilio, ring(twilio, customer, f"<Dial>{AGENT}</Dial>", leaves()))["from"] == WORKER
    hidden = f'<Dial callerId="{HOTLINE}">{AGENT}</Dial>'
    twilio.post("/sim/reset")
    assert child_of(twilio, ring(twilio, customer, hidden, leaves()))["from"] == HOTLINE


def test_a_childs_webhooks_name_its_parent(twilio: Twilio, customer: Customer) -> None:
    events = 'statusCallback="/child" statusCallbackEvent="initiated ringing answered completed"'
    call = ring(twilio, customer, f"<Dial><Number {events}>{AGENT}</Number></Dial>", leaves())
    forms = customer.forms("/child")
    assert [form["CallStatus"] for form in forms] == ["initiated", "ringing", "in-progress", "completed"]
    assert {form["ParentCallSid"] for form in forms} == {call["sid"]}
    assert {form["Direction"] for form in forms} == {"outbound-dial"}
    assert twilio.client.calls(forms[0]["CallSid"]).fetch().parent_call_sid == call["sid"]


@pytest.mark.parametrize(
    ("agent", "status"),
    [("busy", "busy"), ("no-answer", "no-answer"), ("failed", "failed"), ("unreachable", "failed")],
)
def test_a_number_that_is_not_reached_says_why(
    twilio: Twilio, customer: Customer, agent: str, status: str
) -> None:
    ring(twilio, customer, f'<Dial action="/after">{AGENT}</Dial>', agent)
    (form,) = customer.forms("/after")
    assert (form["DialCallStatus"], form["DialBridged"], form["DialCallDuration"]) == (status, "false", "0")


def test_without_an_action_a_dial_goes_on_to_the_next_verb(twilio: Twilio, customer: Customer) -> None:
    call = ring(twilio, customer, f"<Dial>{AGENT}</Dial><Say>Nobody there</Say>", "no-answer")
    assert said(call) == ["Nobody there"]


def test_a_phone_rings_no_longer_than_the_dials_time_out(twilio: Twilio, customer: Customer) -> None:
    ring(twilio, customer, f'<Dial action="/after" timeout="5">{AGENT}</Dial>', {"ring": 20})
    assert customer.forms("/after")[0]["DialCallStatus"] == "no-answer"


@pytest.mark.parametrize(
    ("agent", "bridged"), [("agent", "true"), ("agent-refuses", "false"), ("machine", "false")]
)
def test_a_whisper_is_heard_by_the_called_party_only_and_can_decline(
    twilio: Twilio, customer: Customer, agent: str, bridged: str
) -> None:
    customer.pages["/whisper"] = ACCEPT
    customer.pages["/accepted"] = lambda hit: "" if hit.form["Digits"] == "1" else "<Hangup/>"
    call = ring(
        twilio, customer, f'<Dial action="/after"><Number url="/whisper">{AGENT}</Number></Dial>', agent
    )
    (form,) = customer.forms("/after")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", bridged)
    assert said(call) == []
    assert said(child_of(twilio, call)) == ["Press 1"]


def test_a_whisper_may_not_dial(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/whisper"] = f"<Dial>{SECOND}</Dial>"
    call = ring(twilio, customer, f'<Dial><Number url="/whisper">{AGENT}</Number></Dial>', "agent")
    assert child_of(twilio, call)["error_code"] == 12200


def test_the_first_of_several_to_pick_up_is_joined_and_the_others_fall_silent(
    twilio: Twilio, customer: Customer
) -> None:
    twilio.post("/sim/handsets", number=SECOND, script={"ring": 10000})
    dial = f'<Dial action="/after" timeout="600"><Number>{AGENT}</Number><Number>{SECOND}</Number></Dial>'
    call = ring(twilio, customer, dial, leaves(HELLO))
    children = {child.to: child for child in twilio.client.calls.list(parent_call_sid=call["sid"])}
    assert children[AGENT].status == "completed"
    assert children[SECOND].status in ("canceled", "no-answer")
    assert customer.forms("/after")[0]["DialCallSid"] == children[AGENT].sid


def test_a_caller_who_hangs_up_stops_the_ringing(twilio: Twilio, customer: Customer) -> None:
    dial = f'<Dial action="/after" timeout="600">{AGENT}</Dial>'
    worker = {"then": "silent", "hangs_up_after": 20}
    call = ring(twilio, customer, dial, {"ring": 500}, worker)
    assert child_of(twilio, call)["status"] == "canceled"
    (form,) = customer.forms("/after")
    assert (form["DialCallStatus"], form["CallStatus"]) == ("canceled", "completed")


def test_a_caller_who_hangs_up_ends_the_talk_for_both(twilio: Twilio, customer: Customer) -> None:
    call = ring(twilio, customer, f'<Dial action="/after">{AGENT}</Dial>', stays(), leaves(WORDS))
    assert child_of(twilio, call)["status"] == "completed"
    assert customer.forms("/after")[0]["DialCallStatus"] == "completed"


def test_a_called_party_with_a_new_document_leaves_the_caller_to_the_action(
    twilio: Twilio, customer: Customer
) -> None:
    customer.pages["/voice"] = f'<Dial action="/after">{AGENT}</Dial>'
    customer.pages["/other"] = "<Say>Elsewhere</Say>"
    twilio.script("silent")
    twilio.post("/sim/handsets", number=AGENT, script=stays())
    parent = twilio.call(url=customer.url + "/voice")
    twilio.until(parent, doing="talk")
    child = twilio.client.calls.list(parent_call_sid=parent)[0].sid
    twilio.client.calls(child).update(url=customer.url + "/other")
    twilio.idle()
    assert said(twilio.get(f"/sim/calls/{child}")) == ["Elsewhere"]
    assert "DialCallDuration" not in customer.forms("/after")[0]


@pytest.mark.parametrize(("until", "answered"), [("true", "no-answer"), ("false", "completed")])
def test_an_incoming_call_can_ring_until_it_is_joined(
    twilio: Twilio, customer: Customer, until: str, answered: str
) -> None:
    customer.pages["/voice"] = f'<Dial answerOnBridge="{until}">{AGENT}</Dial>'
    twilio.post("/sim/handsets", number=AGENT, script="no-answer")
    sid = twilio.post("/sim/call", **{"from": WORKER, "to": HOTLINE, "script": "silent"})["sid"]
    twilio.idle()
    assert twilio.client.calls(sid).fetch().status == answered


# Fate, scripts and hands


def test_conference_events_come_twice_or_not_at_all(case: Case) -> None:
    case.twilio.post("/sim/chaos", duplicate=1)
    case.run(stays(), leaves(), waiting=EVENTS)
    assert len(case.told()) == 12
    case.twilio.post("/sim/chaos", drop=1)
    worker, _ = case.run(stays(), leaves(), waiting=EVENTS)
    assert len(steps(worker, "joined")) == 1
    assert len(case.told()) == 12


def test_conference_events_come_late_and_out_of_order(case: Case) -> None:
    case.twilio.post("/sim/chaos", seed=5, reorder=0.5, delay=[0, 3])
    runs = []
    for _ in range(4):
        case.customer.hits.clear()
        case.run(stays(), leaves(), waiting=EVENTS)
        runs.append([form["SequenceNumber"] for form in case.customer.forms("/room")])
    assert all(sorted(run) == ["1", "2", "3", "4", "5", "6"] for run in runs)
    assert any(run != sorted(run) for run in runs)


@pytest.mark.parametrize(
    ("script", "digits", "joined"),
    [("agent", "1", 1), ("agent-refuses", "2", 0), ("machine", None, 0), ("silent", None, 0)],
)
def test_an_agent_must_press_1_to_be_joined(case: Case, script: str, digits: str | None, joined: int) -> None:
    room = f"<Dial><Conference {MODERATED}>case-1</Conference></Dial>"
    case.customer.pages["/ask"] = ACCEPT
    case.customer.pages["/accepted"] = lambda hit: room if hit.form["Digits"] == "1" else "<Hangup/>"
    caller = case.wait(stays())
    case.twilio.post("/sim/handsets", number=AGENT, script=script)
    agent = case.twilio.call(to=AGENT, url=case.customer.url + "/ask")
    case.twilio.until(agent, status="completed")
    case.twilio.client.conferences(case.room().sid).update(status="completed")
    case.twilio.idle()
    assert [form["Digits"] for form in case.customer.forms("/accepted")] == ([digits] if digits else [])
    assert len(steps(case.record(caller), "joined")) == joined


def test_two_handsets_are_joined_by_hand(by_hand: Twilio, customer: Customer) -> None:
    by_hand.post("/sim/handsets", number=AGENT, script="manual")
    case = Case(by_hand, customer)
    customer.pages["/voice"] = "<Dial><Conference>case-1</Conference></Dial>"
    caller = by_hand.post("/sim/call", **{"from": WORKER, "to": HOTLINE, "script": "manual"})["sid"]
    by_hand.until(caller, doing="waiting")
    agent = case.call_agent("manual")
    by_hand.answer(agent, AGENT)
    by_hand.until(caller, doing="talk")
    by_hand.post(f"/sim/handsets/{AGENT}/speak", text="Good morning.", seconds=1)
    by_hand.post(f"/sim/handsets/{AGENT}/keys", keys="5")
    by_hand.post(f"/sim/handsets/{AGENT}/hangup")
    by_hand.idle()
    assert heard(case.record(caller)) == ["Good morning."]


def test_an_ended_participant_cannot_be_called_away(case: Case) -> None:
    worker, _ = case.run(stays(), leaves())
    with refused(21220):
        case.twilio.client.calls(worker["sid"]).update(url=case.customer.url + "/voice")
    with refused(20404):
        case.twilio.client.conferences(case.room().sid).participants(worker["sid"]).fetch()
