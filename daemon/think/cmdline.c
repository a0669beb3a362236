/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/cmdline.h"

#include <string.h>

#include "think/units.h"

/*
 * A quote is written as '"'"', for a backslash would be escaped; what holds one, or a control character,
 * can't be given back to a shell.
 */

#define QUOTE "'\"'\"'"

static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_";

static bool is_plain(const char *word)
{
        return *word && word[strspn(word, safe)] == '\0';
}

static void put(char *buf, size_t *used, const char *text)
{
        for (; *text && *used < HR_CMDLINE_MAX - 1; text++)
                buf[(*used)++] = *text;
        buf[*used] = '\0';
}

/* How many bytes at the end of what was cut are the begin of a character. */
static size_t half_character(const char *buf, size_t used)
{
        size_t n = 1;

        while (n < 4 && (buf[used - n] & 0xc0) == 0x80)
                n++;
        unsigned char lead = (unsigned char)buf[used - n];
        return n < (lead >= 0xf0 ? 4U : lead >= 0xe0 ? 3U : lead >= 0xc0 ? 2U : 1U) ? n : 0;
}

void hr_cmdline_add(char buf[static HR_CMDLINE_MAX], const char *word)
{
        char escaped[HR_CMDLINE_MAX], one[2] = "";
        size_t used = strlen(buf);

        if (used >= HR_CMDLINE_MAX - 4)
                return; /* it was cut */
        hr_units_escape(escaped, sizeof(escaped), word);
        put(buf, &used, used > 0 ? " " : "");
        bool plain = is_plain(escaped);
        put(buf, &used, plain ? "" : "'");
        for (const char *rest = escaped; *rest; rest++) {
                one[0] = *rest;
                put(buf, &used, *rest == '\'' ? QUOTE : one);
        }
        put(buf, &used, plain ? "" : "'");
        if (used == HR_CMDLINE_MAX - 1)
                buf[used - half_character(buf, used)] = '\0';
}

/* Past a word that begins at text, "" or a blank; NULL: it is not one of ours. */
static const char *skip_word(const char *text)
{
        if (*text != '\'') {
                size_t n = strspn(text, safe);
                return n > 0 ? text + n : NULL;
        }
        for (text++; *text; text++) {
                if (*text != '\'')
                        continue;
                if (strncmp(text, QUOTE, strlen(QUOTE)) != 0)
                        return text + 1;
                text += strlen(QUOTE) - 1;
        }
        return NULL;
}

bool hr_cmdline_can_be_typed(const char *spelled)
{
        if (strchr(spelled, '\\') || strlen(spelled) >= HR_CMDLINE_MAX - 8) /* escaped, or cut */
                return false;
        for (const char *at = skip_word(spelled); at; at = skip_word(at + 1))
                if (*at != ' ')
                        return *at == '\0';
        return false;
}
