"""GANimation: a face follows action units (Pumarola et al., 2018)."""
