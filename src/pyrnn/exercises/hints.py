"""Hints for each region that the diagnosis names: questions, not answers."""

from __future__ import annotations

HINTS = {
    "activation": "What is the derivative of the activation, written with its output?",
    "carry": "h_t reaches the loss in two ways. Which second term does its gradient have?",
    "transpose": "Forward made a product W v. With which matrix does its gradient go back?",
    "batch sum": "The weights are shared by all examples. What follows for their gradients?",
    "softmax axis": "Over which axis do the probabilities of one example have to sum to 1?",
    "truncation": "How many steps does the gradient go back, and how many should it?",
    "accumulation": "The weights are used in every step. What follows for their gradients?",
    "time index": "Which step's x, state and gradient does this line read? Print t beside them.",
    "output layer": "Write the derivative of the loss with respect to the logits on paper first.",
    "not live": "Does the function read the parameters that it is given?",
}


def hint_of(region: str) -> str:
    """The question for a region."""
    return HINTS[region]
