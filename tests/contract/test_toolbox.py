"""redcap-toolbox, programs that others wrote, against the simulator: downloads, and what differs between two."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redcap.request
from redcap.project import Project as Client
from redcap_toolbox import download_redcap, download_redcap_incremental, update_redcap_diff

from processors.demo.simulator import Project, Simulator

PROGRAMS = (download_redcap, download_redcap_incremental, update_redcap_diff)


@pytest.fixture
def incoming(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Incoming, as the programs' project: each keeps it in a variable of its module."""
    project = simulator.projects["incoming"]
    for program in PROGRAMS:
        monkeypatch.setattr(program, "PROJ", Client(simulator.url, project.token))
    project.put(
        [
            {"study_instance_uid": "1.2", "study_description": "HEAD, plain"},
            {
                "study_instance_uid": "1.2",
                "redcap_repeat_instrument": "series",
                "redcap_repeat_instance": 1,
                "series_instance_uid": "1.2.1",
                "series_num_files": "7",
            },
        ]
    )
    yield project
    redcap.request._session.close()


@pytest.mark.usefixtures("incoming")
def test_of_what_is_downloaded_and_edited_one_row_differs(tmp_path: Path) -> None:
    """Its writing needs a newer PyCap than there is; what would be written is found all the same."""
    base, edited = tmp_path / "base.csv", tmp_path / "edited.csv"
    download_redcap.download_redcap(base, None, export_survey_fields=False)
    edited.write_text(base.read_text().replace(",7,", ",8,", 1))
    assert update_redcap_diff.update_redcap_diff(str(base), str(edited), dry_run=True) == 1


def test_a_second_download_asks_for_what_has_changed_alone(incoming: Project, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    overlap = download_redcap_incremental.parse_overlap("5m")
    download_redcap_incremental.run(file, overlap)
    incoming.put([{"study_instance_uid": "1.3", "study_description": "new"}])
    download_redcap_incremental.run(file, overlap)
    assert "new" in file.read_text()
    assert "HEAD, plain" in file.read_text()
