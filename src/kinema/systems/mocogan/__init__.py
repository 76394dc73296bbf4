"""MoCoGAN: short clips from noise, content held and motion from a recurrent net (Tulyakov et al., 2018)."""
