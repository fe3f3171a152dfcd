"""Every upsampler in every decoder family, all else held still: `python -m benchmarks.upsampling`."""
