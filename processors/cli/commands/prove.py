"""`fiona-ledger prove`: a small file that convinces somebody who has neither the ledger nor trust in us."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ledger import attestation, scan
from ledger.chain import Checkpoint, parse_checkpoint
from ledger.proof import Signer, checkpoint_of, prove, prove_consistent
from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.exit_codes import readers_may_leave
from processors.cli.files import written_privately
from processors.cli.harmless import on_a_line
from processors.errors import ConfigurationError
from processors.explain.search import find_study
from processors.explain.timeline import Moment, timeline
from processors.gateway import Work
from processors.operations.proofs.daily import signer_of


def command(
    context: typer.Context,
    study: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="A StudyInstanceUID or an accession number.")
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The file to write, readable to its owner only; else standard output."),
    ] = None,
    key: Annotated[
        bool, typer.Option("--key", help="Print the key with which the site's proofs are verified, to be made known.")
    ] = False,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Print the whole ledger in three lines, signed, for others to keep.")
    ] = False,
    since: Annotated[
        Path | None,
        typer.Option("--since", help="Prove that the ledger of this kept checkpoint has only been appended to."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Say it as data.")] = False,
) -> None:
    """Write a proof of what the ledger holds of a study: its events, that each is in the ledger, and what they say.

    `ledger/chain.py`, copied alone to any machine with Python, verifies it. Of other studies it tells nothing but the
    UIDs that events of this one name; what is sealed stays sealed. The site's key lies beside the master key, and is
    made when it is needed first.

    Who keeps a checkpoint can have it proven later that what the ledger held then was never changed.

    Example: fiona-ledger prove 1.2.840.113619.2.55 --output study.proof
    """
    if [study is not None, key, checkpoint, since is not None].count(True) != 1:
        raise ConfigurationError("Expected a study to be proven, or one of --key, --checkpoint and --since.")
    kept = None if since is None else _kept_checkpoint(since)
    with opened_tables(context.obj) as (configuration, gateway), gateway.begin() as work:
        scan.as_one_moment(work.connection)
        signer = signer_of(work.connection, configuration.ledger)
        attestation.verify(work.connection, work.vault)
        with console.step("Proving"):
            if study is not None:
                proof, done = _proof_of_study(work, signer, study)
            elif kept is not None:
                proof = prove_consistent(work.connection, signer, kept)
                done = f"Proved what the ledger of {kept.size} events has become"
            elif checkpoint:
                proof, done = checkpoint_of(work.connection, signer), "Wrote a checkpoint"
            else:
                proof, done = f"{signer.key.as_line()}\n", "Wrote the key"
    if output is not None:
        with written_privately(output, configuration) as file:
            file.write(proof.encode())
    if json:
        console.print_json(
            {"key": signer.key.as_line(), **({"proof": proof} if output is None else {"file": str(output)})}
        )
    elif output is not None:
        console.output().print(f"{done} in {output}.")
    else:
        with readers_may_leave():
            sys.stdout.buffer.write(proof.encode())


def _kept_checkpoint(file: Path) -> Checkpoint:
    try:
        return parse_checkpoint(file.read_text("utf-8"))
    except ValueError as exc:  # what is not UTF-8 included
        raise ConfigurationError(
            f"--since {file}: expected a checkpoint as `fiona-ledger prove --checkpoint` prints it, found none: {exc}."
        ) from exc
    except OSError as exc:
        raise ConfigurationError(f"--since {file}: the file cannot be read: {exc.strerror}.") from exc


def _proof_of_study(work: Work, signer: Signer, wanted: str) -> tuple[str, str]:
    """The proof, and what it is."""
    study = find_study(work, wanted)
    moments = timeline(work, study)
    positions = [moment.position for moment in moments]
    proof = prove(work.connection, signer, _words(study, moments), positions)
    return proof, f"Proved {len(moments)} events of study {study}"


def _words(study: str, moments: Sequence[Moment]) -> list[str]:
    return [
        f"What the ledger holds of study {on_a_line(study)}, with the site's reasons in words:",
        "",
        *(f"[{moment.position}] {moment.at:%Y-%m-%d %H:%M:%S} UTC  {on_a_line(moment.words)}" for moment in moments),
        "",
        "Below stands each of these events as it was appended, with the path from it to the root of the whole ledger",
        "(RFC 9162), and that root, signed. To check all of it, without the ledger: python chain.py FILE --key KEY",
        "with the key that the site has made known elsewhere; it should be this one:",
    ]
