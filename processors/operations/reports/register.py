"""What the record of processing activities (article 30 of the GDPR) takes from here."""

from sqlalchemy import Connection, text

from processors.operations.reports.report import REQUESTS, Report, Table, as_of, asked


def register_report(connection: Connection) -> Report:
    """The facts of this processing; what only the hospital knows is left to be filled in."""
    return Report(
        title="Record of processing: the research gateway's ledger",
        introduction=[
            (
                "What article 30 (1) of the GDPR asks of a record of processing activities, as far as the ledger "
                "tells. Lines to fill in are the controller's to say."
            ),
            as_of(connection),
        ],
        main=asked(connection, "Recipients: research projects", _PROJECTS, "Nothing was requested yet."),
        others=[
            Table(heading="Article 30 (1)", columns=("letter", "what", "this processing"), rows=_ARTICLE_30),
            asked(connection, "Sites, and what arrived there", _SITES, "Nothing has arrived yet."),
            asked(connection, "Rights of persons, as carried out", _RIGHTS, "Nothing was asked for."),
        ],
        notes=["Descriptions of the measures: SECURITY.md, docs/privacy.md, docs/ledger.md and docs/threats.md."],
    )


_TO_FILL_IN = "to be filled in: ______________________________"
_ARTICLE_30 = (
    ("a", "controller, its representative and data protection officer", _TO_FILL_IN),
    (
        "b",
        "purposes",
        (
            "DICOM studies that arrive for research are directed to the research projects that are to have them, under "
            f"pseudonyms; legal basis {_TO_FILL_IN}"
        ),
    ),
    ("c", "categories of data subjects", "patients and participants of research projects whose studies arrive here"),
    (
        "c",
        "categories of personal data",
        (
            "PatientID, PatientName, accession number, descriptions of studies and series, pseudonyms (encrypted); "
            "UIDs, dates, AE titles (in plain). Of staff: accounts of who gave commands, or changed a rule or entry"
        ),
    ),
    ("d", "categories of recipients", "REDCap of this hospital, and the research projects listed above"),
    ("e", "transfers to third countries", _TO_FILL_IN),
    (
        "f",
        "time limits for erasure",
        f"events are kept for good; what identifies a person is erased by destroying its keys; {_TO_FILL_IN}",
    ),
    (
        "g",
        "security measures",
        (
            "encryption under a key for each person, a chain of hashes over all events, roles with the least "
            "privileges, no identity in logs or on screens"
        ),
    ),
)
_PROJECTS = text(f"""
    select asked.project, count(distinct asked.study) as studies,
           count(distinct asked.study) filter (where asked.sends > 0) as studies_sent,
           min(asked.requested_at) as first_requested, max(asked.requested_at) as last_requested,
           max(asked.sent_at) as last_sent, max(listed.approved_from) as approved_from,
           max(listed.approved_to) as approved_to
      from (select * from {REQUESTS}) as asked
      left join audit.project as listed on listed.project = asked.project and listed.in_force
     group by asked.project order by asked.project
""")
_SITES = text("""
    select site, count(*) as studies, min(arrived_at) as first, max(arrived_at) as last from audit.study
     group by site order by site
""")
_RIGHTS = text("""
    select case type when 'SubjectForgotten' then 'forgotten' when 'ParticipantWithdrew' then 'withdrew from a project'
                     else 'was told which data went where' end as what,
           count(*) as times, min(recorded_at) as first, max(recorded_at) as last
      from audit.event where type in ('SubjectForgotten', 'ParticipantWithdrew', 'ParticipantReported')
     group by 1 order by 1
""")
