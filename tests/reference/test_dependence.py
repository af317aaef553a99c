"""Copulas against closed forms, quadrature, pyvinecopulib, mpmath and their own samples."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from sim.errors import InputError
from sim.reference.dependence import (
    ClaytonCopula,
    FrankCopula,
    GaussianCopula,
    GumbelCopula,
    StudentTCopula,
    kendall_tau,
    pseudo_observations,
)
from sim.reference.factors import EmpiricalMarginal, FactorModel
from sim.reference.student import StudentT

POINTS = np.random.default_rng(0).random((12, 2))
MATRIX = np.array([[1, 0.5, 0.2], [0.5, 1, 0.3], [0.2, 0.3, 1]])
COPULAS = [
    GaussianCopula(0.6),
    GaussianCopula(-0.8),
    StudentTCopula(0.5, 3),
    StudentTCopula(-0.3, 8.5),
    ClaytonCopula(2.0),
    ClaytonCopula(-0.4),
    GumbelCopula(1.7),
    FrankCopula(5.0),
    FrankCopula(-3.0),
    FrankCopula(0.0),
    GaussianCopula(MATRIX),
    StudentTCopula(MATRIX, 4),
    ClaytonCopula(1.5, 3),
    GumbelCopula(2.5, 4),
    FrankCopula(4.0, 3),
]


def named(copula: object) -> str:
    return f"{type(copula).__name__}-{getattr(copula, 'theta', getattr(copula, 'dof', ''))}"


@pytest.mark.parametrize("rho", [-1.0, -0.999, -0.5, 0.0, 0.3, 0.95, 1.0])
def test_gaussian_cdf(rho: float) -> None:
    expected = stats.multivariate_normal.cdf(
        stats.norm.ppf(POINTS), [0, 0], [[1, rho], [rho, 1]], allow_singular=True
    )
    np.testing.assert_allclose(GaussianCopula(rho).cdf(POINTS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.4, 0.999])
@pytest.mark.parametrize("dof", [1.0, 3.5, 30.0])
def test_student_cdf_is_the_integral_of_the_conditional(rho: float, dof: float) -> None:
    for u, v in POINTS[:4]:
        k = stats.t.ppf(v, dof)

        def conditional(p: float, k: float = k) -> float:
            h = stats.t.ppf(p, dof)
            spread = np.sqrt((dof + h * h) * (1 - rho * rho) / (dof + 1))
            return float(stats.t.cdf((k - rho * h) / spread, dof + 1))

        expected = quad(conditional, 0, u, epsabs=1e-12, epsrel=1e-11, limit=400)[0]
        assert StudentTCopula(rho, dof).cdf([u, v])[0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("copula", COPULAS, ids=named)
def test_sample_has_uniform_margins_and_the_copula(copula) -> None:  # type: ignore[no-untyped-def]
    n = 20_000
    u = copula.sample(n, np.random.default_rng(7))
    assert u.shape == (n, copula.dimension)
    assert u.min() > 0
    assert u.max() < 1
    for i in range(copula.dimension):
        assert stats.kstest(u[:, i], "uniform").pvalue > 1e-4
    for at in (0.1, 0.4, 0.8):
        point = np.linspace(at, min(at + 0.15, 0.95), copula.dimension)
        inside = (u <= point).all(axis=1).mean()
        expected = copula.cdf(point)[0]
        assert inside == pytest.approx(expected, abs=4.5 * np.sqrt(expected / n) + 2e-3)


@pytest.mark.parametrize("copula", COPULAS, ids=named)
def test_density_integrates_to_the_cdf(copula) -> None:  # type: ignore[no-untyped-def]
    """The mixed difference of the cdf over a small box is the density times its volume."""
    d, width = copula.dimension, 2e-3
    if d > 2 and not hasattr(copula, "theta"):
        return  # their cdf is quasi-random: the sampling test covers the density below
    for centre in (np.linspace(0.3, 0.5, d), np.linspace(0.8, 0.6, d)):
        volume = 0.0
        for corner in np.ndindex(*([2] * d)):
            signs = 2 * np.array(corner) - 1
            volume += np.prod(signs) * copula.cdf(centre + signs * width)[0]
        expected = copula.pdf(centre)[0]
        assert volume / (2 * width) ** d == pytest.approx(expected, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("copula", [c for c in COPULAS if c.dimension > 2], ids=named)
def test_density_has_mass_one(copula) -> None:  # type: ignore[no-untyped-def]
    """E[1/c(U)] over a sample of the copula is one, here on the inner cube."""
    u = copula.sample(40_000, np.random.default_rng(9))
    inner = (abs(u - 0.5) < 0.4).all(axis=1)
    mass = np.where(inner, np.exp(-copula.logpdf(u)), 0.0).mean()
    assert mass == pytest.approx(0.8**copula.dimension, rel=0.06)


@pytest.mark.parametrize("copula", COPULAS, ids=named)
def test_edges_of_the_cube(copula) -> None:  # type: ignore[no-untyped-def]
    d = copula.dimension
    for p in (0.2, 0.9):
        point = np.ones(d)
        point[-1] = p
        assert copula.cdf(point)[0] == pytest.approx(p, abs=1e-12)
    point = np.full(d, 0.5)
    point[0] = 0
    assert copula.cdf(point)[0] == 0
    assert copula.cdf(np.ones(d))[0] == pytest.approx(1)


@pytest.mark.parametrize("copula", [c for c in COPULAS if c.dimension == 2], ids=named)
def test_pairs_agree_with_pyvinecopulib(copula) -> None:  # type: ignore[no-untyped-def]
    vines = pytest.importorskip("pyvinecopulib")
    families = {
        GaussianCopula: "gaussian",
        StudentTCopula: "student",
        ClaytonCopula: "clayton",
        GumbelCopula: "gumbel",
        FrankCopula: "frank",
    }
    if isinstance(copula, ClaytonCopula | FrankCopula) and copula.theta in (-0.4, 0.0):
        return  # it has none of these
    if isinstance(copula, GaussianCopula | StudentTCopula):
        parameters = [[copula.corr[0, 1]]]
        parameters += [[float(copula.dof)]] if isinstance(copula, StudentTCopula) else []
    else:
        parameters = [[float(copula.theta)]]
    other = vines.Bicop(
        getattr(vines.BicopFamily, families[type(copula)]), parameters=np.array(parameters)
    )
    np.testing.assert_allclose(copula.pdf(POINTS), other.pdf(POINTS), rtol=1e-6)
    whole_dof = isinstance(copula, StudentTCopula) and copula.dof % 1
    atol = 2e-2 if whole_dof else 1e-8  # it rounds the degrees of freedom in its cdf
    np.testing.assert_allclose(copula.cdf(POINTS), other.cdf(POINTS), rtol=0, atol=atol)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(1e-6, 1 - 1e-6),
    st.floats(1e-6, 1 - 1e-6),
    st.sampled_from([("clayton", 0.01), ("clayton", 30.0), ("gumbel", 1.01), ("gumbel", 20.0)])
    | st.sampled_from([("frank", 1e-3), ("frank", 40.0), ("frank", -25.0)]),
)
def test_archimedean_cdf_in_high_precision(u: float, v: float, family: tuple[str, float]) -> None:
    name, theta = family
    with mpmath.workdps(60):
        x, y, t = mpmath.mpf(u), mpmath.mpf(v), mpmath.mpf(theta)
        if name == "clayton":
            exact = (x**-t + y**-t - 1) ** (-1 / t)
        elif name == "gumbel":
            exact = mpmath.exp(-(((-mpmath.log(x)) ** t + (-mpmath.log(y)) ** t) ** (1 / t)))
        else:
            inner = mpmath.expm1(-t * x) * mpmath.expm1(-t * y) / mpmath.expm1(-t)
            exact = -mpmath.log1p(inner) / t
    copula = {"clayton": ClaytonCopula, "gumbel": GumbelCopula, "frank": FrankCopula}[name](theta)
    assert copula.cdf([u, v])[0] == pytest.approx(float(exact), rel=1e-9, abs=1e-14)


def test_tail_dependence() -> None:
    assert GaussianCopula(0.99).tail_dependence() == (0, 0)
    assert GaussianCopula(1.0).tail_dependence() == (1, 1)
    assert ClaytonCopula(2.0).tail_dependence() == (pytest.approx(2**-0.5), 0)
    assert ClaytonCopula(-0.5).tail_dependence() == (0, 0)
    assert GumbelCopula(2.0).tail_dependence() == (0, pytest.approx(2 - 2**0.5))
    assert GumbelCopula(1.0).tail_dependence() == (0, 0)
    assert FrankCopula(9.0).tail_dependence() == (0, 0)
    # McNeil, Frey and Embrechts, table of λ: dof 4, ρ = 0.5 gives 0.25; dof 10, ρ = 0 gives 0.01.
    assert StudentTCopula(0.5, 4).tail_dependence()[0] == pytest.approx(0.25, abs=5e-3)
    assert StudentTCopula(0.0, 10).tail_dependence()[1] == pytest.approx(0.01, abs=5e-3)
    assert StudentTCopula(-1.0, 4).tail_dependence() == (0, 0)
    lower, upper = StudentTCopula(MATRIX, 4).tail_dependence()
    assert lower.shape == upper.shape == (3, 3)
    assert lower[0, 1] == pytest.approx(StudentTCopula(0.5, 4).tail_dependence()[0])


@pytest.mark.parametrize(
    "copula",
    [
        StudentTCopula(0.5, 3),
        ClaytonCopula(2.0),
        GumbelCopula(2.0),
        FrankCopula(5.0),
        GaussianCopula(0.8),
    ],
    ids=named,
)
def test_tail_dependence_is_the_limit_of_the_cdf(copula) -> None:  # type: ignore[no-untyped-def]
    lower, upper = copula.tail_dependence()
    if isinstance(copula, GaussianCopula):
        falling = [copula.cdf([q, q])[0] / q for q in (1e-2, 1e-4, 1e-8)]
        assert falling[0] > falling[1] > falling[2]
        return
    q = 1e-6
    assert copula.cdf([q, q])[0] / q == pytest.approx(lower, abs=2e-2)
    q = 1e-5
    joint = 2 * q - 1 + copula.cdf([1 - q, 1 - q])[0]
    assert joint / q == pytest.approx(upper, abs=2e-2)


@pytest.mark.parametrize("copula", COPULAS, ids=named)
def test_fit_recovers_the_parameters(copula) -> None:  # type: ignore[no-untyped-def]
    u = pseudo_observations(copula.sample(6_000, np.random.default_rng(11)))
    fitted = type(copula).fit(u)
    if hasattr(copula, "corr"):
        np.testing.assert_allclose(fitted.corr, copula.corr, atol=0.04)
    if hasattr(copula, "dof"):
        assert fitted.dof == pytest.approx(copula.dof, rel=0.35)
    if hasattr(copula, "theta"):
        assert fitted.theta == pytest.approx(copula.theta, rel=0.07, abs=0.1)
        assert fitted.dimension == copula.dimension
    assert copula.fit(u).dimension == copula.dimension  # also from an instance


def test_kendall_tau_of_archimedean_copulas() -> None:
    rng = np.random.default_rng(3)
    for copula, tau in ((ClaytonCopula(2.0), 0.5), (GumbelCopula(2.0), 0.5)):
        assert kendall_tau(copula.sample(10_000, rng))[0, 1] == pytest.approx(tau, abs=0.02)


def test_perfect_dependence_can_be_sampled() -> None:
    rng = np.random.default_rng(1)
    together = GaussianCopula(np.ones((3, 3))).sample(50, rng)
    np.testing.assert_allclose(together[:, 0], together[:, 2], atol=1e-9)
    apart = StudentTCopula(-1.0, 3).sample(50, rng)
    np.testing.assert_allclose(apart[:, 0], 1 - apart[:, 1], atol=1e-9)
    with pytest.raises(InputError, match="singular"):
        GaussianCopula(1.0).logpdf([0.5, 0.5])


def test_sampling_depends_on_the_generator_alone() -> None:
    for copula in COPULAS:
        first = copula.sample(5, np.random.default_rng(2))
        np.testing.assert_array_equal(first, copula.sample(5, np.random.default_rng(2)))
        assert copula.sample(0, np.random.default_rng(2)).shape == (0, copula.dimension)


def test_pseudo_observations() -> None:
    ranked = pseudo_observations([[3.0, 1.0], [1.0, 1.0], [2.0, 5.0]])
    np.testing.assert_allclose(ranked, [[0.75, 0.375], [0.25, 0.375], [0.5, 0.75]])


def test_factor_model_keeps_margins_and_ties() -> None:
    history = np.random.default_rng(5).standard_t(4, 3000)
    model = FactorModel(GaussianCopula(0.8), [StudentT(4, 0.0, 0.02), EmpiricalMarginal(history)])
    draws = model.sample(20_000, np.random.default_rng(6))
    assert stats.kstest(draws[:, 0] / 0.02, "t", args=(4,)).pvalue > 1e-3
    assert stats.ks_2samp(draws[:, 1], history).pvalue > 1e-3
    expected = 2 / np.pi * np.arcsin(0.8)
    assert kendall_tau(draws)[0, 1] == pytest.approx(expected, abs=0.02)
    with pytest.raises(InputError, match="marginals: 1 given"):
        FactorModel(GaussianCopula(0.8), [StudentT(4)])


def test_vine_recovers_pairs_of_different_families() -> None:
    vines = pytest.importorskip("sim.reference.vines")
    rng = np.random.default_rng(8)
    first = ClaytonCopula(3.0).sample(4000, rng)
    third = GumbelCopula(2.5).sample(4000, rng)
    # Tie the third factor to the second by matching ranks.
    order = np.argsort(np.argsort(first[:, 1]))
    u = np.column_stack((first, third[np.argsort(third[:, 0])][order, 1]))
    fitted = vines.VineCopula.fit(pseudo_observations(u))
    text = fitted.describe()
    assert "Clayton" in text
    assert "Gumbel" in text
    draws = fitted.sample(4000, np.random.default_rng(9))
    np.testing.assert_allclose(kendall_tau(draws), kendall_tau(u), atol=0.04)
    assert fitted.logpdf(u).mean() > 0.5
    empirical = (u <= 0.3).all(axis=1).mean()
    assert fitted.cdf([[0.3, 0.3, 0.3]])[0] == pytest.approx(empirical, abs=0.03)
    with pytest.raises(InputError, match="did you mean 'gumbel'"):
        vines.VineCopula.fit(u, ("gumble",))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianCopula([[1, 0.9], [0.8, 1]]), "across the diagonal"),
        (lambda: GaussianCopula(1.5), "corr"),
        (lambda: StudentTCopula(0.5, 0.0), "dof"),
        (lambda: ClaytonCopula(-1.5), "theta"),
        (lambda: ClaytonCopula(-0.5, 3), "theta"),
        (lambda: GumbelCopula(0.5), "theta"),
        (lambda: FrankCopula(float("nan")), "theta = nan"),
        (lambda: FrankCopula(2.0, 1), "dimension"),
        (lambda: FrankCopula(2.0).cdf([0.5, 1.5]), r"u\[0, 1\] = 1.5"),
        (lambda: FrankCopula(2.0).cdf([[0.5, np.nan]]), r"u\[0, 1\] = nan"),
        (lambda: FrankCopula(2.0).pdf([0.0, 0.5]), r"u\[0, 0\] = 0"),
        (lambda: FrankCopula(2.0).cdf([0.1, 0.2, 0.3]), "shape"),
        (lambda: ClaytonCopula.fit(np.full((20, 2), 0.5)), "every value is the same"),
        (lambda: ClaytonCopula.fit([[0.5, 0.5]]), "at least 10"),
        (lambda: GaussianCopula(0.5).sample(-1, np.random.default_rng(0)), "n = -1"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("theta", [1e-12, 1e-8, 1e-4, -1e-8])
def test_clayton_is_exact_next_to_independence(theta):
    u, v = 0.9, 0.95
    with mpmath.workdps(40):
        exact = (mpmath.mpf(u) ** -theta + mpmath.mpf(v) ** -theta - 1) ** (-1 / mpmath.mpf(theta))
    assert ClaytonCopula(theta).cdf([[u, v]])[0] == pytest.approx(float(exact), rel=1e-12)


def test_parameters_are_numbers_and_draws_come_from_a_generator():
    assert ClaytonCopula("2").theta == 2.0
    with pytest.raises(InputError, match="expected one number"):
        ClaytonCopula([2.0])
    for copula in (GaussianCopula(0.5), StudentTCopula(0.5, 4), ClaytonCopula(2)):
        with pytest.raises(InputError, match="rng = 7"):
            copula.sample(2, 7)
