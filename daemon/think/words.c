/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/words.h"

#include <string.h>

/*
 * Optimal string alignment: the distance of Levenshtein with two neighbours that are swapped as one slip, by
 * three rows of its matrix. Bytes are taken for letters: what is compared is ASCII, or merely far.
 */

/* Slips in a word of LONG letters or more, and in a shorter one, where two make another word: "ruby" is not
 * "run". Chosen, not tuned. */
#define NEAR_LONG 2
#define NEAR_SHORT 1
#define LONG 5

static char small(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same(char a, char b)
{
        return small(a) == small(b);
}

unsigned hr_words_distance(const char *a, const char *b)
{
        unsigned rows[3][HR_WORDS_MAX + 1]; /* the two rows before, and this one */
        size_t n = strnlen(a, HR_WORDS_MAX + 1), m = strnlen(b, HR_WORDS_MAX + 1);

        if (n > HR_WORDS_MAX || m > HR_WORDS_MAX)
                return HR_WORDS_FAR;
        for (size_t j = 0; j <= m; j++)
                rows[0][j] = (unsigned)j;
        for (size_t i = 1; i <= n; i++) {
                unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

                row[0] = (unsigned)i;
                for (size_t j = 1; j <= m; j++) {
                        unsigned best = above[j - 1] + !same(a[i - 1], b[j - 1]);

                        best = MIN(best, MIN(above[j], row[j - 1]) + 1);
                        if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                                best = MIN(best, above2[j - 2] + 1);
                        row[j] = best;
                }
        }
        return rows[n % 3][m];
}

bool hr_words_nearer(const char *word, const char *other, unsigned *best)
{
        unsigned distance = hr_words_distance(word, other);
        size_t length = MIN(strnlen(word, LONG), strnlen(other, LONG));

        /* Words that share no letter are not near, however short they are. */
        if (distance > (length < LONG ? NEAR_SHORT : NEAR_LONG) || distance >= length || distance >= *best)
                return false;
        *best = distance;
        return true;
}
