"""Write the commit into what is built: a wheel and an sdist say in `telvend/commit.txt` what they were built from."""

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `commit.txt`, except to an editable installation, which is a checkout that can be asked."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; `version` is `standard` or `editable`."""
        root = Path(self.root)
        spec = importlib.util.spec_from_file_location("commit", root / "src/telvend/kit/commit.py")
        assert spec is not None
        assert spec.loader is not None
        commit = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(commit)
        found = commit.named(os.environ, root)
        if version == "editable" or found is None or (root / "src" / "telvend" / commit.FILE).exists():
            return
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / commit.FILE
        file.write_text(f"{found}\n", "utf-8")
        place = "telvend" if self.target_name == "wheel" else "src/telvend"
        build_data["force_include"][str(file)] = f"{place}/{commit.FILE}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the archive is written."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
