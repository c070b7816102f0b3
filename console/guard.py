"""What stands before and behind every page: the policy, the form token, the headers.

Everything under ``/console`` passes here, also what another room may hang there and what has no page
at all: the rules hang on the path and not on a blueprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from flask import Flask, Response, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect

from bot.privacy.keys import Purpose
from bot.service import Service
from bot.staff import allows
from console import pages
from console.session import person

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_FORM_BYTES: Final = 64 * 1024
_CSP: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; media-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; connect-src 'self'"
)
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": _CSP,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    }
)
"""On every response under ``/console``."""
_SANDBOXED: Final = frozenset({"console.file", "console.recording"})
"""What workers sent, as it is: a browser that opens it as a page of its own lets it do nothing."""
SANDBOX: Final = f"{_CSP}; sandbox"
_CACHED: Final = "public, max-age=31536000, immutable"
"""Style sheets are the same for everybody and carry their version in the address."""


def install(app: Flask) -> None:
    """Put the guard before and behind the console of an application."""
    service: Service = app.extensions["voiceback"]
    app.config["WTF_CSRF_SECRET_KEY"] = service.keyring.current(Purpose.SESSION)[1]
    # The workers' door has signatures instead of form tokens: only our own check below asks for one.
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    # A form token lives as long as its session.
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    # We send no referrer, so none can be asked for; Sec-Fetch-Site tells the same.
    app.config["WTF_CSRF_SSL_STRICT"] = False
    CSRFProtect(app)
    app.before_request(_check)
    app.after_request(_finish)


def is_ours(path: str) -> bool:
    """Whether a path belongs to the console."""
    return path == "/console" or path.startswith("/console/")


def _check() -> ResponseReturnValue | None:
    if not is_ours(request.path) or request.endpoint is None:
        return None
    request.max_content_length = _MOST_FORM_BYTES
    visitor = person()
    if not allows(request.endpoint, visitor.roles if visitor else ()):
        if visitor is None:
            return _to_sign_in()
        abort(403)
    if request.method not in SAFE:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            abort(400, "this form was sent by another site")
        csrf: CSRFProtect = current_app.extensions["csrf"]
        csrf.protect()
    return None


def _to_sign_in() -> ResponseReturnValue:
    if request.method not in SAFE:
        # Not a redirect: what was typed must not be lost because a session ended meanwhile.
        abort(401)
    return redirect(url_for("console.sign_in", next=request.path), 303)


def _finish(response: Response) -> Response:
    if not is_ours(request.path):
        return response
    if response.status_code >= 400:
        pages.dress(response)
    for name, value in HEADERS.items():
        response.headers[name] = value
    service: Service = current_app.extensions["voiceback"]
    if service.settings.console_url.startswith("https://"):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint in _SANDBOXED and response.status_code < 400:
        response.headers["Content-Security-Policy"] = SANDBOX
    if request.endpoint == "console.static" and response.status_code < 400:
        response.headers["Cache-Control"] = _CACHED
    return response
