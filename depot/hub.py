"""Models from Hugging Face: what a commit of a repository holds, and its files, fetched once and verified.

Large files are known by the sha256 that the hub tells, small ones by their git hash. HF_ENDPOINT, HF_TOKEN and
`hf auth login` count as for any of its clients. The token goes to the hub alone, and is never written or shown.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx2

from depot.download import AT_ONCE, SILENCE, Download, fetch_all
from depot.errors import DepotError
from depot.objects import Objects
from depot.weights import engine_files
from fleet.manifest import Manifest, WeightsFile, lacking
from fleet.origin import Repository
from fleet.weights import CONFIGS

# huggingface_hub is imported where it is used: half a second, which only those pay who have such a model.
if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Commit:
    """One commit of a repository, and the depot that its files belong into."""

    source: Repository
    id: str
    """40 hex digits."""
    objects: Objects

    def describe(self) -> Manifest:
        """Which files an engine needs. The hub tells names and hashes; what is small is fetched. Raises DepotError."""
        info = self._asked()
        found = {file.rfilename: file for file in info.siblings or ()}
        wanted = [found[name] for name in engine_files(found, str(self.source))]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            contents = list(pool.map(self._small, wanted))
        with self.objects.alone():
            files = tuple(self._described(file, content) for file, content in zip(wanted, contents, strict=True))
        return Manifest(self.id[:12], files, self._config(files), private=bool(info.private))

    def fetch(self, files: Sequence[WeightsFile]) -> None:
        """Makes an object of each file that is not one yet. Raises DepotError with all that cannot be had."""
        downloads = [
            Download(f"{self.source}: {file.path}", self._url(file.path), (file.sha256,), file.size, self._headers)
            for file in files
        ]
        fetch_all(downloads, self.objects, str(self.source))

    def _asked(self) -> ModelInfo:
        from huggingface_hub import HfApi

        with self._told():
            api = HfApi(library_name="raylab")
            info = api.model_info(self.source.name, revision=self.id, files_metadata=True, timeout=SILENCE)
        if info.sha != self.id:
            raise DepotError(f"{self.source}: {_hub()} tells of commit {info.sha}, not {self.id}. Ask another hub.")
        return info

    def _small(self, file: RepoSibling) -> bytes | None:
        """The content of a file that git itself keeps, verified by its git hash; None for a large one."""
        from huggingface_hub.utils import hf_raise_for_status, http_backoff  # type: ignore[attr-defined]

        if file.lfs is not None:
            return None
        with self._told():
            answer = http_backoff("GET", self._url(file.rfilename), headers=self._headers, timeout=SILENCE)
            hf_raise_for_status(answer)
            content: bytes = answer.content
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if found != file.blob_id:
            raise DepotError(
                f"{self.source}: {file.rfilename}: its git hash is {found}, and {file.blob_id} is expected: {_hub()}"
                " sent another file than it listed. Run it again."
            )
        return content

    def _described(self, file: RepoSibling, content: bytes | None) -> WeightsFile:
        """One file with its sha256; its content becomes an object if it is here already."""
        if content is not None:
            sha256 = hashlib.sha256(content).hexdigest()
            partial = self.objects.partial(sha256)
            partial.unlink(missing_ok=True)
            partial.write_bytes(content)
            self.objects.adopt(partial, sha256)
            return WeightsFile(file.rfilename, len(content), sha256)
        if file.lfs is None or not _SHA256.fullmatch(file.lfs.sha256):
            raise DepotError(f"{self.source}: {_hub()} tells no sha256 of {file.rfilename}. Ask another hub.")
        return WeightsFile(file.rfilename, file.lfs.size, file.lfs.sha256)

    def _config(self, files: Sequence[WeightsFile]) -> Mapping[str, Any]:
        by_name = {file.path: file for file in files}
        file = next(by_name[name] for name in CONFIGS if name in by_name)
        if lacking(self.objects.depot, [file]):
            self.fetch([file])
        try:
            config = json.loads(self.objects.path(file.sha256).read_text(encoding="utf-8"))
        except ValueError as problem:
            raise DepotError(f"{self.source}: {file.path} is no JSON: {problem}. Choose another commit.") from problem
        if not isinstance(config, dict):
            raise DepotError(f"{self.source}: {file.path} is not a JSON object. Choose another commit.")
        return config

    def _url(self, path: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.source.name, path, revision=self.id)

    @cached_property
    def _headers(self) -> dict[str, str]:
        """With the token, if there is one."""
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        headers: dict[str, str] = build_hf_headers(library_name="raylab")
        return headers

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong between us and the hub, as a DepotError of one line."""
        from huggingface_hub import errors

        try:
            yield
        except errors.HfHubHTTPError as problem:
            raise DepotError(f"{self.source}: {self._refused(problem)}") from problem
        except errors.OfflineModeIsEnabled as problem:
            fix = "Run it once without, or name a folder on this machine."
            raise DepotError(f"{self.source}: the depot lacks it, and HF_HUB_OFFLINE is set. {fix}") from problem
        except (httpx2.HTTPError, OSError, ValueError) as problem:
            reason = str(problem) or type(problem).__name__
            fix = "Look at this machine's network, set HF_ENDPOINT to a mirror, or name a folder on this machine."
            raise DepotError(f"{self.source}: {_hub()} gives no good answer: {reason}. {fix}") from problem

    def _refused(self, problem: HfHubHTTPError) -> str:
        """What the hub's answer means, and what to do. The answer's own text may name signed URLs: it is left out."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        status = problem.response.status_code
        log_in = "`hf auth login` on this machine (or HF_TOKEN)"
        if isinstance(problem, GatedRepoError):
            return (
                f"{_hub()} gives it only to accounts that accepted its terms (HTTP {status})."
                f" Accept them at {self.source.page}, then give a token of that account by {log_in}."
            )
        if isinstance(problem, RevisionNotFoundError):
            return f"it has no commit {self.id}. {self.source.page}/commits/main shows those that there are."
        if isinstance(problem, RepositoryNotFoundError) or status in (401, 403, 404):
            return (
                f"{_hub()} shows no such repository (HTTP {status})."
                f" Correct its name, or give a token that may read it by {log_in}."
            )
        return f"{_hub()} answered HTTP {status}. Run it again later."


def _hub() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT
