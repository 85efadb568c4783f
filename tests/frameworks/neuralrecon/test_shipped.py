"""The weights of the package, on an unseen synthetic room, also in mixed precision."""

import pytest
import torch

from deep3dmap.apis.inference import load_framework
from deep3dmap.datasets.videos import Fragments
from deep3dmap.evaluation.rooms import room_metrics
from deep3dmap.frameworks.cards import find_card


@pytest.mark.parametrize("mixed", [False, True])
def test_the_shipped_weights_find_the_surface_of_an_unseen_room(mixed):
    rooms = dict(type="SyntheticRooms", count=1, frames=14, size=(192, 256))
    fragments, framework = Fragments(rooms, "test", size=(192, 256)), load_framework(find_card("neuralrecon").weights)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        *_, result = (result for k in range(len(fragments)) for result in framework.reconstruct(fragments[k]))
    figures = room_metrics(result.mesh, fragments.recordings[0], thresholds=(0.1, ), fused_depth=4.0, every=3)
    assert figures["precision@0.1"] > 0.6 and figures["f_score@0.1"] > 0.5, figures
