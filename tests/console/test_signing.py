"""Signing in and out, and what a session is worth."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pyotp
import pytest
from flask import Flask
from sqlalchemy import func, select, update

from bot import staff
from bot.service import Service
from bot.staff import Role
from bot.storage.tables import StaffSession, table
from tests.cases.planting import Planted
from tests.console.conftest import PASSWORD, Age, NewVisitor, SignedIn, Visitor, form_token

_session = table(StaffSession)


def rows(service: Service) -> int:
    """How many sessions the table holds."""
    with service.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(_session)).scalar_one())


def is_in(somebody: Visitor) -> bool:
    """Whether the console knows who this is."""
    return somebody.get("/console/cases").status_code == 200


def test_signing_in_leads_to_the_first_page(signed_in: SignedIn) -> None:
    page = signed_in(Role.SUPERVISOR).client.get("/console/", follow_redirects=True)
    assert page.request.path == "/console/cases"


def test_signing_in_leads_back_to_where_one_wanted_to_go(
    visitor: NewVisitor, service: Service, case: Planted
) -> None:
    secret = staff.add(service.database, service.sealer, service.clock, "mira", PASSWORD, [Role.SUPERVISOR])
    somebody = visitor()
    wanted = f"/console/cases/{case.id}"
    asked = somebody.client.get(wanted, follow_redirects=True)
    assert asked.request.path == "/console/sign-in"
    assert f'name="next" value="{wanted}"' in asked.text
    fields = {"name": "mira", "password": PASSWORD, "code": pyotp.TOTP(secret).now(), "next": wanted}
    assert somebody.send("/console/sign-in", "/console/sign-in", **fields).location == wanted


@pytest.mark.parametrize(
    "evil",
    [
        "//evil.example",
        "https://evil.example",
        "/console/\\evil",
        "/console//evil.example",
        "javascript:alert(1)",
    ],
)
def test_nobody_is_sent_to_another_site(visitor: NewVisitor, evil: str) -> None:
    page = visitor().client.get("/console/sign-in", query_string={"next": evil}).text
    assert 'name="next" value="/console/"' in page


@pytest.mark.parametrize("name", ["mira", "nobody"])
def test_known_and_unknown_names_cannot_be_told_apart(
    visitor: NewVisitor, signed_in: SignedIn, name: str
) -> None:
    signed_in(Role.SUPERVISOR, name="mira")
    somebody = visitor()
    answers = [
        somebody.send(
            "/console/sign-in", "/console/sign-in", name=name, password="wrong password", code="123456"
        )
        for _ in range(6)
    ]
    assert [answer.status_code for answer in answers] == [401] * 4 + [429] * 2
    assert "is wrong" in answers[0].text
    assert "Too many attempts. Try again in 60 seconds" in answers[4].text
    assert 1 <= int(answers[5].headers["Retry-After"]) <= 60
    assert not re.search("no such|unknown|does not exist", answers[0].text)
    assert "wrong password" not in answers[0].text
    assert "123456" not in answers[0].text


def test_a_code_that_was_used_opens_no_second_session(visitor: NewVisitor, signed_in: SignedIn) -> None:
    mira = signed_in(Role.SUPERVISOR)
    # The code of the next half minute is valid already, and stays so while this test runs.
    code = pyotp.TOTP(mira.secret).at(time.time() + 30)
    assert visitor().sign_in(mira.name, mira.secret, code=code).status_code == 303
    assert visitor().sign_in(mira.name, mira.secret, code=code).status_code == 401


def test_the_session_of_a_visitor_is_worth_nothing_after_signing_in(
    visitor: NewVisitor, signed_in: SignedIn
) -> None:
    signed_in(Role.SUPERVISOR, name="mira")
    planted = visitor()
    planted.client.set_cookie("voiceback_session", "planted-by-an-attacker", path="/console")
    secret = signed_in(Role.SUPERVISOR, name="siti").secret
    planted.get("/console/sign-in")
    assert planted.cookies()["voiceback_session"] == "planted-by-an-attacker"
    later = pyotp.TOTP(secret).at(time.time() + 30)
    assert planted.sign_in("siti", secret, code=later).status_code == 303
    held = planted.cookies()
    assert held["voiceback_session"] != "planted-by-an-attacker"
    assert "voiceback_visit" not in held
    attacker = visitor()
    attacker.client.set_cookie("voiceback_session", "planted-by-an-attacker", path="/console")
    assert not is_in(attacker)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "source"),
    [
        (0, "198.51.100.7", "203.0.113.9"),
        (1, "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        (2, "6.6.6.6, 198.51.100.7, 192.0.2.1", "198.51.100.7"),
        (2, "198.51.100.7", "203.0.113.9"),
        (1, None, "203.0.113.9"),
    ],
)
def test_only_what_our_own_proxies_say_of_the_visitor_is_believed(
    service: Service,
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    proxies: int,
    forwarded: str | None,
    source: str,
) -> None:
    seen: list[str | None] = []

    def note(*_: object, source: str | None = None) -> staff.Refused:
        seen.append(source)
        return staff.Refused()

    monkeypatch.setattr(staff, "authenticate", note)
    monkeypatch.setattr(service.settings, "console_proxies", proxies)
    client = app.test_client()
    token = form_token(client.get("/console/sign-in").text)
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    client.post(
        "/console/sign-in",
        data={"csrf_token": token},
        headers=headers,
        environ_base={"REMOTE_ADDR": "203.0.113.9"},
    )
    assert seen == [source]


def test_signing_out_ends_every_copy_of_the_cookie(
    service: Service, visitor: NewVisitor, signed_in: SignedIn
) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    thief = visitor()
    thief.client.set_cookie("voiceback_session", somebody.cookies()["voiceback_session"], path="/console")
    assert is_in(thief)
    response = somebody.send("/console/cases", "/console/sign-out")
    assert response.location == "/console/sign-in"
    assert "cache" in response.headers["Clear-Site-Data"]
    assert "voiceback_session" not in somebody.cookies()
    assert not is_in(somebody)
    assert not is_in(thief)
    assert rows(service) == 0


def test_a_link_cannot_sign_anybody_out(signed_in: SignedIn) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    assert somebody.get("/console/sign-out").status_code == 405
    assert is_in(somebody)


def test_a_session_ends_after_half_an_hour_without_use(signed_in: SignedIn, age: Age) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    age(seen=timedelta(minutes=29))
    assert is_in(somebody)
    age(seen=timedelta(minutes=30))
    assert not is_in(somebody)


def test_use_keeps_a_session_alive_but_no_longer_than_eight_hours(
    service: Service, signed_in: SignedIn, age: Age
) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    age(seen=timedelta(minutes=20), created=timedelta(hours=7))
    assert is_in(somebody)
    with service.database.read() as connection:
        seen, created = connection.execute(select(_session.c.seen_at, _session.c.created_at)).one()
    assert seen - created > timedelta(hours=6, minutes=59)
    age(created=timedelta(hours=8))
    assert not is_in(somebody)


def test_a_change_of_roles_or_leaving_ends_the_session(service: Service, signed_in: SignedIn) -> None:
    demoted, left = signed_in(Role.SUPERVISOR, name="demoted"), signed_in(Role.SUPERVISOR, name="left")
    staff.set_roles(service.database, "demoted", [Role.AGENT])
    staff.deactivate(service.database, "left")
    assert not is_in(demoted)
    assert not is_in(left)


def test_the_table_of_sessions_opens_no_session(
    service: Service, visitor: NewVisitor, signed_in: SignedIn
) -> None:
    signed_in(Role.SUPERVISOR)
    with service.database.read() as connection:
        stored = connection.execute(select(_session.c.id)).scalar_one()
    thief = visitor()
    thief.client.set_cookie("voiceback_session", stored, path="/console")
    assert not is_in(thief)


def test_visitors_cannot_fill_the_table_of_sessions(service: Service, visitor: NewVisitor) -> None:
    for _ in range(5):
        assert visitor().get("/console/sign-in").status_code == 200
    assert rows(service) == 0


def test_a_forged_cookie_of_a_visitor_is_not_believed(visitor: NewVisitor) -> None:
    somebody = visitor()
    somebody.client.set_cookie("voiceback_visit", "eyJjc3JmX3Rva2VuIjoieCJ9.x.y", path="/console")
    assert somebody.get("/console/sign-in").status_code == 200


def test_a_form_without_its_token_changes_nothing(
    service: Service, signed_in: SignedIn, case: Planted
) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    for token in ({}, {"csrf_token": "forged"}):
        response = somebody.client.post(
            f"/console/cases/{case.id}/note", data={"note": "typed at length", **token}
        )
        assert response.status_code == 400
        assert "This form is too old or was not ours" in response.text
        assert "typed at length" in response.text
    assert "typed at length" not in somebody.get(f"/console/cases/{case.id}").text


def test_the_token_of_somebody_else_is_not_taken(
    visitor: NewVisitor, signed_in: SignedIn, case: Planted
) -> None:
    somebody, other = signed_in(Role.SUPERVISOR, name="a-a"), signed_in(Role.SUPERVISOR, name="b-b")
    path = f"/console/cases/{case.id}"
    fields = {"csrf_token": other.token(path), "version": "0"}
    assert somebody.client.post(f"{path}/take", data=fields).status_code == 400


def test_a_form_that_another_site_sends_is_refused(signed_in: SignedIn, case: Planted) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    path = f"/console/cases/{case.id}"
    fields = {"csrf_token": somebody.token(path), "version": "0"}
    response = somebody.client.post(f"{path}/take", data=fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 400


def test_what_was_typed_survives_the_end_of_a_session(signed_in: SignedIn, age: Age, case: Planted) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    age(seen=timedelta(hours=1))
    response = somebody.client.post(
        f"/console/cases/{case.id}/note", data={"note": "<b>an hour of typing</b>"}
    )
    assert response.status_code == 401
    assert "&lt;b&gt;an hour of typing&lt;/b&gt;" in response.text
    assert "You are signed out" in response.text


def test_a_form_that_is_too_large_is_refused_with_a_page(signed_in: SignedIn, case: Planted) -> None:
    somebody = signed_in(Role.SUPERVISOR)
    response = somebody.client.post(f"/console/cases/{case.id}/note", data={"note": "x" * 100_000})
    assert response.status_code == 413
    assert "Shorten what you wrote" in response.text


def test_a_session_of_another_key_ring_is_not_read(service: Service, visitor: NewVisitor) -> None:
    somebody = visitor()
    token = somebody.token()
    with service.database.write() as connection:
        connection.execute(update(_session).values(data="{}"))
    stranger = visitor()
    fields = {"csrf_token": token, "name": "a", "password": "b", "code": "1"}
    assert stranger.client.post("/console/sign-in", data=fields).status_code == 400
