"""Speed and memory, measured: `python -m benchmarks.NAME`; the last line printed is one JSON object of figures."""
