"""Summaries with anything in any field, as many as are wanted: `python -m tests.source.fuzz NUMBER SEED`.

Each is a real one of which chance has spoilt something: a value, a key, some bytes, its name. All that is asserted
holds for each batch: every file has become a series or a rejected file, and REDCap's rows can be made of it.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import text

from ledger import store
from ledger.database import open_database
from ledger.migrations import migrate
from ledger.vault import Vault, initialise
from processors.bounds import ACCESSION, NAME, PSEUDONYM, TEXT
from processors.demo import samples
from processors.gateway import Gateway
from processors.redcap import incoming
from processors.source.discover import discover
from tests.conftest import SettableClock, a_server

BATCH = 2_000
LONGEST = max(ACCESSION, NAME, PSEUDONYM, TEXT)
VALUES: tuple[bytes, ...] = (
    b"null", b"true", b"-0.0", b"1e400", b"NaN", b"-Infinity", b"9" * 400, b"123456789012345678", b'""', b'" "',
    b'"\\u0000"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\ufeff\\u200b"', b'"=1+1"', b'"\\"\\r\\n,"', b'"a\\\\b^c=d"',
    b"[]", b"{}", b"[[[[1]]]]", b'["a", null, 3, {"b": []}]', b'{"a": {"b": {"c": 1}}}', b"[" * 2_000 + b"]" * 2_000,
    b'"\xff\xfe"', b'"' + "\U0001f9e0".encode() * 3_000 + b'"', b'"' + b"x" * 65_536 + b'"', b'"2400-99-99"', b"",
)  # fmt: skip


def documents(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """So many spoilt summaries, each with the study and series that its path names."""
    chance = Random(seed)
    real = [orjson.loads(path.read_bytes()) for path in sorted(samples.raw_folder().rglob("*.json"))]
    for number in range(count):
        study, series = f"1.2.{seed}.{number}", f"1.2.{seed}.{number}.1"
        document = chance.choice(real) | {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        yield study, series, _spoilt(document, chance)


def _spoilt(document: dict[str, Any], chance: Random) -> bytes:
    """The document as JSON, with some of its values replaced, and now and then some of its bytes."""
    keys = [key for key in document if not key.endswith("InstanceUID") or chance.random() < 0.05]
    replaced = set(chance.sample(keys, chance.randint(0, min(3, len(keys)))))
    parts = [
        orjson.dumps(key) + b": " + (chance.choice(VALUES) if key in replaced else orjson.dumps(value))
        for key, value in document.items()
        if chance.random() > 0.02
    ]
    content = b"{" + b", ".join(parts) + b"}"
    if chance.random() < 0.2:
        place = chance.randrange(len(content))
        content = chance.choice(
            [content[:place], b"\xef\xbb\xbf" + content, content[:place] + chance.randbytes(3) + content[place + 1 :]]
        )
    return content


def fuzz(gateway: Gateway, raw: Path, count: int, seed: int) -> tuple[int, int]:
    """Discovers so many spoilt summaries; gives how many became series, and how many were rejected."""
    now = gateway.clock().timestamp() - 300
    for study, series, content in documents(count, seed):
        file = raw / study / f"{series}.json"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        for path in (file, file.parent):
            os.utime(path, (now, now))
    found = discover(gateway, raw=raw, settle_seconds=60)
    assert found.discovered + found.rejected == count, "an item was lost"
    with gateway.begin() as work:
        events = list(store.read(work.connection, types=["SeriesDiscovered"]))[-found.discovered :]
        identities = work.identities([event.position for event in events])
    for event, identity in identities.values():
        rows = [
            incoming.study_row(event.data, identity, event.recorded_at),
            incoming.series_row(event.data, identity, 1),
        ]
        longest = max(len(value) for row in rows for value in row.values() if isinstance(value, str))
        assert longest <= 100 * LONGEST
        assert b"\\u0000" not in orjson.dumps(rows)
    return found.discovered, found.rejected


def main() -> None:
    """Fuzzes in batches, in a database of its own."""
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    begun, series, rejected = perf_counter(), 0, 0
    with a_server() as server, server.fresh() as name:
        database = open_database(server.url_of(name), Path("/nowhere"))
        migrate(database)
        folder = Path.cwd() / f".fuzz-{os.getpid()}"
        folder.mkdir()
        try:
            with database.begin() as connection:
                initialise(connection, folder / "vault.key")
                vault = Vault.open(connection, folder / "vault.key")
            for done in range(0, count, BATCH):
                gateway = Gateway(database=database, vault=vault, site="main", clock=SettableClock(), run=uuid4())
                with gateway.begin() as work:
                    for table in ("folder", "file", "full_pass"):
                        work.execute(text(f"delete from gateway.{table}"))
                raw = folder / f"raw-{done}"
                taken, refused = fuzz(gateway, raw, min(BATCH, count - done), seed + done)
                series, rejected = series + taken, rejected + refused
                shutil.rmtree(raw)
        finally:
            shutil.rmtree(folder)
            database.close()
    seconds = perf_counter() - begun
    print(f"{count:,} summaries in {seconds:.0f} s: {series:,} series, {rejected:,} rejected files, lost: 0.")  # noqa: T201


if __name__ == "__main__":
    main()
