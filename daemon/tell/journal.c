/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

/*
 * Lines to the journal, or to stderr where there is none. sd_journal_sendv waits while journald's socket is
 * full: that is why the deciding thread posts events and never comes here. A line that can't be written is
 * lost; there is nowhere left to say so.
 */

#define LINE_MAX_BYTES 1024
#define FIELDS_MAX 16
#define FIELD_MAX_BYTES 160

static bool to_journal; /* set once, before any thread starts */

void hr_journal_init(bool journal)
{
        to_journal = journal;
}

static void to_stderr(const char *text)
{
        const struct iovec parts[] = {
                {(char[]){"headroomd: "}, 11}, {(char *)text, strlen(text)}, {(char[]){"\n"}, 1}};

        if (writev(STDERR_FILENO, parts, ELEMENTSOF(parts)) < 0)
                return; /* lost */
}

void hr_journal_line(int priority, const char *format, ...)
{
        char message[LINE_MAX_BYTES] = "MESSAGE=", level[16];
        const size_t key = strlen(message);
        va_list args;

        va_start(args, format);
        vsnprintf(message + key, sizeof(message) - key, format, args);
        va_end(args);
        snprintf(level, sizeof(level), "PRIORITY=%d", priority);

        const struct iovec fields[] = {{message, strlen(message)}, {level, strlen(level)},
                {(char[]){"SYSLOG_IDENTIFIER=headroomd"}, strlen("SYSLOG_IDENTIFIER=headroomd")}};
        if (!to_journal || sd_journal_sendv(fields, ELEMENTSOF(fields)) < 0)
                to_stderr(message + key);
}

/* ---- events ---- */

static const struct {
        const char *action, *message_id;
        int priority;
} actions[] = {
        {"watch", HR_MESSAGE_WATCH, LOG_INFO},
        {"attach", HR_MESSAGE_WATCH, LOG_INFO},
        {"detach", HR_MESSAGE_WATCH, LOG_INFO},
        {"notice", HR_MESSAGE_NOTICE, LOG_NOTICE},
        {"hook", HR_MESSAGE_NOTICE, LOG_NOTICE},
        {"trim", HR_MESSAGE_TRIM, LOG_NOTICE},
        {"reclaim", HR_MESSAGE_TRIM, LOG_NOTICE},
        {"checkpoint", HR_MESSAGE_CHECKPOINT, LOG_NOTICE},
        {"predump", HR_MESSAGE_CHECKPOINT, LOG_NOTICE},
        {"freeze", HR_MESSAGE_HOLD, LOG_NOTICE},
        {"hold", HR_MESSAGE_HOLD, LOG_NOTICE},
        {"frozen", HR_MESSAGE_HOLD, LOG_INFO},
        {"thaw", HR_MESSAGE_HOLD, LOG_NOTICE},
        {"resume", HR_MESSAGE_HOLD, LOG_NOTICE},
        {"fuse", HR_MESSAGE_HOLD, LOG_NOTICE},
        {"interrupt", HR_MESSAGE_INTERRUPT, LOG_NOTICE},
        {"terminate", HR_MESSAGE_INTERRUPT, LOG_NOTICE},
        {"kill", HR_MESSAGE_INTERRUPT, LOG_NOTICE},
        {"saved", HR_MESSAGE_CHECKPOINT, LOG_NOTICE},
        {"limit", HR_MESSAGE_LIMIT, LOG_NOTICE},
        {"reserve", HR_MESSAGE_LIMIT, LOG_NOTICE},
        {"policy", HR_MESSAGE_LIMIT, LOG_NOTICE},
        {"end", HR_MESSAGE_END, LOG_NOTICE},
        {"exit", HR_MESSAGE_END, LOG_INFO},
        {"retry", HR_MESSAGE_END, LOG_NOTICE},
        {"lost", HR_MESSAGE_END, LOG_NOTICE},
        {NULL, HR_MESSAGE_OTHER, LOG_NOTICE},
};

static size_t find_action(const struct hr_event *event)
{
        size_t i = 0;

        while (actions[i].action && strcmp(actions[i].action, event->action) != 0)
                i++;
        return i;
}

/* A line of the daemon's own says by its outcome how grave it is. */
static int own_priority(const struct hr_event *event, int otherwise)
{
        return strcmp(event->outcome, "error") == 0     ? LOG_ERR
               : strcmp(event->outcome, "warning") == 0 ? LOG_WARNING
               : strcmp(event->outcome, "info") == 0    ? LOG_INFO
                                                        : otherwise;
}

struct fields {
        size_t count;
        char text[FIELDS_MAX][FIELD_MAX_BYTES];
        struct iovec io[FIELDS_MAX + 1]; /* and the message */
};

HR_PRINTF(2, 3) static void add(struct fields *f, const char *format, ...)
{
        char *text = f->text[f->count];
        va_list args;

        va_start(args, format);
        vsnprintf(text, FIELD_MAX_BYTES, format, args);
        va_end(args);
        f->io[f->count++] = (struct iovec){text, strlen(text)};
}

void hr_journal_event(const struct hr_event *event)
{
        char message[LINE_MAX_BYTES] = "MESSAGE=";
        const size_t key = strlen(message);
        size_t action = find_action(event);
        struct fields f = {.count = 0};
        bool failed = strcmp(event->outcome, "failed") == 0;

        if (event->job[0] == '\0') /* the daemon's own, which the deciding thread can't write itself */
                snprintf(message + key, sizeof(message) - key, "%s", event->reason);
        else
                snprintf(message + key, sizeof(message) - key, "%s%s%s%s: %s%s%s: %s", event->job,
                        event->name[0] ? " (" : "", event->name, event->name[0] ? ")" : "", event->action,
                        event->outcome[0] ? " " : "", event->outcome, event->reason);
        if (!to_journal) {
                to_stderr(message + key);
                return;
        }

        add(&f, "PRIORITY=%d", failed ? LOG_ERR : own_priority(event, actions[action].priority));
        add(&f, "SYSLOG_IDENTIFIER=headroomd");
        add(&f, "MESSAGE_ID=%s", actions[action].message_id);
        add(&f, "HR_JOB=%s", event->job);
        add(&f, "HR_NAME=%s", event->name);
        add(&f, "HR_UID=%u", (unsigned)event->uid);
        add(&f, "HR_STAGE=%s", hr_stage_name(event->stage));
        add(&f, "HR_PREVIOUS_STAGE=%s", hr_stage_name(event->previous_stage));
        add(&f, "HR_USED_BYTES=%llu", (unsigned long long)event->used_bytes);
        if (event->limit_bytes == HR_BYTES_NONE)
                add(&f, "HR_LIMIT_BYTES=max");
        else
                add(&f, "HR_LIMIT_BYTES=%llu", (unsigned long long)event->limit_bytes);
        add(&f, "HR_ACTION=%s", event->action);
        add(&f, "HR_OUTCOME=%s", event->outcome);
        if (event->exit_status >= 0 && strcmp(event->action, "end") == 0)
                add(&f, "HR_EXIT_STATUS=%d", (int)event->exit_status);
        f.io[f.count] = (struct iovec){message, strlen(message)};
        if (sd_journal_sendv(f.io, (int)f.count + 1) < 0)
                to_stderr(message + key);
}
