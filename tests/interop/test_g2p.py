"""g2p-en's encoder and decoder: the package's phonemes, which it computes in NumPy."""

import importlib.util
import runpy
import sys
import time
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "g2p_english.py"
WORDS = [
    "activationist", "quokka", "pyrnn", "recurrent", "phoneme", "sigmoidal", "tanh", "o'clock",
    "streaming", "wug", "xylophonist", "blorf", "a", "antidisestablishmentarianism", "zzyzx",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder():
    spec = importlib.util.find_spec("g2p_en")
    if spec is None:
        pytest.skip("g2p-en is not there; pip install --no-deps g2p-en==2.1.0 brings it")
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="module")
def theirs(folder):
    """The package's own model; what only sentences need, and its dictionary, are stand-ins.

    It leaves a file open, which is no fault of ours.
    """
    stand_ins = {name: types.ModuleType(name) for name in ("nltk", "nltk.corpus", "nltk.tokenize")}
    nltk = stand_ins["nltk"]
    nltk.pos_tag, nltk.data = None, types.SimpleNamespace(find=lambda name: None)
    stand_ins["nltk.corpus"].cmudict = None
    stand_ins["nltk.tokenize"].TweetTokenizer = lambda: types.SimpleNamespace(tokenize=str.split)
    package = types.ModuleType("g2p_en")
    package.__path__ = [str(folder)]
    expand = types.ModuleType("g2p_en.expand")
    expand.normalize_numbers = None
    stand_ins |= {"g2p_en": package, "g2p_en.expand": expand}
    before = {name: sys.modules.get(name) for name in [*stand_ins, "g2p_en.g2p"]}
    sys.modules.update(stand_ins)
    try:
        source = (folder / "g2p.py").read_text(encoding="utf-8")
        module = types.ModuleType("g2p_en.g2p")
        module.__file__, module.__package__ = str(folder / "g2p.py"), "g2p_en"
        with warnings.catch_warnings():  # its patterns are no raw strings
            warnings.simplefilter("ignore")
            code = compile(source, module.__file__, "exec")
        exec(code, module.__dict__)
    finally:
        for name, old in before.items():
            if old is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = old
    module.cmudict = types.SimpleNamespace(dict=dict)
    module.construct_homograph_dictionary = dict
    made = module.G2p()
    made.variables.close()
    return made


@pytest.fixture(scope="module")
def pronouncer(folder, tmp_path_factory):
    wheel = tmp_path_factory.mktemp("g2p") / "g2p.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(folder / "checkpoint20.npz", "g2p_en/checkpoint20.npz")
    return runpy.run_path(str(EXAMPLE))["from_wheel"](wheel)


def test_the_same_phonemes(pronouncer, theirs):
    expected = [theirs.predict(word) for word in WORDS]
    assert pronouncer(WORDS) == expected
    assert [pronouncer([word])[0] for word in WORDS] == expected  # alone as well


def seconds(function, repeats):
    """The least of several runs; both use the threads that they take by themselves."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.long
def test_twenty_times_as_fast(pronouncer, theirs):
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(generator.choice(letters, size)) for size in generator.integers(4, 12, 200)]
    assert pronouncer(words) == [theirs.predict(word) for word in words]
    slow = seconds(lambda: [theirs.predict(word) for word in words], 3)
    assert slow / seconds(lambda: pronouncer(words), 40) >= 20
