"""Home, the navigation, and pages for what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flask import Blueprint, Flask, Response, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from bot.errors import ConflictError, InputError, NotFound, SealError
from bot.staff import allows
from console.session import person


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of the navigation. It is shown to those whom the policy lets in."""

    endpoint: str
    label: str


NAVIGATION: Final = (
    Destination("console.cases", "Cases"),
    Destination("console.agent", "My calls"),
    Destination("console.line", "Line"),
    Destination("console.callbacks", "Callbacks"),
    Destination("console.policies", "Policies"),
    Destination("console.operations", "Operations"),
    Destination("console.watch", "Watch"),
    Destination("console.staff", "Staff"),
)
"""In the order of the day's work. A later room (audits, remedies, dashboard) is one line here."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What an error page says: what happened, and what to do."""

    title: str
    advice: str


_TROUBLES: Final[Mapping[int, _Trouble]] = MappingProxyType(
    {
        400: _Trouble("This could not be understood", "Go back, check what you entered and send it again."),
        401: _Trouble(
            "You are signed out", "Your session ended, so nothing was changed. Sign in and do it again."
        ),
        403: _Trouble(
            "This is not for your role",
            "If you need this page for your work, ask your administrator for the role that goes with it.",
        ),
        404: _Trouble("There is nothing here", "The address may be mistyped, or what was here is gone."),
        405: _Trouble("This cannot be done this way", "Use the buttons of the page itself."),
        409: _Trouble("Somebody else was faster", "It was changed meanwhile. Look at it again, then decide."),
        413: _Trouble("That was too much", "Shorten what you wrote and send it again."),
        500: _Trouble(
            "Something broke on our side",
            "Nothing was half-saved. Try again; if it happens again, tell the operator.",
        ),
    }
)
_TOKEN_GONE: Final = _Trouble(
    "This form is too old or was not ours",
    "Nothing was changed. Go back, reload the page and send the form again.",
)


def install(app: Flask) -> None:
    """Teach the templates the navigation."""
    app.jinja_env.globals["destinations"] = destinations
    app.jinja_env.globals["may"] = may


def home() -> ResponseReturnValue:
    """The first page that somebody may use; a plain word for those who have none yet."""
    for destination in destinations():
        return redirect(url_for(destination.endpoint), 303)
    return render_template("console/home.html")


def destinations() -> list[Destination]:
    """The entries of the navigation that the visitor may use."""
    visitor = person()
    roles = visitor.roles if visitor else ()
    return [destination for destination in NAVIGATION if allows(destination.endpoint, roles)]


def may(endpoint: str) -> bool:
    """Whether the visitor may use an endpoint, so that no page leads to a closed door."""
    visitor = person()
    return allows(endpoint, visitor.roles if visitor else ())


def install_errors(door: Blueprint) -> None:
    """Answer errors of the console's pages in its own look."""
    door.register_error_handler(HTTPException, _from_http)
    door.register_error_handler(NotFound, lambda _: error_page(404))
    door.register_error_handler(InputError, lambda error: error_page(400, advice=_sentence(error)))
    door.register_error_handler(ConflictError, lambda _: error_page(409))
    door.register_error_handler(SealError, lambda _: error_page(500))


def error_page(status: int, *, advice: str | None = None, trouble: _Trouble | None = None) -> Response:
    """A page that says what happened and what to do, and keeps what was typed."""
    told = trouble or _TROUBLES.get(status) or _TROUBLES[400 if status < 500 else 500]
    typed = "" if status == 413 else request.form.get("note", "")
    body = render_template(
        "console/error.html", status=status, title=told.title, advice=advice or told.advice, typed=typed
    )
    return answer(body, status)


def answer(body: str, status: int) -> Response:
    """A page of ours for something that went wrong; the guard leaves it as it is."""
    g.console_dressed = True
    return Response(body, status, mimetype="text/html")


def dress(response: Response) -> None:
    """Give an error that no page of ours made (no such address, a crash) the console's look, in place."""
    if g.get("console_dressed"):
        return
    allowed = response.headers.get("Allow")
    response.set_data(error_page(response.status_code).get_data())
    response.mimetype = "text/html"
    if allowed:
        response.headers["Allow"] = allowed


def _from_http(error: HTTPException) -> ResponseReturnValue:
    if error.code is None or error.code < 400:
        return error.get_response()
    if isinstance(error, CSRFError):
        return error_page(400, trouble=_TOKEN_GONE)
    page = error_page(error.code)
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            page.headers[name] = value
    return page


def _sentence(error: InputError) -> str:
    words = str(error)
    return f"{words[:1].upper()}{words[1:]}."
