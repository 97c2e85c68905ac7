"""A known value that is an ordinary word is redacted as a whole word; every other one inside of any text."""

from __future__ import annotations

import base64
import json
import unittest

from keyroll._guard import RedactingStream, check_agent_output_for_leaks
from keyroll.detect._events import Events
from keyroll.detect._judge import occurs_in_words
from keyroll.detect._known import Known
from keyroll.detect._whole import stands_alone

STRONG = "kD93hfQ0plm4Xy"
MARK = "[redacted:known-value]"
TEXT = "What optimized: the optimize step.\nprofiles.optimize.default\nReoptimize, optimizers.\npassword=optimize\n"
CLEAN = f"What optimized: the {MARK} step.\nprofiles.{MARK}.default\nReoptimize, optimizers.\npassword={MARK}\n"


def redacted(text: str, *known: str) -> str:
    return check_agent_output_for_leaks(text, known=known)["redacted"]


class WholeWords(unittest.TestCase):
    def test_only_words_and_numbers_are_such_values(self) -> None:
        for value in ("optimize", "Optimize", "OPTIMIZE", "administrator", "postgres", "read-only"):
            self.assertTrue(occurs_in_words(value.encode()), value)
        for value in ("improve", "qhzjxkvb", "qhzjxkvbnmwpertq", "optimizeoptimize", "oPtimize", "optimize1", STRONG,
                      "summer2024", "abcabcabc", "-optimize", "optimizé", "20240131", "1234567890123456"):
            self.assertFalse(occurs_in_words(value.encode()), value)

    def test_a_part_of_a_longer_word_does_not_stand_alone(self) -> None:
        for before, behind in (("", "d"), ("re", ""), ("Re", ""), ("not auto", "All"), ('"pre', '"'), ("\\n", "d"),
                               ("\\nre", ""), ("\x1b[31m", "d")):
            self.assertFalse(stands_alone(before.encode(), b"optimize", behind.encode()), (before, behind))
        for before, value, behind in (("RE", "OPTIMIZE", ""), ("", "OPTIMIZE", "D"), ("", "Optimize", "d")):
            self.assertFalse(stands_alone(before.encode(), value.encode(), behind.encode()), (before, value, behind))

    def test_what_may_be_no_letter_of_its_word_separates_a_value(self) -> None:
        for before, behind in (("", ""), ("password=", "\n"), ("help-", ".md"), ("user:", "@host"), ("\\n", "\\n"),
                               ("\\u000a", "\\u000a"), ("\\u00ab", ""), ("\\udead", ""), ("\\xab", ""),
                               ("\\x1b[0m", "\\x1b"), ("\\033", ""), ("a%20", "%20b"), ("%253D", "%26"), ("a%ab", ""),
                               ("password=3D", "=0A"), ("password=3d", ""), ("password:^I", "$"),
                               ("\x1b[31m", "\x1b[0m"), ("\x1b[>4;2m", ""), ("\x1b[2 q", ""), ("\x1b#8", ""),
                               ("\x1b[K", ""), ("\x1b(B", ""), ("mysql -p", " orders"), ("mysql -sNp", ""),
                               ("rar a -hp", ""), ("x\\t-p", ""), ("-p", ""), ("user_", "@h"), ("", "_all"), ("", "1"),
                               ("2", ""), ("é", "é"), ("\u201c", "\u201d"), ("密码是", "。"), ("пароль", "!"),
                               ("e" * 64, "")):
            self.assertTrue(stands_alone(before.encode(), b"optimize", behind.encode()), (before, behind))
        for before, value, behind in (("re", "Optimize", ""), ("RE", "optimize", "D"), ("re", "OPTIMIZE", "d")):
            self.assertTrue(stands_alone(before.encode(), value.encode(), behind.encode()), (before, value, behind))

    def test_a_text_keeps_the_words_that_contain_the_value(self) -> None:
        self.assertEqual(redacted(TEXT, "optimize"), CLEAN)
        text = "postgresql://app:postgres@db/postgres_data"
        self.assertEqual(redacted(text, "postgres"), f"postgresql://app:{MARK}@db/{MARK}_data")

    def test_a_strong_value_and_an_encoded_word_are_redacted_inside_of_any_text(self) -> None:
        self.assertEqual(redacted(f"x{STRONG}z", STRONG, "optimize"), f"x{MARK}z")
        encoded = base64.b64encode(b"user:optimize").decode()
        self.assertIn(MARK, redacted(f"x {encoded}", "optimize"))

    def test_a_shorter_value_at_the_place_of_a_word_is_still_found(self) -> None:
        short, long = "mysterio", "mysterious"
        self.assertEqual((occurs_in_words(short.encode()), occurs_in_words(long.encode())), (False, True))
        self.assertEqual(redacted("mysteriously", short, long), f"{MARK}usly")

    def test_the_output_is_the_same_however_the_input_is_cut(self) -> None:
        for cut in range(len(TEXT) + 1):
            self.assertEqual(self.streamed([TEXT[:cut], TEXT[cut:]]), CLEAN, cut)
        self.assertEqual(self.streamed(list(TEXT)), CLEAN)
        # A word that does not end is decided in cells.
        for lead in range(4070, 4100):
            text = "." * lead + "reoptimize.optimize.optimizeé.optimized" + "." * 9000
            self.assertEqual(self.streamed([text[:5000], text[5000:]]), redacted(text, "optimize"), lead)

    def test_the_next_event_says_whether_a_word_has_ended(self) -> None:
        for next_text, clean in (("d", "the optimized "), (" now", f"the {MARK} now ")):
            events = Events(Known(["optimize"]))
            deltas = [{"choices": [{"index": 0, "delta": {"content": part}}]} for part in ("the optimize", next_text, " ")]
            sent = b"".join(events.push(f"data: {json.dumps(one)}\n\n".encode()) for one in deltas) + events.finish()
            parts = [json.loads(line[6:]) for line in sent.decode().split("\n") if line.startswith("data: {")]
            self.assertEqual("".join(one["choices"][0]["delta"]["content"] for one in parts), clean)

    def streamed(self, pieces: list[str]) -> str:
        out: list[str] = []
        with RedactingStream(out.append, known=["optimize"]) as stream:
            for piece in pieces:
                stream.write(piece)
        return "".join(out)


if __name__ == "__main__":
    unittest.main()
