/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The bus contract: names, signatures and the order of their fields. Daemon and client include this file.
 *
 * Object HR_BUS_PATH, interface HR_BUS_INTERFACE, on the system bus as HR_BUS_NAME and on the socket
 * peer-to-peer. Sizes are bytes (t), HR_BYTES_NONE (2^64-1) for "none"; times microseconds.
 *
 * - Run(u pid, s name, b has_limit, t limit, s policy, s checkpoint, b fuse, b detached, s command,
 *   u retried, b reaps)
 *       -> t retries, s job, s kind, s message
 *       pid is a child of the caller, not yet exec'ed; "" for a name, policy or checkpoint that is not given;
 *       retried: how often it was started again by itself; retries: how often its policy still does that;
 *       reaps: where the kind is "process", the caller becomes the subreaper of this job, and of no other,
 *       before it lets it begin, and has no children beside it but HR_WITNESS_NAME
 * - Attach(s target, s name, b has_limit, t limit, s policy) -> s job, s message
 *       target: a pid, a unit's name, or a cgroup's path (below the mount, or absolute with it)
 * - Status(s job) -> a HR_BUS_STATUS_STRUCT
 *       "": every job that the caller may see
 * - Totals() -> u jobs, t used, u held
 *       what anybody may see
 * - SetLimit(s job, t limit) -> t limit, s message
 * - SetPolicy(s job, s policy) -> s message
 *       another policy for one job
 * - Act(s verb, s job) -> s message
 *       verb: "detach" "trim" "checkpoint" "hold" "interrupt" "kill"
 * - Resume(s job, b has_limit, t limit) -> s message
 * - Restore(s id, b has_limit, t limit, b remove) -> s message
 *       a job that CRIU saved and that runs no more goes on from its image as a new one; remove: the image
 * goes when that is done
 * - Policies(s name) -> s text
 *       as configuration text; "": all
 * - SetPolicyKey(s policy, s key, s value) -> s message
 *       root only
 * - Doctor() -> a(ssss)
 *       item, state ("ok" "missing" "warning" "absent"), detail, remedy
 * - Events(u count) -> a HR_BUS_EVENT_STRUCT
 *       the last `count` kept ones (0: all) that the caller may see
 * - Why(s job) -> a HR_BUS_HOLDER_STRUCT, t garbage, t malloc, u asked, u answered, s sentence
 *       what holds the memory, by the word of the job's own processes (headroom-job(7)), largest first: bytes
 *       that a collection of garbage would free and bytes that malloc keeps (HR_BYTES_NONE: not known); how
 * many processes were asked, and answered; one sentence for a person, "" where there is nothing to say
 * - Breakdown(s job) -> a HR_BUS_PART_STRUCT
 *       what the memory of the job's processes is, by the kernel's word, also of a held job: by kind
 *       ("mapping"), then by process ("process"), each largest first. Shared pages are divided among all that
 *       map them, swap is counted in. A process row without a pid sums up those that are not listed, or with
 *       HR_BYTES_NONE tells how many could not be looked at
 * - Metrics(b openmetrics) -> s text
 *       for Prometheus, in its own text format or in OpenMetrics: sums that anybody may see, and single jobs
 *       that the caller may
 * - Record(s job) -> HR_BUS_RECORD_STRUCT, a HR_BUS_POINT_STRUCT, a HR_BUS_DEED_STRUCT
 *       what became of an ended job, by its id or (the newest of that) name: its row, its curve, its events
 * - History(t since, t until, s user, s name, s outcome, u count) -> t next, a HR_BUS_RECORD_STRUCT
 *       ended jobs that the caller may see, the newest first, that ended since <= end < until (realtime
 *       microseconds); "": any; at most `count` of them, never above HR_BUS_HISTORY_MAX, fewer where their
 *       texts are long, and beyond that those that ended in the same microsecond as the last. next: the
 *       `until` of the next page; 0: that was all
 * - Advise(s name, s command) -> t limit, t p95, t most, u runs, u lower_bounds, b lower_bound, s sure, b
 * by_name the limit to ask for next time, from the runs of that command line, or where there are none of that
 * name
 * - Ended(s job, x exit_status, x signal) -> ()
 *       by `run`, to its record: how the first process of a job of the caller's ended; -1, 0: not known, none
 * - Subscribe() -> ()
 *       from now on Event signals come to this peer
 * - Follow(s job) -> ()
 *       as Subscribe, and tells that a `run` shows this job's events
 * - signal Event, HR_BUS_EVENT_STRUCT's fields
 *       to subscribers that may see the job
 * - property Version s
 *
 * `job` in a request is an id, a name, a unit or a pid; the daemon resolves it among the jobs that the caller
 * may see. Errors: HR_BUS_ERROR_*; each carries a sentence for the person who asked.
 */

#define HR_BUS_NAME "org.headroom.Headroom1"
#define HR_BUS_PATH "/org/headroom/Headroom1"
#define HR_BUS_INTERFACE "org.headroom.Headroom1"

#define HR_SYSTEM_SOCKET "/run/headroom/bus"
#define HR_JOB_SOCKET_BESIDE "job" /* the jobs' own socket, in the directory of the bus socket */
#define HR_USER_SOCKET_BELOW_RUNTIME_DIR "headroom/bus" /* below $XDG_RUNTIME_DIR */

/* job, name, user, uid, kind, cgroup, unit, leader_pid, stage, frozen, used, cache, limit, own_limit,
 * headroom, limit_source, growth, left_min_usec, left_max_usec, deadline_usec (realtime), peak, policy,
 * reason, locked */
#define HR_BUS_STATUS_STRUCT "(sssusssusbtttttstttttssb)"
#define HR_BUS_STATUS_FIELDS "sssusssusbtttttstttttssb"

/* time_usec, job, name, uid, stage, previous_stage, reason, used, limit, action, outcome, hint,
 * deadline_usec, exit_status, took_usec (of "frozen": until it stood still; else 0) */
#define HR_BUS_EVENT_STRUCT "(tssusssttssstxt)"
#define HR_BUS_EVENT_FIELDS "tssusssttssstxt"

/* pid, bytes, count (objects, 0: not known), line (0: not known), name, file ("": not known) */
#define HR_BUS_HOLDER_STRUCT "(utttss)"

/* kind, pid (0: of all, or of several), bytes (HR_BYTES_NONE: not known), name */
#define HR_BUS_PART_STRUCT "(suts)"

/* job, name, command, user, uid, kind, cgroup, unit, policy, start, end, limit, peak, peak_is_lower_bound,
 * peak_source, outcome, exit_status (-1: not known), signal (0: none), reason, held_by, stage (the furthest),
 * events_left_out, fused (Headroom's fuse was armed), said_memory_error (by one of its processes). What each
 * word may be: tell/record.h */
#define HR_BUS_RECORD_FIELDS "ssssussssttttbssxxssstbb"
#define HR_BUS_RECORD_STRUCT "(" HR_BUS_RECORD_FIELDS ")"
#define HR_BUS_HISTORY_MAX 2000 /* about 1 MB; a page more costs six changes of thread and process */

/* time, used, cache, limit */
#define HR_BUS_POINT_STRUCT "(tttt)"

/* time, stage, previous_stage, action, outcome, reason, used, limit */
#define HR_BUS_DEED_STRUCT "(tssssstt)"

#define HR_BUS_ERROR_NO_SUCH_JOB "org.headroom.Error.NoSuchJob"      /* client exit 4 */
#define HR_BUS_ERROR_NOT_PERMITTED "org.headroom.Error.NotPermitted" /* client exit 5 */
#define HR_BUS_ERROR_AMBIGUOUS \
        "org.headroom.Error.Ambiguous" /* client exit 2; the message lists the candidates */
#define HR_BUS_ERROR_INVALID "org.headroom.Error.Invalid" /* client exit 2 */
#define HR_BUS_ERROR_REFUSED \
        "org.headroom.Error.Refused" /* client exit 1: understood, and not done, with the reason */
#define HR_BUS_ERROR_FAILED "org.headroom.Error.Failed" /* client exit 1 */

/* Bounds on peers (a peer that did not read made a daemon hold 400 MiB in a trial). */
#define HR_BUS_PEERS_PER_USER 8 /* connections that are open at once; root: 64 */
#define HR_BUS_PEERS_MAX 256
#define HR_BUS_QUEUE_MAX                                                                                    \
        256 /* messages that wait for a peer to read; a signal above it is dropped, a reply closes the peer \
             */
