"""Walking through a flow: arriving at steps until one of them waits, and leaving it with an answer."""

from __future__ import annotations

from typing import Final

from bot.errors import EngineError
from bot.flow import answers, phrases
from bot.flow import session as flags
from bot.flow.answers import Answer
from bot.flow.events import Answered, CallbackRequested, ConsentGiven, ConsentScope, HandoffRequested, Outcome
from bot.flow.model import Kind, Schedule, Step
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
        if step.when is not None and not step.when(talk.values):
            target = step.onward
            continue
        talk.wait(step)
        for wording in step.say:
            talk.say(wording)
        if step.ask is not None:
            if _can_ask(talk, step):
                return
            target = step.onward
            continue
        _act(talk, step)
        if talk.ended:
            return
        target = _enter(talk, step) if step.run else _critical(talk) or _way(talk, step, None)
    raise EngineError(f"the flow '{talk.flow.name}' does not wait within {STEPS_PER_SPRINT} steps")


def leave(talk: Talk, answer: Answer) -> None:
    """Take an answer to the step's question, with all that follows from it, and go on."""
    step, ask = talk.step, talk.ask
    said = answer.code == answers.SAID and ask.kind in _SAID_KINDS
    talk.values[step.id] = answer.code
    talk.events.append(
        Answered(
            step.id,
            ask.kind.value,
            None if said else answer.code,
            answer.text,
            answer.recording,
            answer.media,
        )
    )
    go_on(talk, step, answer.code)


def go_on(talk: Talk, step: Step, code: str) -> None:
    """What follows from the code of an answer: consent, grievances, a schedule, and the next step."""
    talk.values[step.id] = code
    if step.consent is not None:
        _consent(talk, step.consent, code == "yes")
    if step.grievances:
        _report(talk, step, code)
    if step.schedule is not None and code != answers.SKIP:
        _schedule(talk, step.schedule)
    if step.safety is not None:
        if code != "yes" and code not in step.routes:
            talk.end(Outcome.NOT_SAFE_NOW, phrases.WRONG_TIME)
            return
        if step.safety == "check" and code == "yes":
            talk.set(flags.SAFE)
    arrive(talk, _critical(talk) or _way(talk, step, code))


def _way(talk: Talk, step: Step, code: str | None) -> str | None:
    if code is not None and code in step.routes:
        return step.routes[code]
    for branch in step.branches:
        if branch.when(talk.values):
            return branch.to
    return step.onward


def _critical(talk: Talk) -> str | None:
    """The step for critical reports, the first time that one was raised."""
    if talk.flow.critical is None or talk.has(flags.CRITICAL) or talk.values.get("severity") != "S1":
        return None
    talk.set(flags.CRITICAL)
    return talk.flow.critical


def _can_ask(talk: Talk, step: Step) -> bool:
    """Whether the step's question can be asked here; speech that may not be recorded is asked otherwise."""
    kind = talk.ask.kind
    if kind is Kind.MEDIA and not talk.context.capabilities.media_in:
        return False
    if kind is Kind.LANGUAGE and len(talk.context.catalogs.languages) == 1:
        return False
    if kind is Kind.OPEN and talk.keypad and not talk.has(flags.RECORD):
        talk.wait(step, "unrecorded_no_text" if talk.has(flags.NO_TEXT) else "unrecorded")
    return True


def _act(talk: Talk, step: Step) -> None:
    """The deeds of a step that asks nothing."""
    for grievance in step.grievances:
        if grievance.when is None or grievance.when(talk.values):
            talk.report(grievance)
    if step.schedule is not None:
        _schedule(talk, step.schedule)
    if step.end is not None:
        talk.end(step.end)
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
