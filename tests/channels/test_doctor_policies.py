"""``doctor`` tells what a policy wants and nobody gives."""

from __future__ import annotations

from sqlalchemy import update

from bot.callbacks import policies
from bot.callbacks.policy import Mode, Policy, Shifts, to_json
from bot.messages import Channel
from bot.storage import tables
from bot.storage.tables import table
from channels import doctor
from tests.journeys.talking import AGENT, seat
from tests.journeys.world import CALLER, Worker, World


def told(world: World) -> set[str]:
    """What doctor warns of, beside its subject."""
    found = doctor._policies(world.service)
    assert {finding.level for finding in found} <= {"warning"}
    return {f"{finding.subject}: {finding.message}" for finding in found}


def test_a_policy_that_can_act_is_not_warned_of(sqlite_world: World) -> None:
    sqlite_world.interviewed(Worker())
    policies.set_for_client(
        sqlite_world.service,
        "Brand A",
        Policy(caller_id=(("ID", CALLER),), channels_when_failing=(Channel.SMS,)),
    )
    assert told(sqlite_world) == set()


def test_what_a_policy_wants_in_vain_is_told_without_any_number(sqlite_world: World) -> None:
    world, client = sqlite_world, table(tables.Client)
    world.interviewed(Worker(language="id"))
    seat(world, AGENT, "en")
    policy = Policy(
        mode=Mode.AGENT,
        caller_id=(("ID", "+12025550177"),),
        channels_when_failing=(Channel.WHATSAPP, Channel.SMS),
        shifts=Shifts.ALWAYS,
    )
    with world.service.database.write() as connection:
        # As it stands after a number was taken out of the settings.
        connection.execute(update(client).values(policy=to_json(policy), mode=policy.mode))
    assert told(world) == {
        "policy of Brand A: caller_id: the number for ID is not in TWILIO_VOICE_FROM; calls go out as if none "
        "was named",
        "policy of Brand A: channels_when_failing: whatsapp not set up, so nothing is written there",
        "policy of Brand A: shifts: always keeps out of shifts, and no factory of this client has any; "
        "`voiceback factories import`",
        "agents: callbacks in id are kept for agents, and no agent speaks it",
    }
