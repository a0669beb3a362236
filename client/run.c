/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run.h"

/*
 * The client forks the job itself, so that it keeps its terminal, environment, directory and limits, and lets
 * it begin once the daemon has placed and registered it (child.c). From then on the client is a bystander: it
 * passes signals on, stops and goes on with the job (signals.c), prints what the daemon tells of it, and ends
 * with the job's own status. It gives its own stdin and stdout away, so that it never keeps a pipe open that
 * the job has closed.
 *
 * The daemon may vanish: said once, tried again each second, and the job goes on. The terminal may vanish:
 * then the client goes on mute, and follows without claiming to show events, so that the daemon tells the
 * owner elsewhere.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "call.h"
#include "child.h"
#include "clock.h"
#include "environment.h"
#include "exit.h"
#include "fd.h"
#include "history.h"
#include "keeper.h"
#include "name.h"
#include "output.h"
#include "saved.h"
#include "signals.h"
#include "think/cmdline.h"
#include "think/config.h"
#include "think/units.h"

#define CONNECT_USEC (120 * HR_USEC_PER_SEC) /* 50 at once: six rounds of 10 s where systemd is busy */
#define RETRY_USEC HR_USEC_PER_SEC
#define GREET_USEC (500 * HR_USEC_PER_MSEC)     /* at a retry: meanwhile no signal is passed on */
#define ASK_USEC (300 * HR_USEC_PER_MSEC)       /* for an answer between ctrl-Z and the stop */
#define LAST_WORD_USEC (300 * HR_USEC_PER_MSEC) /* for the daemon's last event once the job is gone, */
#define LAST_ORDER_USEC (5 * HR_USEC_PER_SEC)   /* which may be to start it again */

struct run {
        const struct hr_options *o;
        char name[HR_NAME_MAX];
        char job[HR_CHILD_ID_MAX];    /* its id, or its pid where nobody watches it */
        char label[HR_NAME_MAX + 40]; /* "j17 (analyse)" */
        bool watched;
        bool is_tree; /* it is held by SIGSTOP, which fg undoes */
        bool muted;   /* nobody reads stderr any more */

        struct hr_child child;
        struct hr_signals signals;

        sd_event *loop;
        sd_event_source *retry;
        struct hr_call *call;  /* NULL: not connected */
        char *socket;          /* where the daemon was found */
        bool lost;             /* the daemon is gone, and it was said */
        bool last_word;        /* the event "end" has come */
        char hold_hint[240];   /* what a held job can be answered with; "": not held, as far as was told */
        char lost_reason[240]; /* of the end, if the kernel killed it */
        struct hr_saved
                *start; /* how it is started, for `resume`; owned; NULL: that could not be found out */
        bool interrupted;
        uint64_t retry_bytes; /* it is started again by itself with this limit; 0: it is not */
        int kept_fds[2];      /* our stdin and stdout, where it may be; -1: none */
        enum hr_stage furthest;
        uint64_t last_event_usec, peak_bytes, limit_bytes, start_usec;
};

static void run_done(struct run *run)
{
        run->call = hr_call_free(run->call);
        run->start = hr_saved_free(run->start);
        free(TAKE_PTR(run->socket));
        hr_signals_done(&run->signals);
        hr_child_done(&run->child);
        run->retry = sd_event_source_unref(run->retry);
        run->loop = sd_event_unref(run->loop);
}

static void stop_following(struct run *run);

/* A line about the job. Once it can't be written, the terminal is gone, and nothing more is. */
static void HR_PRINTF(3, 4) say(struct run *run, enum hr_style style, const char *format, ...)
{
        _free_ char *text = NULL;
        va_list ap;

        if (run->muted)
                return;
        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        if (text && hr_output_say(style, "%s: %s", run->label, text) < 0)
                stop_following(run);
}

/* ---- the daemon ---- */

static void retry_in(struct run *run, uint64_t usec)
{
        sd_event_source_set_time_relative(run->retry, usec); /* can't fail on a timer that exists */
        sd_event_source_set_enabled(run->retry, SD_EVENT_ONESHOT);
}

/* Nobody reads: leave, and come back without claiming to show what happens. */
static void stop_following(struct run *run)
{
        run->muted = true;
        if (run->call && !run->lost && run->retry)
                retry_in(run, 0);
}

/* Actions after which a job that returns 0 may have only half a result. */
static bool is_interruption(const struct hr_call_event *event)
{
        static const char *const actions[] = {"interrupt", "terminate", "kill"};
        static const char *const not_done[] = {"observed", "passed over", "refused", "failed"};

        for (size_t i = 0; i < ELEMENTSOF(not_done); i++)
                if (strcmp(event->outcome, not_done[i]) == 0)
                        return false;
        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                if (strcmp(event->action, actions[i]) == 0)
                        return true;
        return false;
}

/* For a ctrl-Z while no daemon can be asked: what is held stays held without one. */
static void note_hold(struct run *run, const struct hr_call_event *event, bool hold)
{
        if (hold && strcmp(event->action, "freeze") == 0 && strcmp(event->outcome, "done") == 0)
                snprintf(run->hold_hint, sizeof(run->hold_hint), "%s", event->hint);
        else if (strcmp(event->action, "thaw") == 0 || is_interruption(event))
                run->hold_hint[0] = '\0';
}

/* It was ended by its checkpoint: how to go on from there. reason: the path, or how else it was saved. */
static void note_saved(struct run *run, const char *reason)
{
        char more[HR_TEXT_SIZE_MAX] = "SIZE";
        int r = -ENOENT;

        if (run->limit_bytes != HR_BYTES_NONE)
                hr_units_spell_bytes(more, run->limit_bytes + run->limit_bytes / 2);
        if (run->start) {
                run->start->is_saved = true;
                run->start->path = hr_saved_path_of(reason) ? strdup(reason) : NULL;
                r = hr_saved_write(run->start);
        }
        if (r == 0 && run->retry_bytes > 0)
                say(run, HR_STYLE_BOLD, "its work is saved (%s)", reason);
        else if (r == 0)
                say(run, HR_STYLE_BOLD,
                        "its work is saved (%s); it goes on from there with: headroom resume %s --limit %s",
                        reason, run->job, more);
        else if (strncmp(reason, "criu:", 5) == 0) /* the image says how */
                say(run, HR_STYLE_BOLD,
                        "its work is saved (%s); it goes on from there with: headroom resume %s", reason,
                        run->job);
        else
                say(run, HR_STYLE_BOLD,
                        "its work is saved (%s); how it was started can't be kept (%s): start it again with "
                        "HEADROOM_RESUME=%s",
                        reason, strerror(-r), *reason == '/' ? reason : "");
        if (r < 0)
                run->retry_bytes = 0;
}

/* How it is started, for `resume`: of a job that nobody waits for it is written now. */
static void keep_start(struct run *run)
{
        const struct hr_options *o = run->o;
        struct hr_saved *s = run->start;

        if (o->resumes)
                (void)unlink(o->resumes); /* it goes on; it will be saved anew, or finish */
        if (!s)
                return;
        s->job = strdup(run->job);
        s->name = strdup(run->name);
        s->policy = strdup(o->value[HR_OPTION_POLICY] ? o->value[HR_OPTION_POLICY] : "");
        s->checkpoint = strdup(o->value[HR_OPTION_CHECKPOINT] ? o->value[HR_OPTION_CHECKPOINT] : "");
        s->fuse = hr_options_has(o, HR_OPTION_FUSE);
        s->has_limit = o->has_limit;
        s->limit_bytes = o->limit_bytes;
        if (!s->job || !s->name || !s->policy || !s->checkpoint)
                run->start = hr_saved_free(s);
        else if (run->child.detached)
                (void)hr_saved_write(s); /* without it, it is watched all the same */
}

static void on_event(const struct hr_call_event *event, void *userdata)
{
        struct run *run = userdata;
        int stage = hr_stage_from_name(event->stage);

        if (strcmp(event->job, run->job) != 0)
                return;
        run->last_event_usec = MAX(run->last_event_usec, event->time_usec);
        run->peak_bytes = MAX(run->peak_bytes, event->used_bytes);
        if (strcmp(event->action, "retry") == 0) { /* told before "saved", and at the end */
                bool can = strcmp(event->outcome, "started") == 0 && run->kept_fds[STDOUT_FILENO] >= 0;
                run->retry_bytes = can ? event->limit_bytes : 0;
                if (can || strcmp(event->outcome, "started") != 0) /* its policy was changed on the way */
                        say(run, HR_STYLE_BOLD, "%s", event->reason);
                return;
        }
        run->limit_bytes = event->limit_bytes;
        if (stage >= 0)
                run->furthest = MAX(run->furthest, (enum hr_stage)stage);
        run->interrupted |= is_interruption(event);
        note_hold(run, event, stage == HR_STAGE_HOLD);
        if (strcmp(event->action, "saved") == 0) {
                note_saved(run, event->reason);
                return;
        }
        if (strcmp(event->action, "trim") == 0 && strcmp(event->outcome, "passed over") == 0)
                return; /* nothing happened, and she can do nothing about it: headroom events has it */
        if (strcmp(event->action, "end") == 0) {
                run->last_word = true; /* the summary tells of it */
                if (strcmp(event->outcome, "lost") == 0)
                        snprintf(run->lost_reason, sizeof(run->lost_reason), "%s", event->reason);
                return;
        }
        if (strcmp(event->action, "watch") == 0 || strcmp(event->action, "frozen") == 0)
                return; /* the first line told of it, or "freeze" did */
        say(run, hr_output_stage_style(event->stage), "%s%s%s", event->reason, *event->hint ? "; " : "",
                event->hint);
        if (stage == HR_STAGE_HOLD)
                hr_signals_held(&run->signals);
}

static void on_lost(void *userdata)
{
        struct run *run = userdata;

        say(run, HR_STYLE_BOLD, "the daemon is gone; the job goes on, unwatched until it is back");
        run->lost = true;
        retry_in(run, RETRY_USEC);
}

/* Back again: with those events that were missed. */
static int on_retry(sd_event_source *source HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct run *run = userdata;
        int r;

        run->call = hr_call_free(run->call);
        r = hr_call_connect(run->socket, GREET_USEC, &run->call, NULL);
        if (r == 0)
                r = hr_call_follow(run->call, run->loop, run->muted ? NULL : run->job, run->last_event_usec,
                        SIZE_MAX, on_event, on_lost, run);
        if (r == HR_EXIT_NO_JOB) {
                say(run, HR_STYLE_BOLD,
                        "the daemon is back, but does not know the job: nobody watches it; "
                        "headroom attach %d --name %s",
                        (int)run->child.pid, run->name);
                run->call = hr_call_free(run->call);
                return 0;
        }
        if (r != 0) {
                retry_in(run, RETRY_USEC);
                return 0;
        }
        if (run->lost)
                say(run, HR_STYLE_PLAIN, "the daemon is back; the job is watched");
        run->lost = false;
        return 0;
}

/* It may be started again: with the streams that we are about to give away. */
static void keep_streams(struct run *run)
{
        for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
                run->kept_fds[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* In our place, as if its owner had typed it. Comes back only if that can't be. */
static void start_again(struct run *run)
{
        char limit[HR_TEXT_SIZE_MAX], count[16];
        char *words[] = {(char *)"headroom", (char *)"resume", run->job, (char *)"--limit",
                hr_units_spell_bytes(limit, run->retry_bytes), (char *)"--socket", strdup(run->socket), NULL};

        for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
                if (run->kept_fds[fd] >= 0)
                        dup2(run->kept_fds[fd], fd);
        snprintf(count, sizeof(count), "%u", run->o->retried + 1);
        setenv("HEADROOM_RETRIED", count, true);
        run_done(run); /* signals as they were */
        execv("/proc/self/exe", words);
        hr_output_say(HR_STYLE_PLAIN, "it can't be started again: %s; headroom resume %s --limit %s",
                strerror(errno), words[2], limit);
}

/* Has the waiting child placed and watched. 0, or an exit status, said. */
static int register_job(struct run *run)
{
        const struct hr_options *o = run->o;
        HR_CLEANUP(hr_call_answer_done) struct hr_call_answer answer = {0};
        char command[HR_CMDLINE_MAX] = "";
        struct hr_call_run request = {
                .pid = run->child.pid,
                .name = run->name,
                .policy = o->value[HR_OPTION_POLICY] ? o->value[HR_OPTION_POLICY] : "",
                .checkpoint = o->value[HR_OPTION_CHECKPOINT] ? o->value[HR_OPTION_CHECKPOINT] : "",
                .command = command,
                .has_limit = o->has_limit,
                .fuse = hr_options_has(o, HR_OPTION_FUSE),
                .detached = run->child.detached,
                .limit_bytes = o->limit_bytes,
                .retried = o->retried,
                .reaps = true,
        };

        for (size_t i = 0; run->child.command[i]; i++)
                hr_cmdline_add(command, run->child.command[i]);
        if (hr_call_run(run->call, &request, &answer) != 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: %s", run->name, hr_call_message(run->call));
                return HR_EXIT_NOT_STARTED;
        }
        snprintf(run->job, sizeof(run->job), "%s", answer.job);
        snprintf(run->label, sizeof(run->label), "%s (%s)", run->job, run->name);
        run->watched = true;
        if (*answer.message)
                hr_output_say(HR_STYLE_BOLD, "%s: %s", run->label, answer.message);
        run->last_event_usec = hr_clock_realtime_usec();
        keep_start(run);
        if (answer.bytes > 0 && !run->child.detached)
                keep_streams(run);
        run->is_tree = strcmp(answer.kind, hr_kind_name(HR_KIND_PROCESS)) == 0;
        if (run->is_tree) /* what escapes from it comes to us, where the daemon finds it */
                prctl(PR_SET_CHILD_SUBREAPER, 1);
        return 0;
}

/* ---- what the signals part asks ---- */

/* Does the job stand still, and for longer than a checkpoint's brake? */
static bool is_held(struct run *run)
{
        HR_CLEANUP(hr_call_list_done) struct hr_call_list list = {0};
        bool held = run->hold_hint[0] != '\0';

        if (!run->call || run->lost)
                return held;
        hr_call_set_wait(run->call, ASK_USEC);
        if (hr_call_status(run->call, run->job, &list) == 0 && list.count == 1)
                held = list.jobs->frozen && hr_stage_from_name(list.jobs->stage) >= (int)HR_STAGE_HOLD;
        return held;
}

static void say_held(struct run *run, const char *what, const char *then)
{
        if (run->hold_hint[0])
                say(run, HR_STYLE_BOLD, "%s; %s%s", what, run->hold_hint, then);
        else
                say(run, HR_STYLE_BOLD, "%s; headroom status %s says why%s", what, run->job, then);
}

static bool on_ctrl_z(void *userdata)
{
        bool held = is_held(userdata);

        if (held)
                say_held(userdata, "is held, and stops once it goes on", ", then fg");
        return held;
}

static void on_continued(void *userdata)
{
        struct run *run = userdata;

        if (!is_held(run))
                return;
        if (run->is_tree)
                kill(run->child.pid, SIGSTOP); /* fg has undone the daemon's */
        say_held(run, "is still held", "");
}

static void on_unsent(int number, int error, void *userdata)
{
        say(userdata, HR_STYLE_PLAIN, "can't pass SIG%s on: %s",
                sigabbrev_np(number) ? sigabbrev_np(number) : "RT", strerror(error));
}

/* ---- beginning and end ---- */

/* In a script there is nothing to be said when all is well. */
static bool is_greeted(const struct run *run)
{
        return isatty(STDERR_FILENO) && !run->child.detached;
}

static void greet_person(struct run *run)
{
        HR_CLEANUP(hr_call_list_done) struct hr_call_list list = {0};
        char limit[HR_TEXT_SIZE_MAX], text[2 * HR_TEXT_SIZE_MAX] = "none";

        if (!is_greeted(run))
                return;
        if (!run->call || run->lost || hr_call_status(run->call, run->job, &list) != 0 || list.count != 1)
                return;
        if (list.jobs->own_limit_bytes != HR_BYTES_NONE)
                snprintf(text, sizeof(text), "%s (%" PRIu64 " bytes)",
                        hr_units_format_bytes(limit, list.jobs->own_limit_bytes), list.jobs->own_limit_bytes);
        hr_output_say(
                HR_STYLE_PLAIN, "%s is watched, limit %s, policy %s", run->label, text, list.jobs->policy);
}

static int on_exec(sd_event_source *source, int fd HR_UNUSED, uint32_t events HR_UNUSED, void *userdata)
{
        struct run *run = userdata;

        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        hr_child_hear(&run->child);
        return 0;
}

/* What the daemon knows of the job's end: its peak, and events that are under way. */
static void hear_last_word(struct run *run)
{
        HR_CLEANUP(hr_call_list_done) struct hr_call_list list = {0};
        uint64_t now = hr_clock_usec(), ended = now, until;

        if (!run->call || run->lost)
                return;
        hr_call_set_wait(run->call, LAST_WORD_USEC);
        if (hr_call_status(run->call, run->job, &list) == 0 && list.count == 1)
                run->peak_bytes = MAX(run->peak_bytes, list.jobs->peak_bytes);
        hr_call_drain(run->call);
        /* A job that was in trouble: its last event comes after all others, an interruption too. */
        while (run->furthest > HR_STAGE_NOTICE && !run->last_word && !run->lost) {
                until = ended + (run->furthest >= HR_STAGE_CHECKPOINT ? LAST_ORDER_USEC : LAST_WORD_USEC);
                now = hr_clock_usec();
                if (now >= until || sd_event_run(run->loop, until - now) < 0)
                        return;
        }
}

static void say_summary(struct run *run, int status)
{
        char peak[HR_TEXT_SIZE_MAX], limit[HR_TEXT_SIZE_MAX], time[HR_TEXT_SIZE_MAX], end[64];

        if (run->furthest <= HR_STAGE_NOTICE && !run->lost_reason[0])
                return;
        if (status > HR_EXIT_SIGNAL)
                snprintf(end, sizeof(end), "ended by signal %d (SIG%s)", status - HR_EXIT_SIGNAL,
                        sigabbrev_np(status - HR_EXIT_SIGNAL) ? sigabbrev_np(status - HR_EXIT_SIGNAL) : "RT");
        else
                snprintf(end, sizeof(end), "ended with status %d", status);
        if (run->lost_reason[0]) {
                say(run, HR_STYLE_BOLD, "%s after %s: %s; next time: headroom run with a larger --limit", end,
                        hr_units_format_time(time, hr_clock_usec() - run->start_usec), run->lost_reason);
                return;
        }
        say(run, HR_STYLE_BOLD, "%s after %s; peak %s of %s; it went as far as %s%s", end,
                hr_units_format_time(time, hr_clock_usec() - run->start_usec),
                hr_units_format_bytes(peak, run->peak_bytes),
                run->limit_bytes == HR_BYTES_NONE ? "no limit"
                                                  : hr_units_format_bytes(limit, run->limit_bytes),
                hr_stage_name(run->furthest),
                run->interrupted && status == 0 ? "; its result may be half done, so the status is 75" : "");
}

/* For its record: only its parent knows. Without a daemon it stays unknown; one that has just come back is
 * told. */
static void tell_end(struct run *run, int status, int by)
{
        if (!run->watched || !run->socket)
                return;
        if (run->lost) {
                run->call = hr_call_free(run->call);
                (void)hr_call_connect(run->socket, GREET_USEC, &run->call, NULL);
        }
        if (!run->call)
                return;
        hr_call_set_wait(run->call, LAST_WORD_USEC);
        (void)hr_call_ended(run->call, run->job, status, by);
}

static int finish(struct run *run)
{
        int by = WIFSIGNALED(run->child.wait_status) ? WTERMSIG(run->child.wait_status) : 0;
        int status = by > 0 ? HR_EXIT_SIGNAL + by : WEXITSTATUS(run->child.wait_status);

        hr_signals_take_terminal_back(&run->signals);
        if (run->child.failed) {
                status = hr_child_say_failure(&run->child, run->name, run->job);
                tell_end(run, status, 0);
                return status;
        }
        if (run->watched)
                hear_last_word(run);
        tell_end(run, by > 0 ? -1 : status, by);
        say_summary(run, status);
        if (run->retry_bytes > 0)
                start_again(run);
        if (status == 0 && run->interrupted)
                return HR_EXIT_INTERRUPTED;
        if ((by == SIGINT || by == SIGQUIT) && run->signals.from_terminal[by]) {
                run_done(run); /* no clean-up runs after this */
                hr_signals_die(by);
        }
        return status;
}

static int detach(struct run *run)
{
        bool goes = hr_child_output_goes(STDOUT_FILENO) || hr_child_output_goes(STDERR_FILENO);

        hr_child_hear(&run->child);
        if (run->child.failed)
                return hr_child_say_failure(&run->child, run->name, run->job);
        if (hr_options_has(run->o, HR_OPTION_JSON))
                printf("[\n{\"job\": \"%s\"}\n]\n", run->job);
        else
                puts(run->job);
        if (goes && isatty(STDERR_FILENO))
                say(run, HR_STYLE_PLAIN, "runs by itself, its output goes to ./headroom-%s.log", run->job);
        return HR_EXIT_DONE;
}

/* From here on for the job's exit status alone. */
static void keep(struct run *run, int keeper_fd)
{
        char job[HR_CHILD_ID_MAX];
        _free_ char *socket = realpath(run->socket, NULL); /* it leaves its directory */
        pid_t pid = run->child.pid;

        memcpy(job, run->job, sizeof(job));
        hr_keeper_report(keeper_fd, HR_EXIT_DONE);
        sigprocmask(SIG_SETMASK, &run->signals.before.mask, NULL); /* a shutdown ends it as anything else */
        run_done(run);
        if (socket)
                hr_keeper_stay(pid, job, socket);
}

/* Gives away what belongs to the job alone, so that its pipes end when the job ends or closes them. */
static void let_go_of_pipes(void)
{
        _close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                return; /* the job's readers see the end of file when the client ends: late, not wrong */
        dup2(fd, STDIN_FILENO);
        dup2(fd, STDOUT_FILENO);
}

static int make_loop(struct run *run)
{
        int r;

        r = sd_event_new(&run->loop);
        if (r >= 0)
                r = hr_signals_attach(&run->signals, run->loop);
        if (r >= 0)
                r = sd_event_add_io(run->loop, NULL, run->child.exec_fd, EPOLLIN, on_exec, run);
        if (r >= 0)
                r = sd_event_add_time(run->loop, &run->retry, CLOCK_MONOTONIC, 0, 0, on_retry, run);
        if (r >= 0)
                r = sd_event_source_set_enabled(run->retry, SD_EVENT_OFF);
        return MIN(r, 0);
}

/* From the start of the job to its end. */
static int accompany(struct run *run)
{
        int r;

        run->signals.child = &run->child;
        run->signals.is_held = on_ctrl_z;
        run->signals.continued = on_continued;
        run->signals.unsent = on_unsent;
        run->signals.userdata = run;
        r = make_loop(run);
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: %s", run->name, strerror(-r));
                return HR_EXIT_NOT_STARTED; /* the pipe closes, and the child ends by itself */
        }
        if (run->watched && hr_call_follow(run->call, run->loop, run->job, 0, 0, on_event, on_lost, run) != 0)
                say(run, HR_STYLE_BOLD, "its warnings can't be shown here: %s; headroom events --follow",
                        hr_call_message(run->call));
        hr_child_go(&run->child, run->job);
        let_go_of_pipes();
        while (!run->child.ended) {
                bool waiting = run->child.exec_fd >= 0;

                r = sd_event_run(run->loop, UINT64_MAX);
                if (r < 0)
                        break;
                if (waiting && run->child.exec_fd < 0 && !run->child.failed)
                        greet_person(run);
        }
        if (!run->child.ended) { /* the loop broke down: what is left to do is to wait */
                say(run, HR_STYLE_BOLD,
                        "its warnings can't be shown any longer: %s; headroom events --follow", strerror(-r));
                while (waitpid(run->child.pid, &run->child.wait_status, 0) < 0 && errno == EINTR)
                        ;
                run->child.ended = true;
        }
        if (run->child.exec_fd >= 0)
                hr_child_hear(&run->child); /* it ended before this was read */
        return finish(run);
}

static bool is_auto(const struct hr_options *o)
{
        return o->value[HR_OPTION_LIMIT] && strcmp(o->value[HR_OPTION_LIMIT], "auto") == 0;
}

/* Words that can be judged before anything is begun. */
static int check_words(struct run *run, struct hr_options *o)
{
        const char *method = o->value[HR_OPTION_CHECKPOINT];
        struct hr_checkpoint_method parsed;
        int r;

        r = hr_verbs_check_name(o->value[HR_OPTION_NAME]);
        if (r != 0)
                return r;
        if (method)
                r = hr_config_parse_method(method, &parsed);
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN,
                        "checkpoint %s can't be used%s: write channel, signal:USR1, signal:B:USR1, "
                        "hook:/path or none",
                        method, r == -EOPNOTSUPP ? " yet" : "");
                return HR_EXIT_USAGE;
        }
        if (is_auto(o)) { /* by the record, which the daemon has */
                o->has_limit = false;
        } else if (hr_options_has(o, HR_OPTION_LIMIT)) {
                r = is_greeted(run) /* the greeting echoes it */
                            ? hr_options_read_size("limit", o->value[HR_OPTION_LIMIT], &o->limit_bytes)
                            : hr_options_parse_size("limit", o->value[HR_OPTION_LIMIT], &o->limit_bytes);
                if (r != 0)
                        return r;
                o->has_limit = true;
        }
        if (o->value[HR_OPTION_NAME])
                snprintf(run->name, sizeof(run->name), "%s", o->value[HR_OPTION_NAME]);
        else
                hr_name_derive(run->name, run->child.command);
        snprintf(run->label, sizeof(run->label), "%s", run->name);
        return 0;
}

/* The daemon, or with --unwatched none. 0 or HR_EXIT_NOT_STARTED. */
static int find_daemon(struct run *run)
{
        _free_ char *tried = NULL;

        if (hr_call_connect(run->o->value[HR_OPTION_SOCKET], CONNECT_USEC, &run->call, &tried) == 0) {
                run->socket = strdup(hr_call_socket(run->call));
                return 0;
        }
        if (hr_options_has(run->o, HR_OPTION_UNWATCHED)) {
                say(run, HR_STYLE_BOLD, "nobody watches it: no daemon is reachable (tried %s)",
                        tried ? tried : "its sockets");
                return 0;
        }
        hr_call_say_unreachable(tried, ",\nor let nobody watch it: headroom run --unwatched -- COMMAND");
        return HR_EXIT_NOT_STARTED;
}

/* --limit auto: what past runs of it have used. 0 or HR_EXIT_NOT_STARTED, said. */
static int find_limit(struct run *run, struct hr_options *o)
{
        HR_CLEANUP(hr_call_advice_done) struct hr_call_advice advice = {0};
        char why[300], limit[HR_TEXT_SIZE_MAX];
        int r;

        if (!is_auto(o))
                return 0;
        r = run->call ? hr_advise_ask(run->call, run->name, run->child.command, &advice)
                      : HR_EXIT_UNREACHABLE;
        if (r == HR_EXIT_NO_JOB)
                hr_output_say(HR_STYLE_PLAIN,
                        "%s is not started: limit auto has nothing to go by, for no run of it is on record\n"
                        "give it a limit this time: headroom run --limit 8G -- COMMAND",
                        run->name);
        else if (r != 0)
                hr_output_say(HR_STYLE_PLAIN,
                        "%s is not started: limit auto can't be found: %s\n"
                        "give it a limit: headroom run --limit 8G -- COMMAND",
                        run->name, run->call ? hr_call_message(run->call) : "the record is the daemon's");
        if (r != 0)
                return HR_EXIT_NOT_STARTED;
        o->has_limit = true;
        o->limit_bytes = advice.limit_bytes;
        hr_advise_describe(&advice, why, sizeof(why));
        hr_output_say(
                HR_STYLE_PLAIN, "limit auto = %s: %s", hr_units_format_bytes(limit, o->limit_bytes), why);
        return 0;
}

/* keeper_fd: where to report what a detached job's `run` exits with, and then to stay; -1: there is no
 * keeper, or it has stayed. */
static int run_job(const struct hr_options *given, int *keeper_fd)
{
        struct hr_options o = *given;
        HR_CLEANUP(run_done)
        struct run run = {.o = &o,
                .child = HR_CHILD_INIT,
                .signals = HR_SIGNALS_INIT,
                .limit_bytes = HR_BYTES_NONE,
                .kept_fds = {-1, -1},
                .start_usec = hr_clock_usec()};
        bool no_interrupts;
        int r;

        run.child.command = o.arguments;
        run.child.detached = hr_options_has(&o, HR_OPTION_DETACH);
        run.child.logs = run.child.detached && o.retried > 0;
        r = check_words(&run, &o);
        if (r == 0)
                r = find_daemon(&run);
        if (r == 0)
                r = find_limit(&run, &o);
        if (r != 0)
                return r;
        no_interrupts = hr_signals_take(&run.signals);
        if (!run.child.detached) {
                run.child.own_group = no_interrupts;
                hr_signals_witness(&run.signals);
        }
        if (run.call && hr_saved_new(run.child.command, &run.start) < 0)
                run.start = NULL;
        if (run.call)
                hr_environment_set(
                        run.socket ? run.socket : "", !hr_options_has(&o, HR_OPTION_NO_PYTHON_HOOK));
        r = hr_child_fork(&run.child, &run.signals.before);
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: %s", run.name, strerror(-r));
                return HR_EXIT_NOT_STARTED;
        }
        if (run.call)
                r = register_job(&run);
        else
                snprintf(run.job, sizeof(run.job), "%d", (int)run.child.pid);
        if (r != 0)
                return r; /* the pipe closes, and the child ends by itself */
        if (run.child.detached) {
                hr_child_go(&run.child, run.job);
                r = detach(&run);
                if (r == 0 && run.watched && *keeper_fd >= 0)
                        keep(&run, TAKE_FD(*keeper_fd));
                return r;
        }
        return accompany(&run);
}

int hr_run(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        int keeper_fd = -1, status;

        if (hr_options_has(o, HR_OPTION_DETACH) && !hr_keeper_begin(&keeper_fd, &status))
                return status;
        status = run_job(o, &keeper_fd);
        if (keeper_fd >= 0)
                hr_keeper_report(keeper_fd, status);
        return status;
}
