"""Keyword arguments that override a config's, for every function that builds a runner."""

from typing import Literal, TypedDict


class RunArguments(TypedDict, total=False):
    """Arguments of :class:`deep3dmap.engine.runner.ReconstructionRunner`; None keeps the config's.

    Attributes:
        seed: of every random choice (default: the config's).
        device: auto, cpu, cuda, cuda:1 ... (default: auto)
        launcher: how several processes were started.
    """

    seed: int | None
    device: str | None
    launcher: Literal["none", "pytorch", "slurm"] | None


class TrainingArguments(RunArguments, total=False):
    """Arguments of a training run.

    Attributes:
        amp: train in mixed precision (bfloat16): on (as ``--amp`` alone), off, or auto (if it is faster); default: the
            config's, auto unless it is a paper's.
    """

    amp: bool | Literal["auto"] | None
