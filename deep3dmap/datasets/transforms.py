"""Transforms of single items: mmcv's, as ``mmcv.NAME``, in addition to the toolbox's own.

mmcv's work on a dictionary whose ``img`` is an array (h, w, c) of uint8, and draw from NumPy's global generator, which is
seeded for every item.
"""

import mmcv.transforms  # noqa: F401 - registers its parts
from mmengine.registry import TRANSFORMS as PARTS

from deep3dmap.registry import TRANSFORMS

for _name, _part in PARTS.module_dict.items():
    if _part.__module__.startswith("mmcv."):
        TRANSFORMS.register_module(name=f"mmcv.{_name}", module=_part)
