"""The forms that come to the REST API and the pages of a list that go out, for every resource of 2010-04-01."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from simulator.errors import RestError
from simulator.records import Json

Form = dict[str, list[str]]


async def read_form(request: web.Request) -> Form:
    """The form of a request, each name with all its values."""
    data = await request.post()
    form: Form = {}
    for name, value in data.items():
        form.setdefault(name, []).append(str(value))
    return form


def one_of(form: Mapping[str, list[str]], name: str) -> str:
    """The last value of ``name``, or an empty text."""
    values = form.get(name)
    return values[-1] if values else ""


def flag_of(form: Mapping[str, list[str]], name: str) -> bool | None:
    """A truth of the form, or None if it is not there; anything but ``true`` is false, as at Twilio."""
    return one_of(form, name).lower() == "true" if name in form else None


def whole(text: str | None, default: int) -> int:
    """A whole number, or ``default`` for anything else."""
    return int(text) if text and text.isdigit() else default


def require_url(url: str, code: int) -> None:
    """:class:`RestError` with ``code`` unless ``url`` is absolute. Twilio refuses host names with an underscore."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "_" in parts.hostname:
        raise RestError(code)


def page_of(request: web.Request, key: str, rows: list[Json]) -> web.Response:
    """One page of ``rows`` (``PageSize``, ``Page``) with the addresses of its neighbours."""
    size = min(max(whole(request.query.get("PageSize"), 50), 1), 1000)
    page = whole(request.query.get("Page"), 0)
    first = page * size
    more = first + size < len(rows)

    def address(number: int) -> str:
        kept = [(name, value) for name, value in request.query.items() if name not in ("Page", "PageToken")]
        return f"{request.path}?{urlencode([*kept, ('Page', str(number))])}"

    return web.json_response(
        {
            key: rows[first : first + size],
            "page": page,
            "page_size": size,
            "start": first,
            "end": min(first + size, len(rows)) - 1,
            "uri": address(page),
            "first_page_uri": address(0),
            "next_page_uri": address(page + 1) if more else None,
            "previous_page_uri": address(page - 1) if page else None,
        }
    )
