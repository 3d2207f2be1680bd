"""What is left of a connection when it is given back."""

from __future__ import annotations

from gateway.adapters.database import connection_of, open_pool


async def test_nobody_gets_a_connection_with_anothers_transaction(database_url: str) -> None:
    async with open_pool(database_url, 1) as pool:
        async with connection_of(pool) as connection:
            await connection.execute("BEGIN; CREATE TABLE half_made (id int)")
            first = connection.get_server_pid()
        async with connection_of(pool) as connection:
            assert connection.get_server_pid() == first
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT to_regclass('half_made')") is None
