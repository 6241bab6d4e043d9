"""No known secret survives, however it is written; ordinary text does."""

from __future__ import annotations

import base64
import json
import random
import urllib.parse

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.mask import Mask
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.redact import MASK
from fakes.diagnosed_host import CANARIES, leaks, ways
from hypothesis import example, given
from hypothesis import strategies as st

# The mask itself is no secret; and half a character is no text.
ANY = st.characters(exclude_categories=["Cs"], exclude_characters="*\0\r")
SECRETS = st.text(ANY, min_size=6, max_size=40).filter(lambda value: len(value.strip()) >= 6 and len(set(value)) > 2)
AROUND = st.text(ANY, max_size=30)


@pytest.mark.parametrize("name", CANARIES)
def test_in_every_way(name: str) -> None:
    value = CANARIES[name]
    mask = Mask([("", value)])
    for way in ways(value):
        masked = mask(f"before {way} after")
        assert [leak for part in (value, *value.splitlines()) for leak in leaks(masked, part)] == [], way
        assert masked.startswith("before ")
        assert masked.endswith(" after")


@given(value=SECRETS, before=AROUND, after=AROUND, number=st.integers(0, len(ways("x")) - 1))
@example(value="aaabaaab", before="aaab", after="aaab", number=0)
@example(value="%41%42%43", before="", after="", number=3)
@example(value='a\\b\\nc"', before="\\", after="\\", number=1)
def test_whatever_it_is_and_wherever_it_stands(value: str, before: str, after: str, number: int) -> None:
    masked = Mask([("", value)])(f"{before}{ways(value)[number]}{after}")
    # What is left may say by chance what stands in the text around it.
    around = {reading for text in (before, after) for reading in leaks(text, value)}
    assert set(leaks(masked, value)) <= around


@given(value=SECRETS, data=st.data())
def test_each_character_may_be_escaped_or_not(value: str, data: st.DataObject) -> None:
    def escaped(char: str) -> str:
        way = data.draw(st.sampled_from(["plain", "percent", "lower", "unicode"]))
        if way == "unicode" and "%" not in value:
            return "".join(f"\\u{code:04x}" for code in _utf16(char))
        if way in ("percent", "lower") and "\\" not in value:
            digits = char.encode().hex()
            pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
            return "".join(f"%{pair.upper() if way == 'percent' else pair}" for pair in pairs)
        return char if char not in "%\\" else f"\\{char}" if char == "\\" else "%25"

    text = "".join(map(escaped, value))
    if "\n" not in value:
        masked = Mask([("", value)])(f"x{text}y")
        assert urllib.parse.unquote(masked) != f"x{value}y"
        assert not leaks(masked, value)


def _utf16(char: str) -> list[int]:
    data = char.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


@given(
    value=st.binary(min_size=6, max_size=30).map(bytes.hex), before=st.binary(max_size=9), after=st.binary(max_size=9)
)
def test_in_base64_of_more(value: str, before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + value.encode() + after).decode()
    masked = Mask([("", value)])(f"Data: {text}.")
    assert not leaks(masked, value)
    # Not even the letters that hold some bits of it, at its begin and at its end.
    left, _, right = masked.removeprefix("Data: ").removesuffix(".").partition(MASK)
    assert len(left) <= len(before) * 8 // 6
    end = len(before) + len(value)
    assert len(right.rstrip("=")) <= -(-8 * (end + len(after)) // 6) - -(-8 * end // 6)


def test_in_json_three_times_over_and_in_a_form_with_small_hex_digits() -> None:
    value = 'pa"ss/wo rd+1'
    mask = Mask([("", value)])
    text = json.dumps(json.dumps(json.dumps([value])))
    assert json.loads(json.loads(json.loads(mask(text)))) == [MASK]
    form = urllib.parse.quote_plus(value).replace("%2F", "%2f").replace("%2B", "%2b")
    assert mask(f"a={form}&b=c") == f"a={MASK}&b=c"


def test_two_that_share_some_letters_leave_nothing() -> None:
    mask = Mask([("", "abcdefghij"), ("", "ghijklmnop")])
    assert mask("x abcdefghijklmnop y") == f"x {MASK} y"


def test_the_longer_of_two() -> None:
    assert Mask([("", "secret1"), ("", "secret1-more")])("secret1-more secret1") == f"{MASK} {MASK}"


@given(st.text(st.sampled_from("acdefgh 0123456789.,-_/\n()[]{}<>%\\&;+\"'äß"), max_size=300))
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert Mask([("A", "zzzzzzzz"), ("B", "zzzz"), ("C", "z")])(text) == text


def test_ordinary_lines_survive() -> None:
    lines = [
        "2027-01-15T08:00:05.000000000Z GET /health 200 in 12 ms",
        "container demo-web-1 is unhealthy: connection refused by redis:6379",
        "image registry.example.com:5000/demo/web:1.2.3@sha256:9f86d081884c7d659a2feaa0c55ad015",
        "max_tokens=1024 prompt_tokens: 77, tokenizer=bpe",
        "password_file: /etc/hypercode/backup/password",
        "DB_PASSWORD: ${DB_PASSWORD}",
        "no-new-privileges: true, secret_rotated_days 5",
        "basic authentication failed for user 'app' from 10.0.0.3",
        "docs: https://example.com/a?b=c&d=e#f and http://10.0.0.2:8000/x@y",
        "iif lo accept; ct state established,related accept; tcp dport { 22, 80, 443 } accept",
    ]
    text = "\n".join(lines)
    assert Mask([("DB_PASSWORD", "xK9-unlikely-value")])(text) == text


def test_short_ones_as_words_and_behind_their_names() -> None:
    mask = Mask([("PIN", "4711x"), ("TINY", "no"), ("EMPTY", ""), ("", "ab")])
    assert mask("PIN=4711x a4711xb 4711x") == f"PIN={MASK} a4711xb {MASK}"
    assert (
        mask('TINY=no, "TINY": "no", there is no notice; ab')
        == f'TINY={MASK}, "TINY": "{MASK}", there is no notice; ab'
    )


def test_a_word_that_stands_everywhere_is_masked_behind_its_name_only() -> None:
    mask = Mask([("POSTGRES_PASSWORD", "hypercode")], words=["hypercode"])
    assert mask("POSTGRES_PASSWORD=hypercode in /opt/hypercode") == f"POSTGRES_PASSWORD={MASK} in /opt/hypercode"
    assert mask("postgresql://postgres:hypercode@db") == f"postgresql://postgres:{MASK}@db"


def test_a_secret_of_several_lines_line_by_line() -> None:
    mask = Mask([("", "-----BEGIN-----\nabcdefghijkl\nmnopqrstuvwx\n-----END-----")])
    assert "mnop" not in mask("12:00 abcdefghijkl\n12:00 mnopqrstuvwx\n")


def test_hundreds_of_secrets_take_no_more_time_than_one() -> None:
    choice = random.Random(7)  # noqa: S311
    values = ["".join(choice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=24)) for _ in range(300)]
    text = "".join(f"line {number} says {values[number % 300]} ok\n" for number in range(3000))
    masked = Mask([("", value) for value in values])(text)
    assert masked.count(MASK) == 3000
    assert not any(value in masked for value in values)


def test_json_stays_json() -> None:
    document = {"a": 'x "quoted" pa"ss\\word', "b": ['pa"ss\\word']}
    masked = Mask([("", 'pa"ss\\word')])(json.dumps(document))
    assert json.loads(masked) == {"a": f'x "quoted" {MASK}', "b": [MASK]}
