"""``voiceback doctor``: everything that must be right before a worker relies on us, checked one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from twilio.base.exceptions import TwilioException, TwilioRestException

from bot import agents, health, queue
from bot.audits import factories
from bot.callbacks import modes, policies
from bot.callbacks.policy import REST_OF_THE_WORLD, Mode, Policy, Shifts
from bot.errors import ConfigurationError, SendError
from bot.flow.catalog import Catalogs
from bot.flow.check import spoken_texts
from bot.flow.library import Library
from bot.privacy import keys
from bot.service import Service, open_service
from bot.settings import Lines, Settings
from channels import mailbox, smtp
from channels.telegram import UPDATES, Telegram
from channels.twilio_api import RETRY_HINT, client_of
from channels.voice import VOICES


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``level`` is ok, off, warning or error; the message says what to do."""

    level: str
    subject: str
    message: str

    def as_data(self) -> dict[str, str]:
        """Plain data for JSON."""
        return {"level": self.level, "subject": self.subject, "message": self.message}


def examine(settings: Settings, fix: bool = False) -> list[Finding]:
    """Look at everything; a failure of one thing does not hide the next. With ``fix``, set what we may set
    at a provider: Telegram's webhook."""
    findings = [_keys(settings)]
    service: Service | None = None
    try:
        service = open_service(settings)
        findings.append(Finding("ok", "database", f"reached, schema up to date ({service.database.dialect})"))
    except ConfigurationError as error:
        findings.append(Finding("error", "database and flows", str(error)))
    if service is not None:
        findings += _health(service)
        findings += _languages(service.library, service.catalogs)
        findings += _agents(service)
        findings += _policies(service)
        if service.is_demo:
            findings.append(Finding("warning", "clock", "this is a demo's database: its time can be moved"))
    findings += [_redis(settings), _public_address(settings), *_twilio(settings)]
    findings += [*_telegram(settings, fix), *_mail(settings)]
    return findings


def _keys(settings: Settings) -> Finding:
    try:
        keys.load(settings.voiceback_keys)
    except ConfigurationError as error:
        return Finding("error", "keys", str(error))
    return Finding("ok", "keys", "strong, all different, readable by their owner only")


def _health(service: Service) -> list[Finding]:
    return [
        Finding("warning", check.name, check.why)
        for check in health.checks(service)
        if not check.ok and check.name in {"clock", "flows"}
    ]


def _agents(service: Service) -> list[Finding]:
    with service.database.read() as connection:
        unreachable = agents.without_phone(connection)
    if not unreachable:
        return []
    return [
        Finding(
            "warning",
            "agents",
            f"{len(unreachable)} with that role have no telephone or languages; `voiceback staff edit` enters them",
        )
    ]


def _policies(service: Service) -> list[Finding]:
    """What policies want and the settings, or the people, do not give: none of it stops anything, and it is not
    as the client was promised."""
    with service.database.read() as connection:
        known = policies.every(connection)
        spoken = agents.languages_with_phone(connection)
        wanted = modes.languages(connection)
        without_shifts = factories.clients_without_shifts(connection)
    findings = []
    for name, policy in known:
        for told in _in_vain(policy, service.settings, name in without_shifts):
            findings.append(Finding("warning", f"policy of {name}", told))
    missing = sorted(wanted - spoken)
    if missing:
        told = f"callbacks in {', '.join(missing)} are kept for agents, and no agent speaks it"
        findings.append(Finding("warning", "agents", told))
    return findings


def _in_vain(policy: Policy, settings: Settings, has_no_shifts: bool) -> Iterator[str]:
    for country, number in policy.caller_id:
        if number not in settings.twilio_voice_from:
            where = "the other countries" if country == REST_OF_THE_WORLD else country
            yield f"caller_id: the number for {where} is not in TWILIO_VOICE_FROM; calls go out as if none was named"
    on = settings.channels_on()
    off = [channel.value for channel in policy.channels_when_failing if channel not in on]
    if off:
        yield f"channels_when_failing: {', '.join(off)} not set up, so nothing is written there"
    if policy.mode is not Mode.AUTOMATIC and not settings.voice_on:
        yield f"mode {policy.mode}: the telephone is not set up, so no agent can be rung"
    if policy.shifts is Shifts.ALWAYS and has_no_shifts:
        yield "shifts: always keeps out of shifts, and no factory of this client has any; `voiceback factories import`"


def _languages(library: Library, catalogs: Catalogs) -> list[Finding]:
    findings = []
    for language in catalogs.languages:
        if language in VOICES:
            continue
        missing = len(_unrecorded(library, catalogs, language))
        if missing:
            findings.append(
                Finding(
                    "warning",
                    f"language {language}",
                    f"{missing} spoken texts have no recording; callers hear them in English letters",
                )
            )
    return findings


def _unrecorded(library: Library, catalogs: Catalogs, language: str) -> list[str]:
    from bot.flow.catalog import recording_name
    from channels.voice import Recordings

    if catalogs.folder is None:
        return []
    recordings = Recordings(catalogs.folder)
    texts = spoken_texts(library, catalogs, language)
    return [text for text in texts if not recordings.has(language, recording_name(text))]


def _redis(settings: Settings) -> Finding:
    try:
        with queue.connect(settings) as connection:
            warnings = queue.warn_if_not_persistent(connection)
    except ConfigurationError as error:
        return Finding("warning" if not settings.redis_url else "error", "redis", str(error))
    return Finding("warning" if warnings else "ok", "redis", " ".join(warnings) or "reached, keeps its jobs")


def _public_address(settings: Settings) -> Finding:
    address = urlsplit(settings.public_base_url)
    if address.hostname in {"127.0.0.1", "localhost", "::1"}:
        return Finding("warning", "PUBLIC_BASE_URL", "is this machine: no provider can reach it")
    if address.scheme != "https":
        return Finding("error", "PUBLIC_BASE_URL", "must be https: workers' words cross the network")
    return Finding("ok", "PUBLIC_BASE_URL", "is https")


# --- e-mail -----------------------------------------------------------------------------------


def _mail(settings: Settings) -> list[Finding]:
    if not settings.smtp_url.get_secret_value():
        return [
            Finding("off", "e-mail to staff", "SMTP_URL is not set: nobody is told of new cases"),
            Finding("off", "e-mail", "SMTP_URL is not set"),
        ]
    try:
        with smtp.connected(settings):
            sending = Finding("ok", "e-mail to staff", "the SMTP server takes our sign-in")
    except SendError as error:
        told = f"the SMTP server cannot be used (code {error.code})"
        sending = Finding("error", "e-mail to staff", told)
    if not settings.email_on:
        return [sending, Finding("off", "e-mail", "neither IMAP_URL nor EMAIL_WEBHOOK_SECRET is set")]
    findings = [sending, *_mailbox(settings)]
    if settings.email_webhook_secret.get_secret_value():
        address = f"{settings.public_base_url}/channels/email"
        findings.append(Finding("ok", "e-mail", f"raw mail is taken at {address}, signed with the secret"))
    return findings


def _mailbox(settings: Settings) -> list[Finding]:
    url = settings.imap_url.get_secret_value()
    if not url:
        return []
    try:
        place = mailbox.Place.parse(url)
        with mailbox.connected(place) as box:
            idles = mailbox.can_idle(box)
    except ConfigurationError as error:
        return [Finding("error", "e-mail", str(error))]
    except mailbox.FAILURES as error:
        return [Finding("error", "e-mail", f"the mailbox cannot be opened ({type(error).__name__})")]
    way = "tells when mail comes" if idles else "is asked every half minute (it has no IDLE)"
    after = (
        "mails stay on it, marked as seen" if place.keep else "mails are deleted on it when they are stored"
    )
    findings = [Finding("ok", "e-mail", f"the mailbox can be opened; the server {way}; {after}")]
    if place.scheme == "imap" and place.host not in {"127.0.0.1", "localhost", "::1"}:
        findings.append(Finding("error", "e-mail", "imap:// sends the password in clear: use imaps://"))
    return findings


# --- Twilio -----------------------------------------------------------------------------------


def _twilio(settings: Settings) -> list[Finding]:
    if not settings.twilio_on:
        return [
            Finding("off", "SMS", "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set"),
            Finding("off", "voice", "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set"),
            Finding("off", "WhatsApp", "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set"),
        ]
    try:
        client_of(settings).api.accounts(settings.twilio_account_sid).fetch()
        numbers = client_of(settings).incoming_phone_numbers.list(limit=200)
    except TwilioRestException as error:
        return [Finding("error", "Twilio", f"refuses the credentials or the request (code {error.code})")]
    except (TwilioException, OSError) as error:
        return [Finding("error", "Twilio", f"cannot be reached ({type(error).__name__})")]
    findings = [Finding("ok", "Twilio", "credentials work")]
    owned = {str(number.phone_number): number for number in numbers}
    base = settings.public_base_url
    findings += _channel(
        "SMS", settings.twilio_sms_from, owned, {"sms_url": f"{base}/channels/sms{RETRY_HINT}"}
    )
    findings += _channel(
        "voice",
        settings.twilio_voice_from,
        owned,
        {
            "voice_url": f"{base}/channels/voice{RETRY_HINT}",
            "voice_fallback_url": f"{base}/channels/voice/fallback",
            "status_callback": f"{base}/channels/voice/status{RETRY_HINT}",
        },
    )
    findings += _missed_call(settings, owned)
    findings += _whatsapp(settings)
    shared = set(settings.twilio_sms_from.by_country.values()) & set(
        settings.twilio_voice_from.by_country.values()
    )
    if shared:
        findings.append(
            Finding(
                "warning",
                "voice",
                "the calling number is also the number on the card: whoever sees a missed call knows who called",
            )
        )
    return findings


def _missed_call(settings: Settings, owned: dict[str, object]) -> list[Finding]:
    """Numbers whose calls are returned: they must be ours, lead to us, and not be what we call from."""
    findings = []
    wanted = f"{settings.public_base_url}/channels/voice{RETRY_HINT}"
    for position, number in enumerate(settings.twilio_missed_call.numbers, 1):
        where = f"number {position} of TWILIO_MISSED_CALL"
        if number not in owned:
            findings.append(Finding("error", "missed calls", f"{where} is not of this account"))
        elif getattr(owned[number], "voice_url", None) != wanted:
            findings.append(Finding("warning", "missed calls", f"set voice_url of {where} to {wanted}"))
        if number in settings.twilio_voice_from:
            told = f"{where} is also what we call from: whoever returns a call of ours would be called again"
            findings.append(Finding("warning", "missed calls", told))
    return findings


def _whatsapp(settings: Settings) -> list[Finding]:
    if not settings.whatsapp_on:
        return [Finding("off", "WhatsApp", "TWILIO_WHATSAPP_FROM is not set")]
    try:
        return _senders(settings) + _notices(settings) or [
            Finding("ok", "WhatsApp", "senders, webhook addresses and notices are right")
        ]
    except (TwilioException, OSError) as error:
        return [Finding("error", "WhatsApp", f"Twilio cannot be asked about it ({type(error).__name__})")]


def _senders(settings: Settings) -> list[Finding]:
    found = client_of(settings).messaging.v2.channels_senders.list(channel="whatsapp", limit=200)
    senders = {str(each.sender_id).removeprefix("whatsapp:"): each for each in found}
    wanted = f"{settings.public_base_url}/channels/whatsapp{RETRY_HINT}"
    findings = []
    for country, number in settings.twilio_whatsapp_from.by_country.items():
        sender = senders.get(number)
        if sender is None:
            findings.append(Finding("error", "WhatsApp", f"the sender for {country} is not of this account"))
        elif (sender.webhook or {}).get("callback_url") != wanted:
            findings.append(
                Finding("warning", "WhatsApp", f"set the webhook of the sender for {country} to {wanted}")
            )
    return findings


def _notices(settings: Settings) -> list[Finding]:
    if not settings.twilio_whatsapp_templates:
        return [
            Finding(
                "warning",
                "WhatsApp",
                "TWILIO_WHATSAPP_TEMPLATES is not set: who has been silent for 24 hours cannot be written to",
            )
        ]
    findings = []
    for language, sid in settings.twilio_whatsapp_templates.by_language.items():
        approval = client_of(settings).content.v1.contents(sid).approval_fetch().fetch().whatsapp or {}
        if approval.get("status") != "approved":
            state = approval.get("status") or "not submitted"
            findings.append(
                Finding(
                    "warning", "WhatsApp", f"the notice for {language} is not approved by WhatsApp ({state})"
                )
            )
    return findings


def _channel(name: str, lines: Lines, owned: dict[str, object], wanted: dict[str, str]) -> list[Finding]:
    if not lines:
        return [Finding("off", name, f"TWILIO_{name.upper()}_FROM is not set")]
    findings = []
    for country, number in lines.by_country.items():
        resource = owned.get(number)
        if resource is None:
            findings.append(Finding("error", name, f"the number for {country} is not of this account"))
            continue
        for attribute, address in wanted.items():
            if getattr(resource, attribute, None) != address:
                findings.append(
                    Finding("warning", name, f"set {attribute} of the number for {country} to {address}")
                )
    return findings or [Finding("ok", name, "numbers and webhook addresses are right")]


# --- Telegram ---------------------------------------------------------------------------------


_TELEGRAM_PORTS = frozenset({None, 443, 80, 88, 8443})
"""Telegram sends updates to no other (https://core.telegram.org/bots/api#setwebhook)."""
_MANY_WAITING = 100


def _telegram(settings: Settings, fix: bool) -> list[Finding]:
    if not settings.telegram_on:
        return [Finding("off", "Telegram", "TELEGRAM_BOT_TOKEN is not set")]
    bot = Telegram(settings)
    wanted = f"{settings.public_base_url}/channels/telegram"
    try:
        bot.account()
        if fix:
            bot.set_webhook(wanted)
        hook = bot.webhook()
    except SendError as error:
        if error.action == "operator":
            return [Finding("error", "Telegram", "refuses the token; copy it from @BotFather")]
        return [Finding("error", "Telegram", f"cannot be asked, or refuses the webhook (code {error.code})")]
    findings = [Finding("ok", "Telegram", "the token works")]
    if urlsplit(wanted).port not in _TELEGRAM_PORTS:
        findings.append(Finding("warning", "Telegram", "sends only to ports 443, 80, 88 and 8443"))
    if hook.url != wanted or set(hook.allowed_updates or ()) != set(UPDATES):
        message = f"the webhook is not {wanted} with the updates that we need; run `voiceback doctor --fix`"
        return [*findings, Finding("warning", "Telegram", message)]
    if hook.last_error_message:
        message = f"could not deliver lately ({hook.last_error_message[:80]}); run `voiceback doctor --fix`"
        findings.append(Finding("warning", "Telegram", f"{message} if the secret was changed"))
    if hook.pending_update_count > _MANY_WAITING:
        findings.append(Finding("warning", "Telegram", f"{hook.pending_update_count} updates wait for us"))
    return [*findings, Finding("ok", "Telegram", "the webhook is right")]
