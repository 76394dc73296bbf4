"""BigGAN and BigGAN-deep: a class and noise become a picture, at scale."""
