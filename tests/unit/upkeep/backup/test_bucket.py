"""A bucket of an S3-compatible store as a place for backups: moto's server, over HTTP."""

import io
import logging
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from telvend.config import Settings
from telvend.kit.secret import Secret
from telvend.upkeep.backup.model import BackupRefused
from telvend.upkeep.backup.places import Place, open_place

_LARGE = 20_000_000
"""More than two parts of an upload."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def settings(endpoint: str) -> Settings:
    return Settings(
        data_dir="/nowhere",
        backup_s3_endpoint=endpoint,
        backup_s3_region="us-east-1",
        backup_s3_access_key_id="AKIDEXAMPLE",
        backup_s3_secret_access_key=Secret("wJalrXUtnFEMI"),
    )


@pytest.fixture
def place(endpoint: str) -> Place:
    import boto3

    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="shop")
    return open_place("s3://shop/telvend/one", settings(endpoint))


def fail_after(_: object) -> None:
    """What copying does when the database goes away."""
    raise ZeroDivisionError


def read(place: Place, name: str) -> bytes:
    with place.reading(name) as source:
        found = io.BytesIO()
        while piece := source.read(100_000):
            found.write(piece)
    return found.getvalue()


def test_objects_appear_whole_and_are_read_back(place: Place) -> None:
    place.prepare()
    content = bytes(range(256)) * (_LARGE // 256)
    with place.writing("b/base.tar.gz") as target:
        for start in range(0, len(content), 700_000):
            target.write(content[start : start + 700_000])
        assert place.names() == []
    with place.writing("b/backup.json") as target:
        target.write(b"{}")
    assert place.names() == ["b/backup.json", "b/base.tar.gz"]
    assert place.names("b") == ["b/backup.json", "b/base.tar.gz"]
    assert place.names("wal") == []
    assert read(place, "b/base.tar.gz") == content
    with pytest.raises(FileNotFoundError), place.reading("b/nothing"):
        pass
    for name in place.names():
        place.remove(name)
    place.remove("b/base.tar.gz")
    assert place.names() == []


def test_an_upload_that_fails_leaves_no_object(place: Place) -> None:
    for size in (10, _LARGE):
        with pytest.raises(ZeroDivisionError), place.writing("b/half") as target:
            fail_after(target.write(b"x" * size))
    assert place.names() == []


def test_a_bucket_that_is_not_there_and_a_store_that_is_away_are_refused(endpoint: str) -> None:
    with pytest.raises(BackupRefused, match="s3://nobodys"):
        open_place("s3://nobodys/x", settings(endpoint)).prepare()
    away = Settings(
        data_dir="/nowhere",
        backup_s3_endpoint="http://127.0.0.1:9",
        backup_s3_region="us-east-1",
        backup_s3_access_key_id="a",
        backup_s3_secret_access_key=Secret("hunter2"),
    )
    with pytest.raises(BackupRefused, match="cannot be used") as caught:
        open_place("s3://shop/x", away).prepare()
    assert "hunter2" not in str(caught.value)
