# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What an archive of images holds, from its own table of contents."""

from __future__ import annotations

import json
import os
import tarfile
import typing as t

from .._errors import DrydockError


def archive_contents(path: str) -> list[dict[str, t.Any]]:
    """The images in an archive, each with all ids and names that a daemon may call it by.

    :raises DrydockError: it cannot be read, or is no archive that 'docker save' writes.
    """
    try:
        with tarfile.open(path) as archive:
            manifest, index = _load(archive, "manifest.json"), _load(archive, "index.json")
    except (OSError, EOFError, tarfile.TarError, ValueError) as exc:
        raise DrydockError("image-missing", f"The image archive {path} cannot be read: {exc}.", "Copy one there that 'docker save' has written.") from exc
    if not isinstance(manifest, list):
        raise DrydockError(
            "image-missing", f"The archive {path} has no manifest.json, so it holds no images.", "Copy one there that 'docker save' has written."
        )
    return archive_images(manifest, index or {})


def _load(archive: tarfile.TarFile, name: str) -> t.Any:
    try:
        stream = archive.extractfile(name)
    except KeyError:
        return None
    return json.load(stream) if stream else None


def archive_images(manifest: t.Sequence[t.Mapping[str, t.Any]], index: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The images of a table of contents. Pure.

    A daemon calls an image by the digest of its configuration; with containerd's store by that of an entry of the index.
    """
    digests = [one["digest"] for one in index.get("manifests") or []]
    return [
        {"ids": [f"sha256:{os.path.basename(one['Config']).partition('.')[0]}", *digests], "names": [str(tag) for tag in one.get("RepoTags") or []]}
        for one in manifest
    ]


__all__ = (
    "archive_contents",
    "archive_images",
)
