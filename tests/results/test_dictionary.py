"""The documentation of the tables is that of the tables."""

from pathlib import Path

from sim.results import dictionary


def test_the_page_of_the_tables_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "reference" / "tables.md"
    assert page.read_text().endswith(dictionary())
