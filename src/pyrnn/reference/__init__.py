"""The specification in pure NumPy: what the compiled core must compute.

Read `rnn`, `lstm` and `gru` for one step of each cell, `sequence` for the walk over time and
`truncated` for truncated back-propagation. Nothing here is tuned; it is meant to be read beside
the papers.
"""
