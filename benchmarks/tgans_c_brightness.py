"""Does a critic tell the generator how bright its clips should be? Run on the state of a run of TGANs-C.

    python benchmarks/tgans_c_brightness.py runs/long/paper runs/long/stable

Prints the mean brightness of generated and of real clips in [-1, 1], the share of the generator's gradient
(of its squared norm, with respect to the pixels) that says darker or brighter as a whole, and what each
critic says of the clips made darker by 0, 0.3 and 0.6.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from kinema.apps.weights import read_about
from kinema.core.config import from_dict
from kinema.data import open_clips
from kinema.systems.tgans_c.config import Config
from kinema.systems.tgans_c.system import TGANsC

CLIPS, DARKER = 32, (0.0, 0.3, 0.6)


def main(run: Path) -> None:
    """Measure one run, in training mode, as its generator is told."""
    torch.manual_seed(0)
    about = read_about(run)
    system = TGANsC(from_dict(Config, about["config"])).train()
    state = load_file(run / "state.safetensors")
    system.load_state_dict({k.removeprefix("model/"): v for k, v in state.items() if k.startswith("model/")})
    c = system.config
    data = open_clips(about["data"]["where"], frames=c.frames, size=c.size, channels=c.channels)
    batch = data.batch(range(CLIPS))
    words = system.sentences(batch["caption"]).detach()
    fake = system.generator(torch.randn(CLIPS, *system.generator.noise_shape), words).detach()

    def said(clips: torch.Tensor) -> dict[str, torch.Tensor]:
        return system.critics.logits(system.critics.features(clips, 0), words)

    pixels = fake.clone().requires_grad_()
    loss = torch.stack([F.softplus(-logit).mean() for logit in said(pixels).values()]).sum()
    (gradient,) = torch.autograd.grad(loss, pixels)
    share = gradient.mean().square() * gradient.numel() / gradient.square().sum()
    print(f"{run}: generated {fake.mean():.3f}, real {batch['video'].mean():.3f}, share {share:.1e}")
    for darker in DARKER:
        with torch.no_grad():
            logits = said((fake - darker).clamp(-1, 1))
        print(f"  darker by {darker}: ", {name: round(x.mean().item(), 2) for name, x in logits.items()})


if __name__ == "__main__":
    for name in sys.argv[1:]:
        main(Path(name))
