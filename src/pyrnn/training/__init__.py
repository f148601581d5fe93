"""What training needs around the layers: losses, optimisers, clipping."""
