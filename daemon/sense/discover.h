/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Finds cgroups as they appear: inotify on every directory of the memory hierarchy. After `mkdir -p` only the
 * top one is reported, so: add the watch, then scan. On overflow everything is scanned again. No events in a
 * fixture's plain directories but inotify works there as well.
 */

#include "sense/group.h"

struct hr_discover;

struct hr_discover_events {
        void (*appeared)(const char *path, void *userdata); /* also once for each that is there at start */
        void (*vanished)(const char *path, void *userdata);
        void (*limit_written)(
                const char *path, void *userdata); /* memory.max, memory.high, limit_in_bytes... */
        void *userdata;
};

/* At most 16384 watches; more are refused with -ENOSPC once and counted. */
int hr_discover_new(
        const struct hr_hierarchy *h, const struct hr_discover_events *events, struct hr_discover **ret);
struct hr_discover *hr_discover_free(struct hr_discover *d);
int hr_discover_fd(const struct hr_discover *d);
int hr_discover_dispatch(struct hr_discover *d); /* reads what waits, calls back */
int hr_discover_scan(
        struct hr_discover *d); /* everything from the top: at start, and on overflow by itself */
uint64_t hr_discover_refused_count(
        const struct hr_discover *d); /* cgroups that got no watch, and so no callbacks */
