"""The GAN's pictures of pseudo samples that are collected for the third step (Pan et al., ICLR 2021, section 3.2)."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.errors import DataError


class Pool:
    """Pictures and masks by the name of the picture that they belong to, in half precision and main memory.

    Attributes:
        names: of all pictures of a run; a single one needs none.
    """

    def __init__(self):
        self.names, self._kept = [""], {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def fill(self, name: str, batches: Iterable[tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]]) -> None:
        """Keep batches of pictures and masks."""
        halves = [[each.half().cpu() for each in batch] for batch in batches]
        self._kept[name] = [torch.cat(each) for each in zip(*halves)]

    def draw(self, name: str, count: int, device: torch.device) -> list[Tensor]:
        """Some of a picture's, (b, 3, h, w) and (b, 1, h, w), in random order."""
        chosen = torch.randperm(len(self._kept[name][0]))[:count]
        return [each[chosen].to(device).float() for each in self._kept[name]]

    def state(self) -> dict:
        """The names and what is kept, for a checkpoint."""
        return dict(names=self.names, pool=dict(self._kept))

    def load(self, state: Mapping) -> None:
        """Restore the result of :meth:`state`; an empty one clears the pool.

        Raises:
            DataError: if the run has other pictures.
        """
        if state and state["names"] != self.names:
            changed = sorted({*state["names"]} ^ {*self.names}) or self.names
            raise DataError(f"a joint training is resumed with the same pictures in the same order; {changed[0]} was added, "
                            "removed or moved")
        self._kept = {name: list(each) for name, each in state.get("pool", {}).items()}
