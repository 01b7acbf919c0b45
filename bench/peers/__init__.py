"""Training beside what a user would pick instead: speed and what is learnt, with as much data (`docs/peers.md`)."""
