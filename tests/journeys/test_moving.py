"""One worker, several ways to talk: a talk moves by her own act, loses no answer, and tells a shared phone nothing."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot import contacts, links
from bot.flow import phrases
from bot.storage import tables
from tests.channels.telegram import Chat, chatting
from tests.journeys.test_handoff import answer
from tests.journeys.test_hotline import LONG, WORKER, write
from tests.journeys.test_pickup import telling_words
from tests.journeys.world import CALLER, HOTLINE, Worker, World, Worlds, heard

FRIEND = "+6281200000077"
BEGUN = ("hello", "English", "1", "5", "1")
"""English, safe, punished, lost the job: the next question asks for her own words."""
IN_WORDS = "Please tell us in your own words what happened."
SAFE_HERE = "Is it safe to write here now, and nobody else can see your phone?"


@pytest.fixture
def chat(worlds: Worlds, sqlite_url: str) -> Chat:
    """A world with text messages and Telegram, where the worker's app is of another number."""
    made = chatting(worlds, sqlite_url)
    made.number = FRIEND
    return made


@pytest.fixture
def any_chat(worlds: Worlds, database_url: str) -> Chat:
    """The same, once on each kind of database."""
    made = chatting(worlds, database_url)
    made.number = FRIEND
    return made


def code_for(world: World, sender: str = WORKER) -> str:
    """Ask for a code in a thread of text messages."""
    told = write(world, "link", sender=sender)
    return next(found[0] for text in reversed(told) if (found := re.search(r"\d{8}", text)))


def conversations(world: World) -> list[tuple[str, str, str | None]]:
    """Channel, state and outcome of all talks, in the order of their making."""
    return [(row.channel, row.state, row.outcome) for row in world.rows(tables.Conversation)]


# --- by a code ------------------------------------------------------------------------------------


def test_a_talk_goes_on_in_another_app_by_a_code_and_loses_no_answer(any_chat: Chat) -> None:
    chat, world = any_chat, any_chat.world
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    chat.says(code)
    assert conversations(world) == [("telegram", "open", None), ("telegram", "ended", "moved")]
    moved, gate = world.rows(tables.Conversation)
    assert gate.moved_to == moved.id
    assert chat.heard()[-1].startswith(SAFE_HERE)
    chat.says("yes")
    assert chat.heard()[-1].startswith(IN_WORDS)
    chat.says(LONG)
    answered = [question for question, _, _ in world.answers()]
    assert answered.count("what") == answered.count("punished") == answered.count("words") == 1
    (case,) = world.rows(tables.Case)
    assert (case.conversation_id, case.category) == (moved.id, "dismissal")


def test_a_code_is_shown_once_and_stands_in_no_transcript(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    chat.says(code)
    assert code not in " ".join(words for _, words in world.transcript())
    assert all(code not in f"{row.digest}" for row in world.rows(tables.LinkCode))


def test_nothing_more_goes_to_the_thread_that_she_left(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    before = world.network.texts_to(WORKER)
    chat.starts()
    chat.says(code)
    chat.says("yes")
    world.pass_time(timedelta(hours=21))
    world.run()
    assert world.network.texts_to(WORKER) == before
    assert [text.count(IN_WORDS) for text in chat.heard()[-2:]] == [1, 1]


def test_a_code_works_once(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    chat.says(code)
    told = write(world, code, sender="+6281200000088")
    assert "Thank you for your message" in told[-1]
    assert [row.how for row in world.rows(tables.ContactAddress)] == ["self", "code"]


def test_a_code_is_over_after_half_an_hour(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    world.pass_time(timedelta(minutes=31))
    chat.starts()
    chat.says(code)
    assert [row[0] for row in conversations(world)] == ["sms", "telegram"]
    assert world.rows(tables.ContactAddress) == []


def test_a_code_in_its_own_thread_is_only_words(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    write(world, code)
    assert world.rows(tables.LinkCode)[0].used_at is None
    assert world.rows(tables.ContactAddress) == []


def test_a_talk_that_has_answers_of_its_own_is_not_swallowed(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    for text in ("English", "yes", "1"):
        chat.says(text)
    chat.says(code)
    assert conversations(world) == [("sms", "open", None), ("telegram", "open", None)]
    assert chat.heard()[-1].startswith(phrases.LINKED)
    assert sorted(row.how for row in world.rows(tables.ContactAddress)) == ["code", "self"]


# --- by a call ------------------------------------------------------------------------------------

CODE = "48213"
PICKS_UP = ({"keys": "1"}, {"keys": f"{CODE}#"}, {"keys": "1"})
"""A good time, her code, and it is safe."""
LATER_NOW = ("later", "1", CODE)
"""Put off: as soon as possible, with a code that she chooses."""


def put_off(world: World, script: object, *texts: str) -> None:
    """Begin in writing, put it off, and be called as soon as possible."""
    world.network.post("/sim/handsets", [{"number": WORKER, "name": "W"}])
    world.network.script(WORKER, script)
    write(world, *BEGUN, *(texts or LATER_NOW))
    world.rest()


def test_what_was_begun_in_writing_goes_on_in_the_call_that_she_asked_for(world: World) -> None:
    steps = [*PICKS_UP, {"keys": "1"}, {"speak": LONG, "seconds": 4}, {"keys": "2"}]
    put_off(world, {"steps": steps, "then": "silent"})
    (call,) = world.network.calls()
    said = heard(call)
    assert said.count("What is it about?") == 0
    assert "This is the call that you asked for." in said
    assert said.index(IN_WORDS) > said.index("This is the call that you asked for.")
    answered = [question for question, _, _ in world.answers()]
    assert answered.count("what") == answered.count("punished") == answered.count("words") == 1
    assert answered.count("danger") == 1
    assert world.dispositions() == ["cut_off"]


def test_nothing_telling_is_said_before_her_code_in_such_a_call(sqlite_world: World) -> None:
    world = sqlite_world
    steps = [{"keys": "1"}, {"keys": "1111#"}, {"keys": "2222#"}]
    put_off(world, {"steps": steps, "then": "silent"})
    (call,) = world.network.calls()
    assert telling_words(world, heard(call), "en") == []
    assert IN_WORDS not in heard(call)


@pytest.mark.parametrize(
    "script",
    [
        "no-answer",
        {"steps": [*PICKS_UP, {"hangup": True}]},
        {"steps": [*PICKS_UP[:2], {"keys": "2"}], "then": "silent"},
    ],
    ids=["not reached", "cut off", "not safe"],
)
def test_a_call_that_comes_to_nothing_loses_nothing(sqlite_world: World, script: object) -> None:
    world = sqlite_world
    put_off(world, script)
    assert world.callback()["state"] == "scheduled"
    told = write(world, "hello again")
    assert told[-1].startswith(SAFE_HERE)
    told = write(world, "yes")
    assert told[-1].startswith(IN_WORDS)
    write(world, LONG)
    answered = [question for question, _, _ in world.answers()]
    assert answered.count("what") == answered.count("words") == 1
    assert world.callback()["state"] == "scheduled"


def test_the_next_attempt_goes_on_where_the_first_was_cut_off(sqlite_world: World) -> None:
    world = sqlite_world
    steps = [*PICKS_UP, {"keys": "1"}, {"speak": LONG, "seconds": 4}, {"hangup": True}]
    put_off(world, {"steps": steps, "then": "silent"})
    world.network.script(WORKER, {"steps": [*PICKS_UP, {"keys": "2"}, {"hangup": True}]})
    world.pass_time(timedelta(hours=24))
    world.rest()
    assert world.dispositions() == ["cut_off", "cut_off"]
    assert "Is anyone in danger now?" in heard(world.network.calls()[-1])
    answered = [question for question, _, _ in world.answers()]
    assert answered.count("what") == answered.count("words") == answered.count("danger") == 1


def test_what_she_writes_while_the_talk_is_in_a_call_is_kept_with_it(sqlite_world: World) -> None:
    world = sqlite_world
    wrote: list[str] = []

    def meanwhile(path: str) -> None:
        if "/turn/" in path and len(world.hits_at("/channels/voice/turn/")) == 4 and not wrote:
            wrote.append(world.network.text(WORKER, "I can also write"))

    world.before = meanwhile
    steps = [*PICKS_UP, {"keys": "1"}, {"speak": LONG, "seconds": 4}, {"keys": "2"}]
    put_off(world, {"steps": steps, "then": "silent"})
    assert wrote
    talk, _ = world.rows(tables.Conversation)
    assert ("in", "I can also write") in world.transcript()
    assert [row.conversation_id for row in world.rows(tables.Message) if row.event_id == wrote[0]] == [
        talk.id
    ]


def keying(*entries: str) -> object:
    """A call in English in which it is safe, the caller has a code, and keys digits."""
    first = ({"keys": "2"}, {"keys": "1"}, {"keys": "1"})
    return {"steps": [*first, *({"keys": f"{entry}#"} for entry in entries)], "then": "silent"}


def calls_with(world: World, *entries: str, number: str = FRIEND, to: str = HOTLINE) -> list[str]:
    """Call and key digits; gives what was said."""
    world.network.post("/sim/handsets", [{"number": number, "name": "X"}])
    world.network.ring(number, to, keying(*entries))
    world.network.idle()
    return heard(world.network.calls()[-1])


def test_a_code_keyed_in_a_call_brings_the_talk_there(world: World) -> None:
    write(world, *BEGUN)
    said = calls_with(world, code_for(world))
    assert "What is it about?" not in said
    assert any("You can say no and still go on" in text for text in said)
    world.rest()
    assert conversations(world) == [("sms", "ended", "cut_off"), ("voice", "ended", "moved")]
    assert write(world, "hello")[-1].startswith(SAFE_HERE)
    assert write(world, "1")[-1].startswith(IN_WORDS)


def test_every_turn_of_a_call_that_was_taken_over_can_come_again(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, *BEGUN)
    calls_with(world, code_for(world), "1")
    counts = world.counts()
    for hit in world.hits_at("/channels/voice"):
        if "status" not in hit.target and "audio" not in hit.target:
            again = world.again(hit)
            assert (again.status_code, again.text) == (hit.status, hit.answer), hit.target
    assert world.counts() == counts


def test_a_wrong_code_keyed_leads_nowhere_and_is_not_kept(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, *BEGUN)
    code = code_for(world)
    wrong = f"{(int(code) + 1) % 10**8:08d}"
    said = calls_with(world, wrong)
    assert sum(text.startswith("Please enter it.") for text in said) > 1
    assert wrong not in " ".join(words for _, words in world.transcript())
    assert world.rows(tables.ContactAddress) == []


def test_callers_are_asked_for_a_code_only_while_there_is_one(sqlite_world: World) -> None:
    world = sqlite_world
    assert "Do you have a code for us?" not in calls_with(world)
    write(world, *BEGUN)
    code_for(world)
    assert "Do you have a code for us?" in calls_with(world, number="+6281200000078")


# --- letters that are lost --------------------------------------------------------------------------


@pytest.fixture
def linked(chat: Chat) -> Chat:
    """She writes in the app, handed over her number there, and stands at the question for her own words."""
    chat.starts()
    for text in ("English", "yes", "5", "1"):
        chat.says(text)
    chat.does("contact")
    chat.world.run()
    assert chat.heard()[-1].startswith(IN_WORDS)
    return chat


def app_is_gone(chat: Chat) -> None:
    """From now on Telegram knows no such chat."""
    chat.order(code=400, method="sendMessage", description="Bad Request: chat not found")


def test_a_lost_letter_lets_the_talk_go_on_by_the_other_address_that_she_gave(linked: Chat) -> None:
    world = linked.world
    app_is_gone(linked)
    linked.says(LONG)
    assert world.network.texts_to(FRIEND) == ["Hello. Is this a good time?\n1 Yes\n2 No"]
    assert conversations(world) == [("sms", "open", None)]
    assert not {kind for kind, _ in world.incidents()} & {"delivery"}
    assert write(world, "1", sender=FRIEND)[-1].startswith(SAFE_HERE)
    told = write(world, "1", sender=FRIEND)[-1]
    assert IN_WORDS not in told
    assert "picture" in told
    answered = [question for question, _, _ in world.answers()]
    assert answered.count("what") == answered.count("words") == 1


def test_nothing_telling_goes_to_the_other_address_before_it_is_safe(linked: Chat) -> None:
    app_is_gone(linked)
    linked.says(LONG)
    told = write(linked.world, "hello", "no", sender=FRIEND)
    assert telling_words(linked.world, told, "en") == []


def test_without_another_way_the_operator_is_told_and_the_talk_waits(chat: Chat) -> None:
    world = chat.world
    chat.starts()
    app_is_gone(chat)
    chat.says("English")
    assert {kind for kind, _ in world.incidents()} == {"delivery"}
    assert conversations(world) == [("telegram", "open", None)]


def test_who_blocked_us_is_not_written_to_by_any_other_way(linked: Chat) -> None:
    linked.order(code=403)
    linked.says(LONG)
    assert linked.world.network.texts_to(FRIEND) == []
    assert linked.stops() == ["provider", "provider"]


def test_a_stopped_address_is_no_other_way(linked: Chat) -> None:
    world = linked.world
    write(world, "stop", sender=FRIEND)
    before = world.network.texts_to(FRIEND)
    app_is_gone(linked)
    linked.says(LONG)
    assert world.network.texts_to(FRIEND) == before


def test_a_number_that_only_the_auditor_gave_is_no_other_way(chat: Chat) -> None:
    world = chat.world
    world.interviewed(Worker(number=FRIEND))
    (member,) = world.rows(tables.CohortMember)
    chat.starts()
    chat.says("English")
    with world.service.database.write() as connection:
        telegram = next(row for row in world.rows(tables.AddressRow) if row.kind == "telegram")
        contacts.join(connection, member.contact_id, telegram.id, contacts.How.CODE, world.clock.now())
    app_is_gone(chat)
    chat.says("yes")
    assert world.network.texts_to(FRIEND) == []
    assert {kind for kind, _ in world.incidents()} == {"delivery"}


def test_a_talk_goes_back_to_no_address_at_which_it_was_lost(linked: Chat) -> None:
    world = linked.world
    app_is_gone(linked)
    world.network.post("/sim/errors", number=FRIEND, create=21211)
    linked.says(LONG)
    world.rest()
    assert ("delivery", "sms 21211") in world.incidents()
    assert world.network.texts_to(FRIEND) == []
    (talk,) = world.rows(tables.Conversation)
    assert (talk.channel, talk.state) == ("sms", "open")


# --- a pass-word from elsewhere -----------------------------------------------------------------------

SITI = Worker("+6281200000001", alias="W-1", pass_word="4711")
DEWI = Worker("+6281200000002", alias="W-2", pass_word="998877")


def card_of(world: World) -> str:
    """The number on the card of the only audit."""
    (audit,) = world.rows(tables.Audit)
    return str(audit.card_code)


@pytest.fixture
def called_upon(sqlite_world: World) -> World:
    """Two workers wait for their callbacks."""
    sqlite_world.interviewed(SITI, DEWI)
    return sqlite_world


def test_a_worker_proves_from_another_number_who_she_is_and_is_interviewed_there(called_upon: World) -> None:
    world = called_upon
    told = write(world, f"{card_of(world)} {DEWI.pass_word}", sender=FRIEND)
    assert told[-1].startswith("Thank you. Is it safe to write now")
    told = write(world, "1", sender=FRIEND)
    assert "the auditors talked with you" in told[-1]
    states = {row.contact_id: row.state for row in world.rows(tables.Callback)}
    (link,) = [row for row in world.rows(tables.ContactAddress) if row.how == "pass_word"]
    assert states[link.contact_id] == "dialling"
    assert sorted(states.values()) == ["dialling", "scheduled"]
    assert DEWI.pass_word not in " ".join(words for _, words in world.transcript())


def test_the_same_by_telephone(called_upon: World) -> None:
    world = called_upon
    said = calls_with(world, f"{card_of(world)}{SITI.pass_word}", "1", to=CALLER)
    assert any("Is it safe to talk now" in text for text in said[-12:])
    assert any("the auditors talked with you" in text for text in said)
    assert SITI.pass_word not in " ".join(words for _, words in world.transcript())
    world.rest()
    assert sorted(state for state in world_states(world)) == ["scheduled", "scheduled"]
    assert [row.how for row in world.rows(tables.ContactAddress)].count("pass_word") == 1


def world_states(world: World) -> list[str]:
    """The states of all callbacks."""
    return [each["state"] for each in world.callbacks()]


def test_two_wrong_pass_words_shut_the_address_and_tell_nothing(called_upon: World) -> None:
    world = called_upon
    card = card_of(world)
    neutral = write(world, f"{card} 0001", sender=FRIEND)[-1]
    assert "Thank you for your message" in neutral or "Which language" in neutral
    write(world, f"{card} 0002", f"{card} {SITI.pass_word}", sender=FRIEND)
    assert [row.how for row in world.rows(tables.ContactAddress)].count("pass_word") == 0
    assert world_states(world) == ["scheduled", "scheduled"]
    for entry in ("0001", "0002", SITI.pass_word):
        assert entry not in " ".join(words for _, words in world.transcript())


def test_many_wrong_pass_words_for_one_audit_close_it_and_tell_the_operator(called_upon: World) -> None:
    world = called_upon
    card = card_of(world)
    for n in range(5):
        write(world, f"{card} 0001", f"{card} 0002", sender=f"+62812000011{n:02d}")
    assert ("pass_word", world.rows(tables.Audit)[0].id) in world.incidents()
    write(world, f"{card} {SITI.pass_word}", sender=FRIEND)
    assert world_states(world) == ["scheduled", "scheduled"]


def test_two_workers_with_the_same_pass_word_are_not_guessed_apart(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, Worker("+6281200000002", alias="W-2", pass_word=SITI.pass_word))
    write(world, f"{card_of(world)} {SITI.pass_word}", sender=FRIEND)
    assert world_states(world) == ["scheduled", "scheduled"]


# --- races --------------------------------------------------------------------------------------------


def test_of_two_who_use_a_code_at_once_one_gets_the_talk(world: World) -> None:
    write(world, *BEGUN)
    code = code_for(world)
    others = [f"+62812000022{n:02d}" for n in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(lambda number: world.network.text(number, code), others))
    world.network.idle()
    world.run()
    assert [row.how for row in world.rows(tables.ContactAddress)].count("code") == 1
    moved = [row for row in world.rows(tables.Conversation) if row.answers]
    assert len(moved) == 1
    assert (
        sum("Is it safe to write here now" in " ".join(world.network.texts_to(number)) for number in others)
        >= 1
    )


# --- stop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said_in", ["where the talk is", "where it was"])
def test_a_stop_covers_every_address_that_she_linked(chat: Chat, said_in: str) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    chat.says(code)
    if said_in == "where the talk is":
        chat.says("stop")
    else:
        write(world, "berhenti")
    assert len(world.rows(tables.Stop)) == 2
    shown = (chat.heard(), world.network.texts_to(WORKER))
    chat.says("hello")
    write(world, "hello")
    assert (chat.heard(), world.network.texts_to(WORKER)) == shown


def test_start_at_one_address_lifts_no_stop_of_another(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    chat.says(code)
    chat.says("stop")
    write(world, "start")
    (left,) = world.rows(tables.Stop)
    telegram = next(row for row in world.rows(tables.AddressRow) if row.kind == "telegram")
    assert left.index == telegram.stop_index


def test_a_code_is_not_taken_where_she_said_stop(chat: Chat) -> None:
    world = chat.world
    chat.starts()
    chat.says("stop")
    heard_before = chat.heard()
    write(world, *BEGUN)
    chat.says(code_for(world))
    assert chat.heard() == heard_before
    assert world.rows(tables.LinkCode)[0].used_at is None


def test_a_stop_outlives_the_deletion_of_everything_else_and_a_new_upload(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(number=WORKER))
    write(world, "hello", "stop")
    with world.service.database.write() as connection:
        for each in reversed(tables.metadata.sorted_tables):
            if each.name != "stop":
                connection.execute(each.delete())
    world.interviewed(Worker(number=WORKER))
    assert world.callback()["state"] == "stopped"
    before = world.network.texts_to(WORKER)
    assert write(world, "hello") == before


# --- who answers, and who looks ------------------------------------------------------------------------


def test_a_talk_with_a_person_goes_on_elsewhere_with_the_same_person(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    write(world, "person")
    chat.starts()
    chat.says(code)
    assert chat.heard()[-1] == phrases.GOES_ON_HERE
    chat.says("are you there?")
    answer(world, "We read you here too.")
    assert chat.heard()[-1] == "We read you here too."
    assert conversations(world) == [("telegram", "human", "handed_off"), ("telegram", "ended", "moved")]


def test_after_five_wrong_codes_even_the_right_one_is_only_words(chat: Chat) -> None:
    world = chat.world
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    for n in range(1, 6):
        chat.says(f"{(int(code) + n) % 10**8:08d}")
    chat.says(code)
    assert world.rows(tables.LinkCode)[0].used_at is None
    assert world.rows(tables.ContactAddress) == []


def test_a_conversation_is_shown_five_codes_a_day(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, *BEGUN)
    for _ in range(links.MOST_CODES):
        code_for(world)
    told = write(world, "link")
    assert phrases.NO_MORE_CODES in told[-2:]
    assert len(world.rows(tables.LinkCode)) == links.MOST_CODES
    world.pass_time(timedelta(days=1, minutes=1))
    write(world, "link")
    assert len(world.rows(tables.LinkCode)) == links.MOST_CODES + 1


def test_who_has_the_phone_next_meets_nothing_of_a_talk_that_was_put_off_long_ago(
    sqlite_world: World,
) -> None:
    world = sqlite_world
    put_off(world, "no-answer")
    world.pass_time(timedelta(days=4))
    world.run()
    told = write(world, "hello")
    assert told[-1].startswith("Hello. Thank you for your message.")


def test_other_people_on_her_phone_are_not_made_one_with_her(chat: Chat) -> None:
    world = chat.world
    world.interviewed(Worker(number=WORKER))
    write(world, *BEGUN)
    code = code_for(world)
    chat.starts()
    chat.says(code)
    (member,) = world.rows(tables.CohortMember)
    owners = {row.contact_id for row in world.rows(tables.ContactAddress)}
    assert len(owners) == 2
    telegram = next(row.id for row in world.rows(tables.AddressRow) if row.kind == "telegram")
    assert [row.contact_id for row in world.rows(tables.ContactAddress) if row.address_id == telegram] != [
        member.contact_id
    ]


def test_a_message_and_the_call_that_goes_on_at_once_lose_nothing(world: World) -> None:
    told: list[str] = []

    def at_the_same_time(path: str) -> None:
        turns = len(world.hits_at("/channels/voice/turn/"))
        if "/turn/" in path and turns == 3 and not told:
            told.append(world.network.text(WORKER, "hello, I am here"))
            time.sleep(0.05)

    world.before = at_the_same_time
    steps = [*PICKS_UP, {"keys": "2"}, {"keys": "4"}, {"keys": "2"}]
    put_off(world, {"steps": steps, "then": "silent"})
    assert told
    answered = [question for question, _, _ in world.answers()]
    assert answered.count("what") == answered.count("punished") == 1
    assert len([body for _, body in world.transcript() if body == "hello, I am here"]) == 1
    states = [row.state for row in world.rows(tables.Conversation)]
    assert states.count("open") <= 1
