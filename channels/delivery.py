"""Sending what was claimed: one job's worth side by side, each text once; and asking about what is in doubt.

What a job claimed is moved to ``sending`` in one transaction, and what was taken is written down in another,
because a commit costs more than everything else about a text. A provider that cannot be reached, or wants to
be left alone, is: the rest of the job goes back unsent, and its bucket (:mod:`bot.pace`) is closed for a while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import structlog

from bot import incidents, letters, receipts, waiting
from bot.clock import wall_time
from bot.errors import SendError, SendOutcome
from bot.incidents import IncidentKind
from bot.letters import Erasure, Item, Letter, Notice
from bot.messages import Channel as Name
from bot.messages import Receipt
from bot.service import Service
from channels import notices
from channels.base import Channel, Erasing

log = structlog.get_logger()

Doors = Callable[[Name], Channel]
"""Gives the channel of a name. Raises :class:`bot.errors.SendError` for one that is not set up."""

NOTICES_AT_ONCE = 2
MOST_BLIND_TRIES = 2
"""Times that a text is sent whose fate the provider cannot be asked about: a question that comes twice does
less harm than one that never comes, and one that comes again and again does more."""
_LOST_SIGHT = SendError(SendOutcome.PERMANENT, "lost_sight")
_ASK_WITHIN = timedelta(days=1)
"""How far back an ambiguous text is looked for at the provider."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """What became of one item: taken, with a receipt from most providers; refused or in doubt; or not tried."""

    item: Item
    receipt: Receipt | None = None
    error: SendError | None = None
    is_tried: bool = True


def deliver(heart: Service, doors: Doors, outbox_ids: Sequence[str]) -> None:
    """Send what was leased, each row once.

    What fails in a way that nobody foresaw stays ``sending``; when its lease runs out, the provider is asked.
    """
    with heart.database.write() as connection:
        items = letters.begin(connection, heart.sealer, outbox_ids, heart.clock.now(), wall_time())
    done = [each for each in _side_by_side(heart, doors, items) if each is not None]
    _taken(heart, doors, [each for each in done if each.is_tried and each.error is None])
    for each in done:
        if each.error is not None:
            _not_taken(heart, each.item, each.error)
    untried = [each.item.outbox_id for each in done if not each.is_tried]
    if untried:
        with heart.database.write() as connection:
            receipts.not_tried(connection, untried)


def _side_by_side(heart: Service, doors: Doors, items: Sequence[Item]) -> list[_Sending | None]:
    """Send the items of one job, as many at once as the channel's provider likes."""
    left_alone = threading.Event()

    def send(item: Item) -> _Sending | None:
        if left_alone.is_set():
            return _Sending(item, is_tried=False)
        try:
            return _Sending(item, receipt=_send(heart, doors, item))
        except SendError as error:
            if error.wait:
                left_alone.set()
            return _Sending(item, error=error)
        except Exception as error:  # the error's text may hold what no log may; its kind is enough
            log.error("job_failed", job="deliver", id=item.outbox_id, error=type(error).__name__)
            return None

    if len(items) < 2:
        return [send(item) for item in items]
    with ThreadPoolExecutor(min(len(items), _at_once(doors, items[0]))) as pool:
        return list(pool.map(send, items))


def _at_once(doors: Doors, item: Item) -> int:
    if isinstance(item, Notice):
        return NOTICES_AT_ONCE
    try:
        return doors(item.channel).capabilities.at_once
    except SendError:
        return 1


def _send(heart: Service, doors: Doors, item: Item) -> Receipt | None:
    if isinstance(item, Letter):
        return doors(item.channel).send(item.outbound, item.country)
    if isinstance(item, Notice):
        notices.send(heart.settings, item.email, item.template)
        return None
    # The quick exit: what we sent leaves the worker's screen, where the channel can do that.
    door = doors(item.channel)
    if isinstance(door, Erasing) and item.provider_ids:
        door.erase(item.to, item.provider_ids)
    return None


def _taken(heart: Service, doors: Doors, done: Sequence[_Sending]) -> None:
    """Write down what the provider took, all of it in one transaction."""
    if not done:
        return
    now, wall = heart.clock.now(), wall_time()
    with heart.database.write() as connection:
        receipts.all_sent(connection, {each.item.outbox_id: each.receipt for each in done}, wall)
        for each in done:
            if isinstance(each.item, Erasure):
                receipts.erased(connection, each.item.message_ids)
        first = done[0].item
        if isinstance(first, Letter) and (rest := doors(first.channel).capabilities.rest):
            receipts.rest(connection, [each.item.outbox_id for each in done], now + rest)


def _not_taken(heart: Service, item: Item, error: SendError) -> None:
    outbox_id, now = item.outbox_id, heart.clock.now()
    log.warning("not_sent", outbox=outbox_id, outcome=error.outcome.value, code=error.code)
    with heart.database.write() as connection:
        if error.action == "window" and waiting.hold(connection, heart.sealer, outbox_id, now):
            return
        receipts.failed(connection, outbox_id, error, now, wall_time())
        if error.outcome is not SendOutcome.PERMANENT:
            return
        if error.action == "blocked" and isinstance(item, Letter):
            receipts.blocked(connection, outbox_id, now)
        elif not isinstance(item, Letter):
            channel = "email" if isinstance(item, Notice) else item.channel.value
            kind = IncidentKind.PROVIDER if error.action == "operator" else IncidentKind.DELIVERY
            incidents.report(connection, kind, f"{channel} {error.code}", now)


def inquire(heart: Service, doors: Doors, outbox_id: str) -> None:
    """Ask the provider about a text that it may have taken; what it does not know is sent again.

    A provider that is being left alone is asked later. Raises :class:`bot.errors.SendError` if it does not answer.
    """
    with heart.database.write() as connection:
        item = letters.in_doubt(connection, heart.sealer, outbox_id, heart.clock.now(), wall_time())
    if item is None:
        return
    taken = _found(heart, doors, item) if isinstance(item, Letter) else []
    now = heart.clock.now()
    with heart.database.write() as connection:
        mine = receipts.unclaimed(connection, taken)
        if mine is not None:
            receipts.all_sent(connection, {outbox_id: mine}, wall_time())
        elif isinstance(item, Letter) and item.tries >= MOST_BLIND_TRIES and not _finds(doors, item):
            receipts.failed(connection, outbox_id, _LOST_SIGHT, now, wall_time())
        else:
            receipts.again(connection, outbox_id, 1, now)


def _found(heart: Service, doors: Doors, item: Letter) -> list[Receipt]:
    try:
        return doors(item.channel).find(item.outbound, item.country, wall_time() - _ASK_WITHIN)
    except SendError as error:
        with heart.database.write() as connection:
            receipts.leave_alone(connection, item.outbox_id, error, wall_time())
        raise


def _finds(doors: Doors, item: Letter) -> bool:
    return doors(item.channel).capabilities.finds
