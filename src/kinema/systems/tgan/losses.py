"""The objectives that TGAN's paper compares, on scores (B,), as means over clips."""

from kinema.losses.adversarial import ADVERSARIAL, Adversarial

OBJECTIVES = {
    # Arjovsky et al. 2017 (arXiv:1701.07875): the critic's slope must be bound for this to be a distance
    "wasserstein": Adversarial(
        true=lambda true: -true.mean(),
        false=lambda false, true: false.mean(),
        fool=lambda false, true: -false.mean(),
    ),
    # Mao et al. 2017 (arXiv:1611.04076), with targets 1 and 0
    "least_squares": Adversarial(
        true=lambda true: 0.5 * (true - 1).square().mean(),
        false=lambda false, true: 0.5 * false.square().mean(),
        fool=lambda false, true: 0.5 * (false - 1).square().mean(),
    ),
    "log": ADVERSARIAL["log"],
}
