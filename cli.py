"""The ``voiceback`` command. Thin: each command calls one function of the heart and prints what it gives.

Exit codes: 0 done; 1 rejected rows or findings; 2 usage; 3 configuration or dependency; 130 interrupted.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import click

from bot import processes
from bot.errors import ConfigurationError, FlowError, InputError, NotFound, VoicebackError

if TYPE_CHECKING:
    from bot.callbacks.policy import Policy
    from bot.callbacks.preview import Preview
    from bot.flow.library import Library
    from bot.flow.model import Flow
    from bot.roster import Member, Newcomer
    from bot.service import Service

FINDINGS = 1
USAGE = 2
CONFIGURATION = 3
INTERRUPTED = 130

Command = TypeVar("Command", bound=Callable[..., Any])


def main() -> NoReturn:
    """The entry point: every expected error becomes one clear line and the right exit code."""
    processes.end_with_parent()
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = USAGE
    except (InputError, NotFound, FlowError) as error:
        click.echo(f"error: {error}", err=True)
        code = USAGE
    except VoicebackError as error:
        click.echo(f"error: {error}", err=True)
        code = CONFIGURATION
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # nobody is shown a traceback, and its words may hold what no log may
        click.echo(f"error: unexpected {type(error).__name__} at {_place(error)}; please report it", err=True)
        code = CONFIGURATION
    sys.exit(code if isinstance(code, int) else 0)


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="voiceback")
def cli() -> None:
    """Voiceback: a worker hotline and an anti-retaliation callback service."""


# --- running it -------------------------------------------------------------------------------


@cli.command()
@click.option("--admin", metavar="NAME", help="Also add the first administrator.")
@click.option("--password-stdin", is_flag=True, help="Read the administrator's password from standard input.")
def init(admin: str | None, password_stdin: bool) -> None:
    """Make the keys and the database, and the first administrator. Safe to run again."""
    from bot import staff
    from bot.privacy import keys
    from bot.roster import Newcomer
    from bot.service import open_service
    from bot.settings import load
    from bot.storage.database import open_database

    settings = load()
    if settings.voiceback_keys.exists():
        keys.load(settings.voiceback_keys)
        click.echo(f"keys: {settings.voiceback_keys} is there already and is kept")
    else:
        keys.write(settings.voiceback_keys, keys.generate())
        click.echo(f"keys: made {settings.voiceback_keys}. Back it up: without it nothing can be read again.")
    open_database(settings.database_url).upgrade()
    click.echo("database: up to date")
    if admin:
        service = open_service(settings)
        roles = frozenset({staff.Role.ADMIN, staff.Role.SUPERVISOR})
        _add_staff(service, Newcomer(admin, roles, _password(password_stdin)))


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--only", type=click.Choice(["channels", "console"]), help="Serve one door alone.")
def serve(host: str, port: int, only: str | None) -> None:
    """Serve the web: the workers' door and the staff's door."""
    import server
    from bot import logs
    from bot.service import open_service
    from bot.settings import load

    settings = load()
    logs.set_up(settings.log_level)
    service = open_service(settings)
    service.database.dispose()
    _refuse_taken(host, port)
    application = f"app:create_{only or 'app'}"
    # SQLite has one writer, so one process with many threads; PostgreSQL profits from two processes.
    if service.database.dialect == "sqlite":
        server.run(application, host, port, processes=1, threads=32)
    else:
        server.run(application, host, port, processes=2, threads=16)


def _refuse_taken(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port), reuse_port=False):
            return
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port."
        ) from None


@cli.command()
def work() -> None:
    """Run the clock and the RQ workers: calls are placed, texts sent, recordings fetched."""
    import worker
    from bot import logs
    from bot.settings import load

    settings = load()
    logs.set_up(settings.log_level)
    sys.exit(worker.work(settings))


@cli.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--simulator-port", default=8090, show_default=True, type=click.IntRange(1, 65535))
def demo(port: int, simulator_port: int) -> None:
    """Everything on embedded defaults, with a make-believe telephone network and a sample audit."""
    from demo import run

    sys.exit(run(port, simulator_port))


@cli.command()
@click.option("--fix", is_flag=True, help="Also set the webhook of the Telegram bot.")
@_json_option
def doctor(as_json: bool, fix: bool) -> None:
    """Check settings, keys, database, Redis, provider credentials and webhook addresses."""
    from bot.settings import load
    from channels import doctor as doctor_

    findings = doctor_.examine(load(), fix)
    if as_json:
        _print_json([finding.as_data() for finding in findings])
    else:
        for finding in findings:
            mark = {"ok": "ok  ", "off": "off ", "warning": "WARN", "error": "FAIL"}[finding.level]
            click.echo(f"{mark} {finding.subject}: {finding.message}")
    sys.exit(CONFIGURATION if any(finding.level == "error" for finding in findings) else 0)


@cli.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema up to date."""
    from bot.settings import load
    from bot.storage.database import open_database

    open_database(load().database_url).upgrade()
    click.echo("database: up to date")


# --- flows ------------------------------------------------------------------------------------


@cli.group()
def flows() -> None:
    """Conversation flows."""


@flows.command("check")
@_json_option
def flows_check(as_json: bool) -> None:
    """Find what is wrong with flows and their translations, on every channel and in every language."""
    from bot.flow.check import examine
    from bot.settings import load
    from channels.email import Email
    from channels.sms import SMS
    from channels.telegram import Telegram
    from channels.voice import VOICES, Voice
    from channels.whatsapp import WhatsApp

    settings = load()
    findings = examine(
        settings.voiceback_flows,
        settings.voiceback_locales,
        [
            SMS.capabilities,
            WhatsApp.capabilities,
            Telegram.capabilities,
            Email.capabilities,
            Voice.capabilities,
        ],
        VOICES,
    )
    if as_json:
        _print_json([vars_of(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo(f"{len(findings)} findings" if findings else "flows: nothing found", err=bool(findings))
    sys.exit(FINDINGS if findings else 0)


@flows.command("graph")
@click.argument("flow")
@click.option("--dot", is_flag=True, help="Print DOT instead of Mermaid.")
def flows_graph(flow: str, dot: bool) -> None:
    """Draw a flow as text."""
    from bot.flow import graph
    from bot.flow.library import Library
    from bot.settings import load

    found = _flow(Library.open(load().voiceback_flows), flow)
    click.echo(graph.dot(found) if dot else graph.graph(found))


@flows.command("try")
@click.argument("flow")
@click.option("--channel", type=click.Choice(["sms", "voice"]), default="sms", show_default=True)
@click.option("--language", default="en", show_default=True, help="BCP-47 code.")
@click.option("--fact", "facts", multiple=True, metavar="NAME=VALUE", help="A fact that the flow asks for.")
def flows_try(flow: str, channel: str, language: str, facts: tuple[str, ...]) -> None:
    """Talk with a flow in the terminal."""
    from bot.clock import SystemClock
    from bot.flow.catalog import Catalogs
    from bot.flow.library import Library
    from bot.flow.trial import talk
    from bot.settings import load

    settings = load()
    library = Library.open(settings.voiceback_flows)
    _flow(library, flow)
    given = {"language": language, "language_known": "yes"}
    for fact in facts:
        name, equals, value = fact.partition("=")
        if not equals:
            raise click.UsageError(f"--fact {name}: write NAME=VALUE")
        given[name] = value
    sys.exit(
        talk(
            library,
            Catalogs.open(settings.voiceback_locales),
            flow,
            channel=channel,
            facts=given,
            clock=SystemClock(),
            lines=sys.stdin,
            out=sys.stdout,
        )
    )


# --- audits and callbacks ---------------------------------------------------------------------


@cli.group()
def audits() -> None:
    """Audits and the workers who were interviewed."""


@audits.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def audits_import(file: Path) -> None:
    """Take in a CSV or XLSX file of interviewed workers; prints a report as JSON."""
    from rich.console import Console
    from rich.progress import Progress

    from bot.audits.importing import bring_in
    from bot.audits.upload import read

    service = _service()
    found = read(file)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("rows", total=None)
        report = bring_in(service, found, lambda rows: progress.advance(task, rows))
    _print_json(report.as_data())
    sys.exit(FINDINGS if report.rejected else 0)


@cli.group()
def callbacks() -> None:
    """Who is called back, when and why."""


@callbacks.command("due")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@_json_option
def callbacks_due(limit: int, as_json: bool) -> None:
    """What should be dialled now."""
    from bot.callbacks import overview

    service = _service()
    with service.database.read() as connection:
        _print_callbacks(overview.due(connection, service.clock.now(), limit), as_json, "nothing is due")


@callbacks.command("show")
@click.argument("callback_id", required=False)
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@_json_option
def callbacks_show(callback_id: str | None, limit: int, as_json: bool) -> None:
    """One callback with its attempts, or the newest ones."""
    from bot.callbacks import overview

    service = _service()
    with service.database.read() as connection:
        if callback_id is None:
            _print_callbacks(overview.newest(connection, limit), as_json, "there are no callbacks yet")
        elif as_json:
            _print_json(overview.one(connection, callback_id))
        else:
            _print_callbacks([overview.one(connection, callback_id)], as_json, "")


@callbacks.command("move")
@click.argument("callback_id")
@click.argument("when", required=False)
@click.option("--back", is_flag=True, help="Take the last move back.")
def callbacks_move(callback_id: str, when: str | None, back: bool) -> None:
    """Move a callback to the time that the worker named: "tomorrow after 8" in English or in her language, or as in
    an upload."""
    from bot.callbacks import moves, overview

    if back == (when is not None):
        raise click.UsageError("Give a time, or --back.")
    service = _service()
    now = service.clock.now()
    with service.database.write() as connection:
        if when is None:
            moves.undo(connection, callback_id, now)
            click.echo("moved back")
            return
        language = str(overview.one(connection, callback_id)["language"])
        words = moves.words_for(service.library, language)
        proposal = moves.propose(connection, callback_id, when, words, now)
        moves.move(connection, proposal, now)
    click.echo(f"moved: {proposal.said} on the worker's clock")


@callbacks.command("plan")
@click.argument("callback_id", required=False)
@click.option("--explain", is_flag=True, help="Say for each day why it was taken or not.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@_json_option
def callbacks_plan(callback_id: str | None, explain: bool, limit: int, as_json: bool) -> None:
    """What will be dialled, soonest first."""
    from bot.callbacks import overview

    service = _service()
    now = service.clock.now()
    with service.database.read() as connection:
        found = (
            [overview.one(connection, callback_id)] if callback_id else overview.planned(connection, limit)
        )
        if explain:
            for each in found:
                each["explanation"] = overview.explained(connection, str(each["id"]), now)
    _print_callbacks(found, as_json, "nothing is planned")


@cli.group()
def policy() -> None:
    """A client's callback policy: days, attempts, spacing, limits."""


@policy.command("show")
@click.argument("client")
def policy_show(client: str) -> None:
    """Print a client's policy as YAML."""
    import yaml

    from bot.callbacks import policies
    from bot.callbacks.policy import to_mapping

    service = _service()
    with service.database.read() as connection:
        found = policies.of_client(connection, client)
    click.echo(yaml.safe_dump(to_mapping(found), sort_keys=False).rstrip())


@policy.command("preview")
@click.argument("client")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_json_option
def policy_preview(client: str, file: Path, as_json: bool) -> None:
    """What a policy would do: these workers, these instants, beside the present plan. Changes nothing."""
    from bot.callbacks import policies, preview
    from bot.callbacks.policy import from_mapping

    service = _service()
    other = from_mapping(_yaml(file) or {})
    policies.check_numbers(other, service.settings)
    now = service.clock.now()
    with service.database.read() as connection:
        held = policies.held(connection, client)
        registered = preview.read(connection, held.client_id, now)
    compared = preview.compare(registered, held.policy, other, now)
    if as_json:
        _print_json(compared.as_data(other))
    else:
        _print_preview(compared, other)


@policy.command("set")
@click.argument("client")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def policy_set(client: str, file: Path) -> None:
    """Give a client a policy from a YAML file; callbacks that nobody has dialled are planned anew."""
    from bot.callbacks import policies
    from bot.callbacks.policy import from_mapping

    service = _service()
    changed = policies.set_for_client(service, client, from_mapping(_yaml(file) or {}))
    click.echo(f"policy of the client is set; {changed} callbacks planned anew")


@policy.command("undo")
@click.argument("client")
def policy_undo(client: str) -> None:
    """Give a client the policy back that it had before the last change; again undoes that."""
    from bot.callbacks import policies

    policies.take_back(_service(), client)
    click.echo("the policy before the last change holds again")


@cli.group()
def factories() -> None:
    """Factories, and the hours in which nobody there is called."""


@factories.command("list")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 100_000))
@_json_option
def factories_list(limit: int, as_json: bool) -> None:
    """Every factory with its client, its country and its shifts."""
    from bot.audits import factories as factories_
    from bot.callbacks.shifts import to_list

    with _service().database.read() as connection:
        found = factories_.listed(connection, limit)
    if as_json:
        _print_json([vars_of(each) | {"shifts": to_list(each.shifts)} for each in found])
        return
    for each in found:
        click.echo(f"{each.id}  {each.client}  {each.name}  {each.country}  {len(each.shifts)} shifts")
    if not found:
        click.echo("there are no factories yet")


@factories.command("shifts")
@click.argument("factory")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def factories_shifts(factory: str, file: Path | None) -> None:
    """Print the shifts of a factory (by name or id) as YAML, or take them from a file."""
    import yaml

    from bot.audits import factories as factories_
    from bot.callbacks.shifts import from_list, to_list

    service = _service()
    if file is None:
        with service.database.read() as connection:
            found = factories_.find(connection, factory)
        click.echo(yaml.safe_dump(to_list(found.shifts), sort_keys=False).rstrip())
        return
    changed = factories_.set_shifts(service, factory, from_list(_yaml(file) or []))
    click.echo(f"shifts of the factory are set; {changed} callbacks planned anew")


@factories.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--preview", is_flag=True, help="Only say what would change.")
def factories_import(file: Path, preview: bool) -> None:
    """Take the shifts of many factories from a CSV or XLSX file; prints a report as JSON."""
    from bot.audits import calendars

    service = _service()
    with service.database.read() as connection:
        upload = calendars.gather(connection, calendars.read(file))
        effects, complete = calendars.effects(connection, upload.calendars, service.clock.now())
    report = upload.as_data() | {"complete": complete}
    report["callbacks"] = [
        {"factory": each.calendar.factory, "planned": each.callbacks, "moved": each.moved, "lost": each.lost}
        for each in effects
    ]
    if not preview:
        report["planned_anew"] = calendars.bring_in(service, upload)
    _print_json(report)
    sys.exit(0 if upload.is_whole else FINDINGS)


# --- time, languages --------------------------------------------------------------------------


@cli.group()
def clock() -> None:
    """The demo's time."""


@clock.command("advance")
@click.argument("by")
def clock_advance(by: str) -> None:
    """Move the demo's time forward, by 30m, 8h, 2d or 1d12h."""
    from bot.service import advance_clock

    click.echo(advance_clock(_service(), _duration(by)).isoformat())


@clock.command("until")
@click.argument("instant")
def clock_until(instant: str) -> None:
    """Move the demo's time forward to an instant (ISO 8601; without an offset it is UTC)."""
    from bot.service import advance_clock

    service = _service()
    try:
        at = datetime.fromisoformat(instant)
    except ValueError:
        raise InputError("the instant must be ISO 8601, like 2026-03-05T18:30+07:00") from None
    at = at if at.tzinfo else at.replace(tzinfo=ZoneInfo("UTC"))
    click.echo(advance_clock(service, at - service.clock.now()).isoformat())


@cli.command()
@click.option("--workers", type=click.IntRange(1), help="Workers, each one callback. [default: 33760]")
@click.option("--factories", type=click.IntRange(1), help="Factories, each one audit. [default: 552]")
@click.option(
    "--scale",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="A part of both, where they are not given.",
)
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650), help="Days of audits.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same people.")
@click.option("--database-url", help="An empty database instead of SQLite in a folder of its own.")
@click.option("--keep", is_flag=True, help="Keep the folder and say where it is.")
@_json_option
def simulate(
    workers: int | None,
    factories: int | None,
    scale: float,
    days: int,
    seed: int,
    database_url: str | None,
    keep: bool,
    as_json: bool,
) -> int:
    """Rehearse a client's year with made-up people, in a folder of its own, and count what came out.

    The real web server and workers talk with a make-believe world, under a clock that is moved on whenever nothing
    is due. Exit code 1 if a promise was broken, 130 if it was interrupted; what was done so far is counted then.
    """
    from rehearsal import display
    from rehearsal.population import FACTORIES, WORKERS, Size

    people = workers or max(1, round(WORKERS * scale))
    sites = factories or max(1, min(people, round(FACTORIES * scale)))
    outcome = display.run(Size(people, sites, days), seed, database_url, keep=keep)
    click.echo(json.dumps(outcome.as_data(), indent=2) if as_json else "\n".join(display.lines(outcome)))
    return display.exit_code(outcome)


@cli.command()
def detect() -> None:
    """Tell the language of each line of standard input: one BCP-47 code a line, or und."""
    from bot.language import detect as language_of

    for line in sys.stdin:
        click.echo(language_of(line))


# --- people and the access log ------------------------------------------------------------------


@cli.group("staff")
def staff_group() -> None:
    """People who work with the console."""


@staff_group.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, help="May be given more than once.")
@click.option("--email", help="For notices that something waits.")
@click.option(
    "--languages", metavar="en,id", help="What an agent speaks on the telephone; the best one first."
)
@click.option("--phone", is_flag=True, help="Ask for the telephone on which an agent is rung.")
@click.option(
    "--phone-stdin", is_flag=True, help="Read it from standard input, after the password if both are."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def staff_add(
    name: str,
    roles: tuple[str, ...],
    email: str | None,
    languages: str | None,
    phone: bool,
    phone_stdin: bool,
    password_stdin: bool,
) -> None:
    """Add a member of staff; prints the secret for one-time passwords once."""
    from bot import staff
    from bot.roster import Newcomer

    password, number = _password(password_stdin), _phone(phone, phone_stdin)
    spoken = tuple(_languages(languages) or ())
    _add_staff(_service(), Newcomer(name, staff.read_roles(roles), password, email, number, spoken))


@staff_group.command("list")
@_json_option
def staff_list(as_json: bool) -> None:
    """Everybody: roles, languages, and whether they may still sign in."""
    from bot import roster

    with _service().database.read() as connection:
        members = roster.members(connection)
    if as_json:
        _print_json([_member_data(member) for member in members])
        return
    for member in members:
        words = ", ".join(sorted(member.roles))
        spoken = f"  speaks {', '.join(member.languages)}" if member.languages else ""
        click.echo(f"{member.name:<24} {'' if member.active else 'left: '}{words}{spoken}")


@staff_group.command("edit")
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="Replaces the roles; may be given more than once.")
@click.option("--email", help="For notices that something waits; `none` takes it away.")
@click.option(
    "--languages", metavar="en,id", help="What an agent speaks on the telephone; the best one first."
)
@click.option("--phone", is_flag=True, help="Ask for the telephone on which an agent is rung.")
@click.option("--phone-stdin", is_flag=True, help="Read it from standard input.")
def staff_edit(
    name: str,
    roles: tuple[str, ...],
    email: str | None,
    languages: str | None,
    phone: bool,
    phone_stdin: bool,
) -> None:
    """Change roles, telephone, languages or e-mail address of a member of staff."""
    from bot import roster, staff

    wanted = staff.read_roles(roles) if roles else None
    number, spoken = _phone(phone, phone_stdin), _languages(languages)
    if not (wanted or number or spoken or email):
        raise click.UsageError("say what to change: --role, --languages, --phone or --email")
    service = _service()
    with service.database.read() as connection:
        member = roster.named(connection, name)
    if number or spoken:
        roster.set_line(service, member.id, number, spoken)
    if email:
        staff.set_email(service.database, service.sealer, name, None if email == "none" else email)
    if wanted:
        staff.set_roles(service.database, name, wanted)
    click.echo(f"staff: changed {member.name}")


@staff_group.command("password")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def staff_password(name: str, password_stdin: bool) -> None:
    """Give a new password; whoever is signed in under this name is signed out."""
    from bot import staff

    staff.set_password(_service().database, name, _password(password_stdin))
    click.echo(f"staff: {name} has a new password")


@staff_group.command("totp-reset")
@click.argument("name")
def staff_totp_reset(name: str) -> None:
    """Make a new secret for one-time passwords and print it once; the old one is worth nothing from then on."""
    from bot import staff

    service = _service()
    _print_secret(name, staff.reset_totp(service.database, service.sealer, name))


@staff_group.command("deactivate")
@click.argument("name")
def staff_deactivate(name: str) -> None:
    """Take away all access at once. The name stays in histories; the last administrator cannot go."""
    from bot import staff

    staff.deactivate(_service().database, name)
    click.echo(f"staff: {name} can no longer sign in")


@staff_group.command("activate")
@click.argument("name")
def staff_activate(name: str) -> None:
    """Give access back to somebody who left, with the password and secret of before."""
    from bot import staff

    staff.activate(_service().database, name)
    click.echo(f"staff: {name} can sign in again")


@cli.command("verify-log")
@click.option("--head", "heads", multiple=True, metavar="SEQ:HASH", help="A head that was printed earlier.")
@_json_option
def verify_log(heads: tuple[str, ...], as_json: bool) -> None:
    """Walk the chain of the access log; print its head, to be kept outside."""
    from bot.privacy import access

    given = []
    for text in heads:
        seq, colon, digest = text.partition(":")
        if not (colon and seq.isdigit()):
            raise click.UsageError("--head: write SEQ:HASH as it was printed")
        given.append(access.Head(int(seq), digest))
    service = _service()
    with service.database.read() as connection:
        findings = access.verify(connection, given)
        newest = access.head(connection)
    if as_json:
        _print_json(
            {
                "head": f"{newest.seq}:{newest.hash}" if newest else None,
                "findings": [{"flaw": finding.flaw.value, "seq": finding.seq} for finding in findings],
            }
        )
    else:
        for finding in findings:
            click.echo(f"{finding.flaw.value} at {finding.seq}")
        click.echo(f"head {newest.seq}:{newest.hash}" if newest else "the log is empty")
    sys.exit(FINDINGS if findings else 0)


# --- shared -----------------------------------------------------------------------------------


def _service() -> Service:
    from bot import logs
    from bot.service import open_service
    from bot.settings import load

    settings = load()
    logs.set_up(settings.log_level)
    return open_service(settings)


def _flow(library: Library, name: str) -> Flow:
    from difflib import get_close_matches

    if name not in library.names():
        close = get_close_matches(name, library.names(), n=1)
        hint = f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(library.names())}."
        raise InputError(f"there is no flow '{name}'.{hint}")
    return library.get(name)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer


def _phone(asked: bool, from_stdin: bool) -> str | None:
    """A telephone number. It is never an argument, because shells keep those in their history."""
    if from_stdin:
        return sys.stdin.readline().strip()
    if not asked:
        return None
    answer: str = click.prompt("Telephone, with + and the country code")
    return answer.strip()


def _languages(codes: str | None) -> list[str] | None:
    return [code.strip() for code in codes.split(",") if code.strip()] if codes else None


def _add_staff(service: Service, newcomer: Newcomer) -> None:
    from bot import roster

    secret = roster.add(service, newcomer)
    click.echo(f"staff: added {newcomer.name}")
    _print_secret(newcomer.name, secret)


def _print_secret(name: str, secret: str) -> None:
    from bot import staff

    click.echo(f"TOTP secret (shown only now): {secret}")
    click.echo(f"TOTP address: {staff.provisioning_uri(name, secret)}")


def _member_data(member: Member) -> dict[str, object]:
    return {
        "id": member.id,
        "name": member.name,
        "roles": sorted(member.roles),
        "active": member.active,
        "has_email": member.has_email,
        "has_phone": member.has_phone,
        "languages": list(member.languages),
    }


def _duration(text: str) -> timedelta:
    parts = re.fullmatch(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?", text.strip().lower())
    if not parts or not any(parts.groups()):
        raise InputError("a duration is written like 30m, 8h, 2d or 1d12h")
    days, hours, minutes = (int(part or 0) for part in parts.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def vars_of(finding: Any) -> dict[str, object]:
    """A slotted dataclass as plain data."""
    from dataclasses import asdict

    plain: dict[str, object] = asdict(finding)
    return plain


def _print_json(data: object) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=1))


def _yaml(file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{file.name} is not YAML") from None


def _print_preview(compared: Preview, policy: Policy) -> None:
    """Counts first, then each worker's instant on her own clock."""
    planned = compared.planned()
    click.echo(f"{compared.workers()} workers, {len(planned)} calls")
    for day, number in compared.days(policy).items():
        click.echo(f"    {day}  {number}")
    for reason, number in compared.given_up().items():
        click.echo(f"    not called: {reason}  {number}")
    changes = ", ".join(f"{number} {change}" for change, number in compared.changes().items())
    click.echo(f"beside the present plan: {changes}")
    for each, call in planned:
        local = call.due_at.astimezone(ZoneInfo(each.line.zone))
        perhaps = "" if each.line.sure else "  if nothing speaks against it"
        click.echo(
            f"{each.line.member_id}  round {each.line.round}  {local:%Y-%m-%d %H:%M} {each.line.zone}"
            f"  {each.change}{perhaps}"
        )


def _print_callbacks(found: list[dict[str, Any]], as_json: bool, empty: str) -> None:
    if as_json:
        _print_json(found)
        return
    if not found:
        click.echo(empty)
    for each in found:
        when = each["due_at"] or each["give_up_reason"] or ""
        click.echo(f"{each['id']}  {each['state']:<10} {when:<33} {each['timezone']}  {each['preference']}")
        for attempt in each["attempts"]:
            click.echo(f"    attempt {attempt['n']}: {attempt['disposition'] or attempt['state']}")
        for day in each.get("explanation", {}).get("days", []):
            click.echo(f"    {day['day']}  {day['code']}")


if __name__ == "__main__":
    main()
