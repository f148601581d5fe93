"""The parts of `pyrnn train`: options, the run, its progress, picture and memory, resuming."""
