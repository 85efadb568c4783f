"""A made-up face model of few vertices in face3d's files: a bent grid whose shape changes are random."""

from pathlib import Path

import numpy as np
import scipy.io

SIDE = 9  # vertices along an edge


def grid() -> np.ndarray:
    """The vertices' places in UV space, row by row from the top: (81, 2); those inside are moved at random."""
    steps = np.linspace(0.04, 0.96, SIDE)
    places = np.stack(np.meshgrid(steps, steps[::-1]), -1)
    places[1:-1, 1:-1] += np.random.default_rng(1).uniform(-0.02, 0.02, (SIDE - 2, SIDE - 2, 2))
    return places.reshape(-1, 2)


def faces() -> np.ndarray:
    """Two triangles in each cell of the grid: (128, 3)."""
    index = np.arange(SIDE**2).reshape(SIDE, SIDE)
    a, b, c, d = (index[i:SIDE - 1 + i, j:SIDE - 1 + j].ravel() for i in (0, 1) for j in (0, 1))
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


def write_model(folder: Path, **changes) -> dict[str, np.ndarray]:
    """``BFM.mat`` and ``BFM_UV.mat``; returns the model's arrays. ``changes`` replace some of them, None leaves one out."""
    random, uv, count = np.random.default_rng(5), grid(), SIDE**2
    mean = np.stack([1000 * (uv[:, 0] - 0.5), 1000 * (uv[:, 1] - 0.5), 300 * np.sin(3 * uv[:, 0])], 1)
    triangles = faces().T + 1
    arrays = dict(shapeMU=mean.reshape(-1, 1), expMU=random.normal(0, 5, (3 * count, 1)),
                  shapePC=random.normal(0, 1, (3 * count, 199)), expPC=random.normal(0, 20, (3 * count, 29)),
                  tri=triangles[:, :-2], tri_mouth=triangles[:, -2:], kpt_ind=random.permutation(count)[None, :68] + 1,
                  UV=uv) | changes  # yapf: disable
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / "BFM.mat", dict(model={k: v for k, v in arrays.items() if k != "UV" and v is not None}))
    scipy.io.savemat(folder / "BFM_UV.mat", {} if arrays["UV"] is None else dict(UV=arrays["UV"]))
    return arrays
