import ape
import pytest


@pytest.fixture(scope="session")
def compiled():
    """The project, compiled from the present sources: Ape's cache misses changes of modules."""
    ape.project.load_contracts(use_cache=False)
    return ape.project
