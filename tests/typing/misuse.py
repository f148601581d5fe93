"""What type checkers must refuse: each line that ends in "wrong" and no other; it is not run."""

import numpy as np

import pyrnn

x = np.ones((5, 2, 3), np.float32)
pyrnn.LSTMM(3, 4)  # wrong
pyrnn.RNN(3, 4, nonlinearity="swish")  # wrong
pyrnn.GRU(3, 4, dtype="float16")  # wrong
pyrnn.GRU(3, 4, initialization="he")  # wrong
pyrnn.GRU(3)  # wrong
pyrnn.GRU(3, 4, peephole=True)  # wrong
pyrnn.initialize(pyrnn.GRU(3, 4), "xavier")  # wrong
pyrnn.CharacterModel("abc", cell="elman")  # wrong
lstm, gru = pyrnn.LSTM(3, 4), pyrnn.GRU(3, 4)
lstm(x, x)  # wrong
gru(x, (x, x, "a"))  # wrong
lstm.batch_first = True  # wrong
lstm.hidden_size = 9  # wrong
lstm.dropout = "half"  # wrong
lstm.parameterss  # wrong  # noqa: B018
lstm.stream().stepp(x[0])  # wrong
len(lstm.hidden_size)  # wrong
with pyrnn.use_backend("natve"):  # wrong
    pass
h, c, more = lstm(x)[1]  # wrong
