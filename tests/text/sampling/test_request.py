"""What a character model writes, held against plain statements in NumPy of each method."""

from typing import Any

import numpy as np
import pytest

from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary

LETTERS = "abcdefghij\n "


def make(cell: Any = "gru", seed: int = 3, **options: Any) -> CharacterModel:
    model = CharacterModel(LETTERS + REPLACEMENT, cell, 8, seed=seed, **options)
    model.parameters["linear.weight"] *= 6  # so that probabilities differ
    return model


def probabilities(model: CharacterModel, text: str, temperature: float = 1.0) -> np.ndarray:
    """Of the next character, from the whole text at once; the replacement never comes."""
    logits = model(model.vocabulary.encode(text))[0][-1].astype(np.float64)
    logits[model.vocabulary.replacement] = -np.inf
    weights = np.exp((logits - logits.max()) / temperature)
    return weights / weights.sum()


def stated(
    model: CharacterModel,
    prompt: str,
    length: int,
    temperature: float = 1.0,
    seed: int = 0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> str:
    """`CharacterModel.sample` in the words of the papers."""
    generator, text = np.random.default_rng(seed), prompt
    for _ in range(length):
        p = probabilities(model, text, temperature)
        ranked = sorted(range(len(p)), key=lambda index: -p[index])
        if top_k is not None:
            ranked = ranked[:top_k]
        if top_p is not None:
            share = p[ranked] / p[ranked].sum()
            count = next(n for n in range(1, len(p) + 1) if share[:n].sum() >= top_p - 1e-12)
            ranked = ranked[:count]
        kept = [index for index in range(len(p)) if index in ranked]
        draw, below = generator.random() * p[kept].sum(), 0.0
        for index in kept:
            below += p[index]
            if draw < below:
                break
        text += model.vocabulary.characters[index]
    return text[len(prompt) :]


@pytest.mark.usefixtures("backend")
class TestDraws:
    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"temperature": 0.5},
            {"top_k": 3},
            {"top_k": 1},
            {"top_k": 999},
            {"top_p": 0.6},
            {"top_p": 1e-9},
            {"top_p": 1.0},
            {"temperature": 1.7, "top_k": 6, "top_p": 0.8},
        ],
    )
    def test_as_stated(self, cell: Any, options: dict[str, Any]) -> None:
        model = make(cell, embedding_dim=3, num_layers=2)
        for seed in range(2):
            expected = stated(model, "ab", 20, seed=seed, **options)
            assert model.sample("ab", 20, seed=seed, **options) == expected

    def test_one_of_one_is_greedy(self) -> None:
        model = make()
        greedy = model.sample("a", 30, 0)
        assert model.sample("a", 30, top_k=1) == greedy
        assert model.sample("a", 30, top_p=1e-300) == greedy
        assert model.sample("a", 30, 0, top_k=5, top_p=0.5) == greedy

    def test_of_equal_ones_the_first_is_likelier(self) -> None:
        model = CharacterModel("abcd", "rnn", 1, seed=0)
        model.parameters["linear.weight"] = np.zeros((4, 1), dtype=np.float32)
        model.parameters["linear.bias"] = np.array([0, 2, 2, 2], dtype=np.float32)
        assert set(model.sample("a", 60, seed=0, top_k=2)) == {"b", "c"}
        assert set(model.sample("a", 60, seed=0, top_p=0.5)) == {"b", "c"}


@pytest.mark.usefixtures("backend")
class TestSeveral:
    @pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"temperature": 0.0}, {"stop": "a"}])
    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    def test_each_as_alone(self, cell: Any, options: dict[str, Any]) -> None:
        model = make(cell, embedding_dim=4)
        prompts, seeds = ["ab", "c", "hello\nb" * 3, "ab"], [5, 0, 2**63, 6]
        prompts = [prompt.replace("l", "i").replace("o", "j") for prompt in prompts]
        alone = [
            model.sample(p, 25, seed=s, **{"temperature": 0.9, **options})
            for p, s in zip(prompts, seeds, strict=True)
        ]
        assert model.sample(prompts, 25, seed=seeds, **{"temperature": 0.9, **options}) == alone
        assert len(set(alone)) > 2

    def test_one_seed_counts_up(self) -> None:
        model = make()
        texts = model.sample(["a", "a", "b"], 12, seed=7)
        assert texts == [model.sample(p, 12, seed=s) for p, s in [("a", 7), ("a", 8), ("b", 9)]]

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"prompt": []}, ValueError, "prompt: expected at least one, got an empty list"),
            ({"prompt": ["a", ""]}, ValueError, r"prompt\[1\]: expected at least one character"),
            ({"prompt": ["a", "x"]}, ValueError, r"prompt\[1\]: expected characters .* got 'x'"),
            ({"prompt": ["a", 3]}, TypeError, r"prompt\[1\]: expected a string"),
            ({"prompt": ["a"], "seed": [1, 2]}, ValueError, "seed: expected one for each of 1"),
            ({"prompt": ["a"], "seed": [-1]}, ValueError, r"seed\[0\]: expected .* got -1"),
            ({"seed": [1]}, TypeError, "seed: expected a whole number"),
            ({"top_k": 0}, ValueError, "top_k: expected .* at least 1, got 0"),
            ({"top_k": 1.5}, TypeError, "top_k: expected a whole number, got 1.5"),
            ({"top_p": 0}, ValueError, "top_p: expected a number above 0, got 0"),
            ({"top_p": 1.1}, ValueError, r"top_p: expected a number in \[0.0, 1.0\], got 1.1"),
            ({"num_beams": 0}, ValueError, "num_beams: expected .* at least 1, got 0"),
            ({"num_beams": 2, "top_k": 2}, ValueError, "num_beams: expected no temperature, top_k"),
            ({"stop": ""}, ValueError, "stop: expected strings of at least one character"),
            ({"stop": []}, ValueError, "stop: expected strings of at least one character"),
            ({"stop": ["a", "x"]}, ValueError, "stop: expected characters .* got 'x'"),
            ({"stop": 3}, TypeError, "stop: expected a sequence of strings, got 3"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=f"^{message}"):
            make().sample(**{"prompt": "a", "length": 3, **options})  # type: ignore[call-overload]


@pytest.mark.usefixtures("backend")
class TestStops:
    @pytest.mark.parametrize("stop", ["a", ["ab", "bb"], ["hhh", "h", "gh"], "abcabc", ["\r\n"]])
    def test_ends_before_the_first(self, stop: Any) -> None:
        model = make()
        strings = ["\n"] if stop == ["\r\n"] else [stop] if isinstance(stop, str) else stop
        for seed in range(8):
            whole = model.sample("ab", 80, seed=seed)
            found = [(whole.index(s) + len(s), whole.index(s)) for s in strings if s in whole]
            end = min(found)[1] if found else 80
            assert model.sample("ab", 80, seed=seed, stop=stop) == whole[:end]

    def test_handed_out_as_it_is_certain(self) -> None:
        model = make()
        for seed in range(8):
            pieces = list(model.sample_stream("ab", 60, seed=seed, top_k=4, stop=["abc", "ca"]))
            assert "" not in pieces
            text = "".join(pieces)
            assert text == model.sample("ab", 60, seed=seed, top_k=4, stop=["abc", "ca"])
        assert list(model.sample_stream("a", 5, 0)) == list(model.sample("a", 5, 0))

    def test_a_stream_checks_at_once(self) -> None:
        with pytest.raises(ValueError, match="top_k"):
            make().sample_stream("a", 3, top_k=0)
        with pytest.raises(TypeError, match="prompt: expected a string"):
            make().sample_stream(["a"], 3)  # type: ignore[arg-type]


def searched(model: CharacterModel, prompt: str, length: int, beams: int, stop: list[str]) -> str:
    """Beam search over whole texts."""
    live, ended = [(0.0, "")], []
    for _ in range(length):
        longer = []
        for score, text in live:
            with np.errstate(divide="ignore"):
                logs = np.log(probabilities(model, prompt + text))
            characters = model.vocabulary.characters
            longer += [(score + log, text + c) for log, c in zip(logs, characters, strict=True)]
        live = []
        for score, text in sorted(longer, key=lambda pair: -pair[0]):
            if len(live) == beams or score == -np.inf:
                break
            (ended if any(text.endswith(s) for s in stop) else live).append((score, text))
        if len(ended) >= beams or not live:
            break
    candidates = ended if len(ended) >= beams else ended + live
    text = max(candidates, key=lambda pair: pair[0] / len(pair[1]))[1]
    cut = max((len(s) for s in stop if text.endswith(s)), default=0)
    return text[: len(text) - cut]


@pytest.mark.usefixtures("backend")
class TestBeams:
    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    @pytest.mark.parametrize("stop", [[], ["a", "ej"], ["bd"]])
    def test_as_stated(self, cell: Any, stop: list[str]) -> None:
        for seed, beams in [(0, 1), (1, 3), (2, 5), (3, 40)]:
            model = make(cell, seed, embedding_dim=2)
            found = model.sample("ab", 7, num_beams=beams, stop=stop or None)
            assert found == searched(model, "ab", 7, beams, stop)

    def test_one_beam_is_greedy_and_many_find_what_is_likelier(self) -> None:
        model = make("lstm")

        def likelihood(text: str) -> float:
            steps = (
                probabilities(model, "a" + text[:n])[LETTERS.index(text[n])]
                for n in range(len(text))
            )
            return float(np.log(list(steps)).sum())

        greedy = model.sample("a", 6, num_beams=1)
        assert greedy == model.sample("a", 6, 0)
        assert likelihood(model.sample("a", 6, num_beams=2000)) >= likelihood(greedy)
        assert model.sample(["a", "b"], 6, num_beams=2)[0] == model.sample("a", 6, num_beams=2)

    def test_all_texts_are_searched(self) -> None:
        """With as many beams as there are texts, the likeliest of all."""
        model = CharacterModel("ab", "gru", 4, seed=1)
        texts = [f"{n:05b}".translate({48: "a", 49: "b"}) for n in range(32)]

        def likelihood(text: str) -> float:
            logits = model(model.vocabulary.encode("a" + text[:-1]))[0].astype(np.float64)
            logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            return float(sum(logs[n, "ab".index(c)] for n, c in enumerate(text)))

        assert model.sample("a", 5, num_beams=32) == max(texts, key=likelihood)


class TestForm:
    COMPOSED, DECOMPOSED = "é", "e\u0301"

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_of_the_text(self, form: Any) -> None:
        written = self.COMPOSED if form == "NFC" else self.DECOMPOSED
        vocabulary = Vocabulary.of(["abc", f"{written}xyz e"])
        assert vocabulary.unicode_form == form
        # The other form's characters are known too, from a text that had both before.
        both = Vocabulary("abce\u0301é" + REPLACEMENT, form)
        for prompt in (self.COMPOSED, self.DECOMPOSED):
            assert both.normalise(prompt) == written
        model = CharacterModel(both, hidden_size=4, seed=0)
        assert model.unicode_form == form
        assert CharacterModel.from_config(model.config()).vocabulary == both
        assert model.sample(self.COMPOSED, 9, seed=1) == model.sample(self.DECOMPOSED, 9, seed=1)

    def test_none_where_nothing_says_which(self) -> None:
        assert Vocabulary.of("abc").unicode_form is None
        assert Vocabulary.of(["é", "e\u0301"]).unicode_form is None
        assert Vocabulary("é").unicode_form is None
        assert Vocabulary("é").normalise("e\u0301") == "é"
        both = Vocabulary("eé\u0301")
        assert [both.normalise(text) for text in ("é", "e\u0301")] == ["é", "e\u0301"]

    def test_a_form_that_leaves_unknown_ones_gives_way(self) -> None:
        assert Vocabulary("e\u0301", "NFC").normalise("é") == "e\u0301"

    def test_another_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^unicode_form: expected 'NFC' or 'NFD', got 'NFKC'"):
            CharacterModel("ab", unicode_form="NFKC")  # type: ignore[arg-type]
