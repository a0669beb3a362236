/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text on its way out: made harmless, measured in columns of a terminal, cut and broken. */

#include <stdio.h>

#include "think/macros.h"

/* Control characters and what is no UTF-8 as \xHH, newlines too unless they are kept. */
void hr_text_write_escaped(FILE *f, const char *text, bool keep_newlines);
void hr_text_write_json(FILE *f, const char *text); /* as a string of JSON, with its quotes */

size_t hr_text_lines(const char *text); /* that it may have, at most */

/* Of text that is escaped, or was written here. */
size_t hr_text_width(const char *text);     /* columns */
bool hr_text_cut(char *text, size_t width); /* above this width, to one column less, for an ellipsis: true */
/*
 * The bytes of text's first line in a column that is this wide (0 counts as 1), broken at a blank, best not
 * between a number and its unit, or anywhere where there is none; *ret_next is where the next line begins.
 */
size_t hr_text_first_line(const char *text, size_t width, const char **ret_next);
