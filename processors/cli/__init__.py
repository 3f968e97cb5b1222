"""The commands. Heavy imports stand inside them, so that `--help` answers at once."""
