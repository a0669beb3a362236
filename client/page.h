/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One self-contained page about an ended job: readable on a phone, in the dark, and without colour sight. */

#include <stdio.h>

#include "call.h"

void hr_page_write(FILE *f, const struct hr_call_story *story);
/* Replaces the file at once: whole, or as it was. 0 or -errno. */
int hr_page_save(const struct hr_call_story *story, const char *path);
