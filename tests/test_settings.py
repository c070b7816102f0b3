"""Settings: read from the environment, refused by name and never by value."""

from __future__ import annotations

import pytest

from bot.errors import ConfigurationError
from bot.settings import Lines, Settings, load


def test_without_anything_set_the_defaults_serve_nobody_but_are_usable() -> None:
    settings = load()
    assert settings.database_url.startswith("sqlite:///var/")
    assert not settings.sms_on
    assert not settings.voice_on


def test_every_setting_has_help() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"TWILIO_ACCOUNT_SID": "AC1"}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "hunter2"}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_AUTH_TOKEN": "hunter2hunter2hunter2"}, "TWILIO_ACCOUNT_SID"),
        ({"SMTP_URL": "smtp://hunter2@127.0.0.1"}, "EMAIL_FROM"),
        ({"TWILIO_VOICE_FROM": "hunter2"}, "TWILIO_VOICE_FROM"),
        ({"PUBLIC_BASE_URL": "hunter2"}, "PUBLIC_BASE_URL"),
        ({"LOG_LEVEL": "hunter2"}, "LOG_LEVEL"),
        ({"WORK_PROCESSES": "0"}, "WORK_PROCESSES"),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert named in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "hunter2hunter2hunter2")
    assert "hunter2" not in f"{load()} {load()!r}"


@pytest.mark.parametrize(
    ("text", "country", "line"),
    [
        ("+15005550006", "ID", "+15005550006"),
        ("ID=+6221500, *=+15005550006", "ID", "+6221500"),
        ("ID=+6221500, *=+15005550006", "MM", "+15005550006"),
        ("ID=+6221500", "MM", None),
        ("id=+6221500", "ID", "+6221500"),
    ],
)
def test_numbers_are_chosen_by_country(text: str, country: str, line: str | None) -> None:
    assert Lines.parse(text).for_country(country) == line
