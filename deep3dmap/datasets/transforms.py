"""Transforms of single items: mmcv's, as ``mmcv.NAME``, in addition to the toolbox's own.

mmcv's work on a dictionary whose ``img`` is an array (h, w, c) of uint8, and draw from NumPy's global generator, which is
seeded for every item.
"""

import cv2
import mmcv.transforms  # noqa: F401 - registers its parts
import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.registry import TRANSFORMS as PARTS

from deep3dmap.ranges import NotNegative
from deep3dmap.registry import TRANSFORMS

for _name, _part in PARTS.module_dict.items():
    if _part.__module__.startswith("mmcv."):
        TRANSFORMS.register_module(name=f"mmcv.{_name}", module=_part)


@TRANSFORMS.register_module()
class RandomPhotometry:
    """Random brightness, contrast, colour balance, blur and noise of an item's ``img`` (h, w, 3), or its ``images``
    (v, 3, h, w): those of one camera, which differ only in exposure and noise.

    Args:
        strength: 1 for the usual ranges, 0 for none.
    """

    def __init__(self, strength: NotNegative = 1.0):
        self.strength = strength

    def __call__(self, item: dict) -> dict:
        """The item with other pictures."""
        if "img" in item:
            return item | dict(img=self._changed(item["img"][None])[0])
        changed = self._changed(item["images"].permute(0, 2, 3, 1).numpy())
        return item | dict(images=torch.from_numpy(changed).permute(0, 3, 1, 2).contiguous())

    def _changed(self, views: UInt8[np.ndarray, "v h w 3"]) -> UInt8[np.ndarray, "v h w 3"]:
        s, images = self.strength, views.astype(np.float32)
        gain = np.exp(s * (np.random.normal(0, 0.15) + np.random.normal(0, 0.06, 3)))
        mean = images.mean()
        images = (mean + (images - mean) * np.exp(s * np.random.normal(0, 0.15))) * gain
        if len(views) > 1:
            images *= np.exp(s * np.random.normal(0, 0.04, (len(views), 1, 1, 1)))
        if np.random.random() < 0.2 * s:
            deviation = np.random.uniform(0.3, 1.5)
            images = np.stack([cv2.GaussianBlur(image, (0, 0), deviation) for image in images])
        images = images + np.random.normal(0, s * np.random.uniform(0, 6), images.shape)
        return images.clip(0, 255).round().astype(np.uint8)
