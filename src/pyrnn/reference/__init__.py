"""The specification in pure NumPy: what the compiled core must compute.

Read `rnn`, `lstm`, `gru` and the files named after their variants for one step of each cell,
`sequence` for the loop over time, `checkpoint` for one that keeps less, and `truncated` for
truncated back-propagation. Nothing here is tuned; it is meant to be read beside the papers.
"""
