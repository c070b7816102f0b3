"""The words of an HTML mail, as lines of plain text. Nothing is loaded, nothing is run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

_BLOCKS: Final = frozenset(
    {
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "center",
            "dd",
            "div",
            "dl",
            "dt",
            "fieldset",
            "figure",
        ),
        *(
            "footer",
            "form",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "header",
            "hr",
            "li",
            "main",
            "nav",
            "ol",
            "p",
        ),
        *("pre", "section", "table", "tbody", "thead", "tr", "ul"),
    }
)
_HIDDEN: Final = frozenset({"head", "style", "script", "title", "noscript", "template", "object", "svg"})
_QUOTES: Final = frozenset(
    {"gmail_quote", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote", "x_gmail_quote"}
)
_VOID: Final = frozenset(
    {*("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")}
)
_DEEPEST: Final = 200


class _Reader(HTMLParser):
    """Gathers lines; those within a quote begin with ``>``, as they would in a plain mail."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self._line = ""
        self._open: list[tuple[str, bool]] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins: blocks begin a line, quotes are marked."""
        if tag == "br":
            self._end_line(blank=True)
        elif tag in _BLOCKS:
            self._end_line()
        if tag in _VOID or len(self._open) >= _DEEPEST:
            return
        classes = " ".join(value or "" for name, value in attrs if name in ("class", "id")).split()
        quotes = tag == "blockquote" or any(word in _QUOTES for word in classes)
        self._open.append((tag, quotes))
        self._hidden += tag in _HIDDEN

    def handle_endtag(self, tag: str) -> None:
        """An element ends, and with it what was left open inside."""
        if tag in _BLOCKS:
            self._end_line()
        if tag not in {name for name, _ in self._open}:
            return
        while self._open:
            name, _ = self._open.pop()
            self._hidden -= name in _HIDDEN
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        """Words; spaces mean what they mean in HTML."""
        if self._hidden:
            return
        if any(name == "pre" for name, _ in self._open):
            for n, line in enumerate(data.split("\n")):
                if n:
                    self._end_line(blank=True)
                self._line += line
            return
        self._line += re.sub(r"[ \t\r\n\f]+", " ", data)

    def finish(self) -> str:
        """All lines."""
        self.close()
        self._end_line()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines)).strip("\n")

    def _end_line(self, *, blank: bool = False) -> None:
        """End the line; an empty one is kept if it was meant (``blank``)."""
        line, self._line = self._line.strip(" "), ""
        if line or (blank and self.lines and self.lines[-1].strip("> ")):
            depth = sum(quotes for _, quotes in self._open)
            self.lines.append(f"{'>' * min(depth, 5)} {line}".strip() if depth else line)


def text_of(markup: str) -> str:
    """The text of an HTML document, however broken it is."""
    reader = _Reader()
    try:
        reader.feed(markup)
        return reader.finish()
    except (AssertionError, ValueError):
        # The parser of the standard library gives up on some broken declarations; then the tags are cut out.
        return re.sub(r"<[^>]*>", " ", markup).strip()
