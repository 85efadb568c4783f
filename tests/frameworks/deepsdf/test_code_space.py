"""The prior of codes and their principal axes, against numpy's and the formulas written out."""

import numpy as np
import pytest
import torch

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.deepsdf.code_space import fit_prior, principal_axes, shrunk_covariance

MIXING = torch.tensor([[2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.5, 0.3, 0.0], [0.0, 0.0, 0.1, 0.1]])


def some_codes(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) @ MIXING + torch.arange(4.0)


def ledoit_wolf(codes: np.ndarray) -> np.ndarray:
    """The paper's estimate with its sums over single codes written out (section 3.2 and 3.3)."""
    n, p = codes.shape
    rows = codes - codes.mean(0)
    S = rows.T @ rows / n
    m = np.trace(S) / p
    d2 = ((S - m * np.eye(p))**2).sum() / p
    b2 = min(sum(((np.outer(x, x) - S)**2).sum() / p for x in rows) / n**2, d2)
    return b2 / d2 * m * np.eye(p) + (d2 - b2) / d2 * S


def test_coordinates_are_those_of_the_covariances_eigenvectors():
    codes = some_codes(30)
    found = principal_axes(codes, 4)
    values, vectors = np.linalg.eigh(np.cov(codes.double().numpy().T))
    np.testing.assert_allclose(found.shares.numpy(), values[::-1] / values.sum(), rtol=1e-9)
    expected = (codes.double().numpy() - codes.double().numpy().mean(0)) @ vectors[:, ::-1]
    np.testing.assert_allclose(np.abs(found.coordinates(codes).numpy()), np.abs(expected), atol=1e-9)


def test_codes_on_a_line_have_one_axis():
    codes = torch.linspace(-1, 1, 7)[:, None] * torch.tensor([[0.0, -3.0, 4.0]]) + 5
    found = principal_axes(codes, 3)
    assert found.axes.shape == (1, 3)
    torch.testing.assert_close(found.axes[0], torch.tensor([0.0, -0.6, 0.8], dtype=torch.float64), atol=1e-6, rtol=0)


def test_codes_that_do_not_differ_have_no_axes():
    for codes in (torch.ones(1, 3), torch.ones(5, 3)):
        with pytest.raises(DataError, match="no principal axes"):
            principal_axes(codes, 2)


@pytest.mark.parametrize("count", [3, 6, 40])
def test_the_covariance_is_shrunk_as_in_ledoit_and_wolf(count):
    codes = some_codes(count).double()
    np.testing.assert_allclose(shrunk_covariance(codes).numpy(), ledoit_wolf(codes.numpy()), rtol=1e-9, atol=1e-12)


def test_fewer_shapes_than_entries_still_vary_in_all_directions():
    codes = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    assert np.linalg.matrix_rank(np.cov(codes.numpy().T)) == 4
    assert torch.linalg.eigvalsh(shrunk_covariance(codes.double())).min() > 0.05


@pytest.mark.parametrize("kind", ["empirical", "diagonal", "paper"])
def test_draws_have_the_mean_and_covariance_of_their_prior(kind):
    codes = some_codes(200)
    drawn = fit_prior(codes, kind).draw(20000, torch.Generator().manual_seed(1)).double().numpy()
    codes = codes.double().numpy()
    mean, covariance = {"empirical": (codes.mean(0), ledoit_wolf(codes)),
                        "diagonal": (codes.mean(0), np.diag(codes.var(0, ddof=1))),
                        "paper": (np.zeros(4), np.eye(4) * (codes**2).mean())}[kind]  # yapf: disable
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.08)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.15)


def test_the_first_draws_do_not_depend_on_the_count():
    prior = fit_prior(some_codes(9))
    few, many = (prior.draw(count, torch.Generator().manual_seed(3)) for count in (2, 5))
    torch.testing.assert_close(few, many[:2])


def test_one_shape_has_no_spread_but_the_papers_prior():
    one = torch.tensor([[3.0, 4.0]])
    for kind in ("empirical", "diagonal"):
        with pytest.raises(DataError, match="'paper'"):
            fit_prior(one, kind)
    torch.testing.assert_close(fit_prior(one, "paper").root.square(), 12.5 * torch.eye(2, dtype=torch.float64))


def test_unknown_priors_are_named():
    with pytest.raises(ConfigError, match="'uniform'.*empirical, diagonal, paper"):
        fit_prior(some_codes(3), "uniform")
