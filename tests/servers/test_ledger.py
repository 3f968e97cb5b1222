"""The store's tests once more, on the servers that are installed."""

# ruff: noqa: F403 - all tests and fixtures of these modules, whatever they are called
from tests.ledger.test_append_only import *
from tests.ledger.test_concurrency import *
from tests.ledger.test_store import *
