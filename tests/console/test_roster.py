"""What administrators do with staff, and everybody with their own account."""

from __future__ import annotations

import re
import time
from html import unescape

import pyotp
import pytest
from sqlalchemy import select

from bot import agents, language, roster, staff
from bot.clock import wall_time
from bot.roster import Member
from bot.service import Service
from bot.staff import Person, Role
from bot.storage.tables import AccessLog, table
from tests.console.conftest import PASSWORD, NewVisitor, SignedIn, Visitor
from tests.journeys.world import without_chance

HERE = "/console/staff"
PHONE = "+84 912 345 678"


@pytest.fixture
def boss(signed_in: SignedIn) -> Visitor:
    """The only administrator."""
    return signed_in(Role.ADMIN, name="boss")


def member(service: Service, name: str) -> Member:
    """What is known of somebody."""
    with service.database.read() as connection:
        return roster.named(connection, name)


def page_of(service: Service, name: str) -> str:
    """The address of somebody's page."""
    return f"{HERE}/{member(service, name).id}"


def shown(page: str) -> list[str]:
    """The secrets on a page, in order."""
    return [unescape(found).replace(" ", "") for found in re.findall(r"<code>([^<]+)</code>", page)]


def test_an_agent_is_added_with_telephone_and_languages_and_can_sign_in(
    service: Service, boss: Visitor, visitor: NewVisitor
) -> None:
    fields = {"name": "Lan", "roles": "agent", "phone": PHONE, "languages": "Vietnamese, en"}
    page = boss.send(HERE, "/console/newcomer", **fields)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    password, secret = shown(page.text)
    assert 'src="data:image/svg+xml' in page.text
    assert member(service, "lan").languages == ("vi", "en")
    assert "912" not in without_chance(boss.get(HERE).text + boss.get(page_of(service, "lan")).text)
    assert password not in boss.get(HERE).text
    lan = visitor()
    assert lan.sign_in("Lan", secret, password=password).status_code == 303
    assert "You speak: Vietnamese, English." in lan.get("/console/agent").text
    with service.database.read() as connection:
        telephone = agents.phone(connection, service.sealer, member(service, "lan").id)
    assert "912" not in repr(telephone)


MISTAKES = (
    ({"phone": "12"}, "give the telephone with"),
    ({"languages": "Klingon"}, "languages are"),
    ({"phone": ""}, "needs a telephone"),
    ({"name": "boss"}, "exists already"),
    ({"email": "nonsense"}, "not an e-mail address"),
    ({"roles": "king"}, "roles are"),
)


def test_a_form_with_a_mistake_comes_back_as_it_was_and_adds_nobody(service: Service, boss: Visitor) -> None:
    right = {"name": "lan", "roles": "agent", "phone": PHONE, "languages": "vi", "email": "lan@example.org"}
    for wrong, told in MISTAKES:
        fields = right | wrong
        page = boss.send(HERE, "/console/newcomer", **fields)
        assert page.status_code == 400
        assert told.lower() in page.text.lower()
        for name in ("name", "phone", "languages", "email"):
            assert f'name="{name}" value="{fields[name]}"' in page.text
    with service.database.read() as connection:
        assert [each.name for each in roster.members(connection)] == ["boss"]


def test_taking_access_away_ends_her_session_at_once(
    service: Service, boss: Visitor, signed_in: SignedIn
) -> None:
    mira = signed_in(Role.SUPERVISOR, name="mira")
    here = page_of(service, "mira")
    assert boss.send(here, f"{here}/deactivate").status_code == 303
    assert mira.get("/console/cases").status_code == 303
    assert "taken away" in boss.get(HERE).text
    assert boss.send(here, f"{here}/activate").status_code == 303
    assert member(service, "mira").active


@pytest.mark.parametrize(("path", "fields"), [("deactivate", {}), ("roles", {"roles": "supervisor"})])
def test_the_last_administrator_stays(
    service: Service, boss: Visitor, path: str, fields: dict[str, str]
) -> None:
    here = page_of(service, "boss")
    page = boss.send(here, f"{here}/{path}", **fields)
    assert page.status_code == 400
    assert "last active administrator" in page.text
    assert boss.get(HERE).status_code == 200


def test_roles_telephone_languages_and_address_can_be_changed(
    service: Service, boss: Visitor, signed_in: SignedIn
) -> None:
    mira = signed_in(Role.SUPERVISOR, name="mira")
    here = page_of(service, "mira")
    boss.send(here, f"{here}/line", phone=PHONE, languages="en")
    boss.send(here, f"{here}/line", phone="", languages="Thai, English")
    boss.send(here, f"{here}/email", email="mira@example.org")
    assert mira.get("/console/cases").status_code == 200
    boss.send(here, f"{here}/roles", roles="agent")
    assert mira.get("/console/cases").status_code == 303
    known = member(service, "mira")
    assert (known.languages, known.roles, known.has_email) == (("th", "en"), frozenset({Role.AGENT}), True)
    boss.send(here, f"{here}/email", email="")
    assert not member(service, "mira").has_email


def test_a_form_that_is_sent_as_it_was_shown_changes_no_language(service: Service, boss: Visitor) -> None:
    here = page_of(service, "boss")
    boss.send(here, f"{here}/line", phone=PHONE, languages=", ".join(language.SERVED))
    shown = re.search(r'name="languages" value="([^"]+)"', boss.get(here).text)
    assert shown
    boss.send(here, f"{here}/line", phone="", languages=unescape(shown[1]))
    assert member(service, "boss").languages == language.SERVED


def test_new_secrets_are_shown_once_and_replace_the_old_ones(
    service: Service, boss: Visitor, signed_in: SignedIn, visitor: NewVisitor
) -> None:
    mira = signed_in(Role.SUPERVISOR, name="mira")
    here = page_of(service, "mira")
    (password,) = shown(boss.send(here, f"{here}/password").text)
    (secret,) = shown(boss.send(here, f"{here}/totp").text)
    assert secret not in boss.get(here).text
    later = pyotp.TOTP(mira.secret).at(time.time() + 30)
    assert visitor().sign_in("mira", mira.secret, code=later).status_code == 401
    assert visitor().sign_in("mira", secret, password=password).status_code == 303


def test_what_an_administrator_did_is_in_the_access_log(service: Service, boss: Visitor) -> None:
    boss.send(HERE, "/console/newcomer", name="lan", roles="agent", phone=PHONE, languages="vi")
    here = page_of(service, "lan")
    boss.send(here, f"{here}/password")
    boss.send(here, f"{here}/deactivate")
    log = table(AccessLog)
    query = select(log.c.action, log.c.staff_id).where(log.c.object_id == member(service, "lan").id)
    with service.database.read() as connection:
        rows = [tuple(row) for row in connection.execute(query.order_by(log.c.id))]
    me = member(service, "boss").id
    assert rows == [(action, me) for action in ("add_staff", "set_line", "set_password", "deactivate")]


def test_a_password_of_ones_own_needs_the_present_one_and_a_code(signed_in: SignedIn) -> None:
    mira = signed_in(Role.CLIENT_VIEWER, name="mira")
    page = "/console/account"
    code = pyotp.TOTP(mira.secret).at(time.time() + 30)
    wrong = {"password": "not the present one", "new": "a new and long one", "code": code}
    assert mira.send(page, f"{page}/password", **wrong).status_code == 400
    weak = mira.send(page, f"{page}/password", password=PASSWORD, new="short", code=code)
    assert weak.status_code == 400
    assert "at least 12 characters" in weak.text


def test_a_new_password_of_ones_own_signs_out_everywhere(service: Service, signed_in: SignedIn) -> None:
    mira = signed_in(Role.SUPERVISOR, name="mira")
    page = "/console/account"
    code = pyotp.TOTP(mira.secret).at(time.time() + 30)
    done = mira.send(page, f"{page}/password", password=PASSWORD, new="a new and long one", code=code)
    assert done.location == "/console/sign-in"
    assert mira.get("/console/cases").status_code == 303
    fresh = pyotp.TOTP(staff.reset_totp(service.database, service.sealer, "mira")).at(wall_time())
    known = staff.authenticate(service.database, service.sealer, "mira", "a new and long one", fresh)
    assert isinstance(known, Person)
