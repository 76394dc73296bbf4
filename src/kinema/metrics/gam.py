"""The generative adversarial metric: two models judge each other (Im et al., arXiv 1602.05110).

ε(D(x)) is the share of clips that a discriminator gets wrong. With r_test = ε(D₁(x_test)) / ε(D₂(x_test)) and
r_samples = ε(D₁(G₂(z))) / ε(D₂(G₁(z))), the first model wins if r_samples < 1 and r_test ≈ 1, the second if
r_samples > 1 and r_test ≈ 1; otherwise it is a tie. Without r_test ≈ 1 one discriminator is just the better
one.
"""

from kinema.core.errors import UsageError


def gam(
    *, test_1: float, test_2: float, samples_1: float, samples_2: float, n: int, tolerance: float = 0.1
) -> dict[str, float]:
    """The verdict from four error rates on n clips each.

    Args:
        test_1: share of real test clips that the first discriminator takes for generated.
        test_2: the same of the second, on the same clips.
        samples_1: share of the second generator's clips that the first discriminator takes for real.
        samples_2: share of the first generator's clips that the second discriminator takes for real.
        n: clips behind each rate; a rate of zero counts as 1/(2n).
        tolerance: r_test within 1 ± tolerance counts as 1.

    Returns:
        `winner` (1, 2, or 0 for a tie), `r_test`, `r_samples`, and the four rates as given.
    """
    rates = {"test_1": test_1, "test_2": test_2, "samples_1": samples_1, "samples_2": samples_2}
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise UsageError(f"{name} is an error rate between 0 and 1, not {rate}.")
    if n < 1 or tolerance < 0:
        raise UsageError(f"n is at least 1 and tolerance at least 0, not {n} and {tolerance}.")
    floor = 1 / (2 * n)
    r_test = max(test_1, floor) / max(test_2, floor)
    r_samples = max(samples_1, floor) / max(samples_2, floor)
    winner = 0
    if abs(r_test - 1) <= tolerance and r_samples != 1:
        winner = 1 if r_samples < 1 else 2
    return {"winner": winner, "r_test": r_test, "r_samples": r_samples, **rates}
