"""A ledger that has lived for years: what runs have left behind in the tables, all of it settled long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

BIG = ("coupling_entry", "outcome", "run", "series", "study", "transfer")
"""The tables that grow for as long as the ledger lives."""

_STUDIES = """
    insert into gateway.study (study, site, arrived_at, leading_series, called, row_position, row_key,
                               delivered_position, on_disk)
    select '9.' || n, 'main', now() - interval '400 days', '9.' || n || '.1', :called, 1, 'k', 1, false
      from generate_series(:first + 1, :first + :studies) as n
"""
_SERIES = """
    insert into gateway.series (study, series, position, stated, routed_position, routing_key, fingerprint, accession,
                                instance, delivered_position)
    select '9.' || n, '9.' || n || '.1', 1, array[1], 1, 'k', 'f', 'OLD-' || n, 1, 1
      from generate_series(:first + 1, :first + :studies) as n
"""
_TRANSFERS = """
    insert into gateway.transfer (position, study, project, event_name, cause_kind, cause_record, cause_position,
                                  whole_match, state, instance, placed_at)
    select -n, '9.' || n, :project, '', (array['autoid', 'coupling', 'rule'])[n % 3 + 1], n::text, 1, true, 'placed', 1,
           now() - interval '400 days'
      from generate_series(:first + 1, :first + :studies) as n
"""
_OUTCOMES = """
    insert into gateway.outcome (request, ours, study, instance, state, sent_at, sends, position, at)
    select -n, true, '9.' || n, 1, 'sent', '2020-01-01 10:00', 1, 1, now() - interval '400 days'
      from generate_series(:first + 1, :first + :studies) as n
"""
_ENTRIES = """
    insert into gateway.coupling_entry (record_id, position, life_position, asks_position, fingerprint,
                                        asks_fingerprint, removed, asked_at, accession, study, project)
    select 'old ' || n, -n, -n, -n, 'f', 'f', true, :now, 'OLD-' || n, '', 'Heart Study'
      from generate_series(:first + 1, :first + :entries) as n
"""
_RUNS = """
    insert into gateway.run (run, site, command, started_at, finished_at, exit_code, changed, summary)
    select gen_random_uuid(), 'main', 'run', :now - n * interval '1 minute', :now - n * interval '1 minute', 0, true,
           '{"events": 3, "calls": 5}'
      from generate_series(1, :runs) as n
"""


def age(
    connection: Connection, *, studies: int, entries: int, runs: int, called: str, project: str, first: int = 0
) -> None:
    """Adds what years leave behind: so many studies, sent under requests, removed entries, and runs within a year.

    `first` is how many rows there are of what was added before.
    """
    values = {
        "studies": studies,
        "entries": entries,
        "runs": runs,
        "called": called,
        "project": project,
        "first": first,
    }
    values["now"] = connection.execute(text("select coalesce(max(started_at), now()) from gateway.run")).scalar_one()
    for statement in (_STUDIES, _SERIES, _TRANSFERS, _OUTCOMES, _ENTRIES, _RUNS):
        connection.execute(text(statement), values)
    connection.execute(text("analyze"))
