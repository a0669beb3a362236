/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Small helpers that the whole tree shares. No I/O, no state.
 *
 * Error contract of the tree: a function returns 0 or a negative errno; a positive value is an outcome that
 * its header names. `ret_` outputs are untouched on failure and always set on success.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define HR_CLEANUP(f) __attribute__((cleanup(f)))
#define HR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HR_UNUSED __attribute__((unused))
#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hands an owned pointer or descriptor out of a scope whose clean-up would release it. */
#define TAKE_PTR(p)                      \
        ({                               \
                __auto_type take_ = (p); \
                (p) = NULL;              \
                take_;                   \
        })
/* A number, leaving 0. */
#define TAKE_VALUE(v)                    \
        ({                               \
                __auto_type take_ = (v); \
                (v) = 0;                 \
                take_;                   \
        })
#define TAKE_FD(fd)               \
        ({                        \
                int take_ = (fd); \
                (fd) = -1;        \
                take_;            \
        })

/* Frees *p; for char *, void * and any other malloc()ed pointer. */
static inline void hr_freep(void *p)
{
        free(*(void **)p);
}
#define _free_ HR_CLEANUP(hr_freep)

#define HR_USEC_PER_MSEC UINT64_C(1000)
#define HR_USEC_PER_SEC UINT64_C(1000000)
#define HR_USEC_NEVER UINT64_MAX    /* a time that never comes */
#define HR_BYTES_NONE UINT64_MAX    /* no limit, or a value that is not known */
#define HR_PERMYRIAD_ALL 10000U     /* 100.00 % */
#define HR_PERMYRIAD_OFF UINT32_MAX /* a level that is switched off */

#define HR_KIB UINT64_C(1024)
#define HR_MIB (1024 * HR_KIB)
#define HR_GIB (1024 * HR_MIB)

static inline uint64_t hr_sub(uint64_t a, uint64_t b) /* a - b, 0 where that is below 0 */
{
        return a > b ? a - b : 0;
}
static inline uint64_t hr_add(uint64_t a, uint64_t b) /* a + b, HR_BYTES_NONE where that overflows */
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
static inline uint64_t hr_power_of_two(uint64_t n) /* the largest that is not above n; of 0: 1 */
{
        return UINT64_C(1) << (63 - __builtin_clzll(n | 1));
}
