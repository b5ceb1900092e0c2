"""Measure penstock beside what people use today: `penstock bench`, or `python -m penstock.bench`.

Every figure comes from real processes that begin together after a warm-up, take turns with the peers in rounds, and
check every item that arrives: a run that loses, doubles or reorders one has failed and has no figure.
`docs/howto/measure.md` tells how to use it, `docs/benchmarks.md` what came out.
"""

__all__: list[str] = []
