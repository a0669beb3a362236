/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define READS_MAX 16 /* in one wake-up, of some hundred events each: who writes on and on waits; chosen */

struct watched {
        int wd;
        char *path; /* owned */
};

struct hr_limits {
        int fd;
        const struct hr_hierarchy *hierarchy;
        struct watched *list;
        size_t count, size;
};

static const char *const files[][2] = {
        {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}, /* v1 */
        {"memory.max", "memory.swap.max"},                        /* v2 */
};

int hr_limits_new(const struct hr_hierarchy *h, struct hr_limits **ret)
{
        struct hr_limits *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        l->hierarchy = h;
        l->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (l->fd < 0) {
                free(l);
                return -errno;
        }
        *ret = l;
        return 0;
}

struct hr_limits *hr_limits_free(struct hr_limits *l)
{
        if (l) {
                for (size_t i = 0; i < l->count; i++)
                        free(l->list[i].path);
                free(l->list);
                hr_close(l->fd);
                free(l);
        }
        return NULL;
}

int hr_limits_fd(const struct hr_limits *l)
{
        return l->fd;
}

static struct watched *find(struct hr_limits *l, int wd)
{
        for (size_t i = 0; i < l->count; i++)
                if (l->list[i].wd == wd)
                        return &l->list[i];
        return NULL;
}

static bool has_room(struct hr_limits *l)
{
        size_t size = MAX(2 * l->size, 16U);
        struct watched *more;

        if (l->count < l->size)
                return true;
        more = realloc(l->list, size * sizeof(*more));
        if (!more)
                return false;
        l->list = more;
        l->size = size;
        return true;
}

void hr_limits_watch(struct hr_limits *l, const char *path)
{
        const char *const *names = files[l->hierarchy->memory_version == 2];

        for (size_t i = 0; i < ELEMENTSOF(files[0]); i++) {
                char full[PATH_MAX];
                int wd;

                if (!has_room(l) || (size_t)snprintf(full, sizeof(full), "%s%s/%s", l->hierarchy->memory,
                                            path, names[i]) >= sizeof(full))
                        return;
                wd = inotify_add_watch(l->fd, full, IN_MODIFY); /* the same number for the same file */
                if (wd < 0 || find(l, wd))
                        continue;
                char *copy = strdup(path);
                if (copy)
                        l->list[l->count++] = (struct watched){.wd = wd, .path = copy};
                else
                        (void)inotify_rm_watch(l->fd, wd);
        }
}

int hr_limits_dispatch(struct hr_limits *l, hr_limits_fn written, void *userdata)
{
        for (unsigned reads = 0; reads < READS_MAX; reads++) {
                _Alignas(struct inotify_event) char events[4096];
                ssize_t n = read(l->fd, events, sizeof(events));

                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (n <= 0)
                        return 0;
                for (ssize_t at = 0; at < n;) {
                        const struct inotify_event *event = (const struct inotify_event *)(events + at);
                        struct watched *w = find(l, event->wd);

                        at += (ssize_t)(sizeof(*event) + event->len);
                        if (!w)
                                continue; /* lost events too (IN_Q_OVERFLOW): the next look reads them */
                        if (event->mask & IN_MODIFY)
                                written(w->path, userdata);
                        if (event->mask & IN_IGNORED) { /* the cgroup is gone */
                                free(w->path);
                                *w = l->list[--l->count];
                        }
                }
        }
        return 0;
}
