"""A worker arrives from elsewhere: with a code that she was shown in another thread, or with her pass-word.

By a code her talk goes on here; by her card's number and her pass-word the callback that waits for her takes
place here. The talk that was open here only opened the door, if nothing was told in it yet; else it stays, and
her addresses are linked. What her digits were is kept nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection, exists, insert, select, update

from bot import contacts, handoff, links, moving, safety, steps
from bot.callbacks.claim import adopt_returned
from bot.clock import wall_time
from bot.contacts import How
from bot.effects import Standing
from bot.errors import NotFound
from bot.flow import engine, phrases
from bot.flow.model import Kind
from bot.flow.session import Session
from bot.ids import new_id
from bot.links import Code, Proof
from bot.messages import Channel, Inbound, Keys, Text
from bot.moving import There
from bot.service import Service
from bot.steps import Door, Turn
from bot.storage.tables import Answer, Case, Conversation, Message, table
from bot.storage.types import AnyRow
from bot.transcript import MASK, Thread, heard_row

_answer = table(Answer)
_case = table(Case)
_conversation = table(Conversation)
_message = table(Message)

_AGAIN = Keys("#")
"""Answers nothing: the question of the moment is asked again."""
_NONE = Keys("0")
"""Digits that are no code: the questions go on."""


def in_writing(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    here: There,
    gate: AnyRow | None,
    now: datetime,
) -> Inbound | None:
    """Take a message that may be a code or a pass-word from elsewhere; ``gate`` is the talk that is open here.

    None if it was taken: then everything is written. Else the message as the flow is to take it, in which no
    pass-word is left.
    """
    entry = links.entry(inbound.input)
    if entry is None or here.address_id is None:
        return inbound
    arrival = _Arrival(connection, service, door, inbound, here, gate, now)
    return arrival.writes_code(entry) if isinstance(entry, Code) else arrival.writes_proof(entry)


def in_call(
    connection: Connection,
    service: Service,
    door: Door,
    inbound: Inbound,
    here: There,
    gate: AnyRow,
    session: Session,
    now: datetime,
) -> str | Inbound:
    """The same for digits keyed in a call, at the questions that ask for them.

    Gives the document with which the call goes on elsewhere, or the turn as the flow is to take it. What is
    keyed on an address that said stop is not compared.
    """
    entry = links.entry(inbound.input)
    if entry is None or session.mode or session.step not in links.ASKED_AT:
        return inbound
    arrival = _Arrival(connection, service, door, inbound, here, gate, now)
    if here.address_id and contacts.known(connection, here.address_id).stopped:
        return replace(inbound, input=_NONE)
    document = arrival.keys_code(entry) if isinstance(entry, Code) else arrival.keys_proof(entry)
    if not isinstance(document, str):
        return document
    arrival.keep_turn(gate, document)
    return document


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Digits that came in, and all that is known around them."""

    connection: Connection
    service: Service
    door: Door
    inbound: Inbound = field(repr=False)
    here: There
    gate: AnyRow | None = field(repr=False)
    now: datetime

    @property
    def place(self) -> str:
        """Where wrong digits are counted: at the address, or in the call of a hidden number."""
        return self.here.address_id or (self.gate.conversation_id if self.gate is not None else "")

    # --- a code -------------------------------------------------------------------------------

    def writes_code(self, code: Code) -> Inbound | None:
        """Eight digits in writing."""
        row = self._shown(code)
        if row is None or (row.address_id, row.channel) == (self.here.address_id, self.here.channel):
            return self.inbound
        if not links.spend(self.connection, self.service.sealer, code, self.now):
            return self.inbound
        row = self._linked(row)
        if not self._can_move(row) or not self._only_opened():
            return self._only_link()
        self._close_gate(row.conversation_id)
        if row.state == handoff.HUMAN:
            moving.carry_to_person(self.connection, self.service, row, self.here, self.inbound, self.now)
        else:
            self._carry(row, inbound=self.inbound, proven=True)
        return None

    def keys_code(self, code: Code) -> str | Inbound:
        """Eight digits in a call. A mistyped code may be tried again; after too many the questions go on."""
        row = self._shown(code)
        if row is None:
            again = links.may_try(self.connection, self.service.sealer, self.place)
            return self._as(_AGAIN if again else _NONE)
        if not links.spend(self.connection, self.service.sealer, code, self.now):
            return self._as(_NONE)
        row = self._linked(row)
        if not self._can_move(row) or not self._only_opened():
            return self._as(_NONE)
        self._close_gate(row.conversation_id)
        # She was asked in this very call if it is safe: the question for digits stands behind that.
        return self._carry(row, safe=True)

    def _shown(self, code: Code) -> AnyRow | None:
        """The talk in which a good code was shown; a wrong one is counted."""
        sealer = self.service.sealer
        if not links.may_try(self.connection, sealer, self.place):
            return None
        found = links.conversation_of(self.connection, sealer, code, self.now)
        if found is None:
            links.was_wrong(self.connection, sealer, self.place)
            return None
        return moving.load(self.connection, found)

    def _linked(self, row: AnyRow) -> AnyRow:
        """The person of the talk has this address too; without a contact she becomes one."""
        contact_id = row.contact_id
        if contact_id is None:
            contact_id = contacts.new_contact(
                self.connection, row.address_id, self.now, how=How.SELF, language=row.language
            )
            self.connection.execute(
                update(_conversation)
                .where(_conversation.c.id == row.conversation_id)
                .values(contact_id=contact_id)
            )
        if self.here.address_id:
            contacts.join(self.connection, contact_id, self.here.address_id, How.CODE, self.now)
        return moving.load(self.connection, row.conversation_id)

    def _can_move(self, row: AnyRow) -> bool:
        """Whether a talk in writing can go on here. One with a person does not go on in a call."""
        if row.channel == Channel.VOICE:
            return False
        if row.state == handoff.HUMAN:
            return self.here.call_id is None
        return row.state == "open" or moving.is_put_off(self.service, row)

    def _carry(
        self, row: AnyRow, *, inbound: Inbound | None = None, proven: bool = False, safe: bool = False
    ) -> str:
        return moving.carry(
            *(self.connection, self.service, self.door, row, self.here, self.now),
            inbound=inbound,
            proven=proven,
            safe=safe,
        )

    def _only_link(self) -> Inbound | None:
        """Nothing moves: what is open here, or begins, goes on."""
        gate = self.gate
        if gate is None:
            return replace(self.inbound, input=Text(MASK), parts=())
        words = self.service.catalogs.tongue(gate.language).text(phrases.LINKED)
        if gate.state == handoff.HUMAN:
            moving.answer_beside(self.connection, self.service, gate, self.inbound, words, self.now)
            return None
        standing, session = steps.open_session(self.service, gate, self.inbound.sender)
        check = safety.pass_words_of(self.connection, self.service.sealer, gate, self.now)
        context = steps.context(self.service, self.door, self.now, check)
        sprint = steps.run(lambda: engine.resume(session, _AGAIN, context))
        prompt = replace(sprint.prompt, texts=(words, *sprint.prompt.texts))
        sprint = replace(sprint, prompt=prompt, redact=True)
        turn = Turn(self.inbound, gate.version)
        steps.write(self.connection, self.service, self.door, standing, sprint, self.now, turn)
        return None

    # --- a pass-word --------------------------------------------------------------------------

    def writes_proof(self, proof: Proof) -> Inbound | None:
        """A card's number and a pass-word in writing. Only the card's number goes on from here."""
        proven = links.prove(self.connection, self.service.sealer, proof, self.place, self.now)
        if proven is None:
            return self.inbound
        document = self._proves(proven.contact_id, self.inbound)
        return None if document is not None else replace(self.inbound, input=Text(proof.card), parts=())

    def keys_proof(self, proof: Proof) -> str | Inbound:
        """The same in a call."""
        proven = links.prove(self.connection, self.service.sealer, proof, self.place, self.now)
        document = self._proves(proven.contact_id, None) if proven is not None else None
        return self._as(Keys(proof.card)) if document is None else document

    def _proves(self, contact_id: str | None, inbound: Inbound | None) -> str | None:
        """Her callback takes place here; gives its document. None if nothing was proved, nothing waits for her,
        or something was told here already."""
        if contact_id is None:
            return None
        if self.here.address_id:
            contacts.join(self.connection, contact_id, self.here.address_id, How.PASS_WORD, self.now)
        if not self._only_opened():
            return None
        adopted = adopt_returned(
            *(self.connection, contact_id, self.here.call_id, self.now, wall_time()),
            channel=self.here.channel,
        )
        if adopted is None:
            return None
        conversation_id = new_id()
        self._close_gate(conversation_id)
        return self._begin_callback(adopted[0], conversation_id, inbound)

    def _begin_callback(self, attempt_id: str, conversation_id: str, inbound: Inbound | None) -> str:
        """The callback's talk begins behind the pass-word; gives the document, on the telephone."""
        worker = safety.called(self.connection, attempt_id)
        if worker is None:
            raise NotFound(f"there is no attempt {attempt_id}")
        facts, flow = safety.facts(worker, "proved"), self.service.library.get(safety.CALLBACK)
        context = steps.context(self.service, self.door, self.now)
        sprint = steps.run(lambda: engine.start(flow, context, facts))
        standing = Standing(
            conversation_id=conversation_id,
            channel=self.here.channel,
            address_id=self.here.address_id,
            contact_id=worker.contact_id,
            attempt_id=attempt_id,
            audit_id=worker.audit_id,
            language=sprint.session.language,
            answers=0,
            address=self.here.address,
        )
        turn = Turn(inbound, None, number=self.here.turn, call_id=self.here.call_id)
        sprint = replace(sprint, redact=True)
        return steps.write(self.connection, self.service, self.door, standing, sprint, self.now, turn)

    # --- the talk that was open here ----------------------------------------------------------

    def _only_opened(self) -> bool:
        """Whether nothing was told here yet but what opens any talk: language, safety, consent."""
        if self.gate is None:
            return True
        gate = moving.load(self.connection, self.gate.conversation_id)
        if gate.state != "open" or gate.attempt_id is not None:
            return False
        has_case = select(exists().where(_case.c.conversation_id == gate.conversation_id))
        if self.connection.execute(has_case).scalar():
            return False
        opening = {links.ASKED_BEFORE} | {
            step.id
            for step in self.service.library.get(gate.flow, gate.revision).steps.values()
            if step.safety or step.consent or (step.ask is not None and step.ask.kind is Kind.LANGUAGE)
        }
        told = select(_answer.c.id).where(
            _answer.c.conversation_id == gate.conversation_id, _answer.c.question.not_in(opening)
        )
        return self.connection.execute(told.limit(1)).first() is None

    def _close_gate(self, moved_to: str) -> None:
        if self.gate is not None:
            moving.close(self.connection, self.gate, moved_to, self.now, turn=self.here.turn)

    def keep_turn(self, gate: AnyRow, document: str) -> None:
        """Keep the turn in which digits were keyed: a repeated one gets the same document."""
        thread = Thread(gate.conversation_id, gate.address_id, gate.channel)
        row = heard_row(self.service.sealer, thread, self.inbound, self.now, masked=True)
        row["reply_sealed"] = self.service.sealer.seal_text(f"message.reply_sealed:{row['id']}", document)
        self.connection.execute(insert(_message).values(**row))

    def _as(self, given: Keys) -> Inbound:
        return replace(self.inbound, input=given)
