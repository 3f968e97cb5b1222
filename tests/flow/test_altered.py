"""REDCap alters what it saves: ours is known again, and not written or reported as changed for ever."""

from zoneinfo import ZoneInfo

import pytest

from processors.demo.simulator.alterations import ALTERATIONS
from processors.demo.simulator.dictionary import Dictionary, Field
from tests.delivery.reconcile.conftest import Reconciler
from tests.flow.harness import HEART, Site

TRICKY = " T1 <ax> & 🧠 more "


@pytest.mark.parametrize("alterations", [[name] for name in ALTERATIONS] + [list(ALTERATIONS)], ids="+".join)
def test_altered_values_are_no_change(site: Site, alterations: list[str]) -> None:
    site.incoming.alterations = alterations
    site.entry(accession="ACC-1", subject="A & B <c>")
    site.series("1.2.3", AccessionNumber="ACC-1", SeriesDescription=TRICKY, StudyDescription=f"Kopf\r\n{TRICKY}")
    site.run()
    stored = site.transfer_rows("1.2.3"), len(site.incoming.log)
    site.series("1.2.3", "1.2.3.2", AccessionNumber="ACC-1")
    site.run(after=700)
    site.run(after=700)
    assert site.transfer_rows("1.2.3") == stored[0]
    assert site.attention() == {}
    assert site.events("RowMissing") == site.events("ConflictFound") == []
    assert Reconciler(site).told() == []
    site.assert_sound()


def test_a_text_field_in_place_of_the_checkboxes_tells_errors_too(site: Site) -> None:
    """What the sender wrote there was passed over, and the study taken for sent."""
    fields = [
        Field(field_name="transfer_error", form_name="transfers") if field.field_name == "transfer_error" else field
        for field in site.incoming.dictionary.fields
    ]
    site.incoming.dictionary = Dictionary(fields)
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    site.run()
    place = {"study_instance_uid": "1.2.3", "redcap_repeat_instrument": "transfers", "redcap_repeat_instance": "1"}
    site.transfer_project.put([{**place, "transfer_error": "2", "transfer_date": "2026-03-02 09:10"}])
    site.run()
    (told,) = site.events("TransferFailed")
    assert (told["errors"], told["project"]) == (["2"], HEART)


def test_the_log_of_a_server_that_lies_west_of_here_is_understood(site: Site) -> None:
    """It was asked from a time that had yet to come there, and showed nothing."""
    site.simulator.settings.zone = ZoneInfo("America/Los_Angeles")
    site.entry(accession="ACC-1")
    site.series("1.2.3", AccessionNumber="ACC-1")
    assert site.run().checked.warnings == []
    assert [call.content for call in site.calls].count("log") == 2
    site.series("1.2.4", AccessionNumber="ACC-1")
    assert site.run().checked.warnings == []
    assert [call.content for call in site.calls].count("log") == 1, "how far it is behind is remembered"


def test_an_entry_whose_record_id_stands_there_in_other_letters_too_is_not_used(site: Site) -> None:
    site.entry("a1", accession="ACC-1")
    site.entry("A1", accession="ACC-2")
    site.entry("B1", accession="ACC-3")
    site.run()
    assert site.attention() == {"unusable coupling entry": 2}
