import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return zipfile.ZipFile(folder / done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("files", ["versions/*.py", "views/*.sql"])
def test_the_wheel_ships_every_migration_and_every_view(wheel: zipfile.ZipFile, files: str) -> None:
    names = {str(path.relative_to(ROOT / "alembic")) for path in (ROOT / "alembic").glob(files)}
    assert names
    assert {f"ledger/_migrations/{name}" for name in names} <= set(wheel.namelist())


def test_the_wheel_hides_no_library_and_holds_no_tests(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0] for name in wheel.namelist()} == {
        "ledger",
        "processors",
        wheel.namelist()[-1].split("/")[0],
    }


def test_the_wheel_ships_the_samples_and_the_dictionaries(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert sum(name.startswith("processors/demo/samples/raw/") and name.endswith(".json") for name in names) == 61
    assert "processors/demo/simulator/dictionaries/incoming.csv" in names


def test_the_migrations_work_from_an_installed_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "from ledger import migrations; print(migrations.FOLDER)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == str(tmp_path / "ledger" / "_migrations")


def test_no_package_file_hides_the_library_alembic() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()
