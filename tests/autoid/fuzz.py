"""REDCap's lists with anything in any field: `python -m tests.autoid.fuzz NUMBER SEED`, so many records of each.

Each record is a usable one of which chance has spoilt something: a value, several, its id. They stand beside a rule,
an entry and a project that a site works by. All that is asserted holds for each batch: the site's own studies go out,
each spoilt record is known to the ledger, none is changed in REDCap, and a third run has nothing to do.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from ledger.database import open_database
from ledger.migrations import migrate
from ledger.vault import initialise
from processors import bounds
from tests.autoid.sites import AutoidSite
from tests.autoid.test_hostile import IN_REDCAP, LISTS, USABLE, ask_in_three_ways, assert_all_others_went_out
from tests.conftest import Server, SettableClock, a_server
from tests.flow.harness import HEART, standard_simulator

BATCH = 500
STUDY = "1.2.4"
"""The one for which people request anything in REDCap, and nothing else does."""
FIELDS = {name: fields.split() for name, fields in LISTS.items()} | {
    "withdrawals": ["record_id", "wd_project", "wd_subject", "wd_date", "wd_reason"]
}
WHOLE = USABLE | {"withdrawals": {"wd_project": HEART, "wd_subject": "NOBODY", "wd_date": "2026-03-01"}}
TABLES = {
    "routing": "gateway.rule",
    "coupling": "gateway.coupling_entry",
    "projects": "gateway.autoid_project",
    "withdrawals": "gateway.withdrawal_entry",
}
"""Where the ledger has what it saw of each record of a list."""

VALUES: tuple[str, ...] = (
    *IN_REDCAP.values(), "", " ", "\u00a0", "0", "1", "2", "99", "-1", "1e400", "NaN", "NULL", "null", "[]", "{}",
    "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\r\n", "\x1b[2J", "a\\b^c=d", "'; drop table ledger.event; --",
    "<script>", "&amp;", "%s %d {} %00", "(a+)+$", "[", "(?:", "\\", "{1000000}", "([0-9]{9}){9}", "2026-02-30",
    "0000-00-00 00:00", "9999-12-31", "9.9.9", "../../..", "Other", "other", "OTHER\u200b",
    "\U0001f9e0" * 500,
)  # fmt: skip
APART = {"routing_incoming_aetitle", "routing_allowed_patientid"}
"""Of these, one stays as it is: a rule without both is a rule for the site's own studies."""


@dataclass(kw_only=True)
class Counts:
    """What became of the spoilt records."""

    usable: int = 0
    named: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(usable=self.usable + other.usable, named=self.named + other.named)


def records(name: str, count: int, seed: int) -> Iterator[tuple[str, dict[str, str]]]:
    """So many spoilt records of a list, each with its id."""
    chance = Random(f"{name} {seed}")
    for number in range(count):
        spoilt = set(chance.sample(FIELDS[name], chance.randint(0, 3)))
        if spoilt >= APART:
            spoilt.discard("routing_incoming_aetitle")
        row = {field: value for field, value in WHOLE[name].items() if field in spoilt or chance.random() > 0.02}
        row |= {field: WHOLE[name][field] for field in APART & WHOLE[name].keys() - spoilt}
        row |= {field: _value(chance) for field in spoilt - {"record_id"}}
        prefix = _value(chance) if "record_id" in spoilt else ""
        yield f"{prefix}{1_000 + number}", row


def _value(chance: Random) -> str:
    if chance.random() < 0.8:
        return chance.choice(VALUES)
    return "".join(chr(chance.choice((chance.randrange(1, 0x250), chance.randrange(0x11_0000)))) for _ in range(20))


def fuzz(site: AutoidSite, count: int, seed: int) -> Counts:
    """Three runs beside so many spoilt records of each list."""
    ask_in_three_ways(site)
    site.series(STUDY, PatientID="Y")
    planted = {name: dict(records(name, count, seed)) for name in FIELDS}
    for name, rows in planted.items():
        for number, (record, row) in enumerate(rows.items()):
            if name == "incoming":
                site.incoming.record(STUDY).instances.setdefault("transfers", {})[100 + number] = row
            else:
                site.simulator.projects[name].record(record).base.update(row)
    site.incoming.note("record_edit", "Update record", "", STUDY, "person")
    before = in_redcap(site, planted)
    site.run()
    assert_all_others_went_out(site)
    assert in_redcap(site, planted) == before, "somebody's record was changed"
    site.run()  # follows what the first saw last: withdrawals of whom people have just requested something
    head = site.head()
    site.run()
    assert site.head() == head, "the third run found something to do"
    return sum((known(site, name, planted[name]) for name in TABLES), Counts())


def in_redcap(site: AutoidSite, planted: dict[str, dict[str, dict[str, str]]]) -> dict[str, Any]:
    """The planted records as REDCap has them."""
    lists = {
        name: {record: deepcopy(site.simulator.projects[name].records[record].base) for record in rows}
        for name, rows in planted.items()
        if name != "incoming"
    }
    rows = site.incoming.record(STUDY).instances["transfers"]
    return lists | {"incoming": {number: dict(row) for number, row in rows.items() if number >= 100}}


def known(site: AutoidSite, name: str, planted: dict[str, dict[str, str]]) -> Counts:
    """How many of a list's records the ledger can use, and how many it names with a reason; it knows all of them."""
    rows = dict(site.query(f"select record_id, problems from {TABLES[name]} where not removed"))
    ids = {bounds.name(bounds.read_json(json.dumps(record).encode(), surrogates="replace")) for record in planted}
    assert ids <= rows.keys(), f"{name}: a record was lost"
    named = sum(bool(rows[record]) for record in ids)
    return Counts(usable=len(ids) - named, named=named)


def main() -> None:
    """Fuzzes in batches, each in a ledger of its own."""
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    begun, counts = perf_counter(), Counts()
    with a_server() as server, server.fresh() as name, TemporaryDirectory(dir=Path.cwd(), prefix=".fuzz-") as folder:
        key_file = Path(folder) / "vault.key"
        database = open_database(server.url_of(name), Path("/nowhere"))
        migrate(database)
        with database.begin() as connection:
            initialise(connection, key_file)
        database.close()
        for done in range(0, count, BATCH):
            with ExitStack() as stack:
                site = _site(stack, server, name, key_file, Path(folder) / str(done))
                counts += fuzz(site, min(BATCH, count - done), seed + done)
    seconds = perf_counter() - begun
    print(  # noqa: T201
        f"{count:,} records of each of {len(FIELDS)} lists in {seconds:.0f} s: of rules, entries, projects and "
        f"withdrawals {counts.usable:,} usable, {counts.named:,} named with a reason, lost: 0."
    )


def _site(stack: ExitStack, server: Server, template: str, key_file: Path, folder: Path) -> AutoidSite:
    clock = SettableClock()
    folder.mkdir()
    url = server.url_of(stack.enter_context(server.fresh(template=template)))
    simulator = stack.enter_context(standard_simulator(clock, with_withdrawals=True))
    site = AutoidSite(folder=folder, database_url=url, key_file=key_file, clock=clock, simulator=simulator)
    stack.callback(site.close)
    return site


if __name__ == "__main__":
    main()
