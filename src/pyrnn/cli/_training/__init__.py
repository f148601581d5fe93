"""What `pyrnn train` is made of: options, the run, its progress, picture and memory, resuming."""
