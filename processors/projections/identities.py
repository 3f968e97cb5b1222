"""Projection of who uses which pseudonym: gateway.pseudonym_use, joined_patient.

The database itself refuses a request of ours under a pseudonym that another patient uses in the project. What people
write in REDCap is as it is: it is there, and does not take the pseudonym from whom it belongs to.
"""

from collections.abc import Sequence

from sqlalchemy import text

from ledger.events import Told
from ledger.projector import Changes
from processors.events.operations import SubjectForgotten
from processors.events.patients import PatientRecognised, PatientsJoined
from processors.events.transfers import (
    AdoptedTransferGone,
    TransferAdopted,
    TransferAmended,
    TransferObserved,
    TransferRequested,
    TransferSent,
    TransferWithdrawn,
)
from processors.projections.rows import Again, Parameters, Rules, Statement, on


class Identities:
    """One row a request, of whatever origin, that carries a pseudonym for a patient."""

    name = "identities"
    code_version = 7
    tables: Sequence[str] = ("gateway.pseudonym_use", "gateway.joined_patient")

    def __init__(self) -> None:
        self._rules = Rules(
            on(TransferRequested, (_USE, _requested)),
            on(TransferAmended, (_END, lambda amended, _: [{"holder": _ours(amended.replaced)}])),
            on(TransferWithdrawn, (_END, _if_unsent)),
            on(TransferObserved, (_END, _row), (_SEE, _seen)),
            on(TransferAdopted, (_END, _row), (_SEE, _seen)),
            on(AdoptedTransferGone, (_END, _row)),
            on(TransferSent, (_KEEP, _sent_by_others)),
            on(PatientRecognised, (_SEE, _found_out), (_RECOGNISE, _recognised), (_LET_GO, _nobody)),
            on(PatientsJoined, (_JOIN, _joined)),
            on(SubjectForgotten, (_LET_GO, _forgotten)),
        )
        self.types = self._rules.types

    def plan(self, events: Sequence[Told]) -> Changes:
        """What the events change, as if applied in order."""
        return self._rules.plan(events)


# Of all these, the order counts, whichever row they are about: none has a key.
_USES = """
    json_to_recordset(cast(:rows as json)) as r (
        holder text, study text, project text, event_name text, fingerprint text, patient uuid, requested_for uuid,
        position bigint)
"""
_INSERT = """
    insert into gateway.pseudonym_use
           (holder, study, project, event_name, fingerprint, patient, requested_for, position, occupies)
"""
# The first of each patient's occupies the pseudonym: that of a second patient meets the unique index. A study that
# keeps its pseudonym though its patient has changed, or it has come to be of two, takes it from nobody. What was
# requested for a patient and has turned out to be another's gives way to that patient.
_USE = Statement(
    "pseudonym_use",
    (),
    text(f"""
        with told as (select r.* from {_USES}),
        given_way as (
             select use.holder, min(told.position) as position
               from told join gateway.pseudonym_use as use using (project, fingerprint)
              where use.occupies and use.requested_for = told.patient and use.patient <> told.patient
              group by use.holder),
        freed as (
             update gateway.pseudonym_use as use set occupies = false
               from given_way where use.holder = given_way.holder
             returning use.holder)
        {_INSERT}
        select holder, study, project, event_name, fingerprint, patient, requested_for, position,
               patient is not null
               and not exists (select from told as earlier
                                where (earlier.project, earlier.fingerprint) = (told.project, told.fingerprint)
                                  and earlier.position < told.position and earlier.patient is not null
                                  and (earlier.patient = told.patient or earlier.study = told.study))
               and not exists (select from gateway.pseudonym_use as use
                                where (use.project, use.fingerprint) = (told.project, told.fingerprint)
                                  and (use.patient = told.patient or use.study = told.study) and use.occupies
                                  and not exists (select from given_way
                                                   where given_way.holder = use.holder
                                                     and given_way.position <= told.position))
          from told cross join (select count(*) from freed) as before
    """),
)
_SEE = Statement("pseudonym_use", (), text(f"{_INSERT} select r.*, false from {_USES} on conflict (holder) do nothing"))
# Whoever is left takes its place; rows that change in the same statement are seen as they were.
_NEXT = """
    update gateway.pseudonym_use as next set occupies = true
      from (select distinct on (use.project, use.fingerprint) use.holder
              from gateway.pseudonym_use as use join freed using (project, fingerprint)
             where use.patient is not null and use.holder not in (select holder from freed)
               and not exists (select from gateway.pseudonym_use as other
                                where (other.project, other.fingerprint) = (use.project, use.fingerprint)
                                  and other.occupies and other.holder not in (select holder from freed))
             order by use.project, use.fingerprint, use.position) as heir
     where next.holder = heir.holder
"""
_END = Statement(
    "pseudonym_use",
    (),
    text(f"""
        with freed as (
             delete from gateway.pseudonym_use as use
              using json_to_recordset(cast(:rows as json)) as r (holder text)
              where use.holder = r.holder
             returning use.holder, use.project, use.fingerprint)
        {_NEXT}
    """),
)
# What was sent uses the pseudonym for ever, whatever people make of the row, and went out as that of whose it was then.
_KEEP = Statement(
    "pseudonym_use",
    (),
    text("""
        update gateway.pseudonym_use as use
           set holder = r.kept, requested_for = use.patient
          from json_to_recordset(cast(:rows as json)) as r (holder text, kept text)
         where use.holder = r.holder
    """),
    Again.BOTH_COUNT,
)
_LET_GO = Statement(
    "pseudonym_use",
    (),
    text(f"""
        with freed as (
             update gateway.pseudonym_use as use set patient = null, occupies = false
               from json_to_recordset(cast(:rows as json)) as r (
                    patient uuid, study text, project text, fingerprint text)
              where use.patient = r.patient
                 or (use.study, use.project, use.fingerprint) = (r.study, r.project, r.fingerprint)
             returning use.holder, use.project, use.fingerprint)
        {_NEXT}
    """),
)
# The first that is recognised occupies a pseudonym that nobody does; the last word about each counts. What others sent
# while nobody could tell went out as that of whose it was first known to be.
_RECOGNISE = Statement(
    "pseudonym_use",
    (),
    text("""
        with told as (
             select distinct on (study, project, fingerprint) study, project, fingerprint, patient,
                    min(position) over whole as first, first_value(patient) over (whole order by position) as at_first
               from json_to_recordset(cast(:rows as json)) as r (
                    study text, project text, fingerprint text, patient uuid, position bigint)
             window whole as (partition by study, project, fingerprint)
              order by study, project, fingerprint, position desc),
        heir as (
             select distinct on (use.project, use.fingerprint) use.holder
               from told join gateway.pseudonym_use as use using (study, project, fingerprint)
              where not exists (select from gateway.pseudonym_use as other
                                 where (other.project, other.fingerprint) = (use.project, use.fingerprint)
                                   and other.occupies)
              order by use.project, use.fingerprint, told.first, use.position)
        update gateway.pseudonym_use as use
           set patient = told.patient, occupies = use.occupies or use.holder in (select holder from heir),
               requested_for = case when use.holder like 'row % sent %' then coalesce(use.requested_for, told.at_first)
                                    else use.requested_for end
          from told
         where (use.study, use.project, use.fingerprint) = (told.study, told.project, told.fingerprint)
    """),
)
_JOIN = Statement(
    "joined_patient",
    (),
    text("""
        with told as (
             select * from json_to_recordset(cast(:rows as json)) as r (project text, patient uuid, counts_as uuid)),
        before as (
             update gateway.joined_patient as joined set counts_as = told.counts_as
               from told where (joined.project, joined.counts_as) = (told.project, told.patient)),
        joined as (
             insert into gateway.joined_patient (project, patient, counts_as)
             select project, patient, counts_as from told
             on conflict (project, patient) do update set counts_as = excluded.counts_as)
        update gateway.pseudonym_use as use
           set patient = case when use.patient = told.patient then told.counts_as else use.patient end,
               requested_for = case when use.requested_for = told.patient then told.counts_as
                                    else use.requested_for end
          from told
         where use.project = told.project and told.patient in (use.patient, use.requested_for)
    """),
    again=Again.BOTH_COUNT,  # whom the one joins may be joined by the next
)


_COMPARED = ("patient", "adopted-patient")


def _ours(request: int) -> str:
    return f"request {request}"


def _theirs(study: str, instance: int) -> str:
    return f"row {study} {instance}"


def _sent(holder: str, position: int) -> str:
    return f"{holder} sent {position}"


def _requested(requested: TransferRequested, event: Told) -> list[Parameters]:
    if requested.name_fingerprint is None:
        return []
    patient = requested.patient
    return [_use(requested, event, _ours(event.position)) | {"patient": patient, "requested_for": patient}]


def _seen(row: TransferObserved | TransferAdopted, event: Told) -> list[Parameters]:
    if row.name_fingerprint is None:
        return []
    holder = _theirs(row.study, row.instance)
    if isinstance(row, TransferAdopted) and row.sent:
        holder = _sent(holder, event.position)
    return [_use(row, event, holder) | {"patient": None, "requested_for": None}]


def _sent_by_others(sent: TransferSent, event: Told) -> list[Parameters]:
    if sent.request is not None:
        return []
    holder = _theirs(sent.study, sent.instance)
    return [{"holder": holder, "kept": _sent(holder, event.position)}]


def _use(transfer: TransferRequested | TransferObserved | TransferAdopted, event: Told, holder: str) -> Parameters:
    return {
        "holder": holder,
        "study": transfer.study,
        "project": transfer.project,
        "event_name": transfer.event_name,
        "fingerprint": transfer.name_fingerprint,
        "position": event.position,
    }


def _row(row: TransferObserved | TransferAdopted | AdoptedTransferGone, _: Told) -> list[Parameters]:
    return [{"holder": _theirs(row.study, row.instance)}]


def _if_unsent(withdrawn: TransferWithdrawn, _: Told) -> list[Parameters]:
    """What was sent, or may have been, uses the pseudonym for ever."""
    return [{"holder": _ours(withdrawn.request)}] if withdrawn.fate == "unsent" else []


def _found_out(recognised: PatientRecognised, _: Told) -> list[Parameters]:
    if recognised.request is None:
        return []
    use = {"holder": _ours(recognised.request), "patient": None, "position": recognised.request}
    for_whom = {"requested_for": recognised.requested_for, "event_name": recognised.event_name}
    return [_about(recognised) | use | for_whom]


def _recognised(recognised: PatientRecognised, event: Told) -> list[Parameters]:
    if recognised.patient is None:
        return []
    return [_about(recognised) | {"patient": recognised.patient, "position": event.position}]


def _nobody(recognised: PatientRecognised, _: Told) -> list[Parameters]:
    return [_about(recognised)] if recognised.patient is None else []


def _about(recognised: PatientRecognised) -> Parameters:
    return {
        "study": recognised.study,
        "project": recognised.project,
        "fingerprint": recognised.name_fingerprint,
    }


def _joined(joined: PatientsJoined, _: Told) -> list[Parameters]:
    return [{"project": joined.project, "patient": joined.patient, "counts_as": joined.counts_as}]


def _forgotten(forgotten: SubjectForgotten, _: Told) -> list[Parameters]:
    """Nobody can compare them any more."""
    return [{"patient": subject} for kind in _COMPARED for subject in forgotten.subjects.get(kind, [])]
