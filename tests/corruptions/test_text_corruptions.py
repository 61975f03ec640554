"""Corruptions of texts against slow versions of their own, and the promises that all of them make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from regrow.corruptions import text
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.text import scan, typing
from regrow.data.texts import decode, encode
from regrow.errors import InputError, UnknownNameError

NAMES = text.names()
TEXTS = [
    "The quick brown fox jumps over the lazy dog, twice; all is well.",
    "RT @someone: Ärger mit der Straßenbahn — schon wieder 5 Minuten zu spät!",
    "burn the modern corner, clip vvhat you can; li ii ri 1O0S5B8Z2",
    "a",
    "",
    "ALL CAPS HERE and then none, mmm www ddd",
]
Slow = Callable[[str, np.ndarray, float], str]


def is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def by_character(change: Callable[[str, np.ndarray, float], str]) -> Slow:
    """An edit of every character alone, by the numbers of its first byte."""

    def edited(line: str, draws: np.ndarray, rate: float) -> str:
        out, at = "", 0
        for character in line:
            out += change(character, draws[at], rate)
            at += len(character.encode())
        return out

    return edited


def near(letter: str, number: float) -> str:
    keys = typing.neighbours(letter.lower())
    key = keys[int(number * len(keys))]
    return key.upper() if letter.isupper() else key


def slow_swap(line: str, draws: np.ndarray, rate: float) -> str:
    content, at = bytearray(line.encode()), 0
    while at + 1 < len(content):
        if all(is_letter(chr(c)) for c in content[at : at + 2]) and draws[at, 0] < rate:
            content[at], content[at + 1] = content[at + 1], content[at]
            at += 1
        at += 1
    return content.decode()


def slow_shuffle(line: str, draws: np.ndarray, rate: float) -> str:
    content, at = list(line.encode()), 0
    while at < len(content):
        end = at
        while end < len(content) and is_letter(chr(content[end])):
            end += 1
        if end - at >= 4 and draws[at, 0] < rate:
            inner = sorted(range(at + 1, end - 1), key=lambda place: draws[place, 1])
            content[at + 1 : end - 1] = [content[place] for place in inner]
        at = max(end, at + 1)
    return bytes(content).decode()


def slow_ocr(line: str, draws: np.ndarray, rate: float) -> str:
    content, out, at = line.encode(), b"", 0
    while at < len(content):
        struck, one, two = draws[at, 0] < rate, chr(content[at]), content[at : at + 2].decode("latin-1")
        if struck and two in scan.JOINED:
            out, at = out + scan.JOINED[two].encode(), at + 2
            continue
        forms = scan.CONFUSIONS.get(one, ())
        out += forms[int(draws[at, 1] * len(forms))].encode() if struck and forms else content[at : at + 1]
        at += 1
    return out.decode()


def slow_spacing(line: str, draws: np.ndarray, rate: float) -> str:
    content, out = line.encode(), b""
    for at, byte in enumerate(content):
        if byte == 32 and draws[at, 0] < rate:
            continue
        out += bytes([byte])
        parted = all(is_letter(chr(c)) for c in content[at : at + 2]) and at + 1 < len(content)
        out += b" " if parted and draws[at, 0] < rate / 10 else b""
    return out.decode()


SLOW: dict[str, Slow] = {
    "keyboard": by_character(lambda c, u, rate: near(c, u[1]) if is_letter(c) and u[0] < rate else c),
    "insert": by_character(lambda c, u, rate: c + near(c, u[1]) if is_letter(c) and u[0] < rate else c),
    "repeat": by_character(lambda c, u, rate: c + c if is_letter(c) and u[0] < rate else c),
    "drop": by_character(lambda c, u, rate: "" if is_letter(c) and u[0] < rate else c),
    "case": by_character(lambda c, u, rate: c.swapcase() if is_letter(c) and u[0] < rate else c),
    "blot": by_character(lambda c, u, rate: "~*.'"[int(u[1] * 4)] if is_letter(c) and u[0] < rate else c),
    "swap": slow_swap,
    "shuffle": slow_shuffle,
    "ocr": slow_ocr,
    "spacing": slow_spacing,
}


def test_there_is_a_slow_version_of_each() -> None:
    assert sorted(SLOW) == NAMES
    assert set(text.families().values()) == {"typing", "order", "scan"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_it_is_the_slow_version_on_the_same_numbers(name: str, severity: int) -> None:
    length, rate = 200, text.get(name).rates[severity - 1]
    found = text.corrupt(encode(TEXTS, length), name, severity, seed=7)
    draws = CounterStream(7, name, severity, range(len(TEXTS))).uniform((length, 2))
    assert [decode(row) for row in found] == [
        SLOW[name](line, each, rate) for line, each in zip(TEXTS, draws, strict=True)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_corrupted_alike_in_any_batch_and_in_a_row_of_any_length(name: str) -> None:
    lines = TEXTS * 120  # more than a chunk
    all_of_them = text.corrupt(encode(lines, 160), name, 4, seed=3)
    chosen = [5, 0, 700, 2]
    few = text.corrupt(encode([lines[k] for k in chosen], 160), name, 4, seed=3, index=chosen)
    np.testing.assert_array_equal(few, all_of_them[chosen])
    longer = text.corrupt(encode(lines, 230), name, 4, seed=3)
    assert [decode(row) for row in longer] == [decode(row) for row in all_of_them]
    assert (text.corrupt(encode(lines, 160), name, 4, seed=4) != all_of_them).any()


@pytest.mark.parametrize("name", NAMES)
def test_rows_stay_texts_and_characters_of_several_bytes_stay_whole(name: str) -> None:
    before = encode(["Ärger über Öl — 漢字 and more plain letters", "x" * 300, ""], 80)
    kept = before.copy()
    after = text.corrupt(before, name, 5)
    np.testing.assert_array_equal(before, kept)
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    for row in after:
        end = int(np.argmax(row == 0)) if (row == 0).any() else len(row)
        assert not row[end:].any()
    assert [c for c in decode(after[0]) if not c.isascii()] == list("ÄüÖ—漢字")
    assert not after[2].any()


@pytest.mark.parametrize("name", NAMES)
def test_more_of_a_text_changes_with_severity(name: str) -> None:
    lines = encode(["some ordinary words of this and that, all in a row; clearly."] * 400, 100)
    shares = [float((text.corrupt(lines, name, s) != lines).any(axis=1).mean()) for s in (1, 5)]
    edits = [float((text.corrupt(lines, name, s)[:, :60] != lines[:, :60]).mean()) for s in range(1, 6)]
    assert shares[0] < 1
    assert shares[1] > 0.95
    assert edits == sorted(edits)


def test_as_many_letters_are_struck_as_the_rate_says() -> None:
    lines = encode(["q" * 100] * 500, 100)
    for severity, rate in enumerate(text.get("keyboard").rates, 1):
        struck = int((text.corrupt(lines, "keyboard", severity) != lines).sum())
        assert abs(struck - 50_000 * rate) < 5 * (50_000 * rate * (1 - rate)) ** 0.5


def test_neighbouring_keys_are_those_of_the_keyboard() -> None:
    assert typing.neighbours("g") == "bfhtvy"
    assert typing.neighbours("p") == "lo"
    assert typing.neighbours("m") == "jkn"
    for key in "qwertyuiopasdfghjklzxcvbnm":
        assert 2 <= len(typing.neighbours(key)) <= 6
        assert all(key in typing.neighbours(other) for other in typing.neighbours(key))


def test_what_cannot_be_corrupted_is_refused() -> None:
    rows = encode(["a b"], 8)
    for wrong in (rows.astype(np.int64), rows[0], ["a b"]):
        with pytest.raises(InputError, match=r"uint8 array \(N, L\)"):
            text.corrupt(wrong, "swap", 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="severity"):
        text.corrupt(rows, "swap", 0)
    with pytest.raises(UnknownNameError, match="Did you mean 'keyboard'"):
        text.corrupt(rows, "keybord", 1)
