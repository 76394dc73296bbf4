"""Feature extractors, statistics and scores: the same protocol for every system."""

METRICS = {
    "caption_fidelity": "kinema.metrics.measures:caption_fidelity",
    "fd_judge": "kinema.metrics.measures:fd_judge",
    "fd_random": "kinema.metrics.measures:fd_random",
    "fd_pixels": "kinema.metrics.measures:fd_pixels",
    "moving_shapes": "kinema.metrics.shapes:moving_shapes",
    "photo_motion": "kinema.metrics.photo_motion:photo_motion",
    "wind": "kinema.metrics.photo_motion:wind",
}
"""name -> "module:function" of (system, data, *, n, seed, log) -> list[Row], imported when asked for"""
