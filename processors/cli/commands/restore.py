"""`fiona-ledger restore`: an embedded ledger made anew from what `backup` wrote."""

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ledger import clients, erasures, store
from ledger.database import EMBEDDED, open_database
from ledger.embedded import is_used, stop_unused
from ledger.events import new_event_id
from ledger.key_file import read_master_key
from processors.cli import console
from processors.cli.bootstrap import configured, now, operator
from processors.cli.options import JsonOption
from processors.configuration.settings import Configuration, LedgerSection
from processors.errors import ConfigurationError
from processors.gateway import Gateway, open_gateway
from processors.operations.forget.again import forget_again


def command(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` has written.")],
    json: JsonOption = False,
) -> bool:
    """Make an embedded ledger anew from a backup. There must be none: move its folder away before.

    Whoever was forgotten since is forgotten again, as far as the file beside the master key tells; where that is not
    there, the command says so and ends with 1, and where it is damaged, nothing is restored. The ledger appears when
    all that is done, or not at all.

    Example: fiona-ledger restore /mnt/backup/fiona-ledger.dump
    """
    configuration = configured(context.obj)
    section = configuration.ledger
    _require_room(section, file)
    known = erasures.kept(section.key_file)
    with _staged(configuration, file) as gateway:
        again, compacted = forget_again(gateway, section.key_file, by=operator())
        with gateway.begin() as work:
            position = store.head(work.connection).position
    if json:
        console.print_json({"position": position, "forgotten_again": again, "journal": known is not None})
    else:
        _print(section, file, position, again=again, has_journal=known is not None)
    return known is None or not compacted


def _require_room(section: LedgerSection, file: Path) -> None:
    if section.url != EMBEDDED:
        raise ConfigurationError(
            "ledger.url names a server, which is restored by its own tools: docs/backup.md tells how (`fiona-ledger "
            "docs` where that is). Expected an embedded ledger."
        )
    try:
        _require_empty(section.data_dir)
    except OSError as exc:
        raise ConfigurationError(
            f"ledger.data_dir: expected in {section.data_dir} room for a ledger, found that nothing can be done there: "
            f"{exc.strerror}. Let the user of this command write it."
        ) from exc
    try:
        with file.open("rb") as opened:
            start = opened.read(5)
    except OSError as exc:
        raise ConfigurationError(f"FILE {file}: the file cannot be read: {exc.strerror}.") from exc
    read_master_key(section.key_file)  # a ledger without its key would be made for nothing
    if start != b"PGDMP":
        raise ConfigurationError(f"FILE {file}: expected what `fiona-ledger backup` writes, found something else.")


def _free(data: Path) -> Path:
    """Where it may be moved to. Into a folder that is there, `mv` would put it."""
    names = (data.with_name(f"{data.name}.before{number or ''}") for number in itertools.count())
    return next(name for name in names if not os.path.lexists(name))


def _require_empty(data_dir: Path) -> None:
    """Raises `ConfigurationError` where there is a ledger, or a program that works on one; and `OSError`."""
    data = data_dir / "postgres"
    if os.path.lexists(data) and not data.exists():
        raise ConfigurationError(
            f"ledger.data_dir: expected no {data}, found a link that leads nowhere. Mount the disk that it leads to; "
            f"or, if that is lost, remove the link: rm {data}"
        )
    if data.exists():
        if data.is_dir():
            # Whoever moves it away moves data of a server that has stopped.
            stop_unused(data_dir)
        raise ConfigurationError(
            f"ledger.data_dir: expected no ledger in {data_dir}, found one, and none is ever written over. "
            f"Stop the runs, and move it away: mv {data} {_free(data)}"
        )
    if is_used(data_dir):
        # It would go on with the ledger that was moved away, beside this one.
        raise ConfigurationError(
            f"ledger.data_dir: expected no program at work on the ledger in {data_dir}, found one. Stop what "
            "runs and serves, such as fiona-ledger-resident.service and fiona-ledger-page.service."
        )


@contextmanager
def _staged(configuration: Configuration, file: Path) -> Iterator[Gateway]:
    """The restored ledger in a folder of its own, which takes its place at the end."""
    section = configuration.ledger
    staging = section.data_dir / "restored"
    shutil.rmtree(staging, ignore_errors=True)  # of a restore that was interrupted
    try:
        with closing(open_database(EMBEDDED, staging)) as database:
            clients.restore(database, file)
            yield open_gateway(
                database,
                section,
                clock=now,
                run=new_event_id(),
                key_made=console.say_key_made,
                placeholders=configuration.autoid.nobody,
            )
        (staging / "postgres").rename(section.data_dir / "postgres")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _print(section: LedgerSection, file: Path, position: int, *, again: int, has_journal: bool) -> None:
    out = console.output()
    out.print(
        f"Restored the ledger from {file}: its last event then was {position}."
        if not again
        else f"Restored the ledger from {file}, and destroyed {again} keys again, of who was forgotten since."
    )
    if not has_journal:
        out.print(
            f"There is no {erasures.journal(section.key_file)}: whoever was forgotten after this backup was made is "
            "known again. Forget them once more (docs/privacy.md), or put the file back and restore again."
        )
    out.print(
        "REDCap went on since the backup, and so did people. `fiona-ledger adopt --after-restore` shows what it takes "
        "back and what would be placed; runs refuse until then. docs/backup.md tells more."
    )
