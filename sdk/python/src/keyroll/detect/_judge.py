"""Tells secrets from what stands in their place: placeholders, references, settings, hashes, words, examples."""
from __future__ import annotations

import hashlib
import re

from . import _names
from ._words import (
    COMMON,
    FOLDERS,
    HASHES,
    OF_NAMES,
    PAIRS,
    PLACEHOLDER_WORDS,
    PLACEHOLDERS,
    PUBLIC,
    PUBLISHED,
    REFERENCES,
    SCHEMES,
    SEALED,
    WHOLE,
)

# The shortest secret that is found only by its name, bytes.
_BYTES_MIN = 8
# The longest word of a language, and the most digits of a number in a name.
_WORD_BYTES_MAX = 16
_NUMBER_BYTES_MAX = 4
_PHRASE_WORDS_MIN = 4
# The shortest value that can look random, and the shortest run of which a key may be made.
_RANDOM_BYTES_MIN = 12
_KEY_BYTES_MIN = 16

_PUBLISHED = frozenset(PUBLISHED)
_OTHERS = PUBLIC + SEALED + HASHES + REFERENCES
_MD5 = re.compile(r"md5[0-9a-f]{32}\Z")
# What age encrypts for, also of a plugin.
_AGE_RECIPIENT = re.compile(r"age1(?:.*1)?[ac-hj-np-z02-9]{58,}\Z", re.DOTALL)
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_WORDS = frozenset(PLACEHOLDER_WORDS)
_NO_WORD = re.compile("[^a-z0-9]")
# Pairs of bytes that follow each other on a keyboard or in the alphabet.
_IN_ORDER = frozenset(
    (one, two)
    for one in range(256)
    for two in range(256)
    if one == two or (one + 1) & 255 == two or one == 0x39 and two in b"0aA"
)
_EXAMPLES = (b"example", b"placeholder", b"redacted", b"changeme", b"xxxxxxxx")
_OF_NAMES = re.compile("|".join(OF_NAMES).encode())
_RUN = re.compile(rb"[A-Za-z0-9]+")
_ALNUM = re.compile(rb"[^A-Za-z0-9]")
_ONLY_KEY = re.compile(rb"[A-Za-z0-9+/=_-]*\Z")
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_CONSTANT = re.compile(r"[A-Z0-9_]*\Z")
_SMALL = re.compile(r"[a-z_]*\Z")
_BETWEEN_WORDS = re.compile(rb"[ ._-]")
_ONE_CASE = re.compile(rb"(?:[A-Za-z][a-z]*|[A-Z]+)\Z")
_CONSONANTS = re.compile(rb"[^aeiouy]{5}")
_COMMON = frozenset(word.encode() for word in COMMON)
_PAIRS = frozenset(bytes((97 + number, ord(next_one))) for number, row in enumerate(PAIRS) for next_one in row)
_CALL = re.compile(r"[A-Za-z_.:]{3,}[(\[]")
_NUMBER = re.compile(r"[0-9.\-:+t _]+\Z")
_CODE = re.compile(rb"\$\{|\{\{|%s|\(\)|->|=>|::|</|\{\}|\\n|&&|\|\|")
# A change of kind between two characters; a capital belongs to the word after it.
_DIGIT_CHANGE = re.compile(rb"(?<=[0-9])(?=[^0-9])|(?<=[^0-9])(?=[0-9])|(?<=[a-z])(?=[A-Z])")
_PATH_CHANGE = re.compile(
    r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[a-z0-9])|(?<=[0-9])(?=[A-Za-z])"
)


def no_secret(value: bytes) -> bool:
    """Whether a value under a secret's name is none: a placeholder, a reference, a setting, a hash, a text."""
    if len(value) < _BYTES_MIN:
        return True
    text = value.decode("utf-8", "replace").strip()
    if " " in text:
        for scheme in SCHEMES:
            if text[: len(scheme)].lower() == scheme:
                text = text[len(scheme) :].lstrip()
                break
    small = _lower(text)
    if small.startswith(_OTHERS):
        return True
    if _MD5.match(small) or _AGE_RECIPIENT.match(small) or _is_verifier(small) or _is_marked(text) or _is_expression(text):
        return True
    if _is_placeholder(small) or _is_made_up(value) or _is_name(text) or _is_text(text):
        return True
    if _is_path(text) or _is_address(small) or _is_number(small):
        return True
    # Last: a hash takes longest.
    return is_published(text.encode("utf-8", "replace"))


def is_example(value: bytes) -> bool:
    """Whether a value in the form of a credential is an example, or one that documentation publishes."""
    small = value.lower()
    return any(word in small for word in _EXAMPLES) or _is_made_up(value) or is_published(value)


def is_distinct(value: bytes) -> bool:
    """Whether a value can be searched for by itself. Ordinary words, which people choose as passwords, cannot."""
    kinds = sum(bool(re.search(kind, value)) for kind in (b"[a-z]", b"[A-Z]", b"[0-9]", b"[^A-Za-z0-9]"))
    # Words with a number or a sign between them may be a name or a version, unless they are long.
    words = all(
        re.match(rb"[a-z]{0,15}\Z|[0-9]{0,7}\Z", word) for word in _ALNUM.split(value)
    )
    many = len(set(value)) >= _BYTES_MIN
    return (
        (len(value) >= _BYTES_MIN and kinds >= 2 and not (words and len(value) < 2 * _BYTES_MIN))
        or (len(value) >= 2 * _BYTES_MIN and many and not words)
        or (len(value) >= 3 * _BYTES_MIN and many)
    )


def occurs_in_words(value: bytes) -> bool:
    """Whether an ordinary text has this value inside longer words, so that it must be a whole one to be redacted:
    ``optimize``, ``read-only``. A key never is."""
    if not _BYTES_MIN <= len(value) < _WORD_BYTES_MAX:
        return False
    # Fewer different letters are a pattern.
    return len(set(value)) >= 4 and all(map(_is_part_of_words, _BETWEEN_WORDS.split(value)))


def _is_part_of_words(part: bytes) -> bool:
    if len(part) < 2 or not _ONE_CASE.match(part):
        return False
    small = part.lower()
    if small in _COMMON:
        return True
    rare = sum(small[at : at + 2] not in _PAIRS for at in range(len(small) - 1))
    return rare <= (len(small) >= 10) and not _CONSONANTS.search(small)


def is_published(value: bytes) -> bool:
    """Whether public documents show this value to everyone. The list holds hashes."""
    return 10 <= len(value) <= 512 and hashlib.sha256(value).hexdigest()[:16] in _PUBLISHED


def _lower(text: str) -> str:
    """Lower case of ASCII letters only: others may change their length."""
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _is_word(name: str) -> bool:
    return _NAME.match(name) is not None


def _is_marked(text: str) -> bool:
    """``$NAME``, ``$NAME/file``, ``%NAME%``, ``@NAME@``, ``__NAME__``, ``{name}``, ``[NAME]``, ``:name``."""
    if text.startswith(":") and _SMALL.match(text[1:]) and _names.names_a_secret(text[1:]):
        return True
    if text.startswith("$"):
        rest = text[1:]
        for sign in ("/", "::"):
            name, found, _ = rest.partition(sign)
            if found:
                if _is_word(name):
                    return True
                break
    elif text.startswith("{") and "}" in text and _is_word(text[1:].partition("}")[0]):
        return True
    for start, end in (("$", ""), ("%", "%"), ("@", "@"), ("@", ""), ("__", "__"), ("{", "}"), ("[", "]")):
        if not text.startswith(start) or not text[len(start) :].endswith(end):
            continue
        name = text[len(start) : len(text) - len(end)]
        if _is_word(name) and (start in "${%" or _CONSTANT.match(name)):
            return True
    return False


def _is_name(text: str) -> bool:
    """The bare name of a variable, or of a source of secrets: ``CREDENTIALS_DIRECTORY``, ``x-access-token``."""
    if not _is_word(text):
        return False
    if "_" in text and re.match(r"[A-Z_]+\Z", text):
        return True
    return not re.search("[0-9]", text) and not re.match(r"[a-z]*\Z", text) and _names.names_a_secret(text)


def _is_expression(text: str) -> bool:
    """A call or an index in a program: ``lookup("key")``, ``config["key"]``."""
    text = text.rstrip(";,")
    return text.endswith((")", "]")) and _CALL.match(text) is not None


def _is_verifier(small: str) -> bool:
    behind = small.partition(":")[2]
    return bool(_MD5.match(behind)) or behind.startswith(("$", "{")) and behind.startswith(HASHES)


def _is_placeholder(small: str) -> bool:
    if small.startswith("<") and small.endswith(">") or small in WHOLE:
        return True
    if _PLACEHOLDER.search(small):
        return True
    return not _WORDS.isdisjoint(_NO_WORD.split(small))


def _is_made_up(value: bytes) -> bool:
    """A few letters repeated, or letters in the order of a keyboard or the alphabet: what people type for a key."""
    sign = _ALNUM.search(value)
    rest = value[sign.end() :] if sign else value
    random = rest if len(rest) >= _BYTES_MIN else value
    few = len(set(random)) <= (2 if len(random) < 12 else 3)
    if few or len(random) < 12:
        return few
    in_order = sum(map(_IN_ORDER.__contains__, zip(random, random[1:])))
    return in_order * 5 >= len(random) * 3


def _is_text(text: str) -> bool:
    """Several words that begin with a capital or end like a sentence."""
    if " " not in text:
        return False
    if text.endswith((".", "?", "!", ":", "…")):
        return True
    return text[0].isupper() and all(letter.isalpha() or letter in ",.'’()/&- " for letter in text)


def _is_path(text: str) -> bool:
    """Base64 holds ``/`` too: so each part of a path must be a word, or the value must begin like a path."""
    if text.startswith(FOLDERS):
        return True
    if not text.startswith(("/", "./", "../", "~/")):
        return False
    # No base64 alphabet has both characters.
    if re.search("[._-]", text) and "/" in text[1:]:
        return True
    return all(len(_PATH_CHANGE.findall(part)) * 4 <= len(part.encode()) + 8 for part in text.split("/"))


def _is_address(small: str) -> bool:
    """An address without a login."""
    _, sign, rest = small.partition("://")
    return bool(sign) and "@" not in rest


def _is_number(small: str) -> bool:
    """Numbers, times, versions, also with a unit."""
    number = re.sub(r"[A-Za-z ]+\Z", "", small)
    return len(small) - len(number) <= 8 and _NUMBER.match(number) is not None


def is_of_names(value: bytes) -> bool:
    """Words in the names of secrets; chosen passwords do not contain them."""
    return _OF_NAMES.search(value.lower()) is not None


def is_password(value: bytes) -> bool:
    """A chosen password: words with a number, and a capital or a mark that no identifier has."""
    return (
        re.match(rb"[A-Za-z0-9!@#$%^&*?+~=_-]*\Z", value) is not None
        and re.search(rb"[0-9]", value) is not None
        and re.search(rb"[a-z]", value) is not None
        and re.search(rb"[A-Z!@#$%^&*?+~=]", value) is not None
        and not is_of_names(value)
    )


def is_phrase(value: bytes) -> bool:
    """A passphrase: four words or more."""
    words = re.split(rb"[-_.]", value)
    good = len(words) >= _PHRASE_WORDS_MIN and all(re.match(rb"[a-z]{3,8}\Z", word) for word in words)
    return good and not is_of_names(value)


def is_random(value: bytes) -> bool:
    """A run of letters and digits without the structure of a name: runs of one kind are shorter than three on
    average, with several numbers; or it is long, with many numbers."""

    def random(run: bytes) -> bool:
        numbers = len(re.findall(rb"[0-9]+", run))
        parts = len(_DIGIT_CHANGE.findall(run)) + 1
        short = len(run) >= _RANDOM_BYTES_MIN and numbers >= 2 and len(run) < 3 * parts
        return short or len(run) >= 2 * _RANDOM_BYTES_MIN and numbers >= 4

    return _ONLY_KEY.match(value) is not None and any(random(run) for run in _RUN.findall(value))


def is_random_key(value: bytes) -> bool:
    """Random, under a name that only hints at a secret; also a long run that is no word, or of hex digits."""

    def random(run: bytes) -> bool:
        digits, small, large = (re.search(kind, run) is not None for kind in (b"[0-9]", b"[a-z]", b"[A-Z]"))
        in_hex = re.match(rb"[0-9A-Fa-f]+\Z", run) is not None and digits and (small or large)
        return len(run) >= _KEY_BYTES_MIN and (in_hex or digits and small and large and not is_made_of_words(run))

    if _ONLY_KEY.match(value) is None or is_uuid(value):
        return False
    return is_random(value) or any(random(run) for run in _RUN.findall(value))


def is_uuid(value: bytes) -> bool:
    """An identifier of a request or an object."""
    return _UUID.match(value) is not None


def is_type(value: bytes) -> bool:
    """The name of a type, as Python writes in quotes too: ``_RSAPrivateKey``, ``MyApiKey2Type``."""
    name = value[1:] if value.startswith(b"_") else value
    if re.match(rb"[A-Z][A-Za-z0-9]*\Z", name) is None or re.search(rb"[a-z]", name) is None:
        return False
    words = len(re.findall(rb"(?<=[^A-Z])(?=[A-Z])", name)) + 1
    letters = len(re.findall(rb"[A-Za-z]", name))
    return letters >= 3 * words and is_of_names(name) and not is_random(name)


def is_made_of_words(value: bytes) -> bool:
    """Whether a value has only words and numbers after them."""
    for run in _ALNUM.split(value):
        found = re.match(rb"([A-Za-z]*)([0-9]*)\Z", run)
        if found is None or len(found[2]) > _NUMBER_BYTES_MAX or not _is_words(found[1]):
            return False
    return True


def _is_words(letters: bytes) -> bool:
    """``token``, ``Token``, ``TOKEN``, ``accessToken``."""
    if letters in (letters.lower(), letters.upper()):
        return len(letters) <= _WORD_BYTES_MAX
    # A capital begins a word: in random letters every second one is a capital.
    words = re.split(rb"[A-Z]", letters)
    return len(letters) >= 3 * (len(words) - 1) and all(len(word) < _WORD_BYTES_MAX for word in words)


def is_code(value: bytes) -> bool:
    """Text that a program computes or a template fills in."""
    if _CODE.search(value) or value.startswith((b"\\u", b"\\U", b"(", b"[")):
        return True
    return value.startswith(b"{") and value.endswith(b"}") or value.startswith(b"<") and value.endswith(b">")
