"""The new words of a mail: without what its program quoted, and without the signature it added.

Three things are looked for. The marker line, which we write above each of our own mails in the worker's
language and know again by its signs in any. Lines that begin with ``>``, together with the line above
them that ends with a colon: that is how programs say "On … she wrote:" in every language. And the
separators that Outlook and webmail write, in the languages that we serve. If nothing is left above a quote,
the worker wrote below it.
"""

from __future__ import annotations

import re
from typing import Final

MARK: Final = "##-"
MARK_END: Final = "-##"
_LONGEST_ATTRIBUTION: Final = 3
"""Lines over which programs wrap "On …, … wrote:"."""

_SHORTEST_WRAPPED: Final = 25

_QUOTED: Final = re.compile(r"\s{0,3}[>＞|]")
_MARKER: Final = re.compile(re.escape(MARK) + r".*" + re.escape(MARK_END))
_COLON: Final = re.compile(r"[:：៖]\s*$")

_ORIGINAL: Final = "|".join(
    (
        *(
            "original message",
            "forwarded message",
            "original appointment",
            "reply message",
            "begin forwarded",
        ),
        *("pesan asli", "pesan terusan", "mesej asal", "mensagem original", "mensagem encaminhada"),
        *("mensaje original", "mensaje reenviado", "mensaje anterior", "orihinal na mensahe"),
        *("tin nhắn gốc", "thư gốc", "thư đã chuyển tiếp", "ข้อความต้นฉบับ", "ข้อความเดิม"),
        *(
            "原始邮件",
            "原始郵件",
            "转发的邮件",
            "轉寄的郵件",
            "原邮件",
            "元のメッセージ",
            "転送されたメッセージ",
        ),
        *("원본 메시지", "전달된 메시지", "원본 메일", "मूल संदेश", "मूल सन्देश", "अग्रेषित संदेश"),
        *("মূল বার্তা", "அசல் செய்தி", "ಮೂಲ ಸಂದೇಶ", "මුල් පණිවිඩය", "اصل پیغام", "မူရင်းစာ", "សារដើម", "ຂໍ້ຄວາມຕົ້ນສະບັບ"),
    )
)
_SEPARATOR: Final = re.compile(
    rf"\s*(?:-{{2,}}|_{{2,}}|={{2,}}|\*{{2,}})\s*(?:{_ORIGINAL})\b.*|_{{20,}}\s*", re.IGNORECASE
)

_FROM: Final = re.compile(
    r"\s*\*?(?:from|dari|daripada|de|mula sa|từ|จาก|发件人|寄件者|寄件人|差出人|送信者|보낸 사람|보낸사람|"
    r"प्रेषक|से|প্রেরক|থেকে|அனுப்புநர்|ಇಂದ|පෙර|منجانب|از طرف|ပေးပို့သူ|မှ|ពី|ຈາກ)\*?\s*[:：៖]\s*\S",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(r"\s*\*?[^\s:：៖][^:：៖]{0,24}\*?\s*[:：៖]\s*\S")
"""A line like ``Sent: Monday``; two of them under a line with the sender make a quoted header."""

_WROTE: Final = re.compile(
    r"(?:wrote|menulis|escreveu|escribió|sumulat|isinulat ni.*|nagsulat|đã viết|viết|เขียนว่า|เขียน|写道|寫道|"
    r"書きました|のメール|님이 작성|작성|썼습니다|ने लिखा|को लिखा|लिखते हैं|लिहिले|ने लिहिलं|लेख्नुभयो|ले लेख्यो|"
    r"লিখেছেন|লিখেছে|எழுதியது|எழுதினார்|ಬರೆದರು|ಬರೆದಿದ್ದಾರೆ|ලිව්වා|ලියා ඇත|نے لکھا|ရေးသားခဲ့သည်|ရေးခဲ့သည်|"
    r"បានសរសេរ|ຂຽນວ່າ|ຂຽນ)\s*[:：៖]?\s*$",
    re.IGNORECASE,
)
_DATED: Final = re.compile(
    r"\d{4}|[0-9]{1,2}[:.][0-9]{2}|[٠-٩۰-۹०-९০-৯௦-௯೦-೯๐-๙၀-၉០-៩໐-໙]{2,4}|<[^<>@\s]+@[^<>@\s]+>|\S+@\S+"
)
"""Somewhere in "On …, … wrote:" stands a year, a time or an address; a worker's own sentence rarely ends so."""

_SIGNATURE: Final = re.compile(r"--\s?")
_PHONE_LINE: Final = re.compile(
    r"\s*(?:sent (?:from|via|with|by) (?:my |the )?.{1,60}|get outlook for .{1,40}|"
    r"dikirim (?:dari|melalui|menggunakan|oleh) .{1,60}|dihantar (?:dari|daripada|menggunakan) .{1,60}|"
    r"enviado (?:do|a partir do|pelo|via|desde|con|mediante) .{1,60}|(?:obter|obtener) (?:o )?outlook .{1,40}|"
    r"ipinadala (?:mula sa|gamit ang|mula) .{1,60}|(?:được )?gửi từ .{1,60}|đã gửi từ .{1,60}|"
    r"ส่ง(?:จาก|ด้วย).{1,60}|.{1,40}から送信|.{0,20}(?:发自|從我的|发送自|傳送自|来自).{1,60}|从我的.{1,40}发送|"
    r".{1,40}에서 보냄|나의 .{1,40}에서 보낸 메일|.{1,60} से भेजा गया|.{1,60} वरून पाठवले|.{1,60} बाट पठाइएको|"
    r".{1,60} থেকে (?:পাঠানো|প্রেরিত).{0,20}|.{1,60}(?:இலிருந்து|லிருந்து) அனுப்பப்பட்டது|.{1,60} ನಿಂದ ಕಳುಹಿಸಲಾಗಿದೆ|"
    r".{1,60} سے بھیجا گیا|.{1,60} වෙතින් යවන ලදි|.{1,60}မှ ပေးပို့.{0,20}|(?:បាន)?ផ្ញើ(?:ចេញ)?ពី.{1,60}|ສົ່ງຈາກ.{1,60})\s*",
    re.IGNORECASE,
)


def new_words(text: str) -> str:
    """What the worker wrote in this mail. Empty if there is nothing but quotes."""
    lines = _clean(text).split("\n")
    end = next((n for n in range(len(lines)) if _begins_quote(lines, n)), len(lines))
    above = _unquoted(lines[:end])
    return above or _unquoted(_below(lines[end:]))


def _clean(text: str) -> str:
    cleaned = text.replace("\r\n", "\n").replace("\r", "\n")
    return cleaned.replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "")


def _begins_quote(lines: list[str], n: int) -> bool:
    """Whether everything from line ``n`` on is what the program quoted."""
    line = lines[n]
    if not line.strip() or _QUOTED.match(line):
        return False
    if _MARKER.search(line) or _SEPARATOR.fullmatch(line) or _is_header(lines, n):
        return True
    return _attribution(lines, n) > 0


def _is_header(lines: list[str], n: int) -> bool:
    """``From: …`` and below it at least two more lines of a quoted header, as Outlook writes it."""
    if not _FROM.match(lines[n]):
        return False
    following = [line for line in lines[n + 1 : n + 6] if line.strip()]
    return sum(bool(_HEADER.match(line)) for line in following[:3]) >= 2


def _attribution(lines: list[str], n: int) -> int:
    """How many lines "On … she wrote:" takes that begins in line ``n``; 0 if none begins there."""
    joined = ""
    for length in range(1, _LONGEST_ATTRIBUTION + 1):
        if n + length > len(lines) or not (line := lines[n + length - 1].strip()) or _QUOTED.match(line):
            return 0
        if length == 2 and not (len(joined) >= _SHORTEST_WRAPPED and _DATED.search(joined)):
            # So short a line was not wrapped by a program: a worker wrote it.
            return 0
        joined = f"{joined} {line}".strip()
        if len(joined) > 300:
            return 0
        if not _DATED.search(joined):
            continue
        quoted_below = _is_quoted(_next(lines, n + length))
        if _WROTE.search(joined) or (_COLON.search(joined) and quoted_below):
            return length
    return 0


def _next(lines: list[str], n: int) -> str:
    return next((line for line in lines[n : n + 3] if line.strip()), "")


def _is_quoted(line: str) -> bool:
    return bool(_QUOTED.match(line))


def _unquoted(lines: list[str]) -> str:
    """The lines that are not quoted, up to the signature."""
    kept = [line for line in lines if not _is_quoted(line)]
    sign = next((n for n, line in enumerate(kept) if _SIGNATURE.fullmatch(line.strip("\n"))), len(kept))
    if any(line.strip() for line in kept[:sign]):
        kept = kept[:sign]
    while kept and (not kept[-1].strip() or _PHONE_LINE.fullmatch(kept[-1])):
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in kept)).strip()


def _below(lines: list[str]) -> list[str]:
    """What stands under a quote whose every line is marked: there a worker writes who scrolls down first."""
    if not lines or _MARKER.search(lines[0]) or _SEPARATOR.fullmatch(lines[0]) or _is_header(lines, 0):
        # Nothing marks the end of such a quote, and our own question must never be read as the answer.
        return []
    return lines[_attribution(lines, 0) :]
