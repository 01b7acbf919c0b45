"""Known results reproduced: `python -m bench.validation` (see docs/validation.md)."""
