"""Whatever happens to a tree between runs, the ledger ends where a first look at the tree would."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from ledger.database import open_database
from ledger.vault import Vault
from processors.gateway import Gateway
from processors.source.discover import discover
from tests.conftest import Server, SettableClock
from tests.source.mortal import Killed, Mortal
from tests.source.receiver import Receiver, without_keyed

studies = st.sampled_from(["1.1", "1.2", "1.3"])
series = st.sampled_from(["1", "2", "3"])
contents = st.sampled_from(["one", "two", "", "[", "latin"])
ages = st.sampled_from([0.0, 30.0, 120.0, -100.0, -200_000.0])

steps = st.one_of(
    st.tuples(st.just("write"), studies, series, contents, ages),
    st.tuples(st.just("edit"), studies, series, contents, ages),
    st.tuples(st.just("remove"), studies, series),
    st.tuples(st.just("remove"), studies),
    st.tuples(st.just("touch"), studies, series),
    st.tuples(st.just("wait"), st.sampled_from([1, 61, 4_000])),
    st.tuples(st.just("run")),
    st.tuples(st.just("run")),
    st.tuples(st.just("kill"), st.integers(1, 7)),
)


def _content(study: str, uid: str, kind: str) -> bytes:
    if kind in ("", "["):
        return kind.encode()
    document = f'{{"StudyInstanceUID":"{study}","SeriesInstanceUID":"{uid}","StudyDescription":"é{kind}"}}'
    return document.encode("latin-1" if kind == "latin" else "utf-8")


def _take(step: tuple[Any, ...], receiver: Receiver, gateway: Mortal, clock: SettableClock) -> None:
    action, *arguments = step
    if action == "wait":
        clock.advance(arguments[0])
    elif action == "run":
        discover(gateway, raw=receiver.raw, settle_seconds=60)
    elif action == "kill":
        gateway.lives = arguments[0]
        with suppress(Killed):
            discover(gateway, raw=receiver.raw, settle_seconds=60)
        gateway.lives = None
    else:
        _change(action, arguments, receiver)


def _change(action: str, arguments: list[Any], receiver: Receiver) -> None:
    place = receiver.raw / arguments[0]
    if len(arguments) == 1:
        shutil.rmtree(place, ignore_errors=True)
        return
    file = place / f"{arguments[1]}.json"
    if action == "write":
        receiver.file(f"{arguments[0]}/{file.name}", _content(*arguments[:3]), age=arguments[3])
    elif not file.exists():
        return
    elif action == "edit":
        receiver.in_place(file, _content(*arguments[:3]), age=arguments[3])
    elif action == "remove":
        receiver.remove(file)
    elif action == "touch":
        receiver.age(file, 90)


def _state(gateway: Gateway) -> tuple[dict[Any, Any], set[Any], set[Any]]:
    with gateway.begin() as work:
        rows = work.execute(text("select study, series, position from gateway.series")).all()
        found = work.identities([row.position for row in rows])
        known = {
            (row.study, row.series): (without_keyed(found[row.position][0].data), found[row.position][1])
            for row in rows
        }
        files = work.execute(text("select path, reason, digest from gateway.rejected_file"))
        rejected = {tuple(row) for row in files}
        on_disk = set(work.execute(text("select study from gateway.study where on_disk")).scalars())
    return known, rejected, on_disk


@given(st.lists(steps, max_size=25))
@settings(max_examples=25)
def test_the_ledger_ends_where_a_first_look_would(
    server: Server, migrated: tuple[str, Path], tmp_path: Path, history: list[tuple[Any, ...]]
) -> None:
    clock = SettableClock()
    receiver = Receiver(tmp_path / uuid4().hex, clock)
    with _gateway(server, migrated, clock) as lived, _gateway(server, migrated, clock) as fresh:
        for step in history:
            _take(step, receiver, lived, clock)
        clock.advance(10_000)
        discover(lived, raw=receiver.raw, settle_seconds=60)
        discover(fresh, raw=receiver.raw, settle_seconds=60)
        known, rejected, on_disk = _state(lived)
        known_fresh, rejected_fresh, on_disk_fresh = _state(fresh)
        assert known_fresh.items() <= known.items()
        assert rejected == rejected_fresh
        # A study stays while anything in its place may still become readable again.
        assert on_disk_fresh <= on_disk <= {path.parent.name for path in receiver.raw.glob("*/*.json")}
        assert discover(lived, raw=receiver.raw, settle_seconds=60).listed == 0
        shutil.rmtree(receiver.raw)


@contextmanager
def _gateway(server: Server, migrated: tuple[str, Path], clock: SettableClock) -> Iterator[Mortal]:
    with server.fresh(template=migrated[0]) as name:
        database = open_database(server.url_of(name), Path())
        with database.begin() as connection:
            vault = Vault.open(connection, migrated[1])
        yield Mortal(database=database, vault=vault, site="main", clock=clock, run=uuid4())
        database.close()
