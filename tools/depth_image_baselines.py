"""What trivial depth images of faces reach by DepthImageMetrics, to compare GAN2Shape with, and what its runs reach.

    python tools/depth_image_baselines.py configs/gan2shape/synthetic_faces.py
    python tools/depth_image_baselines.py configs/gan2shape/synthetic_faces.py --ours work_dirs/gan2shape --json table.json

The pictures are the config's ``instances``. A constant depth; the ellipsoid of the method's prior, for the whole picture and
for the true mask; and the mean depth of training faces as their own pictures see them. One uses the truth: the mean face in
each picture's true pose. All are known in every pixel, so errors are those of all of the head's pixels but the outline's.
``--ours`` lists, for each work folder, the means over its instances after each stage that all of them have finished; the
config's ``val_cfg`` must measure there.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from mmengine.config import Config, DictAction
from torch import Tensor

from deep3dmap.apis.instances import INSTANCES
from deep3dmap.datasets.faces.synthetic.aligned import DISTANCE
from deep3dmap.datasets.faces.synthetic.heads import Head, dressed, wardrobe
from deep3dmap.engine.config import load_config
from deep3dmap.evaluation.depth_images import DepthImageMetrics
from deep3dmap.evaluation.tables import format_table, write_metrics
from deep3dmap.frameworks.gan2shape.prior import ellipsoid
from deep3dmap.registry import DATASETS, METRICS
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures import Cameras, Meshes, Reconstruction

Depth = Float[Tensor, "s s"]
FIGURES = tuple(name for name in DepthImageMetrics.names if name != "pictures")
#: Arguments of the ellipsoid, and the model's keys for them.
PRIOR = dict(category="category", near="prior_near", far="prior_far")


def mean_depth(images: Iterator[Depth]) -> Depth:
    """The mean of the depths in each pixel, over those that show the object there, whose largest value is the background.

    Where none does, the largest mean.
    """
    total, count = 0.0, 0.0
    for depth in images:
        shown = (depth < depth.max()).to(depth)
        total, count = total + shown * depth, count + shown
    mean = total / count
    return torch.where(count > 0, mean, mean[count > 0].max())


def mean_face(item: Mapping, head: Head) -> Depth:
    """A head's depth from the true camera of an item of ``AlignedFaces``; beside it that of its farthest point."""
    size = len(item["depth"])
    camera = Cameras(torch.from_numpy(item["K"])[None], torch.from_numpy(item["world_to_cam"])[None], (size, size))
    mesh = Meshes.pack([torch.from_numpy(head.vertices).float()], [torch.from_numpy(head.faces)])
    fragments = FastRasterizer()(mesh, camera)
    depth, hit = (fragments.to_images(each[:, 0])[0] for each in (fragments.depth, fragments.hit))
    return torch.where(hit, depth, depth[hit].max()) / float(DISTANCE)


def baselines(cfg: Config, training: int) -> dict[str, dict[str, float]]:
    """Means of the figures by baseline.

    Args:
        cfg: config of GAN2Shape whose instances are ``AlignedFaces``.
        training: number of training faces for their mean.
    """
    data, metric = cfg.instances.dataset, next(each for each in cfg.test_evaluator if each["type"] == "DepthImageMetrics")
    pictures, poses = DATASETS.build(data), DATASETS.build(data | dict(pipeline=[]))
    learned = DATASETS.build(data | dict(split="train", count=training))
    mean = mean_depth(learned[k]["depth"] for k in range(training))
    prior = {key: value for key, value in ((name, cfg.model.get(key)) for name, key in PRIOR.items()) if value is not None}
    shared, metrics = wardrobe(data.get("model", "ict_face")), defaultdict(lambda: METRICS.build(dict(metric)))
    head = dressed(shared, *(np.zeros(len(each)) for each in (shared.model.identity, shared.model.expression)), [])
    for k in range(len(pictures)):
        truth = (item := pictures[k])["depth"]
        found = {"constant depth": torch.ones_like(truth),
                 "ellipsoid, whole picture": ellipsoid(torch.ones_like(truth), **prior),
                 "ellipsoid, true mask": ellipsoid((truth < truth.max()).to(truth), **prior),
                 f"mean depth of {training} training faces": mean,
                 "mean face in the true pose": mean_face(poses[k], head)}  # yapf: disable
        for name, depth in found.items():
            metrics[name].add_item(item, Reconstruction(item["name"], arrays=dict(depth=depth)))
    return {name: metric.compute()["depth images"] for name, metric in metrics.items()}


def stages(folder: Path) -> dict[str, dict[str, float]]:
    """Means over the instances of a work folder of the figures after each stage that all of them have finished, in order."""
    runs = [[line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()) if "val_side" in line]
            for path in sorted((folder / INSTANCES).glob("*/scalars.jsonl"))]  # yapf: disable
    table = {}
    for number, records in enumerate(zip(*runs), 1):
        row = {name: float(np.mean([record[f"val_{name}"] for record in records])) for name in FIGURES}
        table[f"{folder.name}: {number} {records[0]['stage']}"] = row | dict(pictures=len(runs))
    return table


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of GAN2Shape, whose instances are AlignedFaces")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={}, help="changes of the config, KEY=VALUE")
    parser.add_argument("--training", type=int, default=500, help="number of training faces for their mean depth")
    parser.add_argument("--ours", type=Path, action="append", default=[], help="work folder of our own runs, to list too")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    args = parser.parse_args()
    table = baselines(load_config(args.config, args.cfg_options), args.training)
    for folder in args.ours:
        table |= stages(folder)
    print(format_table({name: {key: row[key] for key in (*FIGURES, "pictures")} for name, row in table.items()}, "depth"))
    if args.json:
        write_metrics(table, args.json)


if __name__ == "__main__":
    main()
