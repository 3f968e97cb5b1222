"""A dry run: tells what a real one does then, and leaves no trace."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.operations.replay import Scope
from tests.conftest import Server, SettableClock
from tests.flow.harness import BRAIN, HEART, Asked, Site, standard_simulator
from tests.operations.operator import rehearse


def traces(site: Site) -> tuple[object, ...]:
    """All that a run could leave behind, but for the rate limit of calls."""
    tables = [
        table
        for (table,) in site.query("""
            select table_schema || '.' || table_name from information_schema.tables
             where table_schema in ('ledger', 'gateway') and table_type = 'BASE TABLE' order by 1
        """)
        if table != "gateway.call_budget"
    ]
    stored = [sorted(row[0] for row in site.query(f"select t::text from {table} as t")) for table in tables]
    return (*stored, site.incoming.rows())


def told(site: Site, scope: Scope | None = None) -> list[tuple[str, str, str]]:
    """What a dry run tells, having left no trace."""
    before = traces(site)
    changes = rehearse(site, scope)
    assert traces(site) == before
    assert not any(call.action == "import" for call in site.calls)
    return [(change.project, change.study, change.change) for change in changes]


def test_it_tells_what_would_be_requested_and_why(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series("1.2.1")
    site.simulator.calls.clear()
    assert told(site) == [(HEART, "1.2.1", "request")]
    assert rehearse(site)[0].why == "routing rule 1"
    site.run()
    assert site.transfers("1.2.1") == {1: Asked(HEART, "PID-1")}


def test_the_pseudonym_is_not_told(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series("1.2.1")
    assert "PID-1" not in repr(rehearse(site))


def test_it_tells_of_conflicts_changes_withdrawals_and_missing_rows(site: Site) -> None:
    site.entry("1", accession="ACC-1", subject="H-001")
    site.entry("2", accession="ACC-2", subject="H-002")
    for number in (1, 2, 3):
        site.series(f"1.2.{number}", AccessionNumber=f"ACC-{number}")
    site.run()
    site.entry("1", accession="ACC-1", subject="H-101")
    site.entry("2", accession="ACC-9", subject="H-002")
    site.entry("3", accession="ACC-3", subject="H-003")
    site.entry("4", accession="ACC-3", subject="H-004")
    site.person_deletes("1.2.3")
    site.grow("1.2.3")
    site.simulator.calls.clear()
    assert told(site) == [
        ("", "1.2.3", "report a missing row"),
        (HEART, "1.2.1", "change its request"),
        (HEART, "1.2.2", "withdraw its request"),
        (HEART, "1.2.3", "report a conflict"),
    ]


def test_a_request_that_redcap_holds_already_is_left_as_it_is(site: Site) -> None:
    site.rule(patient_id="PID-1")
    site.series("1.2.1")
    site.person_requests("1.2.1", HEART, "PID-1")
    site.simulator.calls.clear()
    assert told(site) == [(HEART, "1.2.1", "leave: REDCap holds the same request")]


def test_a_replay_is_rehearsed_as_well(site: Site) -> None:
    site.series("1.2.1")
    site.run()
    site.rule(patient_id="PID-1")
    site.person_deletes_series("1.2.1", 1)
    site.simulator.calls.clear()
    assert told(site, Scope(project=HEART)) == [
        ("", "1.2.1", "write a missing row"),
        (HEART, "1.2.1", "request"),
    ]


requests = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([HEART, BRAIN]), st.sampled_from(["A", "B"])), max_size=5
)


@settings(max_examples=12)
@given(rules=requests, entries=requests)
def test_what_it_tells_is_what_a_run_then_does(
    server: Server,
    migrated: tuple[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    rules: list[tuple[int, str, str]],
    entries: list[tuple[int, str, str]],
) -> None:
    clock = SettableClock()
    folder = tmp_path_factory.mktemp("rehearsal")
    with server.fresh(template=migrated[0]) as name, standard_simulator(clock) as simulator:
        site = Site(
            folder=folder, database_url=server.url_of(name), key_file=migrated[1], clock=clock, simulator=simulator
        )
        try:
            _told_and_done(site, rules, entries)
        finally:
            site.close()


def _told_and_done(site: Site, rules: list[tuple[int, str, str]], entries: list[tuple[int, str, str]]) -> None:
    for number, (patient, project, _) in enumerate(rules):
        site.rule(str(number), project=project, patient_id=f"PID-{patient}")
    for number, (patient, project, subject) in enumerate(entries):
        site.entry(str(number), accession=f"ACC-{patient}", project=project, subject=subject)
    for patient in (1, 2, 3):
        site.series(f"1.2.{patient}", PatientID=f"PID-{patient}", AccessionNumber=f"ACC-{patient}")
    foretold = rehearse(site)
    head = site.head()
    site.run()
    done = site.query(
        """
        select coalesce(data ->> 'project', ''), data ->> 'study',
               case type when 'TransferRequested' then 'request' when 'RequestHeld' then 'hold'
                         else 'report a conflict' end
          from ledger.event
         where position > :head and type in ('TransferRequested', 'RequestHeld', 'ConflictFound') order by 1, 2, 3
        """,
        head=head,
    )
    assert [(change.project, change.study, change.change) for change in foretold] == done
