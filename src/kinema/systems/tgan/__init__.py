"""TGAN: one code for every frame, drawn out of one code for the clip (Saito et al., 2017)."""
