"""A fuzzer of every public entry point: ``python -m tests.fuzz --help``.

A *case* is an entry point with arguments drawn from a seed. It ends in the right answer (the
compiled core's beside the reference's) or in an exception that names the argument.

`draw` and `layouts` draw arguments, `mutate` spoils some, `entries/` says for each family of entry
points how they are called, `check` judges one case, `compare` results, and `workers` run many cases
in processes of their own, so that a crash or a hang is a finding like any other.
"""
