"""Words to a sentence vector: vocabulary and the recurrent encoder with its auto-encoding decoder.

Pan et al. 2017 (arXiv:1804.08264), section 3.1: words -> bi-directional LSTM -> LSTM -> s. We pretrain it as
a sequence auto-encoder. Where we differ: s is standardised by running statistics over the training
sentences, because sentences that differ in one word have nearly equal raw vectors, and a critic that
compares them raw ignores the caption for long.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.core.errors import UsageError, nearest
from kinema.data.captions import words as split
from kinema.nn.norm import BatchNorm1d

PAD, START, END, UNK = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
MAX_WORDS = 60


def collect_words(captions: Iterable[str]) -> tuple[str, ...]:
    """The sorted vocabulary of a set of captions."""
    return tuple(sorted({w for c in captions for w in split(c)}))


class Vocabulary:
    """Words <-> numbers; the first four numbers are padding, start, end and unknown."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = SPECIAL + tuple(words)
        self.index = {w: i for i, w in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def check(self, caption: str) -> None:
        """Raise `UsageError` for a caption that is empty, too long, or holds a word never trained on."""
        words = split(caption)
        if not words:
            raise UsageError(
                "the caption is empty; give a sentence such as 'digit 7 is moving left and right .'"
            )
        if len(words) > MAX_WORDS:
            raise UsageError(f"the caption has {len(words)} words; at most {MAX_WORDS} are read.")
        for word in words:
            if word not in self.index:
                known = nearest(word, self.words[len(SPECIAL) :])
                raise UsageError(f"these weights never saw the word '{word}'; {known}.")

    def encode(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions as word numbers (B, L), padded with 0, and their lengths (B,); each ends in `<end>`."""
        rows = [[self.index.get(w, UNK) for w in split(c)[:MAX_WORDS]] + [END] for c in captions]
        lengths = torch.tensor([len(r) for r in rows])
        out = torch.full((len(rows), int(lengths.max())), PAD)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row)
        return out, lengths


class TextEncoder(nn.Module):
    """Embedding -> bi-LSTM -> LSTM; its last output, standardised, is the sentence vector s (B, d_s)."""

    def __init__(self, words: int, width: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.both_ways = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.forward_only = nn.LSTM(2 * width, width, batch_first=True)
        self.standardise = BatchNorm1d(width, affine=False, momentum=0.02)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Word numbers (B, L) and lengths (B,) on the CPU -> sentence vectors (B, d_s)."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(words), lengths, batch_first=True, enforce_sorted=False
        )
        hidden, _ = self.both_ways(packed)
        _, (last, _) = self.forward_only(hidden)
        return self.standardise(last[-1].float())  # (B, d_s)


class TextDecoder(nn.Module):
    """LSTM + linear that says the sentence again from s alone; dropped after pretraining.

    It is shown s at every word and none of the words before: with them, it learns the grammar first and
    needs thousands of steps to find that s could tell it the rest.
    """

    def __init__(self, words: int, width: int = 256) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(width, width, batch_first=True)
        self.to_words = nn.Linear(width, words)

    def forward(self, s: Tensor, length: int) -> Tensor:
        """Sentence vectors (B, d_s) -> logits (B, length, words)."""
        hidden, _ = self.recurrent(s[:, None].expand(-1, length, -1))
        return self.to_words(hidden)


def reconstruction(encoder: TextEncoder, decoder: TextDecoder, words: Tensor, lengths: Tensor) -> Tensor:
    """Cross-entropy per word of saying each sentence again (scalar)."""
    logits = decoder(encoder(words, lengths), words.shape[1])  # (B, L, words)
    return F.cross_entropy(logits.float().flatten(0, 1), words.flatten(), ignore_index=PAD)
