"""Two gateways on one ledger, as docs/gateways.md sets the second one up."""

from pathlib import Path

import pytest

from tests.cli.conftest import Site


@pytest.fixture
def south(site: Site, key_file: Path, tmp_path: Path) -> Site:
    """The second gateway, before the key is brought: its own name, folder of summaries and folder of the key."""
    raw, config = tmp_path / "south" / "raw", tmp_path / "south.toml"
    raw.mkdir(parents=True)
    own = site.config.read_text().replace(f'raw = "{site.raw}"', f'raw = "{raw}"')
    own = own.replace(f'key_file = "{key_file}"', f'key_file = "{raw.parent / "vault.key"}"\nsite = "south"')
    config.write_text(own)
    return Site(site.simulator, raw, config)


def test_a_second_gateway_begins_once_it_has_the_key_and_tells_of_itself(
    site: Site, south: Site, key_file: Path
) -> None:
    assert site.command("run").code in (0, 1)
    without = south.command("run")
    assert (without.code, "master key" in without.err) == (2, True)
    brought = south.raw.parent / "vault.key"
    brought.write_bytes(key_file.read_bytes())
    brought.chmod(0o600)
    assert south.command("run").code in (0, 1)
    first, second = (gateway.command("status", "--json").data for gateway in (site, south))
    assert (first["site"], second["site"]) == ("main", "south")
    assert (first["studies"], second["studies"]) == (54, 0)
