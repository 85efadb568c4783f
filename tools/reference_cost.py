"""Cost of the authors' DeepSDF on this machine, for comparison with ``deep3dmap benchmark deepsdf``.

    git clone https://github.com/facebookresearch/DeepSDF
    python tools/reference_cost.py DeepSDF

Their decoder, with their losses and optimisers, on random samples: a training step of 8 shapes with 2,048 samples
each, an iteration of the fit of a code on 8,000, and the decoding of a lattice of 256 (timed on 65,536 of its points). The
fastest of four counts. Prints JSON lines as the benchmark does.
"""

import argparse
import importlib.util
import json
import time
import warnings
from pathlib import Path

import torch

SPECS = dict(dims=[512] * 8, dropout=list(range(8)), dropout_prob=0.2, norm_layers=list(range(8)), latent_in=[4],
             weight_norm=True, xyz_in_all=False, use_tanh=False, latent_dropout=False)  # yapf: disable
CODE, CLAMP, WEIGHT, SHAPES, SAMPLES, FIT, LATTICE, TIMED = 256, 0.1, 1e-4, 8, 2048, 8000, 256**3, 65_536


def read_decoder(checkout: Path) -> torch.nn.Module:
    """The published network, of the authors' class."""
    spec = importlib.util.spec_from_file_location("deep_sdf_decoder", checkout / "networks" / "deep_sdf_decoder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Decoder(CODE, **SPECS)


def samples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and clamped distances."""
    return torch.rand(count, 3) * 2 - 1, (0.05 * torch.randn(count, 1)).clamp(-CLAMP, CLAMP)


def training(decoder):
    """A function that does one step of ``train_deep_sdf.py``."""
    codes, rows = torch.nn.Embedding(64, CODE, max_norm=1.0), torch.arange(SHAPES).repeat_interleave(SAMPLES)
    optimizer = torch.optim.Adam([dict(params=decoder.parameters(), lr=5e-4), dict(params=codes.parameters(), lr=1e-3)])

    def step():
        (points, sdf), each = samples(len(rows)), codes(rows)
        optimizer.zero_grad()
        error = (decoder(torch.cat([each, points], 1)).clamp(-CLAMP, CLAMP) - sdf).abs().sum()
        ((error + WEIGHT * each.norm(dim=1).sum()) / len(rows)).backward()
        optimizer.step()

    return step


def fitting(decoder):
    """A function that does one iteration of ``reconstruct.py``."""
    code = (0.01 * torch.randn(1, CODE)).requires_grad_()
    optimizer = torch.optim.Adam([code], lr=5e-3)

    def step():
        points, sdf = samples(FIT)
        optimizer.zero_grad()
        found = decoder(torch.cat([code.expand(FIT, -1), points], 1)).clamp(-CLAMP, CLAMP)
        ((found - sdf).abs().mean() + WEIGHT * code.square().mean()).backward()
        optimizer.step()

    return step


def decoding(decoder):
    """A function that decodes some points of a lattice."""
    points, code = torch.rand(TIMED, 3) * 2 - 1, torch.zeros(1, CODE)

    @torch.no_grad()
    def step():
        decoder(torch.cat([code.expand(TIMED, -1), points], 1))

    return step


def cost(step, repeats: int = 4) -> tuple[float, float]:
    """CPU and wall seconds of the fastest of some runs, after a warm-up."""
    step()
    times = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        step()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(times)


def main(argv=None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", type=Path, help="folder of the authors' code")
    args = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=FutureWarning)  # of the old weight normalisation
    torch.manual_seed(0)
    decoder = read_decoder(args.checkout)
    cases = [("train_step", SHAPES * SAMPLES, training(decoder.train()), 1.0), ("fit_step", FIT, fitting(decoder.eval()), 1.0),
             ("dense_mesh", 256, decoding(decoder), LATTICE / TIMED)]  # yapf: disable
    for name, work, step, scale in cases:
        decoder.train(name == "train_step")
        cpu, wall = cost(step)
        line = dict(name=name, network="reference", work=work, threads=torch.get_num_threads())
        line |= dict(cpu_seconds=round(cpu * scale, 3), wall_seconds=round(wall * scale, 3))
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
