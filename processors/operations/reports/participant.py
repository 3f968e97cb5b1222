"""Which data of one person went where, when, and why: what article 15 of the GDPR lets a person ask."""

from sqlalchemy import text

from processors.errors import ConfigurationError
from processors.events.operations import ParticipantReported
from processors.gateway import Work
from processors.operations.forget.data_subjects import DataSubject, of_patients
from processors.operations.reports.report import OF_OTHERS, REQUESTS, Report, as_of, asked


def participant_report(work: Work, patient_id: str, *, by: str) -> Report:
    """The report of whoever has this PatientID; that `by` asked for it is recorded.

    Raises `UnknownDataSubject` where the ledger knows nobody of it, and `ConfigurationError` where it names nobody.
    """
    if work.placeholders.names_nobody(patient_id):
        raise ConfigurationError(
            "Standard input: expected a PatientID, found a placeholder (autoid.placeholders), which names nobody."
        )
    (person,) = of_patients(work, [patient_id])
    (event,) = work.record(
        [ParticipantReported(by=by, subjects=tuple(map(str, person.all_subjects)), studies=len(person.studies))]
    )
    studies = {"studies": list(person.studies)}
    connection = work.connection
    return Report(
        title="Data of one person",
        introduction=[
            (
                "Which imaging studies of the person asked about are known here, to which research projects they were "
                "requested and sent, when, and why. Whoever asked named the person; this report names nobody."
            ),
            f"That this report was made stands in the ledger as event {event.position}. {as_of(connection)}",
            *_cautions(person),
        ],
        main=asked(connection, "Where it went, when, and why", _REQUESTS, "Nothing was requested.", **studies),
        others=[
            asked(connection, "What arrived here", _STUDIES, "Nothing.", **studies),
            asked(connection, "What stood in REDCap before this system", _ADOPTED, "Nothing.", **studies),
            asked(connection, "Asked for, and held", _HELD, "Nothing was held.", **studies),
            asked(connection, "Withdrawals", _WITHDRAWN, "None is recorded.", **studies),
            asked(connection, "Left to do after withdrawals", _TASKS, "Nothing.", **studies),
        ],
        notes=[
            OF_OTHERS,
            (
                "Here are kept, of each series: PatientID, PatientName, accession number and descriptions, encrypted "
                "under the person's own keys; and UIDs, dates, AE titles and counts, in plain. Images are not kept. "
                "Pseudonyms under which studies were sent are encrypted, too, and not part of this report."
            ),
            "REDCap, the research archive and projects that got a study keep data of their own, which they tell about.",
            "The person may have this corrected or forgotten, or withdraw from a project; docs/privacy.md tells how.",
        ],
    )


def _cautions(person: DataSubject) -> list[str]:
    """What whoever hands the report on has to look at first."""
    cautions = []
    if person.alike:
        cautions.append(
            "The ledger knows this PatientID with other blanks around it, too: what came under that is not in here."
        )
    if person.elsewhere:
        cautions.append(
            f"Of {len(person.elsewhere)} of these studies, series came under another PatientID as well, which somebody "
            "has: look whose they are before this is handed on."
        )
    return cautions


_REQUESTS = text(f"""
    select project, event_name as event, study, requested_at as requested, because_of, outcome, sends,
           first_sent_at as first_sent, sent_at as last_sent
      from {REQUESTS} where study = any(:studies) order by position
""")
_STUDIES = text("""
    select study, arrived_at as arrived, site, series, on_disk as still_on_disk, in_redcap as listed_in_redcap
      from audit.study where study = any(:studies) order by arrived_at, study
""")
_ADOPTED = text("""
    select study, site, arrived,
           (select count(*) from gateway.adopted_series as series where series.study = adopted.study) as series
      from gateway.adopted_study as adopted where study = any(:studies) order by arrived, study
""")
_HELD = text("""
    select project, study, kind as reason, held_at as since, ended_at as until from audit.held
     where study = any(:studies)
     union all
    select project, study, reason, held_at, ended_at from audit.held_study where study = any(:studies)
     order by 4, 2
""")
_WITHDRAWN = text("""
    select distinct project, study, recorded_at as since from audit.event
     where type = 'StudyWithdrawn' and study = any(:studies) order by 3, 2
""")
_TASKS = text("""
    select project, study, what, since, done_at as done from audit.task where study = any(:studies) order by position
""")
