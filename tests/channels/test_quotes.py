"""Promises of reading: of a reply only the new words count, in every language that we serve."""

from __future__ import annotations

import pytest

from bot.flow import phrases
from bot.flow.catalog import Catalogs
from channels.charsets import decode
from channels.html import text_of
from channels.quotes import MARK, MARK_END, new_words

OURS = "> Is it safe to write here now?\n> 1 Yes\n> 2 No"

ATTRIBUTIONS = {
    "id": "Pada Sen, 2 Mar 2026 pukul 10.00 Line <line@x.example> menulis:",
    "ms": "Pada Isn, 2 Mac 2026 10:00 Line <line@x.example> menulis:",
    "my": "၂ မတ် ၂၀၂၆ 10:00 တွင် Line <line@x.example> က ရေးသားခဲ့သည်:",
    "km": "នៅថ្ងៃ 2 មីនា 2026 10:00 Line <line@x.example> បានសរសេរ៖",
    "zh-Hans": "Line <line@x.example> 于2026年3月2日周一 10:00写道：",
    "zh-Hant": "Line <line@x.example> 於 2026年3月2日 週一 上午10:00寫道：",
    "en": "On Mon, 2 Mar 2026 at 10:00, Line\n<line@x.example> wrote:",
    "hi": "सोम, 2 मार्च 2026 को 10:00 बजे Line <line@x.example> ने लिखा:",
    "ja": "2026年3月2日(月) 10:00 Line <line@x.example>:",
    "kn": "ಸೋಮ, ಮಾರ್ಚ್ 2, 2026 ರಂದು 10:00 ಕ್ಕೆ Line <line@x.example> ಅವರು ಬರೆದಿದ್ದಾರೆ:",
    "mr": "सोम, 2 मार्च, 2026 रोजी 10:00 वाजता Line <line@x.example> ने लिहिलं:",
    "ko": "2026년 3월 2일 (월) 오전 10:00, Line <line@x.example>님이 작성:",
    "pt": "Em seg., 2 de mar. de 2026 às 10:00, Line <line@x.example> escreveu:",
    "fil": "Noong Lun, Mar 2, 2026 nang 10:00 AM, isinulat ni Line <line@x.example>:",
    "ta": "திங்., 2 மார்., 2026, முற்பகல் 10:00 அன்று, Line <line@x.example> எழுதியது:",
    "th": "ในวันที่ จ. 2 มี.ค. 2026 เวลา 10:00 น. Line <line@x.example> เขียนว่า:",
    "vi": "Vào Th 2, 2 thg 3, 2026 vào lúc 10:00 Line <line@x.example> đã viết:",
    "bn": "সোম, ২ মার্চ, ২০২৬ তারিখে 10:00 এ Line <line@x.example> লিখেছেন:",
    "ne": "२०२६ मार्च २, सोमबार १०:०० मा Line <line@x.example> ले लेख्यो:",
    "lo": "ໃນວັນທີ 2 ມີນາ 2026 10:00 Line <line@x.example> ຂຽນວ່າ:",
    "si": "2026 මාර්තු 2, සඳුදා 10:00 ට Line <line@x.example> ලියා ඇත:",
    "ur": "پیر، 2 مارچ، 2026 کو 10:00 بجے Line <line@x.example> نے لکھا:",
    "es": "El lun, 2 mar 2026 a las 10:00, Line (<line@x.example>) escribió:",
}


@pytest.mark.parametrize("language", ATTRIBUTIONS)
def test_a_quote_with_marked_lines_is_cut_in_every_language(language: str) -> None:
    assert new_words(f"1\n\n{ATTRIBUTIONS[language]}\n\n{OURS}") == "1"
    assert new_words(f"1\n{ATTRIBUTIONS[language]}\n{OURS}\n") == "1"


@pytest.mark.parametrize("language", sorted(set(ATTRIBUTIONS) - {"ja"}))
def test_a_quote_without_marked_lines_is_known_by_its_verb(language: str) -> None:
    assert new_words(f"yes\n\n{ATTRIBUTIONS[language]}\n\nIs it safe?\n1 Yes\n2 No") == "yes"


@pytest.mark.parametrize("language", ["en", "id", "my"])
def test_our_own_line_is_a_cut_in_every_language_we_speak(real_catalogs: Catalogs, language: str) -> None:
    marker = f"{MARK} {real_catalogs.tongue(language).text(phrases.WRITE_ABOVE)} {MARK_END}"
    assert new_words(f"1\n\n{marker}\n\nIs it safe?") == "1"
    # A forwarding program that takes the signs for formatting, and one that indents.
    assert new_words(f"1\n\n  **{marker}**\n\nIs it safe?") == "1"


OUTLOOK = {
    "en": "-----Original Message-----\nFrom: Line",
    "id": "-----Pesan Asli-----\nDari: Line",
    "vi": "-----Tin nhắn gốc-----\nTừ: Line",
    "th": "-----ข้อความต้นฉบับ-----\nจาก: Line",
    "zh": "-----原始邮件-----\n发件人: Line",
    "zh-TW": "-----原始郵件-----\n寄件者: Line",
    "ja": "-----元のメッセージ-----\n差出人: Line",
    "ko": "-----원본 메시지-----\n보낸 사람: Line",
    "pt": "-----Mensagem original-----\nDe: Line",
    "line": "________________________________\nFrom: Line",
    "headers": "From: Line <line@x.example>\nSent: Monday, 2 March 2026 10:00\nTo: Siti\nSubject: Your message",
    "headers-id": "Dari: Line <line@x.example>\nTerkirim: Senin, 2 Maret 2026\nKepada: Siti\nSubjek: Pesan Anda",
    "headers-ko": "보낸 사람: Line <line@x.example>\n보낸 날짜: 2026년 3월 2일\n받는 사람: Siti\n제목: x",
}


@pytest.mark.parametrize("program", OUTLOOK)
def test_what_outlook_quotes_is_cut(program: str) -> None:
    assert new_words(f"2\n\n{OUTLOOK[program]}\n\nIs it safe to write here now?\n1 Yes\n2 No") == "2"


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my iPhone",
        "Get Outlook for Android",
        "Dikirim dari Yahoo Mail di Android",
        "Gửi từ iPhone của tôi",
        "ส่งจาก iPhone ของฉัน",
        "iPhoneから送信",
        "나의 iPhone에서 보냄",
        "发自我的iPhone",
        "從我的 iPhone 傳送",
        "Enviado do meu iPhone",
        "Enviado desde mi iPhone",
        "मेरे iPhone से भेजा गया",
        "আমার iPhone থেকে পাঠানো",
    ],
)
def test_what_a_telephone_puts_under_a_mail_is_no_part_of_the_answer(line: str) -> None:
    assert new_words(f"STOP\n\n{line}\n") == "STOP"


def test_an_answer_below_or_within_a_quote_is_read() -> None:
    attribution = ATTRIBUTIONS["en"]
    assert new_words(f"{attribution}\n{OURS}\n\nNo, it is not.") == "No, it is not."
    assert new_words(f"> {MARK} x {MARK_END}\n{OURS}\n\nyes") == "yes"
    assert new_words("> Is it safe?\nyes\n> Where is it?\nDhaka") == "yes\nDhaka"


def test_our_own_question_is_never_read_as_the_answer() -> None:
    assert new_words(f"{MARK} x {MARK_END}\nIs it safe?\n1 Yes") == ""
    assert new_words("\n\n-----Original Message-----\nIs it safe?\n1 Yes") == ""
    assert new_words(OURS) == ""


@pytest.mark.parametrize(
    "words",
    [
        "They said:\nwork or leave",
        "From: my boss I got\na warning",
        "At 10:00 they said to us:\nyou must lie",
        "He wrote",
        "On Monday he hit me\n-- that was in 2026 --\nand again",
        "1. pay\n2. hours",
        "I wrote it down on 3 March 2026 and gave it to the office",
    ],
)
def test_what_a_worker_tells_is_not_taken_for_a_quote(words: str) -> None:
    assert new_words(words) == words


def test_a_signature_ends_the_words_unless_there_are_none_above_it() -> None:
    assert new_words("yes\n-- \nSiti\nLine 3") == "yes"
    assert new_words("-- \nplease help us") == "--\nplease help us"


# --- charsets ---------------------------------------------------------------------------------------

TEXTS = {
    "gb18030": ["我被打了", "老板不给我们工资，我们每天工作十二个小时", "请帮助我", "是"],
    "big5": ["我被打了", "老闆不給我們工資，我們每天工作十二個小時", "請幫助我"],
    "shift_jis": ["助けてください", "給料が払われません。社長に殴られた", "はい"],
    "euc_jp": ["助けてください", "私は毎日十二時間働いています。"],
    "iso2022_jp": ["助けてください"],
    "euc_kr": ["도와주세요", "사장님이 월급을 주지 않습니다.", "네", "아니요"],
    "tis-620": ["ช่วยด้วย", "นายจ้างไม่จ่ายค่าจ้าง ทำงานวันละสิบสองชั่วโมง", "ใช่", "ไม่"],
    "cp1252": ["não", "El jefe no paga. ¿Qué hago, señor?", "it’s not safe"],
    "utf-8": ["မန်နေဂျာက ရိုက်တယ်", "ថៅកែវាយខ្ញុំ", "yes"],
}


@pytest.mark.parametrize(
    "declared", [None, "us-ascii", "iso-8859-1", "utf-8", "x-unknown", "unknown-8bit", "\0"]
)
@pytest.mark.parametrize("charset", TEXTS)
def test_letters_are_found_whatever_was_declared(charset: str, declared: str | None) -> None:
    for words in TEXTS[charset]:
        assert decode(words.encode(charset), declared) == words


@pytest.mark.parametrize(
    ("declared", "charset"),
    [
        *(("gb2312", "gb18030"), ("GBK", "gb18030"), ("big5", "big5"), ("Shift_JIS", "cp932")),
        *(
            ("ks_c_5601-1987", "cp949"),
            ("windows-874", "cp874"),
            ("iso-8859-11", "tis-620"),
            ("'utf-8'", "utf-8"),
        ),
    ],
)
def test_names_that_programs_use_for_charsets_are_known(declared: str, charset: str) -> None:
    for words in TEXTS.get(charset, TEXTS["gb18030"] if charset == "gb18030" else []):
        assert decode(words.encode(charset), declared) == words


def test_bytes_that_no_charset_explains_are_still_a_text() -> None:
    assert decode(b"\xff\x00\x81 ok", "utf-8").endswith("ok")
    assert decode("\ufeffhello".encode("utf-16"), None).endswith("hello")
    assert decode(b"+ZeVnLIqe-", "utf-7") == "日本語"


# --- HTML -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<div>a</div><blockquote>old<div>older</div></blockquote>", "a\n> old\n> older"),
        ("<div class=gmail_quote>old</div>new", "> old\nnew"),
        ("<script>alert(1)</script><style>x</style>yes", "yes"),
        ("&lt;b&gt; &amp; &#128546; &nbsp;x", "<b> & 😢 \u00a0x"),
        ("<img src=x onerror=y alt='z'>hello <!-- secret -->", "hello"),
        ("<p>open <b>never <i>closed", "open never closed"),
        ("<pre>a\nb</pre>", "a\nb"),
        ("<table><tr><td>1</td><td>Yes</td></tr></table>", "1Yes"),
        ("<" * 500 + "div" * 10, "<" * 500 + "div" * 10),
    ],
)
def test_html_becomes_lines_of_text(markup: str, words: str) -> None:
    assert text_of(markup) == words
