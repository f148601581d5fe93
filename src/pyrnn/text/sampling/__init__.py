"""How a character model writes: the choice of a character, beam search, strings that end a text."""
