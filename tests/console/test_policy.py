"""Every route × method × role is tried and does what the policy table says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.routing import Rule

import console
from bot.errors import ConfigurationError
from bot.staff import POLICY, Role
from console.guard import is_ours
from console.pages import NAVIGATION
from tests.cases.planting import Planted
from tests.console.conftest import NewVisitor, SignedIn, Visitor, hidden

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def rules(app: Flask) -> Iterator[Rule]:
    """The routes of the console."""
    return (rule for rule in app.url_map.iter_rules() if is_ours(rule.rule))


def path_of(rule: Rule, case: Planted) -> str:
    """An address that exists, for a route."""
    known = {
        "case_id": case.id,
        "recording_id": case.recording_id,
        "file_id": case.file_id,
        "incident_id": "0" * 32,
        "transfer_id": "0" * 32,
        "staff_id": "0" * 32,
        "client_id": "0" * 32,
        "callback_id": "0" * 32,
        "filename": "console.css",
    }
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: known[found[1]], rule.rule)


def expected(rule: Rule, method: str, roles: set[Role]) -> set[int]:
    """What the policy table promises for one cell."""
    if method not in (rule.methods or ()):
        return {405}
    policy = POLICY[rule.endpoint]
    if policy is None or policy & roles:
        # Let in: what the page then says depends on the form that was sent.
        return {200, 206, 303, 304, 400, 401, 404}
    if roles:
        return {403}
    return {401} if method in UNSAFE else {303}


@pytest.mark.parametrize("roles", [(), *((role,) for role in Role), (Role.ADMIN, Role.SUPERVISOR)], ids=str)
def test_every_route_method_and_role_matches_the_policy(
    app: Flask, case: Planted, visitor: NewVisitor, signed_in: SignedIn, roles: tuple[Role, ...]
) -> None:
    somebody = signed_in(*roles) if roles else visitor()
    cells = 0
    for rule in sorted(rules(app), key=lambda rule: rule.endpoint == "console.sign_out"):
        for method in METHODS:
            fields = hidden(somebody.get("/console/sign-in" if not roles else "/console/nowhere").text)
            response = somebody.client.open(path_of(rule, case), method=method, data=fields)
            assert response.status_code in expected(rule, method, set(roles)), (rule.endpoint, method)
            if response.status_code == 303 and not roles and rule.endpoint != "console.sign_in":
                assert response.location.startswith("/console/sign-in")
            response.close()
            cells += 1
    assert cells == len(POLICY) * len(METHODS)


def test_every_route_has_a_policy_and_every_policy_a_route(app: Flask) -> None:
    assert {rule.endpoint for rule in rules(app)} == set(POLICY)


def test_a_route_without_a_policy_stops_the_start(app: Flask) -> None:
    app.add_url_rule("/console/secret-door", "secret_door", lambda: "open")
    with pytest.raises(ConfigurationError, match="secret_door"):
        console.refuse_unruled(app)


def test_a_route_without_a_policy_is_refused_to_everybody(app: Flask, signed_in: SignedIn) -> None:
    app.add_url_rule("/console/secret-door", "secret_door", lambda: "open")
    assert signed_in(*Role).get("/console/secret-door").status_code == 403


def test_the_console_asks_for_the_heart_first() -> None:
    with pytest.raises(ConfigurationError):
        console.register(Flask("empty"))


@pytest.mark.parametrize("role", list(Role))
def test_the_navigation_has_no_dead_links(signed_in: SignedIn, role: Role) -> None:
    somebody = signed_in(role)
    page = somebody.client.get("/console/", follow_redirects=True)
    assert page.status_code == 200
    for place in re.findall(r'href="(/console/[^"?]*)"', page.text):
        assert somebody.client.get(place, follow_redirects=True).status_code == 200, place


def test_the_navigation_shows_only_what_a_role_may_use(signed_in: SignedIn) -> None:
    pages = {role: signed_in(role).client.get("/console/", follow_redirects=True).text for role in Role}
    shown = {
        role: [place.label for place in NAVIGATION if f">{place.label}</a>" in page]
        for role, page in pages.items()
    }
    assert shown[Role.SUPERVISOR] == ["Cases", "Line", "Callbacks", "Policies", "Watch"]
    assert shown[Role.AGENT] == ["My calls"]
    assert shown[Role.ADMIN] == ["Operations", "Watch", "Staff"]
    assert shown[Role.CLIENT_VIEWER] == []


def test_an_administrator_reads_no_case(signed_in: SignedIn, case: Planted) -> None:
    admin: Visitor = signed_in(Role.ADMIN)
    assert admin.get(f"/console/cases/{case.id}").status_code == 403
    assert admin.get("/console/cases").status_code == 403
