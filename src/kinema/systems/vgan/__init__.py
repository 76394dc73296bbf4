"""VGAN: a still background and a moving foreground under a mask (Vondrick et al., 2016)."""
