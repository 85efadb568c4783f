"""The GAN of faces that comes with the package."""

import torch

from deep3dmap.apis.inference import load_framework
from deep3dmap.datasets import AlignedFaces
from deep3dmap.frameworks.stylegan2.framework import to_signed


def test_its_pictures_are_on_average_as_varied_as_faces_are(real_data):
    gan, faces = load_framework("zoo:faces_64", "cpu"), AlignedFaces("test", 24)
    real = to_signed(torch.stack([torch.from_numpy(faces[k]["img"]) for k in range(len(faces))])) / 2 + 0.5
    made = gan.sample(gan.latents(64, 0))
    assert (made.mean(0) - real.mean(0)).abs().mean() < 0.08  # two sets of 24 faces: 0.052; no network: 0.43
    assert (made.std(0) - real.std(0)).abs().mean() < 0.08  # 0.044; 0.20
