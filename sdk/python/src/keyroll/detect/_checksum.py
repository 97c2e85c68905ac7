"""The ends of tokens that follow from the rest: made-up or mistyped tokens do not fit."""
from __future__ import annotations

import zlib


_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE36 = b"0123456789abcdefghijklmnopqrstuvwxyz"
_BECH32 = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_FACTORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def fits(kind: str, value: bytes) -> bool:
    """Whether the end of a value is right. An unknown kind never fits."""
    if kind == "bech32":
        return polymod(value.lower()) == 1
    end = end_of(kind, value)
    return end is not None and value.endswith(end)


def end_of(kind: str, value: bytes) -> bytes | None:
    """The right end of a value; None if it has another form, or for bech32."""
    if kind == "crc32-base62":
        # Six digits: of the text between the last `_` and them. GitHub, npm.
        start = value.rfind(b"_") + 1
        if not start or len(value) - 6 < start:
            return None
        return _digits(zlib.crc32(value[start:-6]), _BASE62, 6)
    if kind == "crc32-hex-le":
        # Eight digits after the last `_`: of everything before it. Grafana.
        at = value.rfind(b"_")
        return None if at < 0 else zlib.crc32(value[:at]).to_bytes(4, "little").hex().encode()
    if kind == "gitlab-routable":
        return None if len(value) < 7 else _digits(zlib.crc32(value[:-7]), _BASE36, 7)
    return None


def _digits(number: int, alphabet: bytes, count: int) -> bytes:
    found = bytearray()
    for _ in range(count):
        number, digit = divmod(number, len(alphabet))
        found.append(alphabet[digit])
    return bytes(reversed(found))


def polymod(text: bytes) -> int | None:
    """The checksum of BIP 173; 1 if it is right."""
    part = text.rfind(b"1")
    if part < 0:
        return None
    data = [_BECH32.find(byte) for byte in text[part + 1 :]]
    if -1 in data:
        return None
    name = text[:part]
    total = 1
    for digit in [byte >> 5 for byte in name] + [0] + [byte & 31 for byte in name] + data:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ digit
        for bit, factor in enumerate(_FACTORS):
            if top >> bit & 1:
                total ^= factor
    return total
