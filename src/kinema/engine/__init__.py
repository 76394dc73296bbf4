"""The training engine: knows no paper. `train` drives any `System`; the other modules are its parts."""

from kinema.engine.loop import Outcome, train

__all__ = ["Outcome", "train"]
