from __future__ import annotations

from urllib.parse import urlencode

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.demo.simulator import Project, standard_projects
from processors.demo.simulator.importing import Manner, import_rows
from processors.demo.simulator.parameters import Parameters, read_parameters

IDS = st.sampled_from(["1.1", "1.2", "x 3"])
TEXTS = st.text(max_size=5)
BASE = st.fixed_dictionaries(
    {"study_instance_uid": IDS},
    optional={
        "study_description": TEXTS,
        "study_arrival_date": st.sampled_from(["", "2026-01-05 10:00"]),
        "incoming_studies_complete": st.sampled_from(["", "0", "2"]),
    },
)
SERIES = st.fixed_dictionaries(
    {
        "study_instance_uid": IDS,
        "redcap_repeat_instrument": st.just("series"),
        "redcap_repeat_instance": st.sampled_from(["1", "2", "9"]),
    },
    optional={"series_description": TEXTS, "series_num_files": st.sampled_from(["", "7"])},
)
TRANSFERS = st.fixed_dictionaries(
    {
        "study_instance_uid": IDS,
        "redcap_repeat_instrument": st.just("transfers"),
        "redcap_repeat_instance": st.sampled_from(["1", "3"]),
    },
    optional={"transfer_name": TEXTS, "transfer_error___1": st.sampled_from(["", "0", "1"])},
)
ROWS = st.lists(st.one_of(BASE, SERIES, TRANSFERS), max_size=12)
PAIRS = st.dictionaries(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), st.text(), max_size=5)


def incoming() -> Project:
    return standard_projects()["incoming"]


@settings(deadline=None)
@given(ROWS, st.booleans())
def test_importing_twice_is_importing_once(rows: list[dict[str, str]], overwrite: bool) -> None:  # noqa: FBT001
    once, twice = incoming(), incoming()
    manner = Manner(overwrite=overwrite)
    import_rows(once, rows, manner)
    import_rows(twice, rows, manner)
    import_rows(twice, rows, manner)
    assert twice.rows() == once.rows()


@settings(deadline=None)
@given(ROWS)
def test_a_whole_export_makes_the_same_project_elsewhere(rows: list[dict[str, str]]) -> None:
    first, second = incoming(), incoming()
    first.put(rows)
    second.put(first.rows())
    assert second.rows() == first.rows()


@settings(deadline=None)
@given(ROWS)
def test_a_refused_payload_changes_nothing(rows: list[dict[str, str]]) -> None:
    project = incoming()
    project.put(rows)
    before = project.rows()
    with pytest.raises(ValueError, match="expected format"):
        project.put([*rows, {"study_instance_uid": "1", "study_arrival_date": "never"}])
    assert project.rows() == before


@settings(deadline=None)
@given(PAIRS)
def test_forms_and_multipart_bodies_say_the_same(pairs: dict[str, str]) -> None:
    files = {name: (None, text.encode()) for name, text in pairs.items()}
    form = read(urlencode(pairs).encode(), "application/x-www-form-urlencoded")
    assert form.values == pairs
    if pairs:
        request = requests.Request("POST", "http://x/", files=files).prepare()
        assert isinstance(request.body, bytes)
        assert read(request.body, request.headers["Content-Type"]).values == pairs


def read(body: bytes, content_type: str) -> Parameters:
    return read_parameters(body, content_type, max_input_vars=100, post_max_size=10**6)
