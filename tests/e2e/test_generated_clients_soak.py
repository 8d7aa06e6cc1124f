"""Every document through every tool that people generate clients with; the Python, TypeScript and PHP clients are run too.

`make generators` installs the tools. openapi-generator is a Java program, which a package of PyPI ships.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.generated import DIALECTS, GENERATORS, TOOLS, Market, make, ran, sendable
from tests.e2e.shop import Shop

pytestmark = pytest.mark.soak

READERS = TOOLS / "node_modules" / ".bin"
GENERATED = ("python", "typescript-fetch", "typescript-axios", "php", "java", "go", "csharp")
HARMLESS = re.compile(
    "OpenAPI 3.1 support is still in beta"
    "|Failed to get the schema name: null"  # Says so of every document of 3.1.
    "|Ignoring complex example on request body"
    "|type \\(reserved word\\) cannot be used as"  # A parameter of the networkdatasub contract has this name.
    "|Codegen property is null"  # MADAPI's `data` that is always null has no type of its own.
)
TYPESCRIPT = ("--strict", "--target", "es2022", "--module", "commonjs", "--lib", "es2022,dom", "--skipLibCheck")


@pytest.fixture(scope="module")
def market(copied: Callable[[], Shop], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    make("clients")
    make("generators")
    market = Market.open(copied(), tmp_path_factory.mktemp("documents"))
    yield market
    market.shop.check_books()
    market.shop.end()


def generate(market: Market, generator: str, name: str, folder: Path) -> Path:
    """The folder of a client that openapi-generator has made of a document; no complaint but the harmless ones."""
    (jar,) = GENERATORS.glob("lib/python3*/site-packages/openapi_generator_cli/openapi-generator.jar")
    # Names are kept where TypeScript would change them, so that what was read can be compared with what was sent.
    more = ["--additional-properties", "modelPropertyNaming=original"] if generator == "typescript-fetch" else []
    told = ran(["java", "-jar", jar, "generate", "-g", generator, "-i", market.document(name), "-o", folder, *more])
    complaints = [
        line for line in told.splitlines() if re.search("WARN|ERROR|Exception", line) and "writing file" not in line
    ]
    assert [line for line in complaints if not HARMLESS.search(line)] == []
    return folder


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("generator", GENERATED)
def test_openapi_generator_makes_a_client_of_every_document(
    market: Market, generator: str, name: str, tmp_path: Path
) -> None:
    folder = generate(market, generator, name, tmp_path / "client")
    assert len(list(folder.rglob("*.*"))) > 10
    if generator == "go":
        # A float32 keeps seven digits, and an int32 no id beyond two thousand million.
        models = "".join(path.read_text() for path in folder.glob("model_*.go"))
        assert not re.findall("float32|int32", models)


@pytest.mark.parametrize("name", DIALECTS)
def test_spectral_finds_nothing(market: Market, name: str, tmp_path: Path) -> None:
    rules = tmp_path / "spectral.yaml"
    rules.write_text('extends: ["spectral:oas"]\n')
    ran([READERS / "spectral", "lint", "--fail-severity", "hint", "-r", rules, market.document(name)])


@pytest.mark.parametrize("name", DIALECTS)
def test_openapi_typescript_makes_types_that_compile(market: Market, name: str, tmp_path: Path) -> None:
    types = tmp_path / "api.ts"
    ran([READERS / "openapi-typescript", market.document(name), "-o", types])
    ran([READERS / "tsc", "--noEmit", *TYPESCRIPT, types])


@pytest.mark.parametrize("name", DIALECTS)
def test_a_python_client_of_openapi_generator_sends_the_story(market: Market, name: str, tmp_path: Path) -> None:
    folder = generate(market, "python", name, tmp_path)
    answered = market.walk("openapi-generator", folder, "openapi_client", name)
    assert [step["name"] for step in answered] == sendable(name, checking=True)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_typescript_client_sends_the_story_and_loses_nothing(market: Market, name: str, tmp_path: Path) -> None:
    folder = generate(market, "typescript-fetch", name, tmp_path / "source")
    ran([READERS / "tsc", *TYPESCRIPT, "--outDir", tmp_path / "client", folder / "index.ts"])
    answered = market.walk_with(["node", TOOLS / "walk.js", tmp_path / "client"], name)
    assert [step["name"] for step in answered] == sendable(name, checking=True)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_php_client_sends_the_story(market: Market, name: str, tmp_path: Path) -> None:
    folder = generate(market, "php", name, tmp_path)
    answered = market.walk_with(["php", TOOLS / "walk.php", folder], name)
    assert [step["name"] for step in answered] == sendable(name, checking=True)
