"""Keeps a small ledger as this commit leaves it: `python -m tests.upgrades NAME`, once for each release.

It has lived with the simulator: rules, a coupling entry that was corrected, requests that were sent, one that was
retracted, one patient forgotten.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from processors.demo.simulator.state import write_state
from tests.conftest import SettableClock, a_server, a_template
from tests.flow.harness import HEART, Site, standard_simulator
from tests.operations.operator import amend_by_hand, forget_patient
from tests.upgrades.kept import FOLDER, KEY, REDCAP, keep, keep_types


def live(site: Site) -> None:
    """What happened at the site."""
    site.rule("1", patient_id="H-[0-9]+")
    for number in range(1, 5):
        site.series(f"1.{number}", PatientID=f"H-{number}", PatientName=f"Anon^{number}")
    site.series("1.5", PatientID="PID-5", PatientName="Anon^5", AccessionNumber="A-5")
    site.entry("5", accession="A-5", project=HEART, subject="H-55")
    site.run()
    site.sender_sends("1.1", 1)
    site.run(after=300)
    site.entry("5", accession="A-5", project=HEART, subject="H-56")
    site.grow("1.2")
    amend_by_hand(site, "1.3")
    site.run()
    forget_patient(site, "H-4")
    site.run()


def main() -> None:
    """Makes the folder of that name."""
    folder = FOLDER / sys.argv[1]
    clock = SettableClock()
    with tempfile.TemporaryDirectory() as name, a_server() as server, standard_simulator(clock) as simulator:
        scratch = Path(name)
        with a_template(server, scratch) as (template, key_file), server.fresh(template=template) as database:
            url = server.url_of(database)
            site = Site(folder=scratch, database_url=url, key_file=key_file, clock=clock, simulator=simulator)
            live(site)
            site.close()
            keep(url, folder)
            keep_types(folder)
            shutil.copyfile(key_file, folder / KEY)
            write_state(folder / REDCAP, simulator.projects.values())


if __name__ == "__main__":
    main()
