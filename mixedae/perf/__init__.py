"""What tools/perf.py measures: steps, attention, input and start-up, interleaved in one process."""
