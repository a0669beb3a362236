/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * The hook gets the user who registered the job, as SO_PEERCRED said then, not whoever owns its processes
 * now: a job that is `sudo something` must not make the hook root's. Its output goes where the daemon's does.
 * It gets a session of its own, so that all of it can be killed when its time is over.
 */

struct environment {
        char text[17][320];
        char *list[18];
        size_t count;
};

static void HR_PRINTF(2, 3) set(struct environment *e, const char *format, ...)
{
        va_list ap;
        va_start(ap, format);
        vsnprintf(e->text[e->count], sizeof(e->text[0]), format, ap);
        va_end(ap);
        e->list[e->count] = e->text[e->count];
        e->list[++e->count] = NULL;
}

static void fill_environment(
        struct environment *e, const struct hr_helper_request *q, const struct passwd *pw)
{
        set(e, "PATH=/usr/local/bin:/usr/bin:/bin");
        set(e, "LANG=C.UTF-8");
        if (pw) {
                set(e, "HOME=%s", pw->pw_dir);
                set(e, "USER=%s", pw->pw_name);
                set(e, "LOGNAME=%s", pw->pw_name);
                set(e, "SHELL=%s", pw->pw_shell[0] ? pw->pw_shell : "/bin/sh");
        }
        set(e, "HEADROOM_JOB=%s", q->id);
        set(e, "HEADROOM_NAME=%s", q->name);
        set(e, "HEADROOM_STAGE=%s", q->stage);
        set(e, "HEADROOM_REASON=%s", q->reason);
        set(e, "HEADROOM_USED_BYTES=%" PRIu64, q->used_bytes);
        if (q->limit_bytes == HR_BYTES_NONE)
                set(e, "HEADROOM_LIMIT_BYTES=");
        else
                set(e, "HEADROOM_LIMIT_BYTES=%" PRIu64, q->limit_bytes);
        set(e, "HEADROOM_DEADLINE=%" PRIu64,
                q->job_deadline_usec / HR_USEC_PER_SEC); /* seconds since 1970; 0: none */
        set(e, "HEADROOM_PID=%d", (int)q->pid);
        const char *socket = getenv("HEADROOM_SOCKET");
        if (q->retried > 0 && socket) /* where the daemon that asks is found */
                set(e, "HEADROOM_SOCKET=%s", socket);
        if (q->retried > 0)
                set(e, "HEADROOM_RETRIED=%u", q->retried);
}

/*
 * The client that was built or installed with this program: beside it, or in bin/ beside its sbin/, which may
 * be another prefix than it was built with (`make`, then `make install prefix=/usr`).
 */
static const char *find_client(char *buf, size_t size)
{
        static const char *const places[] = {"headroom", "../bin/headroom"};
        char self[512];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash = n > 0 ? (self[n] = '\0', strrchr(self, '/')) : NULL;

        for (size_t i = 0; slash && i < ELEMENTSOF(places); i++) {
                slash[1] = '\0';
                if ((size_t)snprintf(buf, size, "%s%s", self, places[i]) < size && access(buf, X_OK) == 0)
                        return buf;
        }
        return HR_BINDIR "/headroom";
}

static void write_oom_score_adj(void)
{
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return; /* a hook that the kernel kills last is no reason not to run it */
        ssize_t n = write(fd, "0", 1);
        (void)n;
        close(fd);
}

static int become(const struct hr_helper_request *q, const struct passwd *pw)
{
        const struct rlimit unbounded = {RLIM_INFINITY, RLIM_INFINITY};
        (void)setrlimit(RLIMIT_DATA,
                &unbounded); /* the daemon bounds itself, not the hook; may fail without rights */
        (void)setpriority(PRIO_PROCESS, 0, 0);
        write_oom_score_adj();
        if (geteuid() != 0)
                return q->uid == geteuid() ? 0 : -EPERM; /* a --user daemon has only its own jobs */
        if (q->uid == 0)
                return 0;
        if ((pw ? initgroups(pw->pw_name, pw->pw_gid) : setgroups(0, NULL)) < 0 ||
                setresgid(pw ? pw->pw_gid : q->gid, pw ? pw->pw_gid : q->gid, pw ? pw->pw_gid : q->gid) < 0 ||
                setresuid(q->uid, q->uid, q->uid) < 0)
                return -errno;
        return setuid(0) == 0 ? -EPERM : 0; /* no way back */
}

int hr_hook_exec(const struct hr_helper_request *q)
{
        struct environment e = {0};
        char client[600], limit[HR_TEXT_SIZE_MAX];
        const char *path = q->retried > 0 ? find_client(client, sizeof(client)) : q->path;
        char *hook[] = {(char *)path, (char *)(q->checkpoint ? "checkpoint" : q->stage), (char *)q->id, NULL};
        char *resume[] = {(char *)path, (char *)"resume", (char *)q->id, (char *)"--detach",
                (char *)"--limit", hr_units_spell_bytes(limit, q->limit_bytes), NULL};
        sigset_t none;

        const struct passwd *pw = getpwuid(q->uid);
        fill_environment(&e, q, pw);
        char home[256];
        snprintf(home, sizeof(home), "%s", pw ? pw->pw_dir : "/");
        int r = become(q, pw);
        if (r < 0)
                return r;
        if (setsid() < 0 && errno != EPERM) /* EPERM: it leads a session already */
                return -errno;
        sigemptyset(&none);
        for (int sig = 1; sig < 32; sig++)
                (void)signal(sig, SIG_DFL); /* KILL and STOP refuse, as they should */
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (chdir(home) < 0 && chdir("/") < 0)
                return -errno;
        int null = open("/dev/null", O_RDONLY);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
                return -errno;
        if (null != STDIN_FILENO)
                close(null);
        execve(path, q->retried > 0 ? resume : hook, e.list);
        return -errno;
}

int hr_hook_become_owner(const struct hr_helper_request *q)
{
        return become(q, getpwuid(q->uid));
}
