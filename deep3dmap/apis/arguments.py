"""Arguments of a run that win over its config's, for every function that makes one."""

from typing import Literal, TypedDict


class RunArguments(TypedDict, total=False):
    """Of :class:`deep3dmap.engine.runner.ReconstructionRunner`; None leaves the config's.

    Attributes:
        seed: of every random choice (default: the config's).
        device: auto, cpu, cuda, cuda:1 ... (default: auto)
        launcher: how several processes were started.
    """

    seed: int | None
    device: str | None
    launcher: Literal["none", "pytorch", "slurm"] | None


class TrainingArguments(RunArguments, total=False):
    """Those of a run that trains.

    Attributes:
        amp: train in mixed precision (bfloat16): on (as ``--amp`` alone), off, or auto, where it is faster; default: the
            config's, auto unless it is a paper's.
    """

    amp: bool | Literal["auto"] | None
