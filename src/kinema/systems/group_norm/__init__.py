"""Group normalization: classifiers with any norm, to see what the size of a batch does to each."""
