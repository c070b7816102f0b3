"""The tabs of a phone on the phone page: what each shows, counts, sends, and never loads."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
import requests
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from simulator import server
from simulator.markup import harmless
from simulator.records import account_of
from tests.browser import NewPage
from tests.simulator.conftest import HOTLINE, TOKEN, WORKER, Customer, Twilio, connect, eventually
from tests.simulator.test_whatsapp import BUTTONS, HANDSET, LINE, LIST, make, open_to, world_of

OTHER = "+923001234567"
LETTERS = "6281200000001@mail.example"
SMALL = {"width": 360, "height": 740}
BOT = "123456:make-believe"


@pytest.fixture
def phones(customer: Customer) -> Iterator[Twilio]:
    """Two phones that have everything."""
    mail = {"address": "line@voiceback.example", "imap_user": "line", "imap_password": "secret"}
    people = [{"number": WORKER, "name": "Siti"}, {"number": OTHER, "name": "نور", "language": "ur"}]
    config = world_of(customer, mail=mail, telegram={"token": BOT, "name": "Worker line"}, handsets=people)
    running = server.start(config)
    yield open_to(running.url)
    running.stop()


def opened(phones: Twilio, browser: NewPage, tab: str, number: str = WORKER, **options: Any) -> Tab:
    page = browser(**options)
    page.goto(f"{phones.url}/#{number.replace('+', '%2B')}/{tab}")
    expect(page.get_by_role("tab", selected=True)).to_have_id(f"tab-{tab}")
    return page


def status_of(phones: Twilio, body: str) -> str:
    rows = phones.get("/sim/state", parts="messages")["messages"]
    return str(next(row["status"] for row in rows if row["body"] == body))


def send_mail(phones: Twilio, subject: str, plain: str, html: str = "") -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "line@voiceback.example", LETTERS, subject
    mail["Message-ID"] = f"<{subject.replace(' ', '.')}@voiceback.example>"
    mail.set_content(plain)
    if html:
        mail.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", phones.get("/sim/mail")["port"], timeout=10) as sender:
        sender.send_message(mail)


def test_each_tab_counts_what_is_new_until_it_is_looked_at(phones: Twilio, browser: NewPage) -> None:
    phones.post("/sim/sms", **{"from": HANDSET, "to": LINE, "body": "Halo"})
    for number, line in ((WORKER, HOTLINE), (HANDSET, LINE)):
        phones.client.messages.create(to=number, from_=line, body=f"to {number}")
    send_mail(phones, "One", "x")
    phones.idle()
    page = opened(phones, browser, "phone")
    counts = page.locator("#tabs .count")
    expect(counts).to_have_text(["", "1", "1", "", "1"])
    expect(page.get_by_role("button", name="Siti").locator(".badge")).to_have_text("3 new")
    page.get_by_role("tab", name="SMS").click()
    expect(counts).to_have_text(["", "", "1", "", "1"])
    assert status_of(phones, f"to {HANDSET}") == "delivered"
    page.reload()
    expect(counts).to_have_text(["", "", "1", "", "1"])
    page.get_by_role("tab", name="WhatsApp").click()
    eventually(lambda: status_of(phones, f"to {HANDSET}") == "read")
    expect(page.locator("#chat")).to_contain_text("read")


def test_a_missed_call_counts_until_the_calls_are_looked_at(phones: Twilio, browser: NewPage) -> None:
    phones.script("no-answer")
    phones.call(url="http://127.0.0.1:9/")
    phones.idle()
    page = opened(phones, browser, "sms")
    expect(page.locator("#tab-phone .count")).to_have_text("1")
    page.get_by_role("tab", name="Phone").click()
    expect(page.locator("#calls")).to_contain_text("no-answer")
    page.get_by_role("tab", name="SMS").click()
    expect(page.locator("#tab-phone .count")).to_have_text("")


def test_whatsapp_tells_whether_it_is_open_and_what_did_not_arrive(phones: Twilio, browser: NewPage) -> None:
    page = opened(phones, browser, "whatsapp", viewport=SMALL)
    expect(
        page.get_by_role("tabpanel").get_by_text(f"Write to {HOTLINE} to reach the hotline")
    ).to_be_visible()
    expect(page.get_by_text("Closed: only approved notices arrive")).to_be_visible()
    phones.client.messages.create(to=HANDSET, from_=LINE, body="Too early")
    expect(page.locator(".lost")).to_contain_text("63016, the window is closed")
    page.get_by_label("Write on WhatsApp").fill("Halo")
    page.get_by_label("Write on WhatsApp").press("Enter")
    expect(page.get_by_text("Open until")).to_be_visible()
    page.get_by_role("button", name="Close now").click()
    expect(page.get_by_role("button", name="Open now")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL["width"]


def test_whatsapp_has_buttons_a_list_and_a_switch_that_hides_the_number(
    phones: Twilio, customer: Customer, browser: NewPage
) -> None:
    phones.post("/sim/window", number=WORKER, open=True)
    for types in (BUTTONS, LIST):
        sid = make(phones, types, next(iter(types))).sid
        phones.client.messages.create(to=HANDSET, from_=LINE, content_sid=sid)
    page = opened(phones, browser, "whatsapp")
    page.get_by_role("button", name="Yes", exact=True).click()
    expect(page.locator("#chat .me .words")).to_have_text(["Yes"])
    page.get_by_text("☰ 1–2").click()
    page.get_by_role("button", name="Hours").click()
    expect(page.locator("#chat .me .words")).to_have_text(["Yes", "Hours"])
    page.get_by_label("Hide my number").check()
    eventually(lambda: bool(phones.get("/sim/handsets")[0]["hides_number"]))
    page.get_by_label("Write on WhatsApp").fill("Halo")
    page.get_by_role("button", name="Send").click()
    eventually(lambda: len(customer.forms("/whatsapp")) == 3)
    yes, hours, text = customer.forms("/whatsapp")
    assert (yes["ButtonPayload"], hours["ListId"]) == ("yes:x", "hours:x")
    assert text["From"] == f"whatsapp:{account_of(WORKER)}"
    assert WORKER not in str(text)


def test_a_picture_a_voice_note_and_a_file_of_ones_own_are_sent_and_shown(
    phones: Twilio, customer: Customer, browser: NewPage
) -> None:
    page = opened(phones, browser, "whatsapp")
    panel = page.get_by_role("tabpanel")
    page.get_by_label("Write on WhatsApp").fill("Lihat")
    panel.get_by_role("button", name="Picture").click()
    expect(page.locator("#chat img")).to_be_visible()
    panel.get_by_role("button", name="Voice").click()
    expect(page.locator("#chat audio")).to_be_visible()
    own = {"name": "slip.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4"}
    panel.locator("input[type=file]").set_input_files(own)  # type: ignore[arg-type]  # a FilePayload is such a dict
    expect(page.get_by_role("link", name="slip.pdf")).to_be_visible()
    eventually(lambda: len(customer.forms("/whatsapp")) == 3)
    forms = customer.forms("/whatsapp")
    assert [form["MediaContentType0"] for form in forms] == ["image/jpeg", "audio/ogg", "application/pdf"]
    assert [form["MessageType"] for form in forms] == ["image", "audio", "document"]
    assert [form["Body"] for form in forms] == ["Lihat", "", ""]
    shown = requests.get(phones.url + str(page.locator("#chat img").get_attribute("src")), timeout=10)
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in shown.headers["Content-Security-Policy"]


def test_tabs_are_walked_with_arrow_keys_and_a_draft_stays_on_its_phone(
    phones: Twilio, browser: NewPage
) -> None:
    page = opened(phones, browser, "phone")
    page.get_by_role("tab", name="Phone").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="SMS")).to_be_focused()
    expect(
        page.get_by_role("tabpanel").get_by_text(f"Write to {HOTLINE} to reach the hotline")
    ).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_text("Write to line@voiceback.example to reach the hotline")).to_be_visible()
    page.get_by_label("Write a mail").fill("half a word")
    page.get_by_role("button", name="نور").click()
    expect(page.get_by_label("Write a mail")).to_have_value("")
    page.get_by_role("button", name="Siti").click()
    expect(page.get_by_label("Write a mail")).to_have_value("half a word")


def test_telegram_begins_with_the_link_of_the_card_and_has_files_and_a_block(
    phones: Twilio, browser: NewPage
) -> None:
    page = opened(phones, browser, "telegram", OTHER, viewport=SMALL)
    expect(page.get_by_text("Press START to reach the bot “Worker line”")).to_be_visible()
    page.get_by_label("Link or number from the card").fill("https://t.me/make_believe_bot?start=c42")
    page.get_by_role("button", name="START").click()
    expect(page.locator("#tg-chat")).to_contain_text("/start c42")
    page.get_by_role("tabpanel").get_by_role("button", name="Picture").click()
    expect(page.locator("#tg-chat img")).to_be_visible()
    page.get_by_role("button", name="Share my number").click()
    expect(page.locator("#tg-chat")).to_contain_text(OTHER)
    page.get_by_role("button", name="Block the bot").click()
    expect(page.get_by_text("You blocked the bot")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL["width"]


def test_a_mail_shows_no_picture_from_elsewhere_and_is_answered_with_its_quote_and_a_file(
    phones: Twilio, browser: NewPage
) -> None:
    poison = (
        "<style>p{background:url(http://elsewhere.example/a)}</style><p onclick='x()' style='color:red'>Hello "
        "<b>you</b></p><img src='http://elsewhere.example/seen.png' alt='logo'><script>document.title='x'</script>"
        "<a href='javascript:x()'>link</a><iframe src='http://elsewhere.example/'></iframe>"
    )
    send_mail(phones, "First", "Question one", poison)
    send_mail(phones, "Second", "Question two")
    page = opened(phones, browser, "mail", viewport=SMALL)
    page.get_by_text("As its sender made it").click()
    expect(page.locator(".html")).to_have_text("Hello you[picture not loaded: logo]link")
    page.get_by_role("button", name="Reply to this").first.click()
    expect(page.get_by_text("Reply answers “First”")).to_be_visible()
    page.get_by_label("Write a mail").fill("yes")
    page.get_by_role("tabpanel").get_by_role("button", name="Picture").click()
    expect(page.get_by_role("list", name="Attached")).to_contain_text("picture.jpg")
    page.get_by_role("button", name="Reply", exact=True).click()
    expect(page.locator("#mail-letters li.me img")).to_be_visible()
    sent = phones.get("/sim/mail")["boxes"][WORKER][-1]
    assert (sent["subject"], sent["text"]) == ("Re: First", "yes")
    assert "> Question one" in sent["quote"]
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL["width"]


def test_what_was_not_configured_has_no_tab(customer: Customer, browser: NewPage) -> None:
    running = server.start(
        {"account_sid": "AC" + "0" * 32, "auth_token": TOKEN, "handsets": [{"number": WORKER}]}
    )
    try:
        page = browser()
        page.goto(f"{connect(running.url).url}/#{WORKER.replace('+', '%2B')}/whatsapp")
        expect(page.get_by_role("tab")).to_have_text(["Phone"])
        expect(page.get_by_role("tabpanel")).to_have_id("panel-phone")
        page.goto("about:blank")
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<p>a</p>", "<p>a</p>"),
        ("<P CLASS=x>a &lt;b&gt; &amp;", "<p>a &lt;b&gt; &amp;</p>"),
        ("<b><i>a</b>b", "<b><i>a</i></b>b"),
        ("</div>a</p>", "a"),
        ("<script>a<b>c</script>d", "d"),
        ("<svg><p>a</p></svg>b", "b"),
        ("<!-- a --><a href='x'>b</a>", "b"),
        ("<img alt='\"><script>'>", "<em>[picture not loaded: &quot;&gt;&lt;script&gt;]</em>"),
        ("<ul><li>a<br>b</ul>", "<ul><li>a<br>b</li></ul>"),
    ],
)
def test_html_of_mails_is_made_harmless(given: str, shown: str) -> None:
    assert harmless(given) == shown
