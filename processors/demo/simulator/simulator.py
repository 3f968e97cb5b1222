"""The simulator as a whole: its projects, settings, faults and hooks, from start to close."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from . import api, creation, faults
from .calls import Call
from .course import Course
from .faults import Faults
from .limiter import Limiter
from .parameters import read_parameters
from .project import default_token
from .question import Outcome, action_of
from .record_store import local_time
from .server import Server
from .state import read_state, write_state

if TYPE_CHECKING:
    from datetime import datetime, tzinfo
    from pathlib import Path
    from types import TracebackType

    from .faults import Fault
    from .parameters import Parameters
    from .project import Project
    from .replies import Reply

Hook = Callable[[Call], None]


@dataclass(kw_only=True)
class Settings:
    """How the server is set up; everything may be changed while it runs.

    In its `zone` (None: the clock's) its log is written, and times that calls give are read.
    """

    calls_per_minute: int = 0
    max_input_vars: int = 1000
    post_max_size: int = 8 * 1024 * 1024
    version: str = "14.5.10"
    clock: Callable[[], datetime] = local_time
    zone: tzinfo | None = None


class Simulator:
    """A REDCap server in a thread of its own, from `with Simulator(...)` or `start()` until `close()`.

    Who has the `super_token` can make projects, which are then among `projects` by their titles. `state` names a JSON
    file: read at the start if it is there, written on `close()` and by `save()`.
    """

    def __init__(
        self,
        projects: Mapping[str, Project],
        port: int = 0,
        state: Path | None = None,
        *,
        host: str = "127.0.0.1",
        settings: Settings | None = None,
    ) -> None:
        self.projects = dict(projects)
        self.settings = settings or Settings()
        self.super_token = default_token("super") + default_token("user")
        self.calls: list[Call] = []
        self.before_call: Hook | None = None
        self.after_commit: Hook | None = None
        self._state = state
        self._faults = Faults()
        self._limiter = Limiter()
        self._closing = threading.Event()
        self._address = (host, port)
        self._server: Server | None = None
        for project in self.projects.values():
            project.clock = self.now
        if state is not None and state.exists():
            read_state(state, self.projects)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Listen and answer in a thread; with port 0 the system chooses a free one."""
        self._server = Server(self._address, self)
        self._server.start()
        return self

    def close(self) -> None:
        """Stop answering, close all connections and write the state file."""
        self._closing.set()
        if self._server is not None:
            self._server.stop()
            self._server = None
        self.save()

    def save(self) -> None:
        """Write the state file, if one was named."""
        if self._state is not None:
            write_state(self._state, self.projects.values())

    @property
    def url(self) -> str:
        """The address of the API, ending in `/api/`."""
        if self._server is None:
            raise RuntimeError("expected a started simulator: use `with Simulator(...)` or `start()`")
        return f"http://{self._address[0]}:{self._server.port}/api/"

    def now(self) -> datetime:
        """What its clock says, in the log and in the headers of responses."""
        now = self.settings.clock()
        return now if self.settings.zone is None else now.astimezone(self.settings.zone)

    def inject(self, fault: Fault) -> None:
        """Switch one fault on."""
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Switch all faults off and lift all bans."""
        self._faults.clear()
        self._limiter.lift_bans()

    def faults_as_json(self) -> list[dict[str, object]]:
        """The faults that are on, for the admin path."""
        return self._faults.as_json()

    def handle(self, address: str, body: bytes, content_type: str) -> Reply:
        """Answer one call from an address."""
        parameters = read_parameters(
            body,
            content_type,
            max_input_vars=self.settings.max_input_vars,
            post_max_size=self.settings.post_max_size,
        )
        project = self._project_of(parameters.text("token"))
        call = self._describe(project, parameters)
        if self.before_call is not None:
            self.before_call(call)
        if self._limiter.admits(address, self.settings.clock(), self.settings.calls_per_minute):
            outcome = self._carry_out(call, project, parameters, len(body))
        else:
            outcome = Outcome(reply=faults.ban_page())
        self.calls.append(_counted(call, outcome))
        return outcome.reply

    def _project_of(self, token: str) -> Project | None:
        return next((project for project in self.projects.values() if project.token == token), None)

    def _describe(self, project: Project | None, parameters: Parameters) -> Call:
        return Call(
            time=self.settings.clock(),
            project=project.name if project else "",
            content=parameters.text("content"),
            action=action_of(parameters),
            fields=(*parameters.array("fields"), *parameters.array("forms")),
            by_date=bool(parameters.text("dateRangeBegin")),
        )

    def _carry_out(self, call: Call, project: Project | None, parameters: Parameters, size: int) -> Outcome:
        course = Course(
            project=project,
            parameters=parameters,
            size=size,
            version=self.settings.version,
            struck=self._faults.due(call),
            wait=self._closing.wait,
            without_project=self._create if parameters.text("token") == self.super_token else api.unknown_token,
        )
        return course.run(lambda outcome: self._tell_commit(call, outcome))

    def _create(self, parameters: Parameters) -> Outcome:
        """Make the project that the holder of the super token asks for."""
        return creation.create(parameters, self._keep)

    def _keep(self, project: Project) -> None:
        project.clock = self.now
        self.projects[project.name] = project

    def _tell_commit(self, call: Call, outcome: Outcome) -> None:
        if self.after_commit is not None:
            self.after_commit(_counted(call, outcome))


def _counted(call: Call, outcome: Outcome) -> Call:
    """The call with what is known after it was carried out."""
    return replace(
        call,
        records=outcome.records,
        rows=outcome.rows,
        fields=outcome.fields or call.fields,
        status=outcome.reply.status,
        bytes=len(outcome.reply.body),
    )
