"""A character model's training step in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bench.characters.case import CLIP, LR, VOCABULARY, CharacterCase
from bench.peers import threads_text
from bench.peers.torch_peer import with_threads

Step = tuple[str, Callable[[], Any], Callable[[], Any]]


class Model(nn.Module):
    """Its parameters have the names of `pyrnn.CharacterModel`'s."""

    def __init__(self, case: CharacterCase) -> None:
        super().__init__()
        self.one_hot = not case.embedding_dim
        features = case.embedding_dim or len(VOCABULARY)
        if not self.one_hot:
            self.embedding = nn.Embedding(len(VOCABULARY), features)
        self.rnn = getattr(nn, case.cell)(features, case.hidden_size, case.num_layers)
        self.linear = nn.Linear(case.hidden_size, len(VOCABULARY))

    def forward(self, indices: Any, state: Any) -> tuple[Any, Any]:
        """Logits and the state after."""
        if self.one_hot:
            x = functional.one_hot(indices, len(VOCABULARY)).float()
        else:
            x = self.embedding(indices)
        y, state = self.rnn(x, state)
        return self.linear(y), state


def steps(
    case: CharacterCase,
    weights: Mapping[str, Any],
    characters: Any,
    threads: int,
    swap: Callable[[Model], Any] = lambda model: model,
) -> Iterator[Step]:
    """A setting, its step, and the context for it: all threads or one.

    ``swap`` changes the model before its step is made.
    """
    for count in sorted({threads, 1}, reverse=True):
        model = Model(case)
        model.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in weights.items()})
        swap(model)
        step = _step(model, *torch.from_numpy(characters))
        yield threads_text(count), step, partial(with_threads, count)


def _step(model: Model, x: Any, y: Any) -> Callable[[], Any]:
    # The fused form is the fastest of torch's Adams on a CPU.
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    parameters = list(model.parameters())
    targets = y.reshape(-1)
    state: Any = None

    def step() -> Any:
        nonlocal state
        optimizer.zero_grad(set_to_none=True)
        logits, last = model(x, state)
        state = tuple(part.detach() for part in last) if isinstance(last, tuple) else last.detach()
        loss = functional.cross_entropy(logits.reshape(-1, len(VOCABULARY)), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        return loss.detach()

    return step
