"""The workers' door over HTTP: ``/channels/…``. Verify, hand to intake, acknowledge; nothing else.

Nothing slow happens before the acknowledgement. A lost database is answered with 503, and the address
that we gave the provider asks it to come again.
"""

from __future__ import annotations

import io

from flask import Blueprint, Flask, Response, abort, request, send_file
from sqlalchemy.exc import SQLAlchemyError

from bot import calls, leftovers, line, missed, receipts, transfers
from bot.callbacks import settle
from bot.clock import wall_time
from bot.errors import ConflictError, EngineError, NotFound, UnverifiedRequest
from bot.flow import phrases
from bot.messages import Channel as Name
from bot.messages import Inbound, Recording
from bot.revisions import Watch
from bot.service import Service
from bot.steps import Place
from bot.transfers import Ring
from channels.base import MAX_BODY_BYTES, Acknowledging, Channel, registry, take
from channels.switchboard import ROUND_SECONDS, Switchboard
from channels.tone import hold_tone
from channels.voice import Voice, recorded_beside_a_key

_EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
_AUDIO_SECONDS = 7 * 24 * 3600


def register(app: Flask, service: Service) -> None:
    """Hang the doors of all channels that are set up on ``app``."""
    doors = registry(service.settings)
    watch = Watch(service.database, service.library, service.clock)
    blueprint = Blueprint("channels", __name__, url_prefix="/channels")
    _guard(blueprint)
    if service.settings.voice_on:
        voice = Voice(service.settings, service.catalogs)
        _voice_routes(blueprint, service, voice, watch)
        _talk_routes(blueprint, service, Switchboard(service.settings, service.catalogs, voice), voice)
    _written_routes(blueprint, service, doors, watch)
    app.register_blueprint(blueprint)


def _guard(blueprint: Blueprint) -> None:
    @blueprint.before_request
    def limit() -> None:
        request.max_content_length = MAX_BODY_BYTES

    @blueprint.errorhandler(UnverifiedRequest)
    def unverified(_error: UnverifiedRequest) -> Response:
        return _plain("the signature is missing or wrong", 403)

    @blueprint.errorhandler(NotFound)
    def unknown(_error: NotFound) -> Response:
        return _plain("not found", 404)

    @blueprint.errorhandler(SQLAlchemyError)
    @blueprint.errorhandler(ConflictError)
    def later(_error: Exception) -> Response:
        answer = _plain("try again", 503)
        answer.headers["Retry-After"] = "5"
        return answer


# --- in writing -------------------------------------------------------------------------------


def _written_routes(blueprint: Blueprint, service: Service, doors: dict[Name, Channel], watch: Watch) -> None:
    @blueprint.post("/<name>")
    def receive(name: str) -> Response:
        door = _door(doors, name)
        came = door.receive(request)
        watch.look()
        take(service, door, came)
        return door.acknowledge(request) if isinstance(door, Acknowledging) else _xml(_EMPTY)

    @blueprint.post("/<name>/status")
    def status(name: str) -> Response:
        report = _door(doors, name).status(request)
        if report is not None:
            with service.database.write() as connection:
                receipts.delivered(connection, report, service.clock.now())
        return Response(status=204)


def _door(doors: dict[Name, Channel], name: str) -> Channel:
    try:
        return doors[Name(name)]
    except (KeyError, ValueError):
        abort(404)


# --- by telephone -----------------------------------------------------------------------------


def _voice_routes(blueprint: Blueprint, service: Service, voice: Voice, watch: Watch) -> None:
    @blueprint.post("/voice")
    def incoming() -> Response:
        inbound = voice.receive(request, 0)
        watch.look()
        if missed.is_meant(service, inbound):
            missed.take(service, inbound)
            return _xml(voice.busy())
        return _begin(service, voice, inbound, None)

    @blueprint.post("/voice/answer/<attempt_id>")
    def answer(attempt_id: str) -> Response:
        inbound = voice.receive(request, 0)
        answered_by = voice.answered_by(request)
        if answered_by and settle.is_machine(answered_by):
            call_id = inbound.event_id.rpartition(":")[0]
            with service.database.write() as connection:
                settle.heard_machine(connection, attempt_id, call_id, answered_by, service.clock.now())
            return _xml(voice.silence())
        return _begin(service, voice, inbound, attempt_id)

    @blueprint.post("/voice/turn/<conversation_id>")
    def turn(conversation_id: str) -> Response:
        return _turn(service, voice, conversation_id)

    @blueprint.post("/voice/recording/<conversation_id>")
    def recording(conversation_id: str) -> Response:
        # The same recording comes with its turn, before or after this; if that request is lost, this one counts.
        inbound = voice.receive(request, _number("n"))
        if isinstance(inbound.input, Recording) and request.form.get("RecordingStatus") != "absent":
            calls.keep_recording(service, inbound, conversation_id, inbound.input)
        return Response(status=204)

    @blueprint.post("/voice/status/<attempt_id>")
    def placed_call_status(attempt_id: str) -> Response:
        _progress(service, voice, attempt_id)
        return Response(status=204)

    @blueprint.post("/voice/status")
    def incoming_call_status() -> Response:
        report = voice.report(request)
        if report is not None and report.status.terminal:
            attempt_id = calls.over(service, report.call_id)
            if attempt_id:
                _progress(service, voice, attempt_id)
            with service.database.write() as connection:
                leftovers.note_call(connection, service.settings, report.call_id)
        return Response(status=204)

    @blueprint.post("/voice/fallback")
    def fallback() -> Response:
        inbound = voice.receive(request, 0)
        document = calls.latest_document(service, inbound.event_id.rpartition(":")[0])
        if document is None:
            return _xml(
                voice.render(calls.break_off(service, inbound, None), Place("", 0, ended=True))[0].text
            )
        return _xml(document)

    @blueprint.get("/voice/audio/<language>/<name>.wav")
    def audio(language: str, name: str) -> Response:
        path = voice.audio(language, name)
        if path is None:
            abort(404)
        return send_file(path, mimetype="audio/wav", max_age=_AUDIO_SECONDS, conditional=True)


# --- a caller and an agent --------------------------------------------------------------------


def _talk_routes(blueprint: Blueprint, service: Service, board: Switchboard, voice: Voice) -> None:
    @blueprint.post("/voice/wait/<conversation_id>")
    def wait(conversation_id: str) -> Response:
        call_id = board.call_of(request)
        found = line.look(service, call_id, conversation_id, fetched="b" in request.args)
        return _xml(board.wait(conversation_id, found))

    @blueprint.post("/voice/agent/<transfer_id>")
    def agent(transfer_id: str) -> Response:
        board.call_of(request)
        ring = _ring(service, transfer_id)
        if ring.waits:
            nth = _number("r")
            return _xml(board.offer(transfer_id, nth, ring.language, is_callback=ring.is_callback))
        return _xml(board.goodbye(_too_late(ring), ring.language))

    @blueprint.post("/voice/agent/<transfer_id>/key")
    def agent_key(transfer_id: str) -> Response:
        call_id, nth = board.call_of(request), _number("r")
        now, wall = service.clock.now(), wall_time()
        if request.form.get("Digits", "") != "1":
            with service.database.write() as connection:
                transfers.missed(connection, transfer_id, nth, now, wall)
            return _xml(voice.silence())
        with service.database.write() as connection:
            accepted = transfers.accept(connection, transfer_id, nth, call_id, now, wall)
        ring = _ring(service, transfer_id)
        if accepted and ring.is_callback:
            return _xml(board.stand_by(transfer_id, nth, ring.language))
        if accepted:
            return _xml(board.join(transfer_id, nth))
        return _xml(board.goodbye(_too_late(ring), ring.language))

    @blueprint.post("/voice/agent/<transfer_id>/over")
    def agent_over(transfer_id: str) -> Response:
        call_id = board.call_of(request)
        _agent_left(service, transfer_id, call_id)
        ring = _ring(service, transfer_id)
        unmet = ring.is_callback and not ring.met
        return _xml(board.goodbye(phrases.NOT_REACHED if unmet else phrases.CALLER_GONE, ring.language))

    @blueprint.post("/voice/agent/<transfer_id>/status")
    def agent_status(transfer_id: str) -> Response:
        report = voice.report(request)
        if report is not None and report.status.terminal:
            _agent_left(service, transfer_id, report.call_id)
            with service.database.write() as connection:
                leftovers.note_call(connection, service.settings, report.call_id)
        return Response(status=204)

    @blueprint.post("/voice/room/<transfer_id>")
    def room_left(transfer_id: str) -> Response:
        call_id = board.left_by_star(request)
        if call_id is not None:
            calls.danger_in_talk(service, voice, transfer_id, call_id)
        return Response(status=204)

    @blueprint.get("/voice/hold.wav")
    def hold() -> Response:
        tone = io.BytesIO(hold_tone(ROUND_SECONDS))
        name = "hold.wav"
        return send_file(tone, mimetype="audio/wav", max_age=_AUDIO_SECONDS, download_name=name, etag=False)


def _ring(service: Service, transfer_id: str) -> Ring:
    with service.database.read() as connection:
        return transfers.ring_of(connection, transfer_id, _number("r"))


def _too_late(ring: Ring) -> str:
    return phrases.CALLER_GONE if ring.gone else phrases.CALL_TAKEN


def _agent_left(service: Service, transfer_id: str, call_id: str) -> None:
    now, wall = service.clock.now(), wall_time()
    with service.database.write() as connection:
        transfers.agent_left(connection, transfer_id, _number("r"), call_id, now, wall)


def _begin(service: Service, voice: Voice, inbound: Inbound, attempt_id: str | None) -> Response:
    try:
        return _xml(calls.begin(service, voice, inbound, attempt_id))
    except EngineError:
        goodbye = calls.break_off(service, inbound, None)
        return _xml(voice.render(goodbye, Place("", 0, ended=True))[0].text)


def _number(name: str) -> int:
    number = request.args.get(name, "")
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        abort(400)
    return int(number)


def _turn(service: Service, voice: Voice, conversation_id: str) -> Response:
    number = _number("n")
    inbound = voice.receive(request, number)
    beside = recorded_beside_a_key(request)
    if beside is not None:
        calls.keep_recording(service, inbound, conversation_id, beside)
    try:
        document = calls.take_turn(
            service, voice, inbound, conversation_id, number, goes_on=voice.goes_on(request)
        )
    except EngineError:
        goodbye = calls.break_off(service, inbound, conversation_id)
        document = voice.render(goodbye, Place(conversation_id, 0, ended=True))[0].text
    return _xml(document or voice.silence())


def _progress(service: Service, voice: Voice, attempt_id: str) -> None:
    report = voice.report(request)
    if report is None:
        return
    with service.database.read() as connection:
        if not settle.is_news(connection, attempt_id, report.status):
            return
    with service.database.write() as connection:
        if report.status.terminal:
            leftovers.note_call(connection, service.settings, report.call_id)
            transfers.call_over(connection, report.call_id, service.clock.now(), wall_time())
        settle.progress(
            connection,
            attempt_id,
            report.status,
            service.clock.now(),
            wall_time(),
            call_id=report.call_id,
            code=report.code,
            seconds=report.seconds,
            answered_by=report.answered_by,
        )


def _xml(document: str) -> Response:
    return Response(document, mimetype="text/xml")


def _plain(text: str, status: int) -> Response:
    return Response(text, status=status, mimetype="text/plain")
