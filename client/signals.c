/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signals.h"

/*
 * Job and client share a process group, so the terminal's own signals (SI_KERNEL) reach the job without us.
 * What is sent to the client alone is passed on; what is sent to the whole group has reached the job already,
 * and a second SIGINT would break its `finally`. The two look alike, so a *witness*, a child in the same
 * group that does nothing else, reports which signals it got: what it got as well was for all. Where SIGINT
 * came ignored, the job has a group of its own, and what is for the group is passed on to that group.
 *
 * Stopping: the client ignores ctrl-Z and instead stops as the job stops, in the same way, so that a job
 * which does not stop does not leave a stopped client. Not with a SIGSTOP, though: that may be the daemon's
 * hold. A held job can't stop: there the client stops alone, so that the shell has its terminal back, and the
 * job's own ctrl-Z waits for it until it goes on, or until fg takes it back.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "fd.h"
#include "think/parse.h"

#define WITNESS_USEC (100 * HR_USEC_PER_MSEC) /* how long the witness is waited for; chosen, not tuned */
#define STOP_USEC HR_USEC_PER_SEC             /* a stop or a hold this soon after ctrl-Z is its answer */

/* Those that are passed on, besides the real-time ones. SIGTTIN and SIGTTOU are the terminal's; they are
 * taken so that the client stops only as the job stops. */
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGTSTP,
        SIGTTIN, SIGTTOU, SIGPWR};

bool hr_signals_take(struct hr_signals *s)
{
        struct sigaction action = {.sa_handler = SIG_IGN}, interrupt;

        sigemptyset(&s->taken);
        sigaddset(&s->taken, SIGCHLD);
        for (size_t i = 0; i < ELEMENTSOF(passed_on); i++)
                sigaddset(&s->taken, passed_on[i]);
        for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
                sigaddset(&s->taken, number);
        sigprocmask(SIG_BLOCK, &s->taken, &s->before.mask);
        sigaction(SIGPIPE, &action, &s->before.pipe);
        action.sa_handler = SIG_DFL; /* inherited as ignored, it would take the job's status away */
        sigaction(SIGCHLD, &action, &s->before.child);
        sigaction(SIGINT, NULL, &interrupt);
        return interrupt.sa_handler == SIG_IGN;
}

void hr_signals_give_back(const struct hr_signals_before *before, bool interrupts)
{
        static const int to_reset[] = {SIGINT, SIGQUIT};

        sigaction(SIGPIPE, &before->pipe, NULL);
        sigaction(SIGCHLD, &before->child, NULL);
        for (size_t i = 0; interrupts && i < ELEMENTSOF(to_reset); i++)
                signal(to_reset[i], SIG_DFL);
        signal(SIGHUP, SIG_IGN);
        sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

void hr_signals_done(struct hr_signals *s)
{
        s->forward = sd_event_source_unref(s->forward);
        s->fd = hr_close(s->fd);
        s->witness_fd = hr_close(s->witness_fd);
        s->tty_fd = hr_close(s->tty_fd);
        if (s->witness > 0) {
                kill(s->witness, SIGKILL); /* our own child, not yet waited for */
                waitpid(TAKE_VALUE(s->witness), NULL, 0);
        }
}

/* ---- the witness ---- */

static void __attribute__((noreturn)) be_the_witness(int out_fd, const sigset_t *signals, pid_t parent)
{
        struct signalfd_siginfo info;
        int fd;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, HR_WITNESS_NAME);
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

void hr_signals_witness(struct hr_signals *s)
{
        pid_t parent = getpid();
        int fds[2];

        s->tty_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY); /* -1: there is none */
        s->foreground = s->tty_fd >= 0 && tcgetpgrp(s->tty_fd) == getpgrp();
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return; /* every signal that was sent is passed on */
        s->witness = fork();
        if (s->witness == 0)
                be_the_witness(fds[1], &s->taken, parent);
        s->witness = MAX(s->witness, 0);
        hr_close(fds[1]);
        s->witness_fd = fds[0];
}

/* ---- stopping ---- */

/* So that the shell sees it; goes on when the shell says so. */
static void stop_by(struct hr_signals *s, int number)
{
        struct sigaction stop = {.sa_handler = SIG_DFL}, before;
        sigset_t set;

        s->ctrl_z_usec = 0;
        sigemptyset(&set);
        sigaddset(&set, number);
        sigaction(number, &stop, &before);
        raise(number);
        /* Stops here; where no shell would continue us, the kernel lets it be. */
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        sigprocmask(SIG_BLOCK, &set, NULL);
        sigaction(number, &before, NULL);
}

static bool ctrl_z_came_lately(const struct hr_signals *s)
{
        return s->ctrl_z_usec > 0 && hr_clock_usec() - s->ctrl_z_usec < STOP_USEC;
}

static void stop_as_the_job(struct hr_signals *s, int number)
{
        if (number == SIGSTOP && ctrl_z_came_lately(s))
                number = SIGTSTP;
        if (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU)
                stop_by(s, number);
}

void hr_signals_held(struct hr_signals *s)
{
        if (ctrl_z_came_lately(s) && s->is_held(s->userdata))
                stop_by(s, SIGTSTP);
}

/* ---- passing on ---- */

static void send_signal(struct hr_signals *s, pid_t to, int number)
{
        if (!s->child->ended && kill(to, number) < 0 && errno != ESRCH)
                s->unsent(number, errno, s->userdata);
}

/* The job has it, by us or without us: what follows for the client. */
static void after(struct hr_signals *s, int number)
{
        if (number == SIGCONT)
                s->continued(s->userdata);
        if (number != SIGTSTP)
                return;
        s->ctrl_z_usec = hr_clock_usec();
        hr_signals_held(s);
}

static void pass_on(struct hr_signals *s, int number)
{
        send_signal(s, s->child->pid, number);
        after(s, number);
}

/* For the whole group: it has reached the job, unless that has a group of its own. */
static void was_for_all(struct hr_signals *s, int number)
{
        s->due_usec[number] = 0;
        s->witnessed_usec[number] = 0;
        s->from_terminal[number] = true;
        if (s->child->own_group)
                send_signal(s, -s->child->pid, number);
        after(s, number);
}

static void arm_forward(struct hr_signals *s)
{
        uint64_t next = UINT64_MAX;

        for (int number = 1; number < HR_SIGNALS_COUNT; number++)
                if (s->due_usec[number] > 0)
                        next = MIN(next, s->due_usec[number]);
        if (next == UINT64_MAX)
                return;
        sd_event_source_set_time(s->forward, next); /* can't fail on a timer that exists */
        sd_event_source_set_enabled(s->forward, SD_EVENT_ONESHOT);
}

static int on_forward(sd_event_source *source HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_signals *s = userdata;
        uint64_t now = hr_clock_usec();

        for (int number = 1; number < HR_SIGNALS_COUNT; number++) {
                if (s->due_usec[number] == 0 || s->due_usec[number] > now)
                        continue;
                s->due_usec[number] = 0;
                pass_on(s, number);
        }
        arm_forward(s);
        return 0;
}

static void take_signal(struct hr_signals *s, const struct signalfd_siginfo *info)
{
        int number = (int)info->ssi_signo;
        uint64_t now = hr_clock_usec();

        if (info->ssi_code == SI_KERNEL) { /* the terminal's */
                s->from_terminal[number] = true;
                if (number == SIGTSTP && s->child->own_group)
                        send_signal(s, -s->child->pid, number);
                after(s, number);
                return;
        }
        if ((pid_t)info->ssi_pid == s->child->pid)
                return; /* the job's own: to its group, or to whom it takes for its shell */
        if (s->witness == 0) {
                pass_on(s, number);
        } else if (now - MIN(now, s->witnessed_usec[number]) < WITNESS_USEC) {
                was_for_all(s, number);
        } else {
                s->due_usec[number] = now + WITNESS_USEC;
                arm_forward(s);
        }
}

static int on_witness(sd_event_source *source, int fd, uint32_t events HR_UNUSED, void *userdata)
{
        struct hr_signals *s = userdata;
        unsigned char number;
        ssize_t n;

        while ((n = read(fd, &number, 1)) == 1) {
                if (number >= HR_SIGNALS_COUNT)
                        continue;
                s->witnessed_usec[number] = hr_clock_usec();
                if (s->due_usec[number] > 0)
                        was_for_all(s, number);
        }
        if (n == 0) { /* it was killed: on_signal waits for it */
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
                on_forward(NULL, 0, s);
        }
        return 0;
}

static void reap(struct hr_signals *s)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
                if (pid == s->child->pid && WIFSTOPPED(status)) {
                        stop_as_the_job(s, WSTOPSIG(status));
                } else if (pid == s->child->pid) {
                        s->child->wait_status = status;
                        s->child->ended = true;
                } else if (pid == s->witness && !WIFSTOPPED(status)) {
                        s->witness = 0;
                } /* else a descendant of the job that came to us as its subreaper */
        }
}

static int on_signal(sd_event_source *source HR_UNUSED, int fd, uint32_t events HR_UNUSED, void *userdata)
{
        struct signalfd_siginfo info;
        struct hr_signals *s = userdata;

        while (read(fd, &info, sizeof(info)) == sizeof(info)) {
                if (info.ssi_signo == SIGCHLD)
                        reap(s);
                else if (info.ssi_signo < HR_SIGNALS_COUNT)
                        take_signal(s, &info);
        }
        return 0;
}

int hr_signals_attach(struct hr_signals *s, sd_event *loop)
{
        int r;

        s->fd = signalfd(-1, &s->taken, SFD_CLOEXEC | SFD_NONBLOCK);
        if (s->fd < 0)
                return -errno;
        r = sd_event_add_io(loop, NULL, s->fd, EPOLLIN, on_signal, s);
        if (r >= 0 && s->witness_fd >= 0)
                r = sd_event_add_io(loop, NULL, s->witness_fd, EPOLLIN, on_witness, s);
        if (r >= 0)
                r = sd_event_add_time(loop, &s->forward, CLOCK_MONOTONIC, 0, 1, on_forward, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->forward, SD_EVENT_OFF);
        return MIN(r, 0);
}

/* ---- the end ---- */

void hr_signals_take_terminal_back(struct hr_signals *s)
{
        pid_t group;

        if (s->tty_fd < 0 || !s->foreground)
                return;
        group = tcgetpgrp(s->tty_fd);
        if (group > 0 && group != getpgrp() && kill(-group, 0) < 0 && errno == ESRCH)
                tcsetpgrp(s->tty_fd, getpgrp()); /* SIGTTOU is blocked; of a terminal that hung up it fails */
}

void hr_signals_die(int number)
{
        struct rlimit none = {0, 0};
        sigset_t set;

        setrlimit(RLIMIT_CORE, &none);
        signal(number, SIG_DFL);
        sigemptyset(&set);
        sigaddset(&set, number);
        raise(number);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
}
