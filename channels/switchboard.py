"""Joining a caller and an agent through Twilio: what each of the two hears, and what Twilio is asked to do.

A caller waits in rounds of our own (a document that ends with its own address again) and talks in a
conference. The agent's telephone shows one of our numbers, and a key must be pressed on it before anybody
is joined, so that an agent's voicemail never takes a call.
"""

from __future__ import annotations

from twilio.base.exceptions import TwilioRestException
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse
from werkzeug.wrappers import Request

from bot import contacts
from bot.flow import phrases
from bot.flow.catalog import Catalogs
from bot.line import Elsewhere, Hold, Look, Onward, Room, room_name
from bot.messages import Prompt, Receipt, Reveal
from bot.settings import Settings
from bot.transfers import Legs, RingOrder, TransferState
from channels.twilio_api import RETRY_HINT, Signature, client_of, raise_failure
from channels.voice import Voice

AGENT_RING_SECONDS = 20
"""How long an agent's telephone rings: shorter than most voicemails wait, and a caller waits meanwhile."""
AGENT_KEY_SECONDS = 8
"""How long an agent who picked up may take to press 1, after each of two times that she is asked."""
ROUND_SECONDS = 8
"""How long the hold tone of one round of waiting lasts."""
AGENT_TALK_SECONDS = 4 * 3600 - 300
"""A talk ends after this by the agent's side: Twilio would end it after four hours, by both sides at once, and the
worker's leaving must mean something."""
_CALL_IS_OVER = 21220
_PUT_OUT = frozenset({"moderator_ended_conference", "conference_ended_via_api"})


class Switchboard:
    """The documents and the orders around a talk of two."""

    def __init__(self, settings: Settings, catalogs: Catalogs, voice: Voice) -> None:
        self._settings = settings
        self._catalogs = catalogs
        self._voice = voice
        self._signature = Signature(settings)
        self._base = f"{settings.public_base_url}/channels/voice"

    # --- what the caller hears -----------------------------------------------------------------

    def wait(self, conversation_id: str, look: Look) -> str:
        """The next document of a caller in the line."""
        match look:
            case Elsewhere(document):
                return document or self._voice.silence()
            case Onward(told, turn):
                document = VoiceResponse()
                document.redirect(f"{self._turn(conversation_id, turn)}&told={told.value}", method="POST")
                return str(document)
            case Room(transfer_id, ring, turn):
                return self._conference(transfer_id, ring, self._turn(conversation_id, turn), worker=True)
            case Hold(prompt, turn):
                return self._hold(conversation_id, prompt, turn)

    def _hold(self, conversation_id: str, prompt: Prompt, turn: int) -> str:
        document = VoiceResponse()
        if prompt.texts:
            gather = self._one_key(self._turn(conversation_id, turn), 1)
            self._voice.speak(gather, prompt)
            gather.play(f"{self._base}/hold.wav")
            document.append(gather)
        else:
            document.pause(length=1)
        document.redirect(self.wait_address(conversation_id, turn), method="POST")
        return str(document)

    def wait_address(self, conversation_id: str, turn: int) -> str:
        """Where a caller's next round of waiting is asked for."""
        return f"{self._base}/wait/{conversation_id}?n={turn}"

    # --- what the agent hears ------------------------------------------------------------------

    def offer(self, transfer_id: str, ring: int, language: str, *, is_callback: bool) -> str:
        """Asks an agent who picked up whether she takes the call, or calls a worker back. Silence is a no."""
        key = f"{self._base}/agent/{transfer_id}/key?r={ring}"
        asked = phrases.CALLBACK_DUE if is_callback else phrases.CALLER_WAITS
        document = VoiceResponse()
        for _ in range(2):
            gather = self._one_key(key, AGENT_KEY_SECONDS)
            self._voice.speak(gather, self._told(asked, language))
            document.append(gather)
        document.redirect(key, method="POST")
        return str(document)

    def join(self, transfer_id: str, ring: int) -> str:
        """Leads an agent who pressed 1 into the conference."""
        return self._conference(transfer_id, ring, self.over_address(transfer_id, ring))

    def stand_by(self, transfer_id: str, ring: int, language: str) -> str:
        """Lets an agent who pressed 1 wait in the conference, with a tone, while the worker is called back."""
        document = VoiceResponse()
        self._voice.speak(document, self._told(phrases.PLEASE_WAIT, language))
        return self._conference(transfer_id, ring, self.over_address(transfer_id, ring), document)

    def over_address(self, transfer_id: str, ring: int) -> str:
        """Where an agent's telephone comes to when the talk is over."""
        return f"{self._base}/agent/{transfer_id}/over?r={ring}"

    def goodbye(self, phrase: str, language: str) -> str:
        """Tells an agent one thing and hangs up."""
        document = VoiceResponse()
        self._voice.speak(document, self._told(phrase, language))
        document.hangup()
        return str(document)

    def _told(self, phrase: str, language: str) -> Prompt:
        return Prompt((self._catalogs.tongue(language).text(phrase),), language)

    # --- both ----------------------------------------------------------------------------------

    def _conference(
        self,
        transfer_id: str,
        ring: int,
        action: str,
        waits: VoiceResponse | None = None,
        *,
        worker: bool = False,
    ) -> str:
        """``waits`` is what somebody hears who enters first and waits there for the other. The ``worker``'s star
        takes her out of it: https://www.twilio.com/docs/voice/twiml/dial#hanguponstar."""
        document = waits or VoiceResponse()
        limit = {} if worker else {"time_limit": AGENT_TALK_SECONDS}
        dial = Dial(action=action, method="POST", hangup_on_star=worker, **limit)
        # Whoever leaves ends it for both: nobody is left alone with music. Nothing is recorded.
        dial.conference(
            room_name(transfer_id, ring),
            start_conference_on_enter=waits is None,
            end_conference_on_exit=True,
            beep="false",
            wait_url="" if waits is None else f"{self._base}/hold.wav",
            wait_method="GET",
            max_participants=2,
            # The first one in decides where a conference reports to, so both name the same address.
            status_callback=f"{self._base}/room/{transfer_id}{RETRY_HINT}",
            status_callback_method="POST",
            status_callback_event="leave",
        )
        document.append(dial)
        return str(document)

    def _one_key(self, action: str, timeout: int) -> Gather:
        return Gather(
            input="dtmf", action=action, method="POST", timeout=timeout, num_digits=1, finish_on_key=""
        )

    def _turn(self, conversation_id: str, turn: int) -> str:
        return f"{self._base}/turn/{conversation_id}?n={turn}"

    # --- what Twilio tells ---------------------------------------------------------------------

    def call_of(self, request: Request) -> str:
        """The id of the call that a request is about, after its signature was checked."""
        self._signature.check(request)
        return request.form.get("CallSid", "")[:64]

    def left_by_star(self, request: Request) -> str | None:
        """The call whose owner left a conference by a key of hers while her call goes on; None for any other event.

        Who hung up has no call any more, and whom the other's leaving put out is told apart by the reason, see
        https://www.twilio.com/docs/voice/twiml/conference#statuscallback.
        """
        call_id, form = self.call_of(request), request.form
        by_key = (
            form.get("StatusCallbackEvent") == "participant-leave"
            and form.get("ParticipantCallStatus") == "in-progress"
            and form.get("ReasonParticipantLeft") not in _PUT_OUT
        )
        return call_id if by_key else None

    # --- what Twilio is asked to do ------------------------------------------------------------

    def is_left_by(self, transfer_id: str, ring: int, call_id: str) -> bool | None:
        """Whether a conference ended because this call left it, before the other did; None while it goes on. Raises
        :class:`bot.errors.SendError`.

        See https://www.twilio.com/docs/voice/api/conference-resource. A conference that Twilio does not know was left by
        nobody.
        """
        try:
            found = client_of(self._settings).conferences.list(
                friendly_name=room_name(transfer_id, ring), limit=20
            )
        except Exception as error:
            raise_failure(error)
        if any(each.call_sid_ending_conference == call_id for each in found):
            return True
        return None if any(str(each.status) != "completed" for each in found) else False

    def ring(self, order: RingOrder) -> Receipt:
        """Ring an agent's telephone from our own number. Raises :class:`bot.errors.SendError`; a time-out may
        have rung it."""
        own = f"{self._base}/agent/{order.transfer_id}"
        try:
            call = client_of(self._settings).calls.create(
                to=order.to.reveal(Reveal.DIAL),
                from_=self._own_number(contacts.country_of(order.to)),
                url=f"{own}?r={order.ring}{RETRY_HINT}",
                method="POST",
                status_callback=f"{own}/status?r={order.ring}{RETRY_HINT}",
                status_callback_method="POST",
                status_callback_event=["completed"],
                timeout=AGENT_RING_SECONDS,
            )
        except Exception as error:
            raise_failure(error)
        return Receipt(str(call.sid))

    def _own_number(self, country: str | None) -> str:
        """What an agent's telephone shows: our number for her country, else any of ours."""
        lines = self._settings.twilio_voice_from
        return lines.for_country(country) or next(iter(lines.by_country.values()))

    def lead(self, legs: Legs) -> bool:
        """Lead a caller's call out of its round of waiting to where it goes next; False if the call is over."""
        if legs.state is TransferState.RETURNING and self._end_room(legs):
            return True
        address = f"{self.wait_address(legs.conversation_id, legs.turn)}&b=1"
        return self._redirect(legs.caller_call_id, address)

    def _end_room(self, legs: Legs) -> bool:
        """End the conference in which a caller was left alone, if she was: her own call goes on then. To fetch her out
        of it would look as if she had left it, by the sign of danger."""
        try:
            found = client_of(self._settings).conferences.list(
                friendly_name=room_name(legs.transfer_id, legs.ring), limit=20
            )
            going_on = [room for room in found if str(room.status) != "completed"]
            for room in going_on:
                room.update(status="completed")
        except Exception as error:
            raise_failure(error)
        return bool(going_on)

    def let_go(self, legs: Legs) -> None:
        """Stop the ringing of an agent's telephone, or tell an agent who picked up that the caller has gone."""
        if legs.agent_call_id is None:
            return
        if not self._redirect(legs.agent_call_id, self.over_address(legs.transfer_id, legs.ring)):
            self._voice.cancel(legs.agent_call_id)

    def _redirect(self, call_id: str, address: str) -> bool:
        try:
            client_of(self._settings).calls(call_id).update(url=address, method="POST")
        except TwilioRestException as error:
            if error.code == _CALL_IS_OVER:
                return False
            raise_failure(error)
        except Exception as error:
            raise_failure(error)
        return True
