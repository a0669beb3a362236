/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The name that a command gets when it is given none: "python3 script.py" is "script". Always a valid name of
 * a job; buf of HR_NAME_MAX bytes. Returns buf. */
char *hr_name_derive(char *buf, char *const *command);
