/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "name.h"

/*
 * The name of a job that was given none: the script where an interpreter runs one, else the program. Known
 * interpreters are a table. What a name can't hold becomes "_", and what can't be a name gets "job-" before
 * it.
 */

#include <stdio.h>
#include <string.h>

#include "think/units.h"

/* Programs that run a script, which says more than they do. */
static const struct {
        const char *name;       /* versions may follow: python3.11 */
        const char *with_value; /* options that take the next word */
        const char *code;       /* options that bring the code along: then there is no script */
        char module;            /* an option that names the script otherwise; 0: none */
} interpreters[] = {
        {"python", "WX", "c", 'm'},
        {"pypy", "WX", "c", 'm'},
        {"Rscript", "", "e", 0},
        {"bash", "Oo", "c", 0},
        {"dash", "o", "c", 0},
        {"sh", "o", "c", 0},
        {"perl", "I", "eE", 0},
        {"ruby", "I", "e", 0},
        {"node", "r", "ep", 0},
        {"julia", "L", "eE", 0},
};

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash && slash[1] ? slash + 1 : path;
}

/* The word of command that names it best; *ret_stem: its ending is to go. */
static const char *naming_word(char *const *command, bool *ret_stem)
{
        const char *base = base_name(command[0]);
        size_t k = 0, i;

        *ret_stem = false;
        for (; k < ELEMENTSOF(interpreters); k++) {
                size_t n = strlen(interpreters[k].name);

                if (strncmp(base, interpreters[k].name, n) == 0 &&
                        strspn(base + n, "0123456789.") == strlen(base + n))
                        break;
        }
        if (k == ELEMENTSOF(interpreters))
                return base;
        for (i = 1; command[i] && command[i][0] == '-' && command[i][1]; i++) {
                const char *letters = command[i] + 1, last = letters[strlen(letters) - 1];

                if (letters[0] == '-')
                        continue;
                if (strpbrk(letters, interpreters[k].code))
                        return base;
                if (interpreters[k].module && last == interpreters[k].module)
                        return command[i + 1] ? command[i + 1] : base;
                if (strchr(interpreters[k].with_value, last) && command[i + 1])
                        i++;
        }
        if (!command[i] || strcmp(command[i], "-") == 0)
                return base;
        *ret_stem = true;
        return base_name(command[i]);
}

char *hr_name_derive(char *buf, char *const *command)
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        static const char others[] = "0123456789._-@";
        const char *word, *dot;
        size_t n = 0, size;
        bool stem;

        word = naming_word(command, &stem);
        size = strlen(word);
        dot = strrchr(word, '.');
        if (stem && dot && dot > word)
                size = (size_t)(dot - word);
        if (size == 0 || !strchr(letters, word[0]))
                n = (size_t)snprintf(buf, HR_NAME_MAX, "job-");
        for (size_t i = 0; i < size && n + 1 < HR_NAME_MAX; i++)
                buf[n++] = strchr(letters, word[i]) || strchr(others, word[i]) ? word[i] : '_';
        buf[n] = '\0';
        if (hr_units_check_name(buf) < 0) { /* "j17": a program may be called so */
                memmove(buf + 4, buf, MIN(n + 1, (size_t)HR_NAME_MAX - 4));
                memcpy(buf, "job-", 4);
                buf[HR_NAME_MAX - 1] = '\0';
        }
        return buf;
}
