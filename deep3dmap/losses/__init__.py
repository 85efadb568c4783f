"""Loss terms; each reads a framework's outputs and inputs and is independent of any method."""

from deep3dmap.losses.base import Loss
from deep3dmap.losses.chamfer import ChamferLoss
from deep3dmap.losses.deepsdf import ClampedSDFLoss, CodeLoss, LatentLoss
from deep3dmap.losses.gan2shape import FeatureLoss, MaskedL1Loss, ReliefLoss, SmoothnessLoss
from deep3dmap.losses.idr import ColorLoss, EikonalLoss, MaskLoss, SDFLoss
from deep3dmap.losses.images import PhotometricLoss, SilhouetteLoss
from deep3dmap.losses.lpips import LPIPS
from deep3dmap.losses.mesh import EdgeLengthLoss, LaplacianLoss, NormalConsistencyLoss, PointMeshLoss
from deep3dmap.losses.occupancy import LogL1Loss, OccupancyLoss
from deep3dmap.losses.position_map import PositionMapLoss

__all__ = [
    "LPIPS", "ChamferLoss", "ClampedSDFLoss", "CodeLoss", "ColorLoss", "EdgeLengthLoss", "EikonalLoss", "FeatureLoss",
    "LaplacianLoss", "LatentLoss", "LogL1Loss", "Loss", "MaskLoss", "MaskedL1Loss", "NormalConsistencyLoss", "OccupancyLoss",
    "PhotometricLoss", "PointMeshLoss", "PositionMapLoss", "ReliefLoss", "SDFLoss", "SilhouetteLoss", "SmoothnessLoss"
]
