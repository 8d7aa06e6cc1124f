"""The commit of a checkout is read from Git's own files, in each form that Git leaves them in."""

from pathlib import Path

import pytest

from telvend.kit.commit import commit, commit_of_checkout, named

HASH = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


def checkout(folder: Path, head: str) -> Path:
    git = folder / ".git"
    git.mkdir(parents=True)
    (git / "HEAD").write_text(f"{head}\n")
    return git


def test_a_branch_is_followed_to_its_commit(tmp_path: Path) -> None:
    git = checkout(tmp_path, "ref: refs/heads/main")
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "main").write_text(f"{HASH}\n")
    assert commit_of_checkout(tmp_path) == HASH


def test_a_branch_that_was_packed_is_found_by_its_whole_name(tmp_path: Path) -> None:
    git = checkout(tmp_path, "ref: refs/heads/main")
    (git / "packed-refs").write_text(
        f"# pack-refs with: peeled\n{OTHER} refs/heads/main-old\n{HASH} refs/heads/main\n^{OTHER}\n"
    )
    assert commit_of_checkout(tmp_path) == HASH


def test_a_detached_head_is_the_commit(tmp_path: Path) -> None:
    checkout(tmp_path, HASH)
    assert commit_of_checkout(tmp_path) == HASH


def test_a_worktree_reads_its_branch_in_the_repository_that_it_belongs_to(tmp_path: Path) -> None:
    git = checkout(tmp_path / "repo", f"ref: refs/heads/{'main'}")
    own = git / "worktrees" / "other"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/other\n")
    (own / "commondir").write_text("../..\n")
    (git / "packed-refs").write_text(f"{HASH} refs/heads/other\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {own}\n")
    assert commit_of_checkout(tree) == HASH


@pytest.mark.parametrize("head", ["", "ref: refs/heads/none", "not a hash"])
def test_where_git_says_nothing_there_is_no_commit(tmp_path: Path, head: str) -> None:
    checkout(tmp_path, head)
    assert commit_of_checkout(tmp_path) is None
    assert commit_of_checkout(tmp_path / "elsewhere") is None


def test_the_file_of_a_wheel_wins_over_a_checkout_around_it(tmp_path: Path) -> None:
    checkout(tmp_path, OTHER)
    package = tmp_path / "src" / "telvend"
    package.mkdir(parents=True)
    assert commit(package) == OTHER[:12]
    (package / "commit.txt").write_text(f"{HASH}\n")
    assert commit(package) == HASH[:12]


def test_a_build_without_a_checkout_is_told_its_commit(tmp_path: Path) -> None:
    assert named({"TELVEND_BUILD_COMMIT": HASH}, tmp_path) == HASH
    assert named({}, tmp_path) is None
    with pytest.raises(ValueError, match="not the whole hash"):
        named({"TELVEND_BUILD_COMMIT": "main"}, tmp_path)
