"""A configured gateway, as the tests of commands have it."""

from tests.cli.conftest import simulator, site

__all__ = ["simulator", "site"]
