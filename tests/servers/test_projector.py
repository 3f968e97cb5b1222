"""The projector's tests once more, on the servers that are installed; they have tables of their own."""

from tests.ledger.test_projector import *  # noqa: F403 - all tests and fixtures, whatever they are called
