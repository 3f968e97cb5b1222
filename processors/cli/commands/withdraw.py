"""`fiona-ledger withdraw`: a participant who takes part in a research project no longer."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from sqlalchemy import text

from processors.cli import console
from processors.cli.bootstrap import opened_exclusively, opened_redcap, operator
from processors.cli.exit_codes import exit_codes
from processors.cli.options import JsonOption, one_line, require_reason
from processors.delivery.deliver import deliver
from processors.delivery.recognition import recognise
from processors.delivery.sender.poll import look
from processors.errors import ConfigurationError
from processors.gateway import Work
from processors.routing.configured_checks import LASTING
from processors.routing.joined import Known
from processors.routing.participants import Withdrawal
from processors.routing.unplaced import hold_unplaced
from processors.routing.withdraw import Withdrawn, is_known, patient_of_study, withdraw
from processors.text import words_of

_TASKS = text("""
    select position, study, project, instance, what, sent_at, mapped_uids from audit.task
     where open and study = any(:studies) and project = coalesce(:project, project) order by position
""")


def command(
    context: typer.Context,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Who asked for it and how, without naming the patient.")],
    project: Annotated[str | None, typer.Option("--project", metavar="NAME", help="The research project.")] = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="All projects, now and later.")] = False,
    patient_id_stdin: Annotated[
        bool, typer.Option("--patient-id-stdin", help="The patient whose PatientID comes on standard input.")
    ] = False,
    pseudonym_stdin: Annotated[
        bool, typer.Option("--pseudonym-stdin", help="Who has the pseudonym, which comes on standard input.")
    ] = False,
    study: Annotated[
        str | None, typer.Option("--study", metavar="UID", help="The patient of this study, if it is of one.")
    ] = None,
    json: JsonOption = False,
) -> bool:
    """Record that a participant withdraws: unsent requests end, later studies are held for ever, for that project.

    What was sent, or may have been, becomes a task that `status` shows until `done`. Ends with 1 where there is one, or
    where a study was said to be theirs and is said to be somebody else's now.

    Example: fiona-ledger withdraw --project "Heart Study" --study 1.2.840.1 --reason "form of 2 March, case 17"
    """
    require_reason(reason)
    if (project is not None) == all_projects:
        raise ConfigurationError("Expected one of --project and --all-projects.")
    if patient_id_stdin + pseudonym_stdin + (study is not None) != 1:
        raise ConfigurationError("Expected one of --patient-id-stdin, --pseudonym-stdin and --study.")
    if pseudonym_stdin and project is None:
        raise ConfigurationError("--pseudonym-stdin: expected --project as well, as a pseudonym is that of a project.")
    given = one_line(sys.stdin.buffer.read()) if patient_id_stdin or pseudonym_stdin else ""
    if given and given.casefold() in reason.casefold():
        raise ConfigurationError("--reason holds what standard input holds, and would be kept in plain text for ever.")
    with exit_codes() as afterwords, opened_exclusively(context.obj) as (configuration, gateway):
        batch_rows = configuration.redcap.batch_rows  # before anything is recorded that REDCap is to be told of
        if patient_id_stdin and gateway.placeholders.names_nobody(given):
            raise ConfigurationError(
                "Standard input: expected a PatientID, found a placeholder (autoid.placeholders), which names nobody. "
                "Give the pseudonym (--pseudonym-stdin) instead. Nothing was changed."
            )
        with gateway.begin() as work:
            _require_known(work, project)
            known = Known({given} if patient_id_stdin else set(), set())
            if study is not None:
                known = patient_of_study(work, study)
                if words_of(known.patient_ids).search(reason):
                    raise ConfigurationError(
                        "--reason holds the study's PatientID, and would be kept in plain text for ever. Nothing was "
                        "changed."
                    )
            wanted = Withdrawal(
                project=project,
                patient_ids=known.patient_ids,
                adopted=known.adopted,
                pseudonyms=[given] if pseudonym_stdin else [],
                by=operator(),
                reason=reason.strip(),
            )
            done = withdraw(work, wanted)
        afterwords.append("The withdrawal is recorded; the next run that gets through carries it out.")
        hold_unplaced(gateway, LASTING)
        with opened_redcap(configuration, gateway) as redcap:
            recognise(gateway, redcap)
            look(gateway, redcap)
            deliver(gateway, redcap, batch_rows=batch_rows)
        with gateway.begin() as work:
            rows = work.execute(_TASKS, {"studies": done.studies, "project": project}).mappings()
            tasks = [dict(row) for row in rows]
    if json:
        ended = [request.position for request in done.ended]
        told = {"withdrawal": done.position, "studies": done.studies, "elsewhere": done.elsewhere, "ended": ended}
        console.print_json({**told, "tasks": tasks})
    else:
        _print(done, tasks)
    return bool(tasks or done.elsewhere)


def _require_known(work: Work, project: str | None) -> None:
    if project is not None and not is_known(work, project):
        raise ConfigurationError(
            f"--project: nothing that the ledger knows names a project {project!r}; a withdrawal from it would hold "
            "nothing. Names count to the letter. Nothing was changed."
        )


def _print(done: Withdrawn, tasks: Sequence[dict[str, Any]]) -> None:
    out = console.output()
    console.say(out, f"Recorded at {done.position}. Requests that end: {len(done.ended)}.")
    if done.elsewhere:
        console.say(
            out,
            f"Said to be theirs before, and somebody else's now: {', '.join(done.elsewhere)}. What is unsent of these "
            "stands, and what is asked for them, or under a pseudonym that they had by then, is listed by `status`. If "
            "it is the same person, give `fiona-ledger withdraw --study UID` as well.",
        )
    elif not done.studies:
        console.say(out, "Nothing was requested of that patient so far. What comes later is held.")
    for task in tasks:
        uids = ", ".join(task["mapped_uids"])
        console.say(
            out,
            f"Task [{task['position']}]: study {task['study']}, project {task['project']!r}, instance "
            f"{task['instance']}: {task['what']}{f', under study UID {uids}' if uids else ''}.",
        )
    if tasks:
        console.say(out, "Have these removed downstream, then: fiona-ledger done POSITION --reason TEXT")
