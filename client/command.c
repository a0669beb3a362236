/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

/*
 * One place for it, so that `advise` looks for what `run` has written. A quote is written as '"'"', for a
 * backslash would be escaped; what holds one, or a control character, can't be given back to a shell.
 */

#include <stdio.h>
#include <string.h>

#include "think/macros.h"
#include "think/units.h"

#define COMMAND_MAX 4096

static void spell_word(FILE *f, const char *word)
{
        static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_";

        if (*word && word[strspn(word, safe)] == '\0') {
                fputs(word, f);
                return;
        }
        fputc('\'', f);
        for (; *word; word++)
                if (*word == '\'')
                        fputs("'\"'\"'", f);
                else
                        fputc(*word, f);
        fputc('\'', f);
}

char *hr_command_spell(char *const *command)
{
        _free_ char *joined = NULL, *escaped = malloc(COMMAND_MAX);
        size_t size = 0;
        FILE *f = open_memstream(&joined, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; command[i] && size < COMMAND_MAX; i++) {
                if (i > 0)
                        fputc(' ', f);
                spell_word(f, command[i]);
                fflush(f); /* sets size */
        }
        if (fclose(f) != 0 || !escaped)
                return NULL;
        hr_units_escape(escaped, COMMAND_MAX, joined);
        return TAKE_PTR(escaped);
}

bool hr_command_can_be_typed(const char *spelled)
{
        return *spelled && !strchr(spelled, '\\') && strlen(spelled) < COMMAND_MAX - 8;
}
