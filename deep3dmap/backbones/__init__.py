"""Learnable parts: networks independent of data sets and methods."""

from deep3dmap.backbones.coded_sdf_network import CodedSDFNetwork
from deep3dmap.backbones.deepsdf_decoder import DeepSDFDecoder
from deep3dmap.backbones.efficientnet_lite import EfficientNetLite0
from deep3dmap.backbones.encoding import fourier_encoding
from deep3dmap.backbones.gan2shape import ImageAutoencoder, ImageEncoder, LearnedGaussian, ResidualEncoder
from deep3dmap.backbones.linear import WeightNormLinear, frozen
from deep3dmap.backbones.mnasnet import MnasMulti
from deep3dmap.backbones.posed_resfcn import PosedResFCN
from deep3dmap.backbones.radiance_network import RadianceNetwork
from deep3dmap.backbones.resfcn import ResFCN
from deep3dmap.backbones.sdf_network import SDFNetwork
from deep3dmap.backbones.sparse import SPVCNN, ConvGRU, SparseUNet
from deep3dmap.backbones.stylegan2 import StyleDiscriminator, StyleGenerator

__all__ = [
    "SPVCNN", "CodedSDFNetwork", "ConvGRU", "DeepSDFDecoder", "EfficientNetLite0", "ImageAutoencoder", "ImageEncoder",
    "LearnedGaussian", "MnasMulti", "PosedResFCN", "RadianceNetwork", "ResFCN", "ResidualEncoder", "SDFNetwork", "SparseUNet",
    "StyleDiscriminator", "StyleGenerator", "WeightNormLinear", "fourier_encoding", "frozen"
]
