"""Studies of a patient, looked for by PatientID: only where it is allowed, and never unnoticed."""

from sqlalchemy import text

from processors.gateway import Gateway
from tests.audit.history import IDENTIFYING
from tests.web.conftest import EVIL_STUDY, Shown
from tests.web.test_pages import Parsed, words


def looks(gateway: Gateway) -> list[dict[str, object]]:
    """What is recorded of looks, the history's own left out."""
    with gateway.begin() as work:
        found = work.execute(text("select data from ledger.event where type = 'PatientSearched' order by position"))
        return [data for data in found.scalars() if data["by"] == "kari@hospital.example"]


def test_a_patient_is_found_and_the_look_is_recorded_with_who_asked(shown: Shown) -> None:
    kari = {"X-Remote-User": "kari@hospital.example"}
    before = len(looks(shown.gateway))
    with shown.with_patient_search() as client:
        assert "recorded" in client.get("/search").text
        answer = client.post("/patient", data={"patient_id": " X "}, headers=kari)
        assert (answer.status_code, EVIL_STUDY in answer.text) == (200, True)
        unknown = client.post("/patient", data={"patient_id": IDENTIFYING[0] + "9"}, headers=kari)
        assert "No study is like that." in words(unknown.text)
        assert IDENTIFYING[0] not in unknown.text
        assert "patient_id" not in " ".join(Parsed(answer.text).links)
    found, nobody = looks(shown.gateway)[before:]
    assert found["studies"] == [EVIL_STUDY]
    assert found["subjects"], "the patient's, and what else is sealed for them"
    assert (nobody["studies"], nobody["subjects"]) == ([], [])


def test_nobody_is_looked_for_unless_it_is_allowed_and_known_who_asks(shown: Shown) -> None:
    before = len(looks(shown.gateway))
    assert "PatientID" not in Parsed(shown.text("/search")).words
    refused = shown.client.post("/patient", data={"patient_id": "X"}, headers={"X-Remote-User": "kari"})
    assert (refused.status_code, "web.patient_search" in refused.text) == (404, True)
    with shown.with_patient_search() as client:
        assert client.post("/patient", data={"patient_id": "X"}).status_code == 403
        for placeholder in ("", "UNKNOWN", "000"):
            answer = client.post("/patient", data={"patient_id": placeholder}, headers={"X-Remote-User": "kari"})
            assert (answer.status_code, "names nobody" in answer.text) == (404, True)
        assert client.get("/patient?patient_id=X").status_code == 405, "never in an address"
    assert len(looks(shown.gateway)) == before
