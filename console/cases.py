"""The queue of cases, and the page of one case with everything that is done to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bot import handoff
from bot.callbacks import moves
from bot.cases import actions, desk, lifecycle, queue
from bot.cases.lifecycle import CaseState, Ground, Severity
from bot.clock import wall_time
from bot.errors import ConflictError, InputError
from bot.privacy import access
from bot.service import Service
from console import cursor, labels, pages
from console.session import staff

_Kind = TypeVar("_Kind", bound=StrEnum)


def show_queue() -> ResponseReturnValue:
    """Cases that are open, one's own, or closed; what is overdue first."""
    service, me = _service(), staff()
    scope = _choice(queue.Scope, request.args.get("show", "open"))
    severity = _choice(Severity, request.args["severity"]) if request.args.get("severity") else None
    after = cursor.read(request.args.get("after", ""))
    now = service.clock.now()
    with service.database.read() as connection:
        page = queue.read(connection, scope, now, staff_id=me.id, severity=severity, after=after)
        counts = queue.counts(connection, now, staff_id=me.id)
    _note_reading(service, me.id, "list_cases", "cases", scope)
    following = cursor.write(page.following) if page.following else None
    return render_template(
        "console/cases.html",
        page=page,
        counts=counts,
        scope=scope,
        severity=severity,
        severities=list(Severity),
        following=following,
        begun=after is not None,
        now=now,
    )


def show_case(case_id: str) -> ResponseReturnValue:
    """One case. Reading it, and its transcript, is noted before the page is answered."""
    return _case_page(case_id, _Draft())


def take(case_id: str) -> ResponseReturnValue:
    """Assign the case to oneself."""
    return _do(case_id, actions.Take(), "You work on this case now.")


def review(case_id: str) -> ResponseReturnValue:
    """Say that one has read the case."""
    return _do(case_id, actions.MarkReviewed(), "Marked as reviewed.")


def note(case_id: str) -> ResponseReturnValue:
    """Leave words for colleagues."""
    text = request.form.get("note", "")
    return _do(case_id, actions.AddNote(text), "Note saved.", _Draft(note=text))


def answer_worker(case_id: str) -> ResponseReturnValue:
    """Write to the worker in the thread in which they wrote to us."""
    text = request.form.get("answer", "")
    return _do(case_id, actions.AnswerWorker(text), "Your answer is on its way.", _Draft(answer=text))


def severity(case_id: str) -> ResponseReturnValue:
    """Change the severity, and with it the clocks."""
    to = _choice(Severity, request.form.get("severity", ""))
    return _do(
        case_id, actions.ChangeSeverity(to), "Severity changed; the clocks follow.", _Draft(severity=to)
    )


def circumstances(case_id: str) -> ResponseReturnValue:
    """Raise the severity by one level because of who is concerned or accused."""
    grounds = frozenset(_choice(Ground, word) for word in request.form.getlist("grounds"))
    done = "One level graver; the clocks follow."
    return _do(case_id, actions.WeighCircumstances(grounds), done, _Draft(grounds=grounds))


def move(case_id: str) -> ResponseReturnValue:
    """Move the case along its lifecycle."""
    to = _choice(CaseState, request.form.get("to", ""))
    reason = request.form.get("note", "")
    minutes = int(lifecycle.UNDO.total_seconds() // 60)
    done = f"Moved. You can take this back for {minutes} minutes."
    return _do(case_id, actions.Move(to, reason), done, _Draft(to=to, reason=reason))


def undo(case_id: str) -> ResponseReturnValue:
    """Take the last change of state back."""
    return _do(case_id, actions.TakeBack(), "The last move was taken back.")


@dataclass(frozen=True, slots=True)
class _Draft:
    """What somebody had typed or chosen when it could not be done: the page gives it back."""

    error: str = ""
    note: str = field(default="", repr=False)
    answer: str = field(default="", repr=False)
    reason: str = field(default="", repr=False)
    to: CaseState | None = None
    severity: Severity | None = None
    grounds: frozenset[Ground] = frozenset()


def _do(case_id: str, action: actions.Action, done: str, draft: _Draft | None = None) -> ResponseReturnValue:
    service, me = _service(), staff()
    typed = draft or _Draft()
    try:
        with service.database.write() as connection:
            actions.act(
                connection,
                service.sealer,
                case_id,
                action,
                staff_id=me.id,
                version=_version(),
                now=service.clock.now(),
            )
    except ConflictError:
        stale = (
            "Somebody else changed this case meanwhile, so nothing was done. Look at it again, then decide."
        )
        return pages.answer(_case_page(case_id, _with_error(typed, stale)), 409)
    except InputError as error:
        words = str(error)
        told = _with_error(typed, f"{words[:1].upper()}{words[1:]}.")
        return pages.answer(_case_page(case_id, told), 400)
    flash(done)
    return redirect(url_for("console.case", case_id=case_id), 303)


def _with_error(draft: _Draft, error: str) -> _Draft:
    return replace(draft, error=error)


def _case_page(case_id: str, draft: _Draft) -> str:
    service, me = _service(), staff()
    before = request.args.get("before") or None
    with service.database.read() as connection:
        case = desk.detail(connection, service.sealer, case_id, service.clock.now())
        said, older = desk.transcript(connection, service.sealer, case_id, before)
        planned = moves.planned_for_case(connection, case_id)
    with service.database.write() as connection:
        _record(connection, me.id, "read_case", "case", case.id)
        _record(connection, me.id, "read_transcript", "conversation", case.conversation_id)
    return render_template(
        "console/case.html",
        case=case,
        transcript=said,
        older=older,
        sounds={sound.answer_id: sound for sound in case.recordings if sound.answer_id},
        loose=[sound for sound in case.recordings if not sound.answer_id],
        question=lambda step: labels.question(case.flow, case.revision, step, case.channel),
        answer=lambda step, code: labels.answer(case.flow, case.revision, step, code),
        draft=draft,
        planned=planned,
        severities=list(Severity),
        waiting=case.state in lifecycle.WAITING,
        note_length=actions.NOTE_LENGTH,
        answer_length=handoff.LONGEST_ANSWER,
        can_answer=handoff.can_answer(case.channel, case.stopped),
        now=service.clock.now(),
    )


def _note_reading(service: Service, staff_id: str, action: str, kind: str, object_id: str) -> None:
    with service.database.write() as connection:
        _record(connection, staff_id, action, kind, object_id)


def _record(connection: Connection, staff_id: str, action: str, kind: str, object_id: str) -> None:
    # Real time, because the log guards against people; the demo's clock does not move it.
    access.record(connection, staff_id, action, kind, object_id, wall_time())


def _version() -> int:
    text = request.form.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError("this form is damaged: reload the page", code="version_missing")
    return int(text)


def _choice(kinds: type[_Kind], word: str) -> _Kind:
    try:
        return kinds(word)
    except ValueError:
        raise InputError("this is not one of the choices", code="choice_unknown") from None


def _service() -> Service:
    service: Service = current_app.extensions["voiceback"]
    return service
