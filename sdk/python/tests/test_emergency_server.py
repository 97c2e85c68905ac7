"""The small HTTP server of the emergency endpoint: malformed, slow and too many clients, start and stop."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import signal
import socket
import threading
import time
import unittest
from typing import Any
from unittest import mock

from keyroll import EmergencyRotationController
from keyroll import _emergency, _http
from tests.endpoint import NAME, TOKEN, ask, raw, rotate, served
from tests.support import a_value, run_program, until


def setUpModule() -> None:
    # Else each refusal that a test provokes is printed.
    logging.getLogger("keyroll").addHandler(logging.NullHandler())


class TheServer(unittest.TestCase):
    def test_malformed_requests(self) -> None:
        head = f"POST /rotate-secret HTTP/1.1\r\nHost: localhost\r\nX-Admin-Token: {TOKEN}\r\n".encode()
        cases = [
            (400, b"nonsense\r\n\r\n"), (400, b"GET http://localhost/ HTTP/1.1\r\n\r\n"),
            (400, b"PRI * HTTP/2.0\r\n\r\n"), (414, b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n"),
            (431, head + b"A: " + b"x" * 9000 + b"\r\n\r\n"), (431, head + b"A: b\r\n" * 101 + b"\r\n"),
            (431, head + (b"A: " + b"x" * 4000 + b"\r\n") * 5 + b"\r\n"), (400, head + b"No colon\r\n\r\n"),
            (400, head + b"Name : x\r\n\r\n"), (400, head + b"A: b\r\n folded\r\n\r\n"),
            (400, head + b"Content-Length: -1\r\n\r\n"),
            (411, head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (413, head + b"Content-Length: 99999999999\r\n\r\n"), (403, b"GET /secret-status HTTP/1.0\r\n\r\n"),
        ]
        with served() as ctl:
            for status, request in cases:
                self.assertTrue(raw(ctl, request).startswith(f"HTTP/1.1 {status} ".encode()), request[:80])
            self.assertEqual(ask(ctl, "GET", "/secret-status")[0], 200)

    def test_two_lengths_are_one_too_many(self) -> None:
        # Two readers of such a request could take different bodies. This one is right but for that.
        body = json.dumps({"secret_name": NAME, "new_value": a_value()}).encode()
        head = f"POST /rotate-secret HTTP/1.1\r\nHost: localhost\r\nX-Admin-Token: {TOKEN}\r\n".encode()
        length = b"Content-Length: %d\r\n" % len(body)
        with served() as ctl:
            before = a_value()
            ctl.set_secret(NAME, before)
            for lengths in (length * 2, length + b"Content-Length: 5\r\n", b"Content-Length: +%d\r\n" % len(body)):
                answer = raw(ctl, head + lengths + b"\r\n" + body)
                self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
                detail = json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
                self.assertEqual(detail, "the Content-Length is malformed")
            self.assertEqual(ctl.get_secret(NAME), before)
            self.assertIn(b" 200 ", raw(ctl, head + length + b"\r\n" + body)[:20])

    def test_no_head_takes_long_to_read(self) -> None:
        # In a process of its own: a pattern that tries every way to share out blanks would take hours.
        done = run_program(
            "import asyncio\n"
            "from keyroll import _http\n"
            "async def read(*lines):\n"
            "    reader = asyncio.StreamReader(limit=_http.LINE_BYTES_MAX)\n"
            "    reader.feed_data(b'GET / HTTP/1.1\\r\\n' + b'\\r\\n'.join(lines) + b'\\r\\n\\r\\n')\n"
            "    try: return (await _http._head(reader))[2]\n"
            "    except _http.Refused as refused: return refused.answer.status\n"
            "n = 8000\n"
            "for line in (b'A:' + b' ' * n + b'\\1', b'A:' + b'\\t ' * (n // 2) + b'\\1',\n"
            "             b'A:' + b'x ' * (n // 2) + b'\\x7f',\n"
            "             b'A' * n, b' ' * n, b'A' * (n // 2) + b' ' * (n // 2)):\n"
            "    print(asyncio.run(read(line)))\n"
            "half = b' ' * (n // 2)\n"
            "print(asyncio.run(read(b'A:' + b' ' * n, b'B: \\t x y\\t ', b'C:' + half + b'z' + b'\\t' * 9)))\n",
            seconds=30,
        )
        lines = done.stdout.splitlines()
        self.assertEqual(lines[:-1], ["400"] * 6, done.stderr)
        self.assertEqual(lines[-1], "[('a', ''), ('b', 'x y'), ('c', 'z')]")

    def test_a_refusal_before_the_body_is_an_answer_and_no_reset(self) -> None:
        body = b"x" * 200_000
        with served() as ctl:
            for token, status in ((a_value(), b"401"), (TOKEN, b"413")):
                head = f"POST /rotate-secret HTTP/1.1\r\nHost: localhost\r\nX-Admin-Token: {token}\r\n"
                request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
                for _ in range(5):
                    self.assertEqual(raw(ctl, request).split(b" ")[1], status)

    def test_a_client_that_waits_for_100_continue(self) -> None:
        value = a_value()
        body = json.dumps({"secret_name": NAME, "new_value": value}).encode()
        head = f"POST /rotate-secret HTTP/1.1\r\nHost: localhost\r\nX-Admin-Token: {TOKEN}\r\n"
        with served() as ctl:
            ctl.set_secret(NAME, a_value())
            with socket.create_connection(("127.0.0.1", ctl.port), timeout=9) as connection:
                connection.sendall(head.encode() + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
                self.assertEqual(connection.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
                connection.sendall(body)
                self.assertIn(b" 200 OK", connection.recv(1000))
            self.assertEqual(ctl.get_secret(NAME), value)

    def test_slow_clients_hold_up_nobody_and_end(self) -> None:
        with mock.patch.object(_http, "REQUEST_SECONDS", 0.5), served() as ctl:
            slow = [socket.create_connection(("127.0.0.1", ctl.port), timeout=20) for _ in range(20)]
            for connection in slow[:10]:
                connection.sendall(b"GET /secret-st")
            head = f"POST /rotate-secret HTTP/1.1\r\nHost: localhost\r\nX-Admin-Token: {TOKEN}\r\n"
            for connection in slow[10:]:
                connection.sendall(head.encode() + b"Content-Length: 9\r\n\r\n{")
            self.assertEqual(ask(ctl, "GET", "/secret-status")[0], 200)
            for connection in slow:
                self.assertIn(b" 408 ", connection.recv(65536))
                connection.close()

    def test_too_many_connections(self) -> None:
        with served() as ctl:
            address = ("127.0.0.1", ctl.port)
            opened = [socket.create_connection(address, timeout=20) for _ in range(_http.CONNECTIONS_MAX)]
            server = ctl._server
            assert server is not None
            until(lambda: len(server._open) >= _http.CONNECTIONS_MAX)
            self.assertEqual(ask(ctl, "GET", "/secret-status")[0], 503)
            for connection in opened:
                connection.close()
            until(lambda: ask(ctl, "GET", "/secret-status")[0] == 200)

    def test_start_and_stop(self) -> None:
        async def main() -> None:
            ctl = EmergencyRotationController(admin_token=TOKEN)
            with self.assertRaises(RuntimeError):
                ctl.port
            for bad in ("0.0.0.0", "192.0.2.1", "example.org", ""):
                with self.assertRaises(ValueError):
                    await ctl.start(bad, 0)
            wrong: list[Any] = [-1, 65536, "9090", True]
            for port in wrong:
                with self.assertRaises(ValueError):
                    await ctl.start(port=port)
            await ctl.start(port=0)
            with self.assertRaises(RuntimeError):
                await ctl.start(port=0)
            other = EmergencyRotationController(admin_token=TOKEN)
            port = ctl.port
            with self.assertRaisesRegex(OSError, f"cannot listen on 127.0.0.1, port {port}: .*in use") as caught:
                await other.start(port=port)
            self.assertEqual(caught.exception.errno, errno.EADDRINUSE)
            with self.assertRaisesRegex(OSError, "cannot listen on 192.0.2.1, port 0: "):
                await other.start("192.0.2.1", 0, plain="trusted-network")
            await ctl.stop()
            await ctl.stop()
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            await other.start("localhost", 0)
            await other.stop()
            await other.start("0.0.0.0", 0, plain="trusted-network")
            await other.stop()

        asyncio.run(main())

    def test_a_closed_loop_is_no_obstacle(self) -> None:
        ctl = EmergencyRotationController(admin_token=TOKEN)
        asyncio.run(ctl.start(port=0))
        asyncio.run(ctl.start(port=0))
        ctl.set_secret(NAME, a_value())
        asyncio.run(ctl.stop())
        asyncio.run(ctl.stop())

    def test_stop_waits_for_requests_in_flight(self) -> None:
        begun, go = threading.Event(), threading.Event()

        def accept(name: str, value: str) -> bool:
            begun.set()
            return go.wait(20)

        value, answers = a_value(), []
        with served(accept=accept) as ctl:
            ctl.set_secret(NAME, a_value())
            asker = threading.Thread(target=lambda: answers.append(rotate(ctl, value)[0]), daemon=True)
            asker.start()
            self.assertTrue(begun.wait(10))
            threading.Timer(0.2, go.set).start()
        asker.join(10)
        self.assertEqual(answers, [200])
        self.assertEqual(ctl.get_secret(NAME), value)

    def test_stop_does_not_wait_for_who_asks_nothing(self) -> None:
        with mock.patch.object(_http, "STOP_SECONDS", 3600), served() as ctl:
            idle = socket.create_connection(("127.0.0.1", ctl.port), timeout=20)
            server = ctl._server
            assert server is not None
            until(lambda: server._idle)
        self.assertEqual(idle.recv(100)[:12], b"HTTP/1.1 503")
        idle.close()

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_fork_while_another_thread_has_the_lock(self) -> None:
        ctl, has = EmergencyRotationController(admin_token=TOKEN), threading.Event()

        def hold() -> None:
            with _emergency._LOCK:
                has.set()
                time.sleep(0.2)

        threading.Thread(target=hold, daemon=True).start()
        self.assertTrue(has.wait(10))
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a deadlock is a failure
            try:
                ctl.set_secret(NAME, a_value())
            finally:
                os._exit(0 if ctl.names() == [NAME] else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    @unittest.skipUnless(hasattr(os, "fork"), "limits of POSIX")
    def test_descriptors_run_out_and_come_back(self) -> None:
        done = run_program(
            "import asyncio, logging, os, resource, socket\n"
            "from keyroll import EmergencyRotationController\n"
            "logging.disable(logging.CRITICAL)\n"
            "async def main():\n"
            "    ctl = EmergencyRotationController(admin_token='t' * 32); ctl.set_secret('A', 'v' * 20)\n"
            "    await ctl.start(port=0)\n"
            "    client = socket.socket(); client.setblocking(False)\n"
            "    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
            "    taken = []\n"
            "    try:\n"
            "        while True: taken.append(os.open('/dev/null', os.O_RDONLY))\n"
            "    except OSError: pass\n"
            "    loop = asyncio.get_running_loop()\n"
            "    await loop.sock_connect(client, ('127.0.0.1', ctl.port))\n"
            "    await loop.sock_sendall(client, b'GET /secret-status HTTP/1.1\\r\\nHost: localhost\\r\\n'\n"
            "                                    b'X-Admin-Token: ' + b't' * 32 + b'\\r\\n\\r\\n')\n"
            "    await asyncio.sleep(0.1)\n"
            "    for each in taken: os.close(each)\n"
            "    print((await asyncio.wait_for(loop.sock_recv(client, 4096), 20)).split(b'\\r\\n')[0].decode())\n"
            "    await ctl.stop()\n"
            "asyncio.run(main())\n"
        )
        self.assertEqual(done.stdout.strip(), "HTTP/1.1 200 OK", done.stderr)

if __name__ == "__main__":
    unittest.main()
