"""docs/install.md on a machine with systemd, from the bundle alone: `make machine`."""
