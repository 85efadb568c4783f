"""How gradients through rasterised depth depend on pixels on the edge of two faces.

Which of the two faces such a pixel shows is decided by rounding. Its depth is the same, but not its slope: one pixel can
change a gradient by percents where the mesh is as rough as that of an untrained network.
"""

from contextlib import contextmanager

import torch
from torch import Tensor

#: Shifts of a view, as a part of a pixel, with no edge along them: above the rounding of positions, below what moves the rest.
SHIFTS = ((1e-4, 4e-5), (-1e-4, -4e-5), (4e-5, -1e-4), (-4e-5, 1e-4))


class Rasterised:
    """What a renderer was asked for in a block, and what its answers depend on."""

    def __init__(self, renderer):
        self.renderer, self.calls = renderer, []

    @contextmanager
    def recording(self):
        """Record :meth:`warped_depth`."""
        plain = type(self.renderer).warped_depth

        def warped_depth(depth, view):
            result = plain(self.renderer, depth, view)
            if result.requires_grad:
                result.retain_grad()
                self.calls.append((depth, view, result))
            return result

        self.renderer.warped_depth = warped_depth
        try:
            yield
        finally:
            del self.renderer.warped_depth

    def spread(self, parameters: list[Tensor]) -> list[Tensor]:
        """By how much gradients change when views are shifted by a ten-thousandth of a pixel; after backward."""
        total = [torch.zeros_like(p) for p in parameters]
        for depth, view, result in self.calls:
            plain = self._gradients(depth, view, result.grad, (0, 0))
            for shift in SHIFTS:
                changes = [a - b for a, b in zip(self._gradients(depth, view, result.grad, shift), plain)]
                found = torch.autograd.grad((depth, view), parameters, changes, retain_graph=True, allow_unused=True)
                total = [old + (0 if new is None else new.abs()) for old, new in zip(total, found)]
        return total

    def _gradients(self, depth, view, upstream, shift):
        depth, view = depth.detach().requires_grad_(), view.detach().requires_grad_()
        pixel = 1 / float(self.renderer.K[0, 0])
        moved = view + torch.tensor([0, 0, 0, shift[0] * pixel, shift[1] * pixel, 0])
        return torch.autograd.grad(self.renderer.warped_depth(depth, moved), (depth, view), upstream)
