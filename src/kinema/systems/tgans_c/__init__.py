"""TGANs-C: a short video from a caption (Pan et al., 2017)."""
