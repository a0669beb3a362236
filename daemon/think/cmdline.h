/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/*
 * A command line as it stands in the record of jobs: its words quoted for a shell where needed, parted by
 * blanks, escaped, and cut. One place for it, so that `advise` looks for what `run` has written.
 */

#define HR_CMDLINE_MAX 4096 /* bytes with the NUL */

/* Adds a word to what is in buf, which is "" before the first. */
void hr_cmdline_add(char buf[static HR_CMDLINE_MAX], const char *word);
/* May such a text be given back to a shell as it is? Whoever wrote it: each word is plain or quoted. */
bool hr_cmdline_can_be_typed(const char *spelled);
