# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A small fake of AWX's API: what modules of awx.awx ask for, kept in memory, with the rules of AWX that they meet. It records each change."""

from __future__ import annotations

import http.server
import json
import re
import threading
import typing as t
import urllib.parse

import surveys

Item = t.Dict[str, t.Any]
# Filters that choose nothing.
_PAGING = ("page_size", "order_by", "format")


class Awx:
    """An AWX with two organizations, each of which has an inventory and a machine credential of the same names, and one a project."""

    def __init__(self, playbooks: t.Sequence[str]) -> None:
        self.playbooks = list(playbooks)
        self.items: dict[str, dict[int, Item]] = {}
        self.links: dict[tuple[str, int, str], list[int]] = {}
        self.changes: list[str] = []
        self.update = {"status": "successful", "failed": False, "content": ""}
        for organization in ("Default", "Other"):
            owner = self.add("organizations", {"name": organization})["id"]
            self.add("inventories", {"name": "Docker hosts", "organization": owner})
            self.add("credentials", {"name": "operator", "organization": owner, "kind": "ssh"})
        self.add("credentials", {"name": "the CA", "organization": owner - 3, "kind": "cloud"})
        self.add("execution_environments", {"name": "docker"})
        self.changes.clear()

    def add(self, kind: str, item: Item) -> Item:
        """Keep a new one."""
        number = 1 + sum(map(len, self.items.values()))
        url = f"/api/v2/{kind}/{number}/"
        related = {name: f"{url}{name}/" for name in ("survey_spec", "update")}
        kept = {"description": "", **item, "id": number, "url": url, "type": kind.rstrip("s"), "related": related, "summary_fields": {}}
        self.items.setdefault(kind, {})[number] = kept
        self.changes.append(f"POST {kind} {item.get('name') or item.get('identifier')}")
        return kept

    def shown(self, item: Item) -> Item:
        """An item as a client sees it."""
        kind = item["url"].split("/")[3]
        summary = {
            "credentials": [self.items["credentials"][one] for one in self.links.get((kind, item["id"], "credentials"), [])],
            "labels": {"results": [self.items["labels"][one] for one in self.links.get((kind, item["id"], "labels"), [])]},
        }
        return {**item, "summary_fields": summary if kind.endswith("job_templates") else {}}

    def find(self, kind: str, query: dict[str, str]) -> list[Item]:
        """Those that the filters choose."""
        kinds = ("job_templates", "workflow_job_templates", "projects") if kind == "unified_job_templates" else (kind,)
        ways = [(key[4:], value) for key, value in query.items() if key.startswith("or__")]
        plain = [(key, value) for key, value in query.items() if not key.startswith("or__") and key not in _PAGING]
        return [
            item
            for one in kinds
            for item in self.items.get(one, {}).values()
            if all(self.fits(item, *pair) for pair in plain) and (not ways or any(self.fits(item, *pair) for pair in ways))
        ]

    def fits(self, item: Item, key: str, value: str) -> bool:
        field, _two, more = key.partition("__")
        if more == "startswith":
            return str(item[field]).startswith(value)
        if more.endswith("name"):
            owner = item if field == "organization" else self.items["projects"].get(item["project"], {})
            found = self.items["organizations"].get(owner.get("organization", 0), {}) if more != "name" or field == "organization" else owner
            return bool(found.get("name") == value)
        return str(item.get(field)) == value

    def answer(self, method: str, path: str, query: dict[str, str], data: Item) -> tuple[int, t.Any]:
        """The status and the body for one request."""
        words = path.strip("/").split("/")[2:]
        kind = words[0]
        if len(words) == 1:
            if method == "GET":
                found = [self.shown(item) for item in self.find(kind, query)]
                return 200, {"count": len(found), "next": None, "previous": None, "results": found}
            return self.create(kind, data)
        item = next((one for items in (self.items.get(kind, {}),) for number, one in items.items() if words[1] == str(number)), None)
        if item is None:
            return 404, {"detail": "Not found."}
        if len(words) == 2:
            if method == "PATCH":
                self.changes.append(f"PATCH {kind} {item.get('name') or item.get('identifier')} {' '.join(sorted(data))}")
                # What a serializer does not have it passes over.
                item.update({key: value for key, value in data.items() if kind != "workflow_approval_templates" or key in ("name", "description", "timeout")})
            return 200, self.shown(item)
        return self.below(method, kind, item, words[2], data)

    def create(self, kind: str, data: Item) -> tuple[int, t.Any]:
        if kind == "job_templates" and data["playbook"] not in self.playbooks:
            return 400, {"playbook": ["Playbook not found for project."]}
        item = self.add(kind, data)
        if kind == "projects":
            ended = {"finished": True, "event_processing_finished": True, "scm_revision": "1", **self.update}
            self.add("project_updates", {"project": item["id"], "name": item["name"], **ended})
            item["scm_revision"] = "1"
        return 201, self.shown(item)

    def below(self, method: str, kind: str, item: Item, name: str, data: Item) -> tuple[int, t.Any]:
        who = f"{kind} {item.get('name') or item.get('identifier')}"
        if name == "playbooks":
            return 200, self.playbooks
        if name == "stdout":
            return 200, {"content": item["content"]}
        if name == "update":
            return 202, self.items["project_updates"][item["id"] + 1]
        if name == "survey_spec":
            if method == "GET":
                return 200, item.get("survey", {})
            if surveys.complaints(data):
                return 400, {"error": surveys.complaints(data)[0]}
            self.changes.append(f"POST {who} survey_spec")
            item["survey"] = data
            return 200, {}
        if name == "create_approval_template":
            made = self.add("workflow_approval_templates", {key: data[key] for key in ("name", "description", "timeout")})
            item["related"]["unified_job_template"] = made["url"]
            return 201, made
        linked = self.links.setdefault((kind, item["id"], name), [])
        if method == "GET":
            return 200, {"count": len(linked), "next": None, "results": [{"id": one} for one in linked]}
        self.changes.append(f"{'DETACH' if data.get('disassociate') else 'ATTACH'} {who} {name}")
        linked.remove(data["id"]) if data.get("disassociate") else linked.append(data["id"])
        return 204, None


def serve(awx: Awx) -> http.server.ThreadingHTTPServer:
    """Answer on a free port of loopback until shutdown()."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer in one piece: head and body apart would wait for each other.
        wbufsize = 1 << 16

        def _do(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length) if length else b""
            status, body = awx.answer(self.command, url.path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)), json.loads(text or "{}"))
            out = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_PATCH = _do

        def log_message(self, *_args: t.Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def plain(text: str) -> str:
    """Output as one line."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


__all__ = ("Awx", "plain", "serve")
