/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A listening socket of the daemon's own at a path, and its removal. */

#include <sys/types.h>

#include "think/macros.h"

struct hr_listen {
        int fd;     /* -1: none */
        char *path; /* owned */
        dev_t dev;  /* of the socket's file, so that only that one is removed */
        ino_t ino;
};
#define HR_LISTEN_NONE ((struct hr_listen){.fd = -1})

/*
 * Listens at the path, which gets this mode; close-on-exec, non-blocking. A socket
 * that a dead daemon left behind is taken over; where somebody listens, or what is there is no socket,
 * -EADDRINUSE. -ENAMETOOLONG; -errno of the system.
 */
int hr_listen_open(const char *path, mode_t mode, struct hr_listen *ret);
/* Closes it, and removes its file if it is still that one. Accepts HR_LISTEN_NONE, and leaves it. */
void hr_listen_close(struct hr_listen *l);
