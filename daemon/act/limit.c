/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "think/units.h"

/*
 * v2 knobs of our own groups are written directly; groups are made, and v1 limits set, by libcgroup.
 * libcgroup 2.0.2 reports errors as positive 50000s with errno behind one of them, and logs to stdout unless
 * told otherwise (both are taken care of here). It opens every controller file when it reads a group back, so
 * it never does.
 */

static void discard(
        void *userdata HR_UNUSED, int level HR_UNUSED, const char *format HR_UNUSED, va_list ap HR_UNUSED)
{
        /* Its errors come back as values; its default logger would write them to stdout. */
}

static int from_libcgroup(int r)
{
        if (r == 0)
                return 0;
        if (r == ECGOTHER)
                return -(cgroup_get_last_errno() > 0 ? cgroup_get_last_errno() : EIO);
        static const struct {
                int from, to;
        } map[] = {
                {ECGROUPNOTEXIST, ENOENT},
                {ECGROUPNOTMOUNTED, EOPNOTSUPP},
                {ECGROUPNOTOWNER, EPERM},
                {ECGROUPNOTALLOWED, EACCES},
                {ECGROUPSUBSYSNOTMOUNTED, EOPNOTSUPP},
                {ECGINVAL, EINVAL},
                {ECGROUPVALUENOTEXIST, ENOENT},
                {ECGCANTSETVALUE, EBUSY},
                {ECGROUPNOTCOMPILED, EOPNOTSUPP},
        };
        for (size_t i = 0; i < ELEMENTSOF(map); i++)
                if (map[i].from == r)
                        return -map[i].to;
        return -EIO;
}

static int library(void)
{
        static bool
                ready; /* the helper forks for each request: it is set once, in a process with one thread */
        if (ready)
                return 0;
        cgroup_set_logger(discard, CGROUP_LOG_ERROR, NULL);
        int r = from_libcgroup(cgroup_init());
        ready = r == 0;
        return r;
}

static void group_freep(struct cgroup **g)
{
        if (*g)
                cgroup_free(g);
}
#define _group_ HR_CLEANUP(group_freep)

/* libcgroup's names have no leading slash. */
static const char *library_name(const char *path)
{
        return path + strspn(path, "/");
}

static int open_group(const char *mount, const char *path)
{
        char full[PATH_MAX];
        if ((size_t)snprintf(full, sizeof(full), "%s%s", mount, path) >= sizeof(full))
                return -ENAMETOOLONG;
        int fd = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

static const char *spell(char text[24], uint64_t bytes)
{
        if (bytes == HR_BYTES_NONE)
                return "max";
        snprintf(text, 24, "%llu", (unsigned long long)bytes);
        return text;
}

static int write_number(const char *mount, const char *path, const char *file, uint64_t bytes)
{
        char text[HR_TEXT_SIZE_MAX];
        _close_ int dir = open_group(mount, path);
        if (dir < 0)
                return dir;
        return hr_cgroup_write(dir, file, spell(text, bytes));
}

/* Growth between the last look and the write, in which a job may run: a 128th is most of the 2 % that a limit
 * leaves at least. */
#define ROOM_SHARE 128

int hr_limit_make_room(const char *memory_mount, const char *path, uint64_t limit_bytes)
{
        uint64_t current = 0, wanted = limit_bytes - limit_bytes / ROOM_SHARE;

        _close_ int dir = open_group(memory_mount, path);
        if (dir < 0)
                return dir;
        int r = hr_sense_read_number_at(dir, "memory.current", &current);
        if (r == 0 && current > wanted) {
                char text[HR_TEXT_SIZE_MAX];
                r = hr_cgroup_write(dir, "memory.reclaim", spell(text, current - wanted));
                if (r == 0 || r == -EAGAIN) /* EAGAIN: not all of it, which may do */
                        r = hr_sense_read_number_at(dir, "memory.current", &current);
        }
        if (r == -ENOENT) /* before Linux 5.19: the kernel's own reclaim must do, which drops clean cache */
                return 0;
        return r > 0 ? -ENODEV : r < 0 ? r : current > wanted ? -EBUSY : 0;
}

int hr_limit_write2(const char *memory_mount, const char *path, uint64_t limit_bytes)
{
        int r = hr_limit_make_room(memory_mount, path, limit_bytes);
        return r < 0 ? r : write_number(memory_mount, path, "memory.max", limit_bytes);
}

int hr_limit_write_high(const char *memory_mount, const char *path, uint64_t high_bytes)
{
        return write_number(memory_mount, path, "memory.high", high_bytes);
}

int hr_limit_lift_high(const struct hr_group *g)
{
        return hr_cgroup_write(g->dir_fd, "memory.high", "max");
}

static int set_value1(const char *path, const char *file, uint64_t bytes)
{
        int r = library();
        if (r < 0)
                return r;
        _group_ struct cgroup *g = cgroup_new_cgroup(library_name(path));
        if (!g)
                return -ENOMEM;
        struct cgroup_controller *c = cgroup_add_controller(g, "memory");
        if (!c)
                return -ENOMEM;
        /* -1 is v1's word for no limit. */
        r = bytes == HR_BYTES_NONE ? cgroup_set_value_int64(c, file, -1)
                                   : cgroup_set_value_uint64(c, file, bytes);
        return from_libcgroup(r != 0 ? r : cgroup_modify_cgroup(g));
}

int hr_limit_write1(const char *memory_mount, const char *path, uint64_t limit_bytes)
{
        char text[64];
        size_t size;
        uint64_t memsw = HR_BYTES_NONE;
        _close_ int dir = open_group(memory_mount, path);
        if (dir < 0)
                return dir;
        /* memsw must never be below the limit: raise it first, lower it last. Without it (no swap accounting)
         * only the limit. */
        if (hr_sense_read_at(dir, "memory.memsw.limit_in_bytes", text, sizeof(text), &size) == 0)
                (void)hr_parse_number(text, size, &memsw); /* unreadable: taken as unbounded */
        bool bounded = memsw < (uint64_t)INT64_MAX / 2;
        if (bounded && limit_bytes > memsw) {
                int r = set_value1(path, "memory.memsw.limit_in_bytes", limit_bytes);
                if (r < 0)
                        return r;
        }
        return set_value1(path, "memory.limit_in_bytes", limit_bytes);
}

int hr_limit_reclaim(const char *memory_mount, const char *path, uint64_t bytes, uint64_t *ret_bytes)
{
        char text[64];
        size_t size;
        uint64_t before, after;
        _close_ int dir = open_group(memory_mount, path);
        if (dir < 0)
                return dir;
        int r = hr_sense_read_at(dir, "memory.current", text, sizeof(text), &size);
        if (r != 0 || (r = hr_parse_number(text, size, &before)) < 0)
                return r < 0 ? r : -ENODEV;
        snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
        r = hr_cgroup_write(dir, "memory.reclaim", text);
        if (r < 0 &&
                r != -EAGAIN) /* EAGAIN: less than asked for could be reclaimed, which is an answer too */
                return r;
        r = hr_sense_read_at(dir, "memory.current", text, sizeof(text), &size);
        if (r != 0 || (r = hr_parse_number(text, size, &after)) < 0)
                return r < 0 ? r : -ENODEV;
        *ret_bytes = hr_sub(before, after);
        return 0;
}

static int make(
        const char *path, const char *controller, const char *limit_file, uint64_t limit_bytes, pid_t pid)
{
        int r = library();
        if (r < 0)
                return r;
        _group_ struct cgroup *g = cgroup_new_cgroup(library_name(path));
        if (!g)
                return -ENOMEM;
        struct cgroup_controller *c = cgroup_add_controller(g, controller);
        if (!c)
                return -ENOMEM;
        if (limit_file && limit_bytes != HR_BYTES_NONE) {
                r = from_libcgroup(cgroup_set_value_uint64(c, limit_file, limit_bytes));
                if (r < 0)
                        return r;
        }
        r = from_libcgroup(cgroup_create_cgroup(g, 1));
        if (r < 0)
                return r;
        r = from_libcgroup(cgroup_attach_task_pid(g, pid));
        if (r < 0)
                (void)cgroup_delete_cgroup(g, 1); /* the first error is the one to tell */
        return r;
}

int hr_limit_make_group(const char *path, uint64_t limit_bytes, int memory_version, pid_t pid)
{
        return make(path, "memory", memory_version == 2 ? "memory.max" : "memory.limit_in_bytes", limit_bytes,
                pid);
}

int hr_limit_make_freezer(const char *path, pid_t pid)
{
        return make(path, "freezer", NULL, HR_BYTES_NONE, pid);
}

int hr_limit_remove_group(const char *path, const char *controller)
{
        int r = library();
        if (r < 0)
                return r;
        _group_ struct cgroup *g = cgroup_new_cgroup(library_name(path));
        if (!g || !cgroup_add_controller(g, controller))
                return -ENOMEM;
        return from_libcgroup(cgroup_delete_cgroup_ext(g, CGFLAG_DELETE_IGNORE_MIGRATION));
}
