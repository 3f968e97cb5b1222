"""`fiona-ledger verify`: whether the ledger is what was written."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from sqlalchemy import Connection, text

from ledger import attestation, guards, roles, verification, views
from ledger.chain import KeptHead, parse_heads
from ledger.database import Database
from ledger.errors import Corrupt, KeyProblem
from ledger.migrations import FOLDER
from ledger.proof import checkpoint_of
from ledger.vault import Vault
from ledger.verification import Difference, Verified
from processors import run_codes
from processors.cli import console
from processors.cli.bootstrap import now, opened_database
from processors.cli.dates import local_time
from processors.cli.harmless import on_a_line
from processors.cli.options import JsonOption
from processors.configuration.settings import LedgerSection
from processors.errors import ConfigurationError
from processors.operations import audit, audited_chain
from processors.operations.audited_chain import AuditedChain
from processors.operations.forget.forgotten import forgotten_at
from processors.operations.proofs.daily import Evidence, origin_of, signer_of
from processors.operations.proofs.verification import Given, verify_given
from processors.operations.rebuild import emptied_tables
from processors.projections import PROJECTIONS


def command(
    context: typer.Context,
    *,
    head: Annotated[
        bool,
        typer.Option("--head", help="Print only a checkpoint to keep elsewhere: all events in three signed lines."),
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="What --head printed, kept: each must still be part of the ledger ('-': stdin).",
        ),
    ] = None,
    kept: Annotated[
        bool, typer.Option("--kept", help="Check the checkpoints of each day, who countersigned them, and time-stamps.")
    ] = False,
    projections: Annotated[
        bool, typer.Option("--projections", help="Derive all projections afresh and compare them row by row.")
    ] = False,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="This machine is not meant to have the master key.")
    ] = False,
    json: JsonOption = False,
) -> bool:
    """Recompute the ledger's chain of hashes, and check positions, streams, subjects, keys, guards and views.

    Ends with 4 and names the first event that fails, and how. Changes nothing; runs may go on meanwhile. Where the
    master key is not used, --head prints one line that nobody signs: position, hash and time. A role that may read the
    schema audit alone verifies the chain, and is told what it cannot.

    Example: fiona-ledger verify --from heads.txt --head >> heads.txt
    """
    heads = [] if since is None else _kept_heads(since)
    if kept and without_keys:
        raise ConfigurationError("--kept takes the site's key: expected no --without-keys beside it.")
    with opened_database(context.obj) as (configuration, database):
        with database.begin() as connection:
            audit.require_views(connection)
            auditor = audited_chain.is_auditor(connection)
        if auditor:
            _require_possible({"--projections": projections, "--kept": kept})
            _print_audited(database, heads, head=head, json=json)
            return False
        evidence = Evidence.of(configuration)
        if kept:
            heads += [each.checkpoint.as_head() for _, each in evidence.folder.newest_first()]
        if any(each.origin for each in heads):
            with database.begin() as connection:
                _require_own(heads, origin_of(connection))
        with console.step("Verifying events") as progress, database.begin() as connection:
            verified = verification.verify(connection, heads=heads, progress=progress)
            verification.verify_forgotten(connection, forgotten_at(connection))
        keyed, key_problem = (None, None) if without_keys else _verified_keys(database, configuration.ledger)
        with database.begin() as connection:
            emptied, beyond = emptied_tables(connection), roles.beyond(connection)
            takes_no_changes = _verified_making(connection)
        different = _compared(database) if projections else None
        with database.begin() as connection:
            signer = None if keyed is None or not (head or kept) else signer_of(connection, configuration.ledger)
            checkpoint = checkpoint_of(connection, signer, verified.position) if signer is not None and head else None
        given = verify_given(evidence, signer.key) if signer is not None and kept else None
    taken = now().astimezone(UTC).isoformat(timespec="seconds")
    outcome = _Outcome(
        verified=verified,
        head=KeptHead(verified.position, verified.hash, taken),
        kept_heads=len(heads),
        checkpoint=checkpoint,
        given=given,
        keyed=keyed,
        key_problem=key_problem,
        takes_no_changes=takes_no_changes,
        beyond=beyond,
        emptied=emptied,
        different=different,
    )
    if json:
        console.print_json(outcome.as_data())
    elif head:
        sys.stdout.write(checkpoint or outcome.head.as_line() + "\n")
        sys.stderr.writelines(f"fiona-ledger: {on_a_line(line)}\n" for line in outcome.attention())
    else:
        for line in [*outcome.lines(), *outcome.attention()]:
            console.output().print(line)
    return bool(outcome.attention())


class _Keyed(NamedTuple):
    """How many keys there are, and up to which event the ledger is attested."""

    keys: int
    attested: int


class _Outcome:
    """What `verify` has found in a ledger that holds."""

    def __init__(
        self,
        *,
        verified: Verified,
        head: KeptHead,
        kept_heads: int,
        checkpoint: str | None,
        given: list[Given] | None,
        keyed: _Keyed | None,
        key_problem: str | None,
        takes_no_changes: bool,
        beyond: list[str],
        emptied: list[tuple[str, str]],
        different: list[Difference] | None,
    ) -> None:
        self.verified = verified
        self.head = head
        self.kept_heads = kept_heads
        self.checkpoint = checkpoint
        self.given = given
        self.keyed = keyed
        self.key_problem = key_problem
        self.takes_no_changes = takes_no_changes
        self.beyond = beyond
        self.emptied = emptied
        self.different = different

    def lines(self) -> Iterator[str]:
        """What holds."""
        verified = self.verified
        yield (
            f"Verified {verified.position} events: the chain holds, positions and the versions of "
            f"{verified.streams} streams have no gaps."
        )
        keys = "their keys were not tried" if self.keyed is None else f"{self.keyed.keys} keys open with the master key"
        yield f"Subjects: {verified.subjects}, {verified.forgotten} of them forgotten; {keys}."
        if self.keyed is not None:
            yield f"Attested with the master key: events 1 to {self.keyed.attested}, who is forgotten, and all runs."
        if self.takes_no_changes:
            yield "Guards and views were not compared with what `fiona-ledger migrate` makes: no changes are taken."
        else:
            yield "Guards, functions and views are as `fiona-ledger migrate` makes them."
        if self.kept_heads:
            yield f"Kept heads and checkpoints: {self.kept_heads}, each still part of the ledger."
        for given in self.given or []:
            last = "" if given.last is None else f", last at {local_time(given.last)}"
            yield f"Vouched for by {on_a_line(given.name)}: {given.checkpoints} checkpoints{last}."
        if self.different == []:
            yield f"Projections: {', '.join(p.name for p in PROJECTIONS)}, each as derived afresh from the events."
        yield f"Head: {self.head.as_line()}"

    def attention(self) -> list[str]:
        """What a person must look at."""
        findings = [f"Keys were not verified: {self.key_problem}"] if self.key_problem else []
        findings += map(on_a_line, self.beyond)
        findings += [
            f"Table {table} has been emptied by hand. Run `fiona-ledger rebuild {projection}` before the next run."
            for projection, table in self.emptied
        ]
        findings += [
            f"Table {d.table} is not what the events make of it: {d.missing} rows are missing or different, "
            f"{d.unexpected} should not be there. Run `fiona-ledger rebuild {d.projection}`."
            for d in self.different or []
        ]
        return findings

    def as_data(self) -> dict[str, Any]:
        """The same for another program."""
        return {
            "position": self.head.position,
            "hash": self.head.hash.hex(),
            "time": self.head.taken,
            "streams": self.verified.streams,
            "subjects": self.verified.subjects,
            "forgotten": self.verified.forgotten,
            "keys": None if self.keyed is None else self.keyed.keys,
            "attested": None if self.keyed is None else self.keyed.attested,
            "key_problem": self.key_problem,
            "kept_heads": self.kept_heads,
            "checkpoint": self.checkpoint,
            "vouched_for": None if self.given is None else [given._asdict() for given in self.given],
            "emptied_tables": [table for _, table in self.emptied],
            "different_tables": None if self.different is None else [asdict(d) for d in self.different],
            "not_verified": [],
            "attention": self.attention(),
            "needs_attention": bool(self.attention()),
        }


def _require_possible(options: Mapping[str, bool]) -> None:
    """Raises `ConfigurationError` for what takes more than the schema audit."""
    for option, is_given in options.items():
        if is_given:
            raise ConfigurationError(
                f"{option}: expected a role that may read the schemas ledger and gateway; that of ledger.url may read "
                "the schema audit alone. Leave the option out, or name the role of the periodic run."
            )


def _require_own(heads: Sequence[KeptHead], origin: str) -> None:
    """Raises `ConfigurationError` for a checkpoint of another ledger: it says nothing of this one."""
    for head in heads:
        if head.origin not in ("", origin):
            raise ConfigurationError(
                f"Expected checkpoints of {origin}, which this ledger is, found one of {on_a_line(head.origin)}, of "
                f"{head.position} events. Is ledger.url that of another ledger, or was it kept of another one?"
            )


def _print_audited(database: Database, heads: list[KeptHead], *, head: bool, json: bool) -> None:
    """What a role that may read the schema audit alone can verify, and what it cannot."""
    with console.step("Verifying events"), database.begin() as connection:
        chain = audited_chain.verify(connection, heads)
    taken = KeptHead(chain.position, chain.hash, now().astimezone(UTC).isoformat(timespec="seconds"))
    if json:
        console.print_json(_audited_data(chain, taken, len(heads)))
    elif head:
        sys.stdout.write(taken.as_line() + "\n")
    else:
        console.output().print(
            f"Verified {chain.position} events, whose hashes PostgreSQL computed: the chain holds, positions and the "
            f"versions of {chain.streams} streams have no gaps."
        )
        if heads:
            console.output().print(f"Kept heads and checkpoints: {len(heads)}, each still part of the ledger.")
        console.output().print(
            f"Not verified, as the role of ledger.url may read the schema audit alone: "
            f"{', '.join(audited_chain.NOT_VERIFIED)}. What PostgreSQL says is believed here; docs/ledger.md tells how "
            "an export is verified elsewhere."
        )
        console.output().print(f"Head: {taken.as_line()}")


def _audited_data(chain: AuditedChain, head: KeptHead, kept_heads: int) -> dict[str, Any]:
    """The same for another program; what was not verified is null."""
    unknown = ("subjects", "forgotten", "keys", "attested", "key_problem", "checkpoint", "vouched_for")
    return {
        "position": head.position,
        "hash": head.hash.hex(),
        "time": head.taken,
        "streams": chain.streams,
        **dict.fromkeys((*unknown, "emptied_tables", "different_tables")),
        "kept_heads": kept_heads,
        "not_verified": audited_chain.NOT_VERIFIED,
        "attention": [],
        "needs_attention": False,
    }


def _kept_heads(name: str) -> list[KeptHead]:
    try:
        heads = parse_heads(sys.stdin.read() if name == "-" else Path(name).read_text("utf-8"))
    except ValueError as exc:  # what is not UTF-8 included
        raise ConfigurationError(f"--from {name}: {exc}.") from exc
    except OSError as exc:
        raise ConfigurationError(f"--from {name}: the file cannot be read: {exc.strerror}.") from exc
    if not heads:
        raise ConfigurationError(
            f"--from {name}: expected checkpoints or lines that `verify --head` printed, found none."
        )
    return heads


def _verified_keys(database: Database, section: LedgerSection) -> tuple[_Keyed | None, str | None]:
    """What holds by the master key, or why that cannot be used. Raises `Corrupt`."""
    try:
        with console.step("Verifying keys") as progress, database.begin() as connection:
            vault = Vault.open(connection, section.key_file)
            attested = attestation.verify(connection, vault)
            keys = verification.verify_keys(connection, section.key_file, progress)
            altered = run_codes.altered(connection, vault)
    except KeyProblem as exc:
        return None, str(exc)
    if altered:
        raise Corrupt(
            f"The ledger does not verify. {len(altered)} rows of gateway.run, from which audit.run tells of runs, say "
            f"something else than when they were written, the first that of run {altered[0]}. Keep the database as it "
            "is, and compare it with a backup."
        )
    return _Keyed(keys, attested), None


def _verified_making(connection: Connection) -> bool:
    """Whether the database takes no changes, so that nothing can be made to compare with. Raises `Corrupt`."""
    if connection.execute(text("select current_setting('transaction_read_only')::boolean")).scalar_one():
        return True
    differences = [*guards.differences(connection, FOLDER), *views.differences(connection, FOLDER / "views")]
    if differences:
        raise Corrupt(
            f"What guards and shows the ledger is not as `fiona-ledger migrate` makes it. "
            f"{' '.join(map(on_a_line, differences))} Find out who did that; docs/ledger.md tells how it is made again."
        )
    return False


def _compared(database: Database) -> list[Difference]:
    with console.step("Deriving projections") as progress, database.begin() as connection:
        return verification.compare(connection, PROJECTIONS, progress=progress)
