# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The command line of a service as its unit has it, and what systemd makes of it (systemd.service(5), "Command lines"). Pure.

What is started is always the unit's own text, with words added or left out; what systemd makes of it is only told beforehand.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./${}-]+")
_PREFIX = re.compile(r"[-@:+!|]*")
# Of a file with variables.
_COMMENT = re.compile(r"[ \t]*[#;](?:\\.|[^\n\\])*\n?|[ \t]*\n", re.DOTALL)
_KEY = re.compile(r"[ \t]*(?P<key>[^=\n]+)=[ \t]*")
_QUOTED = re.compile(r"'([^']*)'?|\"((?:\\.|[^\"\\])*)\"?", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r'\\(["\\`$])|\\\n|(\\.)', re.DOTALL)
# What a backslash means, in quotes and without; anything else stands for itself, with the backslash.
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'", "s": " "}
_CODE = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})")


@dataclasses.dataclass(frozen=True)
class Word:
    """One word.

    :param text: as it is written.
    :param value: without its quotes; specifiers and variables are still in it.
    """

    text: str
    value: str


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line; the program is its first word."""

    words: t.Tuple[Word, ...]

    @classmethod
    def of(cls, text: str) -> Command:
        """The command of a line ExecStart=."""
        return cls(tuple(split_words(text)))

    def __str__(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def prefix(self) -> str:
        """The special characters in front of the program."""
        match = _PREFIX.match(self.words[0].value) if self.words else None
        return match[0] if match else ""

    @property
    def argv(self) -> list[str]:
        """The words, unexpanded: the program's path, and its arguments without the name that prefix @ gives it."""
        if not self.words:
            return []
        program = self.words[0].value[len(self.prefix) :]
        return [program, *(word.value for word in self.words[2 if "@" in self.prefix else 1 :])]

    def expanded(self, variables: t.Mapping[str, str], specifiers: t.Mapping[str, str]) -> list[str]:
        """The words that the program gets.

        :param specifiers: their values by letter; a letter that is not among them stays as it is.
        """
        words = [expand_specifiers(word, specifiers) for word in self.argv]
        return words if ":" in self.prefix else [*words[:1], *expand(words[1:], variables)]

    def without(self, doomed: t.Container[int]) -> Command:
        """The command without the arguments at these places of `argv`, all else as it is written."""
        shift = 1 if "@" in self.prefix else 0
        return Command(tuple(word for at, word in enumerate(self.words) if at <= shift or at - shift not in doomed))


def split_words(text: str) -> list[Word]:
    """The words of a line: quotes and escapes as systemd takes them (its extract-word.c, relaxed)."""
    words: list[Word] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        start, value, quote = at, "", ""
        while at < len(text) and (quote or not text[at].isspace()):
            char = text[at]
            if char == "\\" and at + 1 < len(text):
                meant, length = _unescape(text[at + 1 :])
                value, at = value + meant, at + 1 + length
                continue
            if char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
            else:
                value += char
            at += 1
        words.append(Word(text[start:at], value))
    return words


def words_of(text: str) -> list[str]:
    """The values of a line's words."""
    return [word.value for word in split_words(text)]


def _unescape(text: str) -> tuple[str, int]:
    """What an escape means, and how many characters behind the backslash it takes."""
    match = _CODE.match(text)
    if match:
        code = int(match[4], 8) if match[4] else int(match[1] or match[2] or match[3], 16)
        return chr(code), match.end()
    return _ESCAPES.get(text[0], "\\" + text[0]), 1


def expand_specifiers(word: str, specifiers: t.Mapping[str, str]) -> str:
    """A word with %-specifiers replaced."""
    return re.sub("%(.)", lambda match: "%" if match[1] == "%" else specifiers.get(match[1], match[0]), word)


def expand(words: t.Iterable[str], variables: t.Mapping[str, str]) -> list[str]:
    """Expand $NAME (split into words) and ${NAME} (one word) as systemd does in ExecStart; $$ is a dollar sign."""
    result: list[str] = []
    for word in words:
        if re.match(r"\$[^{$]", word):
            # The whole word is a name; one that nothing has leaves nothing.
            result += [one.value for one in split_words(variables.get(word[1:], ""))]
        else:
            result.append(re.sub(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}", lambda match: variables.get(match[1], "") if match[1] else "$", word))
    return result


def literal(words: t.Iterable[str]) -> str:
    """Words as a line of a unit; what looks like a variable or a specifier is meant literally."""
    return quote(word.replace("$", "$$").replace("%", "%%") for word in words)


def quote(words: t.Iterable[str]) -> str:
    """Words as a line of a unit; variables and specifiers stay as they are."""
    return " ".join(word if _PLAIN.fullmatch(word) else '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"' for word in words)


def parse_environment(text: str) -> dict[str, str]:
    """The assignments of an EnvironmentFile, as systemd takes them (its env-file.c): a quote counts where a value begins, or behind another quote."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _COMMENT.match(text, at) or _KEY.match(text, at)
        if not match:
            # A line that assigns nothing.
            at = text.find("\n", at) + 1 or len(text)
        elif not match.lastgroup:
            at = match.end()
        else:
            found[match["key"].strip()], at = _value_at(text, match.end())
    return found


def _value_at(text: str, at: int) -> tuple[str, int]:
    """A value that begins at a place, and where the next line begins."""
    value, bare, kept = "", False, 0
    while at < len(text) and text[at] != "\n":
        char = text[at]
        quoted = None if bare else _QUOTED.match(text, at)
        if quoted:
            value += quoted[1] if char == "'" else _QUOTED_ESCAPE.sub(lambda match: match[1] or match[2] or "", quoted[2])
            at, kept = quoted.end(), len(value)
            continue
        if char == "\\" and at + 1 < len(text):
            value += text[at + 1].strip("\n")
            at, bare, kept = at + 2, True, len(value)
            continue
        bare = bare or not char.isspace()
        value += char if bare else ""
        at += 1
    # White space at the end of what is not quoted does not count.
    return value[:kept] + value[kept:].rstrip(), at + 1


__all__ = ("Command", "Word", "expand", "expand_specifiers", "literal", "parse_environment", "quote", "split_words", "words_of")
