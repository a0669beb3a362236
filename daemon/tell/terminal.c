/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <utmpx.h>

#include "fd.h"

/*
 * Who is logged in stands in utmp: a record for each terminal, with its user's name. What stands there is
 * believed only as far as the terminal agrees: it must be a terminal, belong to the owner, and be writable by
 * its group, which is how `mesg` says yes. A terminal that is stopped or full loses the line.
 */

#define TERMINALS_MAX 16 /* of one user */

bool hr_terminal_wants(const struct hr_event *event)
{
        if (event->has_run || strcmp(event->outcome, "observed") == 0)
                return false;
        return event->stage != event->previous_stage || strcmp(event->action, "end") == 0 ||
               strcmp(event->action, "lost") == 0;
}

static bool tell_line(const char *line, uid_t uid, const char *text, size_t size)
{
        char path[64];
        _close_ int fd = -1;
        struct stat st;

        if (line[0] == '\0' || strstr(line, "..") ||
                snprintf(path, sizeof(path), "/dev/%s", line) >= (int)sizeof(path))
                return false;
        fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_uid != uid ||
                !(st.st_mode & S_IWGRP) || !isatty(fd))
                return false;
        return write(fd, text, size) == (ssize_t)size;
}

/* The name of a user as utmp has it; false: none. */
static bool name_of(uid_t uid, char *ret, size_t size)
{
        char buffer[4096];
        struct passwd entry, *found = NULL;

        if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
                return false;
        return snprintf(ret, size, "%s", entry.pw_name) < (int)size;
}

unsigned hr_terminal_tell(const struct hr_event *event)
{
        char text[HR_REASON_MAX + 300], user[256];
        unsigned told = 0;
        struct utmpx *u;
        int size;

        if (!name_of(event->uid, user, sizeof(user)))
                return 0;
        size = snprintf(text, sizeof(text), "\r\nheadroom: %s%s%s%s: %s%s%s\r\n", event->job,
                event->name[0] ? " (" : "", event->name, event->name[0] ? ")" : "", event->reason,
                event->hint[0] ? "; " : "", event->hint);
        if (size < 0 || size >= (int)sizeof(text))
                return 0;

        setutxent();
        while ((u = getutxent()) && told < TERMINALS_MAX) {
                char line[sizeof(u->ut_line) + 1];

                if (u->ut_type != USER_PROCESS || strncmp(u->ut_user, user, sizeof(u->ut_user)) != 0)
                        continue;
                memcpy(line, u->ut_line, sizeof(u->ut_line));
                line[sizeof(u->ut_line)] = '\0';
                told += tell_line(line, event->uid, text, (size_t)size);
        }
        endutxent();
        return told;
}
