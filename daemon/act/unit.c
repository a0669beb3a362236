/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * Calls to org.freedesktop.systemd1. A scope is ready when its job is removed from systemd's queue; the match
 * on JobRemoved is installed before the job exists, so that its end can't be missed.
 */

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"
#define PATIENCE_USEC (20 * HR_USEC_PER_SEC) /* systemd took 4 s to answer while PID 1 was busy */

static void bus_closep(sd_bus **bus)
{
        sd_bus_flush_close_unref(*bus);
}
static void message_freep(sd_bus_message **m)
{
        sd_bus_message_unref(*m);
}
#define _bus_ HR_CLEANUP(bus_closep)
#define _message_ HR_CLEANUP(message_freep)
#define _error_ HR_CLEANUP(sd_bus_error_free)

bool hr_unit_systemd_runs(void)
{
        return sd_booted() > 0;
}

static int open_manager(bool user, sd_bus **ret)
{
        int r = user ? sd_bus_open_user(ret) : sd_bus_open_system(ret);
        if (r >= 0)
                (void)sd_bus_set_method_call_timeout(
                        *ret, PATIENCE_USEC); /* its default, 25 s, would do as well */
        return r < 0 ? r : 0;
}

static int say(int r, const sd_bus_error *error, char *text, size_t text_size)
{
        snprintf(text, text_size, "%s", error && error->message ? error->message : strerror(-r));
        return r;
}

struct waiting {
        char path[256], result[32];
        bool done;
};

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error HR_UNUSED)
{
        struct waiting *w = userdata;
        const char *path, *unit, *result;
        uint32_t id;
        int r = sd_bus_message_read(m, "uoss", &id, &path, &unit, &result);
        if (r < 0)
                return r;
        if (strcmp(path, w->path) == 0) {
                snprintf(w->result, sizeof(w->result), "%s", result);
                w->done = true;
        }
        return 0;
}

static int append_scope(
        sd_bus_message *m, const char *name, const char *slice, const char *description, pid_t pid)
{
        int r = sd_bus_message_append(m, "ss", name, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "Description", "s", description,
                        "Delegate", "b", 1, "MemoryAccounting", "b", 1, "CollectMode", "s",
                        "inactive-or-failed", "PIDs", "au", 1, (uint32_t)pid);
        if (r >= 0 && slice[0] != '\0')
                r = sd_bus_message_append(m, "(sv)", "Slice", "s", slice);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_append(m, "a(sa(sv))", 0);
}

int hr_unit_make_scope(bool user, const char *name, const char *slice, const char *description, pid_t pid,
        char *text, size_t text_size)
{
        _bus_ sd_bus *bus = NULL;
        _message_ sd_bus_message *m = NULL, *reply = NULL;
        _error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        struct waiting w = {0};
        const char *path;

        int r = open_manager(user, &bus);
        if (r < 0)
                return say(r, NULL, text, text_size);
        r = sd_bus_match_signal(bus, NULL, SYSTEMD, SYSTEMD_PATH, MANAGER, "JobRemoved", on_job_removed, &w);
        if (r >= 0)
                r = sd_bus_call_method(bus, SYSTEMD, SYSTEMD_PATH, MANAGER, "Subscribe", NULL, NULL, NULL);
        if (r >= 0)
                r = sd_bus_message_new_method_call(
                        bus, &m, SYSTEMD, SYSTEMD_PATH, MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = append_scope(m, name, slice, description, pid);
        if (r >= 0)
                r = sd_bus_call(bus, m, 0, &error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return say(r, &error, text, text_size);
        snprintf(w.path, sizeof(w.path), "%s", path);
        for (int i = 0; i < 200 && !w.done; i++) { /* 200 messages or 20 s, whichever comes first */
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, PATIENCE_USEC / 200);
                if (r < 0)
                        return say(r, NULL, text, text_size);
        }
        if (!w.done || strcmp(w.result, "done") != 0) {
                snprintf(text, text_size, "systemd's job for %s: %s", name, w.done ? w.result : "no answer");
                return w.done ? -EIO : -ETIMEDOUT;
        }
        return 0;
}

int hr_unit_set_limit(bool user, const char *unit, uint64_t limit_bytes, char *text, size_t text_size)
{
        _bus_ sd_bus *bus = NULL;
        _error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = open_manager(user, &bus);
        if (r >= 0) /* 2^64-1 is systemd's infinity too */
                r = sd_bus_call_method(bus, SYSTEMD, SYSTEMD_PATH, MANAGER, "SetUnitProperties", &error, NULL,
                        "sba(sv)", unit, 1, 1, "MemoryMax", "t", limit_bytes);
        return r < 0 ? say(r, &error, text, text_size) : 0;
}

int hr_unit_queued_job(bool user, const char *unit, char *ret_type, size_t size)
{
        _bus_ sd_bus *bus = NULL;
        _message_ sd_bus_message *reply = NULL, *job = NULL;
        const char *path, *type;
        uint32_t id;

        int r = open_manager(user, &bus);
        if (r >= 0)
                r = sd_bus_call_method(
                        bus, SYSTEMD, SYSTEMD_PATH, MANAGER, "GetUnit", NULL, &reply, "s", unit);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r >= 0)
                r = sd_bus_get_property(bus, SYSTEMD, path, SYSTEMD ".Unit", "Job", NULL, &job, "(uo)");
        if (r >= 0)
                r = sd_bus_message_read(job, "(uo)", &id, &path);
        if (r < 0)
                return r;
        if (id == 0) {
                snprintf(ret_type, size, "%s", "");
                return 0;
        }
        _message_ sd_bus_message *answer = NULL;
        r = sd_bus_get_property(bus, SYSTEMD, path, SYSTEMD ".Job", "JobType", NULL, &answer, "s");
        if (r >= 0)
                r = sd_bus_message_read(answer, "s", &type);
        if (r >= 0)
                snprintf(ret_type, size, "%s", type);
        return r < 0 ? r : 0;
}

#define ENDING_LOOKS 20
#define ENDING_PAUSE_NSEC (100 * 1000 * 1000)

static int read_ending(sd_bus *bus, const char *path, int *ret_code, int *ret_status)
{
        int r = sd_bus_get_property_trivial(
                bus, SYSTEMD, path, SYSTEMD ".Service", "ExecMainCode", NULL, 'i', ret_code);

        return r < 0 ? r
                     : sd_bus_get_property_trivial(bus, SYSTEMD, path, SYSTEMD ".Service", "ExecMainStatus",
                               NULL, 'i', ret_status);
}

int hr_unit_ending(bool user, const char *unit)
{
        const struct timespec pause = {.tv_nsec = ENDING_PAUSE_NSEC};
        _bus_ sd_bus *bus = NULL;
        int r = open_manager(user, &bus), code = 0, status = 0;

        for (int i = 0; r >= 0 && code == 0 && i < ENDING_LOOKS; i++) {
                _message_ sd_bus_message *reply = NULL;
                const char *path;

                if (i > 0)
                        nanosleep(&pause, NULL);
                r = sd_bus_call_method(
                        bus, SYSTEMD, SYSTEMD_PATH, MANAGER, "GetUnit", NULL, &reply, "s", unit);
                if (r >= 0)
                        r = sd_bus_message_read(reply, "o", &path);
                if (r >= 0)
                        r = read_ending(bus, path, &code, &status);
        }
        if (r < 0 || status < 0 || status > 255)
                return -ENODATA;
        return code == CLD_EXITED                         ? W_EXITCODE(status, 0)
               : code == CLD_KILLED || code == CLD_DUMPED ? status
                                                          : -ENODATA;
}
