"""Let Optuna choose a classifier's size, learning rate and cell: pip install optuna."""

import numpy as np
import optuna
from sklearn.model_selection import cross_val_score

from pyrnn.sklearn import RNNClassifier


def waves(count, seed):
    """Noisy sequences of 8 to 15 steps of two waves, and which of them is ahead."""
    generator = np.random.default_rng(seed)
    X, y = [], generator.integers(0, 2, count)
    for ahead in y:
        phase = generator.uniform(0, 2 * np.pi) + np.arange(generator.integers(8, 16))[:, None]
        x = np.sin(np.hstack([phase, phase + (1.2 if ahead else -1.2)]))
        X.append(x + generator.normal(0, 0.4, x.shape))
    return X, y


def main(trials=10, count=150, seed=0):
    """Search on one set of sequences, and score the best classifier on another."""
    X, y = waves(count, seed)

    def error(trial):
        classifier = RNNClassifier(
            cell=trial.suggest_categorical("cell", ["gru", "lstm", "rnn"]),
            hidden_size=trial.suggest_int("hidden_size", 2, 32, log=True),
            learning_rate_init=trial.suggest_float("learning_rate_init", 1e-3, 0.1, log=True),
            max_iter=15,
            random_state=seed,
        )
        return cross_val_score(classifier, X, y, cv=3, scoring="neg_log_loss").mean()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(error, n_trials=trials)
    best = RNNClassifier(**study.best_params, max_iter=15, random_state=seed).fit(X, y)
    return study.best_params, best.score(*waves(200, seed + 1))


if __name__ == "__main__":
    parameters, right = main()
    print(f"best: {parameters}")
    print(f"right: {right:.1%}")
