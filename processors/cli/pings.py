"""Pings to a service that raises the alarm when they stay away, by the convention of healthchecks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from processors.cli.exit_codes import ending
from processors.configuration.file import known_of_health
from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError

_PATIENCE_SECONDS = 5


class Pings:
    """Tells that a run starts and how it ends. Nothing that goes wrong with it is a run's business."""

    def __init__(self, url: str | None) -> None:
        self._url = None if url is None else url.rstrip("/")
        self.started = False

    def start(self) -> None:
        """A run starts: it is the only one."""
        self.started = True
        self._call("/start")

    def end(self, exit_code: int) -> None:
        """A run has ended so."""
        self._call("" if exit_code == 0 else f"/{exit_code}")

    def _call(self, what: str) -> None:
        if self._url is None:
            return
        with suppress(requests.RequestException, OSError):
            requests.get(f"{self._url}{what}", timeout=_PATIENCE_SECONDS, allow_redirects=False).close()


@contextmanager
def pinged(config: Path | None, configuration: Callable[[], Configuration]) -> Iterator[Pings]:
    """What is to be told that the run starts; how it ends is told at the end, also where it could not start.

    A run that only has something for a person to look at got through; one beside another one is none. Of one that
    was stopped in order nothing is told: it has not failed, and has not got through.
    """
    pings = Pings(_url(config, configuration))
    try:
        yield pings
    except Exception as error:
        pings.end(ending(error).code)
        raise
    if pings.started:
        pings.end(0)


def _url(config: Path | None, configuration: Callable[[], Configuration]) -> str | None:
    """Where to, if anywhere; also by a configuration that cannot be used, as whoever opens it will tell."""
    try:
        health = configuration().health
    except ConfigurationError:
        try:
            health = known_of_health(config).health
        except ConfigurationError:
            return None
    return None if health.ping_url is None else health.ping_url.get_secret_value()
