"""The page of policies: what a client's rules for callbacks are, what other ones would do, and the way back.

A policy is saved only as it was previewed: if something in the form, or in the policy itself, changed meanwhile,
the page shows the preview again. Workers are told apart by the ends of opaque ids; the page knows no number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bot.audits import factories
from bot.audits.factories import Workplace
from bot.callbacks import policies, preview
from bot.callbacks.policies import Held
from bot.callbacks.policy import Mode, Policy, Shifts, from_mapping, to_json, to_mapping
from bot.callbacks.preview import Preview
from bot.errors import InputError, NotFound
from bot.service import Service
from console import pages, session

MOST_CLIENTS: Final = 500
MOST_CALLBACKS: Final = 5000
"""Callbacks that a page looks at; the shell looks at all."""
MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a policy in the form: how it is asked for, shown and read."""

    key: str
    label: str
    help: str
    kind: str = "number"
    choices: tuple[str, ...] = ()
    write: Callable[[object], str] = str
    read: Callable[[str], object] = str


def _whole(text: str) -> object:
    return int(text) if text.strip().lstrip("-").isdigit() else text


def _hours(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _attempts_text(value: object) -> str:
    return str(value["max"]) if isinstance(value, Mapping) else str(value)


def _share_text(value: object) -> str:
    share = {"none": 0.0, "all": 1.0}.get(value) if isinstance(value, str) else value
    return f"{float(share) * 100:g}" if isinstance(share, int | float) else ""


def _share(text: str) -> object:
    percent = _hours(text)
    return percent / 100 if isinstance(percent, float) else text


def _rounds_text(value: object) -> str:
    rounds = value if isinstance(value, list) else []
    return ", ".join(f"{each['first_call_day']}-{each['last_call_day']}" for each in rounds)


def _rounds(text: str) -> object:
    periods = (part.partition("-") for part in text.split(",") if part.strip())
    return [
        {"first_call_day": _whole(first.strip()), "last_call_day": _whole((last or first).strip())}
        for first, _, last in periods
    ]


def _numbers_text(value: object) -> str:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return ", ".join(f"{country}={number}" for country, number in pairs)


def _numbers(text: str) -> object:
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {country.strip(): number.strip() for country, _, number in pairs}


def _list_text(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else ""


def _list(text: str) -> object:
    return [part.strip().lower() for part in text.split(",") if part.strip()]


FORM: Final[Mapping[str, tuple[Entry, ...]]] = {
    "When": (
        Entry(
            "first_call_day", "First day", "Days after the audit day, on the worker's calendar.", read=_whole
        ),
        Entry("last_call_day", "Last day", "Nobody is called in this round after it.", read=_whole),
        Entry(
            "rounds",
            "Later rounds",
            "First and last day of each, such as 30-35, 90-95. Empty for none.",
            kind="text",
            write=_rounds_text,
            read=_rounds,
        ),
        Entry("quiet_from", "Quiet from", "Only where the worker chose no window herself.", kind="time"),
        Entry("quiet_until", "Quiet until", "The worker's local time.", kind="time"),
        Entry(
            "reminder_hours",
            "Text before the call, in hours",
            "Only to a worker who agreed to it; never in quiet hours or in a shift. Empty: no texts.",
            write=lambda value: (
                "" if value is None else f"{value:g}" if isinstance(value, int | float) else ""
            ),
            read=lambda text: _hours(text) if text.strip() else None,
        ),
        Entry(
            "shifts",
            "Shifts of the factory",
            "Unless chosen: a window that the worker named beats the shift. Always: nobody is called in a shift.",
            kind="select",
            choices=tuple(Shifts),
        ),
        Entry(
            "skip_public_holidays",
            "No calls on public holidays",
            "Of the country, and of the region where it is known.",
            kind="checkbox",
            read=bool,
        ),
    ),
    "How often": (
        Entry(
            "attempts",
            "Attempts",
            "In one round; a number, or unlimited, which still ends with the last day.",
            kind="text",
            write=_attempts_text,
            read=_whole,
        ),
        Entry("attempts_per_day", "Attempts per day", "For one worker.", read=_whole),
        Entry("spacing_hours", "Hours between attempts", "From start to start.", read=_hours),
        Entry(
            "daily_cap",
            "Daily cap",
            "Most callbacks of this client that are begun in a day. Empty: as many as are due.",
            write=lambda value: "" if value is None else str(value),
            read=lambda text: _whole(text) if text.strip() else None,
        ),
        Entry(
            "calendar", "Zone of the cap", "Its midnight begins the day, such as Europe/Berlin.", kind="text"
        ),
        Entry("third_party_limit", "Answers by others", "After so many we stop.", read=_whole),
        Entry("unverified_limit", "Wrong pass-words", "After so many calls with them we stop.", read=_whole),
    ),
    "Who and how": (
        Entry(
            "comparison",
            "Workers who were not interviewed, in per cent",
            "0 for none, 100 for all. The choice is the same each time.",
            write=_share_text,
            read=_share,
        ),
        Entry(
            "caller_id",
            "Our number by country",
            "Such as ID=+6221…, *=+1…; only numbers of ours. Empty: as the settings say.",
            kind="text",
            write=_numbers_text,
            read=_numbers,
        ),
        Entry(
            "channels_when_failing",
            "When calls fail, write by",
            "One neutral opening, only where the worker allowed it: sms, whatsapp, telegram, email. Empty for none.",
            kind="text",
            write=_list_text,
            read=_list,
        ),
        Entry(
            "mode",
            "Who calls",
            "Agent: only when somebody is there who speaks the language. Agent first: near the end of the window the "
            "system calls by itself.",
            kind="select",
            choices=tuple(Mode),
        ),
    ),
}
"""Every key of a policy but ``voicemail``, which has one value only."""


@dataclass(frozen=True, slots=True)
class _Page:
    """What the page of one client shows."""

    held: Held
    typed: Mapping[str, str] = field(repr=False)
    places: tuple[Workplace, ...]
    has_former: bool
    error: str = ""
    other: Policy | None = None
    preview: Preview | None = None

    @property
    def seen(self) -> str:
        """What the form must say when it is saved: this policy was previewed over that version."""
        return _seen(self.other, self.held.version) if self.other else ""


def show() -> ResponseReturnValue:
    """The clients."""
    with _service().database.read() as connection:
        found = policies.clients(connection, MOST_CLIENTS)
    return render_template("console/policies.html", clients=found)


def show_client(client_id: str) -> ResponseReturnValue:
    """The policy of one client, to be changed."""
    held = _held(client_id)
    return _render(_page(held, _written(held.policy)))


def look(client_id: str) -> ResponseReturnValue:
    """What the policy in the form would do. Changes nothing."""
    return _look(_held(client_id), request.form.to_dict())


def save(client_id: str) -> ResponseReturnValue:
    """Keep the policy in the form, if it is the one that was previewed."""
    held, typed = _held(client_id), request.form.to_dict()
    try:
        other = _read(typed)
        if typed.get("seen") != _seen(other, held.version):
            return _look(held, typed, "Something changed since the preview. Look at it again, then save.")
        number = policies.set_for_client(
            _service(), client_id, other, by=session.staff().id, over=held.version
        )
    except InputError as error:
        return _refuse(held, typed, error)
    flash(f"Saved. {number} callbacks were planned anew.")
    return redirect(url_for("console.policy", client_id=client_id), 303)


def undo(client_id: str) -> ResponseReturnValue:
    """Give the policy back that held before the last change."""
    held = _held(client_id)
    policies.take_back(_service(), client_id, by=session.staff().id, over=request.form.get("version", ""))
    flash(f"The policy of {held.client} is again what it was before the last change.")
    return redirect(url_for("console.policy", client_id=client_id), 303)


# --- inside -------------------------------------------------------------------------------------


def _look(held: Held, typed: Mapping[str, str], error: str = "") -> ResponseReturnValue:
    service = _service()
    try:
        other = _read(typed)
        policies.check_numbers(other, service.settings)
    except InputError as refused:
        return _refuse(held, typed, refused)
    now = service.clock.now()
    with service.database.read() as connection:
        registered = preview.read(connection, held.client_id, now, MOST_CALLBACKS)
    compared = preview.compare(registered, held.policy, other, now)
    page = _page(held, typed, error=error, other=other, compared=compared)
    return pages.answer(_render(page), 400) if error else _render(page)


def _refuse(held: Held, typed: Mapping[str, str], error: InputError) -> ResponseReturnValue:
    words = str(error)
    return pages.answer(_render(_page(held, typed, error=f"{words[:1].upper()}{words[1:]}")), 400)


def _page(
    held: Held,
    typed: Mapping[str, str],
    *,
    error: str = "",
    other: Policy | None = None,
    compared: Preview | None = None,
) -> _Page:
    with _service().database.read() as connection:
        places = factories.of_client(connection, held.client_id, MOST_CLIENTS)
        has_former = policies.former(connection, held.client_id) is not None
    return _Page(held, typed, tuple(places), has_former, error, other, compared)


def _render(page: _Page) -> str:
    return render_template("console/policy.html", page=page, form=FORM, most=MOST_LINES)


def _written(policy: Policy) -> dict[str, str]:
    """A policy as the form shows it."""
    plain = to_mapping(policy)
    entries = [entry for group in FORM.values() for entry in group]
    boxes = {entry.key: "yes" for entry in entries if entry.kind == "checkbox" and plain[entry.key]}
    return {entry.key: entry.write(plain[entry.key]) for entry in entries if entry.kind != "checkbox"} | boxes


def _read(typed: Mapping[str, str]) -> Policy:
    """The policy that the form states. Raises :class:`InputError` that names the key."""
    entries = (entry for group in FORM.values() for entry in group)
    return from_mapping({entry.key: entry.read(typed.get(entry.key, "")) for entry in entries})


def _seen(policy: Policy, version: str) -> str:
    return hashlib.sha256(f"{version}\0{to_json(policy)}".encode()).hexdigest()


def _held(client_id: str) -> Held:
    with _service().database.read() as connection:
        try:
            return policies.held(connection, client_id)
        except InputError:
            raise NotFound(f"no client {client_id[:40]}") from None


def _service() -> Service:
    service: Service = current_app.extensions["voiceback"]
    return service
