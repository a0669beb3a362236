/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run.h"

/*
 * The client forks the job itself, so that it keeps its terminal, environment, directory and limits. The
 * child waits on a pipe until the daemon has placed and registered it, so that nothing it does is charged
 * elsewhere, then execs; errors of exec come back over a pipe that exec closes. From then on the client is a
 * bystander: it passes signals on, prints what the daemon tells of the job, and ends with the job's own
 * status. It gives its own stdin and stdout away, so that it never keeps a pipe open that the job has closed.
 *
 * Signals. Job and client share a process group, so the terminal's own (SI_KERNEL) reach the job without us.
 * What is sent to the client alone is passed on; what is sent to the whole group has reached the job already,
 * and a second SIGINT would break its `finally`. The two look alike, so a *witness*, a child in the same
 * group that does nothing else, reports which signals it got: what it got as well was for all. Where SIGINT
 * came ignored (`cmd &` in a script), the job gets a group of its own, and what is for the group is passed on
 * to that group. Stopping: the client ignores ctrl-Z and instead stops as the job stops, in the same way, so
 * that a job which does not stop does not leave a stopped client. Not with a SIGSTOP, though: that may be the
 * daemon's hold.
 *
 * The daemon may vanish: said once, tried again each second, and the job goes on. The terminal may vanish:
 * then the client goes on mute, and follows without claiming to show events, so that the daemon tells the
 * owner elsewhere.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "call.h"
#include "exit.h"
#include "fd.h"
#include "output.h"
#include "think/config.h"
#include "think/units.h"

#define WITNESS_USEC (100 * HR_USEC_PER_MSEC) /* how long the witness is waited for; chosen, not tuned */
#define STOP_USEC HR_USEC_PER_SEC             /* a SIGSTOP this soon after ctrl-Z is the job's answer to it */
#define RETRY_USEC HR_USEC_PER_SEC
#define GREET_USEC (500 * HR_USEC_PER_MSEC)     /* at a retry: meanwhile no signal is passed on */
#define LAST_WORD_USEC (300 * HR_USEC_PER_MSEC) /* for the daemon's last event once the job is gone */
#define COMMAND_MAX 4096                        /* of the command line that goes into the record */
#define SIGNALS (64 + 1)

enum failure_step { FAILED_EXEC, FAILED_LOG, FAILED_INPUT };
struct failure { /* from the child, over the pipe that exec closes */
        enum failure_step step;
        int error;
};

struct run {
        const struct hr_options *o;
        char **command;
        char name[HR_NAME_MAX];
        char job[32];                 /* its id, or its pid where nobody watches it */
        char label[HR_NAME_MAX + 40]; /* "j17 (analyse)" */
        bool watched;
        bool own_group; /* the job has a process group of its own */
        bool detached;
        bool muted; /* nobody reads stderr any more */

        pid_t child;
        int wait_status;
        bool ended;
        int exec_fd; /* the failure, or the end of file once the job runs; -1 after that */
        bool failed;
        struct failure failure;
        int go_fd;

        sigset_t signals, inherited_mask;
        struct sigaction inherited_pipe, inherited_child;
        int signal_fd, witness_fd;
        pid_t witness;              /* 0: none */
        uint64_t due_usec[SIGNALS]; /* passed on then, unless the witness got it as well; 0: not waiting */
        uint64_t witnessed_usec[SIGNALS]; /* when the witness last got it */
        bool from_terminal[SIGNALS];
        uint64_t ctrl_z_usec;
        int tty_fd;
        bool foreground; /* our group had the terminal at the start */

        sd_event *loop;
        sd_event_source *forward, *retry;
        struct hr_call *call;  /* NULL: not connected */
        char *socket;          /* where the daemon was found */
        bool lost;             /* the daemon is gone, and it was said */
        bool last_word;        /* the event "end" has come */
        char lost_reason[240]; /* of the end, if the kernel killed it */
        bool interrupted;
        enum hr_stage furthest;
        uint64_t last_event_usec, peak_bytes, limit_bytes, start_usec;
};

static uint64_t clock_usec(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (uint64_t)ts.tv_sec * HR_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t now_usec(void)
{
        return clock_usec(CLOCK_MONOTONIC);
}

static void run_done(struct run *run)
{
        run->call = hr_call_free(run->call);
        free(TAKE_PTR(run->socket));
        run->forward = sd_event_source_unref(run->forward);
        run->retry = sd_event_source_unref(run->retry);
        run->loop = sd_event_unref(run->loop);
        run->signal_fd = hr_close(run->signal_fd);
        run->witness_fd = hr_close(run->witness_fd);
        run->exec_fd = hr_close(run->exec_fd);
        run->go_fd = hr_close(run->go_fd);
        run->tty_fd = hr_close(run->tty_fd);
        if (run->witness > 0) {
                kill(run->witness, SIGKILL); /* our own child, not yet waited for */
                waitpid(run->witness, NULL, 0);
                run->witness = 0;
        }
}

/* ---- the name ---- */

/* Programs that run a script, which says more than they do. */
static const struct {
        const char *name;       /* versions may follow: python3.11 */
        const char *with_value; /* options that take the next word */
        const char *code;       /* options that bring the code along: then there is no script */
        char module;            /* an option that names the script otherwise; 0: none */
} interpreters[] = {
        {"python", "WX", "c", 'm'},
        {"pypy", "WX", "c", 'm'},
        {"Rscript", "", "e", 0},
        {"bash", "Oo", "c", 0},
        {"dash", "o", "c", 0},
        {"sh", "o", "c", 0},
        {"perl", "I", "eE", 0},
        {"ruby", "I", "e", 0},
        {"node", "r", "ep", 0},
        {"julia", "L", "eE", 0},
};

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash && slash[1] ? slash + 1 : path;
}

/* The word of command that names it best; *ret_stem: its ending is to go. */
static const char *naming_word(char *const *command, bool *ret_stem)
{
        const char *base = base_name(command[0]);
        size_t k = 0, i;

        *ret_stem = false;
        for (; k < ELEMENTSOF(interpreters); k++) {
                size_t n = strlen(interpreters[k].name);

                if (strncmp(base, interpreters[k].name, n) == 0 &&
                        strspn(base + n, "0123456789.") == strlen(base + n))
                        break;
        }
        if (k == ELEMENTSOF(interpreters))
                return base;
        for (i = 1; command[i] && command[i][0] == '-' && command[i][1]; i++) {
                const char *letters = command[i] + 1, last = letters[strlen(letters) - 1];

                if (letters[0] == '-')
                        continue;
                if (strpbrk(letters, interpreters[k].code))
                        return base;
                if (interpreters[k].module && last == interpreters[k].module)
                        return command[i + 1] ? command[i + 1] : base;
                if (strchr(interpreters[k].with_value, last) && command[i + 1])
                        i++;
        }
        if (!command[i] || strcmp(command[i], "-") == 0)
                return base;
        *ret_stem = true;
        return base_name(command[i]);
}

char *hr_run_name(char *buf, char *const *command)
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        static const char others[] = "0123456789._-@";
        const char *word, *dot;
        size_t n = 0, size;
        bool stem;

        word = naming_word(command, &stem);
        size = strlen(word);
        dot = strrchr(word, '.');
        if (stem && dot && dot > word)
                size = (size_t)(dot - word);
        if (size == 0 || !strchr(letters, word[0]))
                n = (size_t)snprintf(buf, HR_NAME_MAX, "job-");
        for (size_t i = 0; i < size && n + 1 < HR_NAME_MAX; i++)
                buf[n++] = strchr(letters, word[i]) || strchr(others, word[i]) ? word[i] : '_';
        buf[n] = '\0';
        if (hr_units_check_name(buf) < 0) { /* "j17": a program may be called so */
                memmove(buf + 4, buf, MIN(n + 1, (size_t)HR_NAME_MAX - 4));
                memcpy(buf, "job-", 4);
                buf[HR_NAME_MAX - 1] = '\0';
        }
        return buf;
}

/* ---- messages ---- */

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

/* ---- the child ---- */

/* The id comes as a line: then the job may begin. Without it the client has gone, or was refused. */
static bool wait_for_go(int go_fd, char *job, size_t size)
{
        size_t n = 0;

        while (n + 1 < size) {
                ssize_t got = read(go_fd, job + n, 1);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got != 1)
                        return false;
                if (job[n] == '\n')
                        break;
                n++;
        }
        job[n] = '\0';
        return true;
}

static bool is_terminal_or_pipe(int fd)
{
        struct stat st;

        return isatty(fd) || (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode));
}

/*
 * Detached: input from /dev/null, and output that goes to a terminal into a file. A pipe counts as a
 * terminal: id=$(headroom run --detach ...) would otherwise wait for the job.
 */
static bool redirect(const char *job, struct failure *ret)
{
        char path[64];
        _close_ int null_fd = -1, log_fd = -1;

        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0) {
                *ret = (struct failure){FAILED_INPUT, errno};
                return false;
        }
        if (!is_terminal_or_pipe(STDOUT_FILENO) && !is_terminal_or_pipe(STDERR_FILENO))
                return true;
        snprintf(path, sizeof(path), "headroom-%s.log", job);
        log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (log_fd < 0) {
                *ret = (struct failure){FAILED_LOG, errno};
                return false;
        }
        for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
                if (is_terminal_or_pipe(fd))
                        dup2(log_fd, fd); /* of two valid descriptors: can't fail */
        return true;
}

static void restore_signals(const struct run *run)
{
        static const int to_reset[] = {SIGINT, SIGQUIT};

        sigaction(SIGPIPE, &run->inherited_pipe, NULL);
        sigaction(SIGCHLD, &run->inherited_child, NULL);
        for (size_t i = 0; (run->own_group || run->detached) && i < ELEMENTSOF(to_reset); i++)
                signal(to_reset[i], SIG_DFL);
        signal(SIGHUP, SIG_IGN);
        sigprocmask(SIG_SETMASK, &run->inherited_mask, NULL);
}

static void __attribute__((noreturn)) be_the_job(const struct run *run, int go_fd, int exec_fd)
{
        struct failure failure = {0};
        char job[sizeof(run->job)];
        ssize_t n HR_UNUSED;

        if (run->detached)
                setsid(); /* a child that was just forked leads no group: can't fail */
        else if (run->own_group)
                setpgid(0, 0);
        restore_signals(run); /* before the wait, so that ctrl-C ends it */
        if (!wait_for_go(go_fd, job, sizeof(job)))
                _exit(HR_EXIT_NOT_STARTED);
        if (!run->detached || redirect(job, &failure)) {
                execvp(run->command[0], run->command);
                failure = (struct failure){FAILED_EXEC, errno};
        }
        n = write(exec_fd, &failure, sizeof(failure)); /* nobody left to tell where it fails */
        _exit(failure.step == FAILED_EXEC && failure.error == ENOENT ? HR_EXIT_NOT_FOUND
                                                                     : HR_EXIT_NOT_EXECUTABLE);
}

static int fork_job(struct run *run)
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
        run->child = fork();
        if (run->child == 0) {
                hr_close(go[1]);
                hr_close(exec[0]);
                be_the_job(run, go[0], exec[1]);
        }
        run->go_fd = go[1];
        run->exec_fd = exec[0];
        hr_close(go[0]);
        hr_close(exec[1]);
        if (run->child < 0)
                return -errno;
        if (run->own_group)
                setpgid(run->child, run->child); /* whoever comes first; the other's fails */
        return 0;
}

/* ---- the witness ---- */

static void __attribute__((noreturn)) be_the_witness(int out_fd, const sigset_t *signals, pid_t parent)
{
        struct signalfd_siginfo info;
        int fd;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "headroom-group");
        fd = signalfd(-1, signals, SFD_CLOEXEC);
        /* Keeps nothing open that is the job's: neither pipes nor the terminal. */
        if (getppid() != parent || fd < 0 || dup2(out_fd, 1) < 0 || dup2(fd, 0) < 0)
                _exit(0);
        close_range(2, ~0U, 0);
        while (read(0, &info, sizeof(info)) == sizeof(info)) {
                unsigned char number = (unsigned char)info.ssi_signo;

                if (info.ssi_code != SI_KERNEL && info.ssi_signo != SIGCHLD && write(1, &number, 1) != 1)
                        break;
        }
        _exit(0);
}

/* Without one every signal that was sent is passed on. */
static void start_witness(struct run *run)
{
        pid_t parent = getpid();
        int fds[2];

        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return;
        run->witness = fork();
        if (run->witness == 0)
                be_the_witness(fds[1], &run->signals, parent);
        run->witness = MAX(run->witness, 0);
        hr_close(fds[1]);
        run->witness_fd = fds[0];
}

/* ---- signals ---- */

/* Those that are passed on, besides the real-time ones. SIGTTIN and SIGTTOU are the terminal's; they are
 * taken so that the client stops only as the job stops. */
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGTSTP,
        SIGTTIN, SIGTTOU, SIGPWR};

static void take_signals(struct run *run)
{
        struct sigaction action = {.sa_handler = SIG_IGN}, interrupt;

        sigemptyset(&run->signals);
        sigaddset(&run->signals, SIGCHLD);
        for (size_t i = 0; i < ELEMENTSOF(passed_on); i++)
                sigaddset(&run->signals, passed_on[i]);
        for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
                sigaddset(&run->signals, number);
        sigprocmask(SIG_BLOCK, &run->signals, &run->inherited_mask);
        sigaction(SIGPIPE, &action, &run->inherited_pipe);
        action.sa_handler = SIG_DFL; /* inherited as ignored, it would take the job's status away */
        sigaction(SIGCHLD, &action, &run->inherited_child);
        sigaction(SIGINT, NULL, &interrupt);
        run->own_group = interrupt.sa_handler == SIG_IGN && !run->detached;
}

static void send_signal(struct run *run, pid_t to, int number)
{
        if (run->ended || kill(to, number) == 0 || errno == ESRCH)
                return;
        say(run, HR_STYLE_PLAIN, "can't pass SIG%s on: %s",
                sigabbrev_np(number) ? sigabbrev_np(number) : "RT", strerror(errno));
}

/* For the whole group: it has reached the job, unless that has a group of its own. */
static void was_for_all(struct run *run, int number)
{
        run->due_usec[number] = 0;
        run->witnessed_usec[number] = 0;
        run->from_terminal[number] = true;
        if (run->own_group)
                send_signal(run, -run->child, number);
}

static void arm_forward(struct run *run)
{
        uint64_t next = UINT64_MAX;

        for (int number = 1; number < SIGNALS; number++)
                if (run->due_usec[number] > 0)
                        next = MIN(next, run->due_usec[number]);
        if (next == UINT64_MAX)
                return;
        sd_event_source_set_time(run->forward, next); /* can't fail on a timer that exists */
        sd_event_source_set_enabled(run->forward, SD_EVENT_ONESHOT);
}

static int on_forward(sd_event_source *source HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct run *run = userdata;
        uint64_t now = now_usec();

        for (int number = 1; number < SIGNALS; number++) {
                if (run->due_usec[number] == 0 || run->due_usec[number] > now)
                        continue;
                run->due_usec[number] = 0;
                send_signal(run, run->child, number);
        }
        arm_forward(run);
        return 0;
}

static void take_signal(struct run *run, const struct signalfd_siginfo *info)
{
        int number = (int)info->ssi_signo;
        uint64_t now = now_usec();

        if (info->ssi_code == SI_KERNEL) { /* the terminal's */
                run->from_terminal[number] = true;
                if (number == SIGTSTP)
                        run->ctrl_z_usec = now;
                if (number == SIGTSTP && run->own_group)
                        send_signal(run, -run->child, number);
                return;
        }
        if ((pid_t)info->ssi_pid == run->child)
                return; /* the job's own: to its group, or to whom it takes for its shell */
        if (run->witness == 0) {
                send_signal(run, run->child, number);
        } else if (now - MIN(now, run->witnessed_usec[number]) < WITNESS_USEC) {
                was_for_all(run, number);
        } else {
                run->due_usec[number] = now + WITNESS_USEC;
                arm_forward(run);
        }
}

static int on_witness(sd_event_source *source, int fd, uint32_t events HR_UNUSED, void *userdata)
{
        struct run *run = userdata;
        unsigned char number;
        ssize_t n;

        while ((n = read(fd, &number, 1)) == 1) {
                if (number >= SIGNALS)
                        continue;
                run->witnessed_usec[number] = now_usec();
                if (run->due_usec[number] > 0)
                        was_for_all(run, number);
        }
        if (n == 0) { /* it was killed: on_signal waits for it */
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
                on_forward(NULL, 0, run);
        }
        return 0;
}

/* Stops as the job stopped, so that the shell sees it, and goes on when the shell says so. */
static void stop_as_well(struct run *run, int number)
{
        struct sigaction stop = {.sa_handler = SIG_DFL}, before;
        sigset_t set;

        if (number == SIGSTOP) {
                if (now_usec() - MIN(now_usec(), run->ctrl_z_usec) > STOP_USEC || run->ctrl_z_usec == 0)
                        return;
                number = SIGTSTP;
        }
        if (number != SIGTSTP && number != SIGTTIN && number != SIGTTOU)
                return;
        sigemptyset(&set);
        sigaddset(&set, number);
        sigaction(number, &stop, &before);
        raise(number);
        sigprocmask(SIG_UNBLOCK, &set,
                NULL); /* stops here; where no shell would continue us, the kernel lets it be */
        sigprocmask(SIG_BLOCK, &set, NULL);
        sigaction(number, &before, NULL);
}

static void reap(struct run *run)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
                if (pid == run->child && WIFSTOPPED(status)) {
                        stop_as_well(run, WSTOPSIG(status));
                } else if (pid == run->child) {
                        run->wait_status = status;
                        run->ended = true;
                } else if (pid == run->witness && !WIFSTOPPED(status)) {
                        run->witness = 0;
                } /* else a descendant of the job that came to us as its subreaper */
        }
}

static int on_signal(sd_event_source *source HR_UNUSED, int fd, uint32_t events HR_UNUSED, void *userdata)
{
        struct signalfd_siginfo info;
        struct run *run = userdata;

        while (read(fd, &info, sizeof(info)) == sizeof(info)) {
                if (info.ssi_signo == SIGCHLD)
                        reap(run);
                else if (info.ssi_signo < SIGNALS)
                        take_signal(run, &info);
        }
        return 0;
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

static void on_event(const struct hr_call_event *event, void *userdata)
{
        struct run *run = userdata;
        int stage = hr_stage_from_name(event->stage);

        if (strcmp(event->job, run->job) != 0)
                return;
        run->last_event_usec = MAX(run->last_event_usec, event->time_usec);
        run->peak_bytes = MAX(run->peak_bytes, event->used_bytes);
        run->limit_bytes = event->limit_bytes;
        if (stage >= 0)
                run->furthest = MAX(run->furthest, (enum hr_stage)stage);
        run->interrupted |= is_interruption(event);
        if (strcmp(event->action, "trim") == 0 && strcmp(event->outcome, "passed over") == 0)
                return; /* nothing happened, and she can do nothing about it: headroom events has it */
        if (strcmp(event->action, "end") == 0) {
                run->last_word = true; /* the summary tells of it */
                if (strcmp(event->outcome, "lost") == 0)
                        snprintf(run->lost_reason, sizeof(run->lost_reason), "%s", event->reason);
                return;
        }
        if (strcmp(event->action, "watch") == 0)
                return; /* the first line told of it */
        say(run, hr_output_stage_style(event->stage), "%s%s%s", event->reason, *event->hint ? "; " : "",
                event->hint);
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
                        (int)run->child, run->name);
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

/* The words of the command, for the record: escaped, and cut at COMMAND_MAX. */
static char *spell_command(char *const *command)
{
        _free_ char *joined = NULL, *escaped = malloc(COMMAND_MAX);
        size_t size = 0;
        FILE *f = open_memstream(&joined, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; command[i] && size < COMMAND_MAX; i++) {
                fprintf(f, "%s%s", i > 0 ? " " : "", command[i]);
                fflush(f); /* sets size */
        }
        if (fclose(f) != 0 || !escaped)
                return NULL;
        hr_units_escape(escaped, COMMAND_MAX, joined);
        return TAKE_PTR(escaped);
}

/* Has the waiting child placed and watched. 0, or an exit status, said. */
static int register_job(struct run *run)
{
        const struct hr_options *o = run->o;
        HR_CLEANUP(hr_call_answer_done) struct hr_call_answer answer = {0};
        _free_ char *command = spell_command(run->command);
        struct hr_call_run request = {
                .pid = run->child,
                .name = run->name,
                .policy = o->value[HR_OPTION_POLICY] ? o->value[HR_OPTION_POLICY] : "",
                .checkpoint = o->value[HR_OPTION_CHECKPOINT] ? o->value[HR_OPTION_CHECKPOINT] : "",
                .command = command ? command : "",
                .has_limit = o->has_limit,
                .fuse = hr_options_has(o, HR_OPTION_FUSE),
                .detached = run->detached,
                .limit_bytes = o->limit_bytes,
        };

        if (hr_call_run(run->call, &request, &answer) != 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: %s", run->name, hr_call_message(run->call));
                return HR_EXIT_NOT_STARTED;
        }
        snprintf(run->job, sizeof(run->job), "%s", answer.job);
        snprintf(run->label, sizeof(run->label), "%s (%s)", run->job, run->name);
        run->watched = true;
        if (*answer.message)
                hr_output_say(HR_STYLE_BOLD, "%s: %s", run->label, answer.message);
        run->last_event_usec = clock_usec(CLOCK_REALTIME);
        if (strcmp(answer.kind, hr_kind_name(HR_KIND_PROCESS)) == 0 && !run->detached)
                prctl(PR_SET_CHILD_SUBREAPER,
                        1); /* what escapes from the tree comes to us, and stays below us */
        return 0;
}

/* ---- beginning and end ---- */

static void greet_person(struct run *run)
{
        HR_CLEANUP(hr_call_list_done) struct hr_call_list list = {0};
        char limit[HR_TEXT_SIZE_MAX];

        if (!isatty(STDERR_FILENO))
                return; /* in a script there is nothing to be said when all is well */
        if (run->call && !run->lost && hr_call_status(run->call, run->job, &list) == 0 && list.count == 1)
                hr_output_say(HR_STYLE_PLAIN, "%s is watched, limit %s, policy %s", run->label,
                        list.jobs->own_limit_bytes == HR_BYTES_NONE
                                ? "none"
                                : hr_units_format_bytes(limit, list.jobs->own_limit_bytes),
                        list.jobs->policy);
}

/* Waits until the job runs, or has said why it can't. */
static void hear_of_exec(struct run *run)
{
        ssize_t n;

        do
                n = read(run->exec_fd, &run->failure, sizeof(run->failure));
        while (n < 0 && errno == EINTR);
        run->failed = n == sizeof(run->failure);
        run->exec_fd = hr_close(run->exec_fd);
}

static int on_exec(sd_event_source *source, int fd HR_UNUSED, uint32_t events HR_UNUSED, void *userdata)
{
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        hear_of_exec(userdata);
        return 0;
}

static int say_failure(const struct run *run)
{
        const char *command = run->command[0], *why = strerror(run->failure.error);

        switch (run->failure.step) {
        case FAILED_LOG:
                hr_output_say(HR_STYLE_PLAIN,
                        "%s is not started: can't write ./headroom-%s.log: %s; send its output elsewhere: > "
                        "FILE 2>&1",
                        run->name, run->job, why);
                return HR_EXIT_NOT_STARTED;
        case FAILED_INPUT:
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: can't open /dev/null: %s", run->name, why);
                return HR_EXIT_NOT_STARTED;
        case FAILED_EXEC:
                break;
        }
        if (run->failure.error == ENOENT) {
                hr_output_say(HR_STYLE_PLAIN, "%s: command not found", command);
                return HR_EXIT_NOT_FOUND;
        }
        hr_output_say(HR_STYLE_PLAIN, "%s: can't be executed: %s", command, why);
        return HR_EXIT_NOT_EXECUTABLE;
}

/* What the daemon knows of the job's end: its peak, and events that are under way. */
static void hear_last_word(struct run *run)
{
        HR_CLEANUP(hr_call_list_done) struct hr_call_list list = {0};
        uint64_t until = now_usec() + LAST_WORD_USEC;

        if (!run->call || run->lost)
                return;
        hr_call_set_wait(run->call, LAST_WORD_USEC);
        if (hr_call_status(run->call, run->job, &list) == 0 && list.count == 1)
                run->peak_bytes = MAX(run->peak_bytes, list.jobs->peak_bytes);
        hr_call_drain(run->call);
        /* A job that was in trouble: its last event comes after all others, an interruption too. */
        while (run->furthest > HR_STAGE_NOTICE && !run->last_word && !run->lost && now_usec() < until)
                if (sd_event_run(run->loop, until - MIN(until, now_usec())) < 0)
                        return;
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
                        hr_units_format_time(time, now_usec() - run->start_usec), run->lost_reason);
                return;
        }
        say(run, HR_STYLE_BOLD, "%s after %s; peak %s of %s; it went as far as %s%s", end,
                hr_units_format_time(time, now_usec() - run->start_usec),
                hr_units_format_bytes(peak, run->peak_bytes),
                run->limit_bytes == HR_BYTES_NONE ? "no limit"
                                                  : hr_units_format_bytes(limit, run->limit_bytes),
                hr_stage_name(run->furthest),
                run->interrupted && status == 0 ? "; its result may be half done, so the status is 75" : "");
}

/* A job that had the terminal and was killed left it to a group that is gone. */
static void restore_terminal(struct run *run)
{
        pid_t group;

        if (run->tty_fd < 0 || !run->foreground)
                return;
        group = tcgetpgrp(run->tty_fd);
        if (group > 0 && group != getpgrp() && kill(-group, 0) < 0 && errno == ESRCH)
                tcsetpgrp(
                        run->tty_fd, getpgrp()); /* SIGTTOU is blocked; of a terminal that hung up it fails */
}

/* Ends by the same ctrl-C that ended the job: a shell goes on with its loop otherwise. */
static void die_like_the_job(struct run *run, int number)
{
        struct rlimit none = {0, 0};
        sigset_t set;

        setrlimit(RLIMIT_CORE, &none);
        run_done(run); /* no clean-up runs after this */
        signal(number, SIG_DFL);
        sigemptyset(&set);
        sigaddset(&set, number);
        raise(number);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int finish(struct run *run)
{
        bool by_signal = WIFSIGNALED(run->wait_status);
        int status = by_signal ? HR_EXIT_SIGNAL + WTERMSIG(run->wait_status) : WEXITSTATUS(run->wait_status);

        restore_terminal(run);
        if (run->failed)
                return say_failure(run);
        if (run->watched)
                hear_last_word(run);
        say_summary(run, status);
        if (status == 0 && run->interrupted)
                return HR_EXIT_INTERRUPTED;
        if (by_signal && (WTERMSIG(run->wait_status) == SIGINT || WTERMSIG(run->wait_status) == SIGQUIT) &&
                run->from_terminal[WTERMSIG(run->wait_status)])
                die_like_the_job(run, WTERMSIG(run->wait_status));
        return status;
}

/* Lets the child begin. */
static void go(struct run *run)
{
        char line[sizeof(run->job) + 1];
        int n;
        ssize_t written HR_UNUSED;

        if (!run->watched)
                snprintf(run->job, sizeof(run->job), "%d", (int)run->child);
        n = snprintf(line, sizeof(line), "%s\n", run->job);
        written = write(
                run->go_fd, line, (size_t)n); /* fails if the child is gone: it is waited for all the same */
        run->go_fd = hr_close(run->go_fd);
}

static int detach(struct run *run)
{
        bool pipes = is_terminal_or_pipe(STDOUT_FILENO) || is_terminal_or_pipe(STDERR_FILENO);

        hear_of_exec(run);
        if (run->failed)
                return say_failure(run);
        if (hr_options_has(run->o, HR_OPTION_JSON))
                printf("[\n{\"job\": \"%s\"}\n]\n", run->job);
        else
                puts(run->job);
        if (pipes && isatty(STDERR_FILENO))
                say(run, HR_STYLE_PLAIN, "runs by itself, its output goes to ./headroom-%s.log", run->job);
        return HR_EXIT_DONE;
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

        run->signal_fd = signalfd(-1, &run->signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (run->signal_fd < 0)
                return -errno;
        r = sd_event_new(&run->loop);
        if (r >= 0)
                r = sd_event_add_io(run->loop, NULL, run->signal_fd, EPOLLIN, on_signal, run);
        if (r >= 0 && run->witness_fd >= 0)
                r = sd_event_add_io(run->loop, NULL, run->witness_fd, EPOLLIN, on_witness, run);
        if (r >= 0)
                r = sd_event_add_io(run->loop, NULL, run->exec_fd, EPOLLIN, on_exec, run);
        if (r >= 0)
                r = sd_event_add_time(run->loop, &run->forward, CLOCK_MONOTONIC, 0, 1, on_forward, run);
        if (r >= 0)
                r = sd_event_source_set_enabled(run->forward, SD_EVENT_OFF);
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

        r = make_loop(run);
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: %s", run->name, strerror(-r));
                return HR_EXIT_NOT_STARTED; /* the pipe closes, and the child ends by itself */
        }
        if (run->watched && hr_call_follow(run->call, run->loop, run->job, 0, 0, on_event, on_lost, run) != 0)
                say(run, HR_STYLE_BOLD, "its warnings can't be shown here: %s; headroom events --follow",
                        hr_call_message(run->call));
        go(run);
        let_go_of_pipes();
        while (!run->ended) {
                bool waiting = run->exec_fd >= 0;

                r = sd_event_run(run->loop, UINT64_MAX);
                if (r < 0)
                        break;
                if (waiting && run->exec_fd < 0 && !run->failed)
                        greet_person(run);
        }
        if (!run->ended) { /* the loop broke down: what is left to do is to wait */
                say(run, HR_STYLE_BOLD,
                        "its warnings can't be shown any longer: %s; headroom events --follow", strerror(-r));
                while (waitpid(run->child, &run->wait_status, 0) < 0 && errno == EINTR)
                        ;
                run->ended = true;
        }
        if (run->exec_fd >= 0)
                hear_of_exec(run); /* it ended before this was read */
        return finish(run);
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
                        "checkpoint %s can't be used%s: write none, signal:USR1, signal:B:USR1 or hook:/path",
                        method, r == -EOPNOTSUPP ? " yet" : "");
                return HR_EXIT_USAGE;
        }
        if (hr_options_has(o, HR_OPTION_LIMIT)) {
                r = hr_options_parse_size("limit", o->value[HR_OPTION_LIMIT], &o->limit_bytes);
                if (r != 0)
                        return r;
                o->has_limit = true;
        }
        if (o->value[HR_OPTION_NAME])
                snprintf(run->name, sizeof(run->name), "%s", o->value[HR_OPTION_NAME]);
        else
                hr_run_name(run->name, run->command);
        snprintf(run->label, sizeof(run->label), "%s", run->name);
        return 0;
}

/* The daemon, or with --unwatched none. 0 or HR_EXIT_NOT_STARTED. */
static int find_daemon(struct run *run)
{
        _free_ char *tried = NULL;

        if (hr_call_connect(run->o->value[HR_OPTION_SOCKET], HR_CALL_WAIT_USEC, &run->call, &tried) == 0) {
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

int hr_run(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *given)
{
        struct hr_options o = *given;
        HR_CLEANUP(run_done)
        struct run run = {.o = &o,
                .command = o.arguments,
                .exec_fd = -1,
                .go_fd = -1,
                .signal_fd = -1,
                .witness_fd = -1,
                .tty_fd = -1,
                .limit_bytes = HR_BYTES_NONE,
                .start_usec = now_usec()};
        int r;

        run.detached = hr_options_has(&o, HR_OPTION_DETACH);
        r = check_words(&run, &o);
        if (r == 0)
                r = find_daemon(&run);
        if (r != 0)
                return r;
        take_signals(&run);
        if (!run.detached) {
                start_witness(&run);
                run.tty_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY); /* -1: there is none */
                run.foreground = run.tty_fd >= 0 && tcgetpgrp(run.tty_fd) == getpgrp();
        }
        r = fork_job(&run);
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "%s is not started: %s", run.name, strerror(-r));
                return HR_EXIT_NOT_STARTED;
        }
        r = run.call ? register_job(&run) : 0;
        if (r != 0)
                return r; /* the pipe closes, and the child ends by itself */
        if (run.detached) {
                go(&run);
                return detach(&run);
        }
        return accompany(&run);
}
