"""The commands as an operator gives them at a site that has adopted what the scripts wrote."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from processors.cli.main import app
from processors.redcap.incoming import hashed
from tests.adopt.sites import AdoptingSite
from tests.cli.conftest import configuration_of

STUDY, WITHOUT_REQUESTS, OF_ANOTHER = "1.2.1", "1.2.2", "1.2.3"


class Command:
    """The commands against a site that adopts what the scripts wrote of patients 4711-A, 4712-B and 4713-C."""

    def __init__(self, site: AdoptingSite, config: Path) -> None:
        self.site = site
        self.config = config

    def __call__(self, *arguments: str, given: str = "") -> Result:
        return CliRunner().invoke(app, ["--config", str(self.config), *arguments], input=given.encode())

    def forget(self, *arguments: str, patient: str = "") -> tuple[int, list[Any]]:
        """The exit code, and what is left in REDCap."""
        given = ["--patient-id-stdin"] * bool(patient)
        done = self("forget", *arguments, *given, "--reason", "case 17", "--yes", "--json", given=patient)
        left = json.loads(done.stdout)["redcap"]
        return done.exit_code, [(row["record_id"], row["instance"], row["holds"]) for row in left]


def adopted_command(site: AdoptingSite, folder: Path) -> Command:
    """The commands, once the site has adopted."""
    for study, patient in ((STUDY, "4711-A"), (WITHOUT_REQUESTS, "4712-B"), (OF_ANOTHER, "4713-C")):
        site.scripts_wrote(study, study_patient_id=hashed(patient))
    site.scripts_requested(STUDY, "H-001", sent=True)
    site.scripts_requested(STUDY, "H-001", event="later")
    site.scripts_requested(OF_ANOTHER, "H-003", sent=True)
    site.adopt()
    site.clock.now = datetime.now().astimezone()  # the program goes by the machine's
    config = folder / "fiona-ledger.toml"
    config.write_text(configuration_of(site))
    return Command(site, config)
