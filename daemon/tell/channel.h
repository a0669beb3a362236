/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The jobs' socket: the processes of a job connect to it, are told of pressure, and are asked to trim, to
 * save and to say what holds the memory. Two protocols: systemd's memory-pressure one (a peer that only
 * reads) and headroom/1 (think/talk; headroom-job(7)). The answers of a job's many processes become one.
 *
 * Bus thread only: lives on that thread's sd_event, never blocks, takes no lock. What a peer says is only
 * said: how much a job uses, the daemon measures itself.
 */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "exchange.h"
#include "think/talk.h"

/* Chosen, not tuned. A peer has passed job_of, so that only owners of jobs can use up the first two. */
#define HR_CHANNEL_PEERS_MAX 4096U
#define HR_CHANNEL_PEERS_PER_USER 1024U
#define HR_CHANNEL_PEERS_PER_JOB 128U /* as many processes as one large machine has processors */

enum hr_channel_kind {
        HR_CHANNEL_PEERS,        /* peers came, left, or said what they can do */
        HR_CHANNEL_TRIMMED,      /* to ask_trim: bytes, asked and answered */
        HR_CHANNEL_CHECKPOINTED, /* to ask_checkpoint: all that were asked have saved; text: the path */
        HR_CHANNEL_NEED,         /* while a checkpoint is under way: need_usec; see hr_channel_grant */
        HR_CHANNEL_FAILED,       /* to ask_checkpoint: at least one has not saved; text: why */
        HR_CHANNEL_WHY,          /* to ask_why: holders, garbage_bytes, malloc_bytes */
        HR_CHANNEL_KIND_COUNT,
};

struct hr_channel_holder {
        pid_t pid;
        uint64_t bytes;
        uint64_t count; /* objects; 0: unknown */
        uint64_t line;  /* 0: unknown */
        char name[64];  /* variable; "": unknown; its head if longer */
        char file[192]; /* "": unknown; its tail if longer */
};

/*
 * What is told to the deciding thread. Only the fields of its kind are set, the others are 0 and "". text,
 * name and file are as the process said them, any byte but NUL: escape them where they are shown.
 */
struct hr_channel_answer {
        char job[HR_ID_MAX];
        enum hr_channel_kind kind;

        uint32_t peers_count, plain_count;         /* PEERS: connections; those that have not said hello */
        uint32_t can_count[HR_TALK_REQUEST_COUNT]; /* PEERS: those that said they answer the request */

        uint32_t asked_count, answered_count; /* TRIMMED (asked: plain ones too), CHECKPOINTED, FAILED, WHY */
        uint64_t bytes;                       /* TRIMMED: the sum of what they said */
        uint64_t need_usec;                   /* NEED: the longest that any asks for, from now */
        pid_t pid;                            /* CHECKPOINTED: whose path it is; FAILED: who failed, or 0 */
        char text[HR_TALK_LINE_MAX];

        uint64_t garbage_bytes, malloc_bytes; /* WHY: sums of those that know; HR_BYTES_NONE: none does */
        uint32_t holders_count;               /* WHY: of all processes, largest first */
        struct hr_channel_holder holders[HR_TALK_HOLDERS_MAX];
};

struct hr_channel_options {
        sd_event *event;  /* referenced */
        const char *path; /* copied; its directory exists */
        bool user;        /* a --user daemon: mode 0600, else 0666 */

        /*
         * In which job is the process, and may this user (its effective one when it connected) speak for it?
         * Must not block. 0 and job filled; -ENOENT: in none, or gone; -EPERM: in another user's. Asked when
         * the process connects and again for each answer of it that counts.
         */
        int (*job_of)(void *userdata, pid_t pid, uid_t uid, char job[HR_ID_MAX]);
        /* 0, or negative: nothing is answered. */
        int (*status_of)(void *userdata, const char *job, struct hr_talk_status *ret);
        /* Only from the loop, never from inside a function below; must not call one of those. PEERS and NEED
         * come at most every HR_CHANNEL_NEWS_USEC for a job, with the latest state. */
        void (*answered)(void *userdata, const struct hr_channel_answer *answer);
        /* What the process says unasked: HELLO, MEMORY_ERROR. Also from inside hr_channel_job_gone; must not
         * call the channel. */
        void (*said)(void *userdata, const char *job, pid_t pid, const struct hr_talk *talk);
        void *userdata;
};
#define HR_CHANNEL_NEWS_USEC (100 * HR_USEC_PER_MSEC)

struct hr_channel;

/* -EADDRINUSE: another daemon listens there; -errno. */
int hr_channel_new(const struct hr_channel_options *options, struct hr_channel **ret);
/* Closes all peers, tells nobody, removes the socket. Accepts NULL; returns NULL. */
struct hr_channel *hr_channel_free(struct hr_channel *c);

/* Tells the job's peers of headroom/1 its stage. Returns how many. */
int hr_channel_pressure(struct hr_channel *c, const char *job, enum hr_stage stage);

/*
 * The three requests. Each returns how many peers were asked; above 0, exactly one answer follows unless the
 * job or the channel goes first. 0: nobody to ask; no answer follows. -EALREADY: the same request to this job
 * has not been answered yet; -ENOMEM.
 *
 * ask_trim: plain peers get "trim\n" as well. Answered when all that can have answered or left, or after
 * timeout_usec with what came until then; where only plain peers were asked, which never answer, after
 * timeout_usec.
 */
int hr_channel_ask_trim(struct hr_channel *c, const char *job, uint64_t timeout_usec);
/*
 * ask_checkpoint: all that said `checkpoint` must have saved before deadline_usec (CLOCK_REALTIME): then
 * CHECKPOINTED, with the leader's path if it answered (leader: its pid, or 0), else the first one's. FAILED
 * at once when one says so, is closed or hangs up before its answer (even if it has merely ended: what it
 * held was not saved, and from here that looks the same), else at the deadline. -EUSERS: a process of the job
 * was turned away for want of room, so that nobody could say that all have saved.
 */
int hr_channel_ask_checkpoint(struct hr_channel *c, const char *job, pid_t leader, uint64_t deadline_usec);
/* Moves the deadline of the checkpoint under way, after NEED; without it the old one stands. -ENOENT: none
 * is under way. */
int hr_channel_grant(struct hr_channel *c, const char *job, uint64_t deadline_usec);
/* ask_why: answered as ask_trim is, with what came. */
int hr_channel_ask_why(struct hr_channel *c, const char *job, uint64_t timeout_usec);

/* The job has ended: what its peers said last is read, they are closed, and what was asked of it is not
 * answered. */
void hr_channel_job_gone(struct hr_channel *c, const char *job);

/* Connections turned away, and peers closed for what they did, since the last call; for the journal. */
uint64_t hr_channel_take_refused(struct hr_channel *c);
