"""SAGAN: a class and noise become a picture, by convolutions and self-attention."""
