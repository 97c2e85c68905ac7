"""What a value may be."""

from __future__ import annotations

import base64
import copy
import pickle
import secrets
import unittest

import keyroll
from keyroll._values import VALUE_BYTES_MAX, Versioned, clean, digest, fingerprint, same, why_refused
from keyroll._versions import Versions
from keyroll.errors import RefusedValue, SecretUnavailable, TokenUnavailable
from keyroll.sources import fetch_from_aws_secrets_manager, fetch_from_vault
from tests.support import a_value, run_program


class WhyRefused(unittest.TestCase):
    def test_keys_passwords_documents_and_key_files_are_usable(self) -> None:
        random = secrets.token_hex(16)
        begin, end = "-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----"
        for value in (
            random, f"sk-ant-{random}", f"postgres://app:{random}@db/your-token-store", f"p<ss>word-{random[:4]}",
            "correct horse battery staple", f'{{"key": "{random}", "note": "changeme later"}}', "secret", "my-key-v2",
            f"{begin}\n{base64.b64encode(secrets.token_bytes(48)).decode()}\n{end}\n", "pass\twörd", "$ecret_word",
            f"<publishData>{random}</publishData>", f"<scripted>{random}", f"<h1{random[:4]}",
            f"exchange_merchant_live_{random}", f"exchange-me-{random}", f"interchangeme{random}", f"replace_merge_{random}", "a", "ab" * (VALUE_BYTES_MAX // 2),
        ):
            self.assertIsNone(why_refused(value), value[:30])

    def test_what_is_no_value_is_refused_in_words(self) -> None:
        for value, reason in (
            (None, "is not text"), (b"bytes", "is not text"), (7, "is not text"), ("\ud800", "is not text"),
            ("", "is empty"), (" \n\t", "is empty"), ("a\x00b", "has a NUL"), ("a\x1bb", "has a control character"),
            ("a\x85b", "has a control character"), ("ab" * (VALUE_BYTES_MAX // 2) + "c", "is longer than 64 KiB"),
            ("é" * (VALUE_BYTES_MAX // 2 + 1), "is longer than 64 KiB"),
            ("<!DOCTYPE html><p>503", "is an HTML page"), ("\n <html lang=en>", "is an HTML page"),
            ("<?xml version='1.0'?><Error><Code>AccessDenied", "is an HTML page"),
            ("<!-- proxy --><html>", "is an HTML page"), ("<h1>502 Bad Gateway</h1>", "is an HTML page"),
            ("<center><h1>503", "is an HTML page"), ("\n<TITLE>Sign in</TITLE>", "is an HTML page"),
            ("<script src='/login.js'></script>", "is an HTML page"), ("<pre>upstream", "is an HTML page"),
        ):
            self.assertEqual(why_refused(value), reason, repr(value)[:40])

    def test_placeholders_are_refused_unless_allowed(self) -> None:
        for value in (
            "changeme", "CHANGE_ME", "your-api-key-here", "YOUR_API_KEY", "sk-your-key-here", "sk-ant-xxxxxxxxxxxx",
            "<your key>", "${API_KEY}", "{{ api_key }}", "$ANTHROPIC_API_KEY", "%API_KEY%", "xxxx", "****", "null",
            "sk-ant-...", "REPLACE_ME", "insert-your-token-here", " changeme ", "yourapikeyhere",
            "db-password-change_me", "please-change-me", "changeme123", "sk-REPLACE_ME-1", "replace-me.now",
        ):
            self.assertEqual(why_refused(value), "is a placeholder", value)
            self.assertIsNone(why_refused(value, allow_placeholders=True), value)

    def test_random_values_are_never_taken_for_placeholders(self) -> None:
        for _ in range(2000):
            for value in (secrets.token_hex(16), secrets.token_urlsafe(24), base64.b64encode(secrets.token_bytes(20)).decode()):
                self.assertIsNone(why_refused(value), value)


class Clean(unittest.TestCase):
    def test_one_line_end_and_a_byte_order_mark_go_and_nothing_else(self) -> None:
        for raw, text in (
            (b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b"\xef\xbb\xbfa", "a"), (" a \n", " a "), ("a\r", "a\r"),
            ("\ufeffa", "a"), (b"", ""), ("ü".encode(), "ü"),
        ):
            self.assertEqual(clean(raw), text)

    def test_bytes_that_are_no_text_are_refused_without_being_shown(self) -> None:
        value = a_value()
        with self.assertRaises(RefusedValue) as caught:
            clean(value.encode() + b"\xff")
        self.assertNotIn(value, str(caught.exception))
        self.assertIsNone(caught.exception.__context__)


class TheVersionedValue(unittest.TestCase):
    def test_it_shows_no_value_and_cannot_be_changed_or_pickled(self) -> None:
        value = a_value()
        versioned = Versioned(value, "3", 3)
        self.assertNotIn(value, f"{versioned} {versioned!r} {versioned!s}")
        with self.assertRaises(AttributeError):
            versioned.value = "b"  # type: ignore[misc]
        with self.assertRaises(TypeError) as caught:
            pickle.dumps(versioned)
        self.assertIn("cannot be pickled", str(caught.exception))
        self.assertEqual(versioned, Versioned(value, "3", 3))
        self.assertNotEqual(versioned, Versioned(value, "3", 4))
        self.assertEqual(hash(versioned), hash(Versioned(value, "3", 3)))

    def test_nothing_that_holds_one_can_be_pickled_or_shows_its_attributes(self) -> None:
        value = a_value()
        held = Versions(allow_placeholders=False, keep_previous=True)
        held.take(Versioned(value))
        holders = (held, held.current, Versioned(value), fetch_from_vault("k", token=value), fetch_from_aws_secrets_manager("k", client=value))
        for holder in holders:
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with self.assertRaises(TypeError) as caught:
                    pickle.dumps(holder, protocol)
                self.assertIn("cannot be pickled", str(caught.exception))
            self.assertNotIn(value, f"{holder} {getattr(holder, '__dict__', '')}")
            with self.assertRaises(TypeError):
                vars(holder)

    def test_wrong_parts_are_refused(self) -> None:
        with self.assertRaises(TypeError):
            Versioned("a", 3)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            Versioned("a", "3", True)

    def test_texts_are_compared_also_if_they_are_no_unicode(self) -> None:
        self.assertTrue(same("ü\ud800", "ü\ud800"))
        self.assertFalse(same("a", "b"))
        self.assertFalse(same("a", b"a"))


class Fingerprints(unittest.TestCase):
    def test_they_tell_values_apart_within_one_process_only(self) -> None:
        value = a_value()
        self.assertRegex(fingerprint(value), "^[0-9a-f]{8}$")
        self.assertEqual(fingerprint(value), fingerprint(value))
        self.assertNotEqual(fingerprint(value), fingerprint(value + "x"))
        self.assertTrue(digest(value).hex().startswith(fingerprint(value)))
        self.assertEqual((len(digest(value)), digest("ü\ud800") == digest("ü\ud801")), (32, False))
        program = "import sys; from keyroll._values import fingerprint; print(fingerprint(sys.argv[1]))"
        self.assertNotEqual(run_program(program, "harmless").stdout.strip(), fingerprint("harmless"))


class Errors(unittest.TestCase):
    def test_they_can_cross_a_process_border(self) -> None:
        for error in (SecretUnavailable("NAME", "the source is away"), TokenUnavailable("refused"), keyroll.SourceError("x")):
            for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
                self.assertEqual((type(other), str(other)), (type(error), str(error)))
        self.assertEqual(SecretUnavailable("NAME", "why").reason, "why")


class ThePackage(unittest.TestCase):
    def test_it_exports_what_it_names(self) -> None:
        for name in keyroll.__all__:
            self.assertIsNotNone(getattr(keyroll, name), name)
        self.assertLessEqual(set(keyroll.__all__), set(dir(keyroll)))
        with self.assertRaises(AttributeError):
            getattr(keyroll, "nothing")  # noqa: B009

    def test_importing_it_starts_no_thread_and_loads_no_detector(self) -> None:
        program = (
            "import sys, threading, keyroll; from keyroll import RotatableSecret;"
            "print(threading.active_count(), 'keyroll.detect' in sys.modules, 'boto3' in sys.modules)"
        )
        self.assertEqual(run_program(program).stdout.split(), ["1", "False", "False"])


if __name__ == "__main__":
    unittest.main()
