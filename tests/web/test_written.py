"""The overview as files: by a command, and by each run."""

import re
from pathlib import Path

from tests.cli.conftest import Site, simulator, site
from tests.web.test_pages import Parsed, words

__all__ = ["simulator", "site"]


def test_a_command_and_each_run_write_the_overview(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "www"
    done = site.command("page", "--output", str(folder))
    assert (done.code, done.out) == (2, "")
    assert f"The page cannot be written into {folder}: No such file or directory." in done.err
    folder.mkdir()
    done = site.command("page", "--output", str(folder))
    assert (done.err, done.code) == ("", 0)
    assert "No run has been started yet." in (folder / "index.html").read_text()
    metrics = tmp_path / "metrics.prom"
    site.change("[redcap]\n", f'[health]\npage = "{folder}"\nmetrics_file = "{metrics}"\n[redcap]\n')
    site.command("run", "--only", "incoming")
    assert "fiona_ledger_studies" in metrics.read_text()
    page = (folder / "index.html").read_text()
    assert "The gateway does its work." in page
    assert "studies 54 54 on disk" in words(page)
    # A folder has no pages to lead to, and no server to say what a browser may do.
    assert set(Parsed(page).links) == {"icon.svg", "style.css", "index.html", "#main"}
    assert re.search(r'http-equiv="Content-Security-Policy" content="default-src \'none\'', page)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(("index.html", "style.css", "icon.svg"), 0o644)

    site.change(f'page = "{folder}"', f'page = "{tmp_path / "gone"}"')
    done = site.command("run", "--only", "incoming", "--verbose")
    assert done.code == 0, "a warning, and no more"
    assert f"health.page: The page cannot be written into {tmp_path / 'gone'}: No such file or directory." in done.out
