"""Train a character model with Trainer; after a kill, the same command continues the training.

Afterwards ``pyrnn report text.safetensors`` writes a page with charts, samples and units.
"""

import math
import sys

import pyrnn
from pyrnn import callbacks, text


def main(paths, folder=".", hidden_size=256, steps=2000):
    """Train on text files, save the best model, and let it continue their first words."""
    corpus = text.load(paths)
    model = pyrnn.CharacterModel(corpus.vocabulary, "lstm", hidden_size, seed=0)
    optimizer = pyrnn.Adam(model.parameters)
    schedule = pyrnn.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    trainer = pyrnn.Trainer(
        model, "cross_entropy", optimizer, scheduler=schedule, clip_grad_norm=1.0
    )
    beginning = corpus.vocabulary.decode(corpus.train[:20])
    unseen = corpus.vocabulary.decode(corpus.held_out[:20_000])
    history = trainer.fit(
        corpus.train,
        corpus.held_out,
        steps=steps,
        steps_per_epoch=max(1, steps // 10),
        batch_size=16,
        k1=64,
        callbacks=[
            callbacks.ModelCheckpoint(f"{folder}/text.safetensors", save_best_only=True),
            callbacks.BackupAndRestore(f"{folder}/text.checkpoint.safetensors", save_freq=100),
            callbacks.RunLogger(f"{folder}/text.history.json", text=unseen, prompt=beginning),
        ],
    )
    print(f"bits per character: {min(history['val_loss']) / math.log(2):.3f}")
    print(beginning + pyrnn.load(f"{folder}/text.safetensors").sample(beginning, 200, 0.7, seed=0))


if __name__ == "__main__":
    main(sys.argv[1:] or text.standard_library())
