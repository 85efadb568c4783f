"""Trains with two processes; started by torchrun from test_launching.py with a folder to write to."""

import json
import sys
from pathlib import Path

import line_fit  # noqa: F401 - registers
import tiny_gan
import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info, is_main_process
from torch import distributed, nn

from deep3dmap.engine.config import build_runner
from deep3dmap.processes import average_gradients, broadcast_object, gather_objects, shared_draws

LINE = dict(model=dict(type="LineFit",
                       backbone=dict(type="Line"),
                       losses=dict(fit=dict(type="SquaredError"), flat=dict(type="SmallSlope", weight=1e-2)),
                       input_keys=dict(x="position", y="height")),
            train_cfg=dict(stages=[dict(name="intercept", max_steps=4, params=["*.intercept"], losses=["fit"]),
                                   dict(name="train", max_steps=6)]),
            optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.05)),
            default_hooks=dict(log=dict(interval=1), checkpoint=dict(minutes=None)))  # yapf: disable
BATCHES = dict(LINE, train_dataset=dict(type="LineBatches"))
GAN = dict(Config.fromfile(str(Path(tiny_gan.__file__).with_name("config.py"))).to_dict(),
           train_cfg=dict(stages=[dict(name="judge", max_steps=4, params=["discriminator.*"]), dict(name="play", max_steps=4),
                                  dict(name="settle", max_steps=2, params=["generator.*"])]))  # yapf: disable


def items(world: int) -> dict:
    """From a dataloader, whose batch size is each process's."""
    return dict(LINE, train_dataloader=dict(dataset=dict(type="NoisyLine"), batch_size=8 // world))


def longer(config: dict) -> dict:
    """With a longer second stage."""
    first, second = config["train_cfg"]["stages"]
    return dict(config, train_cfg=dict(stages=[first, dict(second, max_steps=12)]))


def train(config: dict, folder: Path, launcher: str, **arguments):
    """A whole run."""
    runner = build_runner(Config(config), work_dir=str(folder), device="cpu", launcher=launcher, progress=False, **arguments)
    runner.train()
    return runner


def timed(config: dict) -> dict:
    """With a budget of time, and a learning rate that follows it: the processes must agree on both."""
    return dict(config, train_cfg=dict(max_minutes=0.004), param_scheduler=dict(type="ProgressLR", decay=0.1))


def shared() -> dict:
    """What this process has after exchanging gradients and drawing together with the other."""
    rank, _ = get_dist_info()
    both, neither, second = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    rows = nn.Embedding(4, 1, sparse=True)
    both.grad = torch.full((2, ), 1.0 + 2 * rank)
    second.grad = torch.ones(2) if rank else None
    rows(torch.tensor([rank, 3, 3])).sum().backward()
    average_gradients([both, neither, second, rows.weight])
    sparse = rows.weight.grad.coalesce()
    torch.manual_seed(rank)
    common = shared_draws(4 - rank)
    drawn = torch.rand(common.total, generator=common.generator)
    return dict(both=both.grad.tolist(),
                neither=neither.grad,
                second=second.grad.tolist(),
                rows=sparse.indices()[0].tolist(),
                values=sparse.values()[:, 0].tolist(),
                drawn=drawn.tolist(),
                own=drawn[common.share].tolist(),
                first=broadcast_object(f"process {rank}"))


if __name__ == "__main__":
    root = Path(sys.argv[1])
    train(BATCHES, root / "batches", "pytorch")
    train(longer(BATCHES), root / "batches", "pytorch", resume=True)
    train(items(2), root / "items", "pytorch")
    train(GAN, root / "gan", "pytorch")
    ends = [None, None]
    runner = train(timed(BATCHES), root / "timed", "pytorch")
    distributed.all_gather_object(ends, (runner.iter, runner.framework.backbone.slope.item()))
    assert ends[0] == ends[1] and ends[0][0] > 0, ends
    found = gather_objects(shared())
    if is_main_process():
        (root / "shared.json").write_text(json.dumps(found))
    assert is_main_process() or found == []
    distributed.destroy_process_group()
