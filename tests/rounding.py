"""Pytest plug-in: other rounding on the same machine, to find outcomes that depend on it.

Processors and BLAS libraries add the terms of a sum in different orders. Loaded with ``pytest -p tests.rounding``, this adds
the terms of torch's matrix products, sums, means and norms on the CPU in reverse: mathematically the same and repeatable bit
for bit, but rounded differently. Processes that tests start are not affected.
"""

import warnings

import torch

OPS = torch.ops.aten


def product(out_variant):
    """A product of the last two of its tensors, terms reversed; the first of three is added to it."""

    def multiply(*tensors, **scales):
        *added, a, b = tensors
        out = a.new_empty(a.shape[:-1] + b.shape[max(b.dim() - 1, 1):])
        return out_variant(*added, a.flip(-1), b.flip(max(b.dim() - 2, 0)), **scales, out=out)

    return multiply


def reduction(out_variant, accumulates=lambda dtype: dtype):
    """A reduction over dimensions (all of them if none are named), terms reversed."""

    def reduce(tensor, dim=None, keepdim=False, *, dtype=None):
        dims = [d % tensor.dim() for d in dim or range(tensor.dim())] if tensor.dim() else []
        shape = [1 if d in dims else size for d, size in enumerate(tensor.shape) if keepdim or d not in dims]
        out = tensor.new_empty(shape, dtype=dtype or accumulates(tensor.dtype))
        return out_variant(tensor.flip(dims), dims, keepdim, dtype=dtype, out=out)

    return reduce


def norm(tensor, ord=2, dim=None, keepdim=False, *, dtype=None):
    """``linalg_vector_norm``, terms reversed."""
    out_variant = lambda flipped, *rest, **options: OPS.linalg_vector_norm.out(flipped, ord, *rest, **options)  # noqa: E731
    return reduction(out_variant)(tensor, dim, keepdim, dtype=dtype)


def integers_are_long(dtype: torch.dtype) -> torch.dtype:
    """The type in which ``sum`` adds up."""
    return dtype if dtype.is_floating_point or dtype.is_complex else torch.int64


add_up = reduction(OPS.sum.IntList_out, integers_are_long)
average = reduction(OPS.mean.out)
LIBRARY = torch.library.Library("aten", "IMPL")  # overrides last as long as it does
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about each kernel that is overridden
    LIBRARY.impl("dot", lambda a, b: torch.mv(a[None], b)[0], "CPU")
    for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv"):
        LIBRARY.impl(name, product(getattr(OPS, name).out), "CPU")
    for name, kernel in {"sum": add_up, "sum.dim_IntList": add_up, "mean": average, "mean.dim": average,
                         "linalg_vector_norm": norm}.items():  # yapf: disable
        LIBRARY.impl(name, kernel, "CPU")
