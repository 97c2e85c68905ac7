"""Reads the expressions of rules: literals, classes, groups, alternatives and bounded repetitions, nothing else.

Python's ``re`` cannot say whether a text may become a match with more text. For that, and for the lengths of
matches, a rule's expression is read here.
"""
from __future__ import annotations

import re
from typing import NamedTuple

_CLASS = re.compile(r"\[(?:\\.|[^\]\\])+\]", re.DOTALL)
_LITERAL = re.compile(r"\\.|[^\\()\[\]{}|?*+^$.]", re.DOTALL)
_COUNT = re.compile(r"\{(\d+)(?:(,)(\d+))?\}|\?")


class Item(NamedTuple):
    """One part of an expression: its source if it is one character, else its alternatives; how often it stands."""

    source: str
    group: tuple[Sequence, ...]
    least: int
    most: int


Sequence = tuple[Item, ...]


class ExpressionError(ValueError):
    """An expression with something that rules do not use."""


def parse(expression: str) -> Sequence:
    """The parts of an expression. Raises ExpressionError for anything but the syntax that rules use."""
    (sequence,), end = _alternatives(expression, 0, top=True)
    if end != len(expression):
        raise ExpressionError(f"unexpected {expression[end]!r} at {end}")
    return sequence


def _alternatives(text: str, at: int, *, top: bool) -> tuple[tuple[Sequence, ...], int]:
    found: list[Sequence] = []
    while True:
        items: list[Item] = []
        while at < len(text) and text[at] not in "|)":
            item, at = _item(text, at)
            items.append(item)
        found.append(tuple(items))
        if at >= len(text) or text[at] == ")":
            break
        at += 1
    if top and len(found) > 1:
        return ((Item("", tuple(found), 1, 1),),), at
    return tuple(found), at


def _item(text: str, at: int) -> tuple[Item, int]:
    source = ""
    group: tuple[Sequence, ...] = ()
    if text.startswith("(?:", at):
        group, at = _alternatives(text, at + 3, top=False)
        if at >= len(text):
            raise ExpressionError("a group without an end")
        at += 1
    else:
        found = (_CLASS if text[at] == "[" else _LITERAL).match(text, at)
        if found is None:
            raise ExpressionError(f"unexpected {text[at]!r} at {at}")
        source, at = found[0], found.end()
    count = _COUNT.match(text, at)
    if count is None:
        return Item(source, group, 1, 1), at
    if count[0] == "?":
        return Item(source, group, 0, 1), count.end()
    least = int(count[1])
    return Item(source, group, least, int(count[3]) if count[2] else least), count.end()


def lengths(sequence: Sequence) -> tuple[int, int]:
    """The shortest and the longest match, in bytes."""
    least = most = 0
    for item in sequence:
        inner = [lengths(one) for one in item.group] or [(1, 1)]
        least += item.least * min(one[0] for one in inner)
        most += item.most * max(one[1] for one in inner)
    return least, most


def may_go_on(sequence: Sequence) -> str:
    """An expression for the matches of ``sequence``, and for texts that end before they are one.

    Used with ``match``: a match that reaches the end of the text may go on, one that ends before it is complete.
    """
    if not sequence:
        return ""
    item, rest = sequence[0], sequence[1:]
    if item.group:
        return _group_may_go_on(item, rest)
    if item.least == item.most == 1:
        count = 1
        while count < len(sequence) and _is_plain(sequence[count]):
            count += 1
        if count > 1 and _is_plain(item):
            # As one text: nested parts would be too deep for `re`.
            word = [one.source for one in sequence[:count]]
            heads = "|".join("".join(word[:length]) for length in range(count - 1, -1, -1))
            return f"(?:{''.join(word)}{may_go_on(sequence[count:])}|(?:{heads})\\Z)"
    upto = f"{item.source}{{0,{item.most}}}"
    return f"(?:{item.source}{{{item.least},{item.most}}}{may_go_on(rest)}|{upto}\\Z)"


def _is_plain(item: Item) -> bool:
    return not item.group and not item.source.startswith("[") and item.least == item.most == 1


def _group_may_go_on(item: Item, rest: Sequence) -> str:
    if item.most == 0:
        return may_go_on(rest)
    further = item._replace(least=max(item.least - 1, 0), most=item.most - 1)
    again: Sequence = (further,) if further.most else ()
    ways = [may_go_on(one + again + rest) for one in item.group]
    if item.least == 0:
        ways.append(may_go_on(rest))
    return f"(?:{'|'.join(ways)})"
