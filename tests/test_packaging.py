import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from ledger.programs import PACKAGE
from processors import shipped

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built once for all that is asked of it."""
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
    assert "processors/project_designs/dictionaries/incoming.csv" in names


def test_the_wheel_ships_what_the_page_is_made_of(wheel: zipfile.ZipFile) -> None:
    made_of = [path for folder in ("templates", "static") for path in (ROOT / "processors/web" / folder).iterdir()]
    assert len(made_of) > 8
    assert {str(path.relative_to(ROOT)) for path in made_of} <= set(wheel.namelist())


@pytest.fixture(scope="module")
def program(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fiona-ledger` of an environment in which the wheel is installed, and what it needs borrowed from ours."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    assert wheel.filename is not None
    subprocess.run([*pip, "--no-compile", "--disable-pip-version-check", wheel.filename], check=True)
    (packages,) = folder.glob("lib/*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "fiona-ledger"


def given(program: Path, *arguments: str) -> str:
    """What a command prints, far away from the checkout."""
    # What is compiled by one of them, the next one need not compile.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([program, *arguments], cwd="/", capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_an_installed_wheel_tells_where_its_documentation_is(program: Path) -> None:
    found = json.loads(given(program, "docs", "--json"))
    assert Path(found["folder"]).is_relative_to(program.parents[1])
    assert found["pages"].keys() == {str(page.relative_to(ROOT)) for page in shipped.pages()}
    for page in found["pages"]:
        assert (Path(found["folder"]) / page).read_text("utf-8") == (ROOT / page).read_text("utf-8")


def test_an_installed_wheel_writes_units_that_start_it(program: Path, tmp_path: Path) -> None:
    given(program, "init", "--output", str(tmp_path), "--redcap", "https://redcap.example/api/")
    assert f"\nExecStart={program} --config" in (tmp_path / "fiona-ledger.service").read_text()


def test_an_installed_wheel_names_the_place_of_an_error_that_nobody_foresaw(program: Path) -> None:
    """It used to say "at .", as all that is installed stands among libraries."""
    code = "from processors.cli.exit_codes import exit_codes; from processors.text import is_blank\n"
    code += "with exit_codes(): is_blank(None)"
    done = subprocess.run(
        [program.with_name("python"), "-c", code], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert re.search(r"An error that nobody foresaw: \w+ at text\.py:\d+ < exit_codes\.py:\d+\. ", done.stderr)


def test_the_wheel_ships_what_an_operating_system_is_given(wheel: zipfile.ZipFile) -> None:
    files = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert {f"processors/_shipped/{path.relative_to(ROOT)}" for path in files} <= set(wheel.namelist())


def test_every_page_that_a_message_names_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    sources = [*ROOT.glob("ledger/**/*.py"), *ROOT.glob("processors/**/*.py"), *ROOT.glob("alembic/**/*.sql")]
    named = {
        page
        for path in sources
        for page in re.findall(r"\b(?:docs|deploy)/[\w.-]+\w|\b[A-Z]+\.md\b", path.read_text("utf-8"))
    }
    assert len(named) > 3
    assert {f"processors/_shipped/{page}" for page in named} <= set(wheel.namelist())


def test_it_needs_no_postgresql_of_its_own_but_for_the_extra(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    line = rf"^Requires-Dist: {PACKAGE.replace('_', '-')}\b(?:.*; extra == '(\w+)')?"
    assert re.findall(line, wheel.read(metadata).decode(), re.MULTILINE) == ["embedded", "test"]
    assert wheel.filename is not None
    assert Path(wheel.filename).stat().st_size < 3_000_000


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
