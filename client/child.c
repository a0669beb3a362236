/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "child.h"

/*
 * The child waits on a pipe until the daemon has placed and registered it, so that nothing it does is charged
 * elsewhere, then execs. What comes over that pipe is the job's id; the end of file instead means that the
 * client has gone or was refused, and ends it. Errors come back over a second pipe, which exec closes.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exit.h"
#include "fd.h"
#include "output.h"

void hr_child_done(struct hr_child *child)
{
        child->go_fd = hr_close(child->go_fd);
        child->exec_fd = hr_close(child->exec_fd);
}

/* ---- in the child ---- */

static bool wait_for_go(int go_fd, char *id, size_t size)
{
        size_t n = 0;

        while (n + 1 < size) {
                ssize_t got = read(go_fd, id + n, 1);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got != 1)
                        return false;
                if (id[n] == '\n')
                        break;
                n++;
        }
        id[n] = '\0';
        return true;
}

bool hr_child_output_goes(int fd)
{
        struct stat st;

        return isatty(fd) || (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode));
}

/*
 * Detached: input from /dev/null, and output that goes to a terminal into a file. A pipe counts as a
 * terminal: id=$(headroom run --detach ...) would otherwise wait for the job.
 */
static bool redirect(const char *id, bool logs, struct hr_child_failure *ret)
{
        char path[64];
        _close_ int null_fd = -1, log_fd = -1;

        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0) {
                *ret = (struct hr_child_failure){HR_CHILD_INPUT, errno};
                return false;
        }
        if (!logs && !hr_child_output_goes(STDOUT_FILENO) && !hr_child_output_goes(STDERR_FILENO))
                return true;
        snprintf(path, sizeof(path), "headroom-%s.log", id);
        log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (log_fd < 0) {
                *ret = (struct hr_child_failure){HR_CHILD_LOG, errno};
                return false;
        }
        for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
                if (logs || hr_child_output_goes(fd))
                        dup2(log_fd, fd); /* of two valid descriptors: can't fail */
        return true;
}

static void __attribute__((noreturn))
be_the_job(const struct hr_child *child, const struct hr_signals_before *before, int go_fd, int exec_fd)
{
        struct hr_child_failure failure = {0};
        char id[HR_CHILD_ID_MAX];
        ssize_t n HR_UNUSED;

        if (child->detached)
                setsid(); /* a child that was just forked leads no group: can't fail */
        else if (child->own_group)
                setpgid(0, 0);
        /* Before the wait, so that ctrl-C ends it. */
        hr_signals_give_back(before, child->own_group || child->detached);
        if (!wait_for_go(go_fd, id, sizeof(id)))
                _exit(HR_EXIT_NOT_STARTED);
        if (!child->detached || redirect(id, child->logs, &failure)) {
                execvp(child->command[0], child->command);
                failure = (struct hr_child_failure){HR_CHILD_EXEC, errno};
        }
        n = write(exec_fd, &failure, sizeof(failure)); /* nobody left to tell where it fails */
        _exit(failure.step == HR_CHILD_EXEC && failure.error == ENOENT ? HR_EXIT_NOT_FOUND
                                                                       : HR_EXIT_NOT_EXECUTABLE);
}

/* ---- in the client ---- */

int hr_child_fork(struct hr_child *child, const struct hr_signals_before *before)
{
        int go[2], exec[2];

        if (pipe2(go, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(exec, O_CLOEXEC) < 0) {
                int r = -errno;

                hr_close(go[0]);
                hr_close(go[1]);
                return r;
        }
        child->pid = fork();
        if (child->pid == 0) {
                hr_close(go[1]);
                hr_close(exec[0]);
                be_the_job(child, before, go[0], exec[1]);
        }
        child->go_fd = go[1];
        child->exec_fd = exec[0];
        hr_close(go[0]);
        hr_close(exec[1]);
        if (child->pid < 0)
                return -errno;
        if (child->own_group)
                setpgid(child->pid, child->pid); /* whoever comes first; the other's fails */
        return 0;
}

void hr_child_go(struct hr_child *child, const char *id)
{
        char line[HR_CHILD_ID_MAX + 1];
        int n = snprintf(line, sizeof(line), "%s\n", id);
        ssize_t written HR_UNUSED;

        /* Fails if the child is gone: it is waited for all the same. */
        written = write(child->go_fd, line, (size_t)n);
        child->go_fd = hr_close(child->go_fd);
}

void hr_child_hear(struct hr_child *child)
{
        ssize_t n;

        do
                n = read(child->exec_fd, &child->failure, sizeof(child->failure));
        while (n < 0 && errno == EINTR);
        child->failed = n == sizeof(child->failure);
        child->exec_fd = hr_close(child->exec_fd);
}

int hr_child_say_failure(const struct hr_child *child, const char *name, const char *id)
{
        const char *command = child->command[0], *why = strerror(child->failure.error);

        switch (child->failure.step) {
        case HR_CHILD_LOG:
                hr_output_say(HR_STYLE_PLAIN,
                        "%s is not started: can't write ./headroom-%s.log: %s; send its output elsewhere: > "
                        "FILE 2>&1",
                        name, id, why);
                return HR_EXIT_NOT_STARTED;
        case HR_CHILD_INPUT:
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: can't open /dev/null: %s", name, why);
                return HR_EXIT_NOT_STARTED;
        case HR_CHILD_EXEC:
                break;
        }
        if (child->failure.error == ENOENT) {
                hr_output_say(HR_STYLE_PLAIN, "%s: command not found", command);
                return HR_EXIT_NOT_FOUND;
        }
        hr_output_say(HR_STYLE_PLAIN, "%s: can't be executed: %s", command, why);
        return HR_EXIT_NOT_EXECUTABLE;
}
