"""The telephone through Twilio: calls placed, keypad menus spoken or played, answers keyed or recorded.

Each turn of a call is one webhook that is answered with the next document (TwiML). A turn's number is
in its address, so a repeated turn is answered with the same document and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from twilio.base.exceptions import TwilioRestException
from twilio.twiml.voice_response import Gather, VoiceResponse
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

from bot.callbacks.dial import Order
from bot.callbacks.states import CallStatus
from bot.clock import wall_time
from bot.flow.catalog import Catalogs, recording_name
from bot.messages import (
    Address,
    AddressKind,
    Brought,
    Capabilities,
    Expects,
    HangUp,
    Inbound,
    Input,
    Keys,
    Prompt,
    Receipt,
    Recording,
    Rendered,
    Reveal,
    Silence,
    Transferred,
)
from bot.messages import Channel as Name
from bot.settings import Settings
from bot.steps import Place
from channels.twilio_api import (
    RETRY_HINT,
    Signature,
    client_of,
    country_of,
    raise_failure,
)
from channels.twilio_store import MOST_AUDIO_BYTES, deleting, download

RING_SECONDS = 40
MOST_RECORDED_SECONDS = 300
SILENCE_ENDS_RECORDING = 5
_SCHEDULING_SLACK = timedelta(seconds=5)
_TURN = "\ue000"
"""Stands in a document for the turn that it is sent in: a character that no text of ours and no address has."""
_LONGEST_TAG = 35
"""Characters of a language tag (RFC 5646, section 4.4.1)."""
_MOST_DOCUMENTS = 4096
"""Documents that are kept: of some 130 questions in 22 languages. One has 1 to 2 kB."""

VOICES = {
    "en": "en-US",
    "id": "id-ID",
    "ms": "ms-MY",
    "zh-Hans": "cmn-CN",
    "zh-Hant": "cmn-TW",
    "hi": "hi-IN",
    "ja": "ja-JP",
    "kn": "kn-IN",
    "mr": "mr-IN",
    "ko": "ko-KR",
    "pt": "pt-BR",
    "fil": "fil-PH",
    "ta": "ta-IN",
    "th": "th-TH",
    "vi": "vi-VN",
    "bn": "bn-IN",
    "es": "es-MX",
}
"""Languages that Twilio can speak, by ours. The others (my, km, ne, lo, si, ur) need recordings."""

_WITHHELD = frozenset(
    {"", "anonymous", "unknown", "unavailable", "restricted", "private"}
    | {"+266696687", "+7378742833", "+2562533", "+8566363", "+86282452253"}
)
"""What carriers send in place of a withheld number; the digits spell ANONYMOUS, RESTRICTED and so on."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """How far a call came, as Twilio tells it."""

    call_id: str
    status: CallStatus
    code: str | None = None
    seconds: int | None = None
    answered_by: str | None = None


class Voice:
    """Calls in and out."""

    capabilities = Capabilities(channel=Name.VOICE, text_limit=0, keypad=True, synchronous=True)

    def __init__(self, settings: Settings, catalogs: Catalogs) -> None:
        self._settings = settings
        self._signature = Signature(settings)
        self._audio = Recordings(settings.voiceback_locales)
        self._catalogs = catalogs
        # All workers are asked the same: nearly every document was written before, for another turn.
        self._written = lru_cache(maxsize=_MOST_DOCUMENTS)(self._write)

    # --- in ------------------------------------------------------------------------------------

    def receive(self, request: Request, turn: int) -> Inbound:
        """Verify and parse one turn of a call; turn 0 is its beginning."""
        self._signature.check(request)
        form = request.form
        call_id = form.get("CallSid", "")[:64]
        if not call_id:
            raise BadRequest("CallSid is required")
        outgoing = form.get("Direction", "inbound").startswith("outbound")
        worker, line = (form.get("To"), form.get("From")) if outgoing else (form.get("From"), form.get("To"))
        return Inbound(
            channel=Name.VOICE,
            event_id=f"{call_id}:{turn}",
            sender=_caller(worker),
            line=(line or "")[:64],
            input=_input(request, turn),
            received_at=wall_time(),
            country=country_of(form.get("ToCountry" if outgoing else "FromCountry")),
        )

    def report(self, request: Request) -> CallReport | None:
        """Verify and parse a report of a call's progress; None for a status that we do not know."""
        self._signature.check(request)
        form = request.form
        status = _STATUSES.get(form.get("CallStatus", ""))
        call_id = form.get("CallSid", "")[:64]
        if status is None or not call_id:
            return None
        return CallReport(
            call_id=call_id,
            status=status,
            code=form.get("SipResponseCode", "")[:16] or None,
            seconds=_number(form.get("CallDuration")),
            answered_by=form.get("AnsweredBy", "")[:32] or None,
        )

    def goes_on(self, request: Request) -> bool:
        """Whether a call was not over when a request about it was sent. Twilio asks for the next document after a
        ``<Dial>`` also when the caller has hung up."""
        status = _STATUSES.get(request.form.get("CallStatus", ""))
        return status is None or not status.terminal

    def answered_by(self, request: Request) -> str | None:
        """What answering-machine detection heard, in the first request of a call that we placed."""
        return request.form.get("AnsweredBy", "")[:32] or None

    # --- out -----------------------------------------------------------------------------------

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:
        """The document for a prompt: what is said, then what is waited for, then the same address again."""
        document = self._written(prompt, place.ended)
        return [Rendered(document.replace(_TURN, f"{place.conversation_id}?n={place.turn}"))]

    def _write(self, prompt: Prompt, ended: bool) -> str:
        """The same for any turn: where its conversation and its number are to stand, there is :data:`_TURN`."""
        document = VoiceResponse()
        action = f"{self._settings.public_base_url}/channels/voice/turn/{_TURN}"
        if ended or prompt.expects is Expects.NOTHING:
            self.speak(document, prompt)
            document.hangup()
        elif prompt.expects is Expects.PERSON:
            gather = Gather(
                input="dtmf", action=action, method="POST", timeout=1, num_digits=1, finish_on_key=""
            )
            self.speak(gather, prompt)
            document.append(gather)
            document.redirect(action.replace("/turn/", "/wait/"), method="POST")
        elif prompt.expects in {Expects.OPEN, Expects.MEDIA}:
            self.speak(document, prompt)
            document.record(
                action=action,
                method="POST",
                max_length=MOST_RECORDED_SECONDS,
                timeout=SILENCE_ENDS_RECORDING,
                finish_on_key="#*9",
                play_beep=True,
                recording_status_callback=action.replace("/turn/", "/recording/"),
                recording_status_callback_method="POST",
            )
            document.redirect(action, method="POST")
        else:
            one_key = prompt.max_digits == 1
            gather = Gather(
                input="dtmf",
                action=action,
                method="POST",
                timeout=prompt.timeout,
                num_digits=prompt.max_digits,
                finish_on_key="" if one_key else "#",
            )
            self.speak(gather, prompt)
            document.append(gather)
            document.redirect(action, method="POST")
        return str(document)

    @staticmethod
    def silence() -> str:
        """A document that says nothing: for answering machines and calls that must not be."""
        document = VoiceResponse()
        document.hangup()
        return str(document)

    @staticmethod
    def busy() -> str:
        """A document that refuses a call before it is answered; Twilio bills nobody for it."""
        document = VoiceResponse()
        document.reject(reason="busy")
        return str(document)

    def speak(self, document: VoiceResponse | Gather, prompt: Prompt) -> None:
        """Say the texts of a prompt within a document, recorded by people or spoken by Twilio."""
        for text, language in prompt.spoken():
            name = recording_name(text)
            if self._audio.has(language, name):
                document.play(f"{self._settings.public_base_url}/channels/voice/audio/{language}/{name}.wav")
            else:
                document.say(text, language=VOICES.get(language, VOICES["en"]))

    def audio(self, language: str, name: str) -> Path | None:
        """The file of a recorded prompt, or None."""
        return self._audio.path(language, name) if self._audio.has(language, name) else None

    # --- calls that we place ---------------------------------------------------------------------

    def call(self, order: Order) -> Receipt:
        """Ask Twilio to dial. Raises :class:`bot.errors.SendError`; a time-out may have dialled."""
        base = self._settings.public_base_url
        try:
            call = client_of(self._settings).calls.create(
                to=order.to.reveal(Reveal.DIAL),
                from_=self._line_for(order),
                url=f"{base}/channels/voice/answer/{order.attempt_id}{RETRY_HINT}",
                method="POST",
                fallback_url=f"{base}/channels/voice/fallback",
                fallback_method="POST",
                status_callback=f"{base}/channels/voice/status/{order.attempt_id}{RETRY_HINT}",
                status_callback_method="POST",
                status_callback_event=["initiated", "ringing", "answered", "completed"],
                timeout=RING_SECONDS,
                machine_detection="Enable",
            )
        except Exception as error:
            raise_failure(error)
        return Receipt(str(call.sid))

    def _line_for(self, order: Order) -> str:
        """Our own number that calls: the client's choice while it is ours, else the one of the settings."""
        lines = self._settings.twilio_voice_from
        if order.caller_id is not None and order.caller_id in lines:
            return order.caller_id
        return lines.for_country(order.country) or ""

    def find_call(self, order: Order) -> CallReport | None:
        """Ask Twilio for the call of an attempt whose fate is unknown."""
        try:
            calls = client_of(self._settings).calls.list(to=order.to.reveal(Reveal.RECONCILE), limit=20)
        except Exception as error:
            raise_failure(error)
        earliest = order.asked_at - _SCHEDULING_SLACK
        for call in calls:
            created = call.date_created or datetime.now(UTC)
            if created >= earliest.replace(microsecond=0) and str(call.direction).startswith("outbound"):
                return _report_of(call)
        return None

    def call_status(self, call_id: str) -> CallReport | None:
        """Ask Twilio how a call is; None if it does not know it."""
        try:
            return _report_of(client_of(self._settings).calls(call_id).fetch())
        except TwilioRestException as error:
            if error.status == 404:
                return None
            raise_failure(error)
        except Exception as error:
            raise_failure(error)

    def cancel(self, call_id: str) -> None:
        """Take a call out of Twilio's queue, or stop its ringing. A call that is over already is no error."""
        try:
            client_of(self._settings).calls(call_id).update(status="canceled")
        except TwilioRestException as error:
            if error.code != 21220:
                raise_failure(error)
        except Exception as error:
            raise_failure(error)

    # --- what Twilio keeps -----------------------------------------------------------------------

    def fetch(self, ref: str) -> Brought | None:
        """The audio of a recording; None while Twilio does not have it ready. Raises :class:`SendError`."""
        return download(self._settings, f"/Recordings/{ref}.wav", MOST_AUDIO_BYTES)

    def discard(self, ref: str) -> None:
        """Delete a recording at Twilio; one that is gone already is no error. Raises :class:`SendError`."""
        deleting(lambda: client_of(self._settings).recordings(ref).delete())

    def forget(self, provider_id: str) -> None:
        """Delete the record of a call at Twilio; one that is gone already is no error. Raises :class:`SendError`."""
        deleting(lambda: client_of(self._settings).calls(provider_id).delete())


class Recordings:
    """Prompts recorded by people, one file per translated text, under ``locales/<language>/audio``."""

    def __init__(self, locales: Path) -> None:
        self._locales = locales
        self._names: dict[Path, frozenset[str]] = {}

    def has(self, language: str, name: str) -> bool:
        """Whether there is a recording; a folder is listed once. Of a language without one nothing is kept, because
        anybody can ask for any."""
        folder = self._folder(language)
        names = self._names.get(folder)
        if names is None:
            if not folder.is_dir():
                return False
            names = self._names[folder] = frozenset(path.stem for path in folder.glob("*.wav"))
        return name in names

    def path(self, language: str, name: str) -> Path:
        """The file of a recording that :meth:`has` knows."""
        return (self._folder(language) / f"{name}.wav").resolve()

    def _folder(self, language: str) -> Path:
        # Only some letters and hyphens: the language comes out of an address.
        safe = "".join(c for c in language[:_LONGEST_TAG] if c.isalpha() or c == "-")
        return self._locales / safe.replace("-", "_") / "audio"


# --- reading Twilio's fields ----------------------------------------------------------------------


def _input(request: Request, turn: int) -> Input:
    digits = request.form.get("Digits", "")
    if turn and (told := _told(request)) is not None:
        return told
    recording = _recording(request)
    if recording is not None and digits not in {"*", "9"}:
        return recording
    if digits == "hangup":
        return HangUp()
    if turn == 0 or not digits:
        return Silence()
    return Keys("".join(key for key in digits if key in "0123456789*#")[:64])


def _told(request: Request) -> Transferred | None:
    """What became of the wait for a person: our own word in the address, or the end of a conference.

    The address is signed, so only Twilio can say it, and Twilio has it from us.
    """
    if "told" in request.args:
        talked = request.args["told"] == Transferred.TALKED.value
    elif "DialCallStatus" in request.form:
        talked = request.form["DialCallStatus"] in {"completed", "answered"}
    else:
        return None
    return Transferred.TALKED if talked else Transferred.NOBODY


def _recording(request: Request) -> Recording | None:
    form = request.form
    sid = form.get("RecordingSid") or form.get("RecordingUrl", "").rstrip("/").rpartition("/")[2]
    sid = sid.partition(".")[0]
    if not sid or not sid.isalnum():
        return None
    return Recording(sid[:64], _number(form.get("RecordingDuration")) or 0)


def recorded_beside_a_key(request: Request) -> Recording | None:
    """A recording that was cut short by ``*`` or ``9``: the key is the answer, the speech is kept all the same."""
    return _recording(request) if request.form.get("Digits", "") in {"*", "9"} else None


def _caller(number: str | None) -> Address | None:
    if number is None or number.strip().lower() in _WITHHELD:
        return None
    return Address(AddressKind.PHONE, number.strip()[:64])


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else None


def _report_of(call: object) -> CallReport:
    status = _STATUSES.get(str(getattr(call, "status", "")), CallStatus.QUEUED)
    return CallReport(
        call_id=str(getattr(call, "sid", "")),
        status=status,
        seconds=_number(str(getattr(call, "duration", "") or "")),
        answered_by=getattr(call, "answered_by", None),
    )


_STATUSES = {
    "queued": CallStatus.QUEUED,
    "initiated": CallStatus.DIALLED,
    "ringing": CallStatus.RINGING,
    "in-progress": CallStatus.IN_PROGRESS,
    "answered": CallStatus.IN_PROGRESS,
    "completed": CallStatus.COMPLETED,
    "busy": CallStatus.BUSY,
    "no-answer": CallStatus.NO_ANSWER,
    "failed": CallStatus.FAILED,
    "canceled": CallStatus.CANCELED,
}
