/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "doctor.h"

/*
 * What works is the daemon's to say; that there is none is found here, and so is what belongs to the person
 * who asks: the terminal, Python's side, programs that jobs may want, the buses.
 */

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ask.h"
#include "environment.h"
#include "exit.h"
#include "output.h"
#include "tell/interface.h"

#define OWN_MAX 16

struct own { /* what this side has found */
        struct hr_call_check rows[OWN_MAX];
        char *texts[OWN_MAX]; /* owned: the details */
        size_t count;
};

static void own_done(struct own *own)
{
        for (size_t i = 0; i < own->count; i++)
                free(own->texts[i]);
}

#define CHECK(member) offsetof(struct hr_call_check, member)

static const struct hr_field check_fields[] = {
        {"item", "ITEM", NULL, HR_TYPE_TEXT, CHECK(item), 0},
        {"state", "STATE", NULL, HR_TYPE_TEXT, CHECK(state), 0},
        {"detail", "DETAIL", NULL, HR_TYPE_TEXT, CHECK(detail), HR_WIDE},
        {"remedy", "REMEDY", NULL, HR_TYPE_TEXT, CHECK(remedy), HR_WIDE},
};
static const struct hr_table check_table = {
        check_fields, ELEMENTSOF(check_fields), sizeof(struct hr_call_check), true};

static void HR_PRINTF(5, 6)
        add(struct own *own, const char *item, const char *state, const char *remedy, const char *format, ...)
{
        char *text = NULL;
        va_list ap;

        if (own->count >= OWN_MAX)
                return;
        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        own->texts[own->count] = text;
        own->rows[own->count++] = (struct hr_call_check){item, state, text ? text : "", remedy};
}

static bool in_path(const char *program)
{
        _free_ char *copy = strdup(getenv("PATH") ? getenv("PATH") : "/usr/sbin:/usr/bin:/sbin:/bin");

        for (char *rest = copy, *directory; rest && (directory = strsep(&rest, ":"));) {
                char path[PATH_MAX];

                if (snprintf(path, sizeof(path), "%s/%s", directory, program) < (int)sizeof(path) &&
                        access(path, X_OK) == 0)
                        return true;
        }
        return false;
}

static void add_sockets(struct own *own, const char *socket)
{
        const char *slash = strrchr(socket, '/');
        char path[PATH_MAX];
        struct stat st;
        bool of_system = strcmp(socket, HR_SYSTEM_SOCKET) == 0;

        add(own, "daemon", "ok", "", "answers on %s", socket);
        snprintf(path, sizeof(path), "%.*s" HR_JOB_SOCKET_BESIDE, slash ? (int)(slash - socket + 1) : 0,
                socket);
        if (stat(path, &st) >= 0 && S_ISSOCK(st.st_mode))
                add(own, "channel", "ok", "", "jobs are asked to trim and to save on %s", path);
        else
                add(own, "channel", "missing",
                        "journalctl -u headroomd tells why; then systemctl restart headroomd",
                        "%s is no socket; without it: no job is asked for its garbage or a checkpoint, and "
                        "none is "
                        "told its stage",
                        path);
        int r = hr_call_on_system_bus();
        if (r > 0)
                add(own, "bus", "ok", "", "%s is on the system bus", HR_BUS_NAME);
        else if (r == 0)
                add(own, "bus", of_system ? "warning" : "absent",
                        of_system ? "make install lays down its policy; then systemctl reload dbus" : "",
                        "the system bus does not have %s; without it: clients use the socket alone",
                        HR_BUS_NAME);
        else
                add(own, "bus", "absent", "optional: apt-get install dbus",
                        "no system bus (%s); without it: clients use the socket alone", strerror(-r));
}

static void add_terminal(struct own *own)
{
        struct stat st;

        if (!isatty(STDERR_FILENO))
                add(own, "terminal", "absent", "optional: headroom doctor, typed on it",
                        "messages don't go to a terminal here");
        else if (fstat(STDERR_FILENO, &st) >= 0 && (st.st_mode & S_IWGRP))
                add(own, "terminal", "ok", "", "messages about jobs without a run come to it too");
        else
                add(own, "terminal", "absent", "mesg y",
                        "mesg n; without y: messages about jobs without a run don't come to it");
}

static void add_programs(struct own *own)
{
        char python[PATH_MAX];

        if (!in_path("python3"))
                add(own, "python", "absent", "optional: apt-get install python3", "no python3 on your PATH");
        else if (hr_environment_find_python(python))
                add(own, "python", "ok", "", "headroom run helps Python by %s", python);
        else
                add(own, "python", "missing", "make install",
                        "%s has no sitecustomize.py; without it: Python does not give back garbage, nor name "
                        "what "
                        "holds the memory",
                        python);
}

/* Of the user's own manager: with the last logout it ends, and every scope with it. */
static void add_linger(struct own *own, const char *socket)
{
        char path[PATH_MAX];
        const struct passwd *user = getpwuid(geteuid());

        if (strcmp(socket, HR_SYSTEM_SOCKET) == 0 || geteuid() == 0 || !user ||
                access("/run/systemd/system", F_OK) != 0)
                return;
        snprintf(path, sizeof(path), "/var/lib/systemd/linger/%s", user->pw_name);
        if (access(path, F_OK) == 0)
                add(own, "linger", "ok", "", "your jobs outlive your logins");
        else
                add(own, "linger", "warning", "loginctl enable-linger",
                        "your jobs end with your last login; without it: a dropped ssh ends them");
}

static int show(const struct hr_options *o, const struct hr_call_list *list, const struct own *own)
{
        _free_ struct hr_call_check *rows = hr_ask_rows(list->count + own->count, sizeof(*rows));

        if (!rows)
                return HR_EXIT_FAILED;
        memcpy(rows, own->rows, own->count * sizeof(*rows));
        if (list->count > 0)
                memcpy(rows + own->count, list->checks, list->count * sizeof(*rows));
        hr_output_rows(&check_table, rows, own->count + list->count,
                hr_ask_json(o) ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

int hr_doctor_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        HR_CLEANUP(own_done) struct own own = {0};
        _list_ struct hr_call_list list = {0};
        _call_ struct hr_call *call = NULL;
        _free_ char *tried = NULL, *start = NULL;
        int r;

        if (hr_call_connect(o->value[HR_OPTION_SOCKET], HR_CALL_WAIT_USEC, &call, &tried) != 0) {
                if (!tried || hr_call_describe_start(tried, &start) < 0)
                        start = NULL;
                add(&own, "daemon", "missing", start ? start : "", "%s", tried ? tried : "no socket answers");
                add_programs(&own);
                r = show(o, &list, &own);
                return r != 0 ? r : HR_EXIT_UNREACHABLE;
        }
        r = hr_call_doctor(call, &list);
        if (r != 0)
                return hr_ask_failed(call, r);
        add_sockets(&own, hr_call_socket(call));
        add_linger(&own, hr_call_socket(call));
        add_terminal(&own);
        add_programs(&own);
        return show(o, &list, &own);
}
