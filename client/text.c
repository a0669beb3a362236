/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

/*
 * What came from outside may hold anything. For people, control characters and invalid UTF-8 become \xHH, and
 * a backslash stays, since the daemon has escaped what it read once already; in JSON they become \u00HH and
 * U+FFFD.
 *
 * Widths are those of the terminal's columns, by the locale's wcwidth(3); a character that it does not know
 * takes one.
 */

#include <string.h>
#include <wchar.h>

/* Bytes of the UTF-8 character at s: 1 to 4; 0 where it is none, cut off, overlong, a surrogate. RFC 3629. */
static size_t character(const char *s)
{
        const unsigned char *u = (const unsigned char *)s;
        size_t n;

        if (u[0] < 0x80)
                return 1;
        n = u[0] >= 0xc2 && u[0] <= 0xdf   ? 2
            : (u[0] & 0xf0) == 0xe0        ? 3
            : u[0] >= 0xf0 && u[0] <= 0xf4 ? 4
                                           : 0;
        for (size_t i = 1; i < n; i++)
                if ((u[i] & 0xc0) != 0x80)
                        return 0;
        if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
                (u[0] == 0xf4 && u[1] > 0x8f))
                return 0;
        return n;
}

/* C0, DEL, and C1, which some terminals obey as well. */
static bool is_control(const char *s)
{
        const unsigned char *u = (const unsigned char *)s;

        return u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0);
}

/* How many bytes go out as they are: characters that are no controls, and none of these two. */
static size_t plain(const char *text, char one, char other)
{
        const char *t = text;

        for (size_t n; *t && *t != one && *t != other && !is_control(t) && (n = character(t)) > 0;)
                t += n;
        return (size_t)(t - text);
}

void hr_text_write_escaped(FILE *f, const char *text, bool keep_newlines)
{
        for (;;) {
                size_t n = plain(text, '\0', '\0');

                fwrite(text, 1, n, f);
                text += n;
                if (!*text)
                        return;
                if (keep_newlines && *text == '\n') {
                        fputc(*text++, f);
                        continue;
                }
                for (n = MAX(character(text), 1U); n > 0; n--, text++)
                        fprintf(f, "\\x%02x", (unsigned char)*text);
        }
}

void hr_text_write_json(FILE *f, const char *text)
{
        fputc('"', f);
        for (;;) {
                size_t n = plain(text, '"', '\\');

                fwrite(text, 1, n, f);
                text += n;
                if (!*text)
                        break;
                n = character(text);
                if (n == 0)
                        fputs("\\ufffd", f);
                else if (is_control(text))
                        fprintf(f, "\\u%04x", (unsigned char)text[n - 1]); /* of C1 the second byte tells */
                else
                        fprintf(f, "\\%c", *text);
                text += MAX(n, 1U);
        }
        fputc('"', f);
}

size_t hr_text_lines(const char *text)
{
        size_t count = 1;

        for (; *text; text++)
                count += *text == '\n';
        return count;
}

/* ---- widths ---- */

/* How many columns of a terminal the character at s takes, of n bytes: those of Chinese two, accents none. */
static size_t columns_of(const char *s, size_t n)
{
        static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
        wchar_t c = n > 0 ? (unsigned char)*s & lead[n] : '?';
        int columns;

        for (size_t i = 1; i < n; i++)
                c = c << 6 | (s[i] & 0x3f);
        columns = wcwidth(c);
        return columns < 0 ? 1 : (size_t)columns; /* not in this locale */
}

/* The bytes of the character at s, one where it is none. */
static size_t step(const char *s)
{
        return MAX(character(s), (size_t)1);
}

size_t hr_text_width(const char *text)
{
        size_t width = 0;

        while (*text) {
                size_t n = 1;

                if (*text >= ' ' && *text <= '~') { /* most are: a table of 10000 rows asks for a million */
                        width++;
                } else {
                        n = character(text);
                        width += columns_of(text, n);
                }
                text += MAX(n, 1U);
        }
        return width;
}

bool hr_text_cut(char *text, size_t width)
{
        size_t seen = 0;

        if (hr_text_width(text) <= width)
                return false;
        for (;; text += step(text)) {
                seen += columns_of(text, character(text));
                if (seen + 1 > width)
                        break;
        }
        *text = '\0';
        return true;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

size_t hr_text_first_line(const char *text, size_t width, const char **ret_next)
{
        const char *at = text, *blank = NULL, *in_quantity = NULL;
        size_t seen = 0;

        for (; *at; at += step(at)) {
                seen += columns_of(at, character(at));
                if (*at == ' ' && at > text && is_digit(at[-1]) && !is_digit(at[1]))
                        in_quantity = at;
                else if (*at == ' ' && at > text)
                        blank = at;
                if (seen > width && at > text)
                        break;
        }
        blank = blank ? blank : in_quantity;
        if (!*at || !blank) {
                *ret_next = at;
                return (size_t)(at - text);
        }
        *ret_next = blank + strspn(blank, " ");
        return (size_t)(blank - text);
}
