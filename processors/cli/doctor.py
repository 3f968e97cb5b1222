"""`check --deep` and `redcap check`: all that a run needs, seen as whoever gives the command sees it; a line each."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from ledger.database import Database
from processors.cli import console
from processors.cli.bootstrap import configured, now, operator
from processors.cli.exit_codes import ending, readers_may_leave
from processors.clocks import ClockComparison
from processors.configuration.file import find, resolve
from processors.configuration.settings import Configuration, RedcapSection
from processors.gateway import has_ledger, open_gateway_database
from processors.operations.doctor import database_findings, machine_findings, redcap_findings
from processors.operations.doctor.database import database_facts
from processors.operations.doctor.facts import DatabaseFacts, Told, Trouble
from processors.operations.doctor.finding import Finding, trouble, wrong
from processors.operations.doctor.machine import machine_facts, told
from processors.operations.doctor.redcap import redcap_facts
from processors.operations.health import Severity
from processors.redcap import NoRateLimit, Redcap, SharedRateLimit
from processors.redcap.rate_limit import RateLimit

_NO_LEDGER: Final = Trouble("There is no ledger yet: `fiona-ledger migrate` makes one.")


def examine(config: Path | None, *, json: bool, redcap_alone: bool = False) -> Severity:
    """Prints what was looked at, and gives how bad it is, all in all."""
    with console.step("Looking at everything"):
        configuration = told(lambda: configured(config), _in_words)
        if isinstance(configuration, Trouble):
            found = [trouble("machine", "configuration", configuration)]
        else:
            file = find(config, os.environ).absolute()
            found = list(_looked_at(configuration, file, redcap_alone=redcap_alone))
    severity = max(finding.severity for finding in found)
    with readers_may_leave():
        if json:
            console.print_json({"state": severity.name.lower(), "findings": [_as_data(finding) for finding in found]})
        else:
            for finding in found:
                console.say_whole(in_a_line(finding))
    return severity


def _looked_at(configuration: Configuration, file: Path, *, redcap_alone: bool) -> Iterator[Finding]:
    if not redcap_alone:
        yield from _machine(configuration, file)
    with _database(configuration) as database:
        asked = database if isinstance(database, Trouble) else database_facts(database, configuration, now, _in_words)
        if not redcap_alone and isinstance(asked, Trouble):
            yield _no_server(asked)
        elif not redcap_alone and not isinstance(asked, Trouble):
            yield from database_findings.findings(asked)
        section = configuration.redcap if redcap_alone else configuration.redcap_section
        if section is None:
            yield Finding("redcap", "configuration", Severity.OK, "no section [redcap]: it is not called")
        else:
            yield from _redcap(section, configuration, _rate_limit(section, database, asked))


def _no_server(problem: Trouble) -> Finding:
    if problem == _NO_LEDGER:
        return trouble("database", "server", problem)
    return wrong(
        "database",
        "server",
        "a server that answers, and can be used",
        f"that {problem.words}",
        "Mend what is named there: does the server run, and does ledger.url lead to it?",
    )


def _machine(configuration: Configuration, file: Path) -> Iterator[Finding]:
    who, at = operator(), now()
    facts = told(lambda: machine_facts(configuration, file, account=who, now=at, in_words=_in_words), _in_words)
    if isinstance(facts, Trouble):
        yield trouble("machine", "account", facts)
    else:
        yield from machine_findings.findings(facts)


@contextmanager
def _database(configuration: Configuration) -> Iterator[Told[Database]]:
    """The database that the configuration names, or why it cannot be asked. An embedded one is never made for it."""
    is_there = told(lambda: has_ledger(configuration.ledger), _in_words)
    if is_there is not True:
        yield is_there if isinstance(is_there, Trouble) else _NO_LEDGER
        return
    database = told(lambda: open_gateway_database(configuration.ledger), _in_words)
    if isinstance(database, Trouble):
        yield database
        return
    with closing(database):
        yield database


def _rate_limit(section: RedcapSection, database: Told[Database], asked: Told[DatabaseFacts]) -> RateLimit:
    """The calls a minute that all share; where the ledger cannot be asked how many there were, these few are made."""
    if isinstance(database, Trouble) or isinstance(asked, Trouble) or asked.migrated is not None:
        return NoRateLimit()
    return SharedRateLimit(
        database,
        url=section.url,
        calls_per_minute=section.calls_per_minute,
        ban_pause_minutes=section.ban_pause_minutes,
    )


def _redcap(section: RedcapSection, configuration: Configuration, rate_limit: RateLimit) -> Iterator[Finding]:
    tokens = {
        name: told(partial(resolve, source, name), _in_words) for name, source in section.tokens if source is not None
    }
    readable = {name: token for name, token in tokens.items() if not isinstance(token, Trouble)}
    unreadable = {name: token for name, token in tokens.items() if isinstance(token, Trouble)}
    clocks = ClockComparison(now, tolerance=timedelta.max)

    def client() -> Redcap:
        return Redcap(
            url=section.url,
            tokens=readable,
            rate_limit=rate_limit,
            timeout_seconds=section.timeout_seconds,
            ca_bundle=section.ca_bundle,
            clocks=clocks,
            # Somebody waits for what there is to be told, which is that it gives no answer.
            retry_waits_seconds=(),
        )

    redcap = told(client, _in_words)
    if isinstance(redcap, Trouble):
        yield trouble("redcap", "server", redcap)
        return
    tolerance = timedelta(minutes=configuration.clock.tolerance_minutes)
    with redcap:
        facts = redcap_facts(redcap, clocks, unreadable, now=now(), clock_tolerance=tolerance, in_words=_in_words)
    yield from redcap_findings.findings(facts)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}."
    return ending(error).message


def _as_data(finding: Finding) -> dict[str, Any]:
    return finding._asdict() | {"severity": finding.severity.name.lower()}


def in_a_line(finding: Finding) -> str:
    """All of the finding: how bad it is, of what, and where it is wrong what to do."""
    said = f"expected {finding.expected}, found {finding.found}" if finding.expected else finding.found
    words = f"{said.rstrip('.')}. {finding.advice}" if finding.advice else said
    return f"{finding.severity.name:8}  {finding.area}, {finding.name}: {' '.join(words.split())}"
