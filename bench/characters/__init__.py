"""Training steps of character models: pyrnn's, PyTorch's, accelerated ones and min-char-rnn."""
