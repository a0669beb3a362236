# SPDX-License-Identifier: LGPL-2.1-or-later
"""A terminal's screen: what a person sees of what a program wrote."""

import re


class Screen:
    """What an xterm shows of what was written to it: as much of it as ncurses uses."""

    TOKEN = re.compile(r"\x1b\[([?>!]?)([0-9;]*)([@A-Za-z`])|\x1b[()].|\x1b([78=>McDEH])|\x1b\][^\x07]*\x07|([\s\S])")

    def __init__(self, rows, columns):
        self.rows, self.columns, self.row, self.column = rows, columns, 0, 0
        self.lines = [[" "] * columns for _ in range(rows)]
        self.top, self.bottom, self.last, self.saved, self.left = 0, rows - 1, " ", (0, 0), ""

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines)

    def feed(self, text):
        text, self.left = self.left + text, ""
        while text:
            if text[0] == "\x1b" and not re.match(r"\x1b(\[[?>!]?[0-9;]*[@A-Za-z`]|[()].|[^\[()])", text):
                self.left = text
                return
            token = self.TOKEN.match(text)
            if not token:
                raise AssertionError(f"the terminal does not know {text[:20]!r}")
            text = text[token.end():]
            if token[5]:
                self.put(token[5])
            elif token[4] == "M":
                self.up()
            elif token[3] and not token[1]:
                self.control(token[3], [int(n or 0) for n in token[2].split(";")])

    def scroll(self, top, count):
        for _ in range(abs(count)):
            if count > 0:
                del self.lines[top]
                self.lines.insert(self.bottom, [" "] * self.columns)
            else:
                del self.lines[self.bottom]
                self.lines.insert(top, [" "] * self.columns)

    def up(self):
        if self.row == self.top:
            self.scroll(self.top, -1)
        else:
            self.row = max(self.row - 1, 0)

    def put(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            if self.row == self.bottom:
                self.scroll(self.top, 1)
            else:
                self.row = min(self.row + 1, self.rows - 1)
        elif c == "\b":
            self.column = max(min(self.column, self.columns - 1) - 1, 0)
        elif c == "\t":
            self.column = min(self.column // 8 * 8 + 8, self.columns - 1)
        elif c >= " ":
            if self.column == self.columns:
                self.put("\r")
                self.put("\n")
            self.lines[self.row][self.column] = self.last = c
            self.column += 1

    def control(self, what, numbers):
        n = max(numbers[0], 1)
        line = self.lines[self.row]
        at = min(self.column, self.columns - 1)
        if what in "Hf":
            self.row = min(n, self.rows) - 1
            self.column = min(max((numbers + [1])[1], 1), self.columns) - 1
        elif what == "d":
            self.row = min(n, self.rows) - 1
        elif what in "G`":
            self.column = min(n, self.columns) - 1
        elif what in "AB":
            self.row = min(max(self.row + (n if what == "B" else -n), 0), self.rows - 1)
        elif what in "CD":
            self.column = min(max(at + (n if what == "C" else -n), 0), self.columns - 1)
        elif what == "b":
            for _ in range(n):
                self.put(self.last)
        elif what == "X":
            line[at:at + n] = [" "] * len(line[at:at + n])
        elif what == "@":
            line[at:at] = [" "] * n
            del line[self.columns:]
        elif what == "P":
            del line[at:at + n]
            line += [" "] * (self.columns - len(line))
        elif what == "K":
            begin, end = ((at, self.columns), (0, at + 1), (0, self.columns))[numbers[0]]
            line[begin:end] = [" "] * (end - begin)
        elif what == "J":
            self.control("K", numbers)
            below = range(self.row + 1, self.rows) if numbers[0] == 0 else range(self.rows if numbers[0] == 2 else self.row)
            for row in below:
                self.lines[row] = [" "] * self.columns
        elif what in "LM":
            self.scroll(self.row, n if what == "M" else -n)
        elif what in "ST":
            self.scroll(self.top, n if what == "S" else -n)
        elif what == "r":
            self.top, self.bottom = n - 1, ((numbers + [0])[1] or self.rows) - 1
            self.row = self.column = 0
