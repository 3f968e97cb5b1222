"""The addresses of the page, and what each answers. Names stand in queries, as they may hold any character.

Whoever asks has been let in by the web server before it. One question is answered at a time: the keys that explanations
need are kept for one transaction, and a page is a matter of milliseconds. To count all studies is not: that is done
apart, for whoever asks next.
"""

from asyncio import timeout
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from threading import Lock
from typing import Any, Final, Self
from urllib.parse import parse_qsl

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ledger.database import Database
from ledger.errors import LedgerError
from processors.configuration.settings import Configuration
from processors.errors import ConfigurationError
from processors.explain.find import STAGES
from processors.explain.search import find_study
from processors.explain.timeline import grouped
from processors.gateway import Gateway, Work
from processors.operations.health import Unrecorded
from processors.operations.limits import Limits
from processors.operations.status import status
from processors.text import printable
from processors.web import directive, project, search, study
from processors.web.guard import LOOPBACK, Guard
from processors.web.kept import Kept
from processors.web.overview import overview, volume
from processors.web.rendering import STATIC, environment, link
from processors.web.search import Asked, Listed

_LONGEST_FORM: Final = 10_000
_LONGEST_FIELD: Final = 2_000
_PATIENCE_SECONDS: Final = 10.0
"""Within so many seconds a form has come, whole."""
_STATIC: Final = ("style.css", "icon.svg")


class ReadingGateway(Gateway):
    """A gateway whose units of work may only read, one after the other."""

    @classmethod
    def of(cls, gateway: Gateway, database: Database, one_at_a_time: Lock) -> Self:
        """The same gateway by this way to its database, its keys still opened at need, and apart from the others'."""
        return cls(
            one_at_a_time,
            database=database,
            vault=lambda: gateway.vault.apart(),
            site=gateway.site,
            clock=gateway.clock,
            run=gateway.run,
            zone=gateway.zone,
            sender=gateway.sender,
            placeholders=gateway.placeholders,
        )

    def __init__(self, one_at_a_time: Lock, **parts: Any) -> None:
        super().__init__(**parts)
        self._one_at_a_time = one_at_a_time

    @contextmanager
    def begin(self) -> Iterator[Work]:
        """A unit of work in which nothing can be changed, nor asked for longer than somebody waits."""
        with self._one_at_a_time, super().begin() as work:
            work.execute(_READ_ONLY)
            work.execute(_IN_TIME)
            yield work


_READ_ONLY = text("set transaction read only")
_IN_TIME = text("set local statement_timeout = '30s'")


class Site:
    """What the pages are made of; `database` is the way by which they are read, if it is not the gateway's own.

    `unrecorded` is asked for each overview; `told` says what an error stands for.
    """

    def __init__(
        self,
        gateway: Gateway,
        configuration: Configuration,
        *,
        unrecorded: Callable[[], Unrecorded | None],
        told: Callable[[BaseException], str],
        database: Database | None = None,
    ) -> None:
        self._writing = gateway
        self._one_at_a_time = Lock()
        self._gateway, apart = (
            ReadingGateway.of(gateway, database or gateway.database, lock) for lock in (self._one_at_a_time, Lock())
        )
        self._configuration = configuration
        self._told = told
        self._unrecorded = unrecorded
        self._limits = Limits.of(configuration)
        self._volume = Kept(lambda: volume(apart))
        self._templates = environment(self._gateway.local, live=True)

    def application(self) -> Starlette:
        """What a web server serves."""
        pages: Mapping[str, Callable[[Mapping[str, str]], Response]] = {
            "/": self.overview,
            "/search": self.search,
            "/study": self.study,
            "/project": self.project,
            "/project.csv": self.project_csv,
            "/rule": self.rule,
            "/entry": self.entry,
        }
        routes = [
            *(Route(path, self._answering(show), methods=["GET"]) for path, show in pages.items()),
            *(Route(f"/{name}", _file(name), methods=["GET"]) for name in _STATIC),
            Route("/search", self._taking(self.search_by_form), methods=["POST"]),
            Route("/find", self._taking(self.find), methods=["POST"]),
            Route("/patient", self._taking_of(self.patient), methods=["POST"]),
        ]

        def other_method(request: Request, _: Exception) -> Response:
            allowed = {method for route in routes if route.path == request.url.path for method in route.methods or ()}
            return self._refused(
                405, "Not in this way", f"Expected {' or '.join(sorted(allowed))}.", allow=", ".join(sorted(allowed))
            )

        hosts = None if self._configuration.web.insecure else LOOPBACK | {self._configuration.web.address}
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard, hosts=hosts, told=self._told)],
            exception_handlers={404: self._not_found, 405: other_method},
            lifespan=self._served,
        )

    @asynccontextmanager
    async def _served(self, _: Starlette) -> AsyncIterator[None]:
        with self._volume.made_beforehand():
            yield

    def overview(self, _: Mapping[str, str]) -> Response:
        """How it is doing."""
        counts = self._volume.get()
        told = status(self._gateway, self._limits, self._unrecorded(), counts.totals)
        return self._page("overview.html", overview=overview(self._gateway, told, counts))

    def search(self, fields: Mapping[str, str]) -> Response:
        """The form, and what was found."""
        return self._listed(search.asked(fields))

    def search_by_form(self, fields: Mapping[str, str]) -> Response:
        """The same; with an accession number, at once: it is to stand in no address."""
        wanted, accession = search.asked(fields), fields.get("accession", "").strip()
        if not accession:
            return RedirectResponse(link("search", **wanted.fields), 303)
        return self._listed(wanted, search.asked({"study": accession}).study)

    def find(self, fields: Mapping[str, str]) -> Response:
        """The one study of that UID or accession number."""
        with self._gateway.begin() as work:
            found = find_study(work, fields.get("name", ""))
        return RedirectResponse(link("study", uid=found), 303)

    def patient(self, fields: Mapping[str, str], by: str) -> Response:
        """The studies of a patient, for whoever may look for one: that they did is recorded first."""
        web = self._configuration.web
        if not web.patient_search:
            raise ConfigurationError("Nobody is looked for by PatientID here (web.patient_search).")
        if not by:
            words = f"Expected to be told who asks, by the header {web.user_header}, which the web server sets."
            return self._refused(403, "Who asks?", words)
        with self._one_at_a_time:
            with self._writing.begin() as work:
                listed = search.of_patient(work, fields.get("patient_id", "").strip(), by)
            self._writing.attest()
        return self._search_page(Asked(), listed, by_number=True)

    def study(self, fields: Mapping[str, str]) -> Response:
        """What happened to it, and why."""
        day = fields.get("day", "")
        with self._gateway.begin() as work:
            if day:
                then = study.explained_then(work, self._configuration, fields.get("uid", ""), _day(day))
                groups = grouped(then.timeline)
                return self._page("then.html", told=then, day=day, groups=groups, shown_rules=study.shown_rules)
            told = study.explained(work, self._configuration, fields.get("uid", ""))
        return self._page(
            "study.html",
            told=told,
            series=sum(len(account.origin.series) for account in told.origins),
            groups=grouped(told.timeline),
            shown_rules=study.shown_rules,
        )

    def project(self, fields: Mapping[str, str]) -> Response:
        """What became of all that was asked for."""
        with self._gateway.begin() as work:
            found = project.project(work, fields.get("name", ""))
        return self._page("project.html", project=found, most=project.SHOWN)

    def project_csv(self, fields: Mapping[str, str]) -> Response:
        """The same for a spreadsheet."""
        with self._gateway.begin() as work:
            content = project.as_csv(work, fields.get("name", ""))
        headers = {"content-disposition": 'attachment; filename="studies.csv"'}
        return Response(content, media_type="text/csv; charset=utf-8", headers=headers)

    def rule(self, fields: Mapping[str, str]) -> Response:
        """A routing rule."""
        return self._directive("rule", fields)

    def entry(self, fields: Mapping[str, str]) -> Response:
        """An entry of the coupling list."""
        return self._directive("coupling", fields)

    def _directive(self, kind: directive.Kind, fields: Mapping[str, str]) -> Response:
        with self._gateway.begin() as work:
            found = directive.directive(work, kind, fields.get("record", ""))
        return self._page("directive.html", directive=found)

    def _listed(self, wanted: Asked, accession: str = "") -> Response:
        with self._gateway.begin() as work:
            listed = search.listed(work, wanted, accession)
        return self._search_page(wanted, listed, by_number=bool(accession))

    def _search_page(self, wanted: Asked, listed: Listed, *, by_number: bool) -> Response:
        return self._page(
            "search.html",
            asked=wanted,
            listed=listed,
            stages=STAGES,
            by_number=by_number,
            by_patient=self._configuration.web.patient_search,
        )

    def _page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        content = self._templates.get_template(template).render(site=self._gateway.site, **values)
        return HTMLResponse(content, status)

    def _answering(self, show: Callable[[Mapping[str, str]], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            return self._shown(show, request.query_params)

        return answer

    def _taking(self, show: Callable[[Mapping[str, str]], Response]) -> Callable[[Request], Any]:
        return self._taking_of(lambda fields, _: show(fields))

    def _taking_of(self, show: Callable[[Mapping[str, str], str], Response]) -> Callable[[Request], Any]:
        """A form, and who sent it, as the web server says."""

        async def answer(request: Request) -> Response:
            body = b""
            try:
                async with timeout(_PATIENCE_SECONDS):
                    async for part in request.stream():
                        body += part
                        if len(body) > _LONGEST_FORM:
                            return self._refused(413, "Too long", "Expected a short form.", connection="close")
            except TimeoutError:
                words = f"Expected the whole form within {_PATIENCE_SECONDS:g} seconds."
                return self._refused(408, "Too slow", words, connection="close")
            except ClientDisconnect:
                # Nobody is there to read this. Raised, it would fill the journal with a traceback for each.
                return Response(status_code=400)
            fields = dict(parse_qsl(body.decode("utf-8", "replace")))
            by = request.headers.get(self._configuration.web.user_header, "")
            return await run_in_threadpool(self._shown, lambda given: show(given, printable(by)), fields)

        return answer

    def _shown(self, show: Callable[[Mapping[str, str]], Response], fields: Mapping[str, str]) -> Response:
        """The page, or what is in its way. Nothing of an error but its message is told: the rest may hold values."""
        try:
            _require_plain(fields)
            return show(fields)
        except ConfigurationError as error:
            return self._refused(404, "Not found", str(error))
        except LedgerError as error:
            return self._refused(503, "Not now", str(error))
        except Exception as error:
            return self._refused(500, "An error", self._told(error))

    def _refused(self, status: int, title: str, words: str, **headers: str) -> Response:
        page = self._page("error.html", status=status, title=title, words=words.splitlines())
        page.headers.update(headers)
        return page

    def _not_found(self, _request: Request, _error: Exception) -> Response:
        return self._refused(404, "Not found", "There is no such page.")


def _require_plain(fields: Mapping[str, str]) -> None:
    """Raises `ConfigurationError` for what PostgreSQL cannot be asked for, and no form of ours sends."""
    for name, value in fields.items():
        if "\0" in value:
            raise ConfigurationError(
                f"{name}: expected text, found the character NUL (%00) in it, which no text holds."
            )
        if len(value) > _LONGEST_FIELD:
            raise ConfigurationError(f"{name}: expected up to {_LONGEST_FIELD:,} characters, found {len(value):,}.")


def _day(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ConfigurationError("day: expected a day such as 2026-03-31, found something else.") from None


def _file(name: str) -> Callable[[Request], Response]:
    def answer(_request: Request) -> Response:
        return FileResponse(STATIC / name)

    return answer
