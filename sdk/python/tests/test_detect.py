"""The detector: it finds what keyroll's own engine finds, at the same places."""

from __future__ import annotations

import json
import re
import unittest
from pathlib import Path
from unittest import mock

from keyroll.detect import _checksum, _engine, _expression, _judge, _names, _scan
from keyroll.detect import find_secrets, redact_secrets, scan_for_secrets

from . import made

VECTORS = Path(__file__).with_name("vectors.json")


class TheVectors(unittest.TestCase):
    def test_findings_equal_those_of_keyroll_itself(self) -> None:
        vectors = json.loads(VECTORS.read_text("utf-8"))
        rules = {one["rule"] for vector in vectors for one in vector["found"]}
        self.assertGreater(len(rules), len(_engine.shipped().all) - 20)
        for vector in vectors:
            text = vector["reversed"][::-1]
            found = [
                {"rule": one.rule, "title": one.title, "start": one.start, "end": one.end}
                for one in find_secrets(text)
            ]
            if found != vector["found"]:
                self.fail(f"in {vector['reversed']!r} (backwards): {found} instead of {vector['found']}")


    def test_the_readme_has_their_number(self) -> None:
        readme = Path(__file__).parent.parent / "README.md"
        self.assertTrue(f"Found are {len(_engine.shipped().all)} kinds" in readme.read_text("utf-8"))


class AScan(unittest.TestCase):
    def test_each_occurrence_is_reported_once_where_the_secret_begins(self) -> None:
        key = made.of_rule("anthropic-api-key")
        text = f"ключ = {key}\n\N{OLD PERSONAL COMPUTER} Authorization: Bearer {key} é{key}"
        found = scan_for_secrets(text)
        self.assertEqual([one["position"] for one in found], [match.start() for match in re.finditer(key, text)])
        self.assertEqual({one["type"] for one in found}, {"Anthropic API key"})
        self.assertEqual(found[0]["redacted"], f"{key[:4]}...{key[-4:]}")
        self.assertEqual(list(found[0]), ["type", "redacted", "position"])

    def test_positions_in_bytes_count_bytes_and_bytes_need_not_be_utf_8(self) -> None:
        key = made.of_rule("gitlab-token").encode()
        text = b"\xff\xc3 " + key
        self.assertEqual([one["position"] for one in scan_for_secrets(text)], [3])
        self.assertEqual(redact_secrets(text), b"\xff\xc3 [redacted:gitlab-token]")

    def test_lone_surrogates_are_kept(self) -> None:
        key = made.of_rule("gitlab-token")
        text = f"\udcff {key} \ud800"
        self.assertEqual(scan_for_secrets(text)[0]["position"], 2)
        self.assertEqual(redact_secrets(text), "\udcff [redacted:gitlab-token] \ud800")

    def test_at_most_a_third_of_a_value_is_shown(self) -> None:
        for value in (made.password(), made.of_rule("gitlab-token"), made.of_rule("aws-access-key-id"), made.pem()):
            text = f"token = '{value}'"
            for one in scan_for_secrets(text):
                shown = str(one["redacted"]).replace("...", "").replace("*", "")
                self.assertLessEqual(len(shown) * 3, len(value))
        self.assertEqual(scan_for_secrets(f"password = '{made.password()}'")[0]["redacted"], "****")

    def test_only_text_and_bytes_are_taken(self) -> None:
        for other in (None, 1, ["a"], {"a": "b"}, bytearray(b"a")):
            for function in (scan_for_secrets, redact_secrets):
                with self.assertRaises(TypeError):
                    function(other)  # type: ignore[call-overload,arg-type]

    def test_a_text_without_a_secret_is_returned_as_it_is(self) -> None:
        for text in ("", "Bearer of bad news", "the password is in the safe", "token: Option<AccessToken>", "\0\n\0"):
            self.assertIs(redact_secrets(text), text)
            self.assertEqual(scan_for_secrets(text), [])

    def test_markers_stand_in_place_of_the_values_and_nothing_else_changes(self) -> None:
        key, word = made.of_rule("gitlab-token"), made.password()
        text = f"a {key}, b password='{word}' c postgres://app:{word}@db/x d\n{made.pem()}\n"
        text += f"Authorization: Bearer {word}"
        self.assertEqual(
            redact_secrets(text),
            "a [redacted:gitlab-token], b password='[redacted:named-secret]' c "
            "postgres://app:[redacted:connection-password]@db/x d\n[redacted:private-key]\n"
            "Authorization: Bearer [redacted:sent-credential]",
        )
        self.assertEqual(redact_secrets(redact_secrets(text)), redact_secrets(text))

    def test_a_long_line_is_read_by_names_in_pieces(self) -> None:
        word = made.password()
        filler = ",".join(f'"n{number}": {number}' for number in range(3000))
        text = f'{{{filler},"password": "{word}",{filler}}}'
        self.assertGreater(len(text), 64 * 1024)
        self.assertEqual([one.rule for one in find_secrets(text)], ["named-secret"])
        self.assertNotIn(word, redact_secrets(text))


class TheForms(unittest.TestCase):
    def test_every_rule_is_sound(self) -> None:
        rules = _engine.shipped().all
        self.assertEqual(len({rule.id for rule in rules}), len(rules))
        for rule in rules:
            value = made.of_rule(rule.id).encode()
            self.assertTrue(rule.least <= len(value) <= rule.most <= _engine.BLOCK_BYTES_MAX, rule.id)
            self.assertEqual(rule.end(value, 0, len(value)), len(value), rule.id)
            self.assertTrue(rule.title and rule.begins + rule.holds + rule.near, rule.id)
            # Streams decide at the end of a word.
            if not rule.block and b" " not in b"".join(rule.begins):
                self.assertNotRegex(value, b"[\\x00-\\x20]", rule.id)

    def test_the_head_of_a_value_may_go_on_and_other_text_not(self) -> None:
        for rule in _engine.shipped().all:
            # In the others are no spaces, at which streams are cut.
            if rule.block or b" " in b"".join(rule.begins):
                pattern = re.compile(_expression.may_go_on(_expression.parse(rule.expression)).encode())
                value = made.of_rule(rule.id).encode()
                for length in range(len(value)):
                    found = pattern.match(value, 0, length)
                    self.assertTrue(found and found.end() == length, f"{rule.id} {length}")
                self.assertIsNone(pattern.match(value[:1] + b"\x01" + value[1:]), rule.id)

    def test_a_changed_letter_breaks_a_checksum(self) -> None:
        self.assertEqual(_checksum.polymod(b"a12uel5l"), 1)
        for kind in ("crc32-base62", "crc32-hex-le", "gitlab-routable", "bech32"):
            rules = [rule for rule in _engine.shipped().all if rule.checksum == kind]
            self.assertTrue(rules, kind)
            value = made.of_rule(rules[0].id)
            self.assertTrue(find_secrets(value), rules[0].id)
            other = value[:-1] + ("2" if value[-1] != "2" else "3")
            self.assertFalse(_checksum.fits(rules[0].checksum, other.encode()))
            self.assertNotIn(rules[0].id, [one.rule for one in find_secrets(f"x {other} y")])
        self.assertFalse(_checksum.fits("unknown", b"value"))

    def test_a_value_within_a_longer_word_is_none(self) -> None:
        key = made.of_rule("gitlab-token")
        for before, behind in (("a", ""), ("", "_"), ("9", ""), ("\x1b[31mm", "")):
            self.assertEqual(_scan.by_form(f"x {before}{key}{behind}".encode()), [])
        for before in ("\\n", "\x1b[1;38;5;208m", "\x1b(B", "=", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
            self.assertEqual(len(_scan.by_form(f"x {before}{key}\x1b[0m".encode())), 1, repr(before))

    def test_a_word_of_a_rule_must_be_near_on_the_same_line(self) -> None:
        value = made.of_rule("ai21-api-key")
        for text in (f"AI21_API_KEY={value}", f"myAi21_key: {value}", f"ai21_key{' ' * 56}{value}"):
            self.assertEqual([one.rule for one in _scan.by_form(text.encode())], ["ai21-api-key"], text)
        for text in (value, f"ai21_key\n{value}", f"ai21_key{' ' * 57}{value}", f"xai21_key={value}"):
            self.assertEqual(_scan.by_form(text.encode()), [], text)

        # Also of a rule that is searched for by the beginning of its values.
        value = made.of_rule("dashscope-api-key")
        for text, count in ((f"qwen {value}", 1), (f"qwen\n{value}", 0)):
            found = [one for one in _scan.by_form(text.encode()) if one.rule == "dashscope-api-key"]
            self.assertEqual(len(found), count, text)

    def test_the_more_specific_rule_wins(self) -> None:
        row = ("title", (), (), (), 0.0, "", False, False)

        def rule(name: str, **changed: object) -> tuple[object, ...]:
            fields = dict(zip(("title", "begins", "holds", "near", "entropy", "checksum", "yields", "block"), row))
            fields.update(changed)
            return (name, *list(fields.values())[:8], fields["regex"])

        rules = _engine.Rules([
            rule("any", near=("bearer",), yields=True, regex="[a-z0-9-]{8,40}"),
            rule("weak", begins=("abc-",), yields=True, regex="abc-[a-z0-9-]{8,40}"),
            rule("near", near=("mine",), regex="[a-z0-9-]{8,40}"),
            rule("form", begins=("abc-",), regex="abc-[a-z0-9]{8}"),
        ])
        for text, told in (
            ("mine: Bearer abc-12345678", ["form"]),
            ("mine: Bearer xyz-12345678", ["near"]),
            ("Bearer xyz-12345678 and abc-12345678", ["any", "form"]),
        ):
            self.assertEqual([one.rule for one in rules.find(text.encode())], told)

    def test_work_grows_with_the_text_and_no_faster(self) -> None:
        tries = 0
        end = _engine.Rule.end

        def counted(rule: _engine.Rule, data: bytes, start: int, limit: int) -> int:
            nonlocal tries
            tries += 1
            return end(rule, data, start, limit)

        with mock.patch.object(_engine.Rule, "end", counted):
            for part in ("sk-", "wif ", "AAAA", "private_key=", "-eyJ0.", "aA", "://a:b@", '"key":"', "x" * 50):
                counts = []
                for size in (20_000, 40_000):
                    tries = 0
                    find_secrets(part * (size // len(part)))
                    counts.append(tries)
                self.assertLessEqual(counts[1], 2 * counts[0] + 200, part)


class ByName(unittest.TestCase):
    def test_names_of_secrets(self) -> None:
        for name in ("OPENAI_API_KEY", "dbPassword", "PGPASSWORD", "DB_PW2", "API_KEY_LIVE", "client_secret"):
            self.assertTrue(_names.names_a_secret(name), name)
        for name in ("TOKEN_FILE", "PWD", "next_page_token", "KEY_ID", "max_tokens", "existingSecret", "OAUTH2", ""):
            self.assertFalse(_names.names_a_secret(name), name)

    def test_random_values_are_taken_for_secrets_and_placeholders_not(self) -> None:
        for _ in range(300):
            random = made.password().encode()
            self.assertFalse(_judge.no_secret(random) or not _judge.is_distinct(random), "a random value")
        for value in ("${DB_PASSWORD}", "changeme", "<your key>", "your-api-key", "1234567890abcdef", "aaaaaaaaaaaa"):
            self.assertTrue(_judge.no_secret(value.encode()), value)

    def test_the_fallback_of_a_position_is_judged_too(self) -> None:
        word = made.password()
        for text in (f"the bearer {word.lower()}", "Bearer token", f"https://u:{word}@db.example.com/x"):
            self.assertEqual(find_secrets(text), [], text)
        for text in (f"Authorization: Bearer {word}", f"amqp://u:{word}@mq.internal/x"):
            self.assertEqual(len(find_secrets(text)), 1, text)


if __name__ == "__main__":
    unittest.main()
