"""`fiona-ledger redcap xml`: the projects as files of which REDCap makes them."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ledger.private_files import written_whole
from processors.cli import console
from processors.cli.bootstrap import now
from processors.cli.options import DestinationsOption, JsonOption, project_names
from processors.errors import ConfigurationError
from processors.project_designs import project_designs
from processors.redcap.project_xml import project_xml


def command(
    *,
    output: Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Where the files go.")],
    project: DestinationsOption = None,
    transfers: Annotated[
        bool, typer.Option("--transfers", help="With a project of their own for the transfers.")
    ] = False,
    withdrawals: Annotated[bool, typer.Option("--withdrawals", help="With a list of withdrawals.")] = False,
    json: JsonOption = False,
) -> None:
    """Write each project of REDCap as a file of project XML, of which somebody makes it in REDCap.

    In REDCap: New Project, a title, a purpose, "Upload a REDCap project XML file", and the file. Dictionary, repeating
    instruments and fields that people cannot change come with it. A file of the same name is replaced.

    Example: fiona-ledger redcap xml --output setup --project "Heart Study" --project "Brain, Ageing and Memory"
    """
    designs = project_designs(
        separate_transfers=transfers, with_withdrawals=withdrawals, destinations=project_names(project)
    )
    at = now()
    try:
        output.mkdir(parents=True, exist_ok=True)
        for design in designs.values():
            with written_whole(output / f"{design.name}.xml") as file:
                os.fchmod(file.fileno(), 0o644)  # it tells of nobody, and somebody else may take it to REDCap
                file.write(project_xml(design, at))
    except OSError as exc:
        raise ConfigurationError(f"--output {output}: the files cannot be written: {exc.strerror}.") from exc
    if json:
        written = {design.name: {"title": design.title, "file": f"{design.name}.xml"} for design in designs.values()}
        console.print_json({"folder": str(output), "projects": written})
        return
    out = console.output()
    for design in designs.values():
        out.print(f"Wrote {output / design.name}.xml: {design.title}")
    out.print("In REDCap, of each: New Project, its title, a purpose, Upload a REDCap project XML file.")
    out.print("Then rights and tokens, as docs/redcap.md tells, and `fiona-ledger redcap check`.")
