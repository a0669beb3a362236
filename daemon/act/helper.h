/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The helper: a process started before it is needed, that does what may block or must not inherit our
 * privileges. Requests and answers are single messages of fixed size on a SOCK_SEQPACKET pair. For each
 * request the helper forks a child, which may hang, crash or wait for the kernel without anybody else waiting
 * for it; one that is past its deadline is killed and answered for.
 *
 * Without systemd the helper also guards held jobs: if the daemon dies without a word, and none is back
 * within 60 s, it releases them.
 */

#include "act/image.h"

enum hr_helper_op {
        HR_HELPER_PLACE,   /* hr_place */
        HR_HELPER_REMOVE,  /* hr_place_remove */
        HR_HELPER_LIMIT,   /* the job's own limit, by its kind */
        HR_HELPER_HIGH,    /* memory.high */
        HR_HELPER_WIRE,    /* v1: a threshold, which waits for a grace period of the kernel; the answer brings
                              its eventfd */
        HR_HELPER_RECLAIM, /* memory.reclaim */
        HR_HELPER_HOOK,    /* a program, as the owner */
        HR_HELPER_PSS,     /* of pids */
        HR_HELPER_MAP,     /* what the memory of pids, or of a cgroup's processes, is */
        HR_HELPER_FILE,    /* when `path` was written last and how large it is, as the owner sees it */
        HR_HELPER_WHO,  /* the names of uid and gid, the cgroup of pid: a directory on the network may let it
                           wait */
        HR_HELPER_EXIT, /* how the main process of placement.unit ended: systemd is given two seconds to
                           notice */
        HR_HELPER_CRIU, /* does `criu check` say good: of image.program */
        HR_HELPER_DUMP, /* CRIU's image of a job that stands still; with `waits` what became of one that is
                           under way */
        HR_HELPER_LOOK, /* could CRIU take a job that runs */
        HR_HELPER_PREDUMP, /* CRIU writes the memory of a job that runs ahead of its dump */
        HR_HELPER_FORGET,  /* what was written ahead goes */
        HR_HELPER_RESTORE, /* an image becomes job `id` */
        HR_HELPER_SWEEP,   /* images that are too old, in image.dir and image.index */
        HR_HELPER_NEXT_ID, /* keeps the next free job number on disk */
        HR_HELPER_BYE,     /* the daemon leaves in peace: no guarding; no answer */
};

#define HR_HELPER_PIDS_MAX 512
#define HR_HELPER_CHILDREN_MAX 64 /* at once; what comes above waits in the socket */
#define HR_HELPER_HOOKS_MAX 48    /* of them hooks, which may hang: above, -EBUSY */
#define HR_HELPER_PREDUMPS_MAX 4  /* of them PREDUMP, which keeps a disk busy, and LOOK: the same */
#define HR_HELPER_MAPS_MAX 4      /* of them MAP, which anybody may ask for again and again: the same */

struct hr_helper_request {
        uint64_t token; /* comes back in the answer */
        enum hr_helper_op op;
        uint64_t deadline_usec; /* from now; HOOK and MAP alone, the others have the same */
        uid_t uid;
        gid_t gid;
        pid_t pid;
        char id[HR_ID_MAX], name[HR_NAME_MAX];
        uint64_t bytes;
        struct hr_placement placement;
        /* HOOK */
        char path[256];
        char stage[16], reason[240];
        uint64_t used_bytes, limit_bytes, job_deadline_usec;
        uint32_t retried; /* > 0: in place of path, `headroom resume` of this saved job, with limit_bytes */
        bool checkpoint;  /* HEADROOM_DEADLINE is then the time until which the hook may take */
        /* CRIU, LOOK, DUMP, PREDUMP, FORGET, RESTORE (whose image.id is the old one, uid the caller's), SWEEP
         */
        struct hr_image image;
        bool waits, removes;
        /* PSS, MAP */
        uint64_t inode;      /* MAP: of placement.cgroup, whose processes are meant; 0: pids */
        uint32_t more_count; /* MAP: how many there are besides pids */
        uint32_t pid_count;
        pid_t pids[HR_HELPER_PIDS_MAX];
};

struct hr_helper_answer {
        uint64_t token;
        enum hr_helper_op op;
        int result;     /* 0, -errno; HOOK: -ETIMEDOUT, -ENOENT, -EACCES; HOOK, EXIT: >= 0: a wait status */
        uint64_t bytes; /* RECLAIM: given back; PSS: the sum; LIMIT: what was set; FILE: its size */
        uint64_t time_usec; /* FILE: its mtime, CLOCK_REALTIME */
        char text[200];
        struct hr_placement placement; /* PLACE */
        uid_t uid;                     /* WHO, EXIT: as asked */
        gid_t gid;
        char id[HR_ID_MAX], name[HR_NAME_MAX];      /* EXIT: as asked */
        char user[HR_NAME_MAX], group[HR_NAME_MAX]; /* WHO, PLACE: a number where there is no name */
        char from[HR_PATH_MAX]; /* WHO of a pid, PLACE: the cgroup that it was in; "" where that is not known
                                 */
        struct hr_breakdown breakdown; /* MAP */
        bool tracks;                   /* CRIU: memory can be written ahead */
        struct hr_image image;         /* RESTORE: as it was recorded */
        pid_t leader;                  /* RESTORE */
        uint64_t leader_start_ticks;
        int fd; /* WIRE: the receiver's from then on; else -1 */
};

struct hr_helper; /* the daemon's side */

/* Starts it: this very program, executed anew, so that libraries that it alone needs cost the daemon nothing.
 */
int hr_helper_start(const struct hr_hierarchy *h, bool user_daemon, const char *runtime_dir,
        const char *state_dir, struct hr_helper **ret);
struct hr_helper *hr_helper_stop(struct hr_helper *helper); /* in peace; returns NULL */
int hr_helper_fd(const struct hr_helper *helper);           /* readable when an answer waits */
pid_t hr_helper_pid(const struct hr_helper *helper);
/* Never waits: -EAGAIN when its queue is full, -EPIPE when it died (start it again). */
int hr_helper_send(struct hr_helper *helper, const struct hr_helper_request *request);
/* 1: an answer; 0: none waits; -EPIPE: it died. */
int hr_helper_receive(struct hr_helper *helper, struct hr_helper_answer *ret);

/* In the helper's process; what main() calls for `headroomd --helper=FD:USER:ROOT:RUNTIME_DIR:STATE_DIR`.
 * Returns the exit status. */
int hr_helper_main(const char *argument);
