"""An API server of Kubernetes as far as custom resources go, faithful where a client can tell.

Every write gets the next version of the whole server and is an event; lists come in pages of one version; a watch begins at a
version, says BOOKMARK when it was quiet, ends after `timeoutSeconds`, and answers 410 where the events are compacted away. The
status is a subresource of its own: who writes it changes no generation, and who writes the rest does not change it.

Resources are those of CustomResourceDefinitions: what does not fit the schema is refused with 422, unknown fields are pruned.
What a client may do is a ClusterRole's rules; the rest is answered 403 in the server's own words.
"""

import contextlib
import copy
import datetime
import http.server
import json
import pathlib
import socket
import ssl
import threading
import time
import urllib.parse

import jsonschema
import yaml

from .certificates import Authority
from .gateway import free_port

USER = "system:serviceaccount:sluicegate:sluicegate"
PRESERVE = "x-kubernetes-preserve-unknown-fields"


class Refused(Exception):
    def __init__(self, code, reason, message):
        super().__init__(message)
        self.body = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
        }
        self.code = code


class Definition:
    def __init__(self, manifest):
        spec = manifest["spec"]
        (version,) = spec["versions"]
        self.group, self.version, self.plural = spec["group"], version["name"], spec["names"]["plural"]
        self.kind, self.is_namespaced = spec["names"]["kind"], spec["scope"] == "Namespaced"
        self.schema = version["schema"]["openAPIV3Schema"]
        self.api_version = f"{self.group}/{self.version}"

    def checked(self, thing):
        """The object as it is stored."""
        faults = sorted(jsonschema.Draft7Validator(self.schema).iter_errors(thing), key=str)
        if faults:
            where = ".".join(str(part) for part in faults[0].path)
            name = thing["metadata"]["name"]
            raise Refused(422, "Invalid", f'{self.kind}.{self.group} "{name}" is invalid: {where}: Invalid value: {faults[0].message}')
        head = dict.fromkeys(("apiVersion", "kind", "metadata"), {PRESERVE: True})
        return pruned_by({**self.schema, "properties": {**self.schema["properties"], **head}}, thing)


def pruned_by(schema, value):
    if isinstance(value, dict):
        known = schema.get("properties", {})
        keeps = schema.get(PRESERVE, False)
        return {key: pruned_by(known.get(key, {PRESERVE: True}), inner) for key, inner in value.items() if keeps or key in known}
    if isinstance(value, list):
        return [pruned_by(schema.get("items", {PRESERVE: True}), inner) for inner in value]
    return value


def merge_patched(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), value)
    return result


class ApiServer:
    def __init__(self, directory, definitions, rules):
        """`definitions` and `rules` as their manifests have them."""
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        authority = Authority(self.directory)
        self._pair = authority.issue("kube-apiserver")
        self.ca_file, self.token_file, self.token = authority.file, self.directory / "token", "a-token-of-kubelet"
        self.token_file.write_text(self.token)
        self.definitions = {(d.group, d.version, d.plural): d for d in map(Definition, definitions)}
        self.rules, self.port = rules, free_port()
        self.requests = []  # (verb, resource, user agent), in the order of arrival
        self.refusals = []  # those that the rules do not allow
        self.bookmark_every = 60.0
        self._objects, self._events, self._pages = {}, [], {}
        self._version, self._compacted, self._watch_epoch = 100, 0, 0
        self._changed = threading.Condition()
        self._server, self._sockets = None, set()

    def configuration(self, **more):
        return {"server": f"https://127.0.0.1:{self.port}", "token_file": str(self.token_file), "ca_file": self.ca_file, **more}

    # --- life

    def up(self):
        api, context = self, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pair.certificate, self._pair.key)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 64

            def get_request(self):
                plain, address = self.socket.accept()
                with api._changed:
                    api._sockets.add(plain)
                return plain, address

            def finish_request(self, request, client_address):
                with contextlib.suppress(OSError):  # the handshake is the thread's of the connection
                    wrapped = context.wrap_socket(request, server_side=True)
                    with api._changed:
                        api._sockets.add(wrapped)
                    Handler(wrapped, client_address, self)

        class Handler(Requests):
            server_side = api

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def down(self):
        """As after a crash: connections are cut."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        with self._changed:
            self._watch_epoch += 1
            sockets, self._sockets = self._sockets, set()
            self._changed.notify_all()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._server = None

    close = down

    def compact(self):
        """Forgets events and the pages of lists, as etcd does."""
        with self._changed:
            self._compacted, self._events = self._version, []
            self._pages.clear()

    # --- objects, for the tests

    def apply(self, manifest):
        """As `kubectl apply`: makes an object, or another one of it."""
        definition = self._of(manifest)
        return self.write(definition, manifest["metadata"].get("namespace"), manifest["metadata"]["name"], manifest)

    def delete(self, manifest):
        definition = self._of(manifest)
        self.remove(definition, manifest["metadata"].get("namespace"), manifest["metadata"]["name"])

    def status(self, manifest):
        definition = self._of(manifest)
        key = (definition.plural, manifest["metadata"].get("namespace"), manifest["metadata"]["name"])
        with self._changed:
            return copy.deepcopy(self._objects[key].get("status", {}))

    def asked(self, verb, resource):
        return sum(1 for each in list(self.requests) if each[:2] == (verb, resource))

    def _of(self, manifest):
        for definition in self.definitions.values():
            if (definition.kind, definition.api_version) == (manifest["kind"], manifest["apiVersion"]):
                return definition
        raise KeyError(manifest["kind"])

    # --- what requests do

    def allow(self, verb, group, resource, name):
        for rule in self.rules:
            if verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"]:
                return
        self.refusals.append((verb, resource))
        of = f'{resource} "{name}" is' if name else f"{resource} is"
        what = f'{of} forbidden: User "{USER}" cannot {verb} resource "{resource}" in API group "{group}" at the cluster scope'
        raise Refused(403, "Forbidden", what.replace(resource, f"{resource}.{group}", 1))

    def find(self, definition, namespace, name):
        thing = self._objects.get((definition.plural, namespace, name))
        if thing is None:
            raise Refused(404, "NotFound", f'{definition.plural}.{definition.group} "{name}" not found')
        return thing

    def write(self, definition, namespace, name, thing, is_status=False):
        key = (definition.plural, namespace, name)
        with self._changed:
            before = self._objects.get(key)
            now = definition.checked(copy.deepcopy(thing))
            if before is not None:
                now = {**before, "status": now.get("status")} if is_status else {**now, "status": before.get("status")}
                if now["status"] is None:
                    del now["status"]
                if all(now.get(part) == before.get(part) for part in ("spec", "status")):
                    return before  # what changes nothing is no event
            else:
                now.pop("status", None)
            self._version += 1
            since = before["metadata"] if before else {
                "uid": f"uid-{self._version}", "generation": 0,
                "creationTimestamp": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            now["metadata"] = {
                **now["metadata"], "uid": since["uid"], "creationTimestamp": since["creationTimestamp"], "resourceVersion": str(self._version),
                "generation": since["generation"] + (not is_status), "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
            }
            self._objects[key] = now
            self._events.append((self._version, key, "MODIFIED" if before else "ADDED", now))
            self._changed.notify_all()
            return now

    def remove(self, definition, namespace, name):
        with self._changed:
            gone = copy.deepcopy(self.find(definition, namespace, name))
            del self._objects[(definition.plural, namespace, name)]
            self._version += 1
            gone["metadata"]["resourceVersion"] = str(self._version)
            self._events.append((self._version, (definition.plural, namespace, name), "DELETED", gone))
            self._changed.notify_all()
            return gone

    def list(self, definition, namespace, limit, token):
        with self._changed:
            if token:
                if token not in self._pages:
                    raise Refused(410, "Expired", "The provided continue parameter is too old to display a consistent list result.")
                version, items = self._pages.pop(token)
            else:
                version = self._version
                items = [
                    thing for (plural, of, _), thing in sorted(self._objects.items(), key=lambda item: str(item[0]))
                    if plural == definition.plural and namespace in (None, of)
                ]
            metadata = {"resourceVersion": str(version)}
            if limit and len(items) > limit:
                metadata |= {"continue": f"page-{version}-{len(items)}", "remainingItemCount": len(items) - limit}
                self._pages[metadata["continue"]] = (version, items[limit:])
                items = items[:limit]
            return {"kind": f"{definition.kind}List", "apiVersion": definition.api_version, "metadata": metadata, "items": items}

    def watch(self, definition, namespace, since, bookmarks, seconds):
        """Lines, until the watch is over."""
        epoch, until = self._watch_epoch, time.monotonic() + seconds
        with self._changed:
            if since < self._compacted:
                raise Refused(410, "Expired", f"too old resource version: {since} ({self._compacted})")
        yield b""
        quiet_until = time.monotonic() + self.bookmark_every
        while True:
            with self._changed:
                if self._watch_epoch != epoch:
                    return
                news = [(kind, thing) for version, key, kind, thing in self._events
                        if version > since and key[0] == definition.plural and namespace in (None, key[1])]
                if since < self._compacted:
                    news = None
                else:
                    since = self._version
                now = time.monotonic()
                if not news and news is not None and now < min(until, quiet_until):
                    self._changed.wait(min(until, quiet_until) - now)
                    continue
            if news is None:
                gone = Refused(410, "Expired", "too old resource version")
                yield json.dumps({"type": "ERROR", "object": gone.body}).encode() + b"\n"
                return
            for kind, thing in news:
                yield json.dumps({"type": kind, "object": thing}).encode() + b"\n"
            if time.monotonic() >= quiet_until:
                quiet_until = time.monotonic() + self.bookmark_every
                if bookmarks:
                    mark = {"kind": definition.kind, "apiVersion": definition.api_version, "metadata": {"resourceVersion": str(since)}}
                    yield json.dumps({"type": "BOOKMARK", "object": mark}).encode() + b"\n"
            if time.monotonic() >= until:
                return


class Requests(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_side = None

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        with contextlib.suppress(OSError, ssl.SSLError):
            super().handle_one_request()
            return
        self.close_connection = True

    def answer(self, code, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_any(self):
        api, body = self.server_side, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.headers.get("Authorization") != f"Bearer {api.token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            self.route(api, body)
        except Refused as refused:
            self.answer(refused.code, refused.body)

    do_GET = do_PATCH = do_DELETE = do_PUT = do_POST = do_any

    def route(self, api, body):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        parts = [urllib.parse.unquote(part) for part in url.path.split("/")]
        namespace, rest = None, parts[4:]
        if parts[4:5] == ["namespaces"]:
            namespace, rest = parts[5], parts[6:]
        definition = api.definitions.get((*parts[2:4], *rest[:1])) if parts[1] == "apis" and rest else None
        if definition is None or len(rest) > 3 or rest[2:] not in ([], ["status"]):
            return self.answer(404, b"404 page not found\n")  # the mux's own words, no Status
        name = rest[1] if len(rest) > 1 else None
        is_status = len(rest) == 3
        verb = {"PATCH": "patch", "DELETE": "delete", "PUT": "update", "POST": "create"}.get(self.command)
        verb = verb or ("get" if name else "watch" if query.get("watch") in ("1", "true") else "list")
        resource = definition.plural + ("/status" if is_status else "")
        api.requests.append((verb, resource, self.headers.get("User-Agent", "")))
        api.allow(verb, definition.group, resource, name)
        if verb == "list":
            return self.answer(200, api.list(definition, namespace, int(query.get("limit", 0)), query.get("continue")))
        if verb == "watch":
            return self.stream(api.watch(
                definition, namespace, int(query.get("resourceVersion") or 0), query.get("allowWatchBookmarks") == "true",
                float(query.get("timeoutSeconds", 1800)),
            ))
        if verb == "get":
            return self.answer(200, api.find(definition, namespace, name))
        if verb == "delete":
            return self.answer(200, api.remove(definition, namespace, name))
        if verb == "patch":
            return self.patch(api, definition, namespace, name, is_status, query, body)
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def patch(self, api, definition, namespace, name, is_status, query, body):
        kind, patch = self.headers.get("Content-Type"), yaml.safe_load(body)
        if kind == "application/apply-patch+yaml":
            if not query.get("fieldManager"):
                raise Refused(400, "BadRequest", "fieldManager is required for apply patch")
            is_new = (definition.plural, namespace, name) not in api._objects
            return self.answer(201 if is_new else 200, api.write(definition, namespace, name, patch, is_status))
        if kind != "application/merge-patch+json":
            raise Refused(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")
        before = api.find(definition, namespace, name)
        self.answer(200, api.write(definition, namespace, name, merge_patched(before, patch), is_status))

    def stream(self, lines):
        next(lines)  # what refuses the watch does so before the head is sent
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for line in lines:
            # In two pieces, as networks cut them.
            for piece in filter(None, (line[: len(line) // 2], line[len(line) // 2 :])):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
