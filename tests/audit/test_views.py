"""What each view tells about the history of `history.py`, against values written down here."""

import re
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest

from ledger.database import Database
from ledger.projector import Projector
from processors.events import FACTS
from processors.projections import PROJECTIONS
from tests.audit.conftest import Story
from tests.audit.history import (
    ABROAD,
    ABROAD_RUN,
    BRAIN,
    CHEST,
    FIRST_RUN,
    HEAD,
    HEART,
    HIP,
    IDENTIFYING,
    KNEE,
    SECOND_RUN,
    TEACHING,
)

VIEWS = (
    "attention",
    "chain",
    "conflict",
    "coupling_entry",
    "daily_volume",
    "doubt",
    "event",
    "expected",
    "generated_id",
    "held",
    "held_study",
    "project",
    "refused_row",
    "rejected_file",
    "request_of_others",
    "rule",
    "rule_hit",
    "run",
    "runs_by_day",
    "study",
    "task",
    "transfer",
)
FIRST_DAY, SECOND_DAY = date(2026, 3, 2), date(2026, 3, 3)


def test_the_schema_holds_these_views_and_no_others(story: Story) -> None:
    rows = story.ask("select viewname from pg_views where schemaname = 'audit' order by viewname")
    assert tuple(row["viewname"] for row in rows) == VIEWS


def test_every_view_and_column_says_what_it_shows_in_a_sentence(story: Story) -> None:
    silent = story.ask("""
        select relname, attname from pg_class
          join pg_namespace on pg_namespace.oid = relnamespace join pg_attribute on attrelid = pg_class.oid
         where nspname = 'audit' and relkind = 'v' and attnum > 0
           and (col_description(pg_class.oid, attnum) is null or col_description(pg_class.oid, attnum) !~ '[.]$'
                or obj_description(pg_class.oid, 'pg_class') !~ '[.]$')
    """)
    assert silent == []


def test_the_history_has_an_event_of_every_type(story: Story) -> None:
    assert story.told.types == set(FACTS)


# -- audit.event ---------------------------------------------------------------------------------------


def test_every_event_is_shown_once_in_order(story: Story) -> None:
    positions = [row["position"] for row in story.ask("select position from audit.event order by position")]
    (head,) = story.ask("select position from ledger.head")
    assert positions == list(range(1, head["position"] + 1))


def test_an_event_tells_its_run_its_study_and_its_cause(story: Story) -> None:
    (row,) = story.ask("select * from audit.event where position = :position", position=story.at("by entry"))
    assert row == {
        "position": story.at("by entry"),
        "recorded_at": story.told.times["by entry"],
        "site": "main",
        "run": FIRST_RUN,
        "command": "run",
        "stream": "study/1.2.1",
        "version": 4,  # after two series and the request by the rule
        "type": "TransferRequested",
        "study": KNEE,
        "project": BRAIN,
        "cause_kind": "coupling",
        "cause_record": "7",
        "cause_position": story.at("entry 7"),
        "sealed": True,
        "data": {
            "study": KNEE,
            "project": BRAIN,
            "event_name": "baseline",
            "cause": {"kind": "coupling", "record_id": "7", "position": story.at("entry 7")},
            "whole_match": True,
            "replaces": [],
            "name_fingerprint": None,
            "patient": None,
        },
    }


def test_an_event_that_is_about_no_study_has_no_study_and_no_cause(story: Story) -> None:
    (row,) = story.ask("select * from audit.event where position = :position", position=story.at("project 5"))
    assert (row["study"], row["cause_kind"], row["sealed"]) == (None, None, False)
    assert row["project"] == TEACHING


def test_the_events_of_a_study_are_those_of_its_stream(story: Story) -> None:
    rows = story.ask("select type from audit.event where study = :study order by position", study=CHEST)
    assert [row["type"] for row in rows] == [
        "SeriesDiscovered",
        "RowRefused",
        "StudyHeld",
        "RowAccepted",
        "SeriesRevised",
        "StudyReleased",
        "TransferRequested",
    ]


def test_a_rules_event_is_shown_without_its_patterns_which_may_be_a_patients_id(story: Story) -> None:
    (row,) = story.ask("select data from audit.event where position = :position", position=story.at("rule 1"))
    assert row["data"] == {
        "record_id": "1",
        "active": True,
        "project": HEART,
        "called": "FIONA",
        "calling": "",
        "event_name": "",
        "problems": [],
        "fingerprint": "rule 1",
        "changed_by": None,
        "changed_at": None,
    }


# -- audit.study ---------------------------------------------------------------------------------------


def test_a_study_shows_what_arrived_and_what_became_of_its_requests(story: Story) -> None:
    (row,) = story.ask("select * from audit.study where study = :study", study=KNEE)
    assert row == {
        "study": KNEE,
        "arrived_at": story.told.times["SeriesDiscovered 1.2.1.1"],
        "site": "main",
        "series": 2,
        "called_aetitle": "FIONA",
        "calling_aetitle": "CT1",
        "on_disk": True,
        "in_redcap": True,
        "projects": [BRAIN, HEART],
        "requested": 4,
        "placed": 1,
        "pending": 0,
        "known_sent": 2,
        "held_reason": None,
    }


def test_a_study_that_has_vanished_and_waits_to_be_written_shows_both(story: Story) -> None:
    (row,) = story.ask("select on_disk, in_redcap, placed, pending from audit.study where study = :s", s=HEAD)
    assert row == {"on_disk": False, "in_redcap": True, "placed": 0, "pending": 1}


def test_a_study_nobody_asked_for_shows_nothing_requested(story: Story) -> None:
    (row,) = story.ask("select site, projects, requested, in_redcap from audit.study where study = :s", s=ABROAD)
    assert row == {"site": "abroad", "projects": [], "requested": 0, "in_redcap": False}


def test_every_study_has_one_row(story: Story) -> None:
    rows = story.ask("select study from audit.study order by study")
    assert [row["study"] for row in rows] == [KNEE, HIP, HEAD, CHEST, ABROAD]


# -- audit.transfer ------------------------------------------------------------------------------------


def transfer(story: Story, name: str) -> dict[str, Any]:
    (row,) = story.ask("select * from audit.transfer where position = :position", position=story.at(name))
    return dict(row)


def test_a_request_by_a_rule_tells_why_and_that_its_row_stood_there_already(story: Story) -> None:
    assert transfer(story, "by rule") == {
        "position": story.at("by rule"),
        "requested_at": story.told.times["by rule"],
        "site": "main",
        "study": KNEE,
        "project": HEART,
        "event_name": "",
        "cause_kind": "rule",
        "cause_record": "1",
        "cause_position": story.at("rule 1"),
        "cause_content": {
            "record_id": "1",
            "active": True,
            "project": HEART,
            "called": "FIONA",
            "calling": "",
            "event_name": "",
            "problems": [],
            "changed_by": None,
            "changed_at": None,
        },
        "whole_match": False,
        "requested_run": FIRST_RUN,
        "state": "placed",
        "placed_at": story.told.times["rule's placed"],
        "placed_run": FIRST_RUN,
        "instance": 1,
        "found": True,
        "replaces": None,
        "amends": None,
        "amended_by": None,
        "replaced_by": None,
        "replaced_at": None,
        "retracted_at": None,
        "retraction_reason": None,
        "ended_at": None,
        "sent": True,
        "sends": 1,
        "first_sent_at": "2026-03-03 09:58",
        "sent_at": "2026-03-03 09:58",
        "tried_at": None,
        "possibly_sent": False,
        "closed": False,
        "missing": False,
        "mapped_uids": None,
        "failed": False,
        "failure": None,
        "errors": None,
        "reported_at": story.told.times["sent"],
    }


def part(row: dict[str, Any], *columns: str) -> dict[str, Any]:
    return {column: row[column] for column in columns}


STORY = ("state", "instance", "found", "replaces", "amends", "amended_by", "replaced_by", "replaced_at", "sent")


def test_a_request_whose_entry_was_corrected_tells_by_which_it_was_replaced_and_amended(story: Story) -> None:
    found = transfer(story, "by entry")
    assert part(found, *STORY, "requested_run", "placed_run") == {
        "state": "withdrawn",
        "instance": 2,
        "found": False,
        "replaces": None,
        "amends": None,
        "amended_by": story.at("corrected"),
        "replaced_by": story.at("corrected"),
        "replaced_at": story.told.times["corrected"],
        "sent": False,
        "requested_run": FIRST_RUN,
        "placed_run": FIRST_RUN,
    }


def test_the_request_that_amended_it_and_was_sent_before_its_own_correction_tells_both(story: Story) -> None:
    found = transfer(story, "corrected")
    assert part(found, *STORY, "requested_run", "placed_at", "placed_run") == {
        "state": "closed",
        "instance": 2,
        "found": False,
        "replaces": [story.at("by entry")],
        "amends": story.at("by entry"),
        "amended_by": None,
        "replaced_by": story.at("again"),
        "replaced_at": story.told.times["again"],
        "sent": True,
        "requested_run": SECOND_RUN,
        "placed_at": story.told.times["amended"],
        "placed_run": SECOND_RUN,
    }
    assert found["cause_position"] == story.at("entry 7, corrected")


def test_the_last_request_of_the_entry_tells_that_it_was_withdrawn_and_why(story: Story) -> None:
    found = transfer(story, "again")
    assert part(found, *STORY, "retracted_at", "retraction_reason") == {
        "state": "withdrawn",
        "instance": 3,
        "found": False,
        "replaces": [story.at("corrected")],
        "amends": None,
        "amended_by": None,
        "replaced_by": None,
        "replaced_at": None,
        "sent": False,
        "retracted_at": story.told.times["retracted"],
        "retraction_reason": "its coupling entry now names another study",
    }


def test_what_a_cause_said_is_shown_as_it_was_then_without_its_pseudonym(story: Story) -> None:
    assert transfer(story, "by entry")["cause_content"] == {
        "record_id": "7",
        "accession": "",
        "study": KNEE,
        "project": BRAIN,
        "event_name": "baseline",
        "date": "2026-03-01 08:00",
        "problems": [],
        "changed_by": None,
        "changed_at": None,
    }


def test_a_request_by_a_generated_id_leads_to_where_the_id_stands_and_not_to_the_id(story: Story) -> None:
    """It used to: a study, its pseudonym and its accession number stood together."""
    (row,) = story.ask(
        """
        select transfer.study, transfer.cause_record, generated_id.autoid_record, cause_content ->> 'value' as id
          from audit.transfer
          join audit.generated_id on generated_id.position = transfer.cause_position
        """
    )
    assert row == {"study": CHEST, "cause_record": "4", "autoid_record": "4", "id": None}


def test_requests_that_wait_or_are_contested_say_so(story: Story) -> None:
    rows = story.ask("select position, state from audit.transfer where placed_at is null order by position")
    assert [(row["position"], row["state"]) for row in rows] == [
        (story.at("refused"), "requested"),
        (story.at("contested"), "contested"),
        (story.at("by ID"), "requested"),
    ]


# -- audit.expected ------------------------------------------------------------------------------------


def test_what_an_entry_waits_for_is_told_with_how_it_ended(story: Story) -> None:
    rows = story.ask("select * from audit.expected order by position")
    assert [(row["record_id"], row["study"], row["near"], row["ended_how"]) for row in rows] == [
        ("8", "1.2.6", {}, "arrived"),
        ("9", "1.2.33", {HEAD: "its UID differs by one character"}, "entry removed"),
        ("9", "1.2.33", {HEAD: "its UID differs by one character"}, "acknowledged"),
    ]
    assert rows[0]["asked_position"] == story.at("entry 8")
    assert rows[0]["ended_at"] == story.told.times["8 arrived"]
    assert not any(row["open"] for row in rows)


# -- audit.task ---------------------------------------------------------------------------------------


def test_a_task_tells_what_was_sent_and_who_has_seen_to_it(story: Story) -> None:
    done, left = story.ask("select * from audit.task order by position")
    assert (done["study"], done["project"], done["instance"], done["what"]) == (KNEE, HEART, 1, "sent")
    assert (done["done_by"], done["done_reason"], done["open"]) == ("admin", "removed, ticket 13", False)
    assert done["withdrawn_position"] == story.at("study withdrawn")
    assert (left["study"], left["what"], left["open"]) == (HIP, "requested by others, can be sent", True)


# -- audit.generated_id, audit.rule_hit -----------------------------------------------------------------


def test_an_id_tells_when_it_was_drawn_from_which_pattern_and_where_it_is_stored(story: Story) -> None:
    (row,) = story.ask("select * from audit.generated_id where kind = 'generated'")
    assert row == {
        "position": story.at("drawn"),
        "drawn_at": story.told.times["drawn"],
        "project": TEACHING,
        "kind": "generated",
        "pattern": "T_[0-9]{2}",
        "autoid_record": "4",
        "site": "main",
        "run": FIRST_RUN,
    }


def test_adopted_ids_are_told_with_their_record_and_reserved_ones_only_counted(story: Story) -> None:
    rows = story.ask("select kind, autoid_record from audit.generated_id where kind <> 'generated' order by kind")
    assert [tuple(row.values()) for row in rows] == [("adopted", "3"), ("reserved", None)]


def test_no_view_tells_an_id(story: Story) -> None:
    for view in ("event", "transfer", "generated_id"):
        assert not {"T_17", "T_03"} & set(re.findall(r"\w+", str(story.ask(f"select * from audit.{view}"))))


def test_the_hits_of_a_rule_are_counted_by_day(story: Story) -> None:
    rows = story.ask("select * from audit.rule_hit order by day")
    first = {"site": "main", "rule": "1", "project": HEART, "requests": 2, "studies": 2, "partial_matches": 1}
    second = {**first, "requests": 1, "studies": 1, "partial_matches": 0}
    assert rows == [{"day": FIRST_DAY, **first}, {"day": SECOND_DAY, **second}]


# -- audit.rule, audit.coupling_entry, audit.project -----------------------------------------------------


def test_a_rule_tells_each_text_that_it_had_and_no_pattern_of_a_patient(story: Story) -> None:
    told, time = story.at, story.told.times
    rows = story.ask("select * from audit.rule order by position")
    first = {
        "position": told("rule 1"),
        "valid_from": time["rule 1"],
        "site": "main",
        "record_id": "1",
        "active": True,
        "project": HEART,
        "event_name": "",
        "called": "FIONA",
        "calling": None,
        "asks_for_patient_id": True,
        "asks_for_patient_name": False,
        "problems": None,
        "changed_by": "unknown",
        "changed_at": None,
        "valid_to": None,
        "ended_how": None,
        "ended_by": None,
        "ended_position": None,
        "in_force": True,
    }
    ended = {
        "valid_to": time["rule 2 removed"],
        "ended_how": "removed",
        "ended_by": "bjorn",
        "ended_position": told("rule 2 removed"),
        "in_force": False,
    }
    second = first | {"position": told("rule 2"), "valid_from": time["rule 2"], "record_id": "2"} | ended
    assert rows == [first, second]


def test_what_an_entry_said_on_a_day_is_found_by_a_time(story: Story) -> None:
    """It was corrected twice, named another study then, was missed and found again, and is gone."""
    names = ["entry 7", "entry 7, corrected", "entry 7, again", "entry 7, elsewhere"]
    rows = story.ask("select * from audit.coupling_entry where record_id = '7' order by position")
    assert [row["position"] for row in rows] == [story.at(name) for name in names]
    ends = [*(story.told.times[name] for name in names[1:]), story.told.times["entry 7 removed"]]
    assert [row["valid_to"] for row in rows] == ends
    assert [row["ended_how"] for row in rows] == ["changed", "changed", "changed", "removed"]
    assert [row["study"] for row in rows] == [KNEE, KNEE, KNEE, ABROAD]
    assert {(row["project"], row["event_name"], row["names_accession_number"]) for row in rows} == {
        (BRAIN, "baseline", False)
    }


def test_a_project_tells_what_the_list_said_of_it(story: Story) -> None:
    (row,) = story.ask("select * from audit.project where record_id = '5'")
    shown = part(dict(row), "project", "wants_ids", "aetitle", "pattern", "closed_by", "approved_to")
    assert shown == {
        "project": TEACHING,
        "wants_ids": True,
        "aetitle": "TEACH",
        "pattern": "T_[0-9]{2}",
        "closed_by": None,
        "approved_to": None,
    }


# -- what was wrong ------------------------------------------------------------------------------------


def test_rejected_files_are_shown_open_or_past(story: Story) -> None:
    rows = story.ask("select * from audit.rejected_file order by position")
    columns = ("position", "study", "path", "reason", "ended_at", "ended_how", "open")
    time = story.told.times
    assert [part(dict(row), *columns) for row in rows] == [
        dict(zip(columns, values, strict=True))
        for values in (
            (story.at("rejected 1.2.9/a.json"), "1.2.9", "1.2.9/a.json", "expected JSON, found an empty file",
             time["mended"], "readable", False),
            (story.at("rejected 1.2.8/b.json"), "1.2.8", "1.2.8/b.json", "not UTF-8",
             time["rejected again"], "rejected again", False),
            (story.at("rejected again"), "1.2.8", "1.2.8/b.json", "still not UTF-8", None, None, True),
        )
    ]  # fmt: skip
    assert rows[0]["rejected_at"] == time["rejected 1.2.9/a.json"]
    assert rows[0]["site"] == "main"


def test_a_held_request_tells_why_for_whom_and_when_it_was_released(story: Story) -> None:
    assert story.ask("select * from audit.held") == [
        {
            "position": story.at("request held"),
            "held_at": story.told.times["request held"],
            "site": "main",
            "study": HIP,
            "project": BRAIN,
            "event_name": "",
            "kind": "pseudonym does not fit",
            "details": "it is a national identity number",
            "other_studies": None,
            "cause_kind": "rule",
            "cause_record": "1",
            "cause_position": story.at("rule 1"),
            "held_run": SECOND_RUN,
            "ended_at": story.told.times["request released"],
            "ended_how": "released",
            "ended_run": SECOND_RUN,
            "open": False,
        }
    ]


def test_a_held_study_tells_why_and_when_it_was_released(story: Story) -> None:
    assert story.ask("select * from audit.held_study") == [
        {
            "position": story.at("held"),
            "held_at": story.told.times["held"],
            "site": "main",
            "study": CHEST,
            "project": TEACHING,
            "reason": "no PatientID",
            "ended_at": story.told.times["released"],
            "ended_how": "released",
            "open": False,
        }
    ]


def test_a_conflict_tells_its_causes_when_it_was_resolved_and_in_which_run(story: Story) -> None:
    resolved, contest = story.ask("select * from audit.conflict order by position")
    assert resolved == {
        "position": story.at("conflict"),
        "found_at": story.told.times["conflict"],
        "site": "main",
        "study": HIP,
        "project": HEART,
        "event_name": "",
        "kind": "equals",
        "causes": [
            {"kind": "rule", "record_id": "1", "position": story.at("rule 1")},
            {"kind": "rule", "record_id": "2", "position": story.at("rule 2")},
        ],
        "request": None,
        "found_run": FIRST_RUN,
        "ended_at": story.told.times["conflict resolved"],
        "ended_how": "resolved",
        "ended_run": SECOND_RUN,
        "open": False,
    }
    assert (contest["kind"], contest["request"], contest["open"]) == ("person", story.at("contested"), True)


def test_a_refused_row_tells_redcaps_words_and_whether_it_is_accepted_by_now(story: Story) -> None:
    still, accepted = story.ask("select * from audit.refused_row order by position")
    assert accepted == {
        "position": story.at("row refused"),
        "refused_at": story.told.times["row refused"],
        "site": "main",
        "study": CHEST,
        "kind": "study",
        "key": "",
        "row_position": story.at("SeriesDiscovered 1.2.4.1"),
        "field": "study_date",
        "message": "is not a date",
        "ended_at": story.told.times["row accepted"],
        "ended_how": "accepted",
        "open": False,
    }
    assert (still["kind"], still["key"], still["open"]) == ("transfer", str(story.at("refused")), True)


def test_attention_has_a_row_for_all_that_is_still_wrong_and_for_nothing_else(story: Story) -> None:
    rows = story.ask("select kind, study from audit.attention order by kind")
    assert [tuple(row.values()) for row in rows] == [
        ("contested by a person", HIP),
        ("pattern matched the start only", KNEE),
        ("refused row", HEAD),
        ("rejected file", None),
        ("task", HIP),
        ("transfer failed", HIP),
    ]


def test_a_failed_transfer_tells_where_and_why_and_not_in_whose_words(story: Story) -> None:
    (row,) = story.ask("select position, project, subject, details from audit.attention where kind = 'transfer failed'")
    assert row == {
        "position": story.at("theirs failed"),
        "project": BRAIN,
        "subject": "instance 4",
        "details": "no space",
    }


# -- runs and days -------------------------------------------------------------------------------------


def test_each_run_tells_how_long_it_took_what_it_did_and_how_it_ended(story: Story) -> None:
    rows = story.ask("select run, site, command, exit_code, outcome, events, calls from audit.run order by started_at")
    (abroad,) = story.ask("select position from audit.event where run = :run", run=ABROAD_RUN)
    (head,) = story.ask("select position from ledger.head")
    done = {"exit_code": 0, "outcome": "done"}
    assert rows == [
        {"run": FIRST_RUN, "site": "main", "command": "run", **done, "events": abroad["position"] - 1, "calls": 7},
        {"run": ABROAD_RUN, "site": "abroad", "command": "populateIncoming", **done, "events": 1, "calls": 2},
        {
            "run": SECOND_RUN,
            "site": "main",
            "command": "run",
            **done,
            "events": head["position"] - abroad["position"],
            "calls": 9,
        },
    ]  # fmt: skip


def test_a_run_begins_before_its_first_event_and_ends_with_its_last(story: Story) -> None:
    (row,) = story.ask("select started_at, finished_at from audit.run where run = :run", run=FIRST_RUN)
    assert row["started_at"] == datetime.fromisoformat("2026-03-02T09:00:00+01:00")
    (last,) = story.ask("select max(recorded_at) as recorded_at from audit.event where run = :run", run=FIRST_RUN)
    assert row["finished_at"] == last["recorded_at"]


def test_a_run_that_was_killed_is_shown_as_under_way_or_killed(story: Story) -> None:
    run = UUID(int=99)
    with story.database.begin() as connection, connection.begin_nested() as savepoint:
        driver = connection.exec_driver_sql
        driver(f"insert into gateway.run (run, site, command, started_at) values ('{run}', 'main', 'run', now())")
        row = driver(f"select outcome, exit_code, events from audit.run where run = '{run}'").one()
        savepoint.rollback()
    assert tuple(row) == ("under way or killed", None, None)


def test_the_volume_of_a_day_is_counted_by_site(story: Story) -> None:
    rows = story.ask("select * from audit.daily_volume order by day, site desc")
    (events,) = story.ask("select count(*) as first from ledger.event where run = :run", run=FIRST_RUN)
    (second,) = story.ask("select count(*) as count from ledger.event where run = :run", run=SECOND_RUN)
    columns = (
        "day", "site", "events", "studies", "series", "transfers_requested", "transfers_placed", "rejected_files",
        "ids_drawn",
    )  # fmt: skip
    assert rows == [
        dict(zip(columns, values, strict=True))
        for values in (
            (FIRST_DAY, "main", events["first"], 4, 5, 3, 2, 2, 1),
            (FIRST_DAY, "abroad", 1, 1, 1, 0, 0, 0, 0),
            (SECOND_DAY, "main", second["count"], 0, 0, 4, 2, 1, 0),
        )
    ]


def test_a_day_is_one_of_the_sessions_time_zone(story: Story) -> None:
    """In Oslo, the study abroad arrived a minute before midnight; in Helsinki, it was the next day by then."""
    with story.database.begin() as connection:
        connection.exec_driver_sql("set local time zone 'Europe/Helsinki'")
        days = connection.exec_driver_sql("select day from audit.daily_volume where site = 'abroad'").scalars().all()
    assert days == [SECOND_DAY]


# -- what must hold for all of them ----------------------------------------------------------------------


def test_a_doubt_tells_what_was_missing_and_how_that_was_settled(story: Story) -> None:
    rows = story.ask("select list, record_id, doubted_at, ended_at, ended_how, open from audit.doubt order by position")
    times = story.told.times
    told = ("list", "record_id", "doubted_at", "ended_at", "ended_how", "open")
    assert [tuple(row[name] for name in told) for row in rows] == [
        ("coupling list", "7", times["entry 7 missed"], times["entry 7 returned"], "returned", False),
        ("coupling list", "7", times["entry 7 doubted"], times["entry 7 removed"], "removed", False),
        ("routing rules", "2", times["rule 2 doubted"], times["rule 2 returned"], "returned", False),
        ("projects", "5", times["project 5 doubted"], times["project 5 returned"], "returned", False),
        ("routing rules", "1", times["rule 1 doubted"], None, None, True),
        ("withdrawals", "1", times["withdrawal 1 doubted"], times["withdrawal 1 returned"], "returned", False),
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_shows_what_identifies_a_person(story: Story, view: str) -> None:
    shown = "\n".join(str(row["row"]) for row in story.ask(f"select shown::text as row from audit.{view} as shown"))
    assert [text for text in IDENTIFYING if text in shown] == []


@pytest.mark.parametrize("text", IDENTIFYING)
def test_what_identifies_is_in_the_ledger_so_that_its_absence_in_views_tells_something(story: Story, text: str) -> None:
    with story.database.begin() as connection:
        from ledger import store

        events = list(store.read(connection))
        sealed = story.vault.unseal(connection, events)
    told = [str(event.data) for event in events] + [str(payload) for payload in sealed.values()]
    assert any(text in part for part in told)


def test_projections_that_are_rebuilt_give_the_same_views(story: Story) -> None:
    def everything() -> dict[str, list[str]]:
        return {
            view: sorted(str(row["row"]) for row in story.ask(f"select shown::text as row from audit.{view} as shown"))
            for view in VIEWS
        }

    before = everything()
    for projection in PROJECTIONS:
        Projector(PROJECTIONS).rebuild(story.database.begin, projection.name)
    assert everything() == before


@pytest.mark.parametrize(
    ("view", "table", "columns"),
    [
        ("rejected_file", "gateway.rejected_file", "position, path, reason"),
        ("held", "gateway.held_request", "position, study, project, event_name, kind"),
        ("held_study", "gateway.held_study", "position, study, project, reason"),
        ("conflict", "gateway.conflict", "position, study, project, event_name, kind"),
        ("refused_row", "gateway.refused_row", "position, study, kind, key, field, message"),
    ],
)
def test_what_a_view_shows_as_open_is_what_the_gateway_goes_by(
    story: Story, view: str, table: str, columns: str
) -> None:
    shown = story.ask(f"select {columns} from audit.{view} where open order by position")
    assert shown == story.ask(f"select {columns} from {table} order by position")


def test_a_view_reads_the_same_after_a_dump_and_a_restore(passing_database: Database) -> None:
    """`verify` used to find audit.task changed by somebody: PostgreSQL writes down what it has made of a query."""
    definition = "select relname, pg_get_viewdef(oid) as query from pg_class where relnamespace = {}::regnamespace"
    with passing_database.begin() as connection:
        written = {row.relname: row.query for row in connection.exec_driver_sql(definition.format("'audit'"))}
        for name, query in written.items():
            as_it_is = query.replace("%", "%%")
            connection.exec_driver_sql(f"create temporary view {name} as {as_it_is}")
        read = {row.relname: row.query for row in connection.exec_driver_sql(definition.format("pg_my_temp_schema()"))}
    assert written.keys() == set(VIEWS)
    assert [name for name in written if read[name] != written[name]] == []


def test_what_others_requested_is_told_with_what_became_of_it(story: Story) -> None:
    (theirs,) = story.ask("select * from audit.request_of_others")
    assert (theirs["study"], theirs["project"], theirs["instance"], theirs["adopted"]) == (HIP, BRAIN, 4, False)
    assert (theirs["sends"], theirs["failed"], theirs["failure"]) == (0, True, "no space")
    assert theirs["reported_at"] == story.told.times["theirs failed"]
