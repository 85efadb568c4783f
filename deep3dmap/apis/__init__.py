"""The Python API; the command line calls the same functions."""

from deep3dmap.apis.convert import convert_checkpoint
from deep3dmap.apis.export import export_mesh, render_video, swap_appearance
from deep3dmap.apis.face_editing import edit_face
from deep3dmap.apis.generating import generate
from deep3dmap.apis.inference import load_framework
from deep3dmap.apis.reconstruct import reconstruct
from deep3dmap.apis.test import test
from deep3dmap.apis.train import train

__all__ = [
    "convert_checkpoint", "edit_face", "export_mesh", "generate", "load_framework", "reconstruct", "render_video",
    "swap_appearance", "test", "train"
]
