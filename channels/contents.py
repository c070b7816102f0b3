"""Twilio's content resources: what a WhatsApp message with buttons, or with a list, is made from.

A resource holds the words of one question and its labels, in one language, and nothing of a worker: what
differs from message to message (the name of the question in this conversation) is a variable of it. It is
made once and found again by its name, which is a digest of what it holds, so that restarts make no new
ones, and two processes at their first meeting of a question at most two. Old ones may be deleted at
Twilio at any time.

Limits: https://www.twilio.com/docs/content/twilio-quick-reply and …/twiliolist-picker.
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import structlog
from twilio.base.exceptions import TwilioRestException
from twilio.rest.content.v1.content import ContentList

from bot.errors import SendError, SendOutcome
from bot.messages import Option
from bot.settings import Settings
from channels.twilio_api import TIMEOUT_SECONDS, client_of, failure

log = structlog.get_logger()

MOST_BUTTONS = 3
"""WhatsApp shows ten on an approved template, and three within a talk."""
MOST_ITEMS = 10
BODY_LIMIT = 1024
_TITLE_LIMIT = 20
_ITEM_LIMIT = 24
_DESCRIPTION_LIMIT = 72
_PREFIX = "voiceback-"
_VARIABLE = "1"
_ANY = 20
"""Resources of one name that are looked at; more than two of them are not expected."""

Types = dict[str, Any]


def types_of(text: str, options: tuple[Option, ...]) -> Types | None:
    """A question as buttons, or else as a list; None if it fits neither and is to be a numbered text."""
    words = [text, *(option.label for option in options)]
    # Double braces would be read as a variable, and an empty text or label is refused.
    if not options or any("{{" in each or not each.strip() for each in words) or _size(text) > BODY_LIMIT:
        return None
    return _buttons(text, options) or _list(text, options)


def _buttons(text: str, options: tuple[Option, ...]) -> Types | None:
    labels = [option.label for option in options]
    if len(options) > MOST_BUTTONS or not _are_titles(labels, _TITLE_LIMIT):
        return None
    actions = [{"type": "QUICK_REPLY", "title": option.label, "id": _payload(option)} for option in options]
    return {"twilio/quick-reply": {"body": text, "actions": actions}}


def _list(text: str, options: tuple[Option, ...]) -> Types | None:
    labels = [_shortened(option.label) for option in options]
    if len(options) > MOST_ITEMS or not _are_titles(labels, _ITEM_LIMIT):
        return None
    if any(_size(option.label) > _DESCRIPTION_LIMIT for option in options):
        return None
    items = [
        {"item": label, "id": _payload(option)}
        | ({} if label == option.label else {"description": option.label})
        for option, label in zip(options, labels, strict=True)
    ]
    # The button that opens the list shows the numbers that may also be written: that reads in every language.
    button = f"{options[0].key}–{options[-1].key}"
    return {"twilio/list-picker": {"body": text, "button": button, "items": items}}


def _are_titles(labels: list[str], limit: int) -> bool:
    return len(set(labels)) == len(labels) and all(_size(label) <= limit for label in labels)


def _shortened(label: str) -> str:
    """A label's beginning, if it is too long; the whole of it stands below, as the item's description."""
    while _size(label) > _ITEM_LIMIT:
        label = label.removesuffix("…")[:-1].rstrip() + "…"
    return label


def _size(text: str) -> int:
    """Characters as the provider counts them: in units of UTF-16, to be on the safe side."""
    return len(text.encode("utf-16-le")) // 2


def _payload(option: Option) -> str:
    return f"{option.code}:{{{{{_VARIABLE}}}}}"


def variables(sprint: str) -> str:
    """The variables to send a resource with, as JSON."""
    return json.dumps({_VARIABLE: sprint})


class Contents:
    """The resources of our questions at Twilio, found or made when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, str] = {}
        self._turn = threading.Lock()

    def sid(self, types: Types, language: str) -> str | None:
        """The id of the resource that holds ``types``; None if Twilio refuses to make it.

        Raises :class:`SendError` (retryable: nothing was sent to anybody) when Twilio cannot be asked.
        """
        name = _name(types, language)
        if name in self._known:
            return self._known[name]
        # One thread asks for all that send the same question side by side.
        if not self._turn.acquire(timeout=TIMEOUT_SECONDS):
            raise SendError(SendOutcome.RETRYABLE, "content_asked")
        try:
            return self._known.get(name) or self._look(name, types, language)
        finally:
            self._turn.release()

    def _look(self, name: str, types: Types, language: str) -> str | None:
        try:
            self._known[name] = self._find(name) or self._make(name, types, language)
        except TwilioRestException as error:
            failed = failure(error)
            if error.status == 429 or error.status >= 500:
                raise SendError(SendOutcome.RETRYABLE, failed.code, wait=failed.wait) from None
            log.warning("content_refused", code=error.code, content=name)
            return None
        except Exception as error:
            failed = failure(error)
            raise SendError(SendOutcome.RETRYABLE, failed.code, wait=failed.wait) from None
        return self._known[name]

    def forget(self, types: Types, language: str) -> None:
        """Twilio does not know the resource any more: it is looked for anew the next time."""
        self._known.pop(_name(types, language), None)

    def bodies(self, sid: str) -> set[str]:
        """The words that a message made from a resource without variables may hold. Raises as the SDK does."""
        content = client_of(self._settings).content.v1.contents(sid).fetch()
        return {str(each["body"]) for each in (content.types or {}).values() if each and "body" in each}

    def _find(self, name: str) -> str | None:
        found = client_of(self._settings).content.v2.contents.list(content_name=name, limit=_ANY)
        # Of two that were made at the same time every process takes the same one.
        return min((str(each.sid) for each in found if each.friendly_name == name), default=None)

    def _make(self, name: str, types: Types, language: str) -> str:
        asked = ContentList.ContentCreateRequest(
            {
                "friendly_name": name,
                "language": language.partition("-")[0],
                # The sample value of the variable, which Twilio wants; every message brings its own.
                "variables": {_VARIABLE: "0" * 32},
                "types": types,
            }
        )
        return str(client_of(self._settings).content.v1.contents.create(asked).sid)


def _name(types: Types, language: str) -> str:
    """The same for the same words and labels, in any process and at any time."""
    held = json.dumps([language, types], sort_keys=True, ensure_ascii=False)
    return _PREFIX + hashlib.sha256(held.encode()).hexdigest()[:32]
