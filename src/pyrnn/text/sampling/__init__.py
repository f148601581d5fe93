"""How a character model generates text: sampling, beam search, stop strings."""
