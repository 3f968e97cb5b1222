"""What others do in the middle of a run, and what is rolled back, costs nobody an ID."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text

from ledger import store
from ledger.database import Database
from ledger.events import Event, NewEvent
from ledger.vault import Vault
from processors.autoid import adoption
from processors.autoid.assign import assign_ids
from processors.autoid.candidates import Waiting
from processors.autoid.draw import draw_ids
from processors.autoid.generators import NoID, OwnGenerator, Taken
from processors.autoid.request import request_transfers
from processors.autoid.store import store_ids
from processors.autoid.sync import observe_projects
from processors.demo.simulator import Fault
from processors.demo.simulator.calls import Call
from processors.errors import ServiceError
from processors.events.fact import Cause
from processors.events.pseudonyms import IdGenerated
from processors.gateway import Gateway, Work, patient_subject
from processors.observed_list import before_exports
from processors.redcap import Redcap
from processors.routing.patient_keys import link_subject
from tests.autoid.drawn import WINDOW, identified, in_use, waiting
from tests.autoid.sites import AETITLE, EXHAUSTED, PATTERN, AutoidSite, elsewhere, key_of
from tests.facts import a_request
from tests.flow.harness import HEART
from tests.source.receiver import Receiver


class Barging(OwnGenerator):
    """Lets something happen while it draws for the first time."""

    def __init__(self, happens: Callable[[str], None]) -> None:
        super().__init__(secrets.randbelow)
        self._happens: Callable[[str], None] | None = happens
        self.draws = 0

    def draw(self, pattern: str, count: int, taken: Taken) -> list[str]:
        self.draws += 1
        drawn = super().draw(pattern, count, taken)
        if self._happens is not None:
            happens, self._happens = self._happens, None
            happens(drawn[0])
        return drawn


@pytest.fixture
def other(database: Database, gateway: Gateway, key_file: Path) -> Gateway:
    """Another site's gateway on the same ledger."""
    with database.begin() as connection:
        vault = Vault.open(connection, key_file)
    return Gateway(database=database, vault=vault, site="other", clock=gateway.clock, run=uuid4(), zone=gateway.zone)


def rows(gateway: Gateway, statement: str) -> list[tuple[object, ...]]:
    with gateway.begin() as work:
        return [tuple(row) for row in work.execute(text(statement))]


def assert_all_sealed_parts_open(gateway: Gateway, key_file: Path) -> None:
    """Nothing was sealed under a key that does not exist: a vault that starts anew opens everything."""
    with gateway.database.begin() as connection:
        vault = Vault.open(connection, key_file)
    fresh = Gateway(database=gateway.database, vault=vault, site="x", clock=gateway.clock, run=uuid4())
    with fresh.begin() as work:
        positions = work.execute(text("select position from ledger.event where sealed is not null")).scalars()
        opened = work.identities(list(positions))
    assert opened
    assert all(payload for _, payload in opened.values())


def test_a_patient_for_whom_another_site_draws_meanwhile_keeps_that_id(
    gateway: Gateway, other: Gateway, site: AutoidSite
) -> None:
    patients = ["PID-1", "PID-2"]
    with site.machine.redcap() as redcap:
        theirs = waiting(other, patients, pattern=PATTERN)
        barging = Barging(lambda _drawn: _ensure(draw_ids(other, redcap, OwnGenerator(secrets.randbelow), [theirs]), 2))
        assert draw_ids(gateway, redcap, barging, [waiting(gateway, patients, pattern=PATTERN)]) == 0
    assert rows(gateway, "select count(*), count(distinct subject) from gateway.used_id") == [(2, 2)]


def test_an_id_that_another_site_draws_meanwhile_is_not_given_to_a_second_patient(
    gateway: Gateway, other: Gateway, site: AutoidSite
) -> None:
    with site.machine.redcap() as redcap:
        theirs = waiting(other, ["PID-2"], pattern="H-[12]")
        barging = Barging(lambda _drawn: _ensure(draw_ids(other, redcap, OwnGenerator(secrets.randbelow), [theirs]), 1))
        assert draw_ids(gateway, redcap, barging, [waiting(gateway, ["PID-1"], pattern="H-[12]")]) == 1
    assert barging.draws == 2
    assert in_use(gateway) == {"H-1", "H-2"}


def _ensure(found: int, expected: int) -> None:
    assert found == expected


def requested(work: Work, name: str, study: str) -> NewEvent:
    """The event with which a rule sends a study to the project under this name."""
    request = a_request(study, HEART, Cause("rule", "1", 1), pseudonym=name)
    return work.seal(request, patient_subject(study, "PID-9"))


def request_as_a_rule(gateway: Gateway, name: str) -> None:
    """A rule of another site asks for this name."""
    with gateway.begin() as work:
        work.record([requested(work, name, "9.9.9")])


def test_an_id_that_a_rule_gives_while_it_is_drawn_is_drawn_again(
    gateway: Gateway, other: Gateway, site: AutoidSite
) -> None:
    taken: list[str] = []

    def rule(drawn: str) -> None:
        taken.append(drawn)
        request_as_a_rule(other, drawn)

    with site.machine.redcap() as redcap:
        group = waiting(gateway, ["PID-1"], pattern="H-[12]")
        assert draw_ids(gateway, redcap, Barging(rule), [group]) == 1
    (given,) = in_use(gateway)
    assert {given, *taken} == {"H-1", "H-2"}


def test_the_last_id_that_a_rule_gives_while_it_is_drawn_is_nobody_elses(
    gateway: Gateway, other: Gateway, site: AutoidSite
) -> None:
    with site.machine.redcap() as redcap:
        group = waiting(gateway, ["PID-1"], pattern="H-1")
        assert draw_ids(gateway, redcap, Barging(lambda drawn: request_as_a_rule(other, drawn)), [group]) == 0
    assert rows(gateway, "select reason from gateway.held_study") == [(EXHAUSTED,)]


def test_after_drawing_again_the_requests_are_sealed_as_ever(
    gateway: Gateway, other: Gateway, site: AutoidSite, key_file: Path
) -> None:
    """The vault keeps keys only as long as it likes: what was looked up before the draw may be gone after it."""

    def happens(drawn: str) -> None:
        request_as_a_rule(other, drawn)
        gateway.vault._keys.clear()

    site.study("1.2.1")
    site.simulator.inject(Fault(kind="status", project="projects", times=None))
    with pytest.raises(ServiceError):
        site.run()
    site.simulator.clear_faults()
    with site.machine.redcap() as redcap:
        with gateway.begin() as work:
            before = before_exports(work)
        observe_projects(gateway, redcap, before, own_generator=True)
        barging = Barging(happens)
        assigned = assign_ids(gateway, redcap, barging, window=WINDOW)
    assert (barging.draws, assigned.drawn, assigned.requested) == (2, 1, 1)
    assert_all_sealed_parts_open(gateway, key_file)


@contextmanager
def holding_the_head(site: AutoidSite, gateway: Gateway, act: Callable[[], object]) -> Iterator[Work]:
    """Nobody else can append, until this ends; `act` goes on in a thread and by now waits for that."""
    with ThreadPoolExecutor(1) as executor:
        with gateway.begin() as work:
            store.lock_head(work.connection)
            acting = executor.submit(act)
            deadline = time.monotonic() + 30
            while not waits_for_a_lock(site):
                assert not acting.done(), acting.result()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield work
        acting.result(30)


def test_a_request_that_is_being_recorded_while_an_id_is_drawn_counts(
    gateway: Gateway, other: Gateway, site: AutoidSite
) -> None:
    """Whoever holds the ledger's head is waited for, and what they record is seen."""
    with site.machine.redcap() as redcap:
        group = waiting(gateway, ["PID-1"], pattern="H-1")
        with gateway.begin() as work:
            gateway.vault.subjects(work.connection, [link_subject(HEART, key_of("PID-1"))])
        drawing = Barging(lambda _drawn: None)
        with holding_the_head(site, other, lambda: draw_ids(gateway, redcap, drawing, [group])) as work:
            work.record([requested(work, "H-1", "9.9.9")])
    assert in_use(gateway) == set()
    assert rows(gateway, "select reason from gateway.held_study") == [(EXHAUSTED,)]


def test_an_id_that_is_being_recorded_while_autoid_is_read_counts(
    gateway: Gateway, other: Gateway, site: AutoidSite
) -> None:
    site.give("1", "PID-1", "H-0001")
    with gateway.begin() as work:
        gateway.vault.subjects(work.connection, [link_subject(HEART, key_of("PID-1"))])
    with (
        site.machine.redcap() as redcap,
        holding_the_head(site, other, lambda: adoption.adopt(gateway, redcap)) as work,
    ):
        drawn = IdGenerated(
            **identified(work, HEART, "H-0002"), pattern=PATTERN, project_position=1, key=key_of("PID-1")
        )
        work.record([work.seal(drawn, link_subject(HEART, key_of("PID-1")))])
    types = rows(gateway, "select type from ledger.event order by position")
    assert types == [("IdGenerated",), ("ContradictionFound",)]


def test_requests_made_twice_at_once_are_made_once(gateway: Gateway, site: AutoidSite) -> None:
    """Two runs of one site never meet; should somebody manage it, no study is sent twice."""
    group = waiting(gateway, ["PID-1", "PID-2"], pattern=PATTERN)
    with site.machine.redcap() as redcap:
        draw_ids(gateway, redcap, OwnGenerator(secrets.randbelow), [group])
        store_ids(gateway, redcap, [])
    assert [request_transfers(gateway, [group]), request_transfers(gateway, [group])] == [2, 0]


# -- rolled back ------------------------------------------------------------------------------------------


class Boom(Exception):
    """Something fails before the commit."""


class Failing(Gateway):
    """Fails after so many appends, with the appended not yet committed."""

    appends_left: int | None = None

    def append(
        self, connection: Connection, events: Sequence[NewEvent], *, expected: Mapping[str, int] | None = None
    ) -> list[Event]:
        stored = super().append(connection, events, expected=expected)
        if events and self.appends_left is not None:
            self.appends_left -= 1
            if self.appends_left < 0:
                self.appends_left = None
                raise Boom
        return stored


@pytest.mark.parametrize("appends", range(3))
def test_what_is_sealed_after_a_rollback_can_be_opened(
    gateway: Gateway, site: AutoidSite, key_file: Path, appends: int
) -> None:
    """One process goes on after its transaction was rolled back: subjects made in it are nowhere."""
    failing = Failing(
        database=gateway.database, vault=gateway.vault, site="main", clock=gateway.clock, run=uuid4(), zone=gateway.zone
    )
    site.give("1", "OLD", "H-0001")
    group = waiting(failing, ["PID-1", "PID-2"], pattern=PATTERN)
    failing.appends_left = appends
    with site.machine.redcap() as redcap:
        for turn in range(2):
            if turn == 0:
                with pytest.raises(Boom):
                    _whole(failing, redcap, group)
            else:
                _whole(failing, redcap, group)
    site.assert_no_id_twice()
    assert_all_sealed_parts_open(gateway, key_file)
    assert rows(gateway, "select count(*) from gateway.used_id where record_id is not null") == [(3,)]


def _whole(gateway: Gateway, redcap: Redcap, group: Waiting) -> None:
    entries = adoption.adopt(gateway, redcap, [group])
    draw_ids(gateway, redcap, OwnGenerator(secrets.randbelow), [group])
    store_ids(gateway, redcap, entries)
    request_transfers(gateway, [group])


def test_a_subject_that_was_rolled_back_is_made_anew(gateway: Gateway) -> None:
    name = patient_subject("1.2.1", "PID-1")
    made: list[UUID] = []

    def make(error: type[Exception] | None = None) -> None:
        with gateway.begin() as work:
            made.append(gateway.vault.subjects(work.connection, [name])[name])
            if error is not None:
                raise error

    with pytest.raises(Boom):
        make(Boom)
    make()
    assert made[0] != made[1]
    assert rows(gateway, "select subject from ledger.subject") == [(made[1],)]


def test_a_draw_that_fails_leaves_no_trace_but_the_reason(gateway: Gateway, site: AutoidSite) -> None:
    class Broken(OwnGenerator):
        def draw(self, *_: Any) -> list[str]:
            raise NoID("it is broken")

    group = waiting(gateway, ["PID-1"], pattern=PATTERN)
    with site.machine.redcap() as redcap:
        assert draw_ids(gateway, redcap, Broken(secrets.randbelow), [group]) == 0
    assert rows(gateway, "select type, data ->> 'reason' from ledger.event") == [("StudyHeld", "it is broken")]


# -- two machines -------------------------------------------------------------------------------------------


@contextmanager
def another_run_at(site: AutoidSite, number: int, start: Callable[[], BaseProcess]) -> Iterator[list[BaseProcess]]:
    """Starts another run before this call, and goes on when that run has ended or waits for a lock."""
    started: list[BaseProcess] = []
    seen = 0

    def before(_call: Call) -> None:
        nonlocal seen
        seen += 1
        if seen != number or started:
            return
        started.append(start())
        deadline = time.monotonic() + 30
        while started[0].is_alive() and not waits_for_us(site):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    site.simulator.before_call = before
    try:
        yield started
    finally:
        site.simulator.before_call = None


def waits_for_a_lock(site: AutoidSite) -> bool:
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return bool(site.query(waiting)[0][0])


def waits_for_us(site: AutoidSite) -> bool:
    """Whether another run waits for a lock, or is at work and will have to wait for its turn with IDs."""
    waiting = """
        select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')
            or exists (select from ledger.lease as ours join ledger.lease as theirs on theirs.process <> ours.process
                        where ours.name = 'autoid' and ours.process = :process and theirs.site = 'other')
    """
    return bool(site.query(waiting, process=os.getpid())[0][0])


def test_another_site_that_runs_in_between_at_any_call_shares_the_ids(site: AutoidSite, tmp_path: Path) -> None:
    """Both have the same new patient; without taking turns, both would write the ID to AutoID."""
    site.study("1.0", "PID-0")
    site.run()
    site.study("1.1", "PID-00")
    site.run()
    first = [call.project for call in site.calls].index("projects") + 1
    calls = len(site.calls)
    receiver = Receiver(tmp_path / "elsewhere", site.clock)
    key_file = Path(shutil.copy(site.key_file, tmp_path / "copy.key"))
    there = elsewhere(site.machine, site="other", raw=receiver.raw, key_file=key_file)
    for number in range(first, calls + 1):
        patient = f"PID-{number}"
        site.study(f"1.2.{number}", patient)
        connection = {"AETitleCalled": AETITLE, "AETitleCaller": "CT1", "CallerIP": "10.0.0.2"}
        receiver.summary(f"9.9.{number}", f"9.9.{number}.1", IncomingConnection=connection, PatientID=patient)
        with another_run_at(site, number, there.start) as started:
            site.run()
        for process in started:  # a run may make fewer calls than the first
            process.join(60)
            assert process.exitcode == 0
    there.run()  # of what waited for its turn
    for number in range(first, calls + 1):
        asked = {site.requested(f"1.2.{number}"), site.requested(f"9.9.{number}")}
        assert asked == {site.id_of(f"PID-{number}")}, number
    assert {row.key for row in site.autoid_rows().values()} >= {key_of("PID-0")}
    site.assert_no_id_twice()
    site.assert_sound()
