"""Documents are written once, whatever address they are asked for at."""

from typing import Any

import msgspec

from telvend.web.documents import Document, DocumentResponse


def write(base: str) -> dict[str, Any]:
    write.calls += 1  # type: ignore[attr-defined]
    return {"info": "x" * 100_000, "servers": [{"url": base}], "again": base}


async def ask(
    document: Document, base: str, *, method: str = "GET", tag: str = ""
) -> tuple[int, dict[str, str], list[bytes]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any: ...

    headers = [(b"if-none-match", tag.encode())] if tag else []
    response = DocumentResponse(*document.at(base), {})
    await response({"type": "http", "method": method, "headers": headers}, receive, send)
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert not sent[-1].get("more_body")
    return sent[0]["status"], said, [message.get("body", b"") for message in sent[1:]]


async def test_a_document_is_written_once_and_says_each_address_as_json() -> None:
    write.calls = 0  # type: ignore[attr-defined]
    document = Document(write)
    for base in ("https://api.example.com", 'http://a"b\\\u00e9', "https://here.telvend.invalid", ""):
        status, headers, pieces = await ask(document, base)
        assert status == 200
        assert msgspec.json.decode(b"".join(pieces)) == {
            "info": "x" * 100_000,
            "servers": [{"url": base}],
            "again": base,
        }
        assert int(headers["content-length"]) == len(b"".join(pieces))
        # A client that does not read keeps no whole document in memory.
        assert max(map(len, pieces)) <= 32 * 1024
    assert write.calls == 1  # type: ignore[attr-defined]


async def test_who_has_it_already_is_told_so_and_the_tag_is_of_the_address_too() -> None:
    write.calls = 0  # type: ignore[attr-defined]
    document = Document(write)
    _, headers, _ = await ask(document, "https://a")
    tag = headers["etag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, again, pieces = await ask(document, "https://a", tag=given)
        assert (status, pieces, again["etag"]) == (304, [b""], tag)
    status, other, _ = await ask(document, "https://b", tag=tag)
    assert status == 200
    assert other["etag"] != tag
    assert (await ask(document, "https://a", tag='"nothing"'))[0] == 200


async def test_a_question_for_the_head_is_told_the_length_and_nothing_else() -> None:
    write.calls = 0  # type: ignore[attr-defined]
    status, headers, pieces = await ask(Document(write), "https://a", method="HEAD")
    assert (status, pieces) == (200, [b""])
    assert int(headers["content-length"]) > 100_000
