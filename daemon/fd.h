/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Descriptors: closed on every way out. think/ has none and does not include this. */

#include <stdio.h>
#include <unistd.h>

#include "think/macros.h"

static inline int hr_close(int fd) /* returns -1, to be assigned back: fd = hr_close(fd); accepts -1 */
{
        if (fd >= 0)
                close(fd); /* nothing sensible can be done about an error of close() here */
        return -1;
}
static inline void hr_closep(int *fd)
{
        *fd = hr_close(*fd);
}
static inline void hr_fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}
#define _close_ HR_CLEANUP(hr_closep)
#define _fclose_ HR_CLEANUP(hr_fclosep)
