/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* The words of a command as they go into the record of jobs: quoted for a shell where needed, parted by
 * blanks, escaped, and cut at 4096 bytes. To be freed; NULL for want of memory. */
char *hr_command_spell(char *const *command);
/* May such a text be given back to a shell as it is? */
bool hr_command_can_be_typed(const char *spelled);
