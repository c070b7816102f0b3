"""What lies with the providers: brought home, sealed, and deleted there. Each step looks at its row again.

The provider's copy goes only after ours is stored. What the operator wants to stay there stays, but for speech
that its speaker did not allow.
"""

from __future__ import annotations

import structlog

from bot import leftovers, media
from bot.clock import wall_time
from bot.errors import SendError
from bot.leftovers import Left
from bot.media import Item
from bot.service import Service
from channels.base import Carrying, Forgetting

log = structlog.get_logger()


def bring_home(service: Service, door: Carrying, item: Item) -> None:
    """Fetch a file or a recording and keep it, sealed; then delete it at the provider."""
    if item.state == "due" and not _kept(service, door, item):
        return
    if service.settings.delete_at_provider or not item.allowed:
        try:
            door.discard(item.ref)
        except SendError as error:
            log.warning("not_deleted", id=item.id, outcome=error.outcome.value, code=error.code)
            with service.database.write() as connection:
                media.not_deleted(connection, item, error, wall_time(), service.clock.now())
            return
    with service.database.write() as connection:
        media.settled(connection, item)


def _kept(service: Service, door: Carrying, item: Item) -> bool:
    """Whether all that we may keep of it is kept now."""
    if not item.allowed:
        with service.database.write() as connection:
            media.refuse(connection, item)
        return True
    try:
        brought = door.fetch(item.ref)
    except SendError as error:
        log.warning("not_fetched", id=item.id, outcome=error.outcome.value, code=error.code)
        with service.database.write() as connection:
            media.failed(connection, item, error, wall_time(), service.clock.now())
        return False
    with service.database.write() as connection:
        if brought is None:
            media.missing(connection, item, wall_time(), service.clock.now())
        else:
            media.store(connection, service.sealer, item, brought, service.clock.now())
    return brought is not None


def forget(service: Service, door: Forgetting, left: Left) -> None:
    """Delete a message, or the record of a call, at the provider."""
    try:
        door.forget(left.provider_id)
    except SendError as error:
        log.warning("not_deleted", id=left.id, outcome=error.outcome.value, code=error.code)
        with service.database.write() as connection:
            leftovers.not_deleted(connection, left, error, wall_time(), service.clock.now())
        return
    with service.database.write() as connection:
        leftovers.gone(connection, left)
