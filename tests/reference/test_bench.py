"""The benchmark of the reference runs; its times are never asserted, its accuracy is."""

from sim.bench import reference


def test_a_quick_run_is_exact():
    report = reference.run(quick=True)
    assert report.name == "reference"
    errors = [f for f in report.figures if "largest error" in f.what]
    assert len(errors) == 8
    assert all(f.value < 1e-13 for f in errors)
    gap = next(f for f in report.figures if "difference of the VaR" in f.what)
    assert gap.value < 1e-12
