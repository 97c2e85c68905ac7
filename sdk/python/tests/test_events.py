"""Secrets that are split over the events of a stream."""

from __future__ import annotations

import asyncio
import html
import json
import secrets
import unittest
from typing import Any
from urllib.parse import quote

from keyroll._guard import AgentOutputMiddleware
from keyroll.detect._events import Events
from keyroll.detect._known import Known

from . import made


def event(data: Any, *, name: str = "", end: str = "\n") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    lines = ([f"event: {name}"] if name else []) + [f"data: {text}", "", ""]
    return end.join(lines).encode()


def read(stream: bytes) -> list[str]:
    """The data of the events, as a client reads it."""
    stream = stream.replace(b"\r\n", b"\n")
    found = []
    for one in stream.split(b"\n\n"):
        lines = [line[5:] for line in one.split(b"\n") if line.startswith(b"data:")]
        if lines:
            found.append(b"\n".join(line[1:] if line[:1] == b" " else line for line in lines).decode())
    return found


def anthropic(piece: str, index: int = 0) -> Any:
    delta = {"type": "text_delta", "text": piece}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def anthropic_input(piece: str) -> Any:
    return {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}}


def openai(piece: str) -> Any:
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}


def responses(piece: str) -> Any:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece}


def own(piece: str) -> Any:
    return {"text": piece}


def plain(piece: str) -> str:
    return piece


class SplitSecrets(unittest.TestCase):
    def setUp(self) -> None:
        self.key = made.of_rule("gitlab-token")
        self.events = Events(Known())

    def texts(self, shape: Any, stream: bytes) -> str:
        """The pieces of an answer, joined as a client joins them."""
        def inner(value: Any) -> str:
            if isinstance(value, dict):
                keys = [key for key in ("delta", "text", "partial_json", "content", "choices") if key in value]
                return inner(value[keys[0]]) if keys else ""
            return inner(value[0]) if isinstance(value, list) else str(value)

        return "".join(one if shape is plain else inner(json.loads(one)) for one in read(stream))

    def test_a_secret_that_is_split_in_any_way_is_redacted_in_each_protocol(self) -> None:
        text = f"It is {self.key}, é and more"
        for shape in (anthropic, anthropic_input, openai, responses, own, plain):
            for size in (1, 3, 4, 7, 40):
                pieces = [text[at : at + size] for at in range(0, len(text), size)]
                events = Events(Known())
                out = b"".join([events.push(event(shape(piece))) for piece in pieces]) + events.finish()
                self.assertEqual(self.texts(shape, out), "It is [redacted:gitlab-token], é and more", (shape, size))
                self.assertEqual(len(read(out)), len(pieces), "no event is lost")
                self.assertEqual([one[0] for one in events.found], ["gitlab-token"])

    def test_the_members_of_each_protocol_are_read(self) -> None:
        word = secrets.token_hex(10)
        for member in (
            "generation", "outputText", "transcript", "refusal", "inputTextDelta", "completion", "response", "thinking",
            "reasoning_content", "generated_text", "input", "textDelta", "argsTextDelta", "tool_plan", "reasoningText",
        ):
            for around in ({}, {"type": "x.delta", "index": 0}):
                events = Events(Known([word]))
                out = b""
                for piece in ("a ", word[:7], word[7:], " b"):
                    out += events.push(event({**around, "deep": [{member: piece}]}))
                out += events.finish()
                texts = [json.loads(one)["deep"][0][member] for one in read(out)]
                self.assertEqual("".join(texts), "a [redacted:known-value] b", member)

    def test_a_value_that_is_written_otherwise_is_found_across_events(self) -> None:
        value = f"p&{secrets.token_hex(3)}(a)'b\"c"
        for text in (html.escape(value), quote(value, safe="!'()*"), repr(value)[1:-1]):
            for size in (1, 3, 5):
                events = Events(Known([value]))
                pieces = [text[at : at + size] for at in range(0, len(text), size)]
                out = b"".join(events.push(event(own(piece))) for piece in pieces) + events.finish()
                joined = "".join(json.loads(one)["text"] for one in read(out))
                # The first letters may be out before they are known to begin it.
                self.assertTrue(joined.endswith("[redacted:known-value]") and text[3:] not in joined, (text, joined))

    def test_the_output_is_the_same_however_the_bytes_are_cut(self) -> None:
        whole = b": begin\n\n" + b"".join(
            event(anthropic(piece), name="content_block_delta", end="\r\n")
            for piece in ("a ", self.key[:9], self.key[9:])
        ) + event({"type": "message_stop"}) + b"id: 7\nretry: 3\ndata: {\"delta\":\ndata:  \"end\"}\n\ndata: cut"
        expected = self.events.push(whole) + self.events.finish()
        self.assertNotIn(self.key[:9].encode(), expected)
        for cut in range(1, len(whole)):
            events = Events(Known())
            self.assertEqual(events.push(whole[:cut]) + events.push(whole[cut:]) + events.finish(), expected)

    def test_events_without_a_finding_are_not_changed_in_any_byte(self) -> None:
        whole = (
            b"\xef\xbb\xbf: hello\r\n\r\nevent:a\r\ndata:{ \"text\" : \"h\\u00e9llo\", \"n\": 1e3 }\r\n\r\n"
            b"data: two\ndata:  lines\nid:\n\n" b"data: \xff\xfe bytes\n\n"
            b"retry: 9\n\ndata: [1, 2\n\n" b"data: unfinished"
        )
        self.assertEqual(self.events.push(whole) + self.events.finish(), whole)

    def test_the_fields_around_data_stay(self) -> None:
        stream = b"".join(
            b"event: delta\nid: %d\ndata: {\"text\": \"%s\"}\n\n" % (at, piece.encode())
            for at, piece in enumerate((self.key[:9], self.key[9:]))
        )
        out = self.events.push(stream) + self.events.finish()
        self.assertEqual(out, (
            b'event: delta\nid: 0\ndata: {"text": "[redacted:gitlab-token]"}\n\n'
            b'event: delta\nid: 1\ndata: {"text": ""}\n\n'
        ))

    def test_words_go_out_at_once_and_halves_of_secrets_do_not(self) -> None:
        for text in ("Hello", "Hello wor", "Build 7 finished.", "日本語のテキスト", "it's v1.2, (ok)", "[redacted:API_KEY]"):
            one = event(own(text))
            self.assertEqual(Events(Known()).push(one), one, text)
        tails = (self.key[:4], self.key[:12], "(" + self.key, "postgres://app:", "Authorization: Bearer abc", "q8Fz7")
        for text in tails:
            events = Events(Known())
            self.assertEqual(events.push(event(own(text))), b"", text)
            self.assertEqual(len(read(events.push(event(own("\nand"))))), 2, text)

    def test_what_waits_keeps_its_order_and_goes_out_with_the_next_text_or_an_end(self) -> None:
        half, other = event(anthropic("see glpat-")), event({"type": "note", "n": 1})
        self.assertEqual(self.events.push(half) + self.events.push(other), b"")
        self.assertEqual(self.events.push(event(anthropic(" no"))), half + other + event(anthropic(" no")))
        self.assertEqual(self.events.push(half), b"")
        # The end of another text is not the end of this one.
        self.assertEqual(self.events.push(event({"type": "content_block_stop", "index": 1})), b"")
        out = self.events.push(event({"type": "content_block_stop", "index": 0}))
        self.assertEqual(len(read(out)), 3)

    def test_a_complete_secret_before_the_end_of_a_text_is_redacted(self) -> None:
        for last in (event({"type": "content_block_stop", "index": 0}), event("[DONE]"), event({}, name="done")):
            events = Events(Known())
            out = b"".join(events.push(event(anthropic(piece))) for piece in (self.key[:9], self.key[9:]))
            self.assertEqual(out, b"")
            out = events.push(last)
            self.assertEqual(len(read(out)), 3)
            self.assertIn(b"[redacted:gitlab-token]", out)

    def test_a_pause_lets_events_go_unless_a_secret_is_complete(self) -> None:
        alive = (b": ping\n\n", event({"type": "ping"}))
        for one in alive:
            events = Events(Known())
            events.push(event(own("version 3f7a9")))
            self.assertEqual(events.push(one), b"", "the model may be within a word")
            self.assertEqual(events.push(one), event(own("version 3f7a9")) + one + one)
            events.push(event(own(" " + self.key)))
            self.assertEqual(b"".join(events.push(one) for _ in range(5)), b"")
            self.assertIn(b"[redacted:gitlab-token]", events.finish())

    def test_what_begins_like_a_word_is_redacted_from_then_on(self) -> None:
        value = f"horse{secrets.token_hex(12)}"
        events = Events(Known([value]))
        first = events.push(event(own("ho")))
        self.assertEqual(first, event(own("ho")))
        self.assertEqual(events.push(event(own("rse"))), b"")
        out = events.push(event(own(value[5:] + " end")))
        self.assertEqual([json.loads(one)["text"] for one in read(out)], ["[redacted:known-value]", " end"])

    def test_texts_at_different_places_are_not_mixed(self) -> None:
        out = b""
        for at in range(0, len(self.key), 5):
            for index in (0, 1):
                out += self.events.push(event(anthropic(self.key[at : at + 5] if index else "words of it ", index)))
        out += self.events.finish()
        self.assertEqual(out.count(b"[redacted:gitlab-token]"), 1)
        self.assertNotIn(self.key[5:10].encode(), out)

    def test_not_more_waits_than_is_said(self) -> None:
        size = given = 0
        self.events.push(event(own("-----BEGIN " + "PRIVATE KEY-----")))
        filler = event({"n": "x" * 10_000})
        for _ in range(300):
            size += len(filler)
            given += len(self.events.push(filler))
            self.assertLess(size - given, 1100 * 1024)
        # Also of an event that does not end, and of places.
        for _ in range(300):
            size += 10_000
            given += len(self.events.push(b"x" * 10_000))
            self.assertLess(size - given, 1100 * 1024)
        many, out = Events(Known()), b""
        for at in range(1000):
            out += many.push(event({"index": at, "text": "q8Fz7"}))
            self.assertLessEqual(at - len(read(out)), 257)
        self.assertEqual(len(read(out + many.finish())), 1000)

    def test_hostile_json_is_passed_on(self) -> None:
        deep = '{"a":' * 200 + '"x"' + "}" * 200
        for text in ("[" * 5000, "{" * 50, '{"text": 1' + "0" * 5000 + "}", deep, "null", '"'):
            events = Events(Known())
            self.assertEqual(events.push(event(text)) + events.finish(), event(text))


class TheMiddleware(unittest.TestCase):
    def test_an_answer_of_events_is_redacted_across_them(self) -> None:
        key = made.of_rule("gitlab-token")
        told: list[Any] = []
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for piece in ("The key ", key[:6], key[6:13], key[13:]):
                await send({"type": "http.response.body", "body": event(anthropic(piece)), "more_body": True})
            await send({"type": "http.response.body"})

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(AgentOutputMiddleware(app, on_leak=told.append)({"type": "http", "method": "GET"}, None, send))
        self.assertEqual(sent[1]["body"], event(anthropic("The key ")), "what is decided does not wait")
        texts = [json.loads(one)["delta"]["text"] for one in read(b"".join(one["body"] for one in sent[1:]))]
        self.assertEqual(texts, ["The key ", "[redacted:gitlab-token]", "", ""])
        self.assertEqual([[one["type"] for one in findings] for findings in told], [["GitLab token"]])


if __name__ == "__main__":
    unittest.main()
