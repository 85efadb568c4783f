"""Loss terms; each reads a framework's outputs and inputs and is independent of any method."""

from deep3dmap.losses.base import Loss
from deep3dmap.losses.deepsdf import ClampedSDFLoss, CodeLoss, LatentLoss
from deep3dmap.losses.idr import ColorLoss, EikonalLoss, MaskLoss, SDFLoss

__all__ = ["ClampedSDFLoss", "CodeLoss", "ColorLoss", "EikonalLoss", "LatentLoss", "Loss", "MaskLoss", "SDFLoss"]
