"""The specification in pure NumPy: what the compiled core must compute.

Read `cells` for one step of each cell (`rnn`, `lstm`, `gru` and the files named after their
variants), `recurrence.sequence` for the loop over time, `recurrence.checkpoint` for one that keeps
less, and `recurrence.truncated` for truncated back-propagation. Nothing here is tuned; it is meant
to be read beside the papers.
"""
