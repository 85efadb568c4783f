"""Errors of estimated cameras against the true ones, up to the similarity that a reconstruction leaves ambiguous."""

from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.alignment import align_cameras
from deep3dmap.geometry.rotations import rotation_angle_error

NAMES = ("rotation_error_mean_deg", "rotation_error_median_deg", "center_error_mean", "center_error_median")


def camera_errors(rotations: Float[Tensor, "n 3 3"], centers: Float[Tensor, "n 3"], true_rotations: Float[Tensor, "m 3 3"],
                  true_centers: Float[Tensor, "m 3"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Errors of each camera after alignment (:func:`~deep3dmap.geometry.alignment.align_cameras`).

    Source: the camera evaluation of Yariv et al. 2020 (IDR). Computed in double precision.

    Args:
        rotations: estimated, camera-to-world.
        centers: estimated.
        true_rotations: true, camera-to-world.
        true_centers: true; their units are those of the errors.

    Returns:
        Rotation errors in degrees, and distances between the centres.

    Raises:
        ValueError: if there are fewer than two cameras, not the same number, or all centres coincide.
    """
    if len(rotations) != len(true_rotations):
        raise ValueError(f"{len(rotations)} estimated cameras can't be compared with {len(true_rotations)} true ones; "
                         "pass them in pairs")
    R, c, true_R, true_c = (x.double() for x in (rotations, centers, true_rotations, true_centers))
    scale, rotation, translation = align_cameras(R, c, true_R, true_c)
    degrees = rotation_angle_error(rotation @ R, true_R)
    return degrees, (scale * c @ rotation.T + translation - true_c).norm(dim=-1)


def camera_metrics(rotations: Float[Tensor, "n 3 3"], centers: Float[Tensor, "n 3"], true_rotations: Float[Tensor, "m 3 3"],
                   true_centers: Float[Tensor, "m 3"]) -> dict[str, float]:
    """Mean and median of :func:`camera_errors`: rotations in degrees, centres in the units of the true ones."""
    degrees, distances = camera_errors(rotations, centers, true_rotations, true_centers)
    values = [statistic for errors in (degrees, distances) for statistic in (errors.mean(), errors.quantile(0.5))]
    return dict(zip(NAMES, map(float, values)))
