"""`fiona-ledger demo`: the main job on real summaries, against a simulated REDCap and an embedded PostgreSQL.

A stand-in for the sender carries the requests out. The first demo's quarter of an hour lies in the past, so that
nobody waits for it. It keeps what it makes in one folder, so that a second demo goes on where the first one ended and
shows an idle run.
"""

import hashlib
import os
import shlex
import shutil
import sys
from collections import Counter, deque
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import platformdirs
import typer
from rich.console import Console
from sqlalchemy import text

from processors.cli import console
from processors.cli.bootstrap import now, opened_gateway
from processors.cli.news import Audience
from processors.cli.runs import periodic_run
from processors.demo import samples
from processors.demo.sender import MASKED, NOT_SENT, Sender
from processors.demo.simulator import Settings, Simulator, standard_projects
from processors.explain.sentences import cause_name
from processors.gateway import Gateway

_LONGEST_SOCKET_FOLDER = 80

_RULES = (
    {
        "record_id": "1",
        "routing_active": "1",
        "routing_dest_project": "1",
        "routing_incoming_aetitle": "FIONA",
        "routing_allowed_patientid": "SCS[A-Z]+",
        "routing_event_name": "baseline",
    },
    {
        "record_id": "2",
        "routing_active": "1",
        "routing_dest_project": "2",
        "routing_sending_aetitle": "CLUNIE1",
        "routing_allowed_patientname": r"CompressedSamples\^[A-Z]{2}1",
    },
    {
        "record_id": "3",
        "routing_active": "1",
        "routing_dest_project": "3",
        "routing_incoming_aetitle": "FIONA",
        "routing_allowed_patientid": "MLUT_nn",
    },
    {
        "record_id": "4",
        "routing_active": "1",
        "routing_dest_project": "3",
        "routing_incoming_aetitle": "FIONA",
        "routing_allowed_patientname": "Modality.*",
    },
)
_PROJECT_LABELS = (("1", "SCRIPTS"), ("2", "Compression, second round"), ("3", "LUT"))
_COUPLINGS = (
    {
        "record_id": "1",
        "cl_accessionnumber": " 428 ",
        "cl_projectname": "CAROTID",
        "cl_subjectid": "CAR_017",
        "cl_eventname": "visit_2",
        "cl_date": "2026-01-12 08:30",
    },
    {"record_id": "2", "cl_accessionnumber": "0010", "cl_projectname": "STROKE", "cl_date": "2026-01-12 08:31"},
)
_CORRECTED = {**_COUPLINGS[0], "cl_subjectid": "CAR_071"}
_ENDINGS = {
    "1.3.6.1.4.1.5962.1.2.0.1175775772.5720.0": frozenset({MASKED}),
    "1.3.6.1.4.1.5962.1.2.0.1175775772.5723.0": frozenset({NOT_SENT}),
}
_AUTOID_PROJECT = {
    "record_id": "1",
    "project_name": "TEACHING",
    "project_patient_naming": "TEACH_[0-9]{4}",
    "project_use_autoid": "1",
    "project_autoid_aetitle": "FIONA",
    "project_active": "1",
}


class _Clock:
    """The time in the demo, `minutes` from now."""

    minutes = 0

    def __call__(self) -> datetime:
        return now() + timedelta(minutes=self.minutes)


def command(
    *,
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo keeps what it makes.")] = Path(".demo"),
) -> None:
    """Run the main job on real summaries against a simulated REDCap, and show what happened.

    Example: fiona-ledger demo --folder /tmp/demo
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    out = console.output()
    state = folder / "redcap.json"
    clock = _Clock()
    simulator = Simulator(standard_projects(), state=state, settings=Settings(clock=clock))
    try:
        with simulator:
            is_first = not (folder / "raw").exists()
            config = _set_up(folder, simulator, out)
            clock.minutes = -12 if is_first else 0
            _run("fiona-ledger run", config, clock, out)
            if is_first:
                _send(folder, simulator, config, clock, out)
            with opened_gateway(config) as (_, gateway):
                _show_requests(gateway, out)
                _show_held(gateway, out)
            _show_redcap(simulator, out)
    finally:
        # It is written where the simulator ends, and holds tokens.
        if state.exists():
            state.chmod(0o600)
    _show_next(folder, config, out)


def _set_up(folder: Path, simulator: Simulator, out: Console) -> Path:
    """Lays out summaries, rules and couplings where they are not there yet; gives the configuration."""
    raw = folder / "raw"
    if not raw.exists():
        count = samples.lay_out(raw, age_seconds=15 * 60)
        half_written = raw / "1.2.3.4" / "1.2.3.4.5.json"
        half_written.parent.mkdir()
        half_written.write_text('{"StudyInstanceUID": "1.2.3.4", "Series', encoding="utf-8")
        for path in (half_written, half_written.parent):
            os.utime(path, ns=(raw.stat().st_mtime_ns - 10**12,) * 2)
        _seed(simulator)
        out.print(f"Laid out {count} real series summaries and one half-written file in {raw}.")
    config = folder / "fiona-ledger.toml"
    config.write_text(_configuration(folder, simulator), encoding="utf-8")
    config.chmod(0o600)
    return config


def _seed(simulator: Simulator) -> None:
    projects = simulator.projects
    projects["routing"].set_choices("routing_dest_project", list(_PROJECT_LABELS))
    projects["routing"].put([dict(rule) for rule in _RULES])
    projects["coupling"].put([dict(entry) for entry in _COUPLINGS])
    projects["projects"].put([dict(_AUTOID_PROJECT)])


def _run(title: str, config: Path, clock: _Clock, out: Console) -> None:
    out.rule(title)
    periodic_run(config, Audience(verbose=True), command="demo", clock=clock)


def _send(folder: Path, simulator: Simulator, config: Path, clock: _Clock, out: Console) -> None:
    """The sender carries out what was requested, while a person corrects an entry that it has read already."""
    queue, done, fail = (folder / "sender" / name for name in ("queue", "done", "fail"))
    sender = Sender(
        transfers=simulator.projects["incoming"],
        raw=folder / "raw",
        queue=queue,
        done=done,
        fail=fail,
        clock=clock,
        ticks=_ENDINGS,
    )
    clock.minutes = -11
    sender.create_transfer_requests()
    batch = sender.anonymize_and_send()
    next(batch)
    clock.minutes = -8
    simulator.projects["coupling"].put([_CORRECTED])
    _run("an entry is corrected while its study is on its way: fiona-ledger run", config, clock, out)
    clock.minutes = -4
    deque(batch, maxlen=0)
    sender.create_transfer_requests()
    deque(sender.anonymize_and_send(), maxlen=0)
    clock.minutes = 0
    _run("the sender is done: fiona-ledger run", config, clock, out)


def _configuration(folder: Path, simulator: Simulator) -> str:
    tokens = "\n".join(f'{name} = "{project.token}"' for name, project in simulator.projects.items())
    return f"""\
[ledger]
url = "embedded"
data_dir = "{_data_dir(folder)}"
idle_minutes = 0
key_file = "{folder / "vault.key"}"
[source]
raw = "{folder / "raw"}"
[redcap]
url = "{simulator.url}"
[redcap.tokens]
{tokens}
"""


def _data_dir(folder: Path) -> Path:
    """Where the embedded PostgreSQL can live.

    Its socket's path must be short, and as root its own system user must be able to pass all folders above. And
    nobody else may make folders there: in /var/tmp, somebody could have made this one before.
    """
    wanted = folder / "ledger"
    passable = os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in wanted.parents)
    if passable and len(os.fsencode(wanted)) <= _LONGEST_SOCKET_FOLDER:
        return wanted
    above = Path("/var/lib") if os.geteuid() == 0 else platformdirs.user_cache_path()
    return above / f"fiona-ledger-demo-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


_REQUESTS = text("""
    select transfer.study, transfer.project, transfer.event_name, cause_kind, cause_record, transfer.state,
           told.state || case when told.errors @> '{3}' then ', masked' else '' end as told
      from gateway.transfer
      left join gateway.outcome as told on told.request = transfer.position and told.ours
     order by min(transfer.position) over (partition by transfer.study, transfer.project), transfer.position
""")
_HELD = text("select reason, count(*) as studies from gateway.held_study group by reason order by reason")
_SHOWN_PER_PROJECT = 3


def _show_requests(gateway: Gateway, out: Console) -> None:
    """Which studies go where, and why. Pseudonyms are not shown: rules take them from patients' IDs."""
    with gateway.begin() as connection:
        rows = connection.execute(_REQUESTS).all()
    shown: Counter[str] = Counter()
    cells = []
    for row in rows:
        shown[row.project] += 1
        if shown[row.project] <= _SHOWN_PER_PROJECT:
            why = cause_name(row.cause_kind, row.cause_record)
            cells.append((_short(row.study), row.project, row.event_name, why, row.state, row.told))
    columns = ("study", "project", "event", "why", "state", "sender")
    out.print(console.table("Which studies go where, and why", columns, cells))
    more = {project: count - _SHOWN_PER_PROJECT for project, count in shown.items() if count > _SHOWN_PER_PROJECT}
    if more:
        out.print("and " + ", ".join(f"{count} more to {project}" for project, count in more.items()))


def _show_held(gateway: Gateway, out: Console) -> None:
    with gateway.begin() as connection:
        ids = connection.execute(text("select count(*) from gateway.used_id where kind = 'generated'")).scalar_one()
        requests = connection.execute(
            text("select count(*) from gateway.transfer where cause_kind = 'autoid'")
        ).scalar_one()
        held = connection.execute(_HELD).all()
    out.print(f"TEACHING: {requests} studies share {ids} generated IDs: two studies of one patient get one ID.")
    for row in held:
        out.print(f"Held: {row.studies} studies with {row.reason}; they are never merged with anybody's.")


def _show_redcap(simulator: Simulator, out: Console) -> None:
    rows = simulator.projects["incoming"].rows()
    kinds = Counter(row["redcap_repeat_instrument"] or "studies" for row in rows)
    ids = len(simulator.projects["autoid"].rows())
    out.print(
        f"REDCap now holds {kinds['studies']} studies, {kinds['series']} series and {kinds['transfers']} transfers in "
        f"Incoming, and {ids} IDs in AutoID. It was called {len(simulator.calls)} times."
    )


def _show_next(folder: Path, config: Path, out: Console) -> None:
    program = _program(sys.argv[0])
    again = f"{program} demo --folder {_near(folder)}"
    out.rule("Try next")
    for command, effect in (
        (again, "again: nothing has changed; 5 calls, 6 as REDCap is at a new address, a few for what is held"),
        (f"{program} --config {_near(config)} status", "each thing that needs a person, and what to do"),
        (
            f"rm -r {_near(folder / 'raw' / '1.2.3.4')} && {again}",
            "the half-written file is gone, and with it its notice",
        ),
    ):
        out.print(f"  {command}", style="bold")
        out.print(f"      {effect}")


def _program(started: str) -> str:
    """What a person types to start this program as it was started now."""
    script = Path(started).absolute()
    if script.name != "fiona-ledger":
        return f"{_near(Path(sys.executable))} -m processors.cli.main"
    path = shutil.which(script.name)
    return script.name if path is not None and Path(path).absolute() == script else _near(script)


def _near(path: Path) -> str:
    """The path as a person would type it from here."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _short(uid: str) -> str:
    """A UID cut in its middle, so that a table fits a console."""
    return uid if len(uid) <= 22 else f"{uid[:8]}…{uid[-13:]}"
