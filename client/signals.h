/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signals and the terminal, which a client shares with its job: what is passed on, and how both stop. */

#include <signal.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "think/macros.h"

#define HR_SIGNALS_COUNT (64 + 1)

struct hr_child;

/* What was in force before hr_signals_take; the job gets it back. */
struct hr_signals_before {
        sigset_t mask;
        struct sigaction pipe, child;
};

struct hr_signals {
        struct hr_signals_before before;
        bool from_terminal[HR_SIGNALS_COUNT]; /* came to the whole group: the job got it without us */

        /* Set by the owner before hr_signals_attach. */
        struct hr_child *child;
        bool (*is_held)(void *userdata);   /* ctrl-Z came: is the job held, so that it can't stop? says so */
        void (*continued)(void *userdata); /* fg or bg */
        void (*unsent)(int number, int error, void *userdata); /* one that could not be passed on */
        void *userdata;

        /* Its own. */
        sigset_t taken;
        int fd, witness_fd;
        pid_t witness;                             /* 0: none */
        uint64_t due_usec[HR_SIGNALS_COUNT];       /* passed on then, unless for all; 0: not waiting */
        uint64_t witnessed_usec[HR_SIGNALS_COUNT]; /* when the witness last got it */
        uint64_t ctrl_z_usec;                      /* 0: none that is not answered */
        sd_event_source *forward;
        int tty_fd;
        bool foreground; /* our group had the terminal at the start */
};
#define HR_SIGNALS_INIT ((struct hr_signals){.fd = -1, .witness_fd = -1, .tty_fd = -1})

/* From now on they wait for hr_signals_attach. Returns whether SIGINT came ignored: `cmd &` in a script. */
bool hr_signals_take(struct hr_signals *s);

/* In the child; `interrupts`: with SIGINT and SIGQUIT as they are by default. SIGHUP is ignored. */
void hr_signals_give_back(const struct hr_signals_before *before, bool interrupts);

/* Before the job is forked: who tells what is for all, and who has the terminal. Either may be missing. */
void hr_signals_witness(struct hr_signals *s);

/* From now on they are handled from the loop, and child->ended tells. 0 or -errno. */
int hr_signals_attach(struct hr_signals *s, sd_event *loop);

/* The job is held from now on: a ctrl-Z that it has not answered is answered by us alone. */
void hr_signals_held(struct hr_signals *s);

/* A job that had the terminal and was killed left it to a group that is gone. */
void hr_signals_take_terminal_back(struct hr_signals *s);

/* Ends by the same ctrl-C that ended the job: a shell goes on with its loop otherwise. Cleans nothing up. */
void hr_signals_die(int number);

void hr_signals_done(struct hr_signals *s);
