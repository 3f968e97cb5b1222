"""What left the site, for the hospital's own audit trail: FHIR R4 AuditEvents, as IHE's Basic Audit Log Patterns are.

One for each time that a study is known to have been sent, whoever requested it: a report of the sender with a new date
(`TransferSent`), or what was seen when a request was withdrawn before that was told. Each fits the profile
IHE.BasicAudit.PrivacyDisclosure.Source. Nothing that identifies a person is in it: the patient is named by the subject
under which the ledger seals what is theirs. Who that is tells the master key alone, and nothing any more once they are
forgotten.
"""

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from processors.redcap.transfers import NO_MOMENT

PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source"

_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_URI = "urn:ietf:rfc:3986"
_FETCHED_AT_ONCE = 2_000
_NOT_ALLOWED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def audit_events(connection: Connection, *, first: int = 1, last: int | None = None) -> Iterator[dict[str, Any]]:
    """The disclosures that events `first` to `last` (None: the newest) tell of."""
    rows = connection.execute(
        _DISCLOSURES, {"first": first, "last": last}, execution_options={"yield_per": _FETCHED_AT_ONCE}
    )
    return (_allowed(_audit_event(row)) for row in rows)


# Of others, the instance tells which request it is.
_SAME_REQUEST = """
    data ->> 'request' is not distinct from told.data ->> 'request'
    and (told.data ->> 'request' is not null or data ->> 'instance' = told.data ->> 'instance')
"""
# What counts is told by what came before, so that parts of the ledger that are exported one after the other have what
# the whole has. A withdrawal tells of the sending that the sender's first report tells of, too: where that comes later,
# it only says when it was, and under which study UIDs.
#
# Of a study that came without a PatientID, the subject is the study's own.
_DISCLOSURES = text(f"""
    select told.event_id, told.position, told.recorded_at, told.site,
           report.data ->> 'sent_at' as sent_at, report.data -> 'mapped_uids' as mapped_uids,
           substr(told.stream, 7) as study,
           request.position as request, coalesce(request.data, told.data) ->> 'project' as project,
           coalesce(request.data, told.data) ->> 'event_name' as event_name,
           coalesce((request.data -> 'cause' ->> 'kind') || ' ' || (request.data -> 'cause' ->> 'record_id'),
                    'requested by others') as cause,
           (select ledger from ledger.vault) as ledger, coalesce(nullif(run.machine, ''), told.site) as machine,
           coalesce(received.subject::text, request.data ->> 'patient', request.subject::text) as patient
      from ledger.event as told
      left join ledger.event as request on request.position = (told.data ->> 'request')::bigint
      left join gateway.run on run.run = told.run
      left join lateral (
           select subject from ledger.event
            where stream = told.stream and type = 'SeriesDiscovered' and subject is not null
            order by version limit 1) as received on true
      join lateral (
           select count(*) as tells, count(*) filter (where type = 'TransferSent') as reports,
                  count(*) filter (where data ->> 'sent_at' = told.data ->> 'sent_at') as of_that_date
             from ledger.event
            where stream = told.stream and version < told.version and {_SAME_REQUEST}
              and (type = 'TransferSent' or (type = 'TransferWithdrawn' and data ->> 'fate' = 'sent'))
           ) as before on true
      left join lateral (
           select data from ledger.event
            where stream = told.stream and version >= told.version and type = 'TransferSent'
              and {_SAME_REQUEST}
            order by version limit 1) as report on true
     where told.position >= :first and (cast(:last as bigint) is null or told.position <= :last)
       and (told.type = 'TransferSent' or (told.type = 'TransferWithdrawn' and told.data ->> 'fate' = 'sent'))
       and (before.tells = 0 or (told.type = 'TransferSent' and before.reports > 0 and before.of_that_date = 0))
       and (request.type = 'TransferRequested' or told.data ->> 'request' is null)
     order by told.position
""")


def _audit_event(row: Any) -> dict[str, Any]:
    gateway = {"identifier": _urn(f"urn:uuid:{row.ledger}"), "display": f"fiona-ledger, site {row.site}"}
    return {
        "resourceType": "AuditEvent",
        "id": str(row.event_id),
        "meta": {"profile": [PROFILE]},
        "type": _coding(_DICOM, "110106", "Export"),
        "subtype": [_coding(f"{_TERMINOLOGY}/iso-21089-lifecycle", "disclose", "Disclose Record Lifecycle Event")],
        "action": "R",
        # As the sender wrote it, which tells no zone: a day is what can be said.
        **({"period": {"start": row.sent_at[:10], "end": row.sent_at[:10]}} if _tells_a_day(row.sent_at) else {}),
        "recorded": row.recorded_at.isoformat(timespec="milliseconds"),
        "outcome": "0",
        "purposeOfEvent": [_concept(f"{_TERMINOLOGY}/v3-ActReason", "HRESCH", "healthcare research")],
        "agent": [
            {
                "type": _concept(_DICOM, "110153", "Source Role ID"),
                "who": gateway,
                "requestor": False,
                "network": {"address": row.machine, "type": "1"},
            },
            {
                "type": _concept(_DICOM, "110152", "Destination Role ID"),
                "who": {"display": f"research project {row.project}"},
                "requestor": False,
                "network": {"address": row.project},
            },
        ],
        "source": {
            "site": row.site,
            "observer": gateway,
            "type": [_coding(f"{_TERMINOLOGY}/security-source-type", "4", "Application Server")],
        },
        "entity": [
            {
                "type": _coding(f"{_TERMINOLOGY}/audit-entity-type", "1", "Person"),
                "role": _coding(f"{_TERMINOLOGY}/object-role", "1", "Patient"),
                "what": {"type": "Patient", **_of_subject(row.patient)},
            },
            {
                "type": _coding(f"{_TERMINOLOGY}/audit-entity-type", "2", "System Object"),
                "role": _coding(f"{_TERMINOLOGY}/object-role", "3", "Report"),
                "what": {
                    "type": "ImagingStudy",
                    "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{row.study}"},
                },
                "detail": list(_details(row)),
            },
        ],
    }


def _allowed(value: Any) -> Any:
    """The value, in all of its texts `\ufffd` for the control characters that FHIR's have not."""
    match value:
        case str():
            return _NOT_ALLOWED.sub("\ufffd", value)
        case dict():
            return {name: _allowed(each) for name, each in value.items()}
        case list():
            return [_allowed(each) for each in value]
    return value


def _tells_a_day(sent_at: str | None) -> bool:
    return sent_at not in (None, "", NO_MOMENT)


def _of_subject(subject: str | None) -> dict[str, Any]:
    return {"display": "not known"} if subject is None else {"identifier": _urn(f"urn:uuid:{subject}")}


def _details(row: Any) -> Iterator[dict[str, str]]:
    """What else is to be looked up in the ledger."""
    told = {
        "position": row.position,
        "request": row.request,
        "event_name": row.event_name,
        "cause": row.cause,
        "mapped_uids": " ".join(row.mapped_uids or ()),
    }
    return ({"type": name, "valueString": str(value)} for name, value in told.items() if value)


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [_coding(system, code, display)]}


def _urn(value: str) -> dict[str, str]:
    return {"system": _URI, "value": value}
