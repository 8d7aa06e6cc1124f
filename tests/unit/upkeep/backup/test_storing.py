"""What is stored comes back as it was, whole or not at all: compression, encryption, archives, folders."""

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.config import Settings
from telvend.upkeep.backup import bundles
from telvend.upkeep.backup.model import BackupDamaged, BackupRefused
from telvend.upkeep.backup.places import Folder, open_place
from telvend.upkeep.backup.sealing import Opener, Sealer, new_identity
from telvend.upkeep.backup.tar import Member, TarStream


class Sink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> int:
        self.data += bytes(data)
        return len(data)


def fail_after(_: object) -> None:
    """What copying does when the database goes away."""
    raise ZeroDivisionError


class Kept:
    """Keeps the members of an archive."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {}
        self._sink = Sink()

    def begin(self, _: Member) -> Sink:
        self._sink = Sink()
        return self._sink

    def end(self, member: Member) -> None:
        assert len(self._sink.data) == (member.size if member.kind == "0" else 0)
        self.members[member.name] = self._sink.data


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, str]:
    return tmp_path / "identity", new_identity(tmp_path / "identity")


def stored(content: bytes, sealer: Sealer, *, compress: bool = True) -> bytes:
    sink = Sink()
    sealer.copy(io.BytesIO(content), sink, compress=compress)
    return sink.data


def read(stored: bytes, opener: Opener, *, encrypted: bool = True, compressed: bool = True) -> bytes:
    sink = Sink()
    opener.copy(io.BytesIO(stored), sink, encrypted=encrypted, name="x", compressed=compressed)
    return sink.data


@pytest.mark.parametrize("content", [b"", b"one", os.urandom(3_000_000), b"0" * 20_000_000])
def test_what_is_sealed_opens_again(content: bytes, identity: tuple[Path, str]) -> None:
    file, recipient = identity
    sealed = stored(content, Sealer.of([recipient]))
    assert sealed.startswith(b"age-encryption.org/v1\n")
    assert read(sealed, Opener.of(file)) == content
    plain = stored(content, Sealer.of([]))
    assert gzip.decompress(plain) == content  # Anybody's gunzip reads it.
    assert read(plain, Opener.of(None), encrypted=False) == content


def test_what_was_changed_or_cut_off_does_not_open(identity: tuple[Path, str]) -> None:
    file, recipient = identity
    content = os.urandom(200_000)
    for encrypted, sealer in ((True, Sealer.of([recipient])), (False, Sealer.of([]))):
        sealed = stored(content, sealer)
        flipped = bytearray(sealed)
        flipped[len(flipped) // 2] ^= 1
        for damaged in (bytes(flipped), sealed[:-1], sealed[: len(sealed) // 2], b""):
            with pytest.raises(BackupDamaged):
                read(damaged, Opener.of(file), encrypted=encrypted)


def test_a_wrong_identity_is_named_before_anything_is_read(identity: tuple[Path, str], tmp_path: Path) -> None:
    _, recipient = identity
    new_identity(tmp_path / "other")
    with pytest.raises(BackupRefused, match=f"encrypted for {recipient}, which the identity in .*/other does not open"):
        Opener.of(tmp_path / "other").require([recipient], "The backup x")
    with pytest.raises(BackupRefused, match="name its identity file"):
        Opener.of(None).require([recipient], "The backup x")
    Opener.of(None).require([], "The backup x")


def test_identities_are_for_their_owner_and_are_not_written_over(identity: tuple[Path, str]) -> None:
    file, recipient = identity
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"# recipient: {recipient}" in file.read_text()
    with pytest.raises(BackupRefused, match="exists"):
        new_identity(file)
    file.chmod(0o644)
    with pytest.raises(BackupRefused, match="chmod"):
        Opener.of(file)


def test_a_recipient_that_is_none_is_refused_and_an_identity_is_not_repeated() -> None:
    with pytest.raises(BackupRefused, match="begins with age1"):
        Sealer.of(["age1nonsense"])
    secret = str(pyrage.x25519.Identity.generate())
    with pytest.raises(BackupRefused, match="an identity") as caught:
        Sealer.of([secret])
    assert secret not in str(caught.value)


def archive(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return target.getvalue()


@given(
    files=st.dictionaries(
        st.lists(st.text("abcdef", min_size=1, max_size=20), min_size=1, max_size=4).map("/".join),
        st.binary(max_size=2000),
        max_size=5,
    ),
    pieces=st.integers(1, 1500),
)
def test_an_archive_is_read_the_same_however_it_arrives(files: dict[str, bytes], pieces: int) -> None:
    text = archive(files)
    kept = Kept()
    stream = TarStream(kept)
    for start in range(0, len(text), pieces):
        stream.write(text[start : start + pieces])
    stream.finish()
    assert kept.members == files


def test_an_archive_that_is_cut_off_or_changed_is_damaged() -> None:
    text = archive({"a": b"1" * 1000, "b": b"2"})
    for cut in (0, 100, 512, 1024, 2000):
        stream = TarStream(Kept())
        stream.write(text[:cut])
        with pytest.raises(BackupDamaged):
            stream.finish()
    with pytest.raises(BackupDamaged):
        TarStream(Kept()).write(b"b" + text[1:])


def test_a_bundle_comes_back_and_leads_nowhere_else() -> None:
    files = {"secret/voucher-key": b"k", "settings/upstreams/x.toml": b"t"}
    assert bundles.unpacked(bundles.packed(files), "x") == files
    for name in ("../../etc/cron.d/x", "/etc/passwd"):
        with pytest.raises(BackupDamaged, match="which no backup holds"):
            bundles.unpacked(archive({name: b"x"}), "x")


def settings(data_dir: Path) -> Settings:
    return Settings(data_dir=str(data_dir))


def test_settings_with_secrets_go_with_the_keys(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    for name in ("voucher-key", "postgres-password", "telvend-password", ".voucher-key.1a"):
        (tmp_path / "secret" / name).write_text(name)
    file = tmp_path / "telvend.toml"
    file.write_text("port = 9000\n")
    found = bundles.collect(settings(tmp_path), file)
    assert (sorted(found.secret), sorted(found.plain)) == (["secret/voucher-key"], ["settings/telvend.toml"])
    (tmp_path / "upstreams").mkdir()
    (tmp_path / "upstreams" / "w.toml").write_text("d")
    (tmp_path / "vt.key").write_text("hunter2")
    file.write_text('[providers.w]\nconnector = "http"\nfile = "upstreams/w.toml"\napi_key_file = "vt.key"\n')
    found = bundles.collect(settings(tmp_path), file)
    assert sorted(found.secret) == ["secret/voucher-key", "settings/vt.key"]
    assert sorted(found.plain) == ["settings/telvend.toml", "settings/upstreams/w.toml"]
    file.write_text('[providers.w]\nconnector = "vtpass"\napi_key = "hunter2"\n')
    found = bundles.collect(settings(tmp_path), file)
    assert sorted(found.secret) == ["secret/voucher-key", "settings/telvend.toml"]
    assert found.plain == {}


def test_a_file_in_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    os.umask(os.umask(0o022))
    place = Folder(tmp_path / "backups")
    place.prepare()
    with place.writing("a/b/file") as target:
        target.write(b"one")
        assert place.names() == []
    assert place.names() == ["a/b/file"]
    for path in (tmp_path / "backups").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    with pytest.raises(ZeroDivisionError), place.writing("a/b/other") as target:
        fail_after(target.write(b"half"))
    assert [path.name for path in (tmp_path / "backups" / "a" / "b").iterdir()] == ["file"]
    # What a killed process has left goes with the next backup.
    (tmp_path / "backups" / "a" / ".unfinished-999999999-ab").write_text("half")
    assert place.names() == ["a/b/file"]
    place.prepare()
    assert not list((tmp_path / "backups").rglob(".unfinished*"))
    place.remove("a/b/file")
    place.remove("a/b/file")
    assert place.names() == []


def test_a_place_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(BackupRefused, match="may be written by other users"):
        open_place(str(tmp_path / "open"), settings(tmp_path)).prepare()
    for name in (".", "postgres/x", "backup", "backup/wal"):
        with pytest.raises(BackupRefused, match="the shop itself keeps other things there"):
            open_place(str(tmp_path / name), settings(tmp_path))
    open_place(str(tmp_path / "backups"), settings(tmp_path))
    with pytest.raises(BackupRefused, match="no place for backups"):
        open_place("ftp://x/y", settings(tmp_path))
    with pytest.raises(BackupRefused, match="does not name a bucket"):
        open_place("s3:///y", settings(tmp_path))
