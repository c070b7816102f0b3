"""What Twilio keeps: files and recordings, fetched from there; and these, messages and calls, deleted there.

Our account's password goes to Twilio's API alone: the storehouses to which that leads for the bytes ask for
none, and only those that may be meant are gone to.

Sources: https://www.twilio.com/docs/messaging/api/media-resource, …/docs/voice/api/recording,
…/docs/api/errors/20009 (what is not complete cannot be deleted yet).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import requests
from twilio.base.exceptions import TwilioRestException

from bot.errors import SendError, SendOutcome
from bot.media import TOO_LARGE
from bot.messages import Brought
from bot.settings import Settings
from channels.twilio_api import TIMEOUT_SECONDS, client_of, raise_failure

_API = "https://api.twilio.com"
_MEDIA = re.compile(r"/2010-04-01/Accounts/([A-Za-z0-9]{4,64})/Messages/([A-Za-z0-9]{4,64})/Media/(\w{4,64})")
_STOREHOUSES = (".twilio.com", ".twiliocdn.com", ".amazonaws.com")
MOST_MEDIA_BYTES = 16 * 1024 * 1024
"""Twilio takes no larger files."""
MOST_AUDIO_BYTES = 25 * 1024 * 1024
_MOST_REDIRECTS = 5
_MOST_SECONDS = 50.0
"""For one file in all, which is less than the lease of the job that fetches it."""
_PIECE = 64 * 1024


def fetch_media(settings: Settings, ref: str) -> Brought | None:
    """A file that came with a message, by the address that Twilio gave; None if Twilio does not have it (yet).

    Raises :class:`SendError`; permanent with the code ``too_large``, or ``not_ours`` for what is no address
    of a file of our account.
    """
    message, file = _media_ids(settings, ref)
    return download(settings, f"/Messages/{message}/Media/{file}", MOST_MEDIA_BYTES)


def discard_media(settings: Settings, ref: str) -> None:
    """Delete a file at Twilio; one that is gone already is no error. Raises :class:`SendError`."""
    message, file = _media_ids(settings, ref)
    deleting(lambda: client_of(settings).messages(message).media(file).delete())


def forget_message(settings: Settings, provider_id: str) -> None:
    """Delete a message at Twilio, with its files; one that is gone already is no error. Raises :class:`SendError`."""
    deleting(lambda: client_of(settings).messages(provider_id).delete())


def deleting(delete: Callable[[], object]) -> None:
    """Delete something at Twilio; what is gone already is no error. Raises :class:`SendError`."""
    try:
        delete()
    except TwilioRestException as error:
        if error.status != 404:
            raise_failure(error)
    except Exception as error:
        raise_failure(error)


def download(settings: Settings, path: str, most: int) -> Brought | None:
    """The bytes behind a path of our account; None if Twilio does not have them (yet). Raises :class:`SendError`."""
    base = settings.twilio_api_base or _API
    url = f"{base}/2010-04-01/Accounts/{settings.twilio_account_sid}{path}"
    until = time.monotonic() + _MOST_SECONDS
    try:
        for _ in range(_MOST_REDIRECTS):
            with _ask(settings, url, base) as answer:
                if not answer.is_redirect:
                    return _read(answer, _is_at(url, base), most, until)
                url = urljoin(url, answer.headers["Location"])
            if not _may_be_meant(url, base):
                raise SendError(SendOutcome.RETRYABLE, "led_astray")
    except SendError:
        raise
    except Exception as error:
        raise_failure(error)
    raise SendError(SendOutcome.RETRYABLE, "redirects")


def _ask(settings: Settings, url: str, base: str) -> requests.Response:
    account, token = settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()
    # A function that adds nothing, because without one the library looks for a password in the user's files.
    auth = (account, token) if _is_at(url, base) else _without
    return requests.get(url, auth=auth, timeout=TIMEOUT_SECONDS, stream=True, allow_redirects=False)


def _without(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _is_at(url: str, base: str) -> bool:
    """Whether an address is one of the API itself."""
    asked, ours = urlsplit(url), urlsplit(base)
    return (asked.scheme, asked.netloc) == (ours.scheme, ours.netloc) and asked.path.startswith(
        "/2010-04-01/"
    )


def _may_be_meant(url: str, base: str) -> bool:
    asked, ours = urlsplit(url), urlsplit(base)
    if (asked.scheme, asked.netloc) == (ours.scheme, ours.netloc):
        return True
    return asked.scheme == "https" and (asked.hostname or "").endswith(_STOREHOUSES)


def _read(answer: requests.Response, from_api: bool, most: int, until: float) -> Brought | None:
    if answer.status_code in (404, 410):
        return None
    if from_api and answer.status_code in (401, 403):
        raise SendError(SendOutcome.PERMANENT, str(answer.status_code), action="operator")
    if not answer.ok:
        raise SendError(SendOutcome.RETRYABLE, str(answer.status_code))
    content = bytearray()
    for piece in answer.iter_content(_PIECE):
        content += piece
        if len(content) > most:
            raise SendError(SendOutcome.PERMANENT, TOO_LARGE)
        if time.monotonic() > until:
            raise SendError(SendOutcome.RETRYABLE, "slow")
    return Brought(bytes(content), answer.headers.get("Content-Type", ""))


def _media_ids(settings: Settings, ref: str) -> tuple[str, str]:
    """The ids of the message and of the file in an address that Twilio gave. The rest of it is not believed."""
    found = _MEDIA.fullmatch(urlsplit(ref).path)
    if found is None or found[1] != settings.twilio_account_sid:
        raise SendError(SendOutcome.PERMANENT, "not_ours")
    return found[2], found[3]
