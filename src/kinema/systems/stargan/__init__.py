"""StarGAN: one generator for all attributes of a face (Choi et al., 2018)."""
