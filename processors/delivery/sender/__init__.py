"""What became of transfer requests: who else has asked for one, and what the sender reported of it."""
