/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Words that a mistyped one may have meant: verbs, options, jobs, keys of the configuration. Pure. */

#include "think/macros.h"

#define HR_WORDS_MAX 64         /* bytes; longer words are near to none */
#define HR_WORDS_FAR UINT32_MAX /* nothing is near yet */

/* How many letters must be changed, added, left out or swapped with the next one to make b of a, capitals
 * counting as small letters; HR_WORDS_FAR where one of them is longer than HR_WORDS_MAX. */
unsigned hr_words_distance(const char *a, const char *b);

/*
 * Is `other` near enough to `word` to ask "did you mean", and nearer than *best? Then *best is its distance.
 * Begin with HR_WORDS_FAR, ask for each word in turn, and keep the last one that was.
 */
bool hr_words_nearer(const char *word, const char *other, unsigned *best);
