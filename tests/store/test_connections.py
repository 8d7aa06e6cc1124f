"""How many connections to the database a serving process holds: one number, from the code, in every text."""

import gc
from pathlib import Path

from telvend.bootstrap import open_shop
from telvend.config import CONNECTIONS_BESIDE_POOL, Settings
from telvend.database.connections import DedicatedConnection


async def test_a_process_has_as_many_connections_of_their_own_as_the_texts_say(
    database_url: str, tmp_path: Path
) -> None:
    async with open_shop(Settings(data_dir=str(tmp_path)), database_url) as shop:
        gc.collect()
        held = [found for found in gc.get_objects() if isinstance(found, DedicatedConnection)]
        assert len([found for found in held if found._database is shop.database]) == CONNECTIONS_BESIDE_POOL
