"""What is to be said of PostgreSQL: the server, our role and its rights, a pooler, standbys, durability. Pure."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from processors.operations import health

from .facts import DatabaseFacts, Standby, Trouble
from .finding import Finding, doubtful, ok, trouble, wrong

_AREA: Final = "database"
LONGEST_LAG: Final = timedelta(minutes=1)
"""So far a standby may be behind before somebody should know."""


def findings(facts: DatabaseFacts) -> Iterator[Finding]:
    """What PostgreSQL told of itself. Its version and encoding were refused at connecting, were they wrong."""
    yield ok(_AREA, "server", f"PostgreSQL {facts.version}, encoding {facts.encoding}, time zone {facts.zone}")
    for clock in health.clock_findings({"PostgreSQL": facts.ahead}, facts.clock_tolerance):
        yield Finding(_AREA, "clock", clock.severity, clock.words, "clocks that agree", clock.advice)
    yield _tables(facts)
    yield from _role(facts)
    for name, problem in (("rights", facts.lacking), ("rights of others", facts.beyond)):
        yield _rights(name, problem, facts.role)
    if facts.connections is not None:
        yield trouble(_AREA, "connections", facts.connections)
    else:
        yield ok(_AREA, "connections", "two at a time are granted")
    yield ok(_AREA, "pooler", "one stands between: it is reckoned with" if facts.is_pooled else "none")
    yield from _durability(facts)
    yield from _key_fits(facts)


def _tables(facts: DatabaseFacts) -> Finding:
    if facts.migrated is not None:
        return trouble(_AREA, "tables", facts.migrated)
    return ok(_AREA, "tables", "as this version of the program needs them")


def _role(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.is_superuser and not facts.is_embedded:
        yield doubtful(
            _AREA,
            "role",
            "a role of its own",
            f"{facts.role}, a superuser, whom no guard of the ledger binds",
            "Make one (`fiona-ledger init` writes the SQL), and name it in ledger.url.",
        )
    else:
        yield ok(_AREA, "role", facts.role)


def _rights(name: str, told: Sequence[str] | Trouble, role: str) -> Finding:
    if isinstance(told, Trouble):
        return trouble(_AREA, name, told)
    if not told:
        return ok(
            _AREA, name, "what a run needs" if name == "rights" else "none beyond what `fiona-ledger grant` gives"
        )
    if name == "rights":
        found = f"that {role} lacks {', '.join(told)}"
        grant = f"As the owner of the tables: `fiona-ledger grant --writer {role}`."
        return wrong(_AREA, name, "what a run needs", found, grant)
    advice = "Take them away; docs/ledger.md has the roles that there should be."
    return doubtful(_AREA, name, "none beyond what `fiona-ledger grant` gives", " ".join(told), advice)


def _durability(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.is_standby:
        yield wrong(
            _AREA,
            "replication",
            "a server that takes changes",
            "a standby",
            "Name the primary in ledger.url, or all hosts: postgresql://USER@ONE,TWO/DATABASE.",
        )
    else:
        yield _standbys(facts.standbys)
    if facts.lost_at_crash:
        yield doubtful(
            _AREA,
            "durability",
            "that what was committed outlives a crash",
            f"the settings {', '.join(facts.lost_at_crash)}",
            "Have them set to on: what was recorded and then told to REDCap could be lost.",
        )
    else:
        yield ok(_AREA, "durability", "what was committed outlives a crash")


def _standbys(standbys: Sequence[Standby]) -> Finding:
    late = [each.lag for each in standbys if each.lag is not None and each.lag > LONGEST_LAG]
    if late:
        return doubtful(
            _AREA,
            "replication",
            f"standbys less than {LONGEST_LAG.seconds // 60} minute behind",
            f"one that is {max(late) / LONGEST_LAG:.0f} minutes behind",
            "Look why (`select * from pg_stat_replication`): if the primary is lost now, so is what it has not got.",
        )
    waited_for = sum(each.is_synchronous for each in standbys)
    count = f"{len(standbys)} standby" if len(standbys) == 1 else f"{len(standbys)} standbys"
    return ok(_AREA, "replication", f"{count}, {waited_for} waited for at commits" if standbys else "no standby")


def _key_fits(facts: DatabaseFacts) -> Iterator[Finding]:
    if isinstance(facts.key_fits, Trouble):
        yield trouble(_AREA, "key", facts.key_fits)
    elif facts.key_fits is False:
        yield wrong(
            _AREA,
            "key",
            "the key that this ledger was made with",
            "another one in ledger.key_file",
            "Put the right key file back from its copy: without it, names and PatientIDs stay sealed.",
        )
    elif facts.key_fits:
        yield ok(_AREA, "key", "the key file opens this ledger")
