"""Every template compiles, though each is compiled only when it is shown."""

import pytest

from telvend.web.shell import Assets, Templates

TEMPLATES = Templates(Assets())


@pytest.mark.parametrize("name", TEMPLATES.names())
def test_every_template_compiles(name: str) -> None:
    TEMPLATES.compile(name)
