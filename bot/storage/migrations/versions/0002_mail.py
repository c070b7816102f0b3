"""mail: attachments, how far a mailbox was read, several open threads of one address

Revision ID: 0002
Revises: 0001
"""

from alembic import op
import sqlalchemy as sa
import sqlmodel
import bot.storage.types


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

_BEFORE = "state = 'open' AND call_id IS NULL"
_AFTER = "state = 'open' AND call_id IS NULL AND channel <> 'email'"


def _open_address(where: str) -> None:
    op.drop_index('conversation_open_address', table_name='conversation')
    op.create_index(
        'conversation_open_address',
        'conversation',
        ['address_id', 'channel'],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:
    op.create_table(
        'attachment',
        sa.Column('id', sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column('message_id', sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column('n', sa.Integer(), nullable=False),
        sa.Column('is_file', sa.Boolean(), nullable=False),
        sa.Column('content_type', sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column('name_sealed', sa.LargeBinary(), nullable=False),
        sa.Column('content_sealed', sa.LargeBinary(), nullable=False),
        sa.Column('size', sa.Integer(), nullable=False),
        sa.Column('created_at', bot.storage.types.UTCDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['message_id'], ['message.id']),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('message_id', 'n'),
    )
    op.create_table(
        'mailbox',
        sa.Column('index', sqlmodel.sql.sqltypes.AutoString(length=40), nullable=False),
        sa.Column('uid_validity', sa.BigInteger(), nullable=False),
        sa.Column('last_uid', sa.BigInteger(), nullable=False),
        sa.Column('updated_at', bot.storage.types.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('index'),
    )
    op.add_column('message', sa.Column('origin_sealed', sa.LargeBinary(), nullable=True))
    _open_address(_AFTER)


def downgrade() -> None:
    _open_address(_BEFORE)
    op.drop_column('message', 'origin_sealed')
    op.drop_table('mailbox')
    op.drop_table('attachment')
