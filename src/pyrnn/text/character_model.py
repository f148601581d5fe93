"""The character model: it reads characters, or other tokens, and scores the next one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import (
    ActivationFormat,
    Array,
    Compute,
    ComputeFormat,
    DTypeLike,
    Indices,
    Storage,
    WeightFormat,
)
from pyrnn.layers import _arguments, _cache, _finished, _options
from pyrnn.layers._formats import Formats
from pyrnn.layers._layer import Layer
from pyrnn.layers._options import Mode, Option, Part
from pyrnn.layers.dense import Embedding, Linear
from pyrnn.layers.recurrent.gru import GRU
from pyrnn.layers.recurrent.lstm import LSTM
from pyrnn.layers.recurrent.min_gru import MinGRU
from pyrnn.layers.recurrent.rnn import RNN
from pyrnn.parameters.dictionary import ParameterDict
from pyrnn.parameters.owners import Gradients
from pyrnn.text._model_parts import (
    CELLS,
    CellName,
    ModelCache,
    check_cell,
    check_embedding_dim,
    check_vocabulary,
)
from pyrnn.text._use import Use
from pyrnn.text.vocabularies.base import BaseVocabulary
from pyrnn.text.vocabulary import UnicodeForm, Vocabulary, check_unicode_form


@public("pyrnn")
class CharacterModel(Use, Formats):
    """Model of text: characters, a recurrent layer, a linear layer over the vocabulary.

    Parameters
    ----------
    vocabulary : str, Vocabulary, or another vocabulary or tokeniser
        The V distinct characters that the model knows. Or, of `pyrnn.text`, a `ByteVocabulary`, a
        `WordVocabulary`, or whatever `TokenizerVocabulary` takes but the name of a file; then all
        that this class says of characters is true of these tokens.
    cell : {"rnn", "lstm", "gru", "mingru"}, default "lstm"
        The recurrent layer; "rnn" is the one with tanh.
    hidden_size : int, default 256
        The number of features of its hidden state.
    num_layers : int, default 1
        The number of stacked recurrent layers.
    embedding_dim : int, optional
        The number of features of an embedding before the recurrent layer. By default the layer
        reads one-hot characters.
    dropout : float, default 0.0
        Probability of dropout between recurrent layers, in train mode.
    dtype : {"float32", "float64"}
        The dtype of the parameters and outputs.
    seed : int, optional
        Seed of the initial parameters and the dropout. By default they differ from model to model.
    unicode_form : {"NFC", "NFD"}, optional
        The normal form of the text, into which prompts are brought; by default the vocabulary's.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    Initial parameters are those of the layers, except W_ih with one-hot characters. There, a time
    step adds one column only, as for a single input; so it is drawn from U(-1, 1) instead of
    U(-1/√H, 1/√H), with which training starts much more slowly.

    Source: A. Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850.

    Examples
    --------
    >>> import pyrnn
    >>> model = pyrnn.CharacterModel("helo", hidden_size=8, seed=0)
    >>> text = model.vocabulary.encode("hello")
    >>> logits, state, cache = model.forward(text[:-1])
    >>> loss, dlogits = pyrnn.softmax_cross_entropy(logits, text[1:])
    >>> _, dstate0, grads = model.backward(cache, dlogits)
    >>> list(grads) == list(model.parameters)
    True
    >>> len(model.sample("he", 10, seed=0))
    10
    """

    vocabulary: Option[BaseVocabulary] = Option(
        check_vocabulary, plain=lambda vocabulary: vocabulary._plain()
    )
    cell: Option[CellName] = Option(check_cell)
    embedding_dim: Option[int | None] = Option(check_embedding_dim)
    dtype: Option[np.dtype[np.floating[Any]]] = Layer.dtype
    seed: Option[int | None] = Option(_options.seed, shown=False)
    unicode_form: Option[UnicodeForm | None] = Option(check_unicode_form)

    embedding: Part[Embedding | None] = Part()
    rnn: Part[RNN | LSTM | GRU | MinGRU] = Part()
    linear: Part[Linear] = Part()

    training: Mode = Mode()

    def __init__(
        self,
        vocabulary: str | BaseVocabulary | Any,
        cell: CellName = "lstm",
        hidden_size: int = 256,
        num_layers: int = 1,
        embedding_dim: int | None = None,
        dropout: float = 0.0,
        *,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        unicode_form: UnicodeForm | None = None,
    ) -> None:
        vocabulary = check_vocabulary("vocabulary", vocabulary)
        if isinstance(vocabulary, Vocabulary):
            if unicode_form is not None:
                vocabulary = Vocabulary(vocabulary.characters, unicode_form)
            unicode_form = vocabulary.unicode_form
        elif unicode_form is not None:
            got = _checks.shown(unicode_form)
            raise ValueError(f"unicode_form: expected None with {vocabulary!r}, got {got}")
        self._take(locals())
        Mode.switch(self, training=True)
        # Different seeds, so that no two layers start with the same numbers.
        first, second, third = np.random.SeedSequence(self.seed).generate_state(3).tolist()
        embedding: Embedding | None = None
        size = len(self.vocabulary)
        if embedding_dim is not None:
            embedding = Embedding(size, embedding_dim, dtype=dtype, seed=first)
        rnn = CELLS[cell](
            embedding_dim or size,
            hidden_size,
            num_layers,
            dropout=dropout,
            dtype=dtype,
            seed=second,
        )
        if embedding is None:
            with np.errstate(all="ignore"):  # nothing is drawn where a file is read
                rnn.parameters["weight_ih_l0"] *= math.sqrt(rnn.hidden_size)
        linear = Linear(rnn.hidden_size, size, dtype=dtype, seed=third)
        Part.keep(self, embedding=embedding, rnn=rnn, linear=linear)

    @property
    def hidden_size(self) -> int:
        """The recurrent layer's."""
        return self.rnn.hidden_size

    @property
    def num_layers(self) -> int:
        """The recurrent layer's."""
        return self.rnn.num_layers

    @property
    def dropout(self) -> float:
        """The recurrent layer's; it may be set."""
        return self.rnn.dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self.rnn.dropout = value

    @property
    def parameters(self) -> ParameterDict:
        """The live arrays of all layers: "rnn.weight_ih_l0", "linear.weight", ..."""
        return ParameterDict(
            {
                f"{prefix}.{name}": array
                for prefix, layer in self._layers().items()
                for name, array in layer.parameters.items()
            }
        )

    @property
    def num_parameters(self) -> int:
        """The number of elements of all parameters."""
        return sum(layer.num_parameters for layer in self._layers().values())

    def eval(
        self,
        *,
        weights: WeightFormat | None = None,
        activations: ActivationFormat | None = None,
        compute: ComputeFormat | None = None,
    ) -> CharacterModel:
        """Switch all layers to eval mode: weights packed and read-only, no dropout.

        Parameters
        ----------
        weights : {"float32", "bfloat16", "float16", "int8"}, optional
            The format in which the layers store matrices of weights; see `Layer.eval`.
        activations : {"int16", "int8"}, optional
            To what x and h are rounded beside int8 weights; see `Layer.eval`.
        compute : {"float32", "bfloat16"}, optional
            The type of the layers' products; see `Layer.train`.

        Returns
        -------
        CharacterModel
            The model itself.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.CharacterModel("helo", hidden_size=8, seed=0).eval().training
        False
        """
        storage = self._check_format(weights, activations, compute)
        self._compute, self._storage = self._check_compute(compute), storage
        for layer in self._layers().values():
            layer.eval(weights=weights, activations=activations, compute=compute)
        Mode.switch(self, training=False)
        return self

    def train(self, *, compute: ComputeFormat | None = None) -> CharacterModel:
        """Switch all layers to train mode.

        Parameters
        ----------
        compute : {"float32", "bfloat16"}, optional
            The type of the layers' products; see `Layer.train`.

        Returns
        -------
        CharacterModel
            The model itself.

        Examples
        --------
        >>> import pyrnn
        >>> pyrnn.CharacterModel("helo", hidden_size=8, seed=0).eval().train().training
        True
        """
        self._compute, self._storage = self._check_compute(compute), "full"
        for layer in self._layers().values():
            layer.train(compute=compute)
        Mode.switch(self, training=True)
        return self

    def _check_format(
        self, weights: object, activations: object = None, compute: object = None
    ) -> Storage:
        """As of each layer, before any changes."""
        for layer in self._layers().values():
            layer._check_format(weights, activations, compute)
        return super()._check_format(weights, activations, compute)

    def _check_compute(self, compute: object) -> Compute:
        """As of each layer, before any changes."""
        for layer in self._layers().values():
            layer._check_compute(compute)
        return super()._check_compute(compute)

    def _note_activations(self, activations: ActivationFormat) -> None:
        """Of all layers."""
        super()._note_activations(activations)
        for layer in self._layers().values():
            layer._note_activations(activations)

    def _layers(self) -> dict[str, Any]:
        layers = {"embedding": self.embedding, "rnn": self.rnn, "linear": self.linear}
        return {name: layer for name, layer in layers.items() if layer is not None}

    def __call__(self, indices: Any, state: Any = None) -> tuple[Array, Any]:
        """Score the next characters, for inference only.

        Parameters
        ----------
        indices : array of int
            Characters by their position in the vocabulary, (T, N), or (T,) for one text.
        state : array or pair of arrays, optional
            The initial state of the recurrent layer. Zeros by default.

        Returns
        -------
        logits : array
            Unnormalised log-probabilities of the character after each one, (T, N, V) or (T, V).
        state : array or pair of arrays
            The state of the recurrent layer after the last character.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.CharacterModel("helo", hidden_size=8, seed=0)
        >>> logits, state = model(model.vocabulary.encode("hello"))
        >>> logits.shape
        (5, 4)
        """
        x: Any = self._check_indices(indices)
        if self.embedding is not None:
            x = self.embedding(x)
        y, final = self.rnn(x, state)
        return self.linear(y), final

    def forward(
        self, indices: Any, state: Any = None, *, lengths: None = None
    ) -> tuple[Array, Any, ModelCache]:
        """Score the next characters, and return the cache that `backward` needs.

        Parameters
        ----------
        indices : array of int
            Characters by their position in the vocabulary, (T, N), or (T,) for one text.
        state : array or pair of arrays, optional
            The initial state of the recurrent layer. Zeros by default.
        lengths : None
            Recurrent layers have them; a character model takes none.

        Returns
        -------
        logits : array
            Unnormalised log-probabilities of the character after each one, (T, N, V) or (T, V).
        state : array or pair of arrays
            The state of the recurrent layer after the last character.
        cache : ModelCache
            For one call of this model's `backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype, shape or value.

        Examples
        --------
        >>> import pyrnn
        >>> model = pyrnn.CharacterModel("helo", hidden_size=8, seed=0)
        >>> logits, state, cache = model.forward(model.vocabulary.encode("hell"))
        >>> logits.shape
        (4, 4)
        """
        _arguments.not_taken(self, lengths=lengths)
        x: Any = self._check_indices(indices)
        embedding_cache = None
        if self.embedding is not None:
            x, _, embedding_cache = self.embedding.forward(x)
        y, final, rnn_cache = self.rnn.forward(x, state)
        logits, _, linear_cache = self.linear.forward(y)
        return logits, final, ModelCache(embedding_cache, rnn_cache, linear_cache)

    def backward(
        self, cache: ModelCache, dlogits: Any, dstate: Any = None
    ) -> tuple[None, Any, dict[str, Array]]:
        """Back-propagate through the model.

        Parameters
        ----------
        cache : ModelCache
            From this model's `forward`. It is used up.
        dlogits : array or None
            Gradient of the loss with respect to ``logits``, of its shape. None for zeros.
        dstate : array or pair of arrays, optional
            Gradient of the loss with respect to the final state. Zeros by default.

        Returns
        -------
        dx : None
            Indices have no gradient.
        dstate0 : array or pair of arrays
            Gradient with respect to the initial state.
        grads : dict
            Gradient of each parameter, by the names of `parameters`.

        Raises
        ------
        TypeError, ValueError
            If the cache is another model's or used up, or an argument has a wrong shape, or
            dlogits and dstate are both None. The cache can still be used then, unless it was used
            up.

        Examples
        --------
        >>> import numpy as np, pyrnn
        >>> model = pyrnn.CharacterModel("helo", hidden_size=8, seed=0)
        >>> logits, state, cache = model.forward(model.vocabulary.encode("hell"))
        >>> loss, dlogits = pyrnn.losses.softmax_cross_entropy(logits, np.array([1, 2, 2, 3]))
        >>> dx, dstate0, grads = model.backward(cache, dlogits)
        >>> grads["linear.weight"].shape
        (4, 8)
        """
        if not isinstance(cache, ModelCache):
            raise TypeError(f"cache: expected what forward returned, got {type(cache).__name__}")
        if dlogits is None and _arguments.none_given(dstate):
            raise TypeError(
                "dlogits: expected a gradient, of them or of the final state, got None for both"
            )
        _cache.check(cache.linear, self.linear)
        dlogits = _arguments.state_array("dlogits", dlogits, self.dtype, cache.linear.output_shape)
        _cache.check(cache.rnn, self.rnn)
        if dstate is not None:
            self.rnn.check_backward(cache.rnn, None, dstate)
        if self.embedding is not None:
            _cache.check(cache.embedding, self.embedding)
        take = _finished.asked(self)
        dy, _, linear_grads = _finished.backward(
            self.linear, _finished.within(take, "linear"), cache.linear, dlogits
        )
        dx, dstate0, rnn_grads = _finished.backward(
            self.rnn, _finished.within(take, "rnn"), cache.rnn, dy, dstate=dstate
        )
        layers = [("rnn", rnn_grads), ("linear", linear_grads)]
        families = self.rnn._families | self.linear._families
        if self.embedding is not None and cache.embedding is not None and dx is not None:
            _, _, embedding_grads = self.embedding.backward(cache.embedding, dx)
            layers.insert(0, ("embedding", embedding_grads))
            families |= self.embedding._families
        grads = {f"{prefix}.{name}": grad for prefix, part in layers for name, grad in part.items()}
        return None, dstate0, Gradients(grads, families)

    def _check_indices(self, indices: Any) -> Indices:
        array = _checks.index_array("indices", indices, len(self.vocabulary))
        if array.ndim not in (1, 2) or not array.size:
            raise ValueError(
                f"indices: expected shape (T, N) or (T,), not empty, got {array.shape}"
            )
        return array

    def __repr__(self) -> str:
        return (
            f"CharacterModel({len(self.vocabulary)} {self.vocabulary.units}, {self.cell!r}, "
            f"hidden_size={self.rnn.hidden_size}, num_layers={self.rnn.num_layers}, "
            f"{self.num_parameters} parameters)"
        )
