"""Benchmarks: ratios measured within one run (`python -m bench`, `make bench`; see `bench/README.md`)."""
