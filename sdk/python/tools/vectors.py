"""Writes the texts of `vectors.json`: for each rule what it must find and what not, names, places and placeholders.

    python3 sdk/python/tools/vectors.py > sdk/python/tests/vectors.json && cargo xtask codegen

The second command writes what keyroll's own engine finds in them, to which the Python engine is held. The texts are
written backwards, so that no file contains a credential, not even an invented one.
"""
from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PACKAGE / "src"), str(PACKAGE)]

from keyroll.detect._engine import shipped  # noqa: E402
from tests import made  # noqa: E402

LINE = 'key = "{}"'
# In a name or a position of a secret, `{}` is a value without a form.
BY_NAME = (
    "DB_PASSWORD={}", "password: '{}'", 'const API_TOKEN: &str = "{}";', "login failed: password={}",
    "Authorization: Bearer {}", "Bearer {}", 'curl -H "Authorization: Bearer {}" x', "postgres://app:{}@db/x",
    "redis://:{}@h", "Server=db;User Id=app;Password={};Timeout=5", "run --api-key {} x", "?api_key={}&ssl=1",
    "<password>{}</password>", "define( 'DB_PASSWORD', '{}' );", '{{"name": "API_KEY", "value": "{}"}}',
    "docker run -d -e DB_PASSWORD={} image", "ENV DB_PASSWORD {}", '{{"msg":"{{\\"password\\":\\"{}\\"}}"}}',
    "WIDGET_KEY=wdg_{}Q7x", "#define WIFI_PASSWORD \"{}\"", "machine h login app password '{}'", "\u00e9 token='{}'",
    "CREATE USER x IDENTIFIED BY '{}';", "$cfg['db']['password'] = '{}';", "API_TOKEN ?= \"{}\"",
)
NOT_BY_NAME = (
    "the bearer of {}", "SORT_KEY={}", "TOKEN_FILE={}", "next_page_token={}", "https://app:{}@db.example.com/x",
    "if password == \"{}\" {{", "commit {}", "csrfToken: '{}'", "xPassword={}",
)
# Written out: none of them is a value.
HARD = (
    "Bearer of bad news", "Basic decoding of it", "password = get_password(user_of_the_day)",
    "self.token = response.access_token_2", "token: Option<AccessTokenOfUser>,", 'secret = "my-secret-name-2024"',
    'label_password = "PasswordFieldOfTheForm"', "const TOKEN_KEY = 'auth.token.v2'", "password: 'UserPasswordField2'",
    "connect(user, password=db_password2)", "token = nextPageTokenOf2ndReader", "https://host:443/", "password",
    "    api_key: \"MyApiKey2Type\",", "    private_key: \"_RSAPrivateKey\",", "secret: 'ember-walnut-river-kettle'",
    "https://user@host/a:b@c", "api_key: PrimaryApiKeyOfTheTeam", "", "sk-", "key = \"sk-ant-api03-...\"",
)


class Draws:
    """Splitmix64: the same numbers for the same seed, so that the texts stay the same."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, limit: int) -> int:
        self.state = self.state + 0x9E3779B97F4A7C15 & (1 << 64) - 1
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        return (z ^ z >> 31) % limit


def rules(folder: Path) -> dict[str, dict[str, Any]]:
    """The rules as they are written, by id."""
    files = [tomllib.loads(file.read_text("utf-8")) for file in folder.glob("*.toml")]
    return {rule["id"]: rule for file in files for rule in file["rule"]}


def hard_values(crates: Path) -> list[str]:
    """The placeholders of the Rust tests."""
    source = (crates / "leaks/leak/tests/values.rs").read_text("utf-8")
    block = source[source.index("const NONE") : source.index("];")]
    lines = [line.strip() for line in block.splitlines() if line.strip().startswith('"')]
    return [json.loads(line.rstrip(",")) for line in lines]


def texts(root: Path) -> list[str]:
    found = []
    by_id = rules(root / "rules")
    for number, rule in enumerate(shipped().all):
        written = by_id[rule.id]
        usual = [] if rule.near else [LINE]
        for place, form in enumerate(written.get("positive", []) + usual + written.get("negative", [])):
            value = made.formed(rule, below=Draws(1000 * number + place).below).decode()
            found.append(form.replace("{}", value, 1))
    draws = Draws(7)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    for form in BY_NAME + NOT_BY_NAME:
        value = "".join(letters[draws.below(len(letters))] for _ in range(20))
        found.append(form.replace("{{", "{").replace("}}", "}").replace("{}", value, 1))
    for value in hard_values(root / "crates"):
        found += [f'password = "{value}"', f"API_KEY={value}"]
    return found + list(HARD)


if __name__ == "__main__":
    lines = [json.dumps({"reversed": text[::-1], "found": []}) for text in texts(Path(__file__).resolve().parents[3])]
    sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")
