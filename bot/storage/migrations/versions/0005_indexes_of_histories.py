"""indexes of histories

Revision ID: 0005
Revises: 0004

Apart from 0004, because they are made outside its transaction: see bot/storage/indexes.py.
"""

from bot.storage import indexes


revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPEN = (
    "state NOT IN ('closed_unreached', 'closed_validated', 'inconclusive', 'referred', 'unsubstantiated', 'withdrawn')"
)
WANTED = (
    (
        "attempt_hanging_up",
        "attempt",
        ("settled_at",),
        "state = 'settled' AND ended_at IS NULL AND call_id IS NOT NULL",
    ),
    ("audit_day", "audit", ("client_id", "audit_date"), None),
    ("callback_given_up", "callback", ("id",), "state = 'given_up'"),
    ("callback_given_up_for", "callback", ("give_up_reason", "id"), "state = 'given_up'"),
    ("callback_remind", "callback", ("remind_at",), "state = 'scheduled' AND remind_at IS NOT NULL"),
    ("case_event_untallied", "case_event", ("id",), "tallied IS NULL"),
    ("cases_open", "cases", ("severity", "assignee_id"), OPEN),
    ("cases_recent_of_severity", "cases", ("severity", "updated_at", "id"), None),
    ("grievance_untallied", "grievance", ("id",), "tallied IS NULL"),
    ("incident_open", "incident", ("last_at",), "resolved_at IS NULL"),
    ("incident_resolved", "incident", ("resolved_at",), None),
    ("tally_what", "tally", ("what", "day"), None),
    ("transfer_untallied", "transfer", ("id",), "state = 'ended' AND tallied IS NULL"),
)


def upgrade() -> None:
    for name, table, columns, where in WANTED:
        indexes.make(name, table, columns, where)


def downgrade() -> None:
    for name, table, _, _ in WANTED:
        indexes.drop(name, table)
