/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

/*
 * A job's history, one line for each moment, in the format that tests/replay reads:
 *
 *   # headroom record: j17 (analyse), 2026-03-01 12:00:00
 *   # limit 8589934592                        or "none"
 *   0 5368709120 1048576                      usec since the start, used bytes, cache bytes
 *   # at 61000000 stage notice                what changed then: its stage, its limit
 *   # what ended 73000000                     last: ended, gone (watched no longer) or stopped (by ctrl-C)
 *
 * The daemon is asked on an absolute schedule, and over a restart of it. What it tells is from its own last
 * look: one that has not moved by a 64th of its limit for a time T is looked at again at the latest T / 4
 * later (daemon/ladder.c, pause_at_rest). Moments in which nothing has changed are left out, but for the last
 * of them: what stood still must not look like a slope.
 *
 * Each line is written out at once, so that a file is whole up to its last line whatever happens; where the
 * disk is full, what was begun of a line is taken away again. Signals are blocked but for the time between
 * two questions, which is when they end it.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "clock.h"
#include "exit.h"
#include "fd.h"
#include "output.h"
#include "text.h"
#include "think/units.h"

#define INTERVAL_USEC HR_USEC_PER_SEC
#define INTERVAL_LEAST_USEC (10 * HR_USEC_PER_MSEC) /* chosen: an answer takes less than one */
#define ANSWER_USEC (2 * HR_USEC_PER_SEC)           /* ctrl-C waits so long for a daemon that hangs */

struct recording {
        const struct hr_options *o;
        struct hr_call *call; /* owned; NULL: the daemon is gone */
        const char *path;     /* NULL: stdout */
        int fd;               /* owned where there is a path */
        int error;            /* of writing, -errno; nothing more is written then */
        char id[32], name[HR_NAME_MAX], stage[24];
        uint64_t interval_usec, start_usec, limit_bytes;
        uint64_t shown_usec, used_bytes, cache_bytes; /* of the last line */
        uint64_t same_usec;                           /* nothing has changed since that line, until then */
        size_t count;                                 /* of lines that are moments */
};

static void recording_done(struct recording *r)
{
        hr_call_free(r->call);
        if (r->path)
                hr_close(r->fd);
}

/* ---- writing ---- */

static void HR_PRINTF(2, 3) write_line(struct recording *r, const char *format, ...)
{
        char line[400];
        struct stat st;
        size_t size, done = 0;
        va_list ap;

        if (r->error < 0)
                return;
        va_start(ap, format);
        size = (size_t)vsnprintf(line, sizeof(line) - 1, format, ap);
        va_end(ap);
        size = MIN(size, sizeof(line) - 2);
        line[size++] = '\n';
        while (done < size) {
                ssize_t n = write(r->fd, line + done, size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        r->error = -errno;
                        break;
                }
                done += (size_t)n;
        }
        if (done > 0 && done < size && fstat(r->fd, &st) == 0 && S_ISREG(st.st_mode) &&
                st.st_size >= (off_t)done && ftruncate(r->fd, st.st_size - (off_t)done) < 0)
                r->error = -errno; /* the begun line stays: the reader says which it is */
}

static void write_moment(struct recording *r, uint64_t usec)
{
        write_line(r, "%" PRIu64 " %" PRIu64 " %" PRIu64, usec, r->used_bytes, r->cache_bytes);
        r->shown_usec = usec;
        r->count += r->error == 0;
}

static void write_limit(struct recording *r, const char *before)
{
        if (r->limit_bytes == HR_BYTES_NONE)
                write_line(r, "# %slimit none", before);
        else
                write_line(r, "# %slimit %" PRIu64, before, r->limit_bytes);
}

/* Untrusted text, on one line. */
static void escape(char *to, size_t size, const char *from)
{
        _free_ char *text = NULL;
        size_t length = 0;
        FILE *f = open_memstream(&text, &length);

        *to = '\0';
        if (!f)
                return;
        hr_text_write_escaped(f, from, false);
        if (fclose(f) == 0)
                snprintf(to, size, "%s", text);
}

static void begin(struct recording *r, const struct hr_call_job *job)
{
        char now[HR_OUTPUT_TIME_SIZE];

        snprintf(r->id, sizeof(r->id), "%s", job->job);
        escape(r->name, sizeof(r->name), job->name);
        snprintf(r->stage, sizeof(r->stage), "%s", job->stage);
        r->limit_bytes = job->limit_bytes;
        r->used_bytes = job->used_bytes;
        r->cache_bytes = job->cache_bytes;
        r->start_usec = hr_clock_usec();
        write_line(r, "# headroom record: %s (%s), %s", r->id, r->name,
                hr_output_time(now, hr_clock_realtime_usec()));
        write_limit(r, "");
        write_moment(r, 0);
        if (strcmp(r->stage, "ok") != 0)
                write_line(r, "# at 0 stage %s", r->stage);
}

static void note(struct recording *r, const struct hr_call_job *job)
{
        uint64_t usec = hr_clock_usec() - r->start_usec;
        char at[40];

        snprintf(at, sizeof(at), "at %" PRIu64 " ", usec);
        if (job->used_bytes == r->used_bytes && job->cache_bytes == r->cache_bytes) {
                r->same_usec = usec;
        } else {
                if (r->same_usec > r->shown_usec)
                        write_moment(r, r->same_usec);
                r->used_bytes = job->used_bytes;
                r->cache_bytes = job->cache_bytes;
                write_moment(r, usec);
        }
        if (strcmp(job->stage, r->stage) != 0) {
                snprintf(r->stage, sizeof(r->stage), "%s", job->stage);
                write_line(r, "# %sstage %s", at, r->stage);
        }
        if (job->limit_bytes != r->limit_bytes) {
                r->limit_bytes = job->limit_bytes;
                write_limit(r, at);
        }
}

/* What it came to, in the file and on stderr. */
static int end(struct recording *r, const char *what, const char *sentence)
{
        uint64_t usec = hr_clock_usec() - r->start_usec;
        char lasted[HR_TEXT_SIZE_MAX];

        if (r->same_usec > r->shown_usec)
                write_moment(r, r->same_usec);
        write_line(r, "# what %s %" PRIu64, what, usec);
        if (r->path && fsync(r->fd) < 0 && errno != EINVAL && errno != EROFS && r->error == 0)
                r->error = -errno; /* EINVAL: a pipe, which has nothing to sync */
        hr_units_format_time(lasted, usec);
        if (r->error < 0) {
                hr_output_say(HR_STYLE_PLAIN,
                        "%s can't be written any longer: %s; it holds %zu moments of the %s since then",
                        r->path ? r->path : "the record", strerror(-r->error), r->count, lasted);
                return HR_EXIT_FAILED;
        }
        hr_output_say(HR_STYLE_PLAIN, "%s (%s) %s; %zu moments in %s%s%s", r->id, r->name, sentence, r->count,
                lasted, r->path ? ", in " : "", r->path ? r->path : "");
        return HR_EXIT_DONE;
}

/* It is not watched any more: because it has ended, or was detached. */
static int end_gone(struct recording *r)
{
        _list_ struct hr_call_list events = {0};

        if (hr_call_events(r->call, &events) == 0)
                for (size_t i = events.count; i-- > 0;)
                        if (strcmp(events.events[i].job, r->id) == 0 &&
                                strcmp(events.events[i].action, "detach") == 0)
                                return end(r, "gone", "is watched no longer");
        return end(r, "ended", "has ended");
}

/* ---- asking ---- */

/* Asks once: 0; HR_EXIT_NO_JOB; or HR_EXIT_UNREACHABLE, and it is tried again later. */
static int ask(struct recording *r)
{
        _list_ struct hr_call_list jobs = {0};
        bool back = !r->call;
        int s;

        if (back && hr_call_connect(r->o->value[HR_OPTION_SOCKET], HR_USEC_PER_SEC, &r->call, NULL) != 0) {
                r->call = NULL;
                return HR_EXIT_UNREACHABLE;
        }
        if (back) {
                hr_call_set_wait(r->call, ANSWER_USEC);
                hr_output_say(HR_STYLE_PLAIN, "the daemon is back");
        }
        s = hr_call_status(r->call, r->id, &jobs);
        if (s == 0 && jobs.count == 1) {
                note(r, jobs.jobs);
                return 0;
        }
        if (s == HR_EXIT_UNREACHABLE) {
                r->call = hr_call_free(r->call);
                hr_output_say(
                        HR_STYLE_PLAIN, "the daemon is gone; waiting for it to come back (ctrl-C ends this)");
        }
        return s != 0 ? s : HR_EXIT_NO_JOB;
}

/* Until then, or until a signal: its number, else 0. */
static int sleep_until(uint64_t usec, const sigset_t *signals)
{
        for (;;) {
                uint64_t left = hr_sub(usec, hr_clock_usec());
                struct timespec wait = {.tv_sec = (time_t)(left / HR_USEC_PER_SEC),
                        .tv_nsec = (long)(left % HR_USEC_PER_SEC * 1000)};
                int number = sigtimedwait(signals, NULL, &wait);

                if (number > 0)
                        return number;
                if (errno != EINTR)
                        return 0;
        }
}

static int record_on(struct recording *r)
{
        uint64_t next_usec = r->start_usec;
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGHUP);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL); /* of valid signals: can't fail */
        for (;;) {
                /* On a schedule; what was slept over is not made up for. */
                next_usec += (hr_sub(hr_clock_usec(), next_usec) / r->interval_usec + 1) * r->interval_usec;
                if (sleep_until(next_usec, &signals) > 0)
                        return end(r, "stopped", "runs on");
                int s = ask(r);
                if (s == HR_EXIT_NO_JOB)
                        return end_gone(r);
                if (s != 0 && s != HR_EXIT_UNREACHABLE)
                        return hr_ask_failed(r->call, s);
                if (r->error < 0)
                        return end(r, "stopped", "");
        }
}

/* ---- the verb ---- */

static int read_interval(const struct hr_options *o, uint64_t *ret_usec)
{
        const char *text = o->value[HR_OPTION_INTERVAL];
        uint64_t usec = INTERVAL_USEC;

        if (text && (hr_units_parse_time(text, &usec) != 0 || usec < INTERVAL_LEAST_USEC ||
                            usec > 3600 * HR_USEC_PER_SEC)) {
                hr_output_say(HR_STYLE_PLAIN,
                        "interval %s can't be used: write a time from 10ms to 1h, such as 1s", text);
                return HR_EXIT_USAGE;
        }
        *ret_usec = usec;
        return 0;
}

/* A record that exists is somebody's: it is never written over. */
static int open_output(struct recording *r)
{
        r->path = r->o->value[HR_OPTION_OUTPUT];
        r->fd = STDOUT_FILENO;
        if (!r->path || strcmp(r->path, "-") == 0) {
                r->path = NULL;
                return 0;
        }
        r->fd = open(r->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (r->fd < 0 && errno == EEXIST) { /* a pipe or a device may be written to */
                struct stat st;

                if (stat(r->path, &st) == 0 && !S_ISREG(st.st_mode))
                        r->fd = open(r->path, O_WRONLY | O_CLOEXEC);
                else
                        errno = EEXIST;
        }
        if (r->fd >= 0)
                return 0;
        if (errno == EEXIST)
                hr_output_say(HR_STYLE_PLAIN,
                        "%s exists already, and is not written over: name another, or remove it", r->path);
        else
                hr_output_say(HR_STYLE_PLAIN, "%s can't be written: %s", r->path, strerror(errno));
        r->path = NULL; /* nothing to close */
        return HR_EXIT_FAILED;
}

int hr_record_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        HR_CLEANUP(recording_done) struct recording r = {.o = o, .fd = -1};
        _list_ struct hr_call_list jobs = {0};
        const char *word = o->arguments[0];
        int s;

        if (hr_ask_json(o)) {
                hr_output_say(HR_STYLE_PLAIN,
                        "record has a format of its own (man headroom): it takes no --json; the same numbers "
                        "as "
                        "JSON: headroom status %s --json",
                        word);
                return HR_EXIT_USAGE;
        }
        s = read_interval(o, &r.interval_usec);
        if (s == 0)
                s = hr_ask_connect(o, &r.call);
        if (s != 0)
                return s;
        hr_call_set_wait(r.call, ANSWER_USEC);
        s = hr_call_status(r.call, word, &jobs);
        if (s != 0)
                return hr_ask_failed_on(r.call, s, word);
        if (jobs.count != 1) {
                hr_output_say(HR_STYLE_PLAIN, "record wants one job; headroom status lists them");
                return HR_EXIT_USAGE;
        }
        s = open_output(&r); /* after the job is found: a word that is wrong leaves no empty file */
        if (s != 0)
                return s;
        begin(&r, jobs.jobs);
        if (r.error < 0)
                return end(&r, "stopped", "");
        if (r.path)
                hr_output_say(HR_STYLE_PLAIN, "recording %s (%s) into %s until it ends, or ctrl-C", r.id,
                        r.name, r.path);
        return record_on(&r);
}
