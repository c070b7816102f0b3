"""What we measure, with the peers beside us: absolute numbers and ratios of one run, never a timed test.

``python -m benchmarks`` prints everything; ``docs/benchmarks.md`` says what each number means.
"""
