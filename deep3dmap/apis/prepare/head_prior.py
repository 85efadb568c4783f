"""A prior of heads for H3D-Net from a trained DeepSDF: ``deep3dmap prepare head-prior``."""

from collections.abc import Callable
from pathlib import Path

from deep3dmap.apis.shape_space.codes import load_shape_space
from deep3dmap.errors import CheckpointError, DataError
from deep3dmap.frameworks.h3dnet.prior import prior_arrays, prior_of
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes


def prepare_head_prior(checkpoint: str | Path, output: str | Path, *, log: Callable[[str], object] = print) -> Path:
    """A prior of heads for H3D-Net, from a trained DeepSDF: its decoder and the Gaussian of its codes.

    Args:
        checkpoint: of a DeepSDF of heads (configs/h3dnet/prior_ict.py), or its work folder. Its
            decoder is a ``CodedSDFNetwork``.
        output: file to write (``.npz``); H3D-Net takes it as ``model.geometry.prior``.
        log: prints a line.

    Raises:
        CheckpointError: if it is not such a checkpoint.
        DataError: if ``output`` doesn't end in ``.npz``.
    """
    output = Path(output)
    if output.suffix != ".npz":
        raise DataError(f"{output}: a prior is written to a file that ends in .npz")
    space = load_shape_space(checkpoint, "cpu")
    try:
        prior = prior_of(space)
    except DataError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from None
    write_atomically(output, npz_bytes(**prior_arrays(prior)))
    log(f"{output}: a prior from {len(space.names)} heads, codes of {space.decoder.code_length} entries, "
        f"{output.stat().st_size / 2**20:.1f} MiB")
    return output
