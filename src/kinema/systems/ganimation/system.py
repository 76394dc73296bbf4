"""GANimation: the mask and its terms, in the update that it shares with StarGAN.

Pumarola, Agudo, Martinez, Sanfeliu, Moreno-Noguer, "GANimation: Anatomically-aware Facial Animation from a
Single Image", ECCV 2018, arXiv:1807.09251. Where the paper and its authors' code differ, the code's way is
the default and the paper's an option.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from kinema.core.config import not_negative
from kinema.systems.ganimation import config as settings
from kinema.systems.ganimation.losses import magnitude, smoothness
from kinema.systems.ganimation.networks import Generator
from kinema.systems.shared.face_networks import Critic, check_config, normal
from kinema.systems.shared.faces import Edit, FaceSystem

KEPT, CHANGED = 0.98, 0.05
"""mean of the mask above which all is kept, and below which nothing is"""


class GANimation(FaceSystem):
    """A face follows action units; a mask says which pixels are painted."""

    name = "ganimation"
    Config = settings.Config
    Request = settings.Request

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        check_config(config)
        not_negative(config, "lambda_mask", "lambda_smooth")
        self.config: settings.Config = config
        self.generator: nn.Module = Generator(config).apply(normal)
        self.critic = Critic(config).apply(normal)

    def paint(self, images: Tensor, units: Tensor) -> Edit:
        """G: faces (B, 3, S, S) and the units wanted of them (B, K) -> the edit."""
        return Edit(*self.generator(images, units))

    def mask_terms(self, there: Edit, back: Edit) -> dict[str, Tensor]:
        """Size and smoothness of both masks, eq. (2); `mask_mean` and `mask_spread` are for the log."""
        c, masks = self.config, (there.mask, back.mask)
        if not c.mask:
            return {}
        terms = {}
        if c.lambda_mask:
            first, second = (magnitude(mask, c.magnitude) for mask in masks)
            terms["mask"] = c.lambda_mask * (first + second)
        if c.lambda_smooth:
            first, second = (smoothness(mask, c.smoothness) for mask in masks)
            terms["smooth"] = c.lambda_smooth * (first + second)
        mask = there.mask.detach()
        return terms | {"mask_mean": mask.mean(), "mask_spread": mask.std(correction=0)}

    def worries(self, means: Mapping[str, float]) -> dict[str, str]:
        """A mask that keeps everything, or nothing: what to look at, in the order in which to look."""
        mean = means.get("generator/mask_mean", 0.5)
        if CHANGED <= mean <= KEPT:
            return {}
        if mean > KEPT:
            what, change = "keeps every pixel, so faces come out as they went in", "more, as 0.1 to 0.2"
        else:
            what, change = (
                "keeps no pixel, so faces are painted anew",
                "less, as 0.1 to 0.05",
            )
        errors = [f"{means.get(f'{player}/error', float('nan')):.2f}" for player in ("critic", "generator")]
        return {
            "mask": f"mask collapse: the mask's mean is {mean:.3f}; it {what}. "
            "First look at the labels: are action units right, in 0..1, and different from face to face? "
            f"Then the critic: does it learn them (mean error {errors[0]} on real faces, {errors[1]} on "
            f"edited ones), or is lambda_au too low? Only then lambda_mask, in small steps: {change}."
        }

    def shown(self, images: Tensor, edit: Edit) -> list[Tensor]:
        """Face, colour image, where it is painted (1 - A, white), and the edited face."""
        where = (1 - 2 * edit.mask).expand_as(images)
        return [images, edit.colour, where, edit.edited]

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        module, given, names, _ = super().export_module()
        return module, given, names, ["edited", "mask", "colour"]
