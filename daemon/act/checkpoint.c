/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/checkpoint.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "act/signal.h"

/*
 * A method must prove that it worked: a hook by its exit status, a signal by a file that is newer and has
 * settled. A signal goes only to processes that have a handler for it, since it would kill the others.
 */

enum hr_save hr_checkpoint_signal(const struct hr_target *t, const struct hr_checkpoint_method *method,
        bool has_file, char *text, size_t text_size)
{
        const char *name = sigabbrev_np(method->signal);
        int r = method->method == HR_METHOD_SIGNAL_LEADER
                        ? hr_signal_one(t, t->leader, method->signal, true) == 0
                        : hr_signal_all(t, method->signal, true);
        if (r < 0) {
                snprintf(text, text_size, "SIG%s could not be sent: %s", name, strerror(-r));
                return HR_SAVE_FAILED;
        }
        if (r == 0) {
                snprintf(text, text_size, "no process has a handler for SIG%s, which would have ended it",
                        name);
                return HR_SAVE_FAILED;
        }
        if (has_file)
                return HR_SAVE_RUNNING;
        snprintf(text, text_size, "SIG%s sent; no checkpoint_file is set that could prove it", name);
        return HR_SAVE_ASKED;
}

enum hr_save hr_checkpoint_judge_hook(int result, char *text, size_t text_size)
{
        if (result < 0) {
                snprintf(text, text_size, "the hook %s",
                        result == -ETIMEDOUT ? "did not end before its deadline, and was killed"
                                             : strerror(-result));
                return HR_SAVE_FAILED;
        }
        if (WIFSIGNALED(result)) {
                snprintf(text, text_size, "the hook was ended by signal %d (%s)", WTERMSIG(result),
                        strsignal(WTERMSIG(result)));
                return HR_SAVE_FAILED;
        }
        int status = WEXITSTATUS(result);
        if (status == 0) {
                snprintf(text, text_size, "the hook ended with status 0");
                return HR_SAVE_PROVEN;
        }
        snprintf(text, text_size, "the hook ended with status %d%s", status,
                status == 127   ? ": it was not found"
                : status == 126 ? ": it is not executable for the job's owner"
                                : "");
        return HR_SAVE_FAILED;
}

void hr_checkpoint_expand(
        const char *pattern, const char *id, const char *name, const char *user, char *buf, size_t size)
{
        size_t n = 0;
        buf[0] = '\0';
        for (const char *p = pattern; *p && n + 1 < size; p++) {
                const char *text = *p != '%'     ? NULL
                                   : p[1] == 'j' ? id
                                   : p[1] == 'n' ? name
                                   : p[1] == 'u' ? user
                                   : p[1] == '%' ? "%"
                                                 : NULL;
                if (text) {
                        int k = snprintf(buf + n, size - n, "%s", text);
                        n = MIN(n + (size_t)k, size - 1);
                        p++;
                } else {
                        buf[n++] = *p;
                        buf[n] = '\0';
                }
        }
}
