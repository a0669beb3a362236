/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a job finds in its environment so that it can take part: headroom-job(7). */

#include "think/macros.h"

/* Where the Python side lies, in PATH_MAX bytes; false: nowhere, and directory names where it was looked for.
 */
bool hr_environment_find_python(char *directory);

/*
 * Sets MEMORY_PRESSURE_WATCH to the jobs' socket beside the daemon's (`socket`), where one is served, and,
 * with python_hook, puts the directory of the Python side before PYTHONPATH. In this process, which the job's
 * is forked from. What can't be set is left out: a job does without.
 */
void hr_environment_set(const char *socket, bool python_hook);
