"""Records of REDCap's lists with anything in any field: each is known, and named where it says nothing of use.

`make fuzz` reads 20,000 of each list.
"""

from tests.autoid.conftest import MakeSite
from tests.autoid.fuzz import fuzz


def test_whatever_a_record_of_a_list_holds_no_other_is_lost(make_site: MakeSite) -> None:
    counts = fuzz(make_site(with_withdrawals=True), 40, 1)
    assert counts.usable > 80
    assert counts.named > 20
