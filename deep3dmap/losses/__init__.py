"""Loss terms; each reads a framework's outputs and inputs and is independent of any method."""

from deep3dmap.losses.base import Loss
from deep3dmap.losses.chamfer import ChamferLoss
from deep3dmap.losses.color import ColorLoss
from deep3dmap.losses.deepsdf import ClampedSDFLoss, CodeLoss
from deep3dmap.losses.eikonal import EikonalLoss
from deep3dmap.losses.latent import LatentLoss
from deep3dmap.losses.mask import MaskLoss
from deep3dmap.losses.mesh import EdgeLengthLoss, LaplacianLoss, NormalConsistencyLoss, PointMeshLoss
from deep3dmap.losses.sdf import SDFLoss

__all__ = [
    "ChamferLoss", "ClampedSDFLoss", "CodeLoss", "ColorLoss", "EdgeLengthLoss", "EikonalLoss", "LaplacianLoss", "LatentLoss",
    "Loss", "MaskLoss", "NormalConsistencyLoss", "PointMeshLoss", "SDFLoss"
]
