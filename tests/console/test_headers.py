"""The headers of every response under /console, errors and redirects too."""

from __future__ import annotations

import dataclasses
import re
from typing import NoReturn

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from bot.service import Service
from bot.settings import Settings
from bot.staff import Role
from console.guard import HEADERS, SANDBOX
from tests.cases.planting import Planted
from tests.console.conftest import NewVisitor, SignedIn, Visitor, make_app
from tests.console.test_policy import METHODS, path_of, rules


def check(response: TestResponse, *, sandboxed: bool = False) -> None:
    """Every header is there, and nothing in the page needs the policy to be weaker."""
    stricter = {"Content-Security-Policy": SANDBOX} if sandboxed else {}
    for name, value in {**HEADERS, **stricter}.items():
        assert response.headers.getlist(name) == [value], (response.request.path, name)
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    if response.mimetype == "text/html":
        page = response.text
        assert " style=" not in page
        # A script is a file of ours and nothing else.
        assert not re.search(r'<script(?! src="/console/static/[\w.]+\?v=\w+" defer></script>)', page)
        assert "<style" not in page
        assert " onclick" not in page


def test_every_route_and_method_has_the_headers(app: Flask, case: Planted, signed_in: SignedIn) -> None:
    somebody = signed_in(Role.SUPERVISOR, Role.ADMIN, Role.AGENT)
    for rule in rules(app):
        if rule.endpoint in {"console.static", "console.sign_out"}:
            continue
        for method in METHODS:
            response = somebody.client.open(path_of(rule, case), method=method)
            sent = rule.endpoint in {"console.file", "console.recording"} and response.status_code < 400
            check(response, sandboxed=sent)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/console/nowhere", 404),
        ("POST", "/console/nowhere", 404),
        ("GET", "/console/nowhere/..%2f", 404),
        ("GET", "/console/static/nothing.css", 404),
        ("GET", "/console", 308),
        ("GET", "/console/", 303),
        ("GET", "/console/cases", 303),
        ("POST", "/console/sign-in", 400),
        ("DELETE", "/console/cases", 405),
        ("GET", "/console/sign-out", 405),
    ],
)
def test_errors_and_redirects_have_the_headers(
    visitor: NewVisitor, method: str, path: str, status: int
) -> None:
    response = visitor().client.open(path, method=method)
    assert response.status_code == status
    check(response)
    if status >= 400:
        assert "Voiceback</title>" in response.text


def test_a_crash_has_the_headers_and_tells_nothing(app: Flask, signed_in: SignedIn, case: Planted) -> None:
    def crash(**_: str) -> str:
        raise RuntimeError("canary of the inside")

    somebody = signed_in(Role.SUPERVISOR)
    app.view_functions["console.case"] = crash
    response = somebody.get(f"/console/cases/{case.id}")
    assert response.status_code == 500
    check(response)
    assert "canary" not in response.text
    assert "Something broke on our side" in response.text


def test_a_database_that_is_away_gives_a_page(service: Service, signed_in: SignedIn) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    service.database.dispose()
    service.database.engine.pool._creator = _away
    response = somebody.get("/console/cases")
    assert response.status_code == 500
    check(response)


def _away() -> NoReturn:
    raise ConnectionError("the database is away")


def test_what_was_asked_for_wrongly_tells_what_is_right(visitor: NewVisitor) -> None:
    response = visitor().client.delete("/console/cases")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_style_sheets_are_kept_by_the_browser_and_pages_are_not(visitor: NewVisitor) -> None:
    with visitor().get("/console/static/console.css") as sheet:
        assert "immutable" in sheet.headers["Cache-Control"]
        assert sheet.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    assert visitor().get("/console/sign-in").headers["Cache-Control"] == "no-store"


def test_over_https_the_browser_stays_on_https_and_cookies_are_bound_to_the_host(service: Service) -> None:
    settings = Settings.model_validate({"public_base_url": "https://voice.example.org"})
    app = make_app(dataclasses.replace(service, settings=settings))
    visitor = Visitor(app, app.test_client())
    response = visitor.client.get("/console/sign-in", base_url="https://voice.example.org")
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-voiceback_visit=")
    for attribute in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert attribute in cookie


def test_outside_of_the_console_nothing_is_touched(app: Flask, visitor: NewVisitor) -> None:
    app.add_url_rule("/channels/sms", "sms", lambda: ("", 200), methods=["POST"])
    response = visitor().client.post("/channels/sms")
    assert response.status_code == 200
    assert "Content-Security-Policy" not in response.headers
    assert "Set-Cookie" not in response.headers
    assert visitor().get("/elsewhere").headers.get("Content-Security-Policy") is None
