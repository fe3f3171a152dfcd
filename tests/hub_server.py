"""A hub of models over a real socket: as much of the Hugging Face hub's protocol as pushing and pulling need.

https://huggingface.co/docs/hub/api, and git-lfs's batch protocol for the files of weights.
"""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_right"
OF_OTHERS = "hf_of_others"
"""A token that may read alone."""


class Hub(ThreadingHTTPServer):
    """Repositories by id, each with its commits; what was asked stands in `asked`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.storage = f"http://localhost:{self.server_port}/large/"  # another host, as the hub's files of weights
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.private: dict[str, bool] = {}
        self.gated: set[str] = set()
        self.cuts_downloads_of: set[str] = set()
        self.cuts_uploads = False
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Adds a commit, and says its name."""
        known = self.commits.setdefault(repository, [])
        all_files = (known[-1][1] if known else {}) | files
        name = hashlib.sha1(repr((repository, len(known))).encode()).hexdigest()
        known.append((name, all_files))
        return name

    def files_of(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """A commit and its files."""
        for name, files in reversed(self.commits[repository]):
            if revision in (name, "main"):
                return name, files
        return None


def mode(path: str, there: dict[str, bytes]) -> dict[str, Any]:
    """How a file is to be uploaded, and the name of what is there already."""
    large = path.endswith(".safetensors")
    said = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
    if content := there.get(path):
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content)
        said["oid"] = (hashlib.sha256(content) if large else blob).hexdigest()
    return said


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self.path):
            repository, revision = match[1], match[2] or "main"
            if (found := self.found(repository, revision)) is not None:
                siblings = [{"rfilename": file} for file in found[1]]
                self.say(200, {"id": repository, "sha": found[0], "siblings": siblings})
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            self.resolve(*match.groups())
        elif match := re.fullmatch(r"/large/(.+)", self.path):
            content = self.server.large[match[1]]
            self.give(content, cut=match[1] in self.server.cuts_downloads_of)
        else:
            self.say(404, {})

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if self.path == "/api/validate-yaml":
            return self.say(200, {"errors": [], "warnings": []})
        if token not in (TOKEN, OF_OTHERS):
            return self.say(401, {"error": "Invalid credentials"}, "Invalid credentials in Authorization header")
        if token == OF_OTHERS:
            return self.say(403, {"error": "You don't have the rights to create a model under this namespace"})
        if self.path == "/api/repos/create":
            made = json.loads(body)
            repository = f"{made['organization']}/{made['name']}"
            if repository in self.server.commits:
                url = f"{self.server.address}/{repository}"
                return self.say(409, {"error": "You already created this model repo", "url": url})
            self.server.commit(repository, {".gitattributes": b""})
            self.server.private[repository] = made.get("visibility") == "private"
            return self.say(200, {"url": f"{self.server.address}/{repository}"})
        if match := re.fullmatch(r"/([^/]+/[^/]+).git/info/lfs/objects/batch", self.path):
            asked = json.loads(body)["objects"]
            objects = [one | {"actions": {"upload": {"href": self.server.storage + one["oid"]}}} for one in asked]
            return self.say(200, {"transfer": "basic", "objects": objects})
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", self.path)
        assert match is not None, self.path
        if match[2] == "preupload":
            there = self.server.commits[match[1]][-1][1]
            files = [mode(file["path"], there) for file in json.loads(body)["files"]]
            return self.say(200, {"files": files})
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        name = self.server.commit(match[1], files)
        return self.say(200, {"commitUrl": f"{self.server.address}/{match[1]}/commit/{name}", "commitOid": name})

    def do_PUT(self) -> None:
        self.server.asked.append(f"PUT {self.path}")
        if self.server.cuts_uploads:
            self.connection.close()
            self.close_connection = True
            return
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.large[self.path.rpartition("/")[2]] = content
        self.say(200, {})

    def found(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """A commit that is there; otherwise the answer is given."""
        if repository not in self.server.commits:
            self.say(404, {}, code="RepoNotFound")
        elif (found := self.server.files_of(repository, revision)) is None:
            self.say(404, {}, code="RevisionNotFound")
        else:
            return found
        return None

    def resolve(self, repository: str, revision: str, file: str) -> None:
        found = self.found(repository, revision)
        if found is None:
            return
        if repository in self.server.gated:
            self.say(401, {}, code="GatedRepo")
        elif file not in found[1]:
            self.say(404, {}, code="EntryNotFound")
        elif file.endswith(".safetensors"):
            content = found[1][file]
            oid = hashlib.sha256(content).hexdigest()
            self.server.large[oid] = content
            if repository in self.server.cuts_downloads_of:
                self.server.cuts_downloads_of.add(oid)
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
            self.head(302, 0, {"Location": self.server.storage + oid, "X-Repo-Commit": found[0], **linked})
        else:
            self.give(found[1][file], found[0])

    def give(self, content: bytes, commit: str | None = None, cut: bool = False) -> None:
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"'} | ({"X-Repo-Commit": commit} if commit else {})
        self.head(200, len(content), headers)
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    def say(self, status: int, content: dict[str, Any], message: str = "", code: str = "") -> None:
        body = json.dumps(content).encode()
        headers = {"X-Error-Message": message} if message else {}
        headers |= {"X-Error-Code": code} if code else {}
        self.head(status, len(body), {"Content-Type": "application/json", **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass
