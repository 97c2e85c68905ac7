"""The emergency endpoint: its rules, the caller's check, and the same requests through ASGI and aiohttp."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import logging
import pickle
import secrets
import shutil
import subprocess
import threading
import unittest
from typing import Any, Callable
from unittest import mock

from keyroll import EmergencyRotationController, RefusedValue, RotatableSecret, SecretUnavailable
from keyroll import _check, _emergency, _worker
from tests.endpoint import NAME, TOKEN, ask, rotate, served
from tests.queue_full import full_of_callbacks
from tests.support import Records, a_value, in_threads, run_program, until


def setUpModule() -> None:
    # Else each refusal that a test provokes is printed.
    logging.getLogger("keyroll").addHandler(logging.NullHandler())


def asgi_call(
    app: Any, path: str, root: str = "", host: str = "localhost", method: str = "POST", *parts: bytes
) -> tuple[int, Any]:
    """The status and the JSON of an answer through ASGI, in a loop of its own."""
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", host.encode()), (b"X-Admin-Token", TOKEN.encode())]
    scope = {"type": "http", "method": method, "path": path, "root_path": root, "headers": headers}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


class Values(unittest.TestCase):
    def test_bad_input_is_refused_and_nothing_is_changed(self) -> None:
        for token in ("", "  ", "with blank", "line\n", "ümlaut"):
            with self.assertRaises(ValueError):
                EmergencyRotationController(admin_token=token)
            with self.assertRaises(ValueError):
                EmergencyRotationController(admin_token=TOKEN, previous_admin_token=token)
        ctl = EmergencyRotationController(admin_token=TOKEN)
        value = a_value()
        ctl.set_secret(NAME, value)
        for name in ("", " ", "x" * 129, "a\nb"):
            with self.assertRaises(ValueError):
                ctl.set_secret(name, value)
        for bad in ("", "changeme", "<html>no</html>", "\ud800"):
            with self.assertRaises(RefusedValue):
                ctl.set_secret(NAME, bad)
        self.assertEqual(ctl.get_secret(NAME), value)
        self.assertEqual(ctl.names(), [NAME])
        with self.assertRaises(SecretUnavailable) as caught:
            ctl.get_secret("OTHER")
        self.assertEqual(caught.exception.secret_name, "OTHER")

    def test_nothing_secret_is_shown_or_pickled(self) -> None:
        ctl = EmergencyRotationController(admin_token=TOKEN)
        value = a_value()
        ctl.set_secret(NAME, value)
        source = ctl.source(NAME)
        held = ctl._held[NAME]
        for shown in (repr(ctl), repr(source), repr(source()), str(ctl), f"{vars(ctl)} {vars(source)} {held}"):
            self.assertNotIn(value, shown)
            self.assertNotIn(TOKEN, shown)
        for each in (ctl, source, held):
            with self.assertRaisesRegex(TypeError, "pickled"):
                pickle.dumps(each)

    def test_a_short_token_is_a_warning(self) -> None:
        with Records() as seen:
            EmergencyRotationController(admin_token="short")
            EmergencyRotationController(admin_token=TOKEN)
        self.assertEqual(len(seen.texts()), 1)
        self.assertNotIn("short", seen.texts()[0])


class Requests(unittest.TestCase):
    def test_a_rotation_and_the_status(self) -> None:
        old, new, told = a_value(), a_value(), []
        with served(on_rotation=lambda *got: told.append(got)) as ctl:
            ctl.set_secret(NAME, old)
            status, answer, headers = rotate(ctl, new)
            self.assertEqual((status, answer["status"], answer["secret_name"]), (200, "rotated", NAME))
            self.assertRegex(answer["new_hash"], "^[0-9a-f]{8}$")
            self.assertEqual(ctl.get_secret(NAME), new)
            self.assertEqual(headers["connection"], "close")
            until(lambda: told == [(NAME, new)])
            status, answer, _ = ask(ctl, "GET", "/secret-status")
            self.assertEqual((status, answer["secrets"]), (200, [NAME]))
            (entry,) = answer["rotation_log"]
            self.assertEqual(sorted(entry), ["new_hash", "old_hash", "rotated_at", "secret"])
            self.assertIsInstance(entry["rotated_at"], int)
            self.assertNotEqual(entry["old_hash"], entry["new_hash"])
            self.assertNotIn(new, json.dumps(answer))
            for _ in range(12):
                self.assertEqual(rotate(ctl, a_value())[0], 200)
            self.assertEqual(len(ask(ctl, "GET", "/secret-status")[1]["rotation_log"]), 10)
            self.assertEqual(ask(ctl, "HEAD", "/secret-status")[:2], (200, None))

    def test_a_value_that_a_push_replaced_does_not_come_back(self) -> None:
        values = [a_value() for _ in range(_emergency.REPLACED_MAX + 2)]
        with served() as ctl:
            ctl.set_secret("OTHER", a_value())
            ctl.set_secret(NAME, values[0])
            # An ordinary change of the program leaves the value before it a good one.
            ctl.set_secret(NAME, values[1])
            self.assertEqual(rotate(ctl, values[0])[0], 200)
            for value in values[2:]:
                self.assertEqual(rotate(ctl, value)[0], 200)
            for value in (values[0], *values[2:-1]):
                status, answer, _ = rotate(ctl, value)
                self.assertEqual(status, 409)
                self.assertIn("may be in the wrong hands; nothing was changed", answer["detail"])
                self.assertNotIn(value, json.dumps(answer) + repr(vars(ctl)))
            self.assertIn("is the value in use already", rotate(ctl, values[-1])[1]["detail"])
            self.assertEqual(ctl.get_secret(NAME), values[-1])
            # Sixteen are known, and those of this name only.
            self.assertEqual(rotate(ctl, values[1])[0], 200)
            self.assertEqual(rotate(ctl, values[0], name="OTHER")[0], 200)
            # The program itself may do it.
            ctl.set_secret(NAME, values[0])
            self.assertEqual(ctl.get_secret(NAME), values[0])

    def test_a_change_is_told_even_if_callbacks_hung(self) -> None:
        go, told = threading.Event(), []
        self.addCleanup(go.set)
        with served(on_rotation=lambda *got: told.append(got)) as ctl:
            ctl.set_secret(NAME, a_value())
            ctl.set_secret("OTHER", a_value())
            with full_of_callbacks(go):
                last = [a_value(), a_value()]
                for value in (a_value(), last[0]):
                    self.assertEqual(rotate(ctl, value)[0], 200)
                self.assertEqual(rotate(ctl, last[1], name="OTHER")[0], 200)
                # It is tried while the queue is full, and again.
                teller = ctl._teller
                assert teller is not None
                self.assertIsNotNone(teller._again())
                self.assertEqual(told, [])
            until(lambda: {got[0]: got[1] for got in told} == {NAME: last[0], "OTHER": last[1]})
            until(lambda: not teller._untold)
            # The older of two calls in the queue is not made after the newer one.
            newest = iter([(9, ("nine",)), (8, ("eight",)), (10, ("ten",))])
            with mock.patch.object(teller, "_newest", lambda: lambda key: next(newest)):
                for _ in range(3):
                    teller.tell("X")
            until(lambda: told[-1:] == [("ten",)])
            self.assertEqual([got for got in told if len(got) == 1], [("nine",), ("ten",)])

    def test_the_token(self) -> None:
        before = secrets.token_hex(16)
        with served(previous_admin_token=before) as ctl:
            def get(**more: Any) -> int:
                return ask(ctl, "GET", "/secret-status", **more)[0]

            self.assertEqual(get(token=None, Authorization=f"Bearer {TOKEN}"), 200)
            self.assertEqual(get(token=before), 200)
            for token in (None, "", TOKEN[:-1], TOKEN + "x", "x" * 1000, "ü"):
                self.assertEqual(get(token=token), 401, token)
            self.assertEqual(get(token=None, Authorization=f"Basic {TOKEN}"), 401)
            self.assertEqual(get(Authorization=f"Bearer {TOKEN}"), 401, "two tokens")
            # Without a token nobody learns which pages and names there are.
            self.assertEqual(ask(ctl, "GET", "/other", token=None)[0], 401)

    def test_tokens_are_compared_in_constant_time(self) -> None:
        ctl = EmergencyRotationController(admin_token=TOKEN, previous_admin_token=a_value())
        with mock.patch("keyroll._emergency.hmac.compare_digest", return_value=False) as compare:
            self.assertIsNotNone(ctl._why_denied([("x-admin-token", TOKEN)]))
        self.assertEqual(compare.call_count, 2)

    def test_wrong_tokens_are_limited_and_right_ones_served(self) -> None:
        with served() as ctl:
            ctl.set_secret(NAME, a_value())
            results = [ask(ctl, "GET", "/secret-status", token=a_value()) for _ in range(25)]
            self.assertEqual([status for status, _, _ in results], [401] * 20 + [429] * 5)
            self.assertTrue(1 <= int(results[-1][2]["retry-after"]) <= 61)
            self.assertEqual(rotate(ctl, a_value())[0], 200)

    def test_refusals(self) -> None:
        value = a_value()
        with served() as ctl:
            ctl.set_secret(NAME, value)
            cases: list[tuple[int, object]] = [
                (400, b""), (400, b"{"), (400, b"[]"), (400, b"\xff"), (400, b"[" * 50_000), (400, b"1" * 60_000),
                (400, {"secret_name": NAME}), (400, {"secret_name": NAME, "new_value": 7}),
                (400, {"secret_name": None, "new_value": a_value()}),
                (400, f'{{"secret_name": "{NAME}", "new_value": "{a_value()}", "new_value": "{a_value()}"}}'.encode()),
                (400, {"secret_name": NAME, "new_value": ""}), (400, {"secret_name": NAME, "new_value": "changeme"}),
                (400, f'{{"secret_name": "{NAME}", "new_value": "\\ud800"}}'.encode()),
                (404, {"secret_name": a_value("name"), "new_value": a_value()}),
                (409, {"secret_name": NAME, "new_value": value}),
                (413, {"secret_name": NAME, "new_value": "x" * 65536}),
            ]
            for expected, body in cases:
                status, answer, headers = ask(ctl, body=body)
                self.assertEqual(status, expected, body)
                self.assertEqual(headers["content-type"], "application/problem+json")
                self.assertEqual((answer["type"], answer["status"]), ("about:blank", expected))
                if isinstance(body, dict):
                    for text in (body.get("new_value"), body.get("secret_name")):
                        if isinstance(text, str) and text not in ("", NAME):
                            self.assertNotIn(text, json.dumps(answer))
            self.assertEqual(ctl.get_secret(NAME), value)
            self.assertEqual(ask(ctl, "GET", "/nothing")[0], 404)
            status, _, headers = ask(ctl, "GET", "/rotate-secret")
            self.assertEqual((status, headers["allow"]), (405, "POST"))
            # A field that is not known is no error, and the content type has no meaning.
            body = {"secret_name": NAME, "new_value": a_value(), "why": "leaked"}
            self.assertEqual(ask(ctl, body=body, Content_Type="text/plain")[0], 200)

    def test_hosts_and_origins(self) -> None:
        with served() as ctl:
            port = ctl.port
            def get(**more: Any) -> int:
                return ask(ctl, "GET", "/secret-status", **more)[0]

            for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", "[::1]:80", "127.0.0.2"):
                self.assertEqual(get(Host=host), 200, host)
            strange = ["example.org", f"localhost.example.org:{port}", "127.0.0.1.example.org", "", "0.0.0.0"]
            for host in (*strange, "a@localhost"):
                self.assertEqual(get(Host=host), 403, host)
            self.assertEqual(get(Host=f"localhost:{port}", Origin=f"http://localhost:{port}"), 200)
            for origin in ("http://example.org", "null", f"http://localhost:{port + 1}", ""):
                self.assertEqual(get(Host=f"localhost:{port}", Origin=origin), 403, origin)

    def test_curl_as_in_the_guide(self) -> None:
        if shutil.which("curl") is None:
            self.skipTest("curl is not there")
        value = a_value()
        with served() as ctl:
            ctl.set_secret(NAME, a_value())
            # Longer than what curl sends without waiting for "100 Continue".
            body = json.dumps({"secret_name": NAME, "new_value": value, "note": "x" * 20_000})
            answer = subprocess.run(
                ["curl", "-sS", "-X", "POST", f"http://127.0.0.1:{ctl.port}/rotate-secret", "--data-binary", "@-",
                 "-H", f"X-Admin-Token: {TOKEN}", "-H", "Expect: 100-continue"],
                input=body, capture_output=True, text=True, timeout=30, check=True,
            )
            self.assertEqual(json.loads(answer.stdout)["status"], "rotated")
            self.assertEqual(ctl.get_secret(NAME), value)


class Accept(unittest.TestCase):
    def outcome(self, accept: Callable[..., Any]) -> tuple[int, Any, bool]:
        """The status, the answer, and whether the new value is in use."""
        value = a_value()
        with Records() as seen, Records("asyncio") as seen_too:
            with served(accept=accept) as ctl:
                ctl.set_secret(NAME, a_value())
                status, answer, _ = rotate(ctl, value)
            gc.collect()  # asyncio complains of an error that nobody took when it is collected
            self.assertNotIn(value, json.dumps(answer) + "".join(seen.texts() + seen_too.texts()))
            return status, answer, ctl.get_secret(NAME) == value

    def test_only_true_is_a_yes(self) -> None:
        async def yes(name: str, value: str) -> bool:
            return name == NAME

        async def no(name: str, value: str) -> bool:
            return False

        async def throws(name: str, value: str) -> bool:
            raise ValueError(value)

        def throws_too(name: str, value: str) -> bool:
            raise ValueError(value)

        def leaves(name: str, value: str) -> bool:
            raise SystemExit(value)

        async def leaves_too(name: str, value: str) -> bool:
            raise SystemExit(value)

        accepting: list[Callable[..., Any]] = [
            yes, lambda name, value: name == NAME, lambda name, value: yes(name, value),
        ]
        for accept in accepting:
            self.assertEqual(self.outcome(accept)[::2], (200, True))
        refusing: list[Callable[..., Any]] = [
            no, throws, throws_too, leaves, leaves_too, lambda name, value: False, lambda name, value: None,
            lambda name, value: (False, "why"), lambda name, value: no(name, value), lambda name: True,
        ]
        for accept in refusing:
            self.assertEqual(self.outcome(accept)[::2], (422, False), accept)

    def test_a_check_that_hangs(self) -> None:
        go = threading.Event()

        async def hangs(name: str, value: str) -> bool:
            await asyncio.sleep(3600)
            return True

        async def stubborn(name: str, value: str) -> bool:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                raise ValueError(value) from None
            return True

        with mock.patch.object(_check, "ACCEPT_SECONDS", 0.2):
            for accept in (hangs, stubborn, lambda name, value: go.wait(60)):
                status, answer, is_used = self.outcome(accept)
                self.assertEqual((status, is_used), (422, False))
                self.assertIn("took too long", answer["detail"])
            with served(accept=lambda name, value: go.wait(60)) as ctl:
                ctl.set_secret(NAME, a_value())
                statuses = [rotate(ctl, a_value())[0] for _ in range(_check.CHECKS_MAX + 1)]
                self.assertEqual(statuses, [422] * _check.CHECKS_MAX + [503])
                go.set()
                until(lambda: rotate(ctl, a_value())[0] == 200)

    def test_a_hanging_check_does_not_keep_the_interpreter(self) -> None:
        done = run_program(
            "import asyncio, threading\n"
            "from keyroll import EmergencyRotationController, _check\n"
            "_check.ACCEPT_SECONDS = 0.1\n"
            "ctl = EmergencyRotationController(admin_token='t' * 32, accept=lambda n, v: threading.Event().wait())\n"
            "ctl.set_secret('A', 'v' * 20)\n"
            "async def read(limit): return b'{\"secret_name\": \"A\", \"new_value\": \"' + b'w' * 20 + b'\"}'\n"
            "headers = [('host', 'localhost'), ('x-admin-token', 't' * 32)]\n"
            "print(asyncio.run(ctl.handle('POST', '/rotate-secret', headers, read)).status)\n",
            seconds=30,
        )
        self.assertEqual((done.stdout.strip(), done.stderr), ("422", ""))

    def test_rotations_of_one_secret_are_in_turns(self) -> None:
        lock, at_once, most = threading.Lock(), [0], [0]

        def accept(name: str, value: str) -> bool:
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            threading.Event().wait(0.02)
            with lock:
                at_once[0] -= 1
            return True

        with served(accept=accept) as ctl:
            ctl.set_secret(NAME, a_value())
            self.assertEqual(in_threads(8, lambda: rotate(ctl, a_value())[0]), [200] * 8)
            self.assertEqual(most, [1])
            # The same value again, by two callers at once: it is in use once.
            value = a_value()
            self.assertEqual(sorted(in_threads(2, lambda: rotate(ctl, value)[0])), [200, 409])


    def test_a_slow_check_does_not_put_a_replaced_value_back(self) -> None:
        begun, go, first, second = threading.Event(), threading.Event(), a_value(), a_value()
        self.addCleanup(go.set)

        def accept(name: str, value: str) -> bool:
            if not begun.is_set():
                begun.set()
                go.wait(60)
            return True

        for pushes, why in (([first, second], "was replaced by a push before"), ([first], "is the value in use")):
            begun.clear()
            go.clear()
            answers: list[tuple[int, Any, dict[str, str]]] = []
            with served(accept=accept) as ctl:
                ctl.set_secret(NAME, a_value())
                asker = threading.Thread(target=lambda: answers.append(rotate(ctl, first)), daemon=True)
                asker.start()
                self.assertTrue(begun.wait(30))
                # The same controller in another loop: turns are those of one loop.
                for value in pushes:
                    body = json.dumps({"secret_name": NAME, "new_value": value}).encode()
                    self.assertEqual(asgi_call(ctl.asgi(), "/rotate-secret", "", "localhost", "POST", body)[0], 200)
                go.set()
                asker.join(30)
                self.assertEqual(answers[0][0], 409)
                self.assertIn(why, answers[0][1]["detail"])
                self.assertEqual(ctl.get_secret(NAME), pushes[-1])
                self.assertEqual(len(ctl._rotations()), len(pushes))


class DebugMode(unittest.TestCase):
    """asyncio's debug mode logs each slow step, with the result or the error of its task."""

    def logged_of(self, ctl: EmergencyRotationController, value: str) -> str:
        """Everything that is logged of a push by the server and of one through ASGI, with every step a slow one."""
        body = json.dumps({"secret_name": NAME, "new_value": value}).encode()

        def request() -> None:
            rotate(ctl, value)

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.slow_callback_duration = 0.0
            await ctl.start(port=0)
            await loop.run_in_executor(None, request)
            await ctl.stop()
            messages = [{"type": "http.request", "body": part, "more_body": True} for part in (body[:9], body[9:])]
            messages.append({"type": "http.request", "body": b"", "more_body": False})

            async def receive() -> Any:
                await asyncio.sleep(0)
                return messages.pop(0)

            async def send(message: Any) -> None:
                pass

            headers = [(b"host", b"localhost"), (b"x-admin-token", TOKEN.encode())]
            scope = {"type": "http", "method": "POST", "path": "/rotate-secret", "headers": headers}
            await ctl.asgi()(scope, receive, send)

        with Records("") as seen:
            asyncio.run(main(), debug=True)
            gc.collect()
            texts = seen.texts()
        self.assertTrue(any(text.startswith("Executing ") for text in texts), "the debug mode is off")
        return "\n".join(texts)

    def test_no_value_and_no_token_is_logged(self) -> None:
        async def throws(name: str, value: str) -> bool:
            await asyncio.sleep(0)
            raise ValueError(f"issuer refused {value}")

        def throws_in_a_thread(name: str, value: str) -> bool:
            raise ValueError(f"issuer refused {value}")

        async def repeats(name: str, value: str) -> Any:
            await asyncio.sleep(0)
            return value

        async def yes(name: str, value: str) -> bool:
            await asyncio.sleep(0)
            return True

        checks: list[Any] = [throws, throws_in_a_thread, repeats, yes, None]
        for accept in checks:
            ctl, value = EmergencyRotationController(admin_token=TOKEN, accept=accept), a_value()
            before = a_value()
            ctl.set_secret(NAME, before)
            logged = self.logged_of(ctl, value)
            for secret in (value, TOKEN, before):
                # Long results are shown by their beginning and their end.
                for part in (secret[:10], secret[-8:]):
                    self.assertNotIn(part, logged, accept)
            self.assertEqual(ctl.get_secret(NAME), value if accept in (yes, None) else before)


class Mounted(unittest.TestCase):
    def test_asgi(self) -> None:
        ctl = EmergencyRotationController(admin_token=TOKEN)
        ctl.set_secret(NAME, a_value())
        app = ctl.asgi()
        for root, path in (("", "/rotate-secret"), ("/admin", "/admin/rotate-secret"), ("/admin", "/rotate-secret")):
            value = a_value()
            body = json.dumps({"secret_name": NAME, "new_value": value}).encode()
            self.assertEqual(asgi_call(app, path, root, "localhost", "POST", body[:9], body[9:])[0], 200)
            self.assertEqual(ctl.get_secret(NAME), value)
        self.assertEqual(asgi_call(app, "/secret-status", method="GET")[1]["secrets"], [NAME])
        self.assertEqual(asgi_call(app, "/other")[0], 404)
        self.assertEqual(asgi_call(app, "/rotate-secret", "", "localhost", "POST", *[b"x" * 30_000] * 3)[0], 413)
        self.assertEqual(asgi_call(app, "/secret-status", host="api.example.org", method="GET")[0], 403)
        named = ctl.asgi(allowed_hosts=["api.example.org"])
        self.assertEqual(asgi_call(named, "/secret-status", host="api.example.org", method="GET")[0], 200)

    def test_asgi_lifespan_and_an_unfinished_body(self) -> None:
        app: Any = EmergencyRotationController(admin_token=TOKEN).asgi()
        sent: list[Any] = []
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return messages.pop(0)

        asyncio.run(app({"type": "lifespan"}, receive, send))
        self.assertEqual([each["type"] for each in sent], ["lifespan.startup.complete", "lifespan.shutdown.complete"])

        async def never() -> Any:
            await asyncio.sleep(3600)

        del sent[:]
        headers = [(b"host", b"localhost"), (b"x-admin-token", TOKEN.encode())]
        scope = {"type": "http", "method": "POST", "path": "/rotate-secret", "headers": headers}
        with mock.patch("keyroll._mount.REQUEST_SECONDS", 0.1):
            asyncio.run(app(scope, never, send))
        self.assertEqual(sent[0]["status"], 408)

    @unittest.skipUnless(importlib.util.find_spec("aiohttp"), "aiohttp is not installed")
    def test_aiohttp(self) -> None:
        from aiohttp import ClientSession, web

        async def main() -> None:
            ctl = EmergencyRotationController(admin_token=TOKEN)
            ctl.set_secret(NAME, a_value())
            app = web.Application()
            app.add_routes(ctl.aiohttp_routes())
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            value, headers = a_value(), {"X-Admin-Token": TOKEN}
            async with ClientSession() as session:
                body = {"secret_name": NAME, "new_value": value}
                async with session.post(url + "/rotate-secret", json=body, headers=headers) as answer:
                    self.assertEqual((answer.status, (await answer.json())["status"]), (200, "rotated"))
                async with session.post(url + "/rotate-secret", json=body) as answer:
                    self.assertEqual(answer.status, 401)
                async with session.post(url + "/rotate-secret", data=b"x" * 70_000, headers=headers) as answer:
                    self.assertEqual(answer.status, 413)
                async with session.get(url + "/secret-status", headers=headers) as answer:
                    self.assertEqual((await answer.json())["secrets"], [NAME])
            self.assertEqual(ctl.get_secret(NAME), value)
            await runner.cleanup()

        asyncio.run(main())

    def test_without_aiohttp_the_error_says_so(self) -> None:
        with mock.patch.dict("sys.modules", {"aiohttp": None, "aiohttp.web": None}):
            with self.assertRaisesRegex(ImportError, "pip install aiohttp"):
                EmergencyRotationController(admin_token=TOKEN).aiohttp_routes()


class Source(unittest.TestCase):
    def test_a_pushed_key_is_in_use_before_the_answer(self) -> None:
        old, new, told, go = a_value(), a_value(), [], threading.Event()
        self.addCleanup(go.set)

        def hangs(value: str) -> None:
            go.wait(60)
            told.append(value)

        # Nothing happens later: what is in use is so because of the push itself.
        with served() as ctl, mock.patch.object(_worker.Handle, "now", lambda _: None):
            keys = [RotatableSecret(NAME, ctl.source(NAME), 3600, on_rotation=hangs) for _ in range(2)]
            with self.assertRaises(SecretUnavailable):
                keys[0].value
            ctl.set_secret(NAME, old)
            self.assertEqual([(key.version, key.value) for key in keys], [("1", old)] * 2)
            self.assertEqual(rotate(ctl, new)[0], 200)
            self.assertEqual([key.value for key in keys], [new] * 2)
            self.assertEqual(told, [])
            # It is the answer to a leak: nobody goes back to the old one.
            tried: list[str] = []

            def call(value: str) -> None:
                tried.append(value)
                error: Any = RuntimeError()
                error.status_code = 401
                raise error

            with self.assertRaises(RuntimeError):
                keys[0].with_fallback(call)
            self.assertNotIn(old, tried)
            go.set()
            until(lambda: told == [new, new])
            for key in keys:
                key.stop()

    def test_a_stopped_secret_takes_a_push_and_a_forgotten_one_is_forgotten(self) -> None:
        new = a_value()
        with served() as ctl:
            ctl.set_secret(NAME, a_value())
            with RotatableSecret(NAME, ctl.source(NAME), refresh_interval_seconds=3600) as key:
                pass
            self.assertEqual(rotate(ctl, new)[0], 200)
            self.assertEqual(key.value, new)
            del key
            gc.collect()
            self.assertFalse(ctl._watchers[NAME])
            self.assertEqual(rotate(ctl, a_value())[0], 200)

    def test_a_push_from_the_loop_of_the_program(self) -> None:
        old, new, seen = a_value(), a_value(), []

        async def main() -> None:
            ctl = EmergencyRotationController(admin_token=TOKEN, on_rotation=lambda name, value: seen.append(value))
            ctl.set_secret(NAME, old)
            key = RotatableSecret(NAME, ctl.source(NAME), 3600, on_rotation=seen.append)
            body = json.dumps({"secret_name": NAME, "new_value": new}).encode()

            async def read(limit: int) -> bytes:
                return body

            headers = [("host", "localhost"), ("x-admin-token", TOKEN)]
            # Many who read and refresh meanwhile hold up nothing.
            others = [asyncio.ensure_future(key.aget(force_refresh=True)) for _ in range(20)]
            await asyncio.sleep(0)
            answer = await asyncio.wait_for(ctl.handle("POST", "/rotate-secret", headers, read), 30)
            self.assertEqual((answer.status, key.value), (200, new))
            self.assertEqual(set(await asyncio.gather(*others)) - {old, new}, set())
            self.assertEqual(key.value, new)
            key.stop()

        with Records() as logged:
            asyncio.run(main())
        until(lambda: seen == [new, new])
        self.assertEqual(logged.texts(logging.WARNING), [])

    def test_a_fetch_that_began_before_a_push_changes_nothing(self) -> None:
        ctl = EmergencyRotationController(admin_token=TOKEN)
        ctl.set_secret(NAME, a_value())
        read, go, new = threading.Event(), threading.Event(), a_value()
        self.addCleanup(go.set)
        source, slow = ctl.source(NAME), threading.local()

        class Slow:
            answers_at_once = True
            watch = staticmethod(source.watch)

            def __call__(self) -> Any:
                answer = source()
                if getattr(slow, "is_me", False):
                    read.set()
                    go.wait(60)
                return answer

        with Records() as logged:
            key = RotatableSecret(NAME, Slow(), refresh_interval_seconds=3600)
            self.addCleanup(key.stop)
            ended: list[bool] = []

            def refresh() -> None:
                slow.is_me = True
                ended.append(key.refresh())

            thread = threading.Thread(target=refresh, daemon=True)
            thread.start()
            self.assertTrue(read.wait(30))
            ctl.set_secret(NAME, new)
            self.assertEqual(key.value, new)
            go.set()
            thread.join(30)
            self.assertEqual((key.value, ended), (new, [True]))
        self.assertEqual(logged.texts(logging.WARNING), [])

    def test_the_word_of_the_program_counts_in_a_secret_too(self) -> None:
        old = a_value()
        with served() as ctl:
            ctl.set_secret(NAME, old)
            with RotatableSecret(NAME, ctl.source(NAME), refresh_interval_seconds=3600) as key:
                self.assertEqual(rotate(ctl, a_value())[0], 200)
                ctl.set_secret(NAME, old)
                self.assertEqual((key.value, ctl.get_secret(NAME)), (old, old))

    def test_a_secret_that_refuses_the_push_keeps_its_value(self) -> None:
        old = a_value()
        with Records() as logged, served(allow_placeholders=True) as ctl:
            ctl.set_secret(NAME, old)
            with RotatableSecret(NAME, ctl.source(NAME), refresh_interval_seconds=3600) as key:
                self.assertEqual(rotate(ctl, "changeme")[0], 200)
                self.assertEqual((key.value, ctl.get_secret(NAME)), (old, "changeme"))
            (warning,) = logged.texts(logging.WARNING)
            self.assertIn(f"cannot refresh {NAME}", warning)

    def test_a_change_behind_a_leak_does_not_hide_it(self) -> None:
        with served() as ctl:
            ctl.set_secret(NAME, a_value())
            source = ctl.source(NAME)
            self.assertFalse(source().compromised)
            self.assertEqual(rotate(ctl, a_value())[0], 200)
            ctl.set_secret(NAME, a_value())
            self.assertEqual((source().compromised, source().order), (True, 3))

    def test_a_watcher_that_throws_changes_nothing(self) -> None:
        ctl = EmergencyRotationController(admin_token=TOKEN)
        heard: list[int] = []
        value = a_value()

        def throws() -> None:
            raise ValueError(value)

        ctl.source(NAME).watch(throws)
        stop = ctl.source(NAME).watch(lambda: heard.append(1))
        with Records() as seen:
            ctl.set_secret(NAME, value)
            stop()
            ctl.set_secret(NAME, a_value())
        self.assertEqual(heard, [1])
        self.assertNotIn(value, "".join(seen.texts()))


if __name__ == "__main__":
    unittest.main()
