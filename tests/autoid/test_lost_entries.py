"""AutoID was restored from a backup, and lacks IDs that were drawn since."""

from copy import deepcopy

import pytest

from processors.errors import ConfigurationError
from tests.autoid.sites import AutoidSite
from tests.operations.operator import accept_redcap


def test_entries_that_a_restored_autoid_lacks_are_noticed_and_stored_again(site: AutoidSite) -> None:
    site.study("1.2.1", "PID-1")
    site.run()
    records, log = deepcopy(site.autoid.records), list(site.autoid.log)
    for number in range(2, 6):
        site.study(f"1.2.{number}", f"PID-{number}")
    site.run()
    before = site.autoid_rows()
    site.autoid.records, site.autoid.log = records, log
    with pytest.raises(ConfigurationError, match="AutoID lacks entries that were written to it last"):
        site.run(after=700)
    accept_redcap(site)
    assert site.count("IdMissing") == 4
    site.run(after=700)
    assert sorted(site.autoid_rows().values()) == sorted(before.values())
    site.assert_no_id_twice()
    site.assert_sound()
