"""Walking through a flow: arriving at steps until one of them waits, and leaving it with an answer."""

from __future__ import annotations

from typing import Final

from bot.errors import EngineError
from bot.flow import answers, phrases
from bot.flow import session as flags
from bot.flow.answers import Answer
from bot.flow.events import (
    Answered,
    CallbackRequested,
    ConsentGiven,
    ConsentScope,
    ContinueRequested,
    HandoffRequested,
    Outcome,
)
from bot.flow.model import Flow, Kind, Schedule, Step
from bot.flow.talk import Talk

STEPS_PER_SPRINT: Final = 100
_SAID_KINDS: Final = frozenset((Kind.OPEN, Kind.MEDIA))


def arrive(talk: Talk, target: str | None) -> None:
    """Go on from ``target`` until a question waits or the conversation ends.

    :class:`EngineError` after 100 steps: a flow that never waits is wrong.
    """
    for _ in range(STEPS_PER_SPRINT):
        if target is None:
            if not talk.stack:
                talk.end(Outcome.COMPLETED)
                return
            target = _return(talk)
            continue
        step = talk.flow.steps[target]
        if not _is_here(talk, step):
            target = step.onward
            continue
        talk.wait(step)
        for wording in step.say:
            talk.say(wording)
        if step.ask is not None and step.ask.kind is Kind.PERSON:
            talk.events.append(HandoffRequested(step.id))
            if talk.context.person_there(talk.tongue.language):
                return
            _keep(talk, Answer("nobody"))
            target = _follow(talk, step, "nobody")
        elif step.ask is not None:
            if _can_ask(talk, step):
                return
            target = step.onward
        else:
            _act(talk, step)
            if talk.ended:
                return
            target = _next(talk, step)
    raise EngineError(f"the flow '{talk.flow.name}' does not wait within {STEPS_PER_SPRINT} steps")


def leave(talk: Talk, answer: Answer) -> None:
    """Take an answer to the step's question, with all that follows from it, and go on."""
    step = talk.step
    _keep(talk, answer)
    go_on(talk, step, answer.code)


def go_on(talk: Talk, step: Step, code: str) -> None:
    """What follows from the code of an answer: consent, grievances, a schedule, and the next step."""
    target = _follow(talk, step, code)
    if talk.ended:
        return
    if talk.has(flags.WANTS_PERSON) and talk.has(flags.SAFE) and not talk.led:
        _go_to_person(talk, target)
    else:
        arrive(talk, target)


def to_person(talk: Talk, reason: str) -> None:
    """A person was asked for, at any question. On the telephone of a flow that says where a person is looked
    for, that is done, at the latest when it is known to be safe; else the conversation is given to a person,
    which ends it here."""
    flow = _root(talk)
    if not talk.keypad or flow.person is None:
        talk.hand_off(reason)
    elif flow.gated and not talk.has(flags.SAFE):
        talk.set(flags.WANTS_PERSON)
        talk.phrase(phrases.PLEASE_FIRST)
    else:
        _go_to_person(talk, talk.step.id)


def leave_to_person(talk: Talk) -> None:
    """Answer the open question of the step with the wish for a person, and look for one; she comes back behind
    the question. A way that the flow gives for this answer goes before."""
    step, answer, was_critical = talk.step, Answer("person"), talk.has(flags.CRITICAL)
    _keep(talk, answer)
    onward = _follow(talk, step, answer.code)
    if answer.code in step.routes or talk.has(flags.CRITICAL) != was_critical:
        arrive(talk, onward)
    else:
        _go_to_person(talk, onward)


def has_person(talk: Talk) -> bool:
    """Whether the conversation can look for a person on the telephone."""
    return talk.keypad and _root(talk).person is not None


def _root(talk: Talk) -> Flow:
    """The flow that the conversation began with, whichever part of it runs."""
    if not talk.stack:
        return talk.flow
    name, revision, _ = talk.stack[0]
    return talk.context.library.get(name, revision)


def _go_to_person(talk: Talk, back: str | None) -> None:
    """Go to the step where a person is looked for. Who asks again on the way keeps her first way back."""
    flow = _root(talk)
    talk.set(flags.WANTS_PERSON, False)
    if talk.stack:
        # A part of a flow is left for good: its caller goes on where it would have gone on after it.
        back, talk.flow, talk.stack = talk.stack[0][2], flow, ()
    talk.back = talk.back or back or ""
    arrive(talk, flow.person)


def _keep(talk: Talk, answer: Answer) -> None:
    """The answer to the step's question becomes an event."""
    step, kind = talk.step, talk.ask.kind
    said = answer.code == answers.SAID and kind in _SAID_KINDS
    code, text = None if said else answer.code, answer.text
    if talk.ask.wish and code not in talk.ask.codes():
        # A time in her own words has no code of the question's: what was understood is kept, and counts as one.
        code, text = answers.IN_WORDS, answer.code
    talk.events.append(Answered(step.id, kind.value, code, text, answer.recording, answer.media))


def _follow(talk: Talk, step: Step, code: str) -> str | None:
    """What an answer's code leads to, and the step to go on with; it may end the conversation."""
    talk.values[step.id] = code
    if step.ask is not None and step.ask.kind is Kind.PERSON and code == "nobody":
        talk.set(flags.NOBODY_CAME)
    if step.consent is not None:
        _consent(talk, step.consent, code == "yes")
    if step.grievances:
        _report(talk, step, code)
    if step.schedule is not None and code != answers.SKIP:
        _schedule(talk, step.schedule)
    if step.safety is not None:
        if code != "yes" and code not in step.routes:
            talk.end(Outcome.NOT_SAFE_NOW, phrases.WRONG_TIME)
            return None
        if step.safety == "check" and code == "yes":
            talk.set(flags.SAFE)
    return _critical(talk) or _way(talk, step, code)


def _way(talk: Talk, step: Step, code: str | None) -> str | None:
    if code is not None and code in step.routes:
        return step.routes[code]
    for branch in step.branches:
        if branch.when(talk.values):
            return branch.to
    return step.onward


def _next(talk: Talk, step: Step) -> str | None:
    """Where to go on after a step that asked nothing."""
    if step.run:
        return _enter(talk, step)
    if step.back and talk.back:
        target, talk.back = talk.back, ""
        return target
    return _critical(talk) or _way(talk, step, None)


def _critical(talk: Talk) -> str | None:
    """The step for critical reports, the first time that one was raised."""
    if talk.flow.critical is None or talk.has(flags.CRITICAL) or talk.values.get("severity") != "S1":
        return None
    talk.set(flags.CRITICAL)
    return talk.flow.critical


def _is_here(talk: Talk, step: Step) -> bool:
    """Whether the step is part of this conversation: its condition holds, and nobody waits for a person in
    writing, or with one on the line."""
    waits = step.ask is not None and step.ask.kind is Kind.PERSON
    return (step.when is None or step.when(talk.values)) and (not waits or (talk.keypad and not talk.led))


def _can_ask(talk: Talk, step: Step) -> bool:
    """Whether the step's question can be asked here; speech that may not be recorded is asked otherwise."""
    kind = talk.ask.kind
    if kind is Kind.MEDIA and not talk.context.capabilities.media_in:
        return False
    if kind is Kind.LANGUAGE and len(talk.context.catalogs.languages) == 1:
        return False
    if kind is Kind.OPEN and talk.keypad and not (talk.has(flags.RECORD) or talk.led):
        talk.wait(step, unrecorded(talk))
    return True


def unrecorded(talk: Talk) -> str:
    """The own question that stands for an open one where nothing may be recorded."""
    live = "_live" if has_person(talk) else ""
    return f"unrecorded{live}_no_text" if talk.has(flags.NO_TEXT) else f"unrecorded{live}"


def _act(talk: Talk, step: Step) -> None:
    """The deeds of a step that asks nothing."""
    for grievance in step.grievances:
        if grievance.when is None or grievance.when(talk.values):
            talk.report(grievance)
    if step.schedule is not None:
        _schedule(talk, step.schedule)
    if step.end is not None:
        talk.end(step.end)
    elif step.carries:
        talk.events.append(ContinueRequested())
        talk.end(Outcome.MOVED)
    elif step.handoff is not None:
        _hand_off(talk, step)


def _hand_off(talk: Talk, step: Step) -> None:
    talk.events.append(HandoffRequested(step.handoff or ""))
    if step.next is None:
        talk.end(Outcome.HANDED_OFF)


def _enter(talk: Talk, step: Step) -> str:
    """Go into another flow, and remember where this one goes on (an empty name stands for its end)."""
    flow = talk.context.library.get(step.run or "")
    talk.stack = (*talk.stack, (talk.flow.name, talk.flow.revision, step.onward or ""))
    talk.flow = flow
    return flow.first


def _return(talk: Talk) -> str | None:
    *rest, (name, revision, step) = talk.stack
    talk.stack = tuple(rest)
    talk.flow = talk.context.library.get(name, revision)
    return step or None


def _report(talk: Talk, step: Step, code: str) -> None:
    for grievance in step.grievances:
        if grievance.when(talk.values) if grievance.when is not None else code != answers.SKIP:
            talk.report(grievance)


def _consent(talk: Talk, scope: ConsentScope, given: bool) -> None:
    talk.events.append(ConsentGiven(scope, given))
    if scope is ConsentScope.RECORD:
        talk.set(flags.RECORD, given)
        talk.set(flags.RECORD_ASKED)
    if scope is ConsentScope.TEXT:
        talk.set(flags.NO_TEXT, not given)
    if scope in (ConsentScope.RECORD, ConsentScope.TAKE_PART):
        talk.values[f"consent_{scope.value}"] = "yes" if given else "no"


def _schedule(talk: Talk, schedule: Schedule) -> None:
    """Ask for a callback, if every answer that it is made of was given."""
    values = talk.values
    preference = schedule.preference or values.get(schedule.answer or "")
    if schedule.date is not None and schedule.time is not None:
        day, hour = values.get(schedule.date), values.get(schedule.time)
        preference = f"{day} {hour}" if day and hour and answers.SKIP not in (day, hour) else None
    if preference and preference != answers.SKIP:
        talk.events.append(CallbackRequested(preference, schedule.reason))
