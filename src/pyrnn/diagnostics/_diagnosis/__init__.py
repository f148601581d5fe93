"""Where the fault of a wrong backward pass is likely to be: small trials, and rules over them."""
