"""Feature extractors, statistics and scores: the same protocol for every system."""
