"""The page of staff, for administrators, and everybody's own account. Secrets are shown once and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import segno
from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bot import language, roster, staff
from bot.errors import InputError
from bot.roster import Member, Newcomer
from bot.service import Service
from bot.staff import PASSWORD_LENGTH, Role
from console import labels, pages, session, signing


@dataclass(frozen=True, slots=True)
class _Draft:
    """What was typed when it could not be done: the form has it again."""

    error: str = ""
    name: str = ""
    roles: frozenset[str] = frozenset()
    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    languages: str = ""


@dataclass(frozen=True, slots=True)
class _Secrets:
    """What is handed to a person now and can never be read again."""

    name: str
    password: str | None = field(default=None, repr=False)
    totp: str | None = field(default=None, repr=False)

    @property
    def picture(self) -> str:
        """The secret as a picture for an authenticator app."""
        uri = staff.provisioning_uri(self.name, self.totp or "")
        return str(segno.make(uri, error="m").svg_data_uri(scale=5, border=2, light="white"))

    @property
    def spelled(self) -> str:
        """The secret in groups of four, to be typed."""
        word = self.totp or ""
        return " ".join(word[n : n + 4] for n in range(0, len(word), 4))


def show() -> ResponseReturnValue:
    """Everybody who works here, and the form to add somebody."""
    return _list(_Draft())


def add() -> ResponseReturnValue:
    """Add somebody, and show the password and the secret once."""
    service, draft = _service(), _typed()
    try:
        newcomer = Newcomer(
            draft.name,
            staff.read_roles(sorted(draft.roles)),
            roster.fresh_password(),
            draft.email.strip() or None,
            draft.phone.strip() or None,
            _spoken(draft.languages),
        )
        secret = roster.add(service, newcomer, by=session.staff().id)
    except InputError as error:
        return pages.answer(_list(replace(draft, error=_sentence(error))), 400)
    return _secrets(_Secrets(staff.normal_name(draft.name), newcomer.password, secret))


def show_member(staff_id: str) -> ResponseReturnValue:
    """One member of staff, and what may be changed of her."""
    return _page(staff_id, _Draft())


def set_roles(staff_id: str) -> ResponseReturnValue:
    """Give other roles; she is signed out."""

    def act(service: Service, member: Member, me: str) -> None:
        staff.set_roles(service.database, member.name, staff.read_roles(request.form.getlist("roles")), by=me)

    return _do(staff_id, act, "Roles changed.")


def set_line(staff_id: str) -> ResponseReturnValue:
    """Give another telephone or other languages."""

    def act(service: Service, member: Member, me: str) -> None:
        phone, languages = request.form.get("phone", "").strip(), _spoken(request.form.get("languages", ""))
        roster.set_line(service, member.id, phone or None, languages or None, by=me)

    return _do(staff_id, act, "Telephone and languages changed.")


def set_email(staff_id: str) -> ResponseReturnValue:
    """Give another address for notices, or none."""

    def act(service: Service, member: Member, me: str) -> None:
        email = request.form.get("email", "").strip()
        staff.set_email(service.database, service.sealer, member.name, email or None, by=me)

    return _do(staff_id, act, "Address for notices changed.")


def deactivate(staff_id: str) -> ResponseReturnValue:
    """Take away all access at once."""

    def act(service: Service, member: Member, me: str) -> None:
        staff.deactivate(service.database, member.name, by=me)

    return _do(staff_id, act, "Access taken away. Whoever was signed in under this name is out.")


def activate(staff_id: str) -> ResponseReturnValue:
    """Give access back."""

    def act(service: Service, member: Member, me: str) -> None:
        staff.activate(service.database, member.name, by=me)

    return _do(staff_id, act, "Access given back, with the password and the secret of before.")


def reset_password(staff_id: str) -> ResponseReturnValue:
    """Make a new password and show it once."""
    service, member, password = _service(), _member(staff_id), roster.fresh_password()
    staff.set_password(service.database, member.name, password, by=session.staff().id)
    return _secrets(_Secrets(member.name, password=password))


def reset_totp(staff_id: str) -> ResponseReturnValue:
    """Make a new secret for the authenticator app and show it once."""
    service, member = _service(), _member(staff_id)
    secret = staff.reset_totp(service.database, service.sealer, member.name, by=session.staff().id)
    return _secrets(_Secrets(member.name, totp=secret))


# --- one's own account --------------------------------------------------------------------------


def account() -> ResponseReturnValue:
    """One's own name, roles and password."""
    return _account("")


def change_password() -> ResponseReturnValue:
    """Choose a new password for oneself, with the present one and a fresh code; then sign in with it."""
    service, me = _service(), session.staff()
    present, new, code = (request.form.get(name, "") for name in ("password", "new", "code"))
    known = staff.authenticate(
        service.database, service.sealer, me.name, present, code, source=signing.source(service)
    )
    if isinstance(known, staff.Refused):
        wrong = "Password or code is wrong, so nothing was changed. A code works once: wait for the next."
        return pages.answer(_account(wrong), 400)
    try:
        staff.set_password(service.database, me.name, new, by=me.id)
    except InputError as error:
        return pages.answer(_account(_sentence(error)), 400)
    return redirect(url_for("console.sign_in"), 303)


def _account(error: str) -> str:
    return render_template("console/account.html", error=error, shortest=PASSWORD_LENGTH)


# --- inside -------------------------------------------------------------------------------------


def _do(staff_id: str, act: Callable[[Service, Member, str], None], done: str) -> ResponseReturnValue:
    try:
        act(_service(), _member(staff_id), session.staff().id)
    except InputError as error:
        return pages.answer(_page(staff_id, replace(_typed(), error=_sentence(error))), 400)
    flash(done)
    return redirect(url_for("console.staff_member", staff_id=staff_id), 303)


def _typed() -> _Draft:
    form = request.form
    return _Draft(
        name=form.get("name", "")[:256],
        roles=frozenset(form.getlist("roles")),
        email=form.get("email", ""),
        phone=form.get("phone", ""),
        languages=form.get("languages", ""),
    )


def _spoken(words: str) -> tuple[str, ...]:
    """Languages as somebody typed them: codes or names, parted by commas."""
    shown = {labels.language(code).casefold(): code for code in language.SERVED}
    asked = (word.strip() for word in words.split(","))
    return tuple(shown.get(word.casefold()) or language.find(word) or word for word in asked if word)


def _list(draft: _Draft) -> str:
    with _service().database.read() as connection:
        members = roster.members(connection)
    return render_template("console/staff.html", members=members, roles=list(Role), draft=draft)


def _page(staff_id: str, draft: _Draft) -> str:
    return render_template(
        "console/staff_member.html", member=_member(staff_id), roles=list(Role), draft=draft
    )


def _secrets(secrets: _Secrets) -> str:
    return render_template("console/staff_secrets.html", secrets=secrets)


def _member(staff_id: str) -> Member:
    with _service().database.read() as connection:
        return roster.member(connection, staff_id)


def _sentence(error: InputError) -> str:
    words = str(error)
    return f"{words[:1].upper()}{words[1:]}."


def _service() -> Service:
    service: Service = current_app.extensions["voiceback"]
    return service
