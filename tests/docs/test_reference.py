"""Promises of the reference pages: no setting, command, route, metric, table or column is undocumented."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

import cli
from app import create_app
from bot import health, incidents, messages, metrics
from bot.audits.upload import COLUMNS
from bot.callbacks import plan, states
from bot.callbacks.policy import Policy, from_mapping, to_mapping
from bot.privacy.keys import Keyring, Purpose, write
from bot.service import Service, open_service
from bot.settings import load
from bot.staff import Role
from bot.storage.tables import metadata
from channels.base import Channel
from tests.docs import reference
from tests.docs.reference import DOCS


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_part_of_a_page_is_what_the_code_says(name: str) -> None:
    # If this fails: .venv/bin/python -m tests.docs.reference
    assert reference.generated_part(name) == reference.PAGES[name]()


def test_every_command_says_what_it_does() -> None:
    assert [path for path, command in reference.leaves(cli.cli, ("voiceback",)) if not command.help] == []


# --- routes -------------------------------------------------------------------------------------


@pytest.fixture
def service(sqlite_url: str, ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service with every channel on."""
    keys = tmp_path / "keys.json"
    write(keys, ring)
    given = {
        "DATABASE_URL": sqlite_url,
        "VOICEBACK_KEYS": str(keys),
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "f" * 32,
        "TWILIO_SMS_FROM": "+15005550006",
        "TWILIO_VOICE_FROM": "+15005550007",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return open_service(load())


@pytest.fixture
def application(service: Service) -> Iterator[Flask]:
    """Both doors."""
    yield create_app(service=service)
    service.database.dispose()


def test_every_route_is_documented_and_every_documented_route_exists(application: Flask) -> None:
    routes = {
        (method, rule.rule)
        for rule in application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = set(re.findall(r"^\| `(GET|POST) ([^`]+)`", page("http.md"), re.MULTILINE))
    assert documented == routes


def test_every_metric_is_documented_and_every_documented_metric_exists(service: Service) -> None:
    exposed = set(re.findall(r"^# TYPE (\w+)", metrics.text(service).decode(), re.MULTILINE))
    assert set(re.findall(r"^\| `(voiceback_\w+)", page("operators.md"), re.MULTILINE)) == exposed


def test_every_part_of_readiness_is_documented(service: Service) -> None:
    found = health.checks(service)
    assert [check.name for check in found if f"`{check.name}`" not in page("operators.md")] == []


# --- words that people meet -----------------------------------------------------------------------


def names_missing(names: list[str], where: str) -> list[str]:
    text = page(where)
    return [name for name in names if f"`{name}`" not in text]


def test_every_kind_of_incident_is_documented() -> None:
    assert names_missing([kind.value for kind in incidents.IncidentKind], "operators.md") == []


def test_every_key_of_the_key_file_is_documented() -> None:
    assert names_missing([purpose.value for purpose in Purpose], "operators.md") == []


def test_every_role_is_documented() -> None:
    assert names_missing([role.value for role in Role], "operators.md") == []


def test_policy_of_the_documentation_is_the_default_with_every_key() -> None:
    import yaml

    example = re.search(r"```yaml\n(first_call_day.*?)```", page("callbacks.md"), re.DOTALL)
    assert example
    written = yaml.safe_load(example[1])
    assert set(written) == set(to_mapping(Policy()))
    assert from_mapping(written) == Policy()


def test_every_column_of_an_upload_is_documented() -> None:
    columns = page("uploads.md").partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)`", columns, re.MULTILINE)
    assert sorted(documented) == sorted(COLUMNS)


@pytest.mark.parametrize(
    "kind", [states.CallbackState, states.AttemptState, states.Disposition, plan.GiveUp, plan.DayCode]
)
def test_every_state_and_code_of_a_callback_is_documented(kind: type[states.CallbackState]) -> None:
    assert names_missing([code.value for code in kind], "callbacks.md") == []


def test_aapor_codes_of_the_documentation_are_those_of_the_code() -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| (\d\.\d+) \|", page("callbacks.md"), re.MULTILINE))
    assert documented == {disposition.value: code for disposition, code in states.AAPOR.items()}


def test_every_table_is_documented_and_every_documented_table_exists() -> None:
    tables = page("architecture.md").partition("## Tables")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", tables, re.MULTILINE)) == set(metadata.tables)


# --- the contract of channels ---------------------------------------------------------------------


def test_every_part_of_the_channel_contract_is_documented() -> None:
    methods = [name for name, member in vars(Channel).items() if callable(member) and name[0] != "_"]
    assert set(methods) >= {"receive", "render", "send", "status"}
    assert names_missing(methods, "channels.md") == []


def test_every_capability_is_documented() -> None:
    fields = [field.name for field in dataclasses.fields(messages.Capabilities)]
    assert names_missing(fields, "channels.md") == []
