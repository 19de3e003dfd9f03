"""The small models of the building blocks' tests."""

from tests.models.conftest import images, make  # noqa: F401  # fixtures
