/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/group.h"

/*
 * What both versions of the memory controller have in common.
 *
 * A group is a directory, held by an O_PATH descriptor, and the two or three files in it that are read again
 * and again. kernfs binds each of these to the cgroup itself, not to its name: once the cgroup is removed, a
 * read gives ENODEV and a look-up in the directory ENOENT, for ever, also when another cgroup stands at the
 * path by then. So a kept descriptor can never show another job's memory, and the name is looked at only in
 * hr_group_open and hr_group_check_identity.
 *
 * ENOENT alone does not say whether the file or its directory is missing. A removed directory can still be
 * opened as ".", but not listed (ENOENT, on every file system): is_removed asks that, only after a failure.
 *
 * The first read is done at open, so that from then on there is always a last good value to fall back on. No
 * function but hr_group_open, which copies the path, allocates.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PLAUSIBLE_MAX (1ULL << 52)
#define DEPTH_MAX 8
#define PIDS_MAX 65536

static void group_closep(struct hr_group *g)
{
        hr_group_close(g);
}

static bool is_removed(int dir_fd)
{
        char entry[512]; /* room for one is enough */
        _close_ int fd = -1;

        if (dir_fd == AT_FDCWD)
                return false;
        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENODEV;
        return getdents64(fd, entry, sizeof(entry)) < 0 && errno == ENOENT;
}

/* What an errno of a file below dir_fd means: HR_SENSE_GONE or -errno. */
static int explain(int dir_fd, int error)
{
        if (error == ENODEV || error == ESRCH)
                return HR_SENSE_GONE;
        if (error == ENOENT && is_removed(dir_fd))
                return HR_SENSE_GONE;
        return -error;
}

bool hr_sense_plausible(uint64_t bytes)
{
        return bytes <= PLAUSIBLE_MAX;
}

static ssize_t read_from(int fd, char *buf, size_t size, size_t from)
{
        ssize_t n;

        do {
                n = pread(fd, buf, size, (off_t)from);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == ENODEV || errno == ESRCH || errno == ENOENT ? -ENODEV : -errno;
        return n;
}

int hr_sense_read_fd(int fd, char *buf, size_t size, size_t *ret_size)
{
        ssize_t n = read_from(fd, buf, size, 0);

        if (n < 0 || (size_t)n == size) /* or it fits exactly, which can't be told without another read */
                return n == -ENODEV ? HR_SENSE_GONE : n < 0 ? (int)n : -EFBIG;
        *ret_size = (size_t)n;
        return 0;
}

int hr_sense_read_all_fd(int fd, char *buf, size_t size, size_t *ret_size)
{
        size_t have = 0;

        while (have < size) {
                ssize_t n = read_from(fd, buf + have, size - have, have);

                if (n < 0)
                        return n == -ENODEV ? HR_SENSE_GONE : (int)n;
                if (n == 0) {
                        *ret_size = have;
                        return 0;
                }
                have += (size_t)n;
        }
        return -EFBIG; /* or it fits exactly */
}

int hr_sense_read_at(int dir_fd, const char *name, char *buf, size_t size, size_t *ret_size)
{
        _close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return explain(dir_fd, errno);
        return hr_sense_read_all_fd(fd, buf, size, ret_size);
}

int hr_sense_read_number_at(int dir_fd, const char *name, uint64_t *ret)
{
        char text[64];
        size_t size;
        int r = hr_sense_read_at(dir_fd, name, text, sizeof(text), &size);

        return r != 0 ? r : hr_parse_number(text, size, ret);
}

/* "/a/b": from the top, no empty, "." or ".." part, and not the root itself. */
static bool path_is_good(const char *path)
{
        if (path[0] != '/')
                return false;
        for (const char *part = path; *part; part += strcspn(part, "/")) {
                size_t length = strcspn(++part, "/");

                if (length == 0 || (length == 1 && part[0] == '.') ||
                        (length == 2 && strncmp(part, "..", 2) == 0))
                        return false;
        }
        return true;
}

static int group_directory(const struct hr_hierarchy *h, const char *path, char full[static PATH_MAX])
{
        int n = snprintf(full, PATH_MAX, "%s%s", h->memory, path);

        return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* name NULL: the version has no such file; optional: it may be missing. */
static int open_file(int dir_fd, const char *name, bool optional, int *ret_fd)
{
        _close_ int fd = -1;

        if (name)
                fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        if (name && fd < 0) {
                int r = explain(dir_fd, errno);

                if (!optional || r != -ENOENT)
                        return r;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int open_directory(const struct hr_hierarchy *h, const char *path, struct hr_group *g)
{
        char full[PATH_MAX];
        int r;

        if (!path_is_good(path))
                return -EINVAL;
        if (h->memory_version != 1 && h->memory_version != 2)
                return -EOPNOTSUPP;
        g->ops = h->memory_version == 2 ? &hr_cgroup2_ops : &hr_cgroup1_ops;
        g->kind = h->memory_version == 2 ? HR_KIND_CGROUP2 : HR_KIND_CGROUP1;

        r = group_directory(h, path, full);
        if (r < 0)
                return r;
        g->dir_fd = open(full, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (g->dir_fd < 0)
                return errno == ENOENT || errno == ENODEV ? HR_SENSE_GONE : -errno;
        return 0;
}

int hr_group_open(const struct hr_hierarchy *h, const char *path, struct hr_group *ret)
{
        HR_CLEANUP(group_closep) struct hr_group g = HR_GROUP_INIT;
        struct hr_usage usage;
        struct stat st;
        int r = open_directory(h, path, &g);

        if (r != 0)
                return r;
        if (fstat(g.dir_fd, &st) < 0)
                return explain(g.dir_fd, errno);
        g.inode = st.st_ino;

        if ((r = open_file(g.dir_fd, g.ops->current_file, false, &g.current_fd)) != 0 ||
                (r = open_file(g.dir_fd, g.ops->stat_file, false, &g.stat_fd)) != 0 ||
                (r = open_file(g.dir_fd, g.ops->swap_file, true, &g.swap_fd)) != 0)
                return r;

        r = hr_group_read_usage(&g, &usage);
        if (r != 0)
                return r;
        if (g.bad_count > 0)
                return -EBADMSG; /* nothing good to fall back on */
        g.path = strdup(path);
        if (!g.path)
                return -ENOMEM;
        *ret = g;
        g = (struct hr_group)HR_GROUP_INIT;
        return 0;
}

void hr_group_close(struct hr_group *g)
{
        hr_close(g->dir_fd);
        hr_close(g->current_fd);
        hr_close(g->stat_fd);
        hr_close(g->swap_fd);
        free(g->path);
        *g = (struct hr_group)HR_GROUP_INIT;
}

int hr_group_read_current(struct hr_group *g, uint64_t *ret_bytes)
{
        char text[32];
        uint64_t bytes;
        ssize_t n = pread(
                g->current_fd, text, sizeof(text), 0); /* one number: comes whole, or is refused below */

        if (n < 0)
                return errno == ENODEV ? HR_SENSE_GONE : -errno;
        if (hr_parse_number(text, (size_t)n, &bytes) == 0 && hr_sense_plausible(bytes))
                g->last.current_bytes = bytes;
        else
                g->bad_count++;
        *ret_bytes = g->last.current_bytes;
        return 0;
}

static bool usage_is_plausible(const struct hr_usage *u)
{
        return hr_sense_plausible(u->swap_bytes) && hr_sense_plausible(u->inactive_file_bytes) &&
               hr_sense_plausible(u->active_file_bytes) && hr_sense_plausible(u->slab_reclaimable_bytes) &&
               hr_sense_plausible(u->kernel_bytes) && hr_sense_plausible(u->shmem_bytes);
}

int hr_group_read_usage(struct hr_group *g, struct hr_usage *ret)
{
        struct hr_usage usage;
        uint64_t current;
        int r = hr_group_read_current(g, &current);

        if (r != 0)
                return r;
        usage = g->last;
        r = g->ops->read_usage(g, &usage);
        if (r != 0 && r != -EBADMSG && r != -ERANGE)
                return r;
        if (r == 0 && usage_is_plausible(&usage))
                g->last = usage;
        else
                g->bad_count++;
        *ret = g->last;
        return 0;
}

int hr_group_read_limits(struct hr_group *g, struct hr_group_limits *ret)
{
        return g->ops->read_limits(g, ret);
}

int hr_group_read_limits_at(const struct hr_hierarchy *h, const char *path, struct hr_group_limits *ret)
{
        HR_CLEANUP(group_closep) struct hr_group g = HR_GROUP_INIT;
        int r = open_directory(h, path, &g);

        return r != 0 ? r : g.ops->read_limits(&g, ret);
}

int hr_group_read_high(struct hr_group *g, uint64_t *ret_bytes)
{
        uint64_t bytes;
        int r = g->kind == HR_KIND_CGROUP2 ? hr_sense_read_number_at(g->dir_fd, "memory.high", &bytes)
                                           : -ENODATA;
        if (r == 0)
                *ret_bytes = hr_sense_plausible(bytes) ? bytes : HR_BYTES_NONE;
        return r;
}

int hr_group_read_peak(struct hr_group *g, uint64_t *ret_bytes)
{
        return g->ops->read_peak(g, ret_bytes);
}

int hr_group_read_oom_kills(struct hr_group *g, uint64_t *ret)
{
        return g->ops->read_oom_kills(g, ret);
}

int hr_group_read_oom_kills_at(const struct hr_hierarchy *h, const char *path, uint64_t *ret)
{
        HR_CLEANUP(group_closep) struct hr_group g = HR_GROUP_INIT;
        int r = open_directory(h, path, &g);

        return r != 0 ? r : g.ops->read_oom_kills(&g, ret);
}

int hr_group_read_populated(struct hr_group *g, bool *ret)
{
        return g->ops->read_populated(g, ret);
}

int hr_group_check_identity(const struct hr_hierarchy *h, struct hr_group *g)
{
        char full[PATH_MAX];
        struct stat st;
        int r = group_directory(h, g->path, full);

        if (r < 0)
                return r;
        if (fstatat(AT_FDCWD, full, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT || errno == ENODEV || errno == ENOTDIR ? HR_SENSE_GONE : -errno;
        /* While dir_fd is held its inode number isn't given to another, on no file system. */
        return S_ISDIR(st.st_mode) && st.st_ino == g->inode ? 0 : HR_SENSE_GONE;
}

/* One walk over cgroup.procs of a directory and of those below it. */
struct walk {
        hr_pid_fn each;
        void *userdata;
        unsigned seen;
        bool cut;    /* deeper, or more processes, than the walk goes */
        int outcome; /* what the callback returned to stop it */
        char text[4096];
};

static int walk_pid(pid_t pid, void *userdata)
{
        struct walk *w = userdata;

        if (w->seen >= PIDS_MAX) {
                w->cut = true;
                return -ECANCELED;
        }
        w->seen++;
        w->outcome = w->each(pid, w->userdata);
        return w->outcome == 0 ? 0 : -ECANCELED;
}

/* v2 shows processes outside our pid namespace as 0: nobody could do anything with these. Returns the new
 * size. */
static size_t drop_foreign(char *text, size_t size)
{
        size_t kept = 0;

        for (size_t at = 0; at < size;) {
                size_t length = (size_t)((char *)memchr(text + at, '\n', size - at) + 1 - (text + at));

                if (length != 2 || text[at] != '0') {
                        memmove(text + kept, text + at, length);
                        kept += length;
                }
                at += length;
        }
        return kept;
}

/* -ECANCELED: stop. What vanishes on the way has no processes. */
static int walk_procs(int dir_fd, struct walk *w)
{
        _close_ int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        size_t have = 0;

        if (fd < 0)
                return errno == ENOENT || errno == ENODEV ? 0 : -errno;
        for (;;) {
                ssize_t n = read(fd, w->text + have, sizeof(w->text) - have);
                const char *end;
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) /* a threaded cgroup refuses: its processes stand in the domain above */
                        return errno == ENODEV || errno == EOPNOTSUPP ? 0 : -errno;
                if (n == 0)
                        return have == 0 ? 0 : -EBADMSG;
                have += (size_t)n;
                end = memrchr(w->text, '\n', have);
                if (!end) {
                        if (have == sizeof(w->text))
                                return -EBADMSG;
                        continue;
                }
                size_t whole = (size_t)(end + 1 - w->text);
                r = hr_parse_pids(w->text, drop_foreign(w->text, whole), walk_pid, w);
                if (r < 0)
                        return r;
                have -= whole;
                memmove(w->text, end + 1, have);
        }
}

static bool is_directory(int dir_fd, const struct dirent64 *entry)
{
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                return false;
        if (entry->d_type != DT_UNKNOWN)
                return entry->d_type == DT_DIR;
        return fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int walk_below(int dir_fd, unsigned depth, struct walk *w)
{
        _Alignas(struct dirent64) char entries[2048];
        _close_ int fd = -1;
        int r = walk_procs(dir_fd, w);

        if (r < 0)
                return r;
        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENODEV ? 0 : -errno;
        for (;;) {
                ssize_t n = getdents64(fd, entries, sizeof(entries));

                if (n <= 0)
                        return n == 0 || errno == ENOENT ? 0 : -errno;
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
                        _close_ int child_fd = -1;

                        at += entry->d_reclen;
                        if (!is_directory(fd, entry))
                                continue;
                        if (depth + 1 >= DEPTH_MAX) {
                                w->cut = true;
                                continue;
                        }
                        child_fd = openat(fd, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                        if (child_fd < 0 && (errno == ENOENT || errno == ENODEV))
                                continue;
                        if (child_fd < 0)
                                return -errno;
                        r = walk_below(child_fd, depth + 1, w);
                        if (r < 0)
                                return r;
                }
        }
}

/*
 * A cgroup that is away has no processes: 0, so that a callback's own 1 can't be taken for HR_SENSE_GONE.
 * -E2BIG, after all that could be reached were called back for: there is more than the walk goes to.
 */
int hr_cgroup_each_pid(int dir_fd, hr_pid_fn each, void *userdata)
{
        struct walk w = {.each = each, .userdata = userdata};
        int r = walk_below(dir_fd, 0, &w);

        if (w.outcome != 0)
                return w.outcome;
        if (w.cut)
                return -E2BIG;
        return r;
}

int hr_group_each_pid(const struct hr_group *g, hr_pid_fn each, void *userdata)
{
        return hr_cgroup_each_pid(g->dir_fd, each, userdata);
}
