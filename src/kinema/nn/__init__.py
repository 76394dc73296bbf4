"""Building blocks that two or more systems use: norms, attention, residual blocks, recurrent cells, init."""
