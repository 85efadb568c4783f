import pytest
import torch

from deep3dmap.backbones.encoding import encoding_pullback, fourier_encoding
from tests.goldens import cases


@pytest.mark.parametrize("frequencies", cases("idr/embedder", r"multires_(\d+)"))
def test_the_encoding_is_that_of_the_reference(goldens, frequencies):
    golden = goldens("idr/embedder")
    encoded = fourier_encoding(torch.from_numpy(golden["x"]), int(frequencies))
    torch.testing.assert_close(encoded, torch.from_numpy(golden[f"multires_{frequencies}"]), atol=1e-5, rtol=0)


def test_no_frequencies_leave_the_coordinates_alone():
    x = torch.randn(5, 3)
    assert torch.equal(fourier_encoding(x, 0), x)


@pytest.mark.parametrize("frequencies", [0, 1, 5])
def test_the_pullback_is_autograds(frequencies):
    x = torch.rand(7, 3, dtype=torch.float64, requires_grad=True)
    encoded = fourier_encoding(x, frequencies)
    cotangent = torch.randn_like(encoded)
    expected, = torch.autograd.grad(encoded, x, cotangent, retain_graph=True)
    torch.testing.assert_close(encoding_pullback(encoded, cotangent, frequencies), expected)
