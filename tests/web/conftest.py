"""A page over the history of `tests/audit`, to which texts were added that would like to do something to a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from ledger.vault import SubjectName
from processors.accession_numbers import accession_subject
from processors.configuration.file import parse
from processors.configuration.settings import Configuration
from processors.events.fact import Cause
from processors.events.rules import ExpectedStudyMissing
from processors.events.series import FileRejected
from processors.events.transfers import TransferPlaced, TransferSent
from processors.gateway import Gateway, patient_subject
from processors.web.app import Site
from tests.audit.conftest import ZONE, Story, told_story
from tests.audit.history import HEART, KNEE, Told
from tests.conftest import Server, SettableClock
from tests.facts import a_request, a_rule, a_series, an_entry

HOSTILE = "<img src=x onerror=alert(1)>\"\u202e'</title><script>alert(2)</script>"
EVIL_STUDY = "1.2.840.99.66.6"
NUMBER = "A-66"
"""Its accession number."""
CONFIGURATION = """
[redcap]
url = "https://redcap.example/api/"
tokens = { incoming = "token-in", coupling = "token-co", routing = "token-ro" }
"""


@dataclass(frozen=True)
class Shown:
    """The page, asked without a server, and what it tells of."""

    client: TestClient
    gateway: Gateway
    configuration: Configuration
    site: Site

    @contextmanager
    def with_patient_search(self) -> Iterator[TestClient]:
        """The page of a site where patients may be looked for."""
        allowed = parse(f"{CONFIGURATION}[web]\npatient_search = true\n", "the test's configuration")
        site = Site(self.gateway, allowed, unrecorded=lambda: None, told=str)
        with TestClient(site.application(), base_url="http://127.0.0.1", follow_redirects=False) as client:
            yield client

    def text(self, address: str, status: int = 200) -> str:
        answer = self.client.get(address)
        assert answer.status_code == status, (address, answer.text)
        return answer.text


@pytest.fixture(scope="package")
def story(server: Server, migrated: tuple[str, Path]) -> Iterator[Story]:
    with told_story(server, *migrated) as story:
        _add_hostile(story)
        yield story


def _add_hostile(story: Story) -> None:
    told = Told(story.database, story.vault, SettableClock())
    with told.run("2026-03-03T10:30:00+01:00", UUID(int=3), calls=1):
        told(FileRejected(path=f"1.2.7/{HOSTILE}.json", reason=HOSTILE, digest="3"))
        somebody = patient_subject(EVIL_STUDY, "X")
        number = accession_subject(NUMBER)
        assert number is not None
        with story.database.begin() as connection:
            accession = story.vault.subjects(connection, [number])[number]
        arrived = a_series(
            EVIL_STUDY,
            "1.2.840.99.66.6.1",
            AETitleCalled=HOSTILE,
            AETitleCaller=HOSTILE,
            PatientID="X",
            PatientName="Xenia^Y",
            AccessionNumber=NUMBER,
            accession=str(accession),
            NumFiles=7,
        )
        told(arrived, subject=somebody)
        rule = told(a_rule("9", HOSTILE, called=HOSTILE, event_name=HOSTILE, problems=(HOSTILE,)))
        asks = an_entry(
            "12",
            HEART,
            study=EVIL_STUDY,
            event_name=HOSTILE,
            subject_id="PSEUDO-OF-X",
            changed_by="carla",
            changed_at="2026-03-03 10:29",
        )
        entry = told(asks, subject=SubjectName("coupling", "", EVIL_STUDY))
        for instance, project, cause in (
            (1, HOSTILE, Cause("rule", "9", rule)),
            (2, HEART, Cause("coupling", "12", entry)),
        ):
            request = told(a_request(EVIL_STUDY, project, cause, pseudonym="PSEUDO-OF-X"), subject=somebody)
            told(TransferPlaced(study=EVIL_STUDY, request=request, instance=instance, found=False))
        row: dict[str, Any] = {
            "study": EVIL_STUDY,
            "project": HEART,
            "event_name": "",
            "request": request,
            "instance": 2,
        }
        told(TransferSent(**row, sent_at="2026-03-03 10:00", mapped_uids=("2.25.1",)))
        told(ExpectedStudyMissing(record_id="12", asked=entry, near={KNEE: HOSTILE}))


@pytest.fixture(scope="package")
def shown(story: Story) -> Iterator[Shown]:
    clock = SettableClock()
    clock.advance(26 * 60 * 60)
    gateway = Gateway(
        database=story.database, vault=story.vault, site="main", clock=clock, run=uuid4(), zone=ZoneInfo(ZONE)
    )
    configuration = parse(CONFIGURATION, "the test's configuration")
    site = Site(gateway, configuration, unrecorded=lambda: None, told=lambda error: f"told: {type(error).__name__}")
    with TestClient(site.application(), base_url="http://127.0.0.1:8642", follow_redirects=False) as client:
        yield Shown(client, gateway, configuration, site)
