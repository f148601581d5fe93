"""The character model."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import pyrnn
from pyrnn.text._model_parts import CELLS
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary

LETTERS = "abcdefg"


def make(cell: str = "lstm", **options: Any) -> CharacterModel:
    return CharacterModel(LETTERS, cell, **({"hidden_size": 5, "seed": 0} | options))


def some_indices(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).integers(len(LETTERS), size=shape)


def log2_probabilities(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """log2 softmax along the last axis, in float64."""
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=-1, keepdims=True)
    return (scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))) / math.log(2)


@pytest.mark.usefixtures("backend")
class TestComputing:
    @pytest.mark.parametrize("embedding_dim", [None, 3])
    @pytest.mark.parametrize("cell", CELLS)
    def test_gradients(self, cell: str, embedding_dim: int | None) -> None:
        model = make(cell, num_layers=2, embedding_dim=embedding_dim, dtype="float64")
        report = pyrnn.gradcheck(model, some_indices(6, 2))
        assert report.ok, str(report)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("embedding_dim", [None, 3])
    @pytest.mark.parametrize("cell", CELLS)
    def test_shapes(self, cell: str, embedding_dim: int | None, dtype: str) -> None:
        model = make(cell, embedding_dim=embedding_dim, dtype=dtype)
        logits, state, cache = model.forward(some_indices(6, 2))
        assert logits.shape == (6, 2, len(LETTERS))
        assert logits.dtype == dtype
        dx, dstate0, grads = model.backward(cache, np.ones_like(logits))
        assert {n: g.shape for n, g in grads.items()} == {
            n: p.shape for n, p in model.parameters.items()
        }
        assert dx is None
        assert np.shape(dstate0) == np.shape(state)

    def test_call_equals_forward_in_both_modes(self) -> None:
        model, x = make(), some_indices(6, 2)
        logits, (h, c), _ = model.forward(x)
        for mode in (model.train, model.eval):
            called, (called_h, called_c) = mode()(x)
            np.testing.assert_array_equal(called, logits)
            np.testing.assert_array_equal(called_h, h)
            np.testing.assert_array_equal(called_c, c)

    def test_one_text_is_a_batch_of_one(self) -> None:
        model, x = make("gru"), some_indices(6)
        one, h = model(x)
        batch, batch_h = model(x[:, None])
        np.testing.assert_array_equal(one, batch[:, 0])
        np.testing.assert_array_equal(h, batch_h[:, 0])

    def test_state_carries_on(self) -> None:
        model, x = make("gru", num_layers=2), some_indices(6, 2)
        whole, _ = model(x)
        _, state = model(x[:4])
        np.testing.assert_array_equal(model(x[4:], state)[0], whole[4:])

    def test_cache_serves_once_and_only_its_model(self) -> None:
        model = make()
        logits, _, cache = model.forward(some_indices(6, 2))
        with pytest.raises(ValueError, match=r"cache: it came from another layer"):
            make().backward(cache, logits)
        model.backward(cache, logits)
        with pytest.raises(ValueError, match=r"cache: it was used"):
            model.backward(cache, logits)
        with pytest.raises(TypeError, match=r"cache: expected what forward returned, got int"):
            model.backward(3, logits)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("indices", "error", "message"),
        [
            (np.zeros((2, 3)), TypeError, "an integer array, got float64"),
            ("abc", TypeError, "an integer array"),
            (np.full((2, 3), 7), ValueError, r"indices in \[0, 7\), got 7"),
            (np.full((2, 3), -1), ValueError, r"indices in \[0, 7\), got -1"),
            (np.zeros((2, 3, 4), dtype=int), ValueError, r"got \(2, 3, 4\)"),
            (np.zeros((0, 3), dtype=int), ValueError, r"got \(0, 3\)"),
        ],
    )
    def test_indices_are_checked(self, indices: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=f"^indices: expected .*{message}"):
            make()(indices)


class TestConstruction:
    def test_names(self) -> None:
        model = make("gru", embedding_dim=3)
        rnn = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        assert list(model.parameters) == [
            "embedding.weight",
            *(f"rnn.{name}" for name in rnn),
            "linear.weight",
            "linear.bias",
        ]
        assert model.parameters["rnn.weight_ih_l0"].shape == (15, 3)
        assert model.num_parameters == sum(p.size for p in model.parameters.values())
        assert "'gru'" in repr(model)

    def test_parameters_are_live(self) -> None:
        model = make()
        model.parameters["linear.bias"] = np.full(len(LETTERS), 2.0, dtype=np.float32)
        assert (model.linear.parameters["bias"] == 2).all()
        with pytest.raises(KeyError, match=r"unknown parameter 'rnn\.bias'"):
            model.parameters["rnn.bias"] = np.zeros(3, dtype=np.float32)

    def test_seed(self) -> None:
        first, same, other = make(), make(), make(seed=1)
        for name, array in first.parameters.items():
            np.testing.assert_array_equal(array, same.parameters[name])
            assert (array != other.parameters[name]).any()

    def test_first_weights(self) -> None:
        one_hot, embedded = make(hidden_size=64), make(hidden_size=64, embedding_dim=3)
        for model, name, bound in [
            (one_hot, "rnn.weight_ih_l0", 1.0),
            (one_hot, "rnn.weight_hh_l0", 1 / 8),
            (embedded, "rnn.weight_ih_l0", 1 / 8),
            (one_hot, "linear.weight", 1 / 8),
        ]:
            largest = np.abs(model.parameters[name]).max()
            assert 0.95 * bound < largest <= bound

    def test_modes(self) -> None:
        model = make().eval()
        assert not model.training
        with pytest.raises(ValueError, match=r"eval mode"):
            model.parameters["linear.bias"] = np.zeros(len(LETTERS), dtype=np.float32)
        assert model.train().training
        model.parameters["linear.bias"] = np.zeros(len(LETTERS), dtype=np.float32)

    @pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_copies_stand_alone(self, clone: Any) -> None:
        model, x = make().eval(), some_indices(4, 1)
        twin = clone(model)
        np.testing.assert_array_equal(twin(x)[0], model(x)[0])
        twin.train().parameters["linear.bias"] = np.ones(len(LETTERS), dtype=np.float32)
        assert (twin(x)[0] != model(x)[0]).any()

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            (
                {"cell": "elman"},
                ValueError,
                "cell: expected one of rnn, .* mingru, got 'elman'",
            ),
            ({"vocabulary": ""}, ValueError, "vocabulary: expected at least one"),
            ({"hidden_size": 0}, ValueError, "hidden_size: expected .* at least 1, got 0"),
            ({"num_layers": 1.5}, TypeError, "num_layers: expected a whole number, got 1.5"),
            ({"embedding_dim": 0}, ValueError, "embedding_dim: expected .* at least 1, got 0"),
            ({"dropout": 2}, ValueError, "dropout: expected .*got 2"),
            ({"dtype": "float16"}, TypeError, "dtype: expected .*got 'float16'"),
            ({"seed": -1}, ValueError, "seed: expected .*got -1"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=f"^{message}"):
            CharacterModel(**({"vocabulary": LETTERS} | options))


@pytest.mark.usefixtures("backend")
class TestBitsPerCharacter:
    def test_by_definition(self) -> None:
        model, text = make(dtype="float64"), some_indices(300)
        scores = log2_probabilities(model(text[:-1])[0])
        expected = -scores[np.arange(299), text[1:]].mean()
        assert model.bits_per_character(text) == pytest.approx(expected, rel=1e-12)

    def test_streams_side_by_side(self) -> None:
        model, text = make(dtype="float64"), some_indices(1537)
        parts = [model.bits_per_character(text[s : s + 257]) for s in range(0, 1536, 256)]
        assert model.bits_per_character(text) == pytest.approx(np.mean(parts), rel=1e-12)

    def test_knows_nothing(self) -> None:
        model = make()
        model.parameters["linear.weight"] = np.zeros((len(LETTERS), 5), dtype=np.float32)
        model.parameters["linear.bias"] = np.zeros(len(LETTERS), dtype=np.float32)
        bits = model.bits_per_character(some_indices(50))
        assert bits == pytest.approx(math.log2(len(LETTERS)), rel=1e-6)

    def test_without_dropout_and_as_it_was(self) -> None:
        dropping, whole = make(num_layers=2, dropout=0.5), make(num_layers=2)
        text = some_indices(50)
        assert dropping.bits_per_character(text) == whole.bits_per_character(text)
        assert dropping.training
        dropping.eval().bits_per_character(text)
        assert not dropping.training

    def test_any_integers_and_a_callback_that_ends_it(self) -> None:
        model, text = make(), some_indices(600)
        calls: list[int] = []
        bits = model.bits_per_character(text.astype(np.uint8), callback=lambda: calls.append(1))
        assert bits == model.bits_per_character(text) == model.bits_per_character(memoryview(text))
        assert len(calls) == 2

        def end() -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            model.bits_per_character(text, callback=end)
        assert model.training

    @pytest.mark.parametrize("text", [np.zeros(1, dtype=int), np.zeros((4, 2), dtype=int)])
    def test_refuses(self, text: Any) -> None:
        with pytest.raises(
            ValueError, match=r"indices: expected shape \(L,\) with L of at least 2"
        ):
            make().bits_per_character(text)


@pytest.mark.usefixtures("backend")
class TestSample:
    @pytest.mark.parametrize("embedding_dim", [None, 3])
    @pytest.mark.parametrize("cell", CELLS)
    def test_greedy_takes_the_likeliest(self, cell: str, embedding_dim: int | None) -> None:
        model = make(cell, embedding_dim=embedding_dim, num_layers=2)
        written = "abc"
        for _ in range(8):
            logits, _ = model(model.vocabulary.encode(written))
            written += LETTERS[int(logits[-1].argmax())]
        assert model.sample("abc", 8, temperature=0) == written[3:]

    def test_seed(self) -> None:
        model = make()
        assert model.sample("a", 40, seed=3) == model.sample("a", 40, seed=3)
        assert model.sample("a", 40, seed=3) != model.sample("a", 40, seed=4)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    def test_frequencies(self, temperature: float) -> None:
        # Only the bias speaks, so that every character is an independent draw from one softmax.
        model = CharacterModel("abc", "rnn", 1, seed=0)
        model.parameters["linear.weight"] = np.zeros((3, 1), dtype=np.float32)
        bias = np.array([0.0, 1.0, 2.0], dtype=np.float32)
        model.parameters["linear.bias"] = bias
        written = model.sample("a", 3000, temperature, seed=0)
        expected = np.exp(bias / temperature) / np.exp(bias / temperature).sum()
        got = np.array([written.count(c) for c in "abc"]) / 3000
        # Four standard deviations of a proportion over 3000 draws are at most 0.037.
        np.testing.assert_allclose(got, expected, atol=0.037)

    def test_tiny_temperature_is_greedy(self) -> None:
        model = make()
        assert model.sample("a", 20, 1e-300, seed=0) == model.sample("a", 20, 0)

    def test_never_the_replacement(self) -> None:
        model = CharacterModel(Vocabulary("ab" + REPLACEMENT), hidden_size=2, seed=0)
        model.parameters["linear.bias"] = np.array([0, 0, 50], dtype=np.float32)
        assert set(model.sample("a", 50, seed=0)) == {"a", "b"}
        assert REPLACEMENT not in model.sample("a", 5, temperature=0)

    def test_leaves_the_model_alone(self) -> None:
        model, x = make(num_layers=2, dropout=0.5), some_indices(3)
        model.sample("a", 3)
        assert model.training
        before = model.eval()(x)[0]
        model.sample("a", 3)
        np.testing.assert_array_equal(model(x)[0], before)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"prompt": "abz"}, ValueError, "prompt: expected .*vocabulary, got 'z'"),
            ({"prompt": ""}, ValueError, "prompt: expected at least one character"),
            ({"prompt": 3}, TypeError, "prompt: expected a string or a list .*, got int"),
            ({"length": 0}, ValueError, "length: expected .* at least 1, got 0"),
            ({"temperature": -1}, ValueError, "temperature: expected .*got -1"),
            ({"temperature": math.nan}, ValueError, "temperature: expected .*got nan"),
            ({"seed": -1}, ValueError, "seed: expected .*got -1"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=f"^{message}"):
            make().sample(**({"prompt": "a", "length": 3} | options))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("name", sorted(make(embedding_dim=3).parameters))
    def test_what_is_not_finite_is_refused(self, name: str, value: float) -> None:
        model = make(embedding_dim=3)
        array = model.parameters[name].copy()
        array.flat[-1] = value  # also where no prompt would find it
        model.parameters[name] = array
        message = rf"^parameters: expected finite numbers; .*\(seen in {name}\)$"
        with pytest.raises(ValueError, match=message):
            model.sample("a", 3)

    def test_prompt_in_the_form_of_the_text(self) -> None:
        model = CharacterModel("é\nb", hidden_size=3, seed=0)
        expected = model.sample("é\nb", 20, seed=1)
        assert model.sample("e\u0301\r\nb", 20, seed=1) == expected
        with pytest.raises(ValueError, match=r"got '€'$"):
            model.sample("e\u0301€", 3)


@pytest.mark.parametrize("cell", CELLS)
def test_learns(cell: str, backend: str) -> None:
    text = "abcdefgfedcb" * 20
    model = make(cell, hidden_size=12)
    indices = model.vocabulary.encode(text)
    optimizer = pyrnn.Adam(model.parameters, lr=0.03)
    state = None
    for _ in range(6):
        for start in range(0, 228, 12):
            x, y = indices[start : start + 12, None], indices[start + 1 : start + 13, None]
            logits, state, cache = model.forward(x, state)
            _, dlogits = pyrnn.softmax_cross_entropy(logits, y)
            _, _, grads = model.backward(cache, dlogits)
            pyrnn.clip_grad_norm(grads, 1.0)
            optimizer.step(grads)
    assert model.bits_per_character(indices) < 0.3
    assert model.sample("abc", 9, temperature=0) == "defgfedcb"
