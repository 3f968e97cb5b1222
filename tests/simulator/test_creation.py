"""Projects that are made of project XML: the simulator reads it by itself, so that it says whether ours says all."""

from datetime import UTC, datetime

import pytest
import requests

from processors.demo.simulator import Simulator, standard_projects
from processors.project_designs import project_designs
from processors.redcap.project_xml import project_xml

DESIGNS = {
    **project_designs(with_withdrawals=True, destinations=["Heart Study", 'Brain, Ageing & "Memory" <1>']),
    "transfers": project_designs(separate_transfers=True)["transfers"],
}


def asked(simulator: Simulator, **form: str | bytes) -> requests.Response:
    return requests.post(simulator.url, data={"token": simulator.super_token, "content": "project", **form}, timeout=10)


@pytest.mark.parametrize("name", DESIGNS)
def test_a_project_made_of_our_file_is_as_it_is_designed(simulator: Simulator, name: str) -> None:
    design = DESIGNS[name]
    data = f'[{{"project_title": "{design.title}", "purpose": 4}}]'
    made = asked(simulator, format="json", data=data, odm=project_xml(design, datetime(2026, 3, 2, tzinfo=UTC)))
    project = simulator.projects[design.title]
    assert (made.status_code, made.text) == (200, project.token)
    assert project.dictionary.metadata() == [dict(field) for field in design.fields]
    assert project.repeating == design.repeating
    assert project.autonumbering == design.autonumbering


def test_pycaps_form_of_the_call_makes_a_project_without_a_file(simulator: Simulator) -> None:
    info = "<?xml version='1.0'?><item><project_title>New</project_title><purpose>0</purpose></item>"
    made = asked(simulator, format="xml", data=info)
    assert simulator.projects["New"].token == made.text
    assert simulator.projects["New"].dictionary.record_id == "record_id"


@pytest.mark.parametrize(
    "form",
    [
        {"format": "json", "data": '[{"project_title": "New"}]'},
        {"format": "json", "data": '[{"project_title": "New", "purpose": 0}]', "odm": "<ODM"},
        {"format": "json", "data": '[{"project_title": "New", "purpose": 0}]', "odm": "<ODM ODMVersion='1.3.1'/>"},
        {"format": "json"},
        {"format": "json", "content": "record", "data": "[]"},
    ],
)
def test_what_is_no_project_is_refused(simulator: Simulator, form: dict[str, str]) -> None:
    assert asked(simulator, **form).status_code == 400
    assert len(simulator.projects) == len(standard_projects())
