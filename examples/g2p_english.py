"""Pronounces English words: g2p-en's GRU encoder and decoder, many words at a time.

Get the wheel first: ``pip download --no-deps g2p-en==2.1.0``. Then
``python examples/g2p_english.py g2p_en-2.1.0-py3-none-any.whl activationist quokka``.
"""

import io
import sys
import zipfile
from string import ascii_lowercase

import numpy as np

from pyrnn.interop.torch import from_state_dict

MEMBER = "g2p_en/checkpoint20.npz"
LETTERS = {c: number for number, c in enumerate(["<pad>", "<unk>", "</s>", *ascii_lowercase])}
PHONEMES = """<pad> <unk> <s> </s>
AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH
EH0 EH1 EH2 ER0 ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG
OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH""".split()  # noqa: SIM905
BEGIN, END, MOST = 2, 3, 20


class Pronouncer:
    """Words to phonemes. Embeddings are multiplied into the weights, so inputs are indices."""

    def __init__(self, weights):
        self.encoder = self._gru(weights, "enc")
        self.decoder = self._gru(weights, "dec")
        state = {"weight": weights["fc_w"], "bias": weights["fc_b"]}
        self.output = from_state_dict(state).eval()

    @staticmethod
    def _gru(weights, side):
        state = {
            "weight_ih_l0": weights[f"{side}_w_ih"] @ weights[f"{side}_emb"].T,
            "weight_hh_l0": weights[f"{side}_w_hh"],
            "bias_ih_l0": weights[f"{side}_b_ih"],
            "bias_hh_l0": weights[f"{side}_b_hh"],
        }
        return from_state_dict(state, kind="GRU").eval()

    def __call__(self, words):
        """The phonemes of each word, a list of lists."""
        spelt = [[LETTERS.get(c, 1) for c in word] + [LETTERS["</s>"]] for word in words]
        lengths = [len(letters) for letters in spelt]
        indices = np.zeros((max(lengths), len(words)), np.int64)
        for n, letters in enumerate(spelt):
            indices[: len(letters), n] = letters
        _, h = self.encoder(indices, lengths=lengths)
        found = [[] for _ in words]
        speaking, said = np.arange(len(words)), np.full(len(words), BEGIN)
        for _ in range(MOST):
            y, h = self.decoder(said[None], h)
            said = self.output(y[0]).argmax(axis=1)
            for word, phoneme in zip(speaking, said, strict=True):
                found[word].append(PHONEMES[phoneme])
            going = said != END  # words that have ended leave the batch
            speaking, said, h = speaking[going], said[going], h[:, going]
            if not len(said):
                break
        return [[one for one in phonemes if one != "</s>"] for phonemes in found]


def from_wheel(wheel):
    """The pronouncer in g2p-en's wheel."""
    with zipfile.ZipFile(wheel) as archive:
        weights = np.load(io.BytesIO(archive.read(MEMBER)))
        return Pronouncer({name: weights[name] for name in weights.files})


def main(wheel, *words):
    """Print the phonemes of the words."""
    for word, phonemes in zip(words, from_wheel(wheel)(words), strict=True):
        print(word, " ".join(phonemes))


if __name__ == "__main__":
    main(*sys.argv[1:])
