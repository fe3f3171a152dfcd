"""A way out of JAX: models as StableHLO, ONNX and TFLite, each compared with the model in the runtime it is for."""

from segjax.errors import ExportError
from segjax.export.exporting import TOLERANCE, Exported, Format, export_model
from segjax.export.html import export_page
from segjax.export.int8 import Calibration
from segjax.export.metadata import read_metadata

__all__ = [
    "TOLERANCE",
    "Calibration",
    "ExportError",
    "Exported",
    "Format",
    "export_model",
    "export_page",
    "read_metadata",
]
