/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What works on this machine, what does not, what is lost, and how to get it: the daemon's part. */

#include <stdio.h>
#include <sys/types.h>

struct hr_manager;

/* Lines "item\tstate\tdetail\tremedy\n"; of jobs those that uid may see. Deciding thread; waits for nothing.
 */
void hr_doctor_write(struct hr_manager *m, uid_t uid, FILE *out);
