"""The visible label of pictures that show a person doing what that person did not do."""

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from kinema.core.results import Pixels

TEXT = "synthetic"
SHARE, LEAST = 0.035, 9
"""height of the letters in heights of the picture, and at least in pixels"""


def marked(pixels: Pixels, text: str = TEXT) -> Pixels:
    """The picture or clip uint8 (..., H, W, 3) with a word in its lower left corner, white on black."""
    height, width, _ = pixels.shape[-3:]
    font = ImageFont.load_default(max(LEAST, round(SHARE * height)))
    left, top, right, bottom = font.getbbox(text)
    pad = max(1, round((bottom - top) / 4))
    size = (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad)
    plate = Picture.new("RGB", size)
    ImageDraw.Draw(plate).text((pad - left, pad - top), text, "white", font)
    label = np.asarray(plate)[:height, :width]
    out = pixels.copy()
    out[..., height - label.shape[0] :, : label.shape[1], :] = label
    return out
