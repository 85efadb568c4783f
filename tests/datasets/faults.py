"""Faults of captures that no reader notices, each a function of a sound capture, and what the checks must report of it.

``python -m tests.datasets.faults`` prints the tables of docs/capture_checks.md: sound captures, and three with each fault.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from deep3dmap.datasets.captures.formats import load_capture
from deep3dmap.datasets.captures.photo_checks import Photographs, photo_consistency, photo_warnings
from deep3dmap.datasets.captures.picture_checks import Pictures, picture_warnings
from deep3dmap.datasets.captures.scene_checks import Silhouettes, capture_warnings, hull_problem, unusable_reason
from deep3dmap.datasets.captures.silhouette_checks import compared
from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.io.paths import resolve_data
from deep3dmap.structures import Capture

VIEW, OTHER = 1, 2  # the views of which something is wrong


def _with_cameras(capture: Capture, K: torch.Tensor | None = None, poses: torch.Tensor | None = None) -> Capture:
    cameras = capture.cameras
    return replace(capture,
                   cameras=replace(cameras,
                                   K=cameras.K if K is None else K,
                                   world_to_cam=cameras.world_to_cam if poses is None else poses))


def _with_pictures(capture: Capture, change: Callable[[torch.Tensor], torch.Tensor]) -> Capture:
    """With photographs changed, and masks alike where there are any."""
    masks = None if capture.masks is None else change(capture.masks)
    return replace(capture, images=change(capture.images), masks=masks)


def _reordered(capture: Capture, order: list[int]) -> Capture:
    return _with_pictures(capture, lambda pictures: pictures[order])


def principal_point_off(capture: Capture, part: float = 20 / 256) -> Capture:
    """All principal points too far to the right, by a part of the image's width."""
    K = capture.cameras.K.clone()
    K[:, 0, 2] += part * capture.cameras.size[1]
    return _with_cameras(capture, K=K)


def camera_off(capture: Capture, part: float = 0.05) -> Capture:
    """One camera moved sideways by a part of its distance from the world's origin."""
    poses = capture.cameras.world_to_cam.clone()
    poses[VIEW, 0, 3] += part * poses[VIEW, :, 3].norm()
    return _with_cameras(capture, poses=poses)


def masks_shifted(capture: Capture, part: float = 6 / 96) -> Capture:
    """All masks too far to the right."""
    return replace(capture, masks=capture.masks.roll(round(part * capture.cameras.size[1]), 2))


def order_reversed(capture: Capture) -> Capture:
    """The photographs and masks in reverse order."""
    return _reordered(capture, list(range(len(capture)))[::-1])


def order_off_by_one(capture: Capture) -> Capture:
    """Each photograph and mask in the place of the one before it."""
    return _reordered(capture, [*range(1, len(capture)), 0])


def mirrored(capture: Capture) -> Capture:
    """Photographs and masks mirrored left to right."""
    return _with_pictures(capture, lambda pictures: pictures.flip(2))


def two_exchanged(capture: Capture) -> Capture:
    """Photographs and masks of two views exchanged: as if their cameras were."""
    order = list(range(len(capture)))
    order[VIEW], order[OTHER] = OTHER, VIEW
    return _reordered(capture, order)


def masks_exchanged(capture: Capture) -> Capture:
    """Only the masks of two views exchanged."""
    return replace(capture, masks=two_exchanged(capture).masks)


def focal_length_off(capture: Capture, factor: float = 1.3) -> Capture:
    """All focal lengths too long."""
    K = capture.cameras.K.clone()
    K[:, [0, 1], [0, 1]] *= factor
    return _with_cameras(capture, K=K)


def mask_inverted(capture: Capture) -> Capture:
    """One mask inverted."""
    masks = capture.masks.clone()
    masks[VIEW] = ~masks[VIEW]
    return replace(capture, masks=masks)


def poses_inverted(capture: Capture) -> Capture:
    """Camera-to-world matrices taken for world-to-camera ones."""
    return _with_cameras(capture, poses=capture.cameras.cam_to_world)


def axes_of_opengl(capture: Capture) -> Capture:
    """Cameras with y up and z backward taken for OpenCV's."""
    flip = torch.diag(torch.tensor([1.0, -1, -1]).to(capture.cameras.world_to_cam))
    return _with_cameras(capture, poses=flip @ capture.cameras.world_to_cam)


def photographs_moved(capture: Capture, part: float = 12 / 128) -> Capture:
    """Only the photographs, all too far to the right."""
    return replace(capture, images=capture.images.roll(round(part * capture.cameras.size[1]), 2))


def photographs_only(break_: Callable[[Capture], Capture]) -> Callable[[Capture], Capture]:
    """A fault of photographs and masks, with the right masks."""
    return lambda capture: replace(capture, images=break_(capture).images)


def photograph_is(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Capture], Capture]:
    """One photograph replaced by what is made of all of them."""

    def broken(capture: Capture) -> Capture:
        images = capture.images.clone()
        images[OTHER] = change(images)
        return replace(capture, images=images)

    return broken


def _noise(images: torch.Tensor) -> torch.Tensor:
    return torch.randint(0, 256, images[0].shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


#: Fault, what the report must hold ({view} and {other} are the names of the views concerned).
FAULTS: dict[str, tuple[Callable[[Capture], Capture], str]] = {
    "principal point off by 20 of 256 pixels": (principal_point_off, "every principal point moved by"),
    "one camera off by 5 % of its distance": (camera_off, "agree without {view}"),
    "all masks shifted by 6 of 96 pixels": (masks_shifted, "all masks by"),
    "order of photographs reversed": (order_reversed, "in reverse order"),
    "order of photographs off by one": (order_off_by_one, "given the next one's camera"),
    "photographs mirrored": (mirrored, "mirrored left to right"),
    "two cameras exchanged": (two_exchanged, "of {view} and {other} exchanged"),
    "two masks exchanged": (masks_exchanged, "of {view} and {other} exchanged"),
    "focal length x 1.3": (focal_length_off, ""),
    "focal length x 2": (lambda capture: focal_length_off(capture, 2.0), ""),
    "one mask inverted": (mask_inverted, "the mask seems inverted"),
    "poses inverted": (poses_inverted, "camera-to-world matrices for world-to-camera ones"),
    "axes of OpenGL": (axes_of_opengl, "OpenGL's camera axes"),
}  # yapf: disable

#: The same, of photographs whose masks and cameras are right.
PICTURE_FAULTS: dict[str, tuple[Callable[[Capture], Capture], str]] = {
    "photographs reversed, not the masks": (photographs_only(order_reversed), "with the masks in reverse order"),
    "photographs off by one, not the masks": (photographs_only(order_off_by_one), "with the next view's mask"),
    "photographs mirrored, not the masks": (photographs_only(mirrored), "with the masks mirrored left to right"),
    "photographs upside down, not the masks": (lambda capture: replace(capture, images=capture.images.flip(1)),
                                               "with the masks mirrored top to bottom"),
    "two photographs exchanged, not the masks": (photographs_only(two_exchanged),
                                                 "{view} (the mask of {other}), {other} (the mask of {view})"),
    "photographs moved by 12 of 128 pixels, not the masks": (photographs_moved, "with the masks moved by"),
    "all photographs black": (lambda capture: replace(capture, images=torch.zeros_like(capture.images)),
                              "is blank (all pixels"),
    "one photograph grey": (photograph_is(lambda images: torch.full_like(images[0], 128)),
                            "{other}: the photograph is blank (all pixels"),
    "one photograph noise, not its mask": (photograph_is(_noise), "{other}: the photograph is noise"),
    "one photograph a copy of another": (photograph_is(lambda images: images[VIEW]), "{view} = {other}"),
}  # yapf: disable


def reported(capture: Capture) -> list[str]:
    """What `deep3dmap check` and every run report of a capture: errors, then warnings."""
    views = Silhouettes.of(capture)
    fault = unusable_reason(views) or (hull_problem(views) if views.masks is not None else "")
    found = capture_warnings(views) + picture_warnings(Pictures.of(capture)) + photo_warnings(Photographs.of(capture))
    return [fault] * bool(fault) + found


def sound_captures() -> Iterator[tuple[str, Capture]]:
    """Captures in which little or nothing is wrong."""
    for views, side in ((3, 96), (4, 64), (8, 64), (8, 128), (16, 128), (16, 256), (32, 96)):
        yield f"head, {views} views of {side} pixels", head(views, side)
    for name in ("armadillo", "cow", "nefertiti", "stanford-bunny", "suzanne"):
        mesh = resolve_data(f"meshes/{name}.ply")
        yield f"{name}, 12 views of 96 pixels", generate_capture(mesh, 12, 0, size=(96, 96), supersample=1)
    for name in ("temple_sparse_ring", "fox"):
        yield name, load_capture(name)
    for noise in ("mask_noise", "camera_noise"):
        for value in (0.5, 1.0, 2.0):
            yield f"head, 16 views of 128 pixels, {noise}={value:g}", head(16, 128, **{noise: value})


def head(views: int, side: int, **noise) -> Capture:
    """The synthetic head."""
    return generate_capture("head", views=views, test_views=0, size=(side, side), supersample=1, **noise)


def share_and_worst(capture: Capture) -> tuple[float, float]:
    """The share of contradictory pixels, of all silhouettes and of the worst one."""
    views = Silhouettes.of(capture)
    found = compared(views.masks, views.cameras)
    return found.share(), float(found.by_view().max())


def figures(capture: Capture) -> str:
    """Contradictory pixels' share of all silhouettes and of the worst one; contradicted pairs of photographs."""
    fits = photo_consistency(Photographs.of(capture))
    pairs = f"{sum(fit.contradicts for fit in fits)} of {len(fits)}"
    return ("none | none" if capture.masks is None else "{:.2%} | {:.2%}".format(*share_and_worst(capture))) + f" | {pairs}"


def shortened(line: str) -> str:
    """A warning without its reasons and advice."""
    first = line.split("\n")[0].split("; ")
    return first[-1] if "they agree" in first[-1] else ": ".join(first[0].split(": ")[:2])


def main() -> None:
    """Print the tables: what is reported of the sound capture too is left out."""
    head_of_table = "contradictory pixels | of the worst view | contradicted pairs |"
    print(f"| capture | {head_of_table}\n| --- | --- | --- | --- |")
    for name, capture in sound_captures():
        print(f"| {name} | {figures(capture)} |", flush=True)
    print(f"\n| fault | capture | {head_of_table} reported |\n| --- | --- | --- | --- | --- | --- |")
    captures = dict(head=head(16, 128)) | {name: load_capture(name) for name in ("temple_sparse_ring", "fox")}
    for name, capture in captures.items():
        usual = reported(capture)
        for fault, (break_, _) in (FAULTS | PICTURE_FAULTS).items():
            if capture.masks is None and "mask" in fault:
                continue
            broken = break_(capture)
            lines = [line for line in reported(broken) if line not in usual]
            text = "<br>".join(map(shortened, lines)) or "nothing"
            print(f"| {fault} | {name} | {figures(broken)} | {text} |", flush=True)


if __name__ == "__main__":
    main()
