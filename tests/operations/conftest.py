"""A site for each test, as the flow's tests have it."""

from tests.flow.conftest import make_site, site

__all__ = ["make_site", "site"]
