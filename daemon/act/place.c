/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "act/limit.h"
#include "act/unit.h"

/*
 * The places, best first:
 *
 * 1. A login under systemd: a delegated scope in the caller's user-UID.slice, and in it a child `job` with
 * the limit, since systemd resets what others write on its own units, but not below them.
 *
 * 2. No systemd: a group below the caller's own, through libcgroup; beside v1 memory a twin in the unified
 *    hierarchy (or in v1's freezer), which freezes and kills.
 *
 * 3. Anything else: a process tree, where the job stands. A service, a container, a batch step, an outer
 *    `run`, or a session with a limit of its own is another's to manage.
 */

static int join(char *buf, size_t size, const char *a, const char *b)
{
        return (size_t)snprintf(buf, size, "%s%s", a, b) < size ? 0 : -ENAMETOOLONG;
}

static int own_cgroup(
        const struct hr_hierarchy *h, pid_t pid, const char *controller, char *path, size_t size)
{
        char name[PATH_MAX], buf[4096 + 512];
        size_t n;
        snprintf(name, sizeof(name), "%s/%d/cgroup", h->proc, (int)pid);
        int r = hr_sense_read_at(AT_FDCWD, name, buf, sizeof(buf), &n);
        return r != 0 ? (r < 0 ? r : -ESRCH) : hr_parse_proc_cgroup(buf, n, controller, path, size);
}

void hr_place_of(const struct hr_hierarchy *h, pid_t pid, char *path, size_t size)
{
        path[0] = '\0';
        if (h->memory_version != 0 &&
                own_cgroup(h, pid, h->memory_version == 2 ? NULL : "memory", path, size) < 0)
                path[0] = '\0';
}

/* Is there a limit on a group from path upwards, as long as the path is longer than `stop`? */
static bool limited_up_to(const struct hr_hierarchy *h, const char *path, size_t stop)
{
        char part[HR_PATH_MAX];
        if (join(part, sizeof(part), path, "") < 0)
                return true; /* too long to look: rather leave it where it is */
        while (strlen(part) > stop && strcmp(part, "/") != 0) {
                struct hr_group_limits limits;
                if (hr_group_read_limits_at(h, part, &limits) == 0 &&
                        (limits.limit_bytes != HR_BYTES_NONE || limits.high_bytes != HR_BYTES_NONE))
                        return true;
                char *slash = strrchr(part, '/');
                if (!slash || slash == part)
                        break;
                *slash = '\0';
        }
        return false;
}

/* "/user.slice/user-1000.slice/session-3.scope": the length up to and with the slice; 0: no login. */
static size_t login_slice(const char *path, uid_t uid, char *slice, size_t size)
{
        char prefix[64];
        snprintf(slice, size, "user-%u.slice", (unsigned)uid);
        int n = snprintf(prefix, sizeof(prefix), "/user.slice/%s/", slice);
        if (strncmp(path, prefix, (size_t)n) != 0)
                return 0;
        const char *rest = path + n;
        /* A job of an outer run, a container or a service of the user's manager is somebody else's to place.
         */
        bool session = strncmp(rest, "session-", 8) == 0 && !strchr(rest, '/');
        bool manager =
                strncmp(rest, "user@", 5) == 0 && strstr(rest, "/app.slice/") && strstr(rest, ".scope");
        return session || (manager && !strstr(rest, "/headroom-")) ? (size_t)n - 1 : 0;
}

static int write_pid(const char *mount, const char *path, pid_t pid)
{
        char full[PATH_MAX], text[16];
        if ((size_t)snprintf(full, sizeof(full), "%s%s", mount, path) >= sizeof(full))
                return -ENAMETOOLONG;
        _close_ int dir = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return -errno;
        snprintf(text, sizeof(text), "%d", (int)pid);
        return hr_cgroup_write(dir, "cgroup.procs", text);
}

static int make_dir(const char *mount, const char *path)
{
        char full[PATH_MAX];
        if ((size_t)snprintf(full, sizeof(full), "%s%s", mount, path) >= sizeof(full))
                return -ENAMETOOLONG;
        return mkdir(full, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_file(const char *mount, const char *path, const char *file, const char *text)
{
        char full[PATH_MAX];
        if ((size_t)snprintf(full, sizeof(full), "%s%s", mount, path) >= sizeof(full))
                return -ENAMETOOLONG;
        _close_ int dir = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return dir < 0 ? -errno : hr_cgroup_write(dir, file, text);
}

static bool can_freeze(const char *mount, const char *path)
{
        char full[PATH_MAX];
        return mount[0] &&
               (size_t)snprintf(full, sizeof(full), "%s%s/cgroup.freeze", mount, path) < sizeof(full) &&
               access(full, W_OK) == 0;
}

/* Beside v1 memory: a twin that freezes and kills. */
static void make_twin(const struct hr_hierarchy *h, pid_t pid, const char *leaf, struct hr_placement *ret)
{
        char own[HR_PATH_MAX], path[HR_PATH_MAX];

        ret->freezer = HR_FREEZER_STOP;
        if (h->unified[0] && own_cgroup(h, pid, NULL, own, sizeof(own)) >= 0 &&
                join(path, sizeof(path), strcmp(own, "/") == 0 ? "" : own, leaf) == 0 &&
                make_dir(h->unified, path) == 0 && write_pid(h->unified, path, pid) == 0 &&
                can_freeze(h->unified, path)) {
                ret->freezer = HR_FREEZER_CGROUP2;
                snprintf(ret->control, sizeof(ret->control), "%s", path);
                return;
        }
        if (h->freezer[0] && own_cgroup(h, pid, "freezer", own, sizeof(own)) >= 0 &&
                join(path, sizeof(path), strcmp(own, "/") == 0 ? "" : own, leaf) == 0 &&
                hr_limit_make_freezer(path, pid) == 0) {
                ret->freezer = HR_FREEZER_CGROUP1;
                snprintf(ret->control, sizeof(ret->control), "%s", path);
        }
}

static int place_in_scope(const struct hr_hierarchy *h, bool user, pid_t pid, const char *id,
        const char *name, const char *slice, uint64_t limit_bytes, struct hr_placement *ret)
{
        char description[HR_NAME_MAX + 32], scope[HR_PATH_MAX], text[120];
        const char *controller = h->memory_version == 2 ? NULL : "memory";

        snprintf(ret->unit, sizeof(ret->unit), "headroom-%s.scope", id);
        snprintf(description, sizeof(description), "Headroom job %s (%s)", id, name);
        int r = hr_unit_make_scope(
                user, ret->unit, user ? "app.slice" : slice, description, pid, text, sizeof(text));
        if (r < 0) {
                snprintf(ret->why, sizeof(ret->why), "systemd made no scope (%s)", text);
                ret->unit[0] = '\0';
                return r;
        }
        r = own_cgroup(h, pid, controller, scope, sizeof(scope));
        if (r >= 0)
                r = join(ret->cgroup, sizeof(ret->cgroup), scope, "/job");
        if (r >= 0)
                r = make_dir(h->memory, ret->cgroup);
        if (r >= 0 && h->memory_version == 2) {
                r = write_pid(h->memory, ret->cgroup, pid);
                if (r >= 0)
                        r = write_file(h->memory, scope, "cgroup.subtree_control", "+memory");
                if (r >= 0 && limit_bytes != HR_BYTES_NONE)
                        r = hr_limit_write2(h->memory, ret->cgroup, limit_bytes);
                if (r >= 0 && can_freeze(h->memory, ret->cgroup)) {
                        ret->freezer = HR_FREEZER_CGROUP2;
                        snprintf(ret->control, sizeof(ret->control), "%s", ret->cgroup);
                }
        } else if (r >= 0) {
                if (limit_bytes != HR_BYTES_NONE)
                        r = hr_limit_write1(h->memory, ret->cgroup, limit_bytes);
                if (r >= 0)
                        r = write_pid(h->memory, ret->cgroup, pid);
                if (r >= 0)
                        make_twin(h, pid, "/job", ret);
        }
        if (r < 0) {
                snprintf(ret->why, sizeof(ret->why), "its scope %s could not be set up (%s)", ret->unit,
                        strerror(-r));
                ret->cgroup[0] = '\0';
                return r;
        }
        snprintf(ret->why, sizeof(ret->why), "in a scope of its own in %s",
                user ? "the user's app.slice" : slice);
        return 0;
}

static int place_below(const struct hr_hierarchy *h, pid_t pid, const char *id, const char *own,
        uint64_t limit_bytes, struct hr_placement *ret)
{
        char leaf[HR_ID_MAX + 32];
        /* With the pid: another daemon, or one before us, may have a job of this id below the same group. */
        snprintf(leaf, sizeof(leaf), "/headroom-%s-%d", id, (int)pid);
        int r = join(ret->cgroup, sizeof(ret->cgroup), strcmp(own, "/") == 0 ? "" : own, leaf);
        if (r >= 0)
                r = hr_limit_make_group(ret->cgroup, limit_bytes, h->memory_version, pid);
        if (r < 0) {
                snprintf(ret->why, sizeof(ret->why), "no group could be made below %.80s (%s)", own,
                        strerror(-r));
                ret->cgroup[0] = '\0';
                return r;
        }
        if (h->memory_version == 1) {
                make_twin(h, pid, leaf, ret);
        } else if (can_freeze(h->memory, ret->cgroup)) {
                ret->freezer = HR_FREEZER_CGROUP2;
                snprintf(ret->control, sizeof(ret->control), "%s", ret->cgroup);
        }
        snprintf(ret->why, sizeof(ret->why), "in a group of its own below %.120s", own);
        return 0;
}

void hr_place(const struct hr_hierarchy *h, bool user_daemon, pid_t pid, uid_t uid, const char *id,
        const char *name, uint64_t limit_bytes, struct hr_placement *ret)
{
        char own[HR_PATH_MAX], slice[64];
        struct hr_pid_stat stat;
        int r = -EOPNOTSUPP;

        memset(ret, 0, sizeof(*ret));
        ret->freezer = HR_FREEZER_STOP;
        if (hr_process_stat(h->proc, pid, &stat) != 0 || stat.state == 'Z') { /* its cgroup would read "/" */
                snprintf(ret->why, sizeof(ret->why), "it has ended already");
        } else if (h->memory_version == 0 || h->fixture) {
                snprintf(ret->why, sizeof(ret->why), "this system accounts no memory by cgroup");
        } else if (own_cgroup(h, pid, h->memory_version == 2 ? NULL : "memory", own, sizeof(own)) < 0) {
                snprintf(ret->why, sizeof(ret->why), "its cgroup can't be read");
        } else if (hr_unit_systemd_runs()) {
                size_t length = login_slice(own, uid, slice, sizeof(slice));
                if (length == 0)
                        snprintf(ret->why, sizeof(ret->why),
                                "it was started in %.120s, which another manages", own);
                else if (limited_up_to(h, own, length))
                        snprintf(
                                ret->why, sizeof(ret->why), "%.120s has a limit that it must not leave", own);
                else
                        r = place_in_scope(h, user_daemon, pid, id, name, slice, limit_bytes, ret);
        } else {
                r = place_below(h, pid, id, own, limit_bytes, ret);
        }
        ret->owned = r >= 0;
        ret->kind = r < 0 ? HR_KIND_PROCESS : h->memory_version == 2 ? HR_KIND_CGROUP2 : HR_KIND_CGROUP1;
        if (r < 0) {
                ret->freezer = HR_FREEZER_STOP;
                ret->control[0] = '\0';
        }
}

void hr_place_restored(const struct hr_hierarchy *h, pid_t pid, uid_t uid, const char *old_cgroup,
        const char *id, const char *name, uint64_t limit_bytes, struct hr_placement *ret)
{
        char parent[HR_PATH_MAX], slice[64];
        int r = -EOPNOTSUPP;

        memset(ret, 0, sizeof(*ret));
        ret->freezer = HR_FREEZER_STOP;
        snprintf(slice, sizeof(slice), "user-%u.slice", (unsigned)uid);
        snprintf(parent, sizeof(parent), "%s", old_cgroup);
        char *slash = strrchr(parent, '/');
        if (slash)
                *slash = '\0';
        if (h->memory_version == 0)
                snprintf(ret->why, sizeof(ret->why), "this system accounts no memory by cgroup");
        else if (hr_unit_systemd_runs())
                r = place_in_scope(h, false, pid, id, name, slice, limit_bytes, ret);
        else
                r = place_below(h, pid, id, parent[0] ? parent : "/", limit_bytes, ret);
        ret->owned = r >= 0;
        ret->kind = h->memory_version == 2 ? HR_KIND_CGROUP2 : HR_KIND_CGROUP1;
}

void hr_place_advise(bool user_daemon, uid_t uid, const struct hr_placement *p, char *text, size_t size)
{
        char path[128];
        const struct passwd *pw = getpwuid(uid);
        text[0] = '\0';
        if (!user_daemon || p->unit[0] == '\0' || !pw)
                return;
        snprintf(path, sizeof(path), "/var/lib/systemd/linger/%s", pw->pw_name);
        if (access(path, F_OK) != 0)
                snprintf(text, size,
                        "it will end with your last session, as your own service manager does; to keep both: "
                        "loginctl enable-linger");
}

static void remove_dir(const char *mount, const char *path)
{
        char full[PATH_MAX];
        if ((size_t)snprintf(full, sizeof(full), "%s%s", mount, path) < sizeof(full))
                (void)rmdir(full); /* EBUSY: somebody moved in; ENOENT: systemd was faster */
}

void hr_place_remove(const struct hr_hierarchy *h, const struct hr_placement *p)
{
        if (!p->owned)
                return;
        if (p->control[0] && p->freezer == HR_FREEZER_CGROUP2 && h->memory_version == 1)
                remove_dir(h->unified, p->control);
        if (p->control[0] && p->freezer == HR_FREEZER_CGROUP1)
                (void)hr_limit_remove_group(p->control, "freezer");
        if (p->cgroup[0] && p->unit[0])
                remove_dir(h->memory, p->cgroup);
        else if (p->cgroup[0])
                (void)hr_limit_remove_group(p->cgroup, "memory");
}
