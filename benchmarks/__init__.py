"""Timings that can be run again: `python -m benchmarks.ops`."""
