"""TGANs-C: the update of the paper, and its use.

Pan, Qiu, Yao, Li, Mei, "To Create What You Tell: Generating Videos from Captions", ACM MM 2017,
arXiv:1804.08264. Where we differ: the generator's term comes from one forward pass shared with the critics
when `updates` is `simultaneous`; what else differs is an option of `Config` whose default is the paper's.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from kinema.core.config import at_least_one, not_negative
from kinema.core.errors import UsageError, check_seed
from kinema.core.results import Batch, Pixels, Video
from kinema.core.system import Losses, Player, Progress, System, Update
from kinema.losses import r3gan
from kinema.losses.adaptive import STRENGTH, SURE, Strengths, surety
from kinema.losses.adversarial import gradient_penalty
from kinema.losses.game import COMPARED, changes, check
from kinema.nn.initial import keeping_sizes
from kinema.nn.sampling import clip_seed, in_parts
from kinema.systems.tgans_c import config as settings
from kinema.systems.tgans_c.generators import GENERATORS, VGAN
from kinema.systems.tgans_c.losses import (
    Logits,
    coherence,
    condition_share,
    contrast,
    critic_terms,
    generator_terms,
    mean_of,
    sameness,
)
from kinema.systems.tgans_c.networks import Critics, Features
from kinema.systems.tgans_c.text import TextDecoder, TextEncoder, Vocabulary, collect_words, reconstruction

MASK_WEIGHT = 0.1  # of the L1 penalty on VGAN's foreground mask


class TGANsC(System):
    """A caption and noise become a short clip."""

    name = "tgans-c"
    Config = settings.Config
    Request = settings.Request
    metrics = ("caption_fidelity", "fd_judge", "fd_random")
    serving = ("text_encoder", "generator")

    def __init__(self, config: settings.Config) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.vocabulary = Vocabulary(config.words)
        self.text_encoder = TextEncoder(len(self.vocabulary), config.sentence)
        self.text_decoder = TextDecoder(len(self.vocabulary), config.sentence)
        self.generator = GENERATORS[config.generator](config)
        self.critics = Critics(config)
        self.strengths = Strengths(config, ["critic"])
        if config.generator != "layered":
            self.generator.apply(_normal_init)
        if config.critic_norm != "spectral":
            self.critics.apply(_normal_init if config.critic_norm == "batch" else keeping_sizes)

    @classmethod
    def adapt(cls, config: settings.Config, data: Any) -> settings.Config:
        """Take the vocabulary from the data."""
        return replace(config, words=tuple(data.vocabulary) or collect_words(data.captions))

    def players(self) -> dict[str, Player]:
        """`text` (the auto-encoder, if there are captions), `critic` (all heads), `generator`."""
        c = self.config
        trained: list[nn.Module] = [self.generator, *([self.text_encoder] if c.finetune_text else [])]
        text = Player([self.text_encoder, self.text_decoder], c.text_lr, betas=(0.9, 0.999), clip_norm=5.0)
        return {
            **({"text": text} if c.conditional else {}),
            "critic": Player([self.critics], c.critic_lr or c.lr, c.betas, decay_from=c.decay_from),
            "generator": Player(
                trained, c.lr, c.betas, ema_halflife_images=c.ema_halflife_images, decay_from=c.decay_from
            ),
        }

    def step(self, batch: dict[str, Any], progress: Progress) -> Generator[Losses, None, None]:
        """Auto-encoding of text first; from then on critics and generator, in turn or at once."""
        c = self.config
        if len(batch["caption"]) < 2:
            raise UsageError("TGANs-C normalises over a batch, so batch and micro_batch are at least 2.")
        if c.conditional and progress.step < c.text_steps:
            yield {"text": {"reconstruction": self.reconstruct(batch["caption"])}}
            return
        s = self.sentences(batch["caption"])
        wrong = self.sentences(batch["wrong"]).detach() if c.conditional else None

        if c.updates == "alternating":
            with torch.no_grad():
                fake = self.generator(progress.randn(*self.generator.noise_shape), s)
            critic, _ = self.critic_losses(batch, fake, s.detach(), wrong, progress)
            yield {"critic": critic}
            s = self.sentences(batch["caption"])
            fake = self.generator(progress.randn(*self.generator.noise_shape), s)
            yield {"generator": self.generator_losses(batch, fake, s, progress)}
        else:
            fake = self.generator(progress.randn(*self.generator.noise_shape), s)
            critic, known = self.critic_losses(batch, fake, s, wrong, progress)
            yield {"critic": critic, "generator": self.generator_losses(batch, fake, s, progress, known)}

    def after_update(self, player: str, update: Update) -> None:
        """Critics that are too sure see more changes, and fewer otherwise, if the configuration says so."""
        self.strengths.after_update(player, update)

    # ---- the objective ----

    def critic_losses(
        self, batch: dict[str, Any], fake: Tensor, s: Tensor, wrong: Tensor | None, progress: Progress
    ) -> tuple[dict[str, Tensor], tuple[Logits, Logits, Features]]:
        """Terms of L_D; for reuse, logits of syn+ and real+ and the features of generated clips."""
        c, paired = self.config, self.config.loss == "r3gan"
        penalised = paired or (c.r1 > 0 and progress.step % c.r1_every == 0)
        change = changes(c, progress, self.strengths.of("critic"))
        real = batch["video"].detach().requires_grad_(penalised)
        with torch.autocast(real.device.type, enabled=False) if penalised else nullcontext():
            seen = self.critics.features(change(real), progress.step)  # the trunks run once for both captions
            true = self.critics.logits(seen, s.detach())
            rejected = None if wrong is None else self.critics.logits(seen, wrong)
        fake = fake.requires_grad_() if paired and not fake.requires_grad else fake
        with torch.autocast(real.device.type, enabled=False) if paired else nullcontext():
            seen_fake = self.critics.features(change(fake), progress.step)
            false = self.critics.logits(seen_fake, s)
        terms = critic_terms(c.loss, true, rejected, false, c.smoothing)
        if paired:
            gamma = r3gan.annealed(c.gamma, progress.fraction)
            terms["r1"] = gamma * gradient_penalty(mean_of(true), real)
            flat = [gradient_penalty(mean_of(false), fake)]  # at what counts as false, which is two things
            flat += [] if rejected is None else [gradient_penalty(mean_of(rejected), real)]
            terms["r2"] = gamma * torch.stack(flat).mean()
        elif penalised:
            everything = torch.stack([logit.sum() for logit in true.values()])
            terms["r1"] = c.r1 * c.r1_every * gradient_penalty(everything, real)
        if (strength := self.strengths.of("critic")) is not None:
            sure = [surety(true[head], false[head] if c.loss in COMPARED else None) for head in true]
            terms |= {SURE: torch.stack(sure).mean(), STRENGTH: strength.clone()}
        if c.contrast:
            matches = self.critics.matches(seen, s.detach())
            terms["contrast"] = c.contrast * contrast(matches, batch["caption"])
        if rejected is not None:
            terms["caption_share"] = condition_share(true, rejected)  # carries no gradient: for the log alone
        return terms, (false, true, seen_fake)

    def generator_losses(
        self,
        batch: dict[str, Any],
        fake: Tensor,
        s: Tensor,
        progress: Progress,
        known: tuple[Logits, Logits, Features] | None = None,
    ) -> dict[str, Tensor]:
        """Terms of L_G, eq. (7); `known` is what `critic_losses` gave for the same `fake`."""
        c, real, true = self.config, batch["video"], None
        if known is not None:
            logits, true, seen = known
        else:
            change = changes(c, progress, self.strengths.of("critic"))
            seen = self.critics.features(change(fake), progress.step)
            logits = self.critics.logits(seen, s)
            if c.loss in COMPARED:
                with torch.no_grad():
                    true = self.critics.logits(self.critics.features(change(real), progress.step), s)
        true = {head: value.detach() for head, value in true.items()} if true is not None else None
        terms = generator_terms(c.loss, logits, true)
        if c.variant == "cc" and seen.frames is not None:
            terms = {head: term * 2 / 3 for head, term in terms.items()}  # -1/3 [... - L_t1]
            terms["coherence"] = coherence(seen.frames) / 3
        if isinstance(self.generator, VGAN) and self.generator.last_mask is not None:
            terms["mask"] = MASK_WEIGHT * self.generator.last_mask.float().abs().mean()
        if c.diversity:
            other = self.generator(progress.randn(*self.generator.noise_shape), s)
            terms["sameness"] = c.diversity * sameness(fake, other, real)
        if c.contrast:
            terms["contrast"] = c.contrast * contrast(self.critics.matches(seen, s), batch["caption"])
        return terms

    # ---- text ----

    def reconstruct(self, captions: Sequence[str]) -> Tensor:
        """Loss of the sequence auto-encoder on these captions (scalar)."""
        words, lengths = self.vocabulary.encode(captions)
        self.text_encoder.standardise.train()
        return reconstruction(self.text_encoder, self.text_decoder, words.to(self.device), lengths)

    def sentences(self, captions: Sequence[str]) -> Tensor:
        """Captions -> s (B, d_s); zeros for an unconditional system; with gradients only when fine-tuned."""
        if not self.config.conditional:
            return torch.zeros(len(captions), self.config.sentence, device=self.device)
        words, lengths = self.vocabulary.encode(captions)
        self.text_encoder.standardise.eval()  # after pretraining a sentence keeps its vector
        with torch.set_grad_enabled(self.config.finetune_text and torch.is_grad_enabled()):
            return self.text_encoder(words.to(self.device), lengths)

    # ---- use ----

    def examples(self, captions: Sequence[str], clips: Callable[[], Any]) -> dict[str, dict[str, Any]]:
        """One clip of each sentence."""
        del clips
        return {caption: {"caption": (caption,)} for caption in captions}

    def run(self, request: settings.Request) -> Video | Batch:
        """One clip, or a batch of clips sentence by sentence."""
        c = self.config
        for name, wanted, trained in (("frames", request.frames, c.frames), ("size", request.size, c.size)):
            if wanted not in (None, trained):
                raise UsageError(
                    f"these weights make clips with {name} {trained}, not {wanted}; train others for that."
                )
        if not request.caption:
            raise UsageError(
                "no caption was given; say what shall move, e.g. 'digit 7 is moving left and right .'"
            )
        if request.n < 1:
            raise UsageError(f"n is the number of clips for each caption, at least 1, not {request.n}.")
        check_seed(request.seed)
        for caption in request.caption if c.conditional else ():
            self.vocabulary.check(caption)
        captions = [caption for caption in request.caption for _ in range(request.n)]
        seeds = [clip_seed(request.seed, i) for _ in request.caption for i in range(request.n)]
        clips = [Video(frames, Fraction(c.fps)) for frames in self.generate(captions, seeds)]
        return clips[0] if len(clips) == 1 else Batch(clips, labels=captions)

    def generate(self, captions: Sequence[str], seeds: Sequence[int], batch: int = 16) -> Pixels:
        """One clip for every caption and seed: uint8 (N, T, S, S, 3).

        A clip depends on its own caption and seed only.
        """

        def make(some: slice) -> Tensor:
            return self.generator(self.noise(seeds[some]), self.sentences(captions[some]))

        return in_parts(self, make, len(captions), batch)

    def noise(self, seeds: Iterable[int]) -> Tensor:
        """Noise (N, *noise_shape), a row for every seed."""
        shape = self.generator.noise_shape
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    def preview(self, batch: dict[str, Any]) -> Batch:
        """The first captions of the batch, each with noise of its own, the same every time."""
        captions = list(batch["caption"][:8])
        frames = self.generate(captions, [clip_seed(0, i) for i in range(len(captions))])
        return Batch([Video(f, Fraction(self.config.fps)) for f in frames], labels=captions)

    @torch.no_grad()
    def judge(self, clips: Tensor, captions: Sequence[str]) -> Tensor:
        """D0's logits (B,) that clips (B, C, T, S, S) in [-1, 1] are real and fit, as GAM needs them."""
        critic = self.critics.video
        if critic is None:
            raise UsageError(
                "this run has no video critic (variant 'frame'), so it cannot be compared by GAM."
            )
        return critic.head(critic.maps(clips.to(self.device)), self.sentences(captions)).mean(1)

    def export_module(self) -> tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]]:
        """The generator for ONNX: module, example inputs, names of inputs and outputs."""
        z, s = self.noise([0, 1]), torch.zeros(2, self.config.sentence, device=self.device)
        return self.generator.eval(), (z, s), ["noise", "sentence"], ["video"]


def _check(config: settings.Config) -> None:
    """Refuse what cannot be built or trained, before anything long starts."""
    if config.size < 16 or config.frames < 16 or config.size % 16 or config.frames % 16:
        raise UsageError(f"size and frames are multiples of 16, not {config.size} and {config.frames}.")
    if config.channels not in (1, 3):
        raise UsageError(f"a clip has 1 or 3 channels, not {config.channels}.")
    if config.legacy_2x2 and (config.heads != "concat" or config.size < 32):
        raise UsageError("legacy_2x2 belongs to heads=concat at a size of 32 or more.")
    if config.layers > 1 and config.generator != "layered":
        raise UsageError(f"layers={config.layers} belongs to generator=layered, not to {config.generator}.")
    at_least_one(config, "noise", "sentence", "width", "layers", "frame_stride", "fps")
    not_negative(config, "lr", "text_lr", "critic_lr", "diversity", "contrast", "text_steps")
    check(config)
    if config.loss == "r3gan" and config.critic_norm != "none":
        norm = config.critic_norm
        raise UsageError(f"loss=r3gan needs critics without a norm: critic_norm=none, not {norm}.")
    if not all(0 <= beta < 1 for beta in config.betas):
        raise UsageError(f"betas are two numbers from 0 to below 1, not {config.betas}.")
    if not 0 <= config.smoothing < 1:
        raise UsageError(f"smoothing is a number from 0 to below 1, not {config.smoothing}.")
    if config.decay_from is not None and not 0 <= config.decay_from <= 1:
        raise UsageError(f"decay_from is a fraction of the run, from 0 to 1, not {config.decay_from}.")
    if config.ema_halflife_images is not None and not config.ema_halflife_images > 0:
        raise UsageError(f"ema_halflife_images is more than 0, not {config.ema_halflife_images}.")
    if config.frame_stride * 2 > config.frames:
        raise UsageError(
            f"frame_stride {config.frame_stride} leaves fewer than two of {config.frames} frames to look at."
        )
    if config.contrast and (config.heads != "projection" or not config.conditional):
        raise UsageError("contrast needs projection heads and captions; set contrast=0 to do without them.")
    if config.smoothing and config.loss != "log":
        raise UsageError(f"smoothing belongs to the log loss, not to {config.loss}.")


def _normal_init(module: nn.Module) -> None:
    """N(0, 0.02) for every convolution and linear layer, as in the paper."""
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        nn.init.normal_(module.weight, 0, 0.02)
