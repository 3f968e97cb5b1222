from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest
import requests
from redcap.project import Project as Client

from processors.demo.simulator import Project, Simulator, standard_projects

from .conftest import instance


def test_all_projects_survive_in_the_state_file(tmp_path: Path) -> None:
    state = tmp_path / "redcap.json"
    with Simulator(standard_projects(), state=state) as first:
        incoming = first.projects["incoming"]
        incoming.put([{**instance("1", "transfers", 12), "transfer_name": "P"}, {"study_instance_uid": "2"}])
        incoming.lock("2")
        incoming.grant(export=False, delete=True)
        incoming.remove_field("study_arrival_date")
        first.projects["routing"].set_choices("routing_dest_project", [("9", "A, B")])
        rows, log = incoming.rows(), list(incoming.log)
    second = Simulator(standard_projects(), state=state)
    restored = second.projects["incoming"]
    assert (restored.rows(), restored.log, restored.rights) == (rows, log, incoming.rights)
    assert restored.records["2"].locked
    assert second.projects["routing"].dictionary.by_name["routing_dest_project"].choices == (("9", "A, B"),)


def test_saving_leaves_one_whole_file(tmp_path: Path) -> None:
    state = tmp_path / "redcap.json"
    with Simulator(standard_projects(), state=state) as simulator:
        simulator.projects["coupling"].put([{"record_id": "1"}])
        simulator.save()
        assert list(orjson.loads(state.read_bytes())["coupling"]["records"]) == ["1"]
    assert [path.name for path in tmp_path.iterdir()] == ["redcap.json"]


def test_transfers_can_have_a_project_of_their_own() -> None:
    projects = standard_projects(separate_transfers=True)
    transfers = projects["transfers"]
    transfers.put([{**instance("1", "transfers", 1), "transfer_name": "P"}])
    assert transfers.rows()[1]["transfer_name"] == "P"
    assert "transfer_name" not in projects["incoming"].dictionary.by_name
    assert len({project.token for project in projects.values()}) == 6


def test_tokens_are_the_same_every_time() -> None:
    tokens = [[project.token for project in standard_projects().values()] for _ in range(2)]
    assert tokens[0] == tokens[1]
    assert all(len(token) == 32 and token == token.upper() for token in tokens[0])


def test_the_address_is_known_only_while_it_runs() -> None:
    with pytest.raises(RuntimeError, match="expected a started simulator"):
        _ = Simulator(standard_projects()).url


def test_closing_ends_connections_that_clients_keep_open() -> None:
    with requests.Session() as session, Simulator(standard_projects()) as simulator:
        session.post(simulator.url, timeout=10)
        url = simulator.url
        simulator.close()
        with pytest.raises(requests.ConnectionError):
            session.post(url, timeout=10)


def test_two_threads_can_import_into_one_project(simulator: Simulator, incoming: Project) -> None:
    together = threading.Barrier(2)
    answers: list[object] = []

    def importing(name: str) -> None:
        client = Client(simulator.url, incoming.token)
        together.wait()
        for _ in range(10):
            rows = [{**instance("1", "series", "new"), "series_description": name} for _ in range(5)]
            answers.append(client.import_records(rows))

    threads = [threading.Thread(target=importing, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"count": 1}] * 20
    assert [row["redcap_repeat_instance"] for row in incoming.rows()] == ["", *range(1, 101)]


def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    state = tmp_path / "redcap.json"
    command = [sys.executable, "-m", "processors.demo.simulator", "--port", "0", "--state", str(state)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        name, token = process.stdout.readline().split()
        data = {
            "token": token,
            "content": "record",
            "format": "json",
            "data": '[{"study_instance_uid": "1"}]',
        }
        assert requests.post(url, data=data, timeout=10).json() == {"count": 1}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert list(orjson.loads(state.read_bytes())[name]["records"]) == ["1"]
