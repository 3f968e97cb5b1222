"""The rows of `transfers`: how ours are written, how anybody's are read, what the sender's fields mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.redcap import transfers
from processors.redcap.incoming import Row
from processors.redcap.transfers import transfer_row, transfer_rows
from processors.requests import AWAITED, Report
from tests.transfer_requests import FAILED, STUDY, ours, row

TICKS = ("transfer_error___1", "transfer_error___2", "transfer_error___3")
TRIED = "2026-03-02 12:10"
REQUESTED = "2026-03-02 09:05"


def exported(written: Row) -> dict[str, str]:
    """The row as REDCap gives it back: text everywhere, blank where nothing was said."""
    blank = dict.fromkeys((*transfers.READ_FIELDS, "redcap_repeat_instrument", "redcap_repeat_instance"), "")
    return blank | {name: str(value) for name, value in written.items()}


def asked(instance: int = 3, event: str = "") -> dict[str, str]:
    """An exported row of a request of ours that the sender has not met."""
    return exported(transfers.requested_row(ours(5, event=event), instance)) | dict.fromkeys(TICKS, "0")


def report(*ticked: str, **fields: str) -> Report:
    """What a row with these codes and fields of the sender reports."""
    return transfer_row(asked() | {f"transfer_error___{code}": "1" for code in ticked} | fields).report


def imported(there: dict[str, str], written: Row) -> dict[str, str]:
    """The exported row once `written` was imported: what that does not name stays."""
    return there | {name: str(value) for name, value in written.items()}


# Reading what is asked


@pytest.mark.parametrize("event", ["", "visit_1"])
def test_a_written_row_is_read_back(event: str) -> None:
    assert transfer_row(asked(event=event)) == row(3, event=event, requested=REQUESTED, error_fields=TICKS)


def test_blanks_around_what_people_typed_do_not_count() -> None:
    typed = {"transfer_name": " P1 ", "transfer_project_name": "HEART\t", "transfer_event_name": " e1"}
    blank = {"transfer_date": " ", "transfer_error_message": "\n"}
    assert transfer_row(asked() | typed | blank) == row(3, event="e1", requested=REQUESTED, error_fields=TICKS)


def test_a_row_tells_its_minute_whether_or_not_the_server_adds_seconds() -> None:
    assert transfer_row(asked() | {"transfer_requested_date": f"{REQUESTED}:00"}).requested == REQUESTED


def test_a_server_without_the_fields_of_the_sender_reports_nothing() -> None:
    older = {
        name: value
        for name, value in asked().items()
        if not name.startswith("transfer_error") and name != "transfer_mapped_uid"
    }
    assert transfer_row(older) == row(3, requested=REQUESTED)


def test_a_row_without_a_requested_date_tells_no_minute() -> None:
    without = asked()
    del without["transfer_requested_date"]
    assert transfer_row(without).requested == ""


def test_only_rows_of_transfers_that_say_something_are_read_of_an_export() -> None:
    export: list[Row] = [
        {"study_instance_uid": STUDY},
        {"study_instance_uid": STUDY, "redcap_repeat_instrument": "series", "redcap_repeat_instance": 1},
        {"study_instance_uid": STUDY, "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": 1},
    ]
    assert [read.instance for read in transfer_rows([*map(exported, export), asked(2)])] == [2]


def test_a_row_without_project_and_name_into_which_the_sender_wrote_is_read() -> None:
    emptied = exported(transfers.emptied_row(row(1))) | {"transfer_date": TRIED}
    assert [read.report.state for read in transfer_rows([emptied])] == ["sent"]


# Reading what the sender reports


def test_a_row_into_which_nothing_was_written_is_awaited() -> None:
    assert report() == AWAITED


def test_a_date_alone_says_that_the_study_was_sent() -> None:
    assert report(transfer_date=TRIED) == Report("sent", TRIED)


@pytest.mark.parametrize("codes", [("1",), ("2",), ("1", "2"), ("2", "3")])
def test_an_error_is_a_failure_although_a_date_says_when_it_was_tried(codes: tuple[str, ...]) -> None:
    failed = report(*codes, transfer_date=TRIED, transfer_error_message="connection refused by 10.0.0.7")
    assert failed == Report("failed", TRIED, codes, "no connection")


def test_masked_pixels_are_told_and_are_no_failure() -> None:
    assert report("3", transfer_date=TRIED) == Report("sent", TRIED, ("3",))


def test_which_codes_are_no_errors_is_the_site_s_to_say() -> None:
    fields = asked() | {"transfer_error___1": "1", "transfer_date": TRIED}
    assert transfer_row(fields, information={"1"}).report == Report("sent", TRIED, ("1",))
    fields = asked() | {"transfer_error___3": "1", "transfer_date": TRIED}
    assert transfer_row(fields, information=()).report == Report("failed", TRIED, ("3",), "none given")
    assert [read.report.state for read in transfer_rows([fields], information=())] == ["failed"]


def test_a_message_without_a_date_is_a_failure() -> None:
    assert report(transfer_error_message="disk full") == Report("failed", None, (), "no space")


def test_a_message_beside_a_date_and_no_error_is_none() -> None:
    assert report(transfer_date=TRIED, transfer_error_message="2 warnings").state == "sent"


def test_the_study_uids_under_which_it_was_sent_are_read_one_by_one() -> None:
    assert report(transfer_date=TRIED, transfer_mapped_uid=" 9.1, 9.2,").mapped_uids == ("9.1", "9.2")


def test_a_text_that_is_no_uid_date_or_code_is_told_as_such() -> None:
    mapped = report(transfer_date=TRIED, transfer_mapped_uid=f"2.25.1, Hansen^Ola, 12345678901, 1.{'1' * 63}")
    assert mapped.mapped_uids == ("2.25.1", "~no UID")
    assert report(transfer_date="on Monday") == Report("sent", "~no date")
    assert report(transfer_error="2; Hansen^Ola", transfer_date=TRIED).errors == ("2", "~no code")
    assert transfer_row(asked() | {"transfer_requested_date": "on Monday"}).requested == ""


@pytest.mark.parametrize("moment", ["2026-03-02", "2026-03-02 09:00", "2026-03-02 09:00:30", "2026-03-02T09:00"])
def test_a_day_or_moment_is_kept_as_the_sender_wrote_it(moment: str) -> None:
    assert report(transfer_date=moment).sent_at == moment


@given(st.text())
def test_no_word_of_the_sender_s_message_is_kept(message: str) -> None:
    secret = f"Hansen^Ola {message} 12345678901"
    assert "Hansen" not in repr(transfer_row(asked() | {"transfer_error___1": "1", "transfer_error_message": secret}))


# Writing


def test_a_request_says_what_it_asks_for_and_nothing_of_the_sender_s() -> None:
    assert transfers.requested_row(ours(5, event="visit_1"), 3) == {
        "study_instance_uid": STUDY,
        "redcap_repeat_instrument": "transfers",
        "redcap_repeat_instance": 3,
        "transfer_requested_date": REQUESTED,
        "transfer_project_name": "HEART",
        "transfer_name": "P1",
        "transfer_event_name": "visit_1",
    }


def test_a_blank_event_name_is_left_out_of_a_new_row() -> None:
    assert "transfer_event_name" not in transfers.requested_row(ours(5), 3)


def test_no_row_can_ask_for_a_forgotten_pseudonym() -> None:
    with pytest.raises(ValueError, match="request 5: its pseudonym was forgotten"):
        transfers.requested_row(ours(5, name=None), 3)


def test_an_amended_row_also_blanks_the_event_that_the_old_one_asked_for() -> None:
    assert transfers.amended_row(ours(5), row(3, event="visit_1"))["transfer_event_name"] == ""


def test_an_amended_row_stands_where_the_old_one_stood() -> None:
    assert transfers.amended_row(ours(5), row(7))["redcap_repeat_instance"] == 7


def test_amending_takes_away_what_the_sender_wrote_about_the_old_request() -> None:
    failed = exported(transfers.amended_row(ours(5, name="P2"), row(3, report=FAILED, error_fields=TICKS)))
    assert [failed[name] for name in TICKS] == ["0", "0", "0"]
    assert transfer_row(failed) == row(3, name="P2", requested=REQUESTED, error_fields=TICKS)


def test_amending_names_no_field_of_the_sender_where_nothing_was_written() -> None:
    written = transfers.amended_row(ours(5), row(3, error_fields=TICKS))
    assert written.keys() == transfers.requested_row(ours(5, event="e"), 3).keys()


def test_an_emptied_row_says_nothing() -> None:
    emptied = transfer_row(imported(asked(event="e"), transfers.emptied_row(row(3, event="e"))))
    assert emptied.is_blank
    assert emptied == row(3, "", "", requested="", error_fields=TICKS)


def test_emptying_takes_away_what_the_sender_wrote() -> None:
    failed = asked() | {"transfer_error___2": "1", "transfer_date": TRIED, "transfer_active_proc_time": "7"}
    emptied = imported(failed, transfers.emptied_row(transfer_row(failed)))
    assert transfer_row(emptied).is_blank
    assert emptied["transfer_active_proc_time"] == ""


def test_a_closed_row_loses_its_name_and_nothing_else() -> None:
    sent = asked(event="visit_1") | {"transfer_error___3": "1", "transfer_date": TRIED, "transfer_mapped_uid": "9.1"}
    closed = transfers.closed_row(transfer_row(sent))
    assert {name for name in closed if name.startswith("transfer_")} == {"transfer_name"}
    after = transfer_row(imported(sent, closed))
    assert not after.is_sendable
    assert (after.key, after.requested, after.report) == (("HEART", "visit_1"), REQUESTED, transfer_row(sent).report)


LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text == text.strip())


@given(instance=st.integers(1, 200), project=LABELS, name=LABELS, event=st.just("") | LABELS)
def test_every_request_says_what_its_row_says(instance: int, project: str, name: str, event: str) -> None:
    request = ours(5, project, name, event)
    read = transfer_row(exported(transfers.requested_row(request, instance)))
    assert request.says(read)
    assert (read.instance, read.requested) == (instance, request.minute)
