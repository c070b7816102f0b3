"""A case with everything around it, as a worker's conversation leaves it, full of canaries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from bot.cases.lifecycle import CaseState, Severity, clocks
from bot.flow.library import Library
from bot.ids import new_id
from bot.media import attachment_row
from bot.messages import Address, AddressKind, Brought
from bot.privacy.keys import Purpose
from bot.privacy.seal import Sealer
from bot.storage.database import Database
from bot.storage.tables import (
    AddressRow,
    Answer,
    Attachment,
    Audit,
    Case,
    Client,
    Consent,
    Contact,
    ContactAddress,
    Conversation,
    Factory,
    Grievance,
    Message,
    RecordingRow,
    table,
)

NUMBER = "+6281234567890"
ALIAS = "Alias-Canary-Melati"
WORDS = "Mereka mengancam saya <script>alert('canary')</script>"
AUDIO = b"RIFF-canary-sound" * 100
PICTURE = (Path(__file__).parents[2] / "simulator" / "assets" / "picture.jpg").read_bytes()
"""A picture as a camera makes it, with the place in it."""


@dataclass(frozen=True)
class Planted:
    """The ids of what was planted."""

    id: str
    reference: str
    conversation_id: str
    contact_id: str
    address_id: str
    recording_id: str
    file_id: str


def plant(
    database: Database,
    sealer: Sealer,
    received_at: datetime,
    *,
    library: Library | None = None,
    severity: Severity = Severity.S2,
    state: CaseState = CaseState.RECEIVED,
    number: str = NUMBER,
    words: str = WORDS,
) -> Planted:
    """Plant one case of a worker of a factory in Indonesia, received at an instant."""
    ids = Planted(new_id(), f"C{new_id()[-8:]}", new_id(), new_id(), new_id(), new_id(), new_id())
    flow = library.get("callback") if library else None
    answer, client, factory, audit = new_id(), new_id(), new_id(), new_id()
    address = Address(AddressKind.PHONE, number)
    due = clocks(severity, received_at, "ID")
    rows: list[tuple[type, dict[str, object]]] = [
        (Client, {"id": client, "name": f"Brand {client[-6:]}", "created_at": received_at}),
        (
            Factory,
            {"id": factory, "client_id": client, "name": "Pabrik Maju", "supplier": "Maju", "country": "ID"},
        ),
        (
            Audit,
            {
                "id": audit,
                "client_id": client,
                "factory_id": factory,
                "ref": "A-1",
                "audit_date": date(2026, 2, 20),
                "card_code": audit[-8:],
                "created_at": received_at,
            },
        ),
        (
            Contact,
            {
                "id": ids.contact_id,
                "language": "id",
                "timezone": "Asia/Jakarta",
                "country": "ID",
                "alias_sealed": sealer.seal_text(
                    f"contact.alias_sealed:{ids.contact_id}", ALIAS, Purpose.ADDRESS
                ),
                "created_at": received_at,
            },
        ),
        (
            AddressRow,
            {
                "id": ids.address_id,
                "kind": "phone",
                "index": sealer.address_index(address),
                "stop_index": sealer.stop_index(address),
                "sealed": sealer.seal_address(ids.address_id, address),
                "country": "ID",
                "created_at": received_at,
            },
        ),
        (
            ContactAddress,
            {
                "contact_id": ids.contact_id,
                "address_id": ids.address_id,
                "how": "audit",
                "created_at": received_at,
            },
        ),
        (
            Conversation,
            {
                "id": ids.conversation_id,
                "address_id": ids.address_id,
                "contact_id": ids.contact_id,
                "channel": "sms",
                "line": "+15005550006",
                "flow": "callback",
                "revision": flow.revision if flow else "r1",
                "language": "id",
                "state": "ended",
                "outcome": "completed",
                "session_sealed": b"x",
                "sprint": new_id(),
                "started_at": received_at,
                "updated_at": received_at,
            },
        ),
        (
            Answer,
            {
                "id": answer,
                "conversation_id": ids.conversation_id,
                "n": 1,
                "question": "anything_else",
                "kind": "open",
                "code": "said",
                "text_sealed": sealer.seal_text(f"answer.text_sealed:{answer}", words),
                "created_at": received_at,
            },
        ),
        (
            Consent,
            {
                "id": new_id(),
                "conversation_id": ids.conversation_id,
                "scope": "record",
                "given": True,
                "created_at": received_at,
            },
        ),
        (
            RecordingRow,
            {
                "id": ids.recording_id,
                "conversation_id": ids.conversation_id,
                "answer_id": answer,
                "provider_id": new_id(),
                "state": "fetched",
                "due_at": received_at,
                "audio_sealed": sealer.seal(
                    Purpose.CONTENT, f"recording.audio_sealed:{ids.recording_id}", AUDIO
                ),
                "content_type": "audio/wav",
                "created_at": received_at,
            },
        ),
        (
            Case,
            {
                "id": ids.id,
                "reference": ids.reference,
                "conversation_id": ids.conversation_id,
                "contact_id": ids.contact_id,
                "audit_id": audit,
                "client_id": client,
                "factory_id": factory,
                "category": "threat",
                "severity": severity,
                "state": state,
                "language": "id",
                "received_at": received_at,
                "review_due_at": due.review,
                "safety_due_at": due.safety,
                "plan_due_at": due.plan,
                "close_due_at": due.close,
                "updated_at": received_at,
            },
        ),
        (
            Grievance,
            {
                "id": new_id(),
                "case_id": ids.id,
                "conversation_id": ids.conversation_id,
                "question": "anything_else",
                "category": "threat",
                "severity": severity,
                "indicators": "intimidation",
                "created_at": received_at,
            },
        ),
    ]
    with database.write() as connection:
        for row, values in rows:
            connection.execute(insert(table(row)).values(values))
    for n, (direction, body) in enumerate((("out", "Apakah aman?"), ("in", words))):
        message_id = say(database, sealer, ids, direction, body, received_at + timedelta(seconds=n))
    attach(database, sealer, message_id, PICTURE, "image/jpeg", received_at, file_id=ids.file_id)
    return ids


def attach(
    database: Database,
    sealer: Sealer,
    message_id: str,
    content: bytes,
    content_type: str,
    at: datetime,
    *,
    name: str = "",
    file_id: str | None = None,
    n: int = 1,
) -> str:
    """Add a file to a message; gives its id."""
    row = attachment_row(sealer, message_id, n, Brought(content, content_type, name), content_type, at)
    if file_id is not None:
        seal = sealer.seal_bytes(f"attachment.content_sealed:{file_id}", content)
        named = sealer.seal_text(f"attachment.name_sealed:{file_id}", name)
        row |= {"id": file_id, "content_sealed": seal, "name_sealed": named}
    with database.write() as connection:
        connection.execute(insert(table(Attachment)).values(row))
    return str(row["id"])


def say(database: Database, sealer: Sealer, case: Planted, direction: str, body: str, at: datetime) -> str:
    """Add one message to the conversation of a case; gives its id."""
    row_id = new_id()
    values = {
        "id": row_id,
        "conversation_id": case.conversation_id,
        "address_id": case.address_id,
        "channel": "sms",
        "direction": direction,
        "body_sealed": sealer.seal_text(f"message.body_sealed:{row_id}", body),
        "status_rank": -1,
        "created_at": at,
    }
    with database.write() as connection:
        connection.execute(insert(table(Message)).values(values))
    return row_id


def answer(
    database: Database, conversation_id: str, question: str, code: str, at: datetime, n: int = 99
) -> None:
    """Add one coded answer to a conversation."""
    values = {
        "id": new_id(),
        "conversation_id": conversation_id,
        "n": n,
        "question": question,
        "kind": "yes_no",
        "code": code,
        "created_at": at,
    }
    with database.write() as connection:
        connection.execute(insert(table(Answer)).values(values))
