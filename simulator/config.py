"""The simulator's configuration: one JSON object, checked strictly and kept frozen."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from simulator.chaos import ChaosPlan
from simulator.contents import Content, parse_content
from simulator.errors import ConfigError
from simulator.scripts import Script, parse_script

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class NumberConfig:
    """A number that the customer owns, and the addresses that answer for it."""

    voice_url: str | None = None
    voice_method: str = "POST"
    voice_fallback_url: str | None = None
    voice_fallback_method: str = "POST"
    voice_status_url: str | None = None
    sms_url: str | None = None
    sms_method: str = "POST"
    sms_fallback_url: str | None = None
    sms_fallback_method: str = "POST"
    sms_status_url: str | None = None
    whatsapp_url: str | None = None
    whatsapp_fallback_url: str | None = None


@dataclass(frozen=True)
class HandsetConfig:
    """A make-believe phone: ``script`` is what its owner does when it rings (see ``scripts.py``).

    ``hides_number``: on WhatsApp its owner is known by the id of an account only.
    """

    number: str
    name: str = ""
    language: str = "en"
    note: str = ""
    pass_word: str = ""
    script: Script = field(default_factory=lambda: parse_script("manual"))
    hides_number: bool = False


@dataclass(frozen=True)
class TelegramConfig:
    """The customer's Telegram bot. More than ``messages_per_second`` (0: no limit) are refused with 429."""

    token: str
    username: str = "make_believe_bot"
    name: str = "Hotline"
    messages_per_second: int = 0


@dataclass(frozen=True)
class MailConfig:
    """The customer's mail address, and how mail for it comes to the customer.

    Either it is posted to ``url``, signed with ``secret``; or without an ``url`` it lies in a mailbox that is read by
    IMAP as ``imap_user`` with ``imap_password``. ``port`` (SMTP) and ``imap_port``: 0 takes a free one.
    """

    address: str
    url: str = ""
    secret: str = ""
    port: int = 0
    imap_user: str = ""
    imap_password: str = ""
    imap_port: int = 0

    def check(self) -> None:
        """Raise :class:`ConfigError` unless it is one of both ways, with what belongs to it."""
        if self.url and not self.secret:
            raise ConfigError("mail: url needs a secret")
        if not self.url and not (self.imap_user and self.imap_password):
            raise ConfigError("mail: url and secret, or imap_user and imap_password are required")


@dataclass(frozen=True)
class Action:
    """A button on the phone page; the simulator itself posts ``form`` to ``url`` with ``headers``."""

    label: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """A link on the phone page."""

    label: str
    url: str


@dataclass(frozen=True)
class Config:
    """Everything that a simulator is started with. Times are in seconds and are divided by ``speed``,
    except ``webhook_timeout``, which is real time because the customer's own work takes real time."""

    account_sid: str
    auth_token: str
    speed: float = 1.0
    calls_per_second: float = 1.0
    webhook_timeout: float = 15.0
    hang_seconds: float = 60.0
    log_limit: int = 5000
    call_limit: int = 50_000
    numbers: Mapping[str, NumberConfig] = field(default_factory=dict)
    handsets: tuple[HandsetConfig, ...] = ()
    default_script: Script = field(default_factory=lambda: parse_script("no-answer"))
    errors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    contents: tuple[Content, ...] = ()
    chaos: ChaosPlan = field(default_factory=ChaosPlan)
    actions: tuple[Action, ...] = ()
    links: tuple[Link, ...] = ()
    telegram: TelegramConfig | None = None
    mail: MailConfig | None = None


def load_config(path: Path) -> Config:
    """The configuration in the JSON file ``path``; :class:`ConfigError` names what is wrong with it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the configuration file cannot be read: {type(error).__name__}") from error
    return parse_config(data)


def parse_config(data: object) -> Config:
    """The configuration in ``data`` (decoded JSON); :class:`ConfigError` names the key that is wrong."""
    values = dict(_mapping(data, "the configuration"))
    for secret in ("account_sid", "auth_token"):
        if not isinstance(values.get(secret), str) or not values[secret]:
            raise ConfigError(f"{secret} is required")
    for positive in ("speed", "calls_per_second", "webhook_timeout", "hang_seconds"):
        if positive in values and not _is_positive(values[positive]):
            raise ConfigError(f"{positive} must be a number greater than 0")
    numbers = _mapping(values.get("numbers", {}), "numbers")
    values["numbers"] = {key: _build(NumberConfig, row, "numbers") for key, row in numbers.items()}
    values["handsets"] = tuple(parse_handset(row) for row in values.get("handsets", []))
    values["actions"] = tuple(_build(Action, row, "actions") for row in values.get("actions", []))
    values["links"] = tuple(_build(Link, row, "links") for row in values.get("links", []))
    if values.get("telegram") is not None:
        values["telegram"] = _build(TelegramConfig, values["telegram"], "telegram")
        if not re.fullmatch(r"\d{1,19}:[A-Za-z0-9_-]{1,128}", str(values["telegram"].token)):
            raise ConfigError("telegram: token must look like 123456:letters")
    if values.get("mail") is not None:
        values["mail"] = _build(MailConfig, values["mail"], "mail")
        values["mail"].check()
    values["contents"] = tuple(parse_content(row) for row in values.get("contents", []))
    if "default_script" in values:
        values["default_script"] = parse_script(values["default_script"])
    if "chaos" in values:
        values["chaos"] = ChaosPlan.parse(values["chaos"])
    return _build(Config, values, "the configuration")


def parse_handset(data: object) -> HandsetConfig:
    """One handset of the configuration or of the control API; :class:`ConfigError` if it is wrong."""
    values = dict(_mapping(data, "handsets"))
    if not isinstance(values.get("number"), str) or not values["number"]:
        raise ConfigError("handsets: number is required")
    if "script" in values:
        values["script"] = parse_script(values["script"])
    return _build(HandsetConfig, values, "handsets")


def _mapping(data: object, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} must be an object")
    return data


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _build(kind: type[T], row: object, where: str) -> T:
    """An instance of the dataclass ``kind``; an unknown key is an error, so that a typing slip shows."""
    values = _mapping(row, where)
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]  # only dataclasses come here
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: a required key is missing") from error
