"""Sound captures made unsound in one way, and the command line run on them: what tests of bad input share."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from deep3dmap.cli import app as cli

ERROR = re.compile(r"^\w*Error: ", re.MULTILINE)


def run(*arguments) -> int:
    """The command line in this process."""
    return cli.main([str(a) for a in arguments])


def refusal(capsys, *arguments) -> str:
    """The one message with which a command refuses its input."""
    capsys.readouterr()
    code = run(*arguments)
    out, err = capsys.readouterr()
    assert code == 1, f"exit code {code}: {out}{err}"
    assert len(ERROR.findall(err)) == 1, f"not one message: {err}"
    assert "Traceback" not in out + err
    return err


def contents(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def images(folder: Path, kind: str = "image") -> list[Path]:
    return sorted((folder / kind).iterdir())


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def every_mask(change: Callable[[np.ndarray], np.ndarray], count: int | None = None):
    """Change all masks, or the first ones."""

    def breaks(folder: Path) -> None:
        for path in images(folder, "mask")[:count]:
            Image.fromarray(change(pixels(path))).save(path)

    return breaks


def matrices(change: Callable[[dict], object]):
    """Change the dictionary of matrices in ``cameras.npz``."""

    def breaks(folder: Path) -> None:
        values = dict(np.load(folder / "cameras.npz"))
        change(values)
        np.savez(folder / "cameras.npz", **values)

    return breaks


def cameras(change: Callable[[np.ndarray], np.ndarray], views):
    """Change the projection matrices of some views."""
    return matrices(lambda m: m.update({f"world_mat_{k}": change(m[f"world_mat_{k}"]) for k in views}))


def sphere(shift: float = 0.0, scale: float = 1.0):
    """Move the unit sphere along x, in its own radii, and scale it."""

    def change(m: dict) -> None:
        for name in [n for n in m if n.startswith("scale")]:
            matrix = m[name].copy()
            matrix[0, 3] += shift * np.linalg.norm(matrix[:3, 0])
            matrix[:3, :3] *= scale
            m[name] = matrix

    return matrices(change)


def turned_away(projection: np.ndarray) -> np.ndarray:
    """The camera looking the other way from the same place: K diag(-1, 1, -1) [R | t]."""
    K, pose = _decomposed(projection)
    pose = np.diag([-1.0, 1.0, -1.0]) @ pose
    return np.concatenate([K @ pose, [[0, 0, 0, 1]]])


def _decomposed(projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K and [R | t] by the QR decomposition of the flipped left block; written out without the package."""
    flip = np.eye(3)[::-1]
    q, r = np.linalg.qr((flip @ projection[:3, :3]).T)
    K, R = flip @ r.T @ flip, flip @ q.T
    signs = np.diag(np.sign(np.diag(K)))
    K, R = K @ signs, signs @ R
    t = np.linalg.solve(K, projection[:3, 3])
    return K / K[2, 2], np.concatenate([R, t[:, None]], 1)


def first_views(count: int):
    """Keep some of the views only."""

    def breaks(folder: Path) -> None:
        for kind in ("image", "mask"):
            for path in images(folder, kind)[count:]:
                path.unlink()
        matrices(lambda m: [m.pop(n) for n in list(m) if int(n.rsplit("_", 1)[1]) >= count])(folder)

    return breaks


def one_mask_each_in_a_corner(folder: Path) -> None:
    """Silhouettes that share no point: small squares in the images' four corners in turn."""
    for k, path in enumerate(images(folder, "mask")):
        mask = np.zeros_like(pixels(path))
        row, column = ((1, 1), (1, 25), (25, 1), (25, 25))[k % 4]
        mask[row:row + 5, column:column + 5] = 255
        Image.fromarray(mask).save(path)


def first_frame(change: Callable[[dict], object]):
    """Change the first frame of a ``transforms.json``."""

    def breaks(folder: Path) -> None:
        file = folder / "transforms.json"
        document = json.loads(file.read_text())
        change(document["frames"][0])
        file.write_text(json.dumps(document))

    return breaks


class Pwned:
    """What unpickles to a file on the disk: proof that foreign code has run."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "pwned"), )
