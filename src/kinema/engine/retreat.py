"""The way back, once for each cause: from NaN or Inf to the last good state, from a collapse to before."""

from dataclasses import dataclass, replace
from pathlib import Path

from kinema.core.errors import Diverged
from kinema.engine import state
from kinema.engine.health import Health
from kinema.engine.loader import Loader
from kinema.engine.log import Log

BAD_STEPS = 3
"""steps in a row with NaN or Inf before the run goes back"""


@dataclass
class Retreat:
    """Takes a run back to where it was well, with half the learning rate."""

    training: state.Training
    health: Health
    loader: Loader
    log: Log
    folder: Path

    def from_bad_steps(self) -> None:
        """Return from NaN or Inf to the last good state; the second time, give up."""
        counters = self.training.counters
        if counters.rollbacks:
            met = f"Training met NaN or Inf again at step {counters.step}, after going back once"
            kept = f"the last good state is in {self.folder}"
            raise Diverged(
                f"{met}; {kept}. Try a lower learning rate, precision=fp32, or look for broken data."
            )
        if not state.resume(self.training, self.folder, self.log.say, settled=True):
            state.resume(self.training, self.folder, self.log.say)
        self._go_on_slower(counters, f"{BAD_STEPS} steps in a row were not finite")
        self.training.counters.rollbacks, self.training.counters.bad = 1, 0

    def from_collapse(self) -> Diverged | None:
        """Return to the last state whose previews were as varied as real items; the second time, end there.

        Brock et al. (arXiv:1809.11096, section 4.2) find that training collapses in the end, and take weights
        from before.

        Returns:
            What to raise once the state is saved, the second time.
        """
        before = self.training.counters
        self.training.restore(self.folder / state.HEALTHY)
        step = self.training.counters.step
        if before.collapses:
            self.training.counters = replace(before, step=step)
            return Diverged(
                f"Training collapsed again after step {before.step}; {self.folder} holds the state and the "
                f"weights of step {step}, which was well. Use them, or try a gradient penalty or "
                "augmentation."
            )
        self._go_on_slower(before, f"training collapsed before step {before.step}")
        self.training.counters.collapses = 1
        self.recall()
        return None

    def remember(self) -> None:
        """Keep the newest state if previews are well, and count what they said, for the next state."""
        if self.health.was_well and self.health.well:
            state.keep_healthy(self.folder)
        self.training.counters.wells, self.training.counters.dull = self.health.wells, self.health.dull

    def recall(self) -> None:
        """Give back what previews said before the state that the run goes on from."""
        counters, health = self.training.counters, self.health
        health.wells, health.dull, health.collapsed = counters.wells, counters.dull, False
        health.was_well = (self.folder / state.HEALTHY).exists()

    def _go_on_slower(self, before: state.Counters, why: str) -> None:
        """From a restored state with half the learning rate that there was."""
        now, scale = self.training.counters, before.lr_scale / 2
        now.lr_scale, now.rollbacks, now.collapses = scale, before.rollbacks, before.collapses
        self.loader.seek(now.step)
        self.log.rewind(now.step)
        self.log.note(now.step, f"{why}: back to step {now.step}, learning rates times {scale:g}")
