/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/proctree.h"

/*
 * What is asked of a single process, through /proc (filesystems/proc.rst). Nothing is kept here.
 *
 * A process ends between any two reads: that is HR_SENSE_GONE, or -ESRCH from hr_process_open, which returns
 * a descriptor. Pid and start time are the identity. hr_process_open takes the pidfd first, compares then,
 * and looks last whether the pidfd's process has ended: a pid is not given to another before that.
 *
 * A proc directory that isn't a real procfs is a fixture: its pids are not pids of this machine, so no pidfd
 * is ever made of them (-EOPNOTSUPP).
 *
 * Names and command lines are what the process says of itself. Whoever calls itself sshd is left in peace:
 * that spares it Headroom's hand, not its limit. They are returned as they are, to be escaped at the exit.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define PID_STAT_SIZE 2048    /* 52 fields, at most 20 digits each, and the name */
#define PID_STATUS_SIZE 16384 /* 2 KiB, and a supplementary group costs up to 11 bytes */
#define ROLLUP_SIZE 2048

static int read_file(
        const char *proc_path, pid_t pid, const char *name, char *buf, size_t size, size_t *ret_size)
{
        char path[PATH_MAX];
        int n = snprintf(path, sizeof(path), "%s/%d/%s", proc_path, pid, name), r;

        if (n < 0 || (size_t)n >= sizeof(path))
                return -ENAMETOOLONG;
        r = hr_sense_read_at(AT_FDCWD, path, buf, size, ret_size);
        return r == -ENOENT ? HR_SENSE_GONE : r;
}

/* The first bytes of a file that may be long; 0 where it can't be read. */
static size_t read_head(const char *proc_path, pid_t pid, const char *name, char *buf, size_t size)
{
        char path[PATH_MAX];
        _close_ int fd = -1;
        ssize_t n;

        if ((size_t)snprintf(path, sizeof(path), "%s/%d/%s", proc_path, pid, name) >= sizeof(path))
                return 0;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, buf, size);
        return n < 0 ? 0 : (size_t)n;
}

static bool has_ended(int pidfd)
{
        struct pollfd p = {.fd = pidfd, .events = POLLIN};

        return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

static bool is_procfs(const char *proc_path)
{
        struct statfs st;

        return statfs(proc_path, &st) == 0 && st.f_type == PROC_SUPER_MAGIC;
}

int hr_process_open(const char *proc_path, pid_t pid, uint64_t start_ticks)
{
        struct hr_pid_stat stat;
        _close_ int fd = -1;
        int r;

        if (pid <= 0)
                return -EINVAL;
        if (!is_procfs(proc_path))
                return -EOPNOTSUPP;
        fd = pidfd_open(pid, 0); /* close-on-exec by itself */
        if (fd < 0)              /* a thread that leads no process: EINVAL, newer kernels ENOENT */
                return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
        if (start_ticks != 0) {
                r = hr_process_stat(proc_path, pid, &stat);
                if (r != 0)
                        return r < 0 ? r : -ESRCH;
                if (stat.start_ticks != start_ticks)
                        return -ESRCH;
        }
        if (has_ended(fd))
                return -ESRCH;
        return TAKE_FD(fd);
}

/* pidfd_open(2), PIDFD_GET_INFO: the kernel's struct of 6.15, in its first version. */
struct ending {
        uint64_t mask, cgroup_id;
        uint32_t ids[11];
        int32_t wait_status;
};
_Static_assert(sizeof(struct ending) == 64, "the size is part of the call's number");
#define GET_ENDING _IOWR(0xFF, 11, struct ending)
#define HAS_ENDING 8U

/* A zombie's status is shown only to who may trace it; 0 to others, which would read as success. */
static int ending_of_zombie(const char *proc_path, pid_t pid, int *ret_wait_status)
{
        struct hr_pid_status status;
        struct hr_pid_stat stat;

        if (hr_process_stat(proc_path, pid, &stat) != 0 || stat.state != 'Z')
                return -ENODATA;
        if (geteuid() != 0 &&
                (hr_process_status(proc_path, pid, &status) != 0 || status.uid_real != geteuid()))
                return -ENODATA;
        *ret_wait_status = stat.wait_status;
        return 0;
}

int hr_process_ending(const char *proc_path, int pidfd, pid_t pid, int32_t *ret_status, int32_t *ret_signal)
{
        struct ending e = {.mask = HAS_ENDING};

        if (!has_ended(pidfd))
                return -ENODATA;
        /* First as a zombie: it may stop being one meanwhile, but not become one again. */
        if (ending_of_zombie(proc_path, pid, &e.wait_status) < 0 &&
                (ioctl(pidfd, GET_ENDING, &e) < 0 || !(e.mask & HAS_ENDING)))
                return -ENODATA;
        *ret_signal = WIFSIGNALED(e.wait_status) ? WTERMSIG(e.wait_status) : 0;
        *ret_status = *ret_signal > 0 ? -1 : WEXITSTATUS(e.wait_status);
        return 0;
}

int hr_process_status(const char *proc_path, pid_t pid, struct hr_pid_status *ret)
{
        char text[PID_STATUS_SIZE];
        size_t size;
        int r = read_file(proc_path, pid, "status", text, sizeof(text), &size);

        return r != 0 ? r : hr_parse_pid_status(text, size, ret);
}

int hr_process_stat(const char *proc_path, pid_t pid, struct hr_pid_stat *ret)
{
        char text[PID_STAT_SIZE];
        size_t size;
        int r = read_file(proc_path, pid, "stat", text, sizeof(text), &size);

        return r != 0 ? r : hr_parse_pid_stat(text, size, ret);
}

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static bool begins(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

bool hr_process_is_python(const char *proc_path, pid_t pid)
{
        char path[PATH_MAX], exe[PATH_MAX];
        struct hr_pid_stat stat;
        ssize_t n;

        if ((size_t)snprintf(path, sizeof(path), "%s/%d/exe", proc_path, pid) >= sizeof(path))
                return false;
        n = readlink(path, exe, sizeof(exe) - 1);
        if (n < 0) {
                if (errno != EACCES && errno != EPERM)
                        return false;
                return hr_process_stat(proc_path, pid, &stat) == 0 && begins(stat.name, "python");
        }
        exe[n] = '\0';
        return begins(base_name(exe), "python") || begins(base_name(exe), "libpython");
}

int hr_process_pss(const char *proc_path, const pid_t *pids, size_t count, uint64_t *ret_bytes)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < count; i++) {
                char text[ROLLUP_SIZE];
                uint64_t pss, swap_pss;
                size_t size;
                int r = read_file(proc_path, pids[i], "smaps_rollup", text, sizeof(text), &size);

                if (r == HR_SENSE_GONE || (r == 0 && size == 0)) /* a zombie's is empty */
                        continue;
                if (r == 0)
                        r = hr_parse_smaps_rollup(text, size, &pss, &swap_pss);
                if (r != 0)
                        return r;
                sum = hr_add(sum, hr_add(pss, swap_pss));
        }
        *ret_bytes = sum;
        return 0;
}

/* "jupyter-lab", "/usr/bin/jupyter lab", "python3 /usr/bin/jupyter-lab", "python3 -m jupyterlab". */
static bool is_jupyter(const char *proc_path, pid_t pid)
{
        char line[1024];
        size_t size = read_head(proc_path, pid, "cmdline", line, sizeof(line) - 1);
        bool python = false;

        line[size] = '\0';
        for (const char *word = line; word < line + size; word += strlen(word) + 1) {
                if (begins(base_name(word), "jupyter"))
                        return true;
                if (word == line)
                        python = begins(base_name(word), "python");
                else if (word[0] != '-')
                        return false; /* the script or module, which is another */
                if (!python)
                        return false;
        }
        return false;
}

int hr_process_is_way_in(const char *proc_path, pid_t pid, char *ret_name, size_t size)
{
        /* As in stat: cut at 15 bytes. */
        static const struct {
                const char *name;
                bool prefix;
        } ways[] = {
                {"systemd", false},  /* PID 1, and the manager of a user */
                {"(sd-pam)", false}, /* its other half */
                {"init", false},
                {"headroomd", false},
                {"sshd", true}, /* sshd-session, sshd-auth from OpenSSH 9.8 on */
                {"dbus-daemon", false},
                {"dbus-broker", true},     /* dbus-broker-launch */
                {"systemd-journal", true}, /* systemd-journald */
                {"systemd-logind", false},
                {"slurmstepd", false},
                {"jupyter", true},
                {"agetty", false},
                {"getty", false},
                {"mgetty", false},
                {"login", false},
        };
        struct hr_pid_stat stat;
        int r = hr_process_stat(proc_path, pid, &stat);
        bool way;

        if (r == HR_SENSE_GONE)
                return 0;
        if (r < 0)
                return r;
        way = pid == 1 || (pid == getpid() && is_procfs(proc_path));
        for (size_t i = 0; i < ELEMENTSOF(ways) && !way; i++)
                way = ways[i].prefix ? begins(stat.name, ways[i].name) : strcmp(stat.name, ways[i].name) == 0;
        if (!way && !is_jupyter(proc_path, pid))
                return 0;
        if (size > 0)
                snprintf(ret_name, size, "%s", stat.name);
        return 1;
}

struct way_search {
        const char *proc_path;
        char *name;
        size_t size;
};

static int search_way_in(pid_t pid, void *userdata)
{
        const struct way_search *s = userdata;

        int r = hr_process_is_way_in(s->proc_path, pid, s->name, s->size);

        if (r < 0 && s->size > 0) /* who can't be looked at is left in peace */
                snprintf(s->name, s->size, "process %d", pid);
        return r == 0 ? 0 : 1;
}

int hr_group_is_way_in(const char *proc_path, const struct hr_group *g, char *ret_name, size_t size)
{
        static const struct {
                const char *begin, *end;
        } scopes[] = {{"session-", ".scope"}, {"user@", ".service"}, {"init.scope", ""}};
        struct way_search search = {.proc_path = proc_path, .name = ret_name, .size = size};
        const char *name = base_name(g->path);
        size_t length = strlen(name);

        for (size_t i = 0; i < ELEMENTSOF(scopes); i++) {
                size_t begin = strlen(scopes[i].begin), end = strlen(scopes[i].end);

                if (length >= begin + end && begins(name, scopes[i].begin) &&
                        strcmp(name + length - end, scopes[i].end) == 0) {
                        if (size > 0)
                                snprintf(ret_name, size, "%s", name);
                        return 1;
                }
        }
        return hr_group_each_pid(g, search_way_in, &search);
}
