"""The sources: AWS Secrets Manager, Vault and OpenBao, a file with the environment as its fallback."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable
from unittest import mock

from keyroll import RotatableSecret, SecretUnavailable, SourceError, Versioned
from keyroll.sources import fetch_from_aws_secrets_manager, fetch_from_env_with_file_watch, fetch_from_vault
from keyroll import _worker
from keyroll.sources import _file
from tests.support import Records, a_value, run_program, until

try:
    import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:
    boto3 = None

HOUR = 3600.0
OLD = time.time() - 1000


class Server:
    """An HTTP server on 127.0.0.1 whose answers the test chooses."""

    def __init__(self, test: unittest.TestCase, tls: ssl.SSLContext | None = None) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
                status, headers, answer = outer.answer
                self.send_response(status)
                for name, text in headers.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = reply

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        test.addCleanup(self._server.server_close)
        test.addCleanup(self._server.shutdown)

    def says(self, status: int, document: object, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answer = (status, headers, body)


class FakeClient:
    """Stands in for boto3's client: it answers, or raises, what the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[dict[str, str]] = []

    def get_secret_value(self, **asked: str) -> Any:
        self.asked.append(asked)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class AwsError(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.response = {"Error": {"Code": code, "Message": text}}


class Aws(unittest.TestCase):
    def test_text_and_bytes_come_with_their_version(self) -> None:
        value = a_value()
        client = FakeClient({"SecretString": f"{value}\n", "VersionId": "id-1"})
        fetch = fetch_from_aws_secrets_manager("prod/key", client=client)
        self.assertEqual(fetch(), Versioned(value, "id-1"))
        self.assertEqual(client.asked, [{"SecretId": "prod/key", "VersionStage": "AWSCURRENT"}])
        client.answer = {"SecretBinary": value.encode()}
        self.assertEqual(fetch(), Versioned(value))

    def test_a_field_of_a_document_is_picked(self) -> None:
        value = a_value()
        client = FakeClient({"SecretString": json.dumps({"password": value, "port": 1})})
        self.assertEqual(fetch_from_aws_secrets_manager("k", client=client, json_key="password")().value, value)
        for answer, name in ((json.dumps({"password": value}), "user"), (json.dumps({"user": 1, "p": value}), "user"), (value, "user"), ("[" * 100_000 + value, "user")):
            client.answer = {"SecretString": answer}
            with self.assertRaises(SourceError) as caught:
                fetch_from_aws_secrets_manager("k", client=client, json_key=name)()
            self.assertNotIn(value, str(caught.exception))

    def test_a_rollback_is_followed(self) -> None:
        first, second = {"SecretString": a_value(), "VersionId": "1"}, {"SecretString": a_value(), "VersionId": "2"}
        client = FakeClient(first)
        with RotatableSecret("K", fetch_from_aws_secrets_manager("k", client=client), HOUR) as key:
            for answer in (second, first):
                client.answer = answer
                self.assertTrue(key.refresh())
                self.assertEqual((key.value, key.version), (answer["SecretString"], answer["VersionId"]))

    def test_errors_show_the_code_and_never_the_text(self) -> None:
        value = a_value()
        for error, shown in (
            (AwsError("ResourceNotFoundException", value), "ResourceNotFoundException"),
            (AwsError(f"odd {value}", value), "AwsError"), (ConnectionError(value), "ConnectionError"),
        ):
            with self.assertRaises(SourceError) as caught:
                fetch_from_aws_secrets_manager("prod/key", client=FakeClient(error))()
            self.assertEqual(str(caught.exception), f"AWS Secrets Manager, prod/key: {shown}")
            self.assertIsNone(caught.exception.__context__)
        with self.assertRaises(SourceError):
            fetch_from_aws_secrets_manager("prod/key", client=FakeClient({}))()
        with self.assertRaises(ValueError):
            fetch_from_aws_secrets_manager("")

    def test_without_boto3_the_error_says_what_to_install(self) -> None:
        with mock.patch.dict(sys.modules, {"boto3": None}), Records():
            fetch = fetch_from_aws_secrets_manager("prod/key")
            with self.assertRaises(SourceError) as caught:
                fetch()
            self.assertIn("pip install boto3", str(caught.exception))
            with RotatableSecret("K", fetch, HOUR) as key, self.assertRaises(SecretUnavailable) as unavailable:
                _ = key.value
            self.assertIn("pip install boto3", unavailable.exception.reason)

    @unittest.skipUnless(boto3, "boto3 is not installed")
    def test_the_real_client_understands_the_answers(self) -> None:
        server, value = Server(self), a_value()
        server.says(200, {"Name": "k", "VersionId": "a" * 32, "SecretString": value})
        given = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
        with mock.patch.dict(os.environ, given):
            fetch = fetch_from_aws_secrets_manager("prod/key", region_name="eu-central-1")
            self.assertEqual(fetch(), Versioned(value, "a" * 32))
            self.assertEqual(json.loads(server.seen[0][2]), {"SecretId": "prod/key", "VersionStage": "AWSCURRENT"})
            server.says(400, {"__type": "ResourceNotFoundException", "Message": value})
            with self.assertRaises(SourceError) as caught:
                fetch()
        self.assertEqual(str(caught.exception), "AWS Secrets Manager, prod/key: ResourceNotFoundException")


class Vault(unittest.TestCase):
    def setUp(self) -> None:
        self.server, self.value, self.token = Server(self), a_value(), a_value("t")
        patched = mock.patch.dict(os.environ)
        patched.start()
        self.addCleanup(patched.stop)
        for name in [name for name in os.environ if name.startswith("VAULT_")]:
            del os.environ[name]

    def source(self, **options: Any) -> Callable[[], Versioned]:
        return fetch_from_vault("app/key", url=self.server.url, token=self.token, **options)

    def says(self, value: object, version: object = 3, **rest: object) -> None:
        self.server.says(200, {"data": {"data": {"value": value}, "metadata": {"version": version, **rest}}})

    def failure(self, fetch: Callable[[], Versioned]) -> str:
        with self.assertRaises(SourceError) as caught:
            fetch()
        self.assertNotIn(self.value, str(caught.exception))
        self.assertNotIn(self.token, str(caught.exception))
        return str(caught.exception)

    def test_a_value_comes_with_its_number(self) -> None:
        self.says(self.value)
        self.assertEqual(self.source(namespace="team")(), Versioned(self.value, "3", 3))
        path, headers, _ = self.server.seen[0]
        self.assertEqual((path, headers["x-vault-token"], headers["x-vault-namespace"]), ("/v1/secret/data/app/key", self.token, "team"))

    def test_address_and_token_come_from_the_environment(self) -> None:
        self.says(self.value)
        os.environ.update(VAULT_ADDR=self.server.url, VAULT_TOKEN=self.token)
        self.assertEqual(fetch_from_vault("k")().value, self.value)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "token")
            file.write_text("in-a-file\n")
            del os.environ["VAULT_TOKEN"]
            os.environ["VAULT_TOKEN_FILE"] = str(file)
            for token in (None, file, lambda: "in-a-file", RotatableSecret("T", lambda: "in-a-file", HOUR)):
                fetch_from_vault("k", token=token)()
                self.assertEqual(self.server.seen[-1][1]["x-vault-token"], "in-a-file")

    def test_an_older_version_is_refused_and_a_rollback_is_a_new_one(self) -> None:
        self.says(self.value, 7)
        with RotatableSecret("K", self.source(), HOUR) as key, Records():
            self.says(a_value(), 6)
            self.assertFalse(key.refresh())
            self.assertEqual((key.value, key.version), (self.value, "7"))
            self.says(a_value(), 8)
            self.assertTrue(key.refresh())

    def test_a_deleted_version_is_told(self) -> None:
        self.server.says(404, {"data": {"data": None, "metadata": {"version": 4, "deletion_time": "2026-01-01T00:00:00Z"}}})
        self.assertIn("version 4 was deleted", self.failure(self.source()))

    def test_answers_that_are_no_value_are_told_by_their_status(self) -> None:
        for status, document, shown in (
            (403, {"errors": [self.value]}, "403 (the token may not"), (404, {"errors": []}, "404 (no such secret)"),
            (503, {"errors": [self.value]}, "the server answered 503"), (200, self.value.encode(), "no text field value"),
            (200, {"data": {"value": self.value}}, "no text field value"), (200, b"[" * 100_000, "no text field value"),
            (200, {"data": {"data": {"value": self.value}, "metadata": {}}}, "is the store a KV version 2?"),
            (200, {"data": {"data": {"value": 7}, "metadata": {"version": 1}}}, "no text field value"),
            (200, b"x" * (1024 * 1024 + 10), "no answer (ValueError)"), (200, None, "no text field value"),
        ):
            self.server.says(status, document)
            self.assertIn(shown, self.failure(self.source()))

    def test_a_redirect_does_not_carry_the_token_away(self) -> None:
        other = Server(self)
        self.server.says(307, {}, Location=f"{other.url}/v1/secret/data/app/key")
        self.assertIn("the server answered 307", self.failure(self.source()))
        self.assertEqual(other.seen, [])

    def test_a_server_that_is_away_or_never_ends_is_told(self) -> None:
        self.assertIn("no answer (ConnectionRefusedError)", self.failure(fetch_from_vault("k", url="http://127.0.0.1:1", token="t")))

    def test_an_answer_that_comes_drop_by_drop_is_ended(self) -> None:
        self.says(self.value)
        body = self.server.answer[2]
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                try:
                    for letter in body:
                        connection.sendall(bytes([letter]))
                        time.sleep(0.05)
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.assertIn("no answer (TimeoutError)", self.failure(fetch_from_vault("k", url=url, token=self.token, timeout=0.3)))

    def test_headers_that_come_drop_by_drop_are_ended(self) -> None:
        self.says(self.value)
        body = self.server.answer[2]
        # Ten seconds of drops, each in time for a limit that begins again with each one, and then a good answer.
        start = b"HTTP/1.1 200 OK\r\nX-Drops: " + b"x" * 100
        for plain in (True, False):
            ended = threading.Event()
            url, trusted = self.dripping(ended, start, b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body, plain)
            with mock.patch.dict(os.environ, {"VAULT_CACERT": trusted}):
                fetch = fetch_from_vault("k", url=url, token=self.token, timeout=0.4)
                self.assertIn("no answer (TimeoutError)", self.failure(fetch))
                self.assertFalse(ended.is_set(), "it waited for the last drop")

    def dripping(self, ended: threading.Event, drops: bytes, rest: bytes, plain: bool) -> tuple[str, str]:
        """A server that sends ``drops`` slowly, and then sets ``ended``; its address and its certificate's file."""
        certificate, context = "", None
        if not plain:
            certificate, context = self.tls()
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True)
                connection.recv(65536)
                for drop in drops:
                    connection.sendall(bytes([drop]))
                    time.sleep(0.1)
                ended.set()
                connection.sendall(rest)
            except OSError:
                pass
            finally:
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"http{'' if plain else 's'}://127.0.0.1:{listener.getsockname()[1]}", certificate

    def tls(self) -> tuple[str, ssl.SSLContext]:
        """A certificate for 127.0.0.1, as the path of its file and as the context of a server."""
        if not shutil.which("openssl"):
            self.skipTest("there is no openssl to make a certificate with")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        key, certificate = f"{folder.name}/key", f"{folder.name}/certificate"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, capture_output=True, timeout=60,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return certificate, context

    def test_the_certificate_of_the_server_is_verified(self) -> None:
        certificate, context = self.tls()
        server = Server(self, context)
        self.says(self.value)
        server.answer = self.server.answer
        fetch = fetch_from_vault("k", url=server.url, token=self.token)
        self.assertIn("no answer (SSLCertVerificationError)", self.failure(fetch))
        self.assertEqual(server.seen, [])
        os.environ["VAULT_CACERT"] = certificate
        self.assertEqual(fetch().value, self.value)

    def test_the_token_never_goes_over_plain_http_to_another_machine(self) -> None:
        for url in ("http://vault.example:8200", "ftp://x", "https://", "http://user:pw@127.0.0.1", "vault:8200", "http://[", "http://127.0.0.1.example"):
            with self.assertRaises(ValueError, msg=url):
                fetch_from_vault("k", url=url)
        fetch_from_vault("k", url="http://vault.example:8200", plain=True)
        os.environ["VAULT_ADDR"] = "http://vault.example:8200"
        self.assertIn("plain http", self.failure(fetch_from_vault("k", token="t")))

    def test_a_proxy_never_sees_the_token_for_this_machine(self) -> None:
        proxy = Server(self)
        self.says(self.value)
        with mock.patch.dict(os.environ, {"http_proxy": proxy.url, "HTTP_PROXY": proxy.url, "no_proxy": "", "NO_PROXY": ""}):
            self.assertEqual(self.source()().value, self.value)
        self.assertEqual(proxy.seen, [])

    def test_wrong_arguments_and_missing_settings_are_told(self) -> None:
        for path, options in (("", {}), ("a/../b", {}), ("k", {"mount": "../sys"}), ("k", {"timeout": 0}), ("k", {"timeout": "5"})):
            with self.assertRaises(ValueError):
                fetch_from_vault(path, **options)  # type: ignore[arg-type]
        self.assertIn("set VAULT_ADDR", self.failure(fetch_from_vault("k")))
        os.environ["HOME"] = "/nonexistent"
        self.assertIn("set VAULT_TOKEN", self.failure(fetch_from_vault("k", url=self.server.url)))
        for token in ("", "a\nb", "ü"):
            self.assertIn("the token is", self.failure(fetch_from_vault("k", url=self.server.url, token=token)))
        self.assertNotIn(self.token, repr(self.source()))


class FileCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "key"
        self.variable = f"KEYROLL_TEST_{secrets.token_hex(4).upper()}"
        patched = mock.patch.dict(os.environ)
        patched.start()
        self.addCleanup(patched.stop)

    def source(self) -> Any:
        return fetch_from_env_with_file_watch(self.variable, self.path)

    def key(self, *rest: Any) -> RotatableSecret:
        key = RotatableSecret("K", self.source(), HOUR, *rest)
        self.addCleanup(key.stop)
        return key

    def move_in(self, value: str) -> None:
        new = self.folder / f".{secrets.token_hex(4)}"
        new.write_text(value)
        os.replace(new, self.path)


class Files(FileCase):
    def test_the_file_goes_before_the_environment(self) -> None:
        os.environ[self.variable] = "from-the-environment"
        self.path.write_text("from-the-file\n")
        self.assertEqual(self.source()(), "from-the-file")
        self.assertEqual(fetch_from_env_with_file_watch(self.variable)(), "from-the-environment")

    def test_in_a_folder_the_file_is_named_like_the_variable(self) -> None:
        (self.folder / self.variable).write_text("from-the-folder")
        self.assertEqual(fetch_from_env_with_file_watch(self.variable, self.folder)(), "from-the-folder")

    def test_only_one_line_end_is_dropped(self) -> None:
        self.path.write_bytes(b"\xef\xbb\xbf two-ends \r\n\r\n")
        self.assertEqual(self.source()(), " two-ends \r\n")
        self.assertEqual(self.key().value, " two-ends \r\n")

    def test_without_both_the_error_names_both(self) -> None:
        with self.assertRaises(SourceError) as caught:
            self.source()()
        self.assertEqual(str(caught.exception), f"there is no file {self.path}, and the environment variable {self.variable} is not set")

    def test_what_is_no_file_of_a_value_is_told(self) -> None:
        value = a_value()
        os.environ[self.variable] = "from-the-environment"
        os.mkfifo(self.folder / "pipe")
        (self.folder / "large").write_text(value * 4096)
        (self.folder / "empty").write_text("\n")
        (self.folder / "binary").write_bytes(value.encode() + b"\xff")
        (self.folder / "loop").symlink_to("loop")
        for name, shown in (("pipe", "is not a file"), ("large", "larger than 64 KiB"), ("empty", "is empty"), ("binary", "not UTF-8"), ("loop", "ELOOP")):
            with self.assertRaises(Exception) as caught:
                fetch_from_env_with_file_watch(self.variable, self.folder / name)()
            self.assertIn(shown, str(caught.exception))
            self.assertNotIn(value, str(caught.exception))

    def test_wrong_arguments_are_refused(self) -> None:
        for arguments in (("",), ("A=B",), (None,), ("A", ""), ("A", "a\x00b")):
            with self.assertRaises((ValueError, TypeError)):
                fetch_from_env_with_file_watch(*arguments)  # type: ignore[arg-type]

    def test_a_file_that_never_was_gives_no_warning_and_one_that_went_gives_one(self) -> None:
        os.environ[self.variable] = "from-the-environment"
        fetch = self.source()
        with Records() as seen:
            self.assertEqual(fetch(), "from-the-environment")
            self.assertEqual(seen.texts(logging.WARNING), [])
            self.path.write_text("from-the-file")
            self.assertEqual(fetch(), "from-the-file")
            self.path.unlink()
            for _ in range(3):
                self.assertEqual(fetch(), "from-the-environment")
            self.assertEqual(len(seen.texts(logging.WARNING)), 1)

    def test_an_empty_or_unreadable_file_leaves_the_last_good_value(self) -> None:
        value = a_value()
        self.path.write_text(value)
        os.environ[self.variable] = a_value("env")
        key = self.key()
        self.path.write_text("")
        with Records():
            self.assertFalse(key.refresh())
            self.assertEqual(key.value, value)
            self.path.unlink()
            self.path.mkdir()
            self.path.joinpath(self.variable).mkdir()
            self.assertFalse(key.refresh())
        self.assertEqual(key.value, value)


    def test_descriptors_that_are_exhausted_leave_the_last_good_value(self) -> None:
        program = """
import logging, os, resource, sys
from keyroll import RotatableSecret
from keyroll.sources import fetch_from_env_with_file_watch
logging.disable(logging.CRITICAL)
open(sys.argv[1], "w").write("value-one")
key = RotatableSecret("K", fetch_from_env_with_file_watch("X", sys.argv[1]), 3600)
open(sys.argv[1] + ".new", "w").write("value-two"); os.replace(sys.argv[1] + ".new", sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True: taken.append(os.dup(0))
except OSError: pass
print(key.refresh(), key.value, key._reason[-8:])
for each in taken: os.close(each)
print(key.refresh(), key.value)
"""
        ended = run_program(program, str(self.path))
        self.assertEqual(ended.stdout.splitlines(), ["False value-one (EMFILE)", "True value-two"], ended.stderr)


class HalfWritten(FileCase):
    """``time.sleep`` between two looks is where the test writes: what stands between the looks is never a guess."""

    def during(self, *steps: Callable[[], object]) -> Any:
        waiting = list(steps)

        def sleep(_: float) -> None:
            if waiting:
                waiting.pop(0)()

        return mock.patch.object(_file.time, "sleep", sleep)

    def test_a_file_that_is_written_in_two_parts_is_never_taken_by_half(self) -> None:
        self.path.write_text("old-value")
        fetch = self.source()
        fetch()
        self.path.write_text("new-")

        def append() -> None:
            with self.path.open("a") as file:
                file.write("value")

        with self.during(append, lambda: None, lambda: None):
            self.assertEqual(fetch(), "new-value")

    def test_a_new_file_that_is_just_being_written_is_looked_at_twice(self) -> None:
        self.path.write_text("new-")
        with self.during(lambda: self.path.write_text("new-value")):
            self.assertEqual(self.source()(), "new-value")

    def test_a_file_that_comes_back_in_two_parts_is_never_taken_by_half(self) -> None:
        os.environ[self.variable] = "from-the-environment"
        fetch = self.source()
        fetch()
        self.path.write_text("new-")
        with self.during(lambda: self.path.write_text("new-value")):
            self.assertEqual(fetch(), "new-value")

    def test_a_file_that_is_missing_for_a_moment_is_not_gone(self) -> None:
        os.environ[self.variable] = "from-the-environment"
        self.path.write_text("old-value")
        fetch = self.source()
        fetch()
        self.path.unlink()
        with self.during(lambda: self.path.write_text("new-value")):
            self.assertEqual(fetch(), "new-value")

    def test_the_same_bytes_count_and_not_the_times_alone(self) -> None:
        self.path.write_text("value-a")
        fetch = self.source()
        fetch()
        status = os.stat(self.path)

        def swap() -> None:
            self.path.write_text("value-c")
            os.utime(self.path, ns=(status.st_atime_ns, status.st_mtime_ns))

        self.path.write_text("value-b")
        with self.during(swap):
            self.assertEqual(fetch(), "value-c")

    def test_a_file_that_never_comes_to_rest_is_told_and_the_looks_have_an_end(self) -> None:
        self.path.write_text("old-value")
        fetch = self.source()
        fetch()
        looks = [0]

        def again(_: float) -> None:
            looks[0] += 1
            self.path.write_text(f"value-{looks[0]}")

        again(0)
        with mock.patch.object(_file.time, "sleep", again), self.assertRaises(SourceError) as caught:
            fetch()
        self.assertIn("still being written", str(caught.exception))
        self.assertLessEqual(looks[0], _file.LOOKS_MAX)

    def test_a_file_that_was_moved_into_place_counts_at_once(self) -> None:
        self.path.write_text("old-value")
        os.utime(self.path, (OLD, OLD))
        fetch = self.source()
        fetch()
        new = self.folder / "new"
        new.write_text("new-value")
        os.utime(new, (OLD, OLD))
        os.replace(new, self.path)
        with mock.patch.object(_file.time, "sleep", side_effect=AssertionError("it waited")):
            self.assertEqual(fetch(), "new-value")
            self.assertEqual(fetch(), "new-value")

    def test_a_swapped_folder_counts_at_once(self) -> None:
        for name in ("one", "two"):
            (self.folder / name).mkdir()
            # Never touched after it was written: nothing about the file itself says that it is whole.
            (self.folder / name / "key").write_text(f"value-{name}")
        (self.folder / "..data").symlink_to("one")
        fetch = fetch_from_env_with_file_watch(self.variable, self.folder / "..data" / "key")
        self.assertEqual(fetch(), "value-one")
        (self.folder / "..new").symlink_to("two")
        os.replace(self.folder / "..new", self.folder / "..data")
        with mock.patch.object(_file.time, "sleep", side_effect=AssertionError("it waited")):
            self.assertEqual(fetch(), "value-two")

    def test_a_change_during_a_look_is_seen(self) -> None:
        self.path.write_text("old-value")
        read = _file._read

        def slow(descriptor: int) -> bytes:
            data = read(descriptor)
            self.move_in("new-value")
            return data

        with mock.patch.object(_file, "_read", slow):
            self.assertIsNone(_file._look(str(self.path)))


class Watching(FileCase):
    def test_every_kind_of_change_ends_in_the_newest_whole_value(self) -> None:
        os.environ[self.variable] = a_value("env")
        self.path.write_text(a_value())
        told: list[str] = []
        key = self.key(told.append)

        def written(value: str) -> None:
            with open(self.path, "w") as file:
                for letter in value:
                    file.write(letter)
                    file.flush()

        def returned(value: str) -> None:
            self.path.unlink()
            self.path.write_text(value)

        def gone(_: str) -> None:
            self.path.unlink()

        with Records():
            for change in (self.move_in, written, returned, self.move_in, returned):
                value = a_value()
                change(value)
                until(lambda: key.value == value)
            gone("")
            until(lambda: key.value == os.environ[self.variable])
            self.move_in(value := a_value())
            until(lambda: key.value == value)
        until(lambda: len(told) == 7)

    def test_a_mounted_secret_whose_data_link_is_swapped(self) -> None:
        def publish(value: str) -> None:
            version = self.folder / f"..{secrets.token_hex(4)}"
            version.mkdir()
            (version / "key").write_text(value)
            os.utime(version / "key", (OLD, OLD))
            link = self.folder / "..data_tmp"
            link.symlink_to(version.name)
            os.replace(link, self.folder / "..data")

        publish(first := a_value())
        self.path.symlink_to("..data/key")
        key = self.key()
        self.assertEqual(key.value, first)
        for _ in range(3):
            value = a_value()
            publish(value)
            until(lambda: key.value == value)

    def test_a_writer_that_never_rests_ends_in_its_last_value_and_shows_no_half_one(self) -> None:
        values = [a_value("w") + "-end" for _ in range(25)]
        self.path.write_text(values[0])
        shown: list[str] = []
        key = self.key(shown.append)
        # Written over in place, half and then whole, so that each look sees another state of the file.
        steps = iter([text for value in values[1:] for text in (value[:9], value)])
        states: list[str] = []
        look = _file._look

        def at_work(path: str) -> Any:
            text = next(steps, None)
            if text is not None:
                self.path.write_text(text)
            seen = look(path)
            if seen is not None and seen.data is not None:
                states.append(seen.data.decode())
            return seen

        with mock.patch.object(_file, "_look", at_work), mock.patch.object(_file, "LOOK_APART_SECONDS", 0.001), Records():
            until(lambda: key.refresh() and key.value == values[-1], 30)
            until(lambda: shown)
        self.assertEqual(shown, [values[-1]])
        self.assertLessEqual({value[:9] for value in values[1:]}, set(states), "no look saw a half file")

    def test_a_change_is_seen_beside_sources_that_are_slow(self) -> None:
        go, slow = threading.Event(), []
        self.addCleanup(go.set)

        def hangs() -> str:
            if not armed:
                return "some-value"
            slow.append(1)
            go.wait(60)
            return "some-value"

        armed: list[int] = []
        self.move_in(a_value())
        key = self.key()
        # A worker that waits for a fetch would wait longer than this test.
        with mock.patch.object(_worker, "PATIENCE_SECONDS", 3600.0):
            others = [RotatableSecret("S", hangs, 0.01) for _ in range(4)]
            for other in others:
                self.addCleanup(other.stop)
            armed.append(1)
            until(lambda: len(slow) >= 4)
            self.move_in(newest := a_value())
            until(lambda: key.value == newest)
        self.assertFalse(go.is_set())

    def test_the_watch_ends_with_stop(self) -> None:
        self.path.write_text(a_value())
        key = self.key()
        name = f"the watch of {self.path}"
        self.assertIn(name, [handle._name for handle in _worker._worker._jobs])
        key.stop()
        self.assertNotIn(name, [handle._name for handle in _worker._worker._jobs])

    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_a_forked_child_goes_on_watching(self) -> None:
        program = """
import os, sys, time, warnings
warnings.simplefilter("ignore")
from keyroll import RotatableSecret
from keyroll.sources import fetch_from_env_with_file_watch
open(sys.argv[1], "w").write("value-one")
told = []
key = RotatableSecret("K", fetch_from_env_with_file_watch("X", sys.argv[1]), 3600, told.append)
child = os.fork()
if child == 0:
    open(sys.argv[1] + ".new", "w").write("value-two")
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    end = time.monotonic() + 20
    while time.monotonic() < end and not (told == ["value-two"] and key.value == "value-two"): time.sleep(0.01)
    os._exit(0 if told else 1)
_, status = os.waitpid(child, 0)
print(os.WEXITSTATUS(status))
"""
        ended = run_program(program, str(self.path))
        self.assertEqual(ended.stdout.strip(), "0", ended.stderr)


if __name__ == "__main__":
    unittest.main()
