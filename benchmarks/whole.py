"""The whole service, as an operator runs it, with the make-believe providers beside it and no pace to keep.

The web server, the clock and two workers are processes of their own; the providers run in this one, so that
what they spend can be told apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.databases import Ground
from bot.processes import cpu_seconds
from channels.telegram import Telegram
from tests.faults.station import Station, station
from tests.journeys.world import BOT_TOKEN, HOTLINE, NOTICE, Network, settings_for

SECRET = "a-make-believe-webhook-secret"
ADDRESS = "hotline@voiceback.example"
_FAST = "100000"
_SPEED = 1000


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds up to now: of the service's processes, and of the providers with whoever asks them."""

    service: float
    providers: float

    def since(self, before: Spent) -> Spent:
        """What was spent after ``before``."""
        return Spent(self.service - before.service, self.providers - before.providers)


@contextmanager
def running(ground: Ground) -> Iterator[Station]:
    """The service with all its channels in writing, on a database of its own."""
    mail = {"address": ADDRESS, "secret": SECRET}
    with station(
        ground.folder, ground.url, log_level="WARNING", more=_settings, speed=_SPEED, mail=mail
    ) as at:
        bot = {"telegram_bot_token": BOT_TOKEN, "telegram_webhook_secret": SECRET}
        Telegram(settings_for(at.url, at.network.url, **bot)).set_webhook(at.url + "/channels/telegram")
        yield at


def spent(at: Station) -> Spent:
    """What was spent up to now."""
    service = sum(cpu_seconds(process.pid) for process in at.running.values())
    return Spent(service, time.process_time())


def _settings(network: Network) -> Mapping[str, str]:
    port = network.get("/sim/mail")["port"]
    return {
        "TWILIO_WHATSAPP_FROM": HOTLINE,
        "TWILIO_WHATSAPP_TEMPLATES": NOTICE,
        "TELEGRAM_BOT_TOKEN": BOT_TOKEN,
        "TELEGRAM_WEBHOOK_SECRET": SECRET,
        "TELEGRAM_API_BASE": network.url,
        "SMTP_URL": f"smtp://127.0.0.1:{port}",
        "EMAIL_FROM": ADDRESS,
        "EMAIL_WEBHOOK_SECRET": SECRET,
        "TWILIO_CALLS_PER_SECOND": _FAST,
        "TWILIO_CALL_SLOTS": _FAST,
        "SMS_PER_SECOND": _FAST,
        "WHATSAPP_PER_SECOND": _FAST,
        "TELEGRAM_PER_SECOND": _FAST,
        "EMAIL_PER_SECOND": _FAST,
        "POLL_MINUTES": "0",
    }
