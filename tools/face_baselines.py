"""Landmarks of other methods on photographs of AFLW2000-3D's layout, to compare PRNet's with.

    python tools/face_baselines.py data/aflw2000_samples
    python tools/face_baselines.py data/aflw2000_samples --ours out/metrics.json --json baselines.json

Measures with FaceNME: the ICT model's mean face and face-api's 68-point network, placed by the true box, the box of the
installed detector and that of MediaPipe; MediaPipe's face mesh; and the ICT model fitted to the true landmarks, which is what
its definition of the landmarks costs any network trained on it. The networks come from npm (`npm pack`); MediaPipe's need
`pip install ai-edge-litert`. What is missing is left out, with its reason.
"""

import argparse
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat
from scipy.optimize import lsq_linear
from torch.nn.functional import conv2d, pad, relu

from deep3dmap.datasets.faces.detection import FaceBox, face_detector
from deep3dmap.datasets.faces.detection.boxes import squares
from deep3dmap.datasets.faces.detection.given import CROP, WholePicture
from deep3dmap.datasets.faces.ict_maps import ICTMaps
from deep3dmap.errors import MissingDependencyError
from deep3dmap.evaluation.faces import INNER, FaceNME
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.face_crops import CropRule, box_crop, crop_photograph, from_crop, turned_crop
from deep3dmap.geometry.transforms import transform_points
from deep3dmap.io.images import read_image
from deep3dmap.io.paths import resolve_data
from deep3dmap.structures import Reconstruction
from deep3dmap.structures.face_model import ICTFaceModel

FACE_API, FACE_MESH = "@vladmandic/face-api@1.7.15", "@mediapipe/face_mesh@0.4.1657299874"
SQUARE = 1.2  # side of face-api's crop, in longer sides of the landmarks' box
NOISE = 0.01  # by which landmarks may miss a fitted face, in its sides
FITS = {"mean face in the true pose": 0, "face fitted to the truth": 40}  # steps
# the vertices of MediaPipe's mesh at the 68 landmarks: jaw, brows, nose, eyes, outer and inner lips
VERTICES = [162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
            70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305,
            33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
            61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87]  # yapf: disable
GROUPS = dict(jaw=slice(0, 17), brows=slice(17, 27), nose=slice(27, 36), eyes=slice(36, 48), mouth=slice(48, 68))
FIGURES = ("nme68", "nme68@0-30", "nme68@30-60", "nme68@60-90", "nme68@bins", "nme51")


def npm_file(package: str, path: str, cache: Path) -> bytes:
    """A file of an npm package, which is kept in the cache."""
    archive = cache / (package.strip("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not archive.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["npm", "pack", package, "--pack-destination", str(cache)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingDependencyError(f"`npm pack {package}` failed: {error}") from None
    with tarfile.open(archive) as tar:
        return tar.extractfile(f"package/{path}").read()


class FaceMesh:
    """MediaPipe's face mesh (Kartynnik et al. 2019), found by BlazeFace (Bazarevsky et al. 2019)."""

    def __init__(self, cache: Path):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise MissingDependencyError("MediaPipe needs: pip install ai-edge-litert") from None
        data = npm_file(FACE_MESH, "face_mesh_solution_packed_assets.data", cache)
        self.mesh, self.finder = (Interpreter(model_content=data[a:b]) for a, b in ((2495952, 3737848), (3757224, 3986256)))
        grids = [np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n] * 2), -1).reshape(-1, 2) for n in (16, 8)]
        self.anchors = np.concatenate([grid.repeat(count, 0) for grid, count in zip(grids, (2, 6))])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The 68 landmarks (68, 2) of the face found best."""
        whole = _square(WholePicture()(image)[0], 128, CROP)
        outputs = {each.shape[-1]: each[0] for each in _run(self.finder, crop_photograph(image, whole, 128) / 127.5 - 1)}
        best = outputs[1][:, 0].argmax()
        values = outputs[16][best].reshape(-1, 2) / 128
        centre, eyes = values[0] + self.anchors[best], values[2:4]
        box = _back(np.stack([centre - values[1] / 2, centre + values[1] / 2]) * 128 - 0.5, whole)
        turn = np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1]))
        crop = turned_crop(_square(box.reshape(4), 192, 1.5), 192, -turn)
        points = next(each for each in _run(self.mesh, crop_photograph(image, crop, 192) / 255) if each.size == 1404)
        return _back(points.reshape(468, 3)[VERTICES, :2] - 0.5, crop)


def _square(box: Sequence[float], size: int, growth: float) -> torch.Tensor:
    """The crop of a square around a box."""
    return box_crop(torch.tensor(box[:4], dtype=torch.float64), size, CropRule(growth))


def _run(interpreter, image: torch.Tensor) -> list[np.ndarray]:
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image.permute(1, 2, 0)[None].float().numpy())
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def _back(points: np.ndarray, crop: torch.Tensor) -> np.ndarray:
    """Points (n, 2) of a crop in the picture."""
    return from_crop(torch.from_numpy(np.pad(points, ((0, 0), (0, 1)))).to(crop), crop)[:, :2].numpy()


class FaceAPI:
    """face-api's landmark network: four dense blocks of separable convolutions, weights in bytes."""

    def __init__(self, cache: Path):
        name, at = "model/face_landmark_68_model", 0
        data, self.weights = npm_file(FACE_API, f"{name}.bin", cache), {}
        for each in json.loads(npm_file(FACE_API, f"{name}-weights_manifest.json", cache))[0]["weights"]:
            count, scale = int(np.prod(each["shape"])), each["quantization"]
            values = np.frombuffer(data, np.uint8, count, at) * np.float32(scale["scale"]) + np.float32(scale["min"])
            self.weights[each["name"]] = torch.from_numpy(values.reshape(each["shape"]))
            at += count

    def __call__(self, image: np.ndarray, box: FaceBox) -> np.ndarray:
        """The 68 landmarks (68, 2) in a box."""
        crop = _square(squares(np.array([box[:4]]))[0], 112, SQUARE)
        x = crop_photograph(image, crop, 112).float() - torch.tensor([122.782, 117.001, 104.298])[:, None, None]
        x = x[None] / 255
        for k in range(4):
            x = self._block(x, k)
        points = x.mean((2, 3)) @ self.weights["fc/weights"] + self.weights["fc/bias"]
        return _back(points.reshape(68, 2).double().numpy() * 112 - 0.5, crop)

    def _block(self, x, k: int):
        total = relu(self._convolution(x, f"dense{k}/conv0", 2))
        for n in (1, 2, 3):
            total = total + self._convolution(relu(total), f"dense{k}/conv{n}", 1)
        return relu(total)

    def _convolution(self, x, name: str, stride: int):
        w = {key: self.weights.get(f"{name}/{key}") for key in ("filters", "depthwise_filter", "pointwise_filter", "bias")}
        x = pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        if w["filters"] is not None:
            return conv2d(x, w["filters"].permute(3, 2, 0, 1), w["bias"], stride)
        x = conv2d(x, w["depthwise_filter"].permute(2, 3, 0, 1), stride=stride, groups=x.shape[1])
        return conv2d(x, w["pointwise_filter"].permute(3, 2, 0, 1), w["bias"])


class ICT:
    """The landmarks of the ICT model's UV layout, x right, y down, z towards the viewer."""

    def __init__(self, model: ICTFaceModel):
        flip, rows = np.array([1.0, -1.0, 1.0]), ICTMaps.load().landmarks
        self.mean = model.mean[rows].astype(float) * flip
        moves = np.concatenate([model.identity[:, rows], model.expression[:, rows]]) * flip
        self.moves, identity = moves.reshape(len(moves), -1).T, np.arange(len(moves)) < len(model.identity)
        self.spread = np.where(identity, 1.0, 0.5)
        self.bounds = np.where(identity, -np.inf, 0.0), np.where(identity, np.inf, 1.0)

    def placed(self, box: FaceBox) -> np.ndarray:
        """The mean face from the front, with the box's centre and mean side."""
        own, to = np.array(FaceBox.around(self.mean)[:4]), np.array(box[:4])
        scale = (to[2:] - to[:2]).mean() / (own[2:] - own[:2]).mean()
        return scale * (self.mean[:, :2] - (own[:2] + own[2:]) / 2) + (to[:2] + to[2:]) / 2

    def fitted(self, truth: np.ndarray, steps: int) -> np.ndarray:
        """The face (68, 3) nearest to true landmarks: pose, identity (standard normal), expression (0 to 1; standard deviation
        0.5) and errors (standard deviation ``NOISE``), by turns of similarity and least squares."""
        shape, noise, moves = self.mean, NOISE * _side(truth), self.moves
        for _ in range(steps):
            matrix = align_points(torch.from_numpy(truth), torch.from_numpy(shape))
            weight = 1 / (noise * matrix[:3, :3].det().item()**(1 / 3))
            target = (transform_points(matrix, torch.from_numpy(truth)).numpy() - self.mean).reshape(-1)
            rows = np.concatenate([weight * moves, np.diag(1 / self.spread)])
            goal = np.concatenate([weight * target, np.zeros(len(self.spread))])
            shape = self.mean + (moves @ lsq_linear(rows, goal, self.bounds).x).reshape(-1, 3)
        points = torch.from_numpy(shape)
        return transform_points(align_points(points, torch.from_numpy(truth)), points).numpy()


def _side(points: np.ndarray) -> float:
    return float(np.sqrt(np.ptp(points[:, :2], axis=0).prod()))


def read_faces(folder: Path) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Photographs, their true landmarks (68, 3) and yaw in degrees."""
    files = [(path, loadmat(path.with_suffix(".mat"))) for path in sorted(folder.glob("*.jpg"))]
    return [(read_image(path).numpy(), truth["pt3d_68"].T.astype(float), float(np.degrees(truth["Pose_Para"][0, 1])))
            for path, truth in files]  # yapf: disable


def available(name: str, make):
    """What a function makes; None, with the reason printed, if something is missing."""
    try:
        return make()
    except MissingDependencyError as error:
        print(f"left out: {name}: {error}")
        return None


def measured(faces, landmarks) -> dict[str, float]:
    """FaceNME's means of the landmarks that a function finds by a picture and the truth."""
    metric = FaceNME()
    for image, truth, yaw in faces:
        points = torch.from_numpy(np.pad(landmarks(image, truth)[:, :2], ((0, 0), (0, 1))))
        metric.add_item(dict(landmarks=truth, yaw=yaw), Reconstruction("face", arrays=dict(landmarks=points)))
    return figures_of(metric.compute())


def figures_of(groups: dict) -> dict[str, float]:
    """The figures of the table, from FaceNME's groups or a ``metrics.json``."""
    figures = groups.get("faces", {}) | groups.get("faces by yaw", {})
    return {name: figures[name] for name in FIGURES if name in figures}


def compare(faces, ict: ICT, cache: Path) -> dict[str, dict[str, float]]:
    """The table: figures by method."""
    mesh = available("MediaPipe", lambda: FaceMesh(cache))
    network = available("face-api", lambda: FaceAPI(cache))
    detector = available("the detector's boxes", face_detector)
    boxes = {"true box": lambda image, truth: FaceBox.around(truth)}
    if detector:
        boxes["detector's box"] = lambda image, truth: (detector(image) or WholePicture()(image))[0]
    if mesh:
        boxes["MediaPipe's box"] = lambda image, truth: FaceBox.around(mesh(image))
    table = {}
    for place, box in boxes.items():
        table[f"mean face, {place}"] = measured(faces, lambda image, truth, box=box: ict.placed(box(image, truth)))
        if network:
            table[f"face-api, {place}"] = measured(faces, lambda image, truth, box=box: network(image, box(image, truth)))
    if mesh:
        table["MediaPipe's face mesh"] = measured(faces, lambda image, truth: mesh(image))
    for name, steps in FITS.items():
        table[f"ICT's {name}"] = measured(faces, lambda image, truth, steps=steps: ict.fitted(truth, steps))
    return table


def offsets(faces, ict: ICT) -> np.ndarray:
    """From ICT's mean landmarks to the true ones, placed by all but the jaw, on average (68, 3), in sides of the face."""
    turned = [align_points(*(torch.from_numpy(points[INNER]) for points in (truth, ict.mean))) for _, truth, _ in faces]
    back = [transform_points(matrix, torch.from_numpy(truth)).numpy() for matrix, (_, truth, _) in zip(turned, faces)]
    return (np.mean(back, 0) - ict.mean) / _side(ict.mean)


def main() -> None:
    """Measure, print the table and the offsets, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="a folder of AFLW2000-3D's layout")
    parser.add_argument("--ours", type=Path, nargs="+", default=[], help="metrics.json of our own results, to list too")
    parser.add_argument("--cache", type=Path, default=Path("face_baselines"), help="folder for the npm packages")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    args = parser.parse_args()
    faces, ict = read_faces(resolve_data(args.photographs)), ICT(ICTFaceModel.load())
    if not faces:
        parser.error(f"{args.photographs}: no photographs")
    table = compare(faces, ict, args.cache)
    table |= {f"ours, {path}": figures_of(json.loads(path.read_text(encoding="utf-8"))) for path in args.ours}
    width = max(map(len, table))
    print(f"{len(faces)} faces, per cent\n{'':{width}}", *(f"{name:>12}" for name in FIGURES))
    for name, figures in table.items():
        print(f"{name:{width}}", *(f"{100 * figures.get(key, np.nan):12.2f}" for key in FIGURES))
    apart = offsets(faces, ict)
    print("from ICT's mean landmarks to the true ones, per cent (to the subject's left, down, forward):")
    for group, part in GROUPS.items():
        print(f"  {group:6}", *(f"{value:7.2f}" for value in 100 * apart[part].mean(0)))
    if args.json:
        args.json.write_text(json.dumps(dict(table=table, offsets=apart.tolist()), indent=1))


if __name__ == "__main__":
    main()
