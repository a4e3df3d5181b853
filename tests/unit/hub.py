"""A Hugging Face hub on the loopback address, as far as `upload_folder` and downloads need one.

What is pushed is kept and given out again. Large files travel as LFS does (HF_HUB_DISABLE_XET);
who has another token than the owner's is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "hf_owner"
COMMIT = "c" * 40


@dataclass
class Hub:
    """Its address, what it was sent, and the files of its repositories."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def environment(self, cache: Path, token: str = TOKEN) -> dict[str, str]:
        """Return the variables under which huggingface_hub speaks to this hub."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": token,
            "HF_HOME": str(cache),
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        body, hub = self._body(), self.hub
        if self.path == "/api/validate-yaml":
            return self._json({})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid credentials"}, 401)
        if self.path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            hub.repositories.setdefault(name, {})
            return self._json({"url": f"{hub.url}/{name}"})
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith("safetensors") else "regular" for name in names}
            files = [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]
            return self._json({"files": files})
        if self.path.endswith("/info/lfs/objects/batch"):
            asked = json.loads(body)["objects"]
            actions = [{"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}} for each in asked]
            objects = [{**o, "actions": a} for o, a in zip(asked, actions, strict=True)]
            return self._json({"transfer": "basic", "objects": objects})
        _, _, _, owner, repo, *_ = self.path.split("/")
        files = hub.repositories[f"{owner}/{repo}"]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.objects[value["oid"]]
        url = f"{hub.url}/{owner}/{repo}/commit/{COMMIT}"
        self._json({"commitUrl": url, "commitOid": COMMIT, "hookOutput": ""})

    def do_PUT(self) -> None:
        content, name = self._body(), self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == name
        self.hub.objects[name] = content
        self._send(200, b"")

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            files = self.hub.repositories.get("/".join(parts[2:4]))
            if files is None:
                return self._json({"error": "Repository not found"}, 404)
            if parts[4:5] == ["tree"]:
                sizes = {name: len(content) for name, content in files.items()}
                return self._json(
                    [{"type": "file", "path": n, "size": s, "oid": "0"} for n, s in sizes.items()]
                )
            siblings = [{"rfilename": name} for name in files]
            return self._json({"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": siblings})
        if parts[2:3] == ["resolve"]:
            content = self.hub.repositories["/".join(parts[:2])]["/".join(parts[4:])]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            return self._send(200, content, ETag=etag, X_Repo_Commit=COMMIT)
        self._json({}, 404)

    do_HEAD = do_GET


@contextmanager
def hub() -> Iterator[Hub]:
    """Serve a hub while the block runs."""
    served = Hub()
    handler = type("Handler", (_Handler,), {"hub": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield served
        finally:
            server.shutdown()
