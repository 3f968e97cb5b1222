"""Why studies go where they go, and where they would go under other rules: answered from the ledger alone."""
