"""Who computes: the protocol, the choice of a backend, the compiled core and its threads."""
