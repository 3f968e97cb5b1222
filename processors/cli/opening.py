"""Opening what a command works with: configuration, ledger, REDCap."""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from ledger.database import Database
from ledger.dry_run import DryRun
from ledger.events import new_event_id
from processors.configuration import Configuration, load, resolve, withhold
from processors.errors import ServiceError
from processors.gateway import Gateway, open_gateway, open_gateway_database
from processors.locks import no_runs
from processors.redcap import CallBudget, Redcap, RehearsedRedcap

_Client = TypeVar("_Client", bound=Redcap)


def now() -> datetime:
    """The present moment, with the machine's own zone."""
    return datetime.now().astimezone()


def operator(environment: Mapping[str, str] = os.environ) -> str:
    """The account of whoever gives the command, as the system knows it, and who lent it by sudo."""
    try:
        # Not getpass.getuser(): it believes the environment.
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A service may run under a number that no account has.
        account = f"uid {os.getuid()}"
    lent_by = environment.get("SUDO_USER", "")
    return f"{account} (by sudo from {lent_by})" if lent_by and lent_by.isprintable() else account


@contextmanager
def opened_database(config: Path | None) -> Iterator[tuple[Configuration, Database]]:
    """The configuration and the database it names."""
    # Before anything is started: the embedded PostgreSQL and a site's generator inherit the environment.
    configuration = withhold(load(config), os.environ)
    database = open_gateway_database(configuration.ledger)
    try:
        yield configuration, database
    finally:
        database.close()


@contextmanager
def opened_gateway(config: Path | None, *, with_keys: bool = True) -> Iterator[tuple[Configuration, Gateway]]:
    """The configuration and the ledger that it names, set up; with its keys, or opening them at need."""
    with opened_database(config) as (configuration, database):
        section = configuration.ledger
        yield configuration, open_gateway(database, section, clock=now, run=new_event_id(), with_keys=with_keys)


@contextmanager
def rehearsed(config: Path | None) -> Iterator[tuple[Configuration, Gateway, RehearsedRedcap]]:
    """The ledger and REDCap for a dry run: what is recorded is taken back, what is written is not.

    No run of any site can begin meanwhile. Raises `ServiceError` where one is under way.
    """
    with opened_database(config) as (configuration, database):
        section = configuration.ledger
        real = open_gateway(database, section, clock=now, run=new_event_id())
        with no_runs(database, section.site) as busy, DryRun(database) as dry_run:
            if busy is not None:
                raise ServiceError(
                    f"A run of site {busy!r} is under way, and a dry run wants to be alone. Give the command again in "
                    "a moment."
                )
            gateway = Gateway(database=dry_run, vault=real.vault, site=section.site, clock=now, run=real.run)
            with _client(RehearsedRedcap, configuration, database) as redcap:
                yield configuration, gateway, redcap


@contextmanager
def opened_redcap(configuration: Configuration, gateway: Gateway) -> Iterator[Redcap]:
    """The client for the configured REDCap, within the budget of calls that all runs share."""
    with _client(Redcap, configuration, gateway.database) as redcap:
        yield redcap


def _client(kind: type[_Client], configuration: Configuration, database: Database) -> _Client:
    section = configuration.redcap
    sources = {name: getattr(section.tokens, name) for name in type(section.tokens).model_fields}
    budget = CallBudget(
        database,
        url=section.url,
        calls_per_minute=section.calls_per_minute,
        ban_pause_minutes=section.ban_pause_minutes,
    )
    return kind(
        url=section.url,
        tokens={name: resolve(source, name) for name, source in sources.items() if source is not None},
        budget=budget,
        timeout_seconds=section.timeout_seconds,
        ca_bundle=section.ca_bundle,
    )
