"""The list of settings: name, default and help in one place (``docs/settings.md`` is tested against it).

Values come from the environment or from a file ``.env`` in the working folder.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import ConfigurationError
from bot.messages import Channel

_MIN_SECRET = 16
_LONGEST_LOCAL = 24
"""A local part has at most 64 characters (RFC 5321, 4.5.3.1.1), and a plus and a token are put behind ours."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_CONTENT = re.compile(r"HX[0-9a-fA-F]{32}")
_TELEGRAM_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")


class Lines:
    """Our own numbers: one for all countries, or ``CC=+number`` pairs with ``*=`` for the rest."""

    def __init__(self, by_country: dict[str, str]) -> None:
        self.by_country = by_country

    @classmethod
    def parse(cls, value: str) -> Lines:
        """Read ``+15005550006`` or ``ID=+62…, *=+1…``; raises ValueError that names the bad part's position."""
        by_country: dict[str, str] = {}
        for position, part in enumerate(filter(None, (p.strip() for p in value.split(","))), 1):
            country, equals, number = part.rpartition("=")
            country = country.strip().upper() if equals else "*"
            number = number.strip().removeprefix("whatsapp:")
            if not (country == "*" or (len(country) == 2 and country.isalpha())):
                raise ValueError(f"part {position}: write CC=+number with a two-letter country, or *=+number")
            if not (number.startswith("+") and number[1:].isdigit() and 4 <= len(number) <= 16):
                raise ValueError(f"part {position}: the number must look like +15005550006")
            by_country[country] = number
        return cls(by_country)

    def for_country(self, country: str | None) -> str | None:
        """The line for a country, else the one for the rest, else None."""
        return self.by_country.get(country or "*") or self.by_country.get("*")

    def __contains__(self, number: object) -> bool:
        return number in self.by_country.values()

    @property
    def numbers(self) -> list[str]:
        """Each of the numbers once."""
        return list(dict.fromkeys(self.by_country.values()))

    def __len__(self) -> int:
        return len(self.numbers)


class Templates:
    """The neutral notices that a provider approved: content ids by language, with ``*`` for the rest."""

    def __init__(self, by_language: dict[str, str]) -> None:
        self.by_language = by_language

    @classmethod
    def parse(cls, value: str) -> Templates:
        """Read ``HX…`` or ``id=HX…, *=HX…``; raises ValueError that names the bad part's position."""
        by_language: dict[str, str] = {}
        for position, part in enumerate(filter(None, (p.strip() for p in value.split(","))), 1):
            language, equals, content = (word.strip() for word in part.rpartition("="))
            if not (not equals or language == "*" or _LANGUAGE.fullmatch(language)):
                raise ValueError(f"part {position}: write a language's code before the =, or *")
            if not _CONTENT.fullmatch(content):
                raise ValueError(f"part {position}: a content id is HX and 32 hexadecimal digits")
            by_language[language or "*"] = content
        if by_language and "*" not in by_language:
            raise ValueError("add *=HX… for the languages that have none of their own")
        return cls(by_language)

    def for_language(self, language: str) -> str | None:
        """The content id for a BCP-47 code, else the one for the rest, else None."""
        return self.by_language.get(language) or self.by_language.get("*")

    def __bool__(self) -> bool:
        return bool(self.by_language)


class Numbers:
    """A plain list of our own numbers."""

    def __init__(self, numbers: tuple[str, ...]) -> None:
        self.numbers = numbers

    @classmethod
    def parse(cls, value: str) -> Numbers:
        """Read ``+15005550006, +62…``; raises ValueError that names the bad part's position."""
        numbers = [part.strip() for part in value.split(",") if part.strip()]
        for position, number in enumerate(numbers, 1):
            if not (number.startswith("+") and number[1:].isdigit() and 4 <= len(number) <= 16):
                raise ValueError(f"part {position}: the number must look like +15005550006")
        return cls(tuple(numbers))

    def __contains__(self, number: object) -> bool:
        return number in self.numbers

    def __len__(self) -> int:
        return len(self.numbers)


def _numbers(value: Any) -> Any:
    return Numbers.parse(value) if isinstance(value, str) else value


NumbersField = Annotated[Numbers, BeforeValidator(_numbers)]


def _templates(value: Any) -> Any:
    return Templates.parse(value) if isinstance(value, str) else value


TemplatesField = Annotated[Templates, BeforeValidator(_templates)]


def _lines(value: Any) -> Any:
    return Lines.parse(value) if isinstance(value, str) else value


LinesField = Annotated[Lines, BeforeValidator(_lines)]


class Settings(BaseSettings):
    """Everything that an operator can set."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    database_url: str = Field(
        "sqlite:///var/voiceback.db", description="SQLite or PostgreSQL; PostgreSQL for more than one process"
    )
    redis_url: str = Field("", description="Redis or Valkey; empty starts an embedded one under ./var")
    public_base_url: str = Field(
        "http://127.0.0.1:8000", description="The address at which providers reach us; signatures cover it"
    )
    console_base_url: str = Field(
        "", description="The staff's address where it is another one; notices to staff lead there"
    )
    console_proxies: int = Field(
        0,
        ge=0,
        description="How many reverse proxies of yours stand before the console, so that signing in is limited "
        "by the visitor's address and not by theirs",
    )
    voiceback_keys: Path = Field(Path("var/keys.json"), description="Key file that `voiceback init` makes")
    voiceback_flows: Path = Field(Path("flows"), description="Folder of the conversation flows")
    voiceback_locales: Path = Field(Path("locales"), description="Folder of translations and recordings")
    twilio_account_sid: str = Field("", description="Twilio account")
    twilio_auth_token: SecretStr = Field(
        SecretStr(""), description="Its auth token; also signs Twilio's requests to us"
    )
    twilio_api_base: str = Field(
        "", description="Other address of the Twilio API (the simulator, a compatible carrier)"
    )
    twilio_sms_from: LinesField = Field(
        Lines({}), description="Sending number, or `CC=+number` pairs by country with `*=` for the rest"
    )
    twilio_voice_from: LinesField = Field(
        Lines({}), description="Calling number; differs from the number on the card. Form as above"
    )
    twilio_whatsapp_from: LinesField = Field(
        Lines({}), description="WhatsApp sender, form as above, without `whatsapp:`"
    )
    twilio_whatsapp_templates: TemplatesField = Field(
        Templates({}),
        description="Approved neutral notices that ask a worker to write, when free text is not allowed: "
        "`id=HX…, *=HX…` by language",
    )
    twilio_calls_per_second: float = Field(
        1.0, gt=0, description="Calls that Twilio lets you start per second; dialling stays below it"
    )
    twilio_call_slots: int = Field(20, gt=0, description="Calls that may be under way at the same time")
    twilio_missed_call: NumbersField = Field(
        Numbers(()),
        description="Our own numbers, `+15005550006, +62…`, whose callers are not answered but called back at "
        "once, so that a call costs them nothing",
    )
    agent_wait_seconds: int = Field(
        180,
        ge=10,
        le=3600,
        description="How long a caller waits for an agent before she is offered other ways",
    )
    sms_per_second: float = Field(
        1.0,
        gt=0,
        description="Texts per second that each of our SMS numbers may send: 1 for a long number, 3 for a "
        "toll-free one, up to 100 for a short code",
    )
    whatsapp_per_second: float = Field(
        80.0, gt=0, description="Messages per second that each of our WhatsApp senders may send"
    )
    telegram_per_second: float = Field(
        30.0, gt=0, description="Messages per second that Telegram takes from a bot, over all chats"
    )
    email_per_second: float = Field(
        5.0, gt=0, description="Mails to workers per second that your mail server takes"
    )
    poll_minutes: int = Field(
        5,
        ge=0,
        description="How often Twilio is asked for texts whose webhook never reached us; 0 for never",
    )
    alert_late_minutes: float = Field(
        15, gt=0, description="An alert is raised when 5 of 100 due callbacks have waited for longer"
    )
    alert_outbox_minutes: float = Field(
        10, gt=0, description="An alert is raised when a text or notice has been due for longer"
    )
    alert_error_percent: float = Field(
        20,
        gt=0,
        le=100,
        description="An alert is raised when a provider fails so often within a quarter of an hour, ten times at least",
    )
    alert_refused: int = Field(
        5,
        gt=0,
        description="An alert is raised when so many calls to a country are refused within an hour, and half of all "
        "at least, or so many texts to it are filtered",
    )
    telegram_bot_token: SecretStr = Field(SecretStr(""), description="Token of the Telegram bot")
    telegram_webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="16 to 256 letters, digits, `_` or `-` that Telegram sends with each update",
    )
    telegram_api_base: str = Field("", description="Other address of the Telegram Bot API (the simulator)")
    imap_url: SecretStr = Field(
        SecretStr(""),
        description="Mailbox of the hotline: `imaps://user:password@host:port/INBOX`, or `imap://`",
    )
    email_webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret with which a mail provider signs raw mail sent to `/channels/email`",
    )
    smtp_url: SecretStr = Field(
        SecretStr(""), description="`smtp://user:password@host:port`, `smtps://`, or `smtp+starttls://`"
    )
    email_from: str = Field(
        "", description="Address of the hotline, to which workers write; notices to staff come from it too"
    )
    delete_at_provider: bool = Field(
        True,
        description="Whether recordings, files, messages and records of calls are deleted at the provider; a "
        "recording that was not allowed is deleted there in any case",
    )
    provider_keeps_hours: float = Field(
        24.0,
        ge=1,
        le=336,
        description="Hours for which the provider keeps messages and records of calls, so that its reports can "
        "still be matched",
    )
    clock_beat_seconds: float = Field(
        0.5, ge=0.02, le=5, description="How often the clock of `voiceback work` looks for what is due"
    )
    work_processes: int = Field(2, gt=0, description="RQ worker processes that `voiceback work` starts")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @field_validator("public_base_url", "console_base_url", "twilio_api_base", "telegram_api_base")
    @classmethod
    def _no_slash(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    def forget_at(self, wall: datetime) -> datetime | None:
        """When the provider's copy of what happens at ``wall`` is to be deleted; None if it is to stay."""
        return wall + timedelta(hours=self.provider_keeps_hours) if self.delete_at_provider else None

    @property
    def agent_wait(self) -> timedelta:
        """How long a caller waits for an agent."""
        return timedelta(seconds=self.agent_wait_seconds)

    @property
    def console_url(self) -> str:
        """Where staff sign in."""
        return f"{self.console_base_url or self.public_base_url}/console/"

    @property
    def twilio_on(self) -> bool:
        """Whether Twilio's account is set."""
        return bool(self.twilio_account_sid and self.twilio_auth_token.get_secret_value())

    @property
    def sms_on(self) -> bool:
        """Whether the SMS channel is set."""
        return self.twilio_on and bool(self.twilio_sms_from)

    @property
    def voice_on(self) -> bool:
        """Whether the voice channel is set."""
        return self.twilio_on and bool(self.twilio_voice_from)

    @property
    def whatsapp_on(self) -> bool:
        """Whether the WhatsApp channel is set."""
        return self.twilio_on and bool(self.twilio_whatsapp_from)

    @property
    def telegram_on(self) -> bool:
        """Whether the Telegram channel is set."""
        return bool(self.telegram_bot_token.get_secret_value())

    @property
    def email_on(self) -> bool:
        """Whether e-mail is a channel for workers: we can send, and receive in one way at least."""
        receives = self.imap_url.get_secret_value() or self.email_webhook_secret.get_secret_value()
        return bool(self.smtp_url.get_secret_value() and self.email_from and receives)

    def channels_on(self) -> list[str]:
        """The names of the channels that are set up."""
        return [
            name
            for name, on in (
                ("voice", self.voice_on),
                ("sms", self.sms_on),
                ("whatsapp", self.whatsapp_on),
                ("telegram", self.telegram_on),
                ("email", self.email_on),
            )
            if on
        ]

    def rates(self) -> dict[Channel, float]:
        """Messages per second to workers on each channel in writing, set up or not.

        Sources: Twilio's pages on message queues and rate limits, and on WhatsApp's throughput; Telegram's FAQ
        for bots ("My bot is hitting limits").
        """
        return {
            Channel.SMS: self.sms_per_second * max(1, len(self.twilio_sms_from)),
            Channel.WHATSAPP: self.whatsapp_per_second * max(1, len(self.twilio_whatsapp_from)),
            Channel.TELEGRAM: self.telegram_per_second,
            Channel.EMAIL: self.email_per_second,
        }

    def check(self) -> None:
        """Refuse a start with half-set or weak secrets. Raises :class:`ConfigurationError`."""
        token = self.twilio_auth_token.get_secret_value()
        if self.twilio_account_sid and len(token) < _MIN_SECRET:
            raise ConfigurationError(
                "TWILIO_AUTH_TOKEN is missing or too short: without it nobody can tell Twilio's requests "
                "from forged ones. Copy it from the Twilio console."
            )
        if token and not self.twilio_account_sid:
            raise ConfigurationError("TWILIO_AUTH_TOKEN is set but TWILIO_ACCOUNT_SID is not")
        secret = self.telegram_webhook_secret.get_secret_value()
        if self.telegram_on and not _TELEGRAM_SECRET.fullmatch(secret):
            raise ConfigurationError(
                "TELEGRAM_WEBHOOK_SECRET is missing or weak: without it anybody can forge messages. Set 16 to "
                "256 random letters, digits, _ or -."
            )
        webhook = self.email_webhook_secret.get_secret_value()
        if webhook and len(webhook) < _MIN_SECRET:
            raise ConfigurationError("EMAIL_WEBHOOK_SECRET is too short: use 16 or more random characters")
        if self.smtp_url.get_secret_value() and not self.email_from:
            raise ConfigurationError("SMTP_URL is set but EMAIL_FROM is not")
        local, _, domain = parseaddr(self.email_from)[1].partition("@")
        if self.email_on and not (domain and local.isascii() and len(local) <= _LONGEST_LOCAL):
            raise ConfigurationError(
                f"EMAIL_FROM must be an address with at most {_LONGEST_LOCAL} letters before the @: answers come "
                "to hotline+token@example.org"
            )


def load() -> Settings:
    """Settings from the environment. Raises :class:`ConfigurationError` that names the setting, never its value."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # because the mypy plugin of pydantic is not used
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)
        )
        raise ConfigurationError(f"settings cannot be used. {problems}") from None
    settings.check()
    return settings
