"""Files at Twilio: where our password goes and where it does not, how much is taken, and what each answer means."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from werkzeug.wrappers import Request, Response

from bot.errors import SendError, SendOutcome
from bot.messages import Brought
from bot.settings import Settings
from channels import twilio_store
from channels.twilio_store import download, fetch_media
from tests.journeys.world import ACCOUNT, TOKEN, serving

PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1234/Media/ME1234"
PASSWORD = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
CONTENT = b"a picture"


@dataclass
class Storehouse:
    """What stands at Twilio's place: answers as told, and remembers who asked how."""

    url: str = ""
    answers: list[Callable[[], Response]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, environ: dict[str, object], start: object) -> object:
        request = Request(environ)
        self.asked.append((request.path, request.headers.get("Authorization", "")))
        return self.answers.pop(0)()(environ, start)  # type: ignore[arg-type]  # the same

    def settings(self) -> Settings:
        """Settings that lead here."""
        given = {"twilio_account_sid": ACCOUNT, "twilio_auth_token": TOKEN, "twilio_api_base": self.url}
        return Settings.model_validate(given)

    def fetch(self) -> Brought | None:
        """The file, as a channel asks for it."""
        return fetch_media(self.settings(), f"https://api.twilio.com{PATH}")


@pytest.fixture
def storehouse() -> Iterator[Storehouse]:
    """A storehouse that listens."""
    made = Storehouse()
    with serving(made) as made.url:
        yield made


def leads(to: str) -> Callable[[], Response]:
    """An answer that leads elsewhere."""
    return lambda: Response(status=307, headers={"Location": to})


def says(status: int = 200, body: bytes = CONTENT, kind: str = "image/png") -> Callable[[], Response]:
    """An answer."""
    return lambda: Response(body, status, mimetype=kind)


def test_the_password_goes_to_the_api_and_to_no_storehouse(storehouse: Storehouse) -> None:
    storehouse.answers = [leads("/elsewhere/file?key=1"), says()]
    assert storehouse.fetch() == Brought(CONTENT, "image/png")
    assert storehouse.asked == [(PATH, PASSWORD), ("/elsewhere/file", "")]


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest",
        "https://evil.example/twilio.com",
        "https://api.twilio.com.evil.example/x",
        "http://media.twiliocdn.com/x",
        "file:///etc/hosts",
        "//evil.example/x",
    ],
)
def test_nobody_can_lead_us_to_another_place(storehouse: Storehouse, place: str) -> None:
    storehouse.answers = [leads(place)]
    with pytest.raises(SendError) as refused:
        storehouse.fetch()
    assert (refused.value.outcome, refused.value.code) == (SendOutcome.RETRYABLE, "led_astray")
    assert len(storehouse.asked) == 1


def test_a_circle_of_addresses_has_an_end(storehouse: Storehouse) -> None:
    storehouse.answers = [leads("/round") for _ in range(9)]
    with pytest.raises(SendError):
        storehouse.fetch()
    assert len(storehouse.asked) < 9


@pytest.mark.parametrize(
    "ref",
    [
        "http://127.0.0.1/private",
        "https://api.twilio.com/2010-04-01/Accounts/ACother/Messages/MM1234/Media/ME1234",
        f"https://api.twilio.com{PATH}/../../../Calls",
        "",
        "not an address",
    ],
)
def test_what_is_no_file_of_our_account_is_never_asked_for(storehouse: Storehouse, ref: str) -> None:
    with pytest.raises(SendError) as refused:
        fetch_media(storehouse.settings(), ref)
    assert (refused.value.outcome, refused.value.code) == (SendOutcome.PERMANENT, "not_ours")
    assert storehouse.asked == []


def test_no_more_is_taken_than_a_channel_takes(storehouse: Storehouse) -> None:
    most = len(CONTENT)
    storehouse.answers = [says(), says(body=CONTENT + b"!")]
    assert download(storehouse.settings(), "/Recordings/RE1.wav", most) == Brought(CONTENT, "image/png")
    with pytest.raises(SendError) as refused:
        download(storehouse.settings(), "/Recordings/RE1.wav", most)
    assert (refused.value.outcome, refused.value.code) == (SendOutcome.PERMANENT, "too_large")


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_none(storehouse: Storehouse, status: int) -> None:
    storehouse.answers = [says(status)]
    assert storehouse.fetch() is None


@pytest.mark.parametrize(
    ("status", "outcome", "action"),
    [
        (401, SendOutcome.PERMANENT, "operator"),
        (403, SendOutcome.PERMANENT, "operator"),
        (429, SendOutcome.RETRYABLE, ""),
        (500, SendOutcome.RETRYABLE, ""),
        (503, SendOutcome.RETRYABLE, ""),
    ],
)
def test_an_answer_that_is_no_file_has_its_outcome(
    storehouse: Storehouse, status: int, outcome: SendOutcome, action: str
) -> None:
    storehouse.answers = [says(status)]
    with pytest.raises(SendError) as refused:
        storehouse.fetch()
    assert (refused.value.outcome, refused.value.action, refused.value.code) == (outcome, action, str(status))


def test_a_storehouse_that_is_shut_is_not_the_operators_to_mend(storehouse: Storehouse) -> None:
    storehouse.answers = [leads("/elsewhere"), says(403)]
    with pytest.raises(SendError) as refused:
        storehouse.fetch()
    assert (refused.value.outcome, refused.value.action) == (SendOutcome.RETRYABLE, "")


def test_a_file_that_never_ends_is_left_for_later(
    storehouse: Storehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio_store, "_MOST_SECONDS", -1.0)
    storehouse.answers = [says()]
    with pytest.raises(SendError) as refused:
        storehouse.fetch()
    assert (refused.value.outcome, refused.value.code) == (SendOutcome.RETRYABLE, "slow")


def test_nobody_at_home_tells_no_address_and_no_password(storehouse: Storehouse) -> None:
    storehouse.url = "http://127.0.0.1:9"
    with pytest.raises(SendError) as refused:
        storehouse.fetch()
    assert refused.value.outcome is SendOutcome.RETRYABLE
    assert refused.value.__suppress_context__
    assert TOKEN not in str(refused.value)
