"""MD-GAN: a time-lapse from one photo (Xiong et al., 2018)."""
