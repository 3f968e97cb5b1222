"""A site whose ledger is saved, goes on, and is restored: whole commands, as an operator gives them."""

import json
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from typer.testing import CliRunner, Result

from ledger.database import Database
from processors.cli.main import app
from tests.adopt.sites import AdoptingSite
from tests.cli.conftest import configuration_of
from tests.conftest import Server, SettableClock
from tests.databases import Contents
from tests.flow.harness import standard_simulator

Rows = list[dict[str, str | int]]


class RestoredSite(AdoptingSite):
    """A gateway whose runs are commands, and whose database can be set back."""

    stack: ExitStack
    server: Server
    template: str

    @classmethod
    def made(cls, stack: ExitStack, server: Server, migrated: tuple[str, Path], folder: Path) -> "RestoredSite":
        """A new one. Its clock stands still at the present, as commands look at the machine's."""
        clock = SettableClock()
        clock.now = datetime.now().astimezone()
        simulator = stack.enter_context(standard_simulator(clock))
        key_file = folder / "vault.key"
        key_file.write_bytes(migrated[1].read_bytes())
        key_file.chmod(0o600)
        url = server.url_of(stack.enter_context(server.fresh(template=migrated[0])))
        site = cls(folder=folder, database_url=url, key_file=key_file, clock=clock, simulator=simulator)
        site.stack, site.server, site.template = stack, server, migrated[0]
        stack.callback(lambda: site.close())
        site.receiver.raw.mkdir(exist_ok=True)
        return site

    def command(self, *arguments: str, stdin: str = "") -> Result:
        """A command that an operator gives."""
        config = self.receiver.raw.with_name("fiona-ledger.toml")
        config.write_text(configuration_of(self))
        self.simulator.calls.clear()
        return CliRunner().invoke(app, ["--config", str(config), *arguments], input=stdin)

    def gets_through(self, *arguments: str, stdin: str = "") -> str:
        """What a command says that does its work, whether or not somebody must look at something."""
        done = self.command(*arguments, stdin=stdin)
        assert done.exit_code in (0, 1), done.output
        return done.output

    def saved(self) -> Contents:
        """What the database holds now."""
        return self.server.contents(self.database_name)

    def restore(self, contents: Contents) -> None:
        """The database is made anew from what was saved, beside the old one, and named in the configuration."""
        self.close()
        name = self.stack.enter_context(self.server.fresh(template=self.template, contents=contents))
        self.database_url = self.server.url_of(name)
        self._database = Database(self.database_url)

    def is_moved_back(self, hours: int) -> None:
        """The ledger's last run began so many hours earlier."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(
                """update gateway.run set started_at = started_at - make_interval(hours => %(hours)s),
                                          finished_at = finished_at - make_interval(hours => %(hours)s)""",
                {"hours": hours},
            )

    def in_redcap(self) -> tuple[Rows, Rows]:
        """All that REDCap holds of studies and of IDs."""
        return self.incoming.rows(), self.autoid.rows()

    def preview(self) -> dict[str, Any]:
        """What `adopt --after-restore` shows before it asks."""
        done = self.command("adopt", "--after-restore", "--json")
        assert "Nobody can be asked here" in done.stderr, done.output
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown
