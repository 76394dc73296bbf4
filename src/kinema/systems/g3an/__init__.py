"""G3AN: short clips from noise, with separate codes for appearance and motion (Wang et al., 2020)."""
