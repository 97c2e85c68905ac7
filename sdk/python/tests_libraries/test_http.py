"""Clients of HTTP APIs: each with the same scenes, against an API that refuses keys."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import threading
import unittest
from typing import Any, Callable
from unittest import mock

import aiohttp
import anthropic
import azure.core
import azure.core.pipeline.policies
import google.auth.transport.requests
import httpx
import httpx2
import openai
import requests
from azure.core.rest import HttpRequest

import keyroll.aiohttp
import keyroll.anthropic
import keyroll.azure
import keyroll.google_auth
import keyroll.httpx
import keyroll.httpx2
import keyroll.openai
import keyroll.requests
from keyroll import RotatableSecret, SecretUnavailable, SelfExpiringTokenManager, SourceError
from keyroll.errors import RefusedValue

from .servers import wait
from .support import Api, Source, secret

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "?"}], "max_tokens": 5}


def _openai(key: Any, url: str) -> Callable[[], Any]:
    client = openai.OpenAI(
        api_key="-", base_url=f"{url}/v1", http_client=keyroll.openai.http_client(key), max_retries=0
    )
    return lambda: client.chat.completions.create(**ASK).choices[0].message.content


def _anthropic(key: Any, url: str) -> Callable[[], Any]:
    client = anthropic.Anthropic(
        api_key="-", base_url=url, http_client=keyroll.anthropic.http_client(key), max_retries=0
    )
    return lambda: client.messages.create(**ASK).content[0].text


def _anthropic_stream(key: Any, url: str) -> Callable[[], Any]:
    client = anthropic.Anthropic(
        api_key="-", base_url=url, http_client=keyroll.anthropic.http_client(key), max_retries=0
    )

    def call() -> str:
        return client.messages.with_raw_response.create(**ASK).parse().content[0].text

    return call


def _raised(response: Any) -> Any:
    response.raise_for_status()
    return response


def _httpx(key: Any, url: str) -> Callable[[], Any]:
    client = httpx.Client(auth=keyroll.httpx.Bearer(key))
    return lambda: _raised(client.post(url, json=ASK))


def _httpx2(key: Any, url: str) -> Callable[[], Any]:
    client = httpx2.Client(auth=keyroll.httpx2.HeaderAuth("X-Api-Key", key))
    return lambda: _raised(client.post(url, json=ASK))


def _requests(key: Any, url: str) -> Callable[[], Any]:
    session = requests.Session()
    session.auth = keyroll.requests.Bearer(key)
    return lambda: _raised(session.post(url, json=ASK))


def _azure(key: Any, url: str) -> Callable[[], Any]:
    client: Any = azure.core.PipelineClient(
        url, per_retry_policies=[keyroll.azure.KeyPolicy("api-key", key)], retry_total=0
    )
    return lambda: _raised(client.send_request(HttpRequest("POST", url, json=ASK)))


def _google(key: Any, url: str) -> Callable[[], Any]:
    session = google.auth.transport.requests.AuthorizedSession(keyroll.google_auth.Credentials(key))
    return lambda: _raised(session.post(url, json=ASK))


def _async(make: Callable[[Any, str], Any]) -> Callable[[Any, str], Callable[[], Any]]:
    """A client whose call is made in a loop of its own."""
    return lambda key, url: lambda: asyncio.run(make(key, url))


async def _aopenai(key: Any, url: str) -> Any:
    client = openai.AsyncOpenAI(
        api_key="-", base_url=f"{url}/v1", http_client=keyroll.openai.async_http_client(key), max_retries=0
    )
    async with client:
        return (await client.chat.completions.create(**ASK)).choices[0].message.content


async def _aanthropic(key: Any, url: str) -> Any:
    made = keyroll.anthropic.async_http_client(key)
    async with anthropic.AsyncAnthropic(api_key="-", base_url=url, http_client=made, max_retries=0) as client:
        return (await client.messages.create(**ASK)).content[0].text


async def _ahttpx(key: Any, url: str) -> Any:
    async with httpx.AsyncClient(auth=keyroll.httpx.HeaderAuth("X-Api-Key", key)) as client:
        return _raised(await client.post(url, json=ASK))


async def _ahttpx2(key: Any, url: str) -> Any:
    async with httpx2.AsyncClient(auth=keyroll.httpx2.Bearer(key)) as client:
        return _raised(await client.post(url, json=ASK))


async def _aiohttp(key: Any, url: str) -> Any:
    async with aiohttp.ClientSession(middlewares=(keyroll.aiohttp.bearer(key),)) as session:
        async with session.post(url, json=ASK) as response:
            _raised(response)
            return await response.json()


async def _aazure(key: Any, url: str) -> Any:
    policies = [keyroll.azure.AsyncKeyPolicy("api-key", key)]
    async with azure.core.AsyncPipelineClient(url, per_retry_policies=policies, retry_total=0) as client:
        return _raised(await client.send_request(HttpRequest("POST", url, json=ASK)))


CLIENTS: dict[str, Callable[[Any, str], Callable[[], Any]]] = {
    "openai": _openai,
    "openai async": _async(_aopenai),
    "anthropic": _anthropic,
    "anthropic raw": _anthropic_stream,
    "anthropic async": _async(_aanthropic),
    "httpx": _httpx,
    "httpx async": _async(_ahttpx),
    "httpx2": _httpx2,
    "httpx2 async": _async(_ahttpx2),
    "requests": _requests,
    "aiohttp": _async(_aiohttp),
    "azure": _azure,
    "azure async": _async(_aazure),
    "google-auth": _google,
}
# Its sessions do not say which requests were accepted.
SILENT = ("google-auth",)


class Scenes(unittest.TestCase):
    def setUp(self) -> None:
        self.api = Api()
        self.addCleanup(self.api.close)
        logging.getLogger("keyroll").setLevel(logging.CRITICAL)
        self.addCleanup(logging.getLogger("keyroll").setLevel, logging.NOTSET)

    def each(self, scene: Callable[[str, Source, RotatableSecret, Callable[[], Any]], None]) -> None:
        for name, make in CLIENTS.items():
            with self.subTest(name):
                self.api.requests.clear()
                self.api.valid.clear()
                self.api.status = 401
                source = Source()
                with secret(source) as key:
                    scene(name, source, key, make(key, self.api.url))

    def test_a_client_that_was_made_once_uses_the_new_key(self) -> None:
        def scene(name: str, source: Source, key: RotatableSecret, call: Callable[[], Any]) -> None:
            first = source.value
            self.api.valid = {first}
            self.assertTrue(call())
            second = source.turn()
            self.api.valid = {first, second}
            self.assertTrue(key.refresh())
            self.assertTrue(call())
            self.assertEqual(self.api.keys, [first, second])
            if name not in SILENT:
                self.assertEqual(
                    key.stats, {"v1": {"ok": 1, "refused": 0}, "v2": {"ok": 1, "refused": 0}}
                )

        self.each(scene)

    def test_a_refused_key_is_fetched_anew_and_the_request_is_sent_once_more(self) -> None:
        for status in (401, 403):
            def scene(name: str, source: Source, key: RotatableSecret, call: Callable[[], Any]) -> None:
                # Google's session looks at 401 alone.
                if name == "google-auth" and status == 403:
                    return
                first, second = source.value, source.turn()
                self.api.valid, self.api.status = {second}, status
                self.assertTrue(call())
                self.assertEqual(self.api.keys, [first, second])
                self.assertEqual(len({body for _, _, _, body in self.api.requests}), 1, "the same body")
                self.assertEqual(key.stats["v1"], {"ok": 0, "refused": 1})
                self.assertEqual(key.stats["v2"], {"ok": 0 if name in SILENT else 1, "refused": 0})

            self.each(scene)

    def test_a_new_key_that_does_not_work_yet_falls_back_to_the_previous_one(self) -> None:
        def scene(name: str, source: Source, key: RotatableSecret, call: Callable[[], Any]) -> None:
            first, second = source.value, source.turn()
            key.refresh()
            self.api.valid = {first}
            self.assertTrue(call())
            self.assertEqual(self.api.keys, [second, first])
            self.assertEqual(key.stats["v2"], {"ok": 0, "refused": 1})

        self.each(scene)

    def test_two_refusals_are_the_caller_s_error_and_no_third_request(self) -> None:
        def scene(name: str, source: Source, key: RotatableSecret, call: Callable[[], Any]) -> None:
            first, second = source.value, source.turn()
            with self.assertRaises(Exception) as raised:
                call()
            said = getattr(raised.exception, "status_code", None)
            self.assertTrue(name in SILENT or said == 401 or "401" in str(raised.exception), raised.exception)
            self.assertEqual(self.api.statuses, [401, 401])
            self.assertEqual(self.api.keys[:2], [first, second])
            for value in (first, second):
                self.assertNotIn(value, repr(raised.exception) + str(raised.exception))

        self.each(scene)

    def test_after_a_compromise_there_is_no_way_back(self) -> None:
        def scene(name: str, source: Source, key: RotatableSecret, call: Callable[[], Any]) -> None:
            first = source.value
            key.compromise()
            second = source.turn()
            key.refresh()
            self.api.valid = {first}
            with self.assertRaises(Exception):
                call()
            self.assertNotIn(first, self.api.keys)
            self.assertEqual(set(self.api.keys), {second})

        self.each(scene)

    def test_an_error_of_the_server_says_nothing_of_the_key(self) -> None:
        def scene(name: str, source: Source, key: RotatableSecret, call: Callable[[], Any]) -> None:
            self.api.status = 500
            with self.assertRaises(Exception):
                call()
            self.assertEqual(key.stats, {"v1": {"ok": 0, "refused": 0}})

        self.each(scene)

    def test_without_a_value_nothing_is_sent(self) -> None:
        def away() -> str:
            raise SourceError("away")

        for name, make in CLIENTS.items():
            with self.subTest(name), RotatableSecret("THE_KEY", away, 3600) as key:
                with self.assertRaises(Exception) as raised:
                    make(key, self.api.url)()
                causes = [raised.exception, raised.exception.__cause__, raised.exception.__context__]
                self.assertTrue(any(isinstance(each, SecretUnavailable) for each in causes), causes)
        self.assertEqual(self.api.requests, [])

    def test_a_value_that_is_no_header_is_not_printed(self) -> None:
        for name, make in CLIENTS.items():
            with self.subTest(name), secret(Source("canary-7f3a\nsecond-line")) as key:
                with self.assertRaises(Exception) as raised:
                    make(key, self.api.url)()
                causes = [raised.exception, raised.exception.__cause__, raised.exception.__context__]
                self.assertTrue(any(isinstance(each, RefusedValue) for each in causes), causes)
                self.assertNotIn("7f3a", "".join(repr(each) + str(each) for each in causes))
        self.assertEqual(self.api.requests, [])

    def test_a_token_that_expires_is_used_in_the_same_way(self) -> None:
        for name, make in CLIENTS.items():
            with self.subTest(name):
                self.api.requests.clear()
                source = Source()
                given: list[str] = []

                def fetch() -> str:
                    given.append(source.turn())
                    return given[-1]

                with SelfExpiringTokenManager("", "", "", fetch_fn=fetch) as tokens:
                    tokens.get()
                    self.api.valid = {"the next one"}
                    call = make(tokens, self.api.url)
                    with mock.patch.object(self.api, "valid", _All(given[0])):
                        self.assertTrue(call())
                    self.assertEqual(self.api.keys, given)
                    self.assertEqual(len(given), 2)


class _All(set):  # type: ignore[type-arg]
    """Every key but one."""

    def __init__(self, but: str) -> None:
        super().__init__()
        self.but = but

    def __contains__(self, key: object) -> bool:
        return key != self.but


class Bodies(unittest.TestCase):
    """A body that can be read once is never sent again, and the next request has the new key."""

    def setUp(self) -> None:
        self.api = Api()
        self.addCleanup(self.api.close)
        self.source = Source()
        self.key = secret(self.source)
        self.addCleanup(self.key.stop)
        self.first, self.second = self.source.value, self.source.turn()
        self.api.valid = {self.second}

    def once(self, status: int, again: Callable[[], Any]) -> None:
        self.assertEqual(status, 401)
        self.assertEqual(self.api.keys, [self.first])
        again()
        self.assertEqual(self.api.keys, [self.first, self.second])

    def test_httpx(self) -> None:
        for library, auth in ((httpx, keyroll.httpx), (httpx2, keyroll.httpx2)):
            with self.subTest(library.__name__):
                self.setUp()
                client: Any = library.Client(auth=auth.Bearer(self.key))
                response = client.post(self.api.url, content=iter([b"a", b"b"]))
                self.once(response.status_code, lambda: client.post(self.api.url))

    def test_requests(self) -> None:
        session = requests.Session()
        session.auth = keyroll.requests.Bearer(self.key)
        response = session.post(self.api.url, data=io.BytesIO(b"ab"))
        self.once(response.status_code, lambda: session.post(self.api.url))

    def test_aiohttp(self) -> None:
        async def body() -> Any:
            yield b"a"
            yield b"b"

        async def scene() -> None:
            async with aiohttp.ClientSession(middlewares=(keyroll.aiohttp.bearer(self.key),)) as session:
                async with session.post(self.api.url, data=body()) as response:
                    self.assertEqual(response.status, 401)
                self.assertEqual(self.api.keys, [self.first])
                async with session.post(self.api.url) as response:
                    self.assertEqual(response.status, 200)
            self.assertEqual(self.api.keys, [self.first, self.second])

        asyncio.run(scene())

    def test_openai_uploads(self) -> None:
        client = openai.OpenAI(
            api_key="-", base_url=self.api.url, http_client=keyroll.openai.http_client(self.key), max_retries=0
        )

        def upload() -> Any:
            return client.files.create(file=io.BytesIO(b"{}"), purpose="assistants")

        with self.assertRaises(openai.AuthenticationError):
            upload()
        self.assertEqual(self.api.keys, [self.first])
        upload()
        self.assertEqual(self.api.keys, [self.first, self.second])

    def test_azure(self) -> None:
        policy = keyroll.azure.KeyPolicy("api-key", self.key)
        client: Any = azure.core.PipelineClient(self.api.url, per_retry_policies=[policy], retry_total=0)
        response = client.send_request(HttpRequest("POST", self.api.url, content=iter([b"a", b"b"])))
        self.once(response.status_code, lambda: client.send_request(HttpRequest("POST", self.api.url)))


class Elsewhere(unittest.TestCase):
    """A redirect to another server does not take the key there."""

    def setUp(self) -> None:
        self.api, self.other = Api(), Api()
        self.addCleanup(self.api.close)
        self.addCleanup(self.other.close)
        self.source = Source()
        self.key = secret(self.source)
        self.addCleanup(self.key.stop)
        # Another host, not merely another port.
        self.to = self.other.url.replace("127.0.0.1", "localhost")
        self.url = f"{self.api.url}/elsewhere?to={self.to}/"

    def no_key(self) -> None:
        self.assertEqual(self.api.keys, [self.source.value])
        self.assertEqual(self.other.keys, [""])
        self.assertEqual(self.key.stats, {"v1": {"ok": 1, "refused": 0}})

    def test_requests(self) -> None:
        session = requests.Session()
        session.auth = keyroll.requests.Bearer(self.key)
        self.assertEqual(session.post(self.url, data="x").status_code, 401)
        self.no_key()

    def test_aiohttp(self) -> None:
        async def scene() -> None:
            middlewares = (keyroll.aiohttp.header("x-api-key", self.key),)
            async with aiohttp.ClientSession(middlewares=middlewares) as session:
                with self.assertLogs("keyroll", "WARNING") as logs:
                    async with session.post(self.url, data="x") as response:
                        self.assertEqual(response.status, 401)
                self.assertNotIn(self.source.value, str(logs.output))
            named = keyroll.aiohttp.bearer(self.key, self.api.url, self.to)
            async with aiohttp.ClientSession(middlewares=(named,)) as session:
                async with session.get(self.to) as response:
                    self.assertEqual(response.status, 401)

        asyncio.run(scene())
        self.assertEqual(self.other.keys, ["", self.source.value])

    def test_httpx_and_what_is_built_on_it(self) -> None:
        def httpx_(key: Any) -> Any:
            return httpx.Client(auth=keyroll.httpx.Bearer(key), follow_redirects=True)

        def httpx2_(key: Any) -> Any:
            return httpx2.Client(auth=keyroll.httpx2.Bearer(key), follow_redirects=True)

        for made in (httpx_, httpx2_, keyroll.openai.http_client, keyroll.anthropic.http_client):
            with self.subTest(made.__name__):
                self.setUp()
                # A previous version, which nobody is to be shown either.
                self.source.turn()
                self.key.refresh()
                self.assertEqual(made(self.key).post(self.url, content=b"pay").status_code, 401)
                self.assertEqual((self.api.keys, self.other.keys), ([self.source.value], [""]))
                self.assertEqual(self.key.stats["v2"], {"ok": 1, "refused": 0})

    def test_requests_with_another_header(self) -> None:
        session = requests.Session()
        session.auth = keyroll.requests.HeaderAuth("x-api-key", self.key)
        self.assertEqual(session.post(self.url, data="x").status_code, 401)
        self.no_key()

    def test_azure(self) -> None:
        policies = [
            azure.core.pipeline.policies.RedirectPolicy(), keyroll.azure.KeyPolicy("api-key", self.key),
            azure.core.pipeline.policies.SensitiveHeaderCleanupPolicy(),
        ]
        client: Any = azure.core.PipelineClient(self.api.url, policies=policies)
        self.assertEqual(client.send_request(HttpRequest("GET", self.url)).status_code, 401)
        self.no_key()


class Odd(unittest.TestCase):
    """What was broken once."""

    def setUp(self) -> None:
        self.api = Api()
        self.addCleanup(self.api.close)
        self.source = Source()
        self.key = secret(self.source)
        self.addCleanup(self.key.stop)

    def test_a_redirect_after_a_second_attempt_goes_on_with_that(self) -> None:
        session = requests.Session()
        session.auth = keyroll.requests.Bearer(self.key)
        first, second = self.source.value, self.source.turn()
        self.api.valid = {second}
        self.api.checks_redirects = True
        self.assertEqual(session.get(f"{self.api.url}/elsewhere?to={self.api.url}/there").status_code, 200)
        self.assertEqual(self.api.keys, [first, second, second])
        self.assertEqual(self.key.stats["v1"], {"ok": 0, "refused": 1})

    def test_a_missing_permission_is_no_refusal_of_a_key_that_worked(self) -> None:
        first = self.source.value
        second = self.source.turn()
        self.key.refresh()
        self.api.valid, self.api.status = {first, second}, 403
        client = httpx.Client(auth=keyroll.httpx.Bearer(self.key))
        self.assertEqual(client.get(self.api.url).status_code, 200)
        self.api.valid = {first}
        self.assertEqual(client.get(self.api.url).status_code, 403)
        self.assertEqual(self.api.keys, [second, second], "not with the previous one")
        self.assertEqual(self.key.stats["v2"], {"ok": 1, "refused": 0})
        third = self.source.turn()
        self.api.valid = {third}
        wait("a fetch is allowed again", lambda: client.get(self.api.url).status_code == 200)

    def test_nothing_of_anthropic_s_log_has_the_key(self) -> None:
        self.api.valid = {self.source.value}
        with self.assertLogs("anthropic", logging.DEBUG) as logs:
            _anthropic(self.key, self.api.url)()
        self.assertNotIn(self.source.value, "".join(logs.output))

    def test_an_answer_that_is_none_does_not_show_the_key(self) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()

            def answer() -> None:
                link, _ = server.accept()
                link.recv(65536)
                link.sendall(b"HTTP/1.1 garbage\r\n\r\n")
                link.close()

            threading.Thread(target=answer, daemon=True).start()

            async def scene() -> None:
                async with aiohttp.ClientSession(middlewares=(keyroll.aiohttp.bearer(self.key),)) as session:
                    await session.get(f"http://127.0.0.1:{server.getsockname()[1]}/")

            with self.assertRaises(aiohttp.ClientError) as raised:
                asyncio.run(scene())
        self.assertNotIn(self.source.value, repr(raised.exception))

    def test_google_never_goes_back_to_a_compromised_token(self) -> None:
        credentials = keyroll.google_auth.Credentials(self.key)
        first = self.source.value
        self.source.turn()
        self.key.refresh()
        sent: dict[str, str] = {}
        credentials.before_request(None, "GET", "", sent)
        credentials.refresh(None)
        self.key.compromise()
        third = self.source.turn()
        self.key.refresh()
        credentials.before_request(None, "GET", "", sent)
        self.assertEqual(sent["authorization"], f"Bearer {third}")
        self.assertNotIn(first, sent["authorization"])

    def test_what_is_no_key_is_told_at_once(self) -> None:
        for make in (
            lambda key: keyroll.httpx.Bearer(key), lambda key: keyroll.httpx.HeaderAuth(key, "x-api-key"),
            lambda key: keyroll.requests.Bearer(key), lambda key: keyroll.aiohttp.bearer(key),
            lambda key: keyroll.openai.http_client(key), lambda key: keyroll.anthropic.http_client(key),
            lambda key: keyroll.azure.KeyPolicy("api-key", key), lambda key: keyroll.google_auth.Credentials(key),
        ):
            with self.assertRaisesRegex(TypeError, "key is a RotatableSecret or a SelfExpiringTokenManager, not str"):
                make("canary-text")


if __name__ == "__main__":
    unittest.main()
