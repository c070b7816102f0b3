"""Which failures say that a provider is to be left alone, and which say something about one message only."""

from __future__ import annotations

import smtplib

import httpx
import pytest
import requests
from telegram.error import Forbidden, NetworkError, RetryAfter, TimedOut
from twilio.base.exceptions import TwilioRestException

from bot.errors import SendOutcome
from channels import smtp, telegram, twilio_api

REFUSED = requests.exceptions.ConnectionError("NewConnectionError: refused")


@pytest.mark.parametrize(
    ("error", "outcome", "left_alone"),
    [
        (TwilioRestException(429, "/", code=20429), SendOutcome.RETRYABLE, True),
        (TwilioRestException(400, "/", code=63018), SendOutcome.RETRYABLE, True),
        (requests.exceptions.ConnectTimeout(), SendOutcome.RETRYABLE, True),
        (REFUSED, SendOutcome.RETRYABLE, True),
        (requests.exceptions.ReadTimeout(), SendOutcome.AMBIGUOUS, True),
        (requests.exceptions.ConnectionError("reset"), SendOutcome.AMBIGUOUS, False),
        (TwilioRestException(500, "/", code=20500), SendOutcome.AMBIGUOUS, False),
        (TwilioRestException(400, "/", code=30001), SendOutcome.RETRYABLE, False),
        (TwilioRestException(400, "/", code=21610), SendOutcome.PERMANENT, False),
    ],
)
def test_twilio(error: Exception, outcome: SendOutcome, left_alone: bool) -> None:
    failed = twilio_api.failure(error)
    assert (failed.outcome, failed.wait > 0) == (outcome, left_alone)


def _away() -> NetworkError:
    error = NetworkError("away")
    error.__cause__ = httpx.ConnectError("refused")
    return error


@pytest.mark.parametrize(
    ("error", "outcome", "wait"),
    [
        (RetryAfter(40), SendOutcome.RETRYABLE, 40),
        (_away(), SendOutcome.RETRYABLE, 15),
        (TimedOut(), SendOutcome.AMBIGUOUS, 15),
        (NetworkError("Bad Gateway"), SendOutcome.AMBIGUOUS, 0),
        (Forbidden("bot was blocked by the user"), SendOutcome.PERMANENT, 0),
    ],
)
def test_telegram(error: Exception, outcome: SendOutcome, wait: float) -> None:
    failed = telegram.failure(error)
    assert (failed.outcome, failed.wait) == (outcome, wait)


@pytest.mark.parametrize(
    ("error", "left_alone"),
    [
        (ConnectionRefusedError(), True),
        (smtplib.SMTPConnectError(421, b"too busy"), True),
        (smtplib.SMTPAuthenticationError(535, b"no"), False),
    ],
)
def test_a_mail_server_without_a_connection(error: Exception, left_alone: bool) -> None:
    assert (smtp._unreachable(error).wait > 0) == left_alone


@pytest.mark.parametrize(("code", "left_alone"), [(421, True), (450, False), (451, False), (550, False)])
def test_a_mail_server_that_refuses(code: int, left_alone: bool) -> None:
    assert (smtp._failure(code, b"4.0.0 later").wait > 0) == left_alone
