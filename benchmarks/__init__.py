"""The endpoint beside its peers, in one run: see `python -m benchmarks`."""
