"""How photographs of faces are cut to be placed as the pictures of AlignedFaces: the rule, and how well it does.

    python tools/face_alignment.py
    python tools/face_alignment.py --detectors mtcnn lbp

The former derives the rule from true landmarks of random people in random views; the latter measures it with boxes by
detectors, in pictures of 256 pixels. The results are in docs/gan2shape.md.
"""

import argparse

import numpy as np

from deep3dmap.datasets import AlignedFaces
from deep3dmap.datasets.faces.aligned_photos import ALIGNED
from deep3dmap.datasets.faces.detection import DETECTORS, FaceBox, face_detector
from deep3dmap.datasets.faces.synthetic.aligned import PITCH, ROLL, YAW, _camera
from deep3dmap.datasets.faces.synthetic.heads import wardrobe
from deep3dmap.datasets.faces.synthetic.people import draw_expression, head_rotation

SIZE, BORDER = 256, 90  # of pictures, and of what is repeated around them for detectors, pixels


def true_boxes(count: int) -> list[FaceBox]:
    """Boxes of the landmarks of random people, in pixels of pictures of :data:`SIZE`."""
    shared, boxes = wardrobe("ict_face"), []
    for index in range(count):
        random = np.random.default_rng([0, 0, index, 0])
        identity, angles = shared.draw_identity(random), random.uniform(-1, 1, 3) * (YAW, PITCH, ROLL)
        model = shared.model
        points = model.vertices(identity, draw_expression(model, random))[model.landmarks68]
        camera = _camera(head_rotation(*angles), SIZE)
        seen = np.c_[points, np.ones(len(points))] @ (camera.K[0].numpy() @ camera.world_to_cam[0].numpy()).T
        boxes.append(FaceBox.around(seen[:, :2] / seen[:, 2:] - 0.5))
    return boxes


def found_boxes(pictures: list[np.ndarray], detector: str) -> list[FaceBox]:
    """The largest box that a detector finds in each picture, if any."""
    detect, boxes = face_detector(detector), []
    for picture in pictures:
        around = np.pad(picture, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge")
        boxes += [FaceBox(*(edge - BORDER for edge in box[:4])) for box in detect(around)[:1]]
    return boxes


def show(title: str, boxes: list[FaceBox]) -> None:
    """Print the rule that boxes imply, and the errors of ours, in shares of the side."""
    edges = np.array([box[:4] for box in boxes]).reshape(-1, 2, 2)
    extent, middle = (edges[:, 1] - edges[:, 0]).mean(1), edges.mean(1) - (SIZE - 1) / 2
    print(f"{title}: {len(boxes)} boxes, growth {(SIZE / extent).mean():.3f}, down {-(middle[:, 1] / extent).mean():.3f}")
    side, place = ALIGNED.growth * extent / SIZE - 1, (middle + np.outer(extent, [0, ALIGNED.down])) / SIZE
    for name, error in (("side", side), ("across", place[:, 0]), ("down", place[:, 1])):
        print(f"  {name}: mean {error.mean():.3f}, deviation {error.std():.3f}, above 0.2 in {(abs(error) > 0.2).mean():.0%}")


def main() -> None:
    """Print the rule and its errors."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--detectors", nargs="+", choices=list(DETECTORS), help="measure with their boxes, not true ones")
    parser.add_argument("--count", type=int, help="faces (default: 400, with detectors 60)")
    args = parser.parse_args()
    if not args.detectors:
        return show("true landmarks", true_boxes(args.count or 400))
    faces = AlignedFaces("validation", size=SIZE)
    pictures = [faces[index]["img"] for index in range(args.count or 60)]
    for detector in args.detectors:
        show(f"{detector}, {len(pictures)} faces", found_boxes(pictures, detector))


if __name__ == "__main__":
    main()
