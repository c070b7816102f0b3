"""Promises of e-mail: threads by token only, nothing revealed to an address, machines never answered, nothing lost."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from email.message import EmailMessage

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from bot import contacts
from bot.messages import Address, AddressKind, Attention, Channel
from bot.settings import Settings
from bot.storage import tables
from bot.storage.tables import table
from channels import mime
from channels.base import registry
from channels.email import ANSWERS_PER_DAY
from tests.channels.post import (
    HOTLINE,
    OTHER,
    SECRET,
    SUBJECT,
    WORKER,
    PostOffice,
    Sent,
    deliver,
    letter,
    reply,
)
from tests.journeys.world import Worker as Siti
from tests.journeys.world import World

REPORT = "The boss hit me yesterday in the factory and nobody helped me."
NOTHING_WRITTEN_BUT = {"heartbeat", "flow_revision"}


def take(world: World, mail: EmailMessage | bytes) -> None:
    answer = deliver(world, mail)
    assert answer.status_code == 200, answer.text
    world.run()


def last(office: PostOffice, to: str = WORKER) -> Sent:
    return office.to(to)[-1]


def conversations(world: World) -> list[tables.Conversation]:
    return world.rows(tables.Conversation)


def kept(world: World) -> dict[str, int]:
    return {name: count for name, count in world.counts().items() if name not in NOTHING_WRITTEN_BUT}


# --- a conversation -----------------------------------------------------------------------------------


def test_a_mail_is_answered_in_plain_text_under_a_subject_that_tells_nothing(
    post_world: World, office: PostOffice
) -> None:
    mail = letter(REPORT, subject="My boss")
    take(post_world, mail)
    (sent,) = office.to(WORKER)
    answer = sent.mail
    assert answer.get_content_type() == "text/plain"
    assert answer.get_content_charset() == "utf-8"
    assert answer["Subject"] == SUBJECT
    assert answer["From"] == f"Line <{HOTLINE}>"
    assert answer["Auto-Submitted"] == "auto-replied"
    assert answer["In-Reply-To"] == answer["References"] == mail["Message-ID"]
    token = str(answer["Message-ID"]).strip("<>").partition("@")[0]
    assert answer["Reply-To"] == sent.sender == f"hotline+{token}@voiceback.example"
    assert sent.text.startswith("##- Please write your answer above this line -##\n\nHello.")
    assert len(str(sent.sender).partition("@")[0]) <= 64


def test_what_the_worker_wrote_first_is_a_report_at_once(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT, subject="About last week"))
    assert [answer[2] for answer in post_world.answers()] == [REPORT]
    assert len(post_world.rows(tables.Case)) == 1
    assert post_world.transcript()[0] == ("in", f"About last week\n{REPORT}")


@pytest.mark.parametrize("way", ["address", "in_reply_to", "references"])
def test_an_answer_goes_on_with_its_conversation(post_world: World, office: PostOffice, way: str) -> None:
    take(post_world, letter(REPORT))
    sent = last(office)
    mail = reply(sent, "yes")
    name = str(sent.mail["Message-ID"])
    del mail["In-Reply-To"], mail["References"]
    if way != "address":
        mail.replace_header("To", HOTLINE)
    if way == "in_reply_to":
        mail["In-Reply-To"] = name
    if way == "references":
        mail["References"] = f"<older@elsewhere.example> {name}"
    take(post_world, mail)
    assert len(conversations(post_world)) == 1
    assert ("safe", "yes", None) in post_world.answers()
    assert post_world.transcript()[-2] == ("in", "yes")
    assert "confidential line" in last(office).text


TO_THE_END = ("yes", "4", "shamed", "skip", "skip", "2", "skip", "No.", "keep")
"""Safe, bad treatment, shamed, nothing to add, no picture, no danger, no workplace, not told, only keep it."""


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
def test_the_whole_hotline_runs_by_mail_and_makes_a_case(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT))
    for words in (*TO_THE_END, "no", "yes"):
        take(post_world, reply(last(office), words))
    (conversation,) = conversations(post_world)
    assert (conversation.state, conversation.outcome) == ("ended", "completed")
    (case,) = post_world.rows(tables.Case)
    assert (case.category, case.conversation_id) == ("harassment", conversation.id)
    assert "A person will read what you told us." in last(office).text
    assert all(sent.mail["Subject"] == SUBJECT for sent in office.sent)


def test_a_new_mail_from_a_known_address_finds_a_conversation_that_knows_nothing(
    post_world: World, office: PostOffice
) -> None:
    take(post_world, letter("Bos saya memukul saya kemarin di pabrik dan tidak ada yang menolong saya."))
    first = last(office)
    assert "Halo" in first.text
    take(post_world, reply(first, "ya"))
    take(post_world, letter("hello"))
    one, other = conversations(post_world)
    assert one.id != other.id
    assert other.version == 1
    assert one.state == other.state == "open"
    # Not even the language that was spoken on this address is told to whoever claims to write from it.
    assert "Which language do you want?" in last(office).text
    assert "Halo" not in last(office).text


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
def test_a_token_that_was_changed_opens_nothing(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT))
    sent = last(office)
    token = str(sent.mail["Message-ID"]).strip("<>").partition("@")[0]
    for place in (0, 10, 20, 30, 37):
        wrong = token[:place] + ("a" if token[place] != "a" else "b") + token[place + 1 :]
        mail = letter(
            "yes", to=f"hotline+{wrong}@voiceback.example", In_Reply_To=f"<{wrong}@voiceback.example>"
        )
        take(post_world, mail)
    first, *others = conversations(post_world)
    assert first.version == 1
    assert len(others) == 5


def test_what_goes_on_from_another_address_is_answered_to_the_first(
    post_world: World, office: PostOffice
) -> None:
    take(post_world, letter(REPORT))
    take(post_world, reply(last(office), "yes", sender=OTHER))
    assert len(conversations(post_world)) == 1
    assert len(office.to(WORKER)) == 2
    assert office.to(OTHER) == []


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
def test_the_same_mail_twice_changes_nothing(post_world: World, office: PostOffice) -> None:
    mail = letter(REPORT).as_bytes()
    take(post_world, mail)
    before = kept(post_world)
    take(post_world, mail)
    take(post_world, b"Received: from elsewhere\r\n" + mail)
    assert kept(post_world) == before
    assert len(office.to(WORKER)) == 1


def test_two_mails_of_a_program_that_names_them_alike_are_two(post_world: World, office: PostOffice) -> None:
    for day in ("Mon, 02 Mar 2026 09:00:00 +0000", "Mon, 02 Mar 2026 09:01:00 +0000"):
        mail = letter(REPORT)
        mail.replace_header("Message-ID", "<always@the.same>")
        mail.replace_header("Date", day)
        take(post_world, mail)
    assert len(conversations(post_world)) == 2


def test_a_token_of_a_talk_that_is_over_begins_anew_in_its_language(
    post_world: World, office: PostOffice
) -> None:
    take(post_world, letter("Bos saya memukul saya kemarin di pabrik dan tidak ada yang menolong saya."))
    sent = last(office)
    take(post_world, reply(sent, "tidak"))
    assert conversations(post_world)[0].state == "ended"
    take(post_world, reply(sent, "1"))
    assert len(conversations(post_world)) == 2
    assert "Halo" in last(office).text


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
def test_stop_by_mail_is_confirmed_once_and_holds(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT))
    take(post_world, reply(last(office), "STOP\n\nSent from my iPhone"))
    assert len(post_world.rows(tables.Stop)) == 1
    assert "no more messages" in last(office).text
    before = len(office.sent)
    take(post_world, letter("I write again about my boss"))
    assert len(office.sent) == before
    take(post_world, letter("START"))
    assert post_world.rows(tables.Stop) == []
    assert len(office.sent) > before


def test_a_pass_word_is_masked_and_no_copy_of_its_mail_is_kept(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT))
    for words in (*TO_THE_END, "yes"):
        take(post_world, reply(last(office), words))
    assert "choose a code" in last(office).text
    count = len(post_world.rows(tables.Attachment))
    take(post_world, reply(last(office), "98765432"))
    heard = [words for direction, words in post_world.transcript() if direction == "in"]
    assert not any("98765432" in each for each in heard)
    assert len(post_world.rows(tables.Attachment)) == count


# --- texts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "老板不给我们工资，我们每天工作十二个小时，没有休息。",
        "นายจ้างไม่จ่ายค่าจ้าง ทำงานวันละสิบสองชั่วโมง",
        "မန်နေဂျာက ကျွန်တော့်ကို ရိုက်တယ်",
        "ថៅកែវាយខ្ញុំនៅរោងចក្រម្សិលមិញ",
        "They hit me 😢👊 🏭",
        "long " * 4000,
    ],
)
def test_words_of_every_script_come_through_whole(post_world: World, office: PostOffice, words: str) -> None:
    take(post_world, letter(words))
    found = [answer[2] for answer in post_world.answers()]
    assert found == [words.strip()]
    assert len(office.to(WORKER)) == 1


def test_an_html_mail_is_read_as_text_and_its_source_is_kept(post_world: World, office: PostOffice) -> None:
    mail = letter("x")
    mail.set_content(
        "<html><head><style>p{}</style></head><body><p>They do not pay <b>us</b>&nbsp;anything.</p>"
        "<img src='http://tracker.example/pixel.gif'><blockquote>old words</blockquote></body></html>",
        subtype="html",
    )
    take(post_world, mail)
    assert [answer[2] for answer in post_world.answers()] == ["They do not pay us anything."]
    sources = {row.content_type: row.is_file for row in post_world.rows(tables.Attachment)}
    assert sources == {"text/html": False, "text/plain": False}


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
def test_files_are_kept_sealed_beside_the_words(post_world: World, office: PostOffice) -> None:
    mail = letter("See the picture of the locked door")
    mail.add_attachment(
        b"\xff\xd8 not really a picture", maintype="image", subtype="jpeg", filename="door.jpg"
    )
    take(post_world, mail)
    (row,) = post_world.rows(tables.Attachment)
    sealer = post_world.service.sealer
    assert sealer.open_bytes(f"attachment.content_sealed:{row.id}", row.content_sealed) == (
        b"\xff\xd8 not really a picture"
    )
    assert sealer.open_text(f"attachment.name_sealed:{row.id}", row.name_sealed) == "door.jpg"
    assert b"picture" not in row.content_sealed
    assert post_world.transcript()[0][1].endswith("[image/jpeg] 1")


def test_a_mail_with_files_alone_is_taken(post_world: World, office: PostOffice) -> None:
    mail = letter("")
    mail.add_attachment(b"RIFF", maintype="audio", subtype="wav", filename="voice.wav")
    take(post_world, mail)
    assert len(post_world.rows(tables.Attachment)) == 1
    assert len(post_world.rows(tables.Case)) == 1


def test_a_subject_without_words_is_read(post_world: World, office: PostOffice) -> None:
    take(post_world, letter("", subject="The boss hit me at work yesterday"))
    assert [answer[2] for answer in post_world.answers()] == ["The boss hit me at work yesterday"]
    assert post_world.transcript()[0] == ("in", "The boss hit me at work yesterday")


# --- machines -----------------------------------------------------------------------------------------


ROBOTS = [
    {"Auto_Submitted": "auto-replied"},
    {"Auto_Submitted": "auto-generated (vacation)"},
    {"Return_Path": "<>"},
    {"Precedence": "auto_reply"},
    {"X_Autoreply": "yes"},
    {"List_Id": "news <news.example.org>"},
    {"List_Unsubscribe": "<mailto:leave@example.org>", "Precedence": "bulk"},
]


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
@pytest.mark.parametrize("headers", ROBOTS, ids="-".join)
def test_a_machine_is_never_answered_and_what_it_wrote_is_kept(
    post_world: World, office: PostOffice, headers: dict[str, str]
) -> None:
    take(post_world, letter("I am on holiday until Monday", **headers))
    assert office.sent == []
    assert conversations(post_world) == []
    assert post_world.transcript() == [("in", "I am on holiday until Monday")]


@pytest.mark.parametrize(
    "sender", ["MAILER-DAEMON@x.example", "no-reply@x.example", HOTLINE, "hotline+abc@voiceback.example"]
)
def test_addresses_of_machines_and_our_own_are_never_answered(
    post_world: World, office: PostOffice, sender: str
) -> None:
    take(post_world, letter("hello, this is a text", sender=sender))
    assert office.sent == []


def test_an_automatic_answer_in_a_thread_answers_no_question(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT))
    before = conversations(post_world)[0].version
    take(post_world, reply(last(office), "yes", Auto_Submitted="auto-replied"))
    assert conversations(post_world)[0].version == before
    assert len(office.sent) == 1
    assert post_world.transcript()[-1] == ("in", "yes")


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
@pytest.mark.parametrize("headers", [{"Precedence": "bulk"}, {"X_Auto_Response_Suppress": "All"}])
def test_what_may_be_from_a_person_is_put_before_a_supervisor(
    post_world: World, office: PostOffice, headers: dict[str, str]
) -> None:
    take(post_world, letter("help", **headers))
    assert office.sent == []
    assert len(post_world.rows(tables.Case)) == 1
    (conversation,) = conversations(post_world)
    assert conversation.state == "ended"
    post_world.pass_time(timedelta(days=4))
    post_world.run()
    assert office.sent == []


def test_two_machines_do_not_answer_one_another_for_ever(post_world: World, office: PostOffice) -> None:
    for _ in range(ANSWERS_PER_DAY + 5):
        assert deliver(post_world, letter("Thank you for contacting our shop")).status_code == 200
    post_world.run()
    assert len(office.to(WORKER)) == ANSWERS_PER_DAY
    assert ("delivery", "email loop") in post_world.incidents()
    assert (
        len([row for row in post_world.rows(tables.Message) if row.direction == "in"]) == ANSWERS_PER_DAY + 5
    )


# --- delivery -----------------------------------------------------------------------------------------


def bounce(
    sent: Sent, action: str = "failed", status: str = "5.1.1", *, to: str | None = None, inside: bool = True
) -> bytes:
    """A delivery report as RFC 3464 writes it."""
    copy = (
        f"--b\nContent-Type: text/rfc822-headers\n\nFrom: {HOTLINE}\nMessage-ID: {sent.mail['Message-ID']}\n"
        f"Subject: {SUBJECT}\n\n"
    )
    report = (
        "From: Mail Delivery System <MAILER-DAEMON@mail.example>\n"
        f"To: {to or sent.sender}\n"
        "Date: Mon, 02 Mar 2026 09:05:00 +0000\nMessage-ID: <report@mail.example>\n"
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nIt could not be delivered.\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example\n\n"
        f"Final-Recipient: rfc822; {sent.recipient}\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; 550 no such user\n\n{copy if inside else ''}--b--\n"
    )
    return report.encode()


def status_of(world: World) -> tuple[str | None, str | None]:
    (row,) = [row for row in world.rows(tables.Message) if row.direction == "out"]
    return row.status, row.error_code


@pytest.mark.parametrize("way", ["address", "message_id"])
def test_a_bounce_finds_its_message(post_world: World, office: PostOffice, way: str) -> None:
    take(post_world, letter(REPORT))
    assert status_of(post_world) == ("sent", None)
    sent = last(office)
    take(post_world, bounce(sent, to=None if way == "address" else HOTLINE, inside=way == "message_id"))
    assert status_of(post_world) == ("undelivered", "5.1.1")
    assert ("delivery", "email 5.1.1") in post_world.incidents()
    assert len(office.sent) == 1


def test_a_bounce_that_names_no_message_of_ours_changes_nothing(
    post_world: World, office: PostOffice
) -> None:
    take(post_world, letter(REPORT))
    before = kept(post_world)
    forged = bounce(last(office), to=HOTLINE).replace(b"Message-ID: <", b"Message-ID: <a")
    take(post_world, forged)
    assert status_of(post_world) == ("sent", None)
    assert kept(post_world) == before


def test_news_of_a_delay_mean_nothing_and_of_a_delivery_are_kept(
    post_world: World, office: PostOffice
) -> None:
    take(post_world, letter(REPORT))
    take(post_world, bounce(last(office), "delayed", "4.4.1"))
    assert status_of(post_world) == ("sent", None)
    take(post_world, bounce(last(office), "delivered", "2.0.0"))
    assert status_of(post_world) == ("delivered", None)


@pytest.mark.parametrize("post_url", ["sqlite_url", "postgres_url"], indirect=True)
def test_a_full_mailbox_is_tried_again_later(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT))
    take(post_world, bounce(last(office), "failed", "5.2.2"))
    assert len(office.sent) == 1
    post_world.pass_time(timedelta(hours=3))
    post_world.run()
    assert len(office.sent) == 2
    assert office.sent[0].mail["Message-ID"] == office.sent[1].mail["Message-ID"]


def test_a_bounce_without_a_report_is_known_by_its_address(post_world: World, office: PostOffice) -> None:
    take(post_world, letter(REPORT))
    words = "Hi. This is the qmail-send program.\n550 5.1.1 no such user"
    take(post_world, letter(words, sender="MAILER-DAEMON@old.example", to=last(office).sender))
    assert status_of(post_world) == ("undelivered", "5.1.1")


@pytest.mark.parametrize(
    ("refusal", "status", "incident"),
    [
        ("550 5.1.1 no such user", ("failed", "5.1.1"), ("delivery", "email 5.1.1")),
        ("553 bad address", ("failed", "553"), ("delivery", "email 553")),
        ("550 5.7.1 we do not like you", ("failed", "5.7.1"), ("provider", "email 5.7.1")),
        ("530 5.7.0 sign in first", ("failed", "530"), ("provider", "email 530")),
    ],
)
def test_a_refusal_is_told_to_the_operator(
    post_world: World, office: PostOffice, refusal: str, status: tuple[str, str], incident: tuple[str, str]
) -> None:
    office.refuse[WORKER] = refusal
    take(post_world, letter(REPORT))
    assert status_of(post_world) == status
    assert incident in post_world.incidents()


def test_a_server_that_is_busy_is_asked_again(post_world: World, office: PostOffice) -> None:
    office.refuse[WORKER] = "451 4.7.1 greylisted, come back later"
    take(post_world, letter(REPORT))
    assert office.sent == []
    office.refuse.clear()
    post_world.pass_time(timedelta(minutes=5))
    post_world.run()
    assert len(office.to(WORKER)) == 1


def test_a_mail_whose_fate_is_unknown_goes_out_twice_at_most_and_under_one_name(
    post_world: World, office: PostOffice
) -> None:
    office.hang_up = True
    take(post_world, letter(REPORT))
    for _ in range(4):
        post_world.pass_time(timedelta(minutes=10))
        post_world.run()
    assert len(office.sent) == 2
    assert len({str(sent.mail["Message-ID"]) for sent in office.sent}) == 1


# --- the webhook --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "problem", ["none", "secret", "body", "old", "future", "no_time", "odd_time", "odd_signature"]
)
def test_a_mail_that_nobody_signed_is_refused_and_writes_nothing(post_world: World, problem: str) -> None:
    before = kept(post_world)
    raw = letter(REPORT).as_bytes()
    now = time.time()
    if problem == "secret":
        answer = deliver(post_world, raw, secret="another secret of the same")
    elif problem in ("old", "future"):
        answer = deliver(post_world, raw, at=now - 301 if problem == "old" else now + 320)
    else:
        headers = {
            "none": {},
            "body": {"X-Voiceback-Timestamp": str(int(now)), "X-Voiceback-Signature": "sha256=" + "0" * 64},
            "no_time": {"X-Voiceback-Signature": "sha256=" + "0" * 64},
            "odd_time": {"X-Voiceback-Timestamp": "١٢٣", "X-Voiceback-Signature": "sha256=0"},
            "odd_signature": {"X-Voiceback-Timestamp": str(int(now)), "X-Voiceback-Signature": "ü"},
        }[problem]
        encoded = {name: value.encode() for name, value in headers.items()}
        answer = requests.post(f"{post_world.url}/channels/email", data=raw, headers=encoded, timeout=10)
    assert answer.status_code == 403
    assert kept(post_world) == before


def test_what_is_no_mail_is_refused(post_world: World) -> None:
    before = kept(post_world)
    for raw in (b"", b"hello", b"\0\1\2", b"Subject: only\n\nwords", b"{}"):
        assert deliver(post_world, raw).status_code == 400
    assert kept(post_world) == before


def test_a_mail_of_ten_megabytes_is_taken_and_a_longer_one_is_not(
    post_world: World, office: PostOffice
) -> None:
    mail = letter("See the video")
    mail.add_attachment(b"\0" * 7_000_000, maintype="video", subtype="mp4", filename="a.mp4")
    take(post_world, mail)
    (row,) = post_world.rows(tables.Attachment)
    assert row.size == 7_000_000
    assert deliver(post_world, b"From: a@b.example\n\n" + b"x" * mime.MOST_BYTES).status_code == 413


def test_delivery_reports_have_no_webhook_of_their_own(post_world: World) -> None:
    assert requests.post(f"{post_world.url}/channels/email/status", timeout=10).status_code == 403


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    body=st.binary(max_size=400),
    header=st.sampled_from(["", "From: a@b.example\n", "From: =?x?q?\xff?= <a@b>\n"]),
)
def test_no_body_whatever_breaks_the_door(post_world: World, body: bytes, header: str) -> None:
    assert deliver(post_world, header.encode("latin-1") + body).status_code in (200, 400)


_LINES = st.lists(
    st.sampled_from(
        [
            "From: a@b.example",
            'From: "=?utf-8?B?////?=" <x@y.example>',
            "Content-Type: multipart/mixed; boundary=b",
            'Content-Type: multipart/alternative; boundary="b',
            "Content-Type: text/html; charset=no-such-charset",
            "Content-Type: message/rfc822",
            "Content-Type: message/delivery-status",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
            "Content-Type: /;;=",
            "Content-Type: text/plain; charset*=utf-8''%ff; format=flowed",
            "Content-Disposition: attachment; filename*0*=utf-8''%e4; filename*1=x",
            'Content-Disposition: attachment; filename="=?iso-2022-jp?B?GyRC?="',
            "Content-Transfer-Encoding: base64",
            "Content-Transfer-Encoding: quoted-printable",
            "Content-Transfer-Encoding: x-uuencode",
            "Content-Transfer-Encoding: 8bit",
            "Subject: =?gb2312?B?x+u?= =?big5?Q?=A4?=",
            "References: <a@b> <<>> <c",
            "Message-ID: <\xff@x>",
            "To: hotline+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@voiceback.example",
            "",
            "--b",
            "--b--",
            "Action: failed",
            "Status: 5.1.1",
            "> quoted",
            "<html><![CDATA[ <!x <p",
            "begin 644 a",
            "\xff\xfe\x00",
            "=E4=B",
        ]
    ),
    max_size=25,
)


def test_a_mail_that_nobody_can_read_is_kept_as_it_came(
    post_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_raw: bytes) -> None:
        raise AttributeError

    monkeypatch.setattr(mime, "read", stumble)
    raw = letter(REPORT).as_bytes()
    assert deliver(post_world, raw).status_code == 200
    assert deliver(post_world, raw).status_code == 200
    (row,) = post_world.rows(tables.Attachment)
    sealer = post_world.service.sealer
    assert sealer.open_bytes(f"attachment.content_sealed:{row.id}", row.content_sealed) == raw


@settings(max_examples=300, deadline=None, derandomize=True)
@given(lines=_LINES)
def test_no_mail_whatever_breaks_the_reading(lines: list[str]) -> None:
    raw = "\n".join(lines).encode("latin-1")
    read = mime.read(raw)
    assert read is None or isinstance(read.attention, Attention)


# --- nothing leaks ------------------------------------------------------------------------------------


def test_no_log_line_holds_an_address_or_a_word(
    post_world: World,
    office: PostOffice,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    office.refuse[WORKER] = f"550 5.1.1 {WORKER} is unknown"
    take(post_world, letter(REPORT, subject="Secret subject"))
    office.refuse[WORKER] = f"451 4.0.0 {WORKER} later"
    take(post_world, letter(REPORT, subject="Secret subject"))
    told = capsys.readouterr()
    said = (
        told.out + told.err + "".join(r.getMessage() for r in caplog.records if not r.name.startswith("mail"))
    )
    for canary in (WORKER, "siti", "Secret subject", "hit me", SECRET):
        assert canary not in said


def test_without_settings_the_channel_is_off(sqlite_world: World) -> None:
    assert requests.post(f"{sqlite_world.url}/channels/email", data=b"x", timeout=10).status_code == 404
    assert "email" not in registry(Settings.model_validate({}))


# --- a talk that moves ----------------------------------------------------------------------------------


def test_an_answer_to_a_thread_that_was_put_off_goes_on_after_the_question_for_safety(
    post_world: World, office: PostOffice
) -> None:
    take(post_world, letter(REPORT))
    for words in ("yes", "4", "later", "In the evening"):
        take(post_world, reply(last(office), words))
    if conversations(post_world)[0].outcome is None:
        take(post_world, reply(last(office), "48213"))
    assert conversations(post_world)[0].outcome == "later"
    take(post_world, reply(last(office), "I have time now"))
    assert "Is it safe to write here now" in last(office).text
    take(post_world, reply(last(office), "yes"))
    (conversation,) = conversations(post_world)
    assert (conversation.state, conversation.channel) == ("open", "email")
    assert "What did they do?" in last(office).text


def test_an_answer_to_an_old_mail_brings_a_talk_back_that_went_elsewhere(
    post_world: World, office: PostOffice
) -> None:
    take(post_world, letter(REPORT))
    for words in ("yes", "4", "link"):
        take(post_world, reply(last(office), words))
    code = next(
        match[0] for sent in reversed(office.to(WORKER)) if (match := re.search(r"\b\d{8}\b", sent.text))
    )
    post_world.network.text("+6281200000077", code)
    post_world.network.idle()
    post_world.run()
    assert conversations(post_world)[0].channel == "sms"
    mails = len(office.to(WORKER))
    take(post_world, reply(last(office), "I am back at the computer"))
    (conversation,) = conversations(post_world)
    assert (conversation.state, conversation.channel) == ("open", "email")
    assert len(office.to(WORKER)) == mails + 1
    assert "Is it safe to write here now" in last(office).text


# --- another time ---------------------------------------------------------------------------------------


def known_by_mail(world: World, pass_word: str) -> None:
    """A worker who is to be called, and whose mailbox this is by her own act."""
    world.interviewed(Siti(channel="voice" if pass_word else "sms", pass_word=pass_word))
    (callback,) = world.rows(tables.Callback)
    now = world.clock.now()
    with world.service.database.write() as connection:
        box = contacts.remember(connection, world.service.sealer, Address(AddressKind.EMAIL, WORKER), now)
        contacts.join(connection, callback.contact_id, box.id, contacts.How.CODE, now)
        if not pass_word:
            moved = {"address_id": box.id, "channel": Channel.EMAIL}
            connection.execute(update(table(tables.Callback)).values(**moved))


def test_a_time_by_mail_moves_the_callback_behind_her_code(post_world: World, office: PostOffice) -> None:
    known_by_mail(post_world, "4711")
    take(post_world, letter("Sunday evening\n\nBest regards\nSiti"))
    assert "Please write your code" in last(office).text
    take(post_world, reply(last(office), "4711"))
    assert "Sun, Mar 8, 18:00–21:00" in last(office).text
    take(post_world, reply(last(office), "yes"))
    assert (post_world.callback()["state"], post_world.callback()["preference"]) == (
        "scheduled",
        "sun_evening",
    )


def test_without_a_code_a_new_mail_moves_nothing_because_anybody_can_write_any_sender(
    post_world: World, office: PostOffice
) -> None:
    known_by_mail(post_world, "")
    take(post_world, letter("Sunday evening"))
    assert [conversation.flow for conversation in conversations(post_world)] == ["hotline"]
    assert post_world.callback()["preference"] == "evening"
