"""Tell nine speakers apart with scikit-learn's interface: pip install --no-deps aeon==1.6.0."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pyrnn.sklearn import RNNClassifier


def read(path):
    """Utterances (T, 12) and the speaker of each, from a file in aeon's format."""
    rows = [line.split(":") for line in path.read_text().split("@data\n")[1].splitlines()]
    X = [np.array([feature.split(",") for feature in row[:-1]], float).T for row in rows]
    return X, np.array([row[-1] for row in rows])


def main(folder, seed=0, picture=None):
    """Train on 270 utterances, and give the share of 370 others that are recognised."""
    X, y = read(folder / "JapaneseVowels_TRAIN.ts")
    classifier = RNNClassifier(random_state=seed).fit(X, y)
    X, y = read(folder / "JapaneseVowels_TEST.ts")
    if picture:
        draw(classifier, X, y, picture)
    return classifier.score(X, y)


def draw(classifier, X, y, path):
    """The loss of each epoch, and which speaker was recognised as which."""
    import matplotlib.pyplot as plt
    from sklearn.metrics import ConfusionMatrixDisplay

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.semilogy(range(1, classifier.n_iter_ + 1), classifier.loss_curve_)
    left.set(xlabel="epoch", ylabel="training loss")
    ConfusionMatrixDisplay.from_estimator(classifier, X, y, ax=right, cmap="Blues", colorbar=False)
    right.set(xlabel="predicted speaker", ylabel="true speaker")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    installed = Path(find_spec("aeon").origin).parent / "datasets/data/JapaneseVowels"
    data = Path(sys.argv[1]) if sys.argv[1:] else installed
    print(f"right: {main(data, picture=sys.argv[2] if sys.argv[2:] else None):.1%}")
