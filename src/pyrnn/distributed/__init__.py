"""Training by several processes: sums over ranks, shares of a batch, this process's place."""
