"""Training with several processes: sums over ranks, shares of a batch, the launch."""
