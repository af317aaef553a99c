"""Rulebooks as data: rounding, refusals, what goes on chain."""

from fractions import Fraction

import pytest

from sim import rulebooks
from sim.errors import InputError
from sim.reference.rulebook import ScenarioRulebook, VolMove


@pytest.mark.parametrize("name", rulebooks.names())
def test_shipped_rulebooks_load_and_round_trip(name):
    rules = rulebooks.load(name)
    assert type(rules).model_validate(rules.model_dump()) == rules
    assert rules.title
    assert rules.source


def test_the_names_the_design_promises():
    promised = {"house", "derive-pmrm", "derive-pmrm2", "deribit-pm", "paradex-scan", "span-16"}
    assert promised | {"ltv", "sensitivity"} <= set(rulebooks.names())
    on_chain = {name for name in rulebooks.names() if rulebooks.load(name).on_chain}
    assert on_chain == {"house", "derive-pmrm", "sensitivity", "ltv"}


def test_ratios_are_what_the_chain_stores():
    rules = rulebooks.load("house")
    wad = rules.as_wad()
    assert list(wad) == [
        "scenarios",
        "vol",
        "discount",
        "basis",
        "charges",
        "correlation",
        "factors",
    ]
    assert wad["scenarios"][0] == {
        "spot": 820_000_000_000_000_000,
        "vol": VolMove.UP,
        "weight": 10**18,
    }
    assert wad["vol"]["time_floor"] == 86_400
    assert wad["charges"]["haircuts"][0]["outside"] == 2 * 10**16
    assert wad["correlation"]["ids"] == list(range(8))
    assert wad["correlation"]["low"][:3] == [10**18, 7 * 10**17, 4 * 10**17]
    assert len(wad["correlation"]["high"]) == 64
    assert wad["discount"]["use_rate"] is True
    assert wad["factors"]["long_only_cap"] is True


def changed(**change):
    rules = rulebooks.load("house").model_dump()
    for path, value in change.items():
        *parents, last = path.split("__")
        place = rules
        for key in parents:
            place = place[key]
        place[last] = value
    return ScenarioRulebook.model_validate(rules)


def test_a_ratio_finer_than_wad_is_rounded():
    rules = changed(vol__range_up=1 / 30)
    stored = rules.as_wad()["vol"]["range_up"]
    assert (
        stored == 33_333_333_333_333_330 or abs(Fraction(stored, 10**18) - Fraction(1, 30)) < 1e-17
    )
    assert rules.vol.range_up == stored / 10**18


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"discount__long_base": 1.1}, "less than or equal to 1"),
        ({"discount__short_base": 0.9}, "greater than or equal to 1"),
        ({"factors__initial": 0.9}, "initial must be at least maintenance"),
        ({"vol__range_up": -1}, "greater than or equal to 0"),
        ({"vol__range_up": float("nan")}, "finite"),
        ({"scenarios": []}, "at least 1"),
        ({"scenarios": [{"spot": 1}] * 41}, "at most 40"),
        ({"scenarios": [{"spot": 0}]}, "greater than 0"),
        ({"correlation__floor": 1.5}, "less than or equal to 1"),
        ({"correlation__ids": [0, 1]}, "expected 2 rows of 2"),
        ({"correlation": {"ids": [1, 0], "low": [[1]], "high": [[1]]}}, "ascending"),
        (
            {"correlation": {"ids": [0, 1], "low": [[1, 0.5], [0.4, 1]], "high": [[1, 1], [1, 1]]}},
            "symmetric",
        ),
        (
            {
                "correlation": {
                    "ids": [0, 1, 2],
                    "low": [[1, 0.9, 0], [0.9, 1, 0.9], [0, 0.9, 1]],
                    "high": [[1, 1, 1]] * 3,
                }
            },
            "not positive semidefinite",
        ),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        changed(**change)


def test_rank_one_correlation_is_accepted():
    ones = [[1.0, 1.0], [1.0, 1.0]]
    changed(correlation={"ids": [0, 1], "low": [[1, -1], [-1, 1]], "high": ones})


def test_errors_name_file_line_and_column(tmp_path):
    path = tmp_path / "mine.yaml"

    def refusal(text):
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            rulebooks.load(path)
        return str(caught.value)

    text = "kind: ltv\ntitle: x\nsource: y\nperp: {initial: 0.1, maintenance: 0.2}\n"
    message = refusal(text + "short_option: {initial: 0.1, maintenence: 0.1}\n")
    assert f"{path}:5:30: short_option.maintenence: unknown key" in message
    assert "did you mean 'maintenance'?" in message
    message = refusal(text + "short_option: {initial: 0.1, maintenance: 0.1}\n")
    assert "perp: initial must be at least maintenance" in message
    assert "unknown kind of rulebook 'lvt'; did you mean 'ltv'?" in refusal("kind: lvt\n")
    assert f"{path}:2:1: kind is written twice" in refusal("kind: ltv\nkind: ltv\n")
    assert "a rulebook is a map" in refusal("[1, 2]\n")
    with pytest.raises(InputError, match="unknown rulebook 'hause'; did you mean 'house'"):
        rulebooks.load("hause")
    with pytest.raises(InputError, match="cannot be read"):
        rulebooks.load(tmp_path / "absent.yaml")
