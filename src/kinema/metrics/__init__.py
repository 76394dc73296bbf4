"""Feature extractors, statistics and scores: the same protocol for every system."""

METRICS = {
    "acd": "kinema.metrics.acd:acd",
    "caption_fidelity": "kinema.metrics.measures:caption_fidelity",
    "classification": "kinema.metrics.classification:classification",
    "face_edits": "kinema.metrics.face_edits:face_edits",
    "fd_judge": "kinema.metrics.measures:fd_judge",
    "fd_random": "kinema.metrics.measures:fd_random",
    "fd_pixels": "kinema.metrics.measures:fd_pixels",
    "fid": "kinema.metrics.fid:fid",
    "moving_shapes": "kinema.metrics.shapes:moving_shapes",
    "fvd": "kinema.metrics.fvd:fvd",
    "fvd_cd": "kinema.metrics.fvd:fvd_cd",
    "fvd_stylegan_v": "kinema.metrics.fvd:fvd_stylegan_v",
    "nearest_training": "kinema.metrics.nearest:nearest_training",
    "pictures": "kinema.metrics.pictures:pictures",
    "photo_motion": "kinema.metrics.photo_motion:photo_motion",
    "video_fid": "kinema.metrics.resnext:video_fid",
    "truncation": "kinema.metrics.truncation:truncation",
    "wind": "kinema.metrics.photo_motion:wind",
}
"""name -> "module:function" of (system, data, *, n, seed, log) -> list[Row], imported when asked for"""

NEEDS = {
    "fid": ("inception", "train"),
    "fvd": ("i3d",),
    "fvd_cd": ("i3d",),
    "fvd_stylegan_v": ("i3d",),
    "nearest_training": ("train",),
    "video_fid": ("resnext", "train"),
}
"""what a metric takes besides: `i3d`, `resnext` or `inception`, a `Foreign` network; `train`, what opens the
training clips"""
