"""`fiona-ledger forget`: a data subject's keys destroyed, which erases what they sealed (crypto-shredding)."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from ledger import erasures
from ledger.errors import Misconfigured
from processors.cli import console
from processors.cli.bootstrap import opened_gateway, opened_redcap, operator
from processors.cli.exit_codes import exit_codes
from processors.cli.key_changes import NOT_COMPACTED, say_waiting
from processors.cli.options import JsonOption
from processors.cli.override import End, end_of
from processors.configuration.settings import Configuration
from processors.delivery.deliver import deliver
from processors.delivery.recognition import recognise
from processors.delivery.sender.poll import look
from processors.delivery.sender.queue import Copies, copies_of
from processors.errors import ConfigurationError, ServiceError
from processors.gateway import Gateway, Work
from processors.locks import only_run
from processors.operations.forget.data_subjects import DataSubject, of_patients, of_project, of_study
from processors.operations.forget.external_copies import ExternalCopies
from processors.operations.forget.forget import Forgotten, check_names_nobody, check_reason, compact, forget

_LISTED = 40


def command(
    context: typer.Context,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Who asked for it and why, without naming the patient.")],
    patient_id_stdin: Annotated[
        bool,
        typer.Option("--patient-id-stdin", help="The patients whose PatientIDs come on standard input, one a line."),
    ] = False,
    study: Annotated[
        str | None, typer.Option("--study", metavar="UID", help="The patient of this study, if it is the only one.")
    ] = None,
    autoid_project: Annotated[
        str | None,
        typer.Option("--autoid-project", metavar="NAME", help="Who has which generated ID in this project."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking: needed where nobody can be asked.")] = False,
    json: JsonOption = False,
) -> bool:
    """Destroy the keys of what identifies somebody, for good; all else in the ledger stands and verifies.

    What was requested of the forgotten ends; other rows in REDCap are listed, not deleted. See docs/privacy.md for what
    forgetting cannot reach. Ends with 1 where something waits or was sent.

    Example: printf '%s' 19151210-0001 | fiona-ledger forget --patient-id-stdin --reason "withdrew consent, case 17"
    """
    if patient_id_stdin + (study is not None) + (autoid_project is not None) != 1:
        raise ConfigurationError("Expected one of --patient-id-stdin, --study and --autoid-project.")
    check_reason(reason)
    given = patient_ids(sys.stdin.buffer.read()) if patient_id_stdin else []
    with exit_codes() as afterwords, opened_gateway(context.obj) as (configuration, gateway):

        def find(work: Work) -> list[DataSubject]:
            if study is not None:
                return [of_study(work, study)]
            if autoid_project is not None:
                return [of_project(work, autoid_project)]
            return of_patients(work, given)

        with gateway.begin() as work:
            data_subjects = find(work)
            check_names_nobody(work, reason, data_subjects)
            erasures.require_own(work.connection, configuration.ledger.key_file)
        if any(owner.all_subjects for owner in data_subjects):
            _confirm(data_subjects, yes=yes)
        transfers = "transfers" if configuration.redcap.tokens.transfers is not None else "incoming"
        done = forget(
            gateway,
            find,
            reason=reason,
            by=operator(),
            transfers=transfers,
            waiting=partial(say_waiting, json=json),
            tell=partial(_tell, raw=configuration.source.raw, json=json),
        )
        afterwords.append(
            "The keys are destroyed, and what was requested is recorded as ended; the next run that gets through has "
            "REDCap say so."
        )
        unkept = _keep_journal(gateway, configuration.ledger.key_file)
        compacted = compact(gateway.database) if done.destroyed else True
        if not json:
            _print(done, compacted=compacted)
        failure = _end_in_redcap(configuration, gateway) if done.requests else ""
        ends = [end_of(gateway, request) for request in done.requests]
        # Once REDCap was written to: what was in the queue has been taken out of it then.
        senders = copies_of(gateway.sender, {study for owner in done.data_subjects for study in owner.studies})
    if json:
        console.end_json(_as_data(done, ends, senders, compacted=compacted, unkept=unkept))
    else:
        _print_ends(ends, failure)
        _print_senders(senders)
        if unkept:
            console.say(console.output(), unkept, style="bold")
    is_open = any(end.needs_attention for end in ends) or any(copy.of_others for copy in done.external_copies.rows)
    named = any(done.external_copies.mentions)
    if unkept or is_open or not compacted or named:
        return True
    return any(owner.alike or owner.elsewhere for owner in done.data_subjects)


def _keep_journal(gateway: Gateway, key_file: Path) -> str:
    """Enters who is forgotten in the file beside the key; gives why that cannot be done, if it cannot."""
    try:
        with gateway.begin() as work:
            erasures.keep(work.connection, key_file, is_whole=not gateway.loss)
    except Misconfigured as error:  # the keys are gone: what is still to be done must be
        return str(error)
    return ""


def _end_in_redcap(configuration: Configuration, gateway: Gateway) -> str:
    """Has REDCap say that nothing of the forgotten is to be sent; gives why that cannot be done now, if it cannot."""
    try:
        with only_run(gateway) as busy, opened_redcap(configuration, gateway) as redcap:
            if busy is None:
                recognise(gateway, redcap)
                look(gateway, redcap)
                deliver(gateway, redcap, batch_rows=configuration.redcap.batch_rows)
            return "" if busy is None else busy.sentence()
    except (ServiceError, ConfigurationError) as error:  # a token that is missing undoes nothing, either
        return str(error)


def patient_ids(content: bytes) -> list[str]:
    """The PatientIDs in what came on standard input: one a line, to the letter."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError("Standard input: expected PatientIDs in UTF-8, found other bytes.") from None
    if "\x00" in text:
        raise ConfigurationError("Standard input: expected PatientIDs without NUL characters, found one.")
    lines = text.strip("\n").split("\n")
    if lines == [""]:
        raise ConfigurationError("Standard input: expected PatientIDs, one a line, found none.")
    return lines


def _confirm(data_subjects: Sequence[DataSubject], *, yes: bool) -> None:
    """Asks the person at the terminal. Raises `ConfigurationError` where there is none, or who says no."""
    if yes:
        return
    question = f"About to forget {_summary(data_subjects)}. This can never be undone. Go on?"
    # Standard input may have brought the PatientIDs: the answer comes from the terminal itself.
    terminal = _terminal()
    if terminal is None:
        raise ConfigurationError("Nobody can be asked here: give --yes as well. Nothing was changed.")
    with terminal:
        typer.echo(f"{question} [y/N]: ", nl=False, err=True)
        answer = terminal.readline()
    if answer.strip().lower() not in ("y", "yes"):
        raise ConfigurationError("Nothing was changed.")


def _terminal() -> TextIO | None:
    """Where somebody watches and can answer; None in a cron table or a pipeline of programs."""
    if not sys.stderr.isatty():
        return None
    try:
        return Path("/dev/tty").open(encoding="utf-8")
    except OSError:
        return None


def _summary(data_subjects: Sequence[DataSubject]) -> str:
    first = data_subjects[0]
    if first.what == "autoid-project":
        return f"who has which of {len(first.all_subjects)} IDs in project {first.name}"
    studies = sum(len(owner.studies) for owner in data_subjects)
    kinds = _counts(data_subjects)
    parts = [f"{count} x {_KINDS.get(kind, kind)}" for kind, count in kinds.items()]
    whom = f"the patient of study {first.name}" if first.what == "study" else _number(len(data_subjects), "patient")
    return f"{whom} with {_number(studies, 'study', 'studies')} ({', '.join(parts)})"


_KINDS = {
    "patient": "PatientID and names",
    "study": "study of its own",
    "accession": "accession number",
    "coupling": "coupling entry's pseudonym",
    "link": "ID in an auto-ID project",
    "adopted-patient": "mark of the patient by REDCap's hash",
}


def _number(count: int, one: str, more: str | None = None) -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _counts(data_subjects: Sequence[DataSubject]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for owner in data_subjects:
        for kind, subjects in owner.subjects.items():
            counts[kind] = counts.get(kind, 0) + len(subjects)
    return counts


def _copies_as_data(copies: ExternalCopies, raw: Path) -> dict[str, Any]:
    return {
        "redcap": [copy._asdict() for copy in copies.rows],
        "folders": [str(raw / study) for study in copies.folders],
        "named_in_events": copies.mentions.events,
        "named_in_runs": copies.mentions.runs,
    }


def _as_data(
    done: Forgotten, ends: Sequence[End], senders: Sequence[Copies], *, compacted: bool, unkept: str
) -> dict[str, Any]:
    return {
        "forgotten": done.destroyed,
        "kinds": _counts(done.data_subjects),
        "positions": done.positions,
        "studies": sorted({study for owner in done.data_subjects for study in owner.studies}),
        "also_under_another_patient_id": _elsewhere(done),
        "requests": [end._asdict() for end in ends],
        "sender_files": [copies._asdict() for copies in senders],
        "also_known_with_other_blanks": _alike(done),
        "compacted": compacted,
        "not_kept": unkept or None,
    }


def _alike(done: Forgotten) -> list[int]:
    return [number for number, owner in enumerate(done.data_subjects, start=1) if owner.alike]


def _elsewhere(done: Forgotten) -> list[str]:
    return sorted({study for owner in done.data_subjects for study in owner.elsewhere})


def _tell(copies: ExternalCopies, *, raw: Path, json: bool) -> None:
    """Writes what is left elsewhere, before it is too late to find out. Raises `ConfigurationError` where it cannot."""
    try:
        if json:
            console.begin_json(_copies_as_data(copies, raw))
        else:
            _print_copies(copies, raw)
            sys.stdout.flush()
    except OSError as exc:
        raise ConfigurationError(
            f"Standard output: expected to write there what is left elsewhere, found that it cannot be written "
            f"({exc.strerror}). Nothing was changed."
        ) from exc


def _print_copies(copies: ExternalCopies, raw: Path) -> None:
    out = console.output()
    rows, folders, (events, runs) = copies
    if rows:
        cells = [(copy.project, copy.record_id, copy.instance, copy.holds) for copy in rows[:_LISTED]]
        title = "Left in REDCap, for its administrator to delete or to keep"
        out.print(console.table(title, ("project", "record", "transfer", "holds"), cells))
    if len(rows) > _LISTED:
        out.print(f"... and {len(rows) - _LISTED} more (`--json` lists them all)")
    if folders:
        out.print("Left on disk; a summary that changes there makes its patient known again:")
    for study in folders[:_LISTED]:
        out.print(f"  {raw / study}")
    if len(folders) > _LISTED:
        out.print(f"  ... and {len(folders) - _LISTED} more (`--json` lists them all)")
    for what, places in (("events", events), ("summaries of runs", runs)):
        if places:
            shown = ", ".join(map(str, places[:_LISTED])) + (", ..." if len(places) > _LISTED else "")
            out.print(f"Named in {what} of the ledger, which cannot be changed: {shown}")


def _print(done: Forgotten, *, compacted: bool) -> None:
    out = console.output()
    if done.destroyed:
        out.print(f"Forgotten: {_summary(done.data_subjects)}; recorded at {done.positions[0]}.")
    else:
        out.print("Nothing to forget: it was forgotten before, or nothing was ever sealed for it.")
    for note in _notes(done, compacted=compacted):
        out.print(note)


def _print_ends(ends: Sequence[End], failure: str) -> None:
    """What becomes of what was requested: that it waits, or was or may have been sent."""
    out = console.output()
    for end in ends:
        if end.waits:
            console.say(out, end.not_yet(failure or "REDCap was not written to"), style="bold")
        elif end.untouched:
            console.say(
                out,
                f"Not touched: {end.about}. Somebody else requested the same in REDCap's instance {end.instance}, or "
                "has changed the row. If it must not be sent, remove it in REDCap.",
                style="bold",
            )
        elif end.state == "closed":
            console.say(out, f"Closed: {end.about}. It was sent, or may have been: see `fiona-ledger status`.")
        else:
            console.say(out, f"Withdrawn: {end.about}.")


def _print_senders(senders: Sequence[Copies]) -> None:
    """What the sender's folders hold of the studies; never a file's name, which holds a pseudonym."""
    out = console.output()
    if senders:
        out.print("Left in the sender's folders; the names of these files hold a study and its pseudonym:")
    for folder, study, files in senders[:_LISTED]:
        console.say(out, f"  {folder}: {_number(files, 'file')} of study {study}")
    if len(senders) > _LISTED:
        out.print(f"  ... and {len(senders) - _LISTED} more (`--json` lists them all)")


def _notes(done: Forgotten, *, compacted: bool) -> Iterator[str]:
    """What a person has to know besides."""
    if _alike(done):
        yield (
            f"NOTE: the ledger also knows {len(_alike(done))} of these PatientIDs with other blanks around them, which "
            "counts as another patient. Forget that as well if it is the same person."
        )
    if not done.destroyed:
        return
    if studies := _elsewhere(done):
        yield (
            "NOTE: series of these studies came under another PatientID as well, which somebody has: what they said "
            f"then stays readable. Forget that patient too if it is the same person: {', '.join(studies[:_LISTED])}."
        )
    if done.data_subjects[0].what == "autoid-project":
        yield (
            "Not reached: transfer requests that carry these IDs. They stay sealed for their patients and name the ID "
            "that they came from, until the patients are forgotten."
        )
    yield (
        "Not reached: backups of the database made before (with a copy of the key file), its archived WAL, the "
        "research PACS. docs/privacy.md tells what to do about them."
    )
    if not compacted:
        yield NOT_COMPACTED
