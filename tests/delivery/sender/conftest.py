"""A site whose one study has a request of ours in REDCap."""

from collections.abc import Callable

import pytest

from tests.flow.conftest import MakeSite, make_site, site
from tests.flow.harness import HEART, Asked, Site

STUDY = "1.2.3"

__all__ = ["MakeSite", "make_site", "site"]

MakePlaced = Callable[..., Site]


@pytest.fixture
def make_placed(make_site: MakeSite) -> MakePlaced:
    """Makes the site, with settings of its own."""

    def make(**settings: object) -> Site:
        site = make_site(**settings)
        site.rule(patient_id="PID-1")
        site.series(STUDY)
        site.run()
        assert site.transfers(STUDY) == {1: Asked(HEART, "PID-1")}
        return site

    return make


@pytest.fixture
def placed(make_placed: MakePlaced) -> Site:
    return make_placed()
