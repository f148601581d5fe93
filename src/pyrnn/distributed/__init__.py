"""Training by several processes: sums over ranks, shares of a batch, how MPI started this one."""
