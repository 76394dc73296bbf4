"""The only door to files: reading and writing pictures and video, and the provenance they carry."""

from kinema.media.limits import Info, Limits
from kinema.media.read import probe, read_image, read_provenance, read_video, stream
from kinema.media.write import Writer, check_sheet, save

__all__ = [
    "Info",
    "Limits",
    "Writer",
    "check_sheet",
    "probe",
    "read_image",
    "read_provenance",
    "read_video",
    "save",
    "stream",
]
