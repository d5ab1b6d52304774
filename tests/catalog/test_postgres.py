"""The catalog's promises on a real PostgreSQL."""

from __future__ import annotations

import pytest

from millrace.base.errors import MillraceError
from millrace.catalog.migrate import migrate
from millrace.catalog.postgres import PostgresEngine
from millrace.testing.catalog_suite import CatalogSuite


class TestPostgres(CatalogSuite):
    @pytest.fixture
    def engine(self, postgres_url: str) -> PostgresEngine:
        made = PostgresEngine(postgres_url)
        migrate(made)
        return made


def test_a_database_that_does_not_answer() -> None:
    with pytest.raises(MillraceError) as caught:
        migrate(PostgresEngine("postgresql://nobody@127.0.0.1:1/none"))
    assert caught.value.code == "catalog.unreachable"


@pytest.mark.parametrize(
    "url", ["postgresql://h:port/db", "postgresql://[::1/db", "postgresql://h/db?no_such=1", "mysql", "postgresql:/x"]
)
def test_what_is_no_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(MillraceError) as caught:
        PostgresEngine(url)
    assert caught.value.code == "config.invalid"
