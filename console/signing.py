"""Signing in and out."""

from __future__ import annotations

from math import ceil

from flask import current_app, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bot import staff
from bot.service import Service
from console import pages, session


def sign_in() -> ResponseReturnValue:
    """The form, and what it sends: name, password and one-time password together."""
    onward = _onward(request.values.get("next", ""))
    if request.method != "POST":
        return redirect(onward, 303) if session.person() else _form(onward)
    service: Service = current_app.extensions["voiceback"]
    name, password, code = (request.form.get(field, "") for field in ("name", "password", "code"))
    result = staff.authenticate(
        service.database, service.sealer, name, password, code, source=source(service)
    )
    visit = session.present()
    if isinstance(result, staff.Refused) or visit is None:
        return _refused(onward, name, result)
    session.begin(service, visit, result)
    return redirect(onward, 303)


def sign_out() -> ResponseReturnValue:
    """End the session for good."""
    visit = session.present()
    if visit is not None:
        session.end(current_app.extensions["voiceback"], visit)
    response = make_response(redirect(url_for("console.sign_in"), 303))
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def source(service: Service) -> str | None:
    """The visitor's IP address: the peer's, or what the outermost proxy of ours saw.

    Only as many entries of X-Forwarded-For are believed as there are proxies of ours, counted from the
    right; whatever stands further left was written by the visitor. A request that passed fewer proxies
    came around them, and is known by its peer.
    """
    proxies = service.settings.console_proxies
    seen = request.access_route if proxies and "X-Forwarded-For" in request.headers else []
    return seen[-proxies] if len(seen) >= proxies > 0 else request.remote_addr


def _refused(onward: str, name: str, result: staff.Refused | staff.Person) -> ResponseReturnValue:
    locked = result.locked_for if isinstance(result, staff.Refused) else None
    if locked is None:
        wrong = "Name, password or code is wrong. A code works once: wait for the next."
        return pages.answer(_form(onward, name, wrong), 401)
    seconds = max(1, ceil(locked.total_seconds()))
    told = f"Too many attempts. Try again in {_spoken(seconds)}."
    response = pages.answer(_form(onward, name, told), 429)
    response.headers["Retry-After"] = str(seconds)
    return response


def _spoken(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} second{'s' if seconds > 1 else ''}"
    return f"{ceil(seconds / 60)} minutes"


def _form(onward: str, name: str = "", error: str = "") -> str:
    return render_template("console/sign_in.html", onward=onward, name=name[:64], error=error)


def _onward(path: str) -> str:
    """A page of ours to go on to; never another site, whatever stands in the address."""
    safe = path.startswith("/console/") and "\\" not in path and "//" not in path and path.isprintable()
    return path if safe else url_for("console.home")
