"""Calls that are joined: conferences, telephones that ring for a caller, and what the customer is told of it."""

from __future__ import annotations

from tests.simulator.conftest import Customer, Json, Twilio, steps

AGENT = "+15005550020"
SECOND = "+15005550021"
EVENTS = 'statusCallback="/room" statusCallbackEvent="start end join leave mute hold"'
MODERATED = 'endConferenceOnExit="true"'
PATIENT = '<Dial action="/after"><Conference startConferenceOnEnter="false" {0}>case-1</Conference></Dial>'
JOINING = '<Dial action="/agent/after"><Conference {0}>case-1</Conference></Dial>'
WORDS = {"speak": "They kept my passport.", "seconds": 3}
HELLO = {"speak": "Hello, this is the hotline.", "seconds": 2}


def stays(*words: Json) -> Json:
    """Somebody who says ``words`` when another is on the line, and stays until the other hangs up."""
    return {"steps": [{"talk": list(words)}] if words else [], "then": "silent"}


def leaves(*words: Json) -> Json:
    """Somebody who says ``words`` when another is on the line, and hangs up."""
    return {"steps": [{"talk": [*words, {"hangup": True}]}]}


def two(
    twilio: Twilio, customer: Customer, worker: object, agent: object, waiting: str = "", joining: str = ""
) -> tuple[Json, Json]:
    """A worker who waits in a conference and an agent who is called into it; both calls when all is over."""
    customer.pages["/worker"] = PATIENT.format(waiting)
    customer.pages["/agent"] = JOINING.format(joining)
    twilio.script(worker)
    twilio.post("/sim/handsets", number=AGENT, script=agent)
    caller = twilio.call(url=customer.url + "/worker")
    twilio.until(caller, doing="waiting")
    called = twilio.call(to=AGENT, url=customer.url + "/agent")
    twilio.idle()
    return twilio.get(f"/sim/calls/{caller}"), twilio.get(f"/sim/calls/{called}")


def heard(call: Json) -> list[str]:
    """What the others said, as this call heard it."""
    return [step["text"] for step in steps(call, "heard")]


def test_each_hears_what_the_other_says(twilio: Twilio, customer: Customer) -> None:
    worker, agent = two(twilio, customer, stays(WORDS), leaves(HELLO, {"pause": 5}), joining=MODERATED)
    assert heard(worker) == [HELLO["speak"]]
    assert heard(agent) == [WORDS["speak"]]
    assert steps(worker, "joined")[0]["others"] == [agent["sid"]]


def test_the_one_who_waits_hears_music_until_the_other_comes(twilio: Twilio, customer: Customer) -> None:
    worker, agent = two(twilio, customer, leaves(), stays(), waiting=MODERATED)
    kinds = [step["kind"] for step in worker["steps"]]
    assert kinds.index("music") < kinds.index("joined")
    assert steps(agent, "music") == []


def test_the_conference_reports_who_comes_and_goes(twilio: Twilio, customer: Customer) -> None:
    worker, agent = two(twilio, customer, stays(), leaves(HELLO), waiting=EVENTS, joining=MODERATED)
    forms = customer.forms("/room")
    assert [(form["StatusCallbackEvent"], form.get("CallSid")) for form in forms[:4]] == [
        ("participant-join", worker["sid"]),
        ("participant-join", agent["sid"]),
        ("conference-start", None),
        ("participant-leave", agent["sid"]),
    ]
    ends = {form["StatusCallbackEvent"]: form for form in forms[4:]}
    assert ends["conference-end"]["CallSidEndingConference"] == agent["sid"]
    assert ends["participant-leave"]["CallSid"] == worker["sid"]
    assert [form["SequenceNumber"] for form in forms] == ["1", "2", "3", "4", "5", "6"]
    assert len({form["ConferenceSid"] for form in forms}) == 1


def test_when_the_moderator_leaves_the_others_dial_ends_and_its_action_is_asked(
    twilio: Twilio, customer: Customer
) -> None:
    customer.pages["/after"] = "<Say>Goodbye</Say>"
    worker, _ = two(twilio, customer, stays(), leaves(HELLO), joining=MODERATED)
    (form,) = customer.forms("/after")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("answered", "true")
    assert "DialCallSid" not in form
    assert [step["text"] for step in steps(worker, "say")] == ["Goodbye"]


def test_without_an_action_a_dial_goes_on_to_the_next_verb(twilio: Twilio, customer: Customer) -> None:
    customer.pages["/voice"] = '<Dial timeout="3">+15005550021</Dial><Say>Nobody there</Say>'
    twilio.script("human-yes")
    twilio.post("/sim/handsets", number=SECOND, script="no-answer")
    call = twilio.talk(url=customer.url + "/voice")
    assert [step["text"] for step in steps(call, "say")] == ["Nobody there"]
