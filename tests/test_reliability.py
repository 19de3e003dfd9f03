"""The table of what is shown names tests that exist."""

from tests.reliability import TABLE, missing


def test_every_id_has_tests_that_exist() -> None:
    assert not missing()
    assert [*TABLE] == [f"R{n:02}" for n in range(1, 40) if n != 38]
