"""A peer that works the way gateways' scripts do today, as they were observed from outside: plain, and one by one.

The whole tree is parsed each time; each study is one call with all its rows, and each transfer two: what does
the record hold, then the new row. So 12,500 studies, two of five with a transfer, take 22,500 calls. Nothing is
remembered but what REDCap holds. Each call opens a connection, as the code does that REDCap offers for copying.
It is written to be quick where it can be: the rules are fetched once.

    python -m tests.benchmarks.scripts RAW URL TOKEN_INCOMING TOKEN_ROUTING
"""

import hashlib
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

Rows = list[dict[str, Any]]


class Api:
    """REDCap's web API, one call after the other."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def call(self, **parameters: str) -> Any:
        """The answer to a call."""
        answer = requests.post(self._url, data={"token": self._token, "format": "json", **parameters}, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def import_rows(self, rows: Rows) -> None:
        """Writes rows."""
        self.call(content="record", data=json.dumps(rows), type="flat", overwriteBehavior="normal")


def main() -> None:
    """Reads all, and sends study by study."""
    raw, url, incoming_token, routing_token = sys.argv[1:]
    incoming = Api(url, incoming_token)
    rules = Api(url, routing_token).call(content="record", type="flat")
    studies: dict[str, Rows] = {}
    for path in Path(raw).glob("*/*.json"):
        document = json.loads(path.read_text())
        studies.setdefault(document["StudyInstanceUID"], []).append(document)
    for uid, series in studies.items():
        incoming.import_rows([_study(uid, series[0]), *(_series(uid, n, one) for n, one in enumerate(series, 1))])
        for rule in rules:
            if re.match(rule["routing_allowed_patientid"], series[0].get("PatientID", "")):
                _request(incoming, uid, rule, series[0].get("PatientID", ""))


def _request(incoming: Api, uid: str, rule: dict[str, str], name: str) -> None:
    held = incoming.call(
        content="record", type="flat", **{"records[0]": uid, "fields[0]": "study_instance_uid", "forms[0]": "transfers"}
    )
    taken = [row for row in held if row.get("redcap_repeat_instrument") == "transfers"]
    incoming.import_rows(
        [
            {
                **_place(uid, "transfers", len(taken) + 1),
                "transfer_requested_date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
                "transfer_project_name": rule["routing_dest_project"],
                "transfer_name": name,
            }
        ]
    )


def _study(uid: str, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "study_instance_uid": uid,
        "redcap_repeat_instrument": "",
        "redcap_repeat_instance": "",
        "study_patient_id": hashlib.sha256(one.get("PatientID", "").encode()).hexdigest(),
        "study_patient_name": hashlib.sha256(one.get("PatientName", "").encode()).hexdigest(),
        "study_description": one.get("StudyDescription", ""),
        "study_date": one.get("StudyDate", ""),
        "study_time": one.get("StudyTime", ""),
        "study_accession_number": one.get("AccessionNumber", ""),
        "incoming_studies_complete": 2,
    }


def _series(uid: str, instance: int, one: dict[str, Any]) -> dict[str, Any]:
    return {
        **_place(uid, "series", instance),
        "series_instance_uid": one["SeriesInstanceUID"],
        "series_description": one.get("SeriesDescription", ""),
        "series_num_files": one.get("NumFiles", ""),
        "series_classify_types": json.dumps(one.get("ClassifyType", [])),
        "series_complete": 2,
    }


def _place(uid: str, form: str, instance: int) -> dict[str, Any]:
    return {"study_instance_uid": uid, "redcap_repeat_instrument": form, "redcap_repeat_instance": instance}


if __name__ == "__main__":
    main()
