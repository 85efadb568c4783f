"""Where furniture stands and where one can walk: a floor with rectangles on it."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import label

CELL = 0.1  # of the grid of places to stand, metres
BODY = 0.45  # distance that a walker keeps from everything
ROOM_TO_WALK = 1.2  # least area of places to stand that are connected, square metres
Rectangle = tuple[float, float, float, float]  # least x, least y, largest x, largest y


@dataclass(eq=False)
class FloorPlan:
    """A rectangular floor with its corner in the origin.

    Attributes:
        size: along x and y, metres.
        taken: rectangles that are stood upon.
        kept_free: rectangles where nothing may stand, but one can walk: before doors.
        windows: rectangles where nothing may stand that is higher than the number after them.
    """

    size: tuple[float, float]
    taken: list[Rectangle] = field(default_factory=list)
    kept_free: list[Rectangle] = field(default_factory=list)
    windows: list[tuple[Rectangle, float]] = field(default_factory=list)

    def take(self, rectangle: Rectangle, height: float) -> bool:
        """Put something there if it has room and leaves enough floor to walk on; whether it has been put there."""
        low = [area for area, sill in self.windows if height > sill]
        inside = rectangle[0] >= 0 and rectangle[1] >= 0 and rectangle[2] <= self.size[0] and rectangle[3] <= self.size[1]
        if not inside or any(overlap(rectangle, other) for other in (*self.taken, *self.kept_free, *low)):
            return False
        self.taken.append(rectangle)
        if self.places()[1].sum() * CELL**2 >= ROOM_TO_WALK:
            return True
        self.taken.pop()
        return False

    def clearance(self, points: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "p"]:
        """Distance of points to the nearest thing or wall, metres; 0 or less inside one."""
        distance = np.minimum(points, np.array(self.size) - points).min(1)
        if self.taken:
            low, high = np.split(np.array(self.taken), 2, axis=1)
            outside = np.maximum(np.maximum(low - points[:, None], points[:, None] - high), 0)
            distance = np.minimum(distance, np.linalg.norm(outside, axis=-1).min(1))
        return distance

    def places(self) -> tuple[Float[np.ndarray, "nx ny 2"], Bool[np.ndarray, "nx ny"]]:
        """A grid of points, and in which of them one can stand: the largest connected part with a body's clearance."""
        axes = [np.arange(CELL / 2, length, CELL) for length in self.size]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        free = (self.clearance(points.reshape(-1, 2)) >= BODY).reshape(points.shape[:2])
        parts: Int[np.ndarray, "nx ny"] = label(free)[0]
        counts = np.bincount(parts.ravel())[1:]
        return points, parts == 1 + counts.argmax() if len(counts) else free


def overlap(a: Rectangle, b: Rectangle) -> bool:
    """Whether two rectangles share more than an edge."""
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def footprint(size: tuple[float, float], at: tuple[float, float], turn: float) -> Rectangle:
    """The axis-aligned rectangle around a thing of a size along its own x and y, turned by radians."""
    cosine, sine = abs(np.cos(turn)), abs(np.sin(turn))
    half = (size[0] * cosine + size[1] * sine) / 2, (size[0] * sine + size[1] * cosine) / 2
    return at[0] - half[0], at[1] - half[1], at[0] + half[0], at[1] + half[1]
