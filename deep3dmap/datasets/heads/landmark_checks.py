"""Whether named points are the six landmarks of a head: enough of them, head-shaped, and right and left not swapped.

Compared with the mean head after the best similarity without reflection. Over 300 random heads of the ICT model (1.3 times as
diverse as people, a third with expressions, 3 mm of noise) the remaining root mean square is at most 1.1 cm, with right and
left swapped at least 2.0 cm and twice that of the same head unswapped; tip and base of the nose swapped 1.0 to 1.9 cm.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.errors import DataError
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.silhouettes import mask_distance
from deep3dmap.registry import nearest
from deep3dmap.structures import Cameras
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS

NEEDED = 4  # three determine a similarity, but a reflection would go unnoticed
LINE = 0.1  # ratio of second to first extent below which points lie on a line
SUSPECT, SUSPECT_OF_FOUR, IMPOSSIBLE = 1.0, 1.4, 2.0  # centimetres on a head of average size, root mean square
BETTER = 0.6  # remaining fraction of the misfit after correcting an error
BESIDE = 0.05  # tolerance of masks and landmarks, relative to the image's longer side
CLOSE = 0.04  # minimum spread of landmarks, relative to the root of a mask's area; a head's are 0.3 apart

SWAPS: dict[str, tuple[tuple[str, str], ...]] = {
    "right and left are swapped, or the whole scene is mirrored": (("right_eye", "left_eye"), ("right_lips", "left_lips")),
    "right_eye and left_eye are swapped": (("right_eye", "left_eye"), ),
    "right_lips and left_lips are swapped": (("right_lips", "left_lips"), ),
    "nose_tip and nose_base are swapped": (("nose_tip", "nose_base"), ),
}
SIDES = "Right and left are the subject's: in a frontal image the right eye is on the left."

Landmarks = Mapping[str, Float[Tensor, "3"]]


def check_landmark_names(names: Sequence[str], source: str | Path) -> None:
    """Refuse unknown landmark names.

    Raises:
        DataError: naming the first one and the most similar known ones.
    """
    for name in names:
        if name not in HEAD_LANDMARKS:
            raise DataError(f"{source}: no landmark '{name[:60]}': {nearest(name, HEAD_LANDMARKS)}")


def check_head_landmarks(landmarks: Landmarks, source: str | Path) -> None:
    """Refuse landmarks that don't determine a head's pose.

    Args:
        landmarks: by name, in any right-handed frame and unit.
        source: file or folder, for messages.

    Raises:
        DataError: for unknown names, values that are not finite, fewer than four landmarks, collinear landmarks, swapped or
            mirrored ones, and implausible ones.
    """
    check_landmark_names(list(landmarks), source)
    for name, point in landmarks.items():
        if not point.isfinite().all():
            raise DataError(f"{source}: {name} is not finite: {point.tolist()}; mark it again or leave it out")
    if len(landmarks) < NEEDED:
        raise DataError(f"{source}: {_listed(landmarks)}: the pose of a head needs {NEEDED} of the six landmarks or more; add "
                        f"some of {', '.join(n for n in HEAD_LANDMARKS if n not in landmarks)}")
    points = torch.stack(list(landmarks.values())).double()
    extent = torch.linalg.svdvals(points - points.mean(0))
    if not extent[1] > LINE * extent[0]:
        raise DataError(f"{source}: {_listed(landmarks)} are collinear or coincide: mark them again")
    if problem := shape_problem(landmarks):
        raise DataError(f"{source}: {problem}")


def _listed(landmarks: Landmarks) -> str:
    return f"{len(landmarks)} landmarks ({', '.join(landmarks)})" if landmarks else "no landmarks"


def landmark_mask_problem(landmarks: Landmarks, cameras: Cameras, masks: Bool[Tensor, "n h w"], names: Sequence[str]) -> str:
    """Describes landmarks that are not where the masks show the head; empty if most of them are.

    In any pose, a head's landmarks project onto its mask or beyond the image border, and apart from each other.

    Args:
        landmarks: by name.
        cameras: in the landmarks' frame.
        masks: of the head; empty ones don't count.
        names: of the views.
    """
    seen = zip(names, masks, *cameras.project(torch.stack(list(landmarks.values())).to(cameras.K)))
    views = [view for view in seen if view[1].any()]
    off = {name: _off_mask(mask, uv, depth) for name, mask, uv, depth in views}
    counted = torch.cat([*off.values(), torch.zeros(0, dtype=torch.bool)])
    wrong = [name for name, outside in off.items() if len(outside) and outside.double().mean() > 0.5]
    if len(counted) and counted.double().mean() > 0.5:
        problem = f"outside the mask in {', '.join(wrong[:3])}{' ...' * (len(wrong) > 3)}"
    elif views and not len(counted):
        problem = "in none of the images"
    elif views and max(float(torch.pdist(uv).max() / mask.sum().sqrt()) for _, mask, uv, _ in views) < CLOSE:
        problem = "nearly one point"
    else:
        return ""
    return (f"seen from the cameras, the landmarks are {problem}: they must be of this capture, in the frame and unit of its "
            "cameras; mark them on its photographs (`deep3dmap landmarks FOLDER`)")


def _off_mask(mask: Bool[Tensor, "h w"], uv: Float[Tensor, "k 2"], depth: Float[Tensor, "k"]) -> Bool[Tensor, "c"]:
    """Which points are behind the camera or well outside the mask, of those within the image border."""
    height, width = mask.shape
    behind = ~(depth > 0)
    inside = ~behind & (uv >= 0).all(-1) & (uv < uv.new_tensor([width, height])).all(-1)
    column, row = torch.where(inside[:, None], uv, 0.0).long().unbind(-1)
    far = mask_distance(mask)[row, column].to(uv) > BESIDE * max(height, width)
    return torch.where(inside, far, behind)[inside | behind]


def head_from_landmarks(landmarks: Landmarks) -> Float[Tensor, "4 4"]:
    """The similarity without reflection from the mean head (centimetres; see ``MEAN_HEAD_LANDMARKS``) to the landmarks' frame.

    Raises:
        ValueError: for fewer than three landmarks, or collinear landmarks.
    """
    names = list(landmarks)
    points = torch.stack([landmarks[n] for n in names]).double()
    return align_points(_mean_head(names).to(points), points)


def _mean_head(names: Sequence[str]) -> Float[Tensor, "n 3"]:
    return torch.tensor([MEAN_HEAD_LANDMARKS[HEAD_LANDMARKS.index(n)] for n in names], dtype=torch.float64)


def misfits(landmarks: Landmarks) -> Float[Tensor, "n"]:
    """Distances between landmarks and those of the mean head after the best similarity, in centimetres on that head."""
    similarity = head_from_landmarks(landmarks).cpu()
    inverse = torch.linalg.inv(similarity)
    points = torch.stack(list(landmarks.values())).double().cpu()
    return (points @ inverse[:3, :3].T + inverse[:3, 3] - _mean_head(list(landmarks))).norm(dim=-1)


def misfit(landmarks: Landmarks) -> float:
    """Root mean square of :func:`misfits`."""
    return float(misfits(landmarks).pow(2).mean().sqrt())


def swapped(landmarks: Landmarks, pairs: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Landmarks with the names of each pair exchanged."""
    partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return {partner.get(name, name): point for name, point in landmarks.items()}


def shape_problem(landmarks: Landmarks) -> str:
    """The problem with the shape of four or more landmarks; empty if there is none."""
    now = misfit(landmarks)
    if now > (SUSPECT if len(landmarks) > NEEDED else SUSPECT_OF_FOUR):
        undone = {text: misfit(swapped(landmarks, pairs)) for text, pairs in SWAPS.items()}
        text = min(undone, key=undone.get)
        if undone[text] < BETTER * now:
            return f"{text}. {SIDES}" if "right" in text else f"{text}: the tip is the foremost point, the base is at the lip"
    if now <= IMPOSSIBLE:
        return ""
    return f"{_worst(landmarks)}; mark it again, and check that each landmark has the right name"


def _worst(landmarks: Landmarks) -> str:
    """The landmark without which the others fit a head best."""
    rest = {name: {n: p for n, p in landmarks.items() if n != name} for name in landmarks}
    left = {name: misfit(others) for name, others in rest.items()} if len(landmarks) > NEEDED else {}
    if not left:
        off = 10 * float(misfits(landmarks).max())
        return f"the {len(landmarks)} landmarks don't fit a head: one is {off:.0f} mm off on an average head"
    name = min(left, key=left.get)
    similarity = torch.linalg.inv(head_from_landmarks(rest[name]))
    moved = similarity[:3, :3] @ landmarks[name].double() + similarity[:3, 3]
    off = 10 * float((moved - _mean_head([name])[0]).norm())
    return f"{name} is {off:.0f} mm (on an average head) from where the other landmarks place it"
