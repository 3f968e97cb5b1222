from pathlib import Path

import pytest

from tests.verification.program import Program, configured


@pytest.fixture
def program(database_url: str, key_file: Path, tmp_path: Path) -> Program:
    """The program on the test's database, without a REDCap to be reached."""
    return configured(tmp_path, url=database_url, key_file=key_file)
