"""Every fault that the simulator can play, over HTTP: what it is taken for, and what is tried again."""

from collections.abc import Callable

import pytest

from processors.demo.simulator import Fault, Project, Simulator
from processors.errors import Refused, ServiceError, Unanswered
from processors.redcap import Banned, NoRateLimit, Redcap, RowsRefused, UnknownFields

ROW: dict[str, str | int] = {"study_instance_uid": "1.2", "study_description": "Head"}
Call = Callable[[Redcap], object]


def do_import(client: Redcap) -> object:
    return client.import_records("incoming", [ROW], overwrite=False)


READS: list[Call] = [
    lambda client: client.export_records("incoming"),
    lambda client: client.metadata("incoming"),
    lambda client: client.next_record_name("incoming"),
]
UNTRUSTED = [
    pytest.param(Fault(kind="status", status=500, times=None), "HTTP 500", id="500"),
    pytest.param(Fault(kind="status", status=502, times=None), "HTTP 502", id="502"),
    pytest.param(Fault(kind="status", status=503, times=None), "HTTP 503", id="503"),
    pytest.param(Fault(kind="status", status=504, times=None), "HTTP 504", id="504"),
    pytest.param(Fault(kind="reset", times=None), "a connection that was cut off", id="reset"),
    pytest.param(Fault(kind="browser_tabs", times=None), "unknown error", id="browser tabs"),
    pytest.param(Fault(kind="memory_error", times=None), "smaller amount of data", id="memory"),
    pytest.param(Fault(kind="mysql_connect", times=None), "could not connect", id="MySQL"),
    pytest.param(Fault(kind="empty", times=None), "an empty body", id="empty"),
    pytest.param(Fault(kind="offline", times=None), "offline for maintenance", id="offline"),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("fault", "found"), UNTRUSTED)
def test_a_read_is_tried_four_times_and_then_told(
    client: Redcap, simulator: Simulator, waits: list[float], read: Call, fault: Fault, found: str
) -> None:
    simulator.inject(fault)

    with pytest.raises(Unanswered, match=found) as raised:
        read(client)

    assert str(raised.value).startswith("REDCap project incoming, ")
    assert "Nothing was changed" in str(raised.value)
    assert waits == [1, 3, 9]
    assert client.calls == 4


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize(("fault", "found"), UNTRUSTED)
def test_an_import_is_never_tried_again(
    client: Redcap, simulator: Simulator, incoming: Project, fault: Fault, found: str, *, after_commit: bool
) -> None:
    simulator.inject(Fault(kind=fault.kind, status=fault.status, after_commit=after_commit))

    with pytest.raises(Unanswered, match=found) as raised:
        do_import(client)

    assert "not known" in str(raised.value)
    assert client.calls == 1
    assert bool(incoming.rows()) == after_commit
    assert do_import(client) == 1


@pytest.mark.parametrize("read", READS)
def test_a_read_that_succeeds_in_the_end_gives_its_answer(
    client: Redcap, simulator: Simulator, waits: list[float], read: Call
) -> None:
    simulator.inject(Fault(kind="status", status=503, times=2))

    read(client)

    assert waits == [1, 3]


def test_json_that_breaks_off_is_no_answer(client: Redcap, simulator: Simulator, incoming: Project) -> None:
    incoming.put([{**ROW, "study_description": "banned words"}])
    simulator.inject(Fault(kind="truncated_json", times=None))

    with pytest.raises(Unanswered, match="JSON that breaks off") as of_export:
        client.export_records("incoming")
    with pytest.raises(Unanswered, match="JSON that breaks off"):
        do_import(client)

    assert "words" not in str(of_export.value)


def test_a_request_that_was_cut_off_on_its_way_advises_smaller_batches(client: Redcap, simulator: Simulator) -> None:
    simulator.inject(Fault(kind="truncated_above", bytes=10))

    with pytest.raises(Unanswered, match=r"redcap\.batch_rows smaller"):
        do_import(client)


def test_a_slow_answer_is_given_up(simulator: Simulator, incoming: Project, waits: list[float]) -> None:
    simulator.inject(Fault(kind="delay", seconds=5, after_commit=True))
    tokens = {"incoming": incoming.token}
    with (
        Redcap(
            url=simulator.url, tokens=tokens, rate_limit=NoRateLimit(), timeout_seconds=0.2, sleep=waits.append
        ) as client,
        pytest.raises(Unanswered, match=r"no answer within 0\.2 s"),
    ):
        do_import(client)

    assert waits == []
    assert incoming.rows() != []


@pytest.mark.parametrize("call", [*READS[:2], do_import])
def test_a_firewalls_403_is_refused_and_not_mistaken_for_redcaps(
    client: Redcap, simulator: Simulator, waits: list[float], call: Call
) -> None:
    simulator.inject(Fault(kind="waf"))

    with pytest.raises(Refused, match="a firewall, proxy or login page") as raised:
        call(client)

    assert not isinstance(raised.value, Banned)
    assert waits == []


@pytest.mark.parametrize("call", [*READS, do_import])
def test_a_ban_stops_at_once_and_tells_an_operator_what_to_do(
    client: Redcap, simulator: Simulator, waits: list[float], call: Call
) -> None:
    simulator.inject(Fault(kind="banned", times=None))

    with pytest.raises(Banned, match="Banned IP Addresses in REDCap's Control Center"):
        call(client)

    assert waits == []
    assert client.calls == 1


def test_the_simulators_own_limit_bans(client: Redcap, simulator: Simulator) -> None:
    simulator.settings.calls_per_minute = 2
    client.metadata("incoming")
    client.metadata("incoming")

    with pytest.raises(Banned):
        client.metadata("incoming")


@pytest.mark.parametrize(
    ("right", "call", "words"),
    [
        ("export", READS[0], "You do not have API Export privileges"),
        ("import", do_import, "You do not have API Import/Update privileges"),
    ],
)
def test_a_right_that_is_taken_away_in_the_midst_is_refused(
    client: Redcap, simulator: Simulator, waits: list[float], right: str, call: Call, words: str
) -> None:
    simulator.inject(Fault(kind="revoke_right", right=right))

    with pytest.raises(Refused, match=words) as raised:
        call(client)

    assert "redcap.tokens.incoming" in str(raised.value)
    assert waits == []


def test_an_unknown_token_is_refused(simulator: Simulator) -> None:
    token = "0123456789ABCDEF" * 2
    with (
        Redcap(url=simulator.url, tokens={"incoming": token}, rate_limit=NoRateLimit()) as client,
        pytest.raises(Refused, match="You do not have permissions to use the API") as raised,
    ):
        client.metadata("incoming")

    assert token not in str(raised.value)


def test_a_record_that_is_locked_in_the_midst_is_named(client: Redcap, simulator: Simulator) -> None:
    simulator.inject(Fault(kind="lock_record", record="1.2"))

    with pytest.raises(RowsRefused) as raised:
        do_import(client)

    assert [(each.record, each.locked) for each in raised.value.problems] == [("1.2", True)]


def test_every_error_ends_a_run_as_a_service_that_fails() -> None:
    assert issubclass(RowsRefused, ServiceError)
    assert issubclass(UnknownFields, ServiceError)


def test_a_server_that_is_away_is_told(waits: list[float]) -> None:
    with (
        Redcap(
            url="http://127.0.0.1:1/api/", tokens={"incoming": "x"}, rate_limit=NoRateLimit(), sleep=waits.append
        ) as client,
        pytest.raises(Unanswered, match="Connection refused"),
    ):
        client.metadata("incoming")

    assert waits == [1, 3, 9]


def test_a_name_that_does_not_exist_is_told(waits: list[float]) -> None:
    with (
        Redcap(
            url="http://redcap.invalid/api/", tokens={"incoming": "x"}, rate_limit=NoRateLimit(), sleep=waits.append
        ) as client,
        pytest.raises(Unanswered, match="name is not known"),
    ):
        client.metadata("incoming")
