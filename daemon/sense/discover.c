/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/discover.h"

/*
 * One inotify watch for each cgroup, known by its watch descriptor and by its path. The parent's watch
 * reports mkdir and rmdir (kernfs gives no IN_DELETE_SELF: a removed cgroup's own watch stays silent until it
 * is taken off), the cgroup's own reports that a limit was written.
 *
 * A new cgroup: the watch is added first, then what is in it already is looked for, so that nothing that is
 * made meanwhile is missed; what is then found twice is known by its watch descriptor, which is the inode's.
 * The same path with another descriptor is another cgroup: the old one has vanished, the new one appeared.
 * When the kernel's queue overflowed, everything is scanned with a new generation number, and what was not
 * met again has vanished. Each appeared is paired with at most one vanished, in that order.
 *
 * Allocates (paths), so it is no part of the sampling path. Limits: 16384 watches, 64 levels; what is beyond,
 * or may not be watched, is counted and gets no callbacks.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#define WATCHES_MAX 16384
#define DEPTH_MAX 64
#define BUCKETS 4096
#define READS_MAX 64 /* 4 KiB each: then the loop gets its turn; chosen, not tuned */
#define WATCH_MASK                                                                                       \
        (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_ONLYDIR | IN_DONT_FOLLOW | \
                IN_EXCL_UNLINK)

struct node {
        int wd;
        uint32_t generation;
        size_t index; /* in hr_discover.nodes */
        struct node *next_by_wd, *next_by_path;
        char path[]; /* "" for the top, else begins with "/" */
};

struct hr_discover {
        int fd;
        struct hr_discover_events events;
        char top[512];             /* the hierarchy's mount point */
        char full[512 + PATH_MAX]; /* where a path in full is put together; not on the stack, of which 64
                                      levels share */
        uint32_t generation;
        uint64_t refused_count;
        bool refused_told;
        size_t count;
        struct node *nodes[WATCHES_MAX];
        struct node *by_wd[BUCKETS], *by_path[BUCKETS];
};

static size_t hash_path(const char *path)
{
        uint64_t hash = 14695981039346656037ULL; /* FNV-1a */

        for (; *path; path++)
                hash = (hash ^ (unsigned char)*path) * 1099511628211ULL;
        return hash % BUCKETS;
}

static struct node *find_wd(const struct hr_discover *d, int wd)
{
        struct node *n = d->by_wd[(unsigned)wd % BUCKETS];

        while (n && n->wd != wd)
                n = n->next_by_wd;
        return n;
}

static struct node *find_path(const struct hr_discover *d, const char *path)
{
        struct node *n = d->by_path[hash_path(path)];

        while (n && strcmp(n->path, path) != 0)
                n = n->next_by_path;
        return n;
}

static void unlink_node(struct hr_discover *d, struct node *n)
{
        struct node **at = &d->by_wd[(unsigned)n->wd % BUCKETS];

        while (*at != n)
                at = &(*at)->next_by_wd;
        *at = n->next_by_wd;
        at = &d->by_path[hash_path(n->path)];
        while (*at != n)
                at = &(*at)->next_by_path;
        *at = n->next_by_path;
        d->nodes[n->index] = d->nodes[--d->count];
        d->nodes[n->index]->index = n->index;
}

/* Forgets one cgroup, and says so. Its watch is taken off unless it is another's by now. */
static void drop(struct hr_discover *d, struct node *n, bool keep_watch)
{
        unlink_node(d, n);
        if (!keep_watch)
                (void)inotify_rm_watch(d->fd, n->wd); /* EINVAL: the kernel has taken it off by itself */
        if (n->path[0] && d->events.vanished)
                d->events.vanished(n->path, d->events.userdata);
        free(n);
}

/* A cgroup and all below it: only after lost events is there anything left below. */
static void drop_below(struct hr_discover *d, const char *path)
{
        struct node *n = find_path(d, path);
        size_t length = strlen(path);

        for (size_t i = d->count; i-- > 0;) /* backwards: the last one takes the place of the dropped */
                if (i < d->count && strncmp(d->nodes[i]->path, path, length) == 0 &&
                        d->nodes[i]->path[length] == '/')
                        drop(d, d->nodes[i], false);
        if (n)
                drop(d, n, false);
}

static int refuse(struct hr_discover *d)
{
        d->refused_count++;
        if (d->refused_told)
                return 0;
        d->refused_told = true;
        return -ENOSPC;
}

/* Watches one directory. 1: it is new, look into it; 0: known, or away again, or refused before; -errno. */
static int watch(struct hr_discover *d, const char *path)
{
        struct node *n, *other;
        size_t length = strlen(path);
        int wd;

        snprintf(d->full, sizeof(d->full), "%s%s", d->top, path);
        if (d->count >= WATCHES_MAX && !find_path(d, path))
                return refuse(d);
        wd = inotify_add_watch(d->fd, d->full, WATCH_MASK);
        if (wd < 0) {
                if (errno == ENOENT || errno == ENODEV || errno == ENOTDIR)
                        return 0;
                if (errno == ENOSPC || errno == EACCES || errno == ENAMETOOLONG)
                        return refuse(d);
                return -errno;
        }
        n = find_wd(d, wd);
        if (n && strcmp(n->path, path) == 0) {
                n->generation = d->generation;
                return 0;
        }
        if (n) /* renamed, which v1 allows */
                drop(d, n, true);
        other = find_path(d, path);
        if (other)
                drop(d, other, false);

        n = malloc(sizeof(*n) + length + 1);
        if (!n) {
                (void)inotify_rm_watch(d->fd, wd);
                return -ENOMEM;
        }
        *n = (struct node){
                .wd = wd,
                .generation = d->generation,
                .index = d->count,
                .next_by_wd = d->by_wd[(unsigned)wd % BUCKETS],
                .next_by_path = d->by_path[hash_path(path)],
        };
        memcpy(n->path, path, length + 1);
        d->by_wd[(unsigned)wd % BUCKETS] = n;
        d->by_path[hash_path(path)] = n;
        d->nodes[d->count++] = n;
        if (path[0] && d->events.appeared)
                d->events.appeared(path, d->events.userdata);
        return 1;
}

static bool is_directory(int dir_fd, const struct dirent64 *entry)
{
        _close_ int fd = -1;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                return false;
        if (entry->d_type != DT_UNKNOWN)
                return entry->d_type == DT_DIR;
        fd = openat(dir_fd, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd >= 0;
}

/*
 * Watches path (a buffer of PATH_MAX, given back as it was) and what is below it. On a full scan the known
 * are looked into as well. An error doesn't end the walk: the first is returned.
 */
static int take_in(struct hr_discover *d, char path[static PATH_MAX], unsigned depth, bool full)
{
        _Alignas(struct dirent64) char entries[2048];
        size_t length = strlen(path);
        _close_ int fd = -1;
        int first = 0, r = watch(d, path);

        if (r < 0 || (r == 0 && !full))
                return r;
        snprintf(d->full, sizeof(d->full), "%s%s", d->top, path);
        fd = open(d->full, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) /* away again, or not ours to read */
                return depth > 0 && (errno == ENOENT || errno == ENODEV || errno == EACCES) ? 0 : -errno;
        for (;;) {
                ssize_t n = getdents64(fd, entries, sizeof(entries));

                if (n < 0 && errno != ENOENT)
                        return first < 0 ? first : -errno;
                if (n <= 0)
                        return first;
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *entry = (const struct dirent64 *)(entries + at);

                        at += entry->d_reclen;
                        if (!is_directory(fd, entry))
                                continue;
                        if (depth + 1 >= DEPTH_MAX || length + 1 + strlen(entry->d_name) >= PATH_MAX)
                                r = refuse(d);
                        else {
                                sprintf(path + length, "/%s", entry->d_name);
                                r = take_in(d, path, depth + 1, full);
                                path[length] = '\0';
                        }
                        if (r < 0 && first == 0)
                                first = r;
                }
        }
}

int hr_discover_scan(struct hr_discover *d)
{
        char path[PATH_MAX] = "";
        int r;

        d->generation++;
        r = take_in(d, path, 0, true);
        for (size_t i = d->count; i-- > 0;)
                if (d->nodes[i]->generation != d->generation)
                        drop(d, d->nodes[i], false);
        return r;
}

int hr_discover_new(
        const struct hr_hierarchy *h, const struct hr_discover_events *events, struct hr_discover **ret)
{
        struct hr_discover *d;
        int fd;

        if (h->memory_version == 0)
                return -EOPNOTSUPP;
        fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (fd < 0)
                return -errno;
        d = calloc(1, sizeof(*d));
        if (!d) {
                hr_close(fd);
                return -ENOMEM;
        }
        d->fd = fd;
        d->events = *events;
        memcpy(d->top, h->memory, sizeof(d->top));
        *ret = d;
        return 0;
}

struct hr_discover *hr_discover_free(struct hr_discover *d)
{
        if (d) {
                for (size_t i = 0; i < d->count; i++)
                        free(d->nodes[i]);
                hr_close(d->fd); /* and all watches with it */
                free(d);
        }
        return NULL;
}

int hr_discover_fd(const struct hr_discover *d)
{
        return d->fd;
}

uint64_t hr_discover_refused_count(const struct hr_discover *d)
{
        return d->refused_count;
}

static bool is_limit(const char *name)
{
        static const char *const limits[] = {
                "memory.max",
                "memory.high",
                "memory.swap.max",
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
        };

        for (size_t i = 0; i < ELEMENTSOF(limits); i++)
                if (strcmp(name, limits[i]) == 0)
                        return true;
        return false;
}

static int handle(struct hr_discover *d, const struct inotify_event *event)
{
        struct node *n = find_wd(d, event->wd);
        char path[PATH_MAX];

        if (!n)
                return 0; /* of a cgroup that is forgotten already */
        if (event->mask & (IN_IGNORED | IN_UNMOUNT)) {
                drop(d, n, true);
                return 0;
        }
        if (event->len == 0)
                return 0;
        if (!(event->mask & IN_ISDIR)) {
                if ((event->mask & IN_MODIFY) && n->path[0] && is_limit(event->name) &&
                        d->events.limit_written)
                        d->events.limit_written(n->path, d->events.userdata);
                return 0;
        }
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", n->path, event->name) >= sizeof(path))
                return refuse(d);
        if (event->mask & (IN_DELETE | IN_MOVED_FROM))
                drop_below(d, path);
        if (event->mask & (IN_CREATE | IN_MOVED_TO)) {
                unsigned depth = 0;

                for (const char *c = path; *c; c++)
                        depth += *c == '/';
                return take_in(d, path, depth, false);
        }
        return 0;
}

int hr_discover_dispatch(struct hr_discover *d)
{
        bool overflow = false;
        int first = 0, r;

        for (unsigned reads = 0; reads < READS_MAX; reads++) {
                _Alignas(struct inotify_event) char events[4096];
                ssize_t n = read(d->fd, events, sizeof(events));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n <= 0)
                        break;
                for (ssize_t at = 0; at < n;) {
                        const struct inotify_event *event = (const struct inotify_event *)(events + at);

                        at += (ssize_t)(sizeof(*event) + event->len);
                        if (event->mask & IN_Q_OVERFLOW) {
                                overflow = true;
                                continue;
                        }
                        r = handle(d, event);
                        if (r < 0 && first == 0)
                                first = r;
                }
        }
        if (overflow) {
                r = hr_discover_scan(d);
                if (r < 0 && first == 0)
                        first = r;
        }
        return first;
}
