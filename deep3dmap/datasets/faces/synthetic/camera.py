"""What a camera does to a picture: exposure, colour balance, blur, noise, JPEG, grey."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def photographed(picture: Float[np.ndarray, "h w 3"], random: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """A linear-ish picture in [0, 1] as a random camera stores it."""
    picture = picture * np.exp(random.normal(0, 0.12, 3)) if random.random() < 0.5 else picture
    picture = picture.clip(0)**random.uniform(0.75, 1.35) * np.exp(random.normal(0, 0.2))
    grey = picture.mean(-1, keepdims=True)
    picture = grey + (picture - grey) * (0.0 if random.random() < 0.08 else random.uniform(0.5, 1.4))
    picture = 0.5 + (picture - 0.5) * random.uniform(0.7, 1.25)
    picture = _blurred(picture.astype(np.float32), random)
    if random.random() < 0.6:
        coarse = random.random() < 0.3
        noise = random.normal(0, random.uniform(0.005, 0.06),
                              (picture.shape[0] // (1 + coarse), picture.shape[1] // (1 + coarse), 3))
        picture = picture + cv2.resize(noise.astype(np.float32), picture.shape[1::-1])
    stored = (picture.clip(0, 1) * 255).round().astype(np.uint8)
    if random.random() < 0.6:
        _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 96))])
        stored = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return stored


def _blurred(picture: Float[np.ndarray, "h w 3"], random: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Out of focus, moved, or enlarged from a small picture; often sharp."""
    kind, size = random.random(), picture.shape[1::-1]
    if kind < 0.35:
        return cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 2.2))
    if kind < 0.45:
        length, angle = int(random.integers(3, 10)), random.uniform(0, np.pi)
        kernel = np.zeros((length, length), np.float32)
        step = (length / 2 - 0.5) * np.array([np.cos(angle), np.sin(angle)])
        middle = length / 2 - 0.5
        cv2.line(kernel, np.int32(np.round(middle - step)).tolist(), np.int32(np.round(middle + step)).tolist(), 1.0, 1)
        return cv2.filter2D(picture, -1, kernel / kernel.sum())
    if kind < 0.65:
        small = random.uniform(0.2, 0.8)
        reduced = cv2.resize(picture, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
        return cv2.resize(reduced, size, interpolation=cv2.INTER_LINEAR)
    return picture
