"""`fiona-ledger prove`: a small file that convinces somebody who has neither the ledger nor trust in us."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ledger import attestation, scan
from ledger.key_file import site_key
from ledger.proof import Signer, prove
from ledger.vault import stored_vault
from processors.cli import console
from processors.cli.bootstrap import opened_tables
from processors.cli.exit_codes import readers_may_leave
from processors.cli.files import written_privately
from processors.cli.harmless import on_a_line
from processors.configuration import Configuration
from processors.errors import ConfigurationError
from processors.explain.search import find_study
from processors.explain.timeline import Moment, timeline
from processors.gateway import Work


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
    json: Annotated[bool, typer.Option("--json", help="With --output or --key: say it as data.")] = False,
) -> None:
    """Write a proof of what the ledger holds of a study: its events, that each is in the ledger, and what they say.

    `ledger/chain.py`, copied alone to any machine with Python, verifies it. Of other studies it tells nothing but the
    UIDs that events of this one name; what is sealed stays sealed. The site's key lies beside the master key, and is
    made when it is needed first.

    Example: fiona-ledger prove 1.2.840.113619.2.55 --output study.proof
    """
    if key == (study is not None):
        raise ConfigurationError("Expected a study to be proven, or --key alone, which prints the site's key.")
    with opened_tables(context.obj) as (configuration, gateway), gateway.begin() as work:
        scan.as_one_moment(work.connection)
        signer = _signer(work, configuration)
        if study is None:
            _say_key(signer, as_data=json)
            return
        attestation.verify(work.connection, work.vault)
        name = find_study(work, study)
        moments = timeline(work, name)
        with console.step("Proving"):
            proof = prove(work.connection, signer, _words(name, moments), [moment.position for moment in moments])
    if output is None:
        with readers_may_leave():
            sys.stdout.buffer.write(proof.encode())
        return
    with written_privately(output) as write:
        write(proof.encode())
    if json:
        console.print_json({"file": str(output), "study": name, "events": len(moments), "key": signer.key.as_line()})
    else:
        console.output().print(f"Proved {len(moments)} events of study {name} in {output}.")


def _signer(work: Work, configuration: Configuration) -> Signer:
    """The ledger itself, by the name under which its proofs go out."""
    return Signer(f"fiona-ledger/{stored_vault(work.connection).ledger}", site_key(configuration.ledger.key_file))


def _say_key(signer: Signer, *, as_data: bool) -> None:
    if as_data:
        console.print_json({"key": signer.key.as_line()})
    else:
        console.output().print(signer.key.as_line())


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
