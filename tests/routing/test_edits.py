"""Who changed a rule or entry: which line of REDCap's log leads to what was exported."""

import pytest

from processors.redcap.log import log_lines
from processors.routing.edits import Edit, who

ROW = {"record_id": "7", "cl_subjectid": "H-002", "cl_eventname": "baseline", "cl_projectname": ""}


def lines(*told: tuple[str, str], action: str = "Update record 7") -> list[dict[str, str]]:
    """What an export of the log says, the newest first, of users and details in their order."""
    rows = [
        {"timestamp": f"2026-03-02 10:0{minute}", "username": user, "action": action, "details": said, "record": "7"}
        for minute, (user, said) in enumerate(told)
    ]
    return rows[::-1]


def asked(rows: list[dict[str, str]], *removed: str) -> dict[str, Edit]:
    changed = {} if removed else {"7": ROW}
    return who(log_lines(rows), changed, removed)


@pytest.mark.parametrize(
    ("told", "by"),
    [
        ([("astrid", "cl_subjectid = 'H-002'")], "astrid"),
        ([("astrid", "cl_subjectid = 'H-002'"), ("bjorn", "cl_subjectid = 'H-003'")], "astrid"),
        ([("astrid", "cl_subjectid = 'H-001'"), ("bjorn", "cl_subjectid = 'H-002'")], "bjorn"),
        ([("astrid", "cl_subjectid = 'H-002'"), ("bjorn", "cl_eventname = 'baseline'")], "bjorn"),
        ([("astrid", "cl_subjectid = 'H-002', cl_projectname = ''"), ("bjorn", "note = 'x'")], "astrid"),
        ([("astrid", "cl_subjectid = 'H-001'")], None),
        ([("", "cl_subjectid = 'H-002'")], None),
    ],
)
def test_the_newest_line_that_leads_to_what_was_exported_counts(told: list[tuple[str, str]], by: str | None) -> None:
    """A line of a moment later, which the export did not show yet, is of the next change."""
    assert asked(lines(*told)).get("7", Edit()).changed_by == by


def test_who_deleted_a_record_is_told_and_when() -> None:
    deleted = lines(("astrid", "record_id = '7'"), action="Delete record 7")
    assert asked(deleted, "7") == {"7": Edit("astrid", "2026-03-02 10:00")}
    assert asked(lines(("astrid", "cl_subjectid = ''")), "7") == {}
