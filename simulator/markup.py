"""HTML of mails, made harmless: words, paragraphs, lists, tables and quotes stay; nothing that could load or run does."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

KEPT = frozenset(
    ["p", "div", "span", "b", "strong", "i", "em", "u", "s", "br", "hr", "ul", "ol", "li", "blockquote", "pre", "code",
     "h1", "h2", "h3", "h4", "h5", "h6", "table", "tbody", "thead", "tr", "td", "th"]
)  # fmt: skip
ALONE = frozenset({"br", "hr"})
DROPPED = frozenset(
    {"script", "style", "head", "title", "iframe", "object", "svg", "math", "template", "noscript"}
)
"""Left out with everything inside."""


class _Harmless(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._open: list[str] = []
        self._dropped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in DROPPED:
            self._dropped += 1
        elif self._dropped:
            return
        elif tag == "img":
            self.parts.append(f"<em>[picture not loaded{_described(dict(attrs).get('alt'))}]</em>")
        elif tag in KEPT:
            self.parts.append(f"<{tag}>")
            if tag not in ALONE:
                self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in DROPPED:
            self._dropped = max(0, self._dropped - 1)
        elif tag in self._open and not self._dropped:
            while (last := self._open.pop()) != tag:
                self.parts.append(f"</{last}>")
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self.parts.append(escape(data))

    def finished(self) -> str:
        self.close()
        return "".join([*self.parts, *(f"</{tag}>" for tag in reversed(self._open))])


def harmless(html: str) -> str:
    """The HTML with allowed elements only and no attribute at all; a picture becomes a note that it was not loaded."""
    parser = _Harmless()
    parser.feed(html)
    return parser.finished()


def _described(words: str | None) -> str:
    return f": {escape(words)}" if words else ""
