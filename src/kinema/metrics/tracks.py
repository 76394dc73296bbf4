"""Two digits in a clip: the most probable pair of classes and of smooth paths through a grid of cells.

For each frame a few candidate cells; for each pair of classes the best pair of paths by dynamic programming
(Viterbi). The score of a path is the evidence for a digit of its class in its cells, less the squared lengths
of its steps; two paths may meet in one cell at a price. So classes hold paths apart where digits cross, and
paths hold classes together where they hide.

What limits it: in a sixth of the real clips the two digits are never clear of each other in any frame, and a
quarter of those is misread; of the clips that are clear in most frames it is one in seventy.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CANDIDATES = 5  # cells a frame
LIKELY = 5  # classes a clip
FLOOR = -6.0  # a digit may be hidden in a frame
STEP = 0.15  # price of a step of one cell; they grow with the square
SHARE = 4.0  # price of a frame in which both paths use one cell


def best_tracks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Classes (N, 2) and paths (N, 2, T, 2) as (y, x) in cells, from `FrameNet`'s maps (N, T, 11, h, w)."""
    n, w = len(maps), maps.shape[-1]
    there = F.logsigmoid(maps[:, :, 0])  # (N, T, h, w)
    peak = there == F.max_pool2d(there, 3, 1, 1)
    score, cell = torch.where(peak, there, there - 50).flatten(2).topk(CANDIDATES, 2)  # (N, T, K)
    named = F.log_softmax(maps[:, :, 1:], 2).flatten(3)  # (N, T, 10, h*w)
    named = named.gather(3, cell[:, :, None].expand(-1, -1, 10, -1))  # (N, T, 10, K)
    evidence = (score[:, :, None] + named).clamp(min=FLOOR)
    place = torch.stack([cell // w, cell % w], 3).float()  # (N, T, K, 2)
    step = -STEP * (place[:, 1:, None, :] - place[:, :-1, :, None]).square().sum(4)  # (N, T-1, K, K) from, to

    likely = evidence.amax(3).sum(1).topk(LIKELY, 1).indices  # (N, L)
    first, second = torch.triu_indices(LIKELY, LIKELY)  # unordered pairs with repetition, P of them
    pairs = torch.stack([likely[:, first], likely[:, second]], 2)  # (N, P, 2)
    rows = torch.arange(n)[:, None]
    one, two = (evidence.transpose(1, 2)[rows, pairs[..., i]] for i in (0, 1))  # (N, P, T, K)
    unary = one[..., :, None] + two[..., None, :]  # (N, P, T, K, K)
    same = (place[:, :, :, None] == place[:, :, None]).all(4)  # (N, T, K, K)
    unary = unary - SHARE * same[:, None]
    total, states = _viterbi(unary, step[:, None])
    best = total.argmax(1)  # (N,)
    chosen = states[torch.arange(n), best]  # (N, T) = K*i + j
    path = torch.stack([chosen // CANDIDATES, chosen % CANDIDATES], 1)  # (N, 2, T)
    where = place[:, None].expand(-1, 2, -1, -1, -1).gather(3, path[..., None, None].expand(-1, -1, -1, 1, 2))
    return pairs[torch.arange(n), best], where[:, :, :, 0]


def _viterbi(unary: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Best score (N, P) and states (N, P, T), evidence (N, P, T, K, K), steps (N, 1, T-1, K, K)."""
    t, k = unary.shape[2:4]
    value, back = unary[:, :, 0], []
    for i in range(1, t):
        move = step[:, :, i - 1]  # (N, 1, K, K) from, to
        half, from_one = (value[:, :, :, None, :] + move[:, :, :, :, None]).max(
            2
        )  # over the first's past: (N, P, K', K)
        full, from_two = (half[:, :, :, :, None] + move[:, :, None]).max(
            3
        )  # over the second's past: (N, P, K', K')
        back.append(from_one.gather(3, from_two) * k + from_two)
        value = full + unary[:, :, i]
    total, last = value.flatten(2).max(2)
    states = [last]
    for pointer in reversed(back):
        states.append(pointer.flatten(2).gather(2, states[-1][..., None])[..., 0])
    return total, torch.stack(states[::-1], 2)
