/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The bus thread: serves peers on an AF_UNIX socket (always) and on the system bus (where there is one), from
 * the cards and over the command ring. It may wait for peers; the deciding thread never waits for it.
 */

#include "exchange.h"
#include "think/config.h"

struct hr_bus;

struct hr_bus_options {
        const char *socket_path; /* the peer-to-peer socket; its directory exists */
        bool user;               /* a --user daemon: no system bus; only this user is served */
        const char *proc_path;   /* "/proc" or the fixture's */
        const char *cgroup_path; /* mount point of the memory-bearing hierarchy, "" where there is none */
        const char *memory_controller; /* "memory" on v1; NULL on v2: for hr_parse_proc_cgroup */
        const char *record_directory;  /* where the record of jobs is; NULL: none is kept */
        uint32_t events_kept;
        uint64_t host_total_bytes;
        uint32_t metrics_jobs;          /* series of single jobs, at most */
        uint64_t metrics_interval_usec; /* how often the recorder is given a page; 0: never */
};

/* Binds the socket (a dead one left behind is replaced; a live one is -EADDRINUSE) and starts the thread. */
int hr_bus_start(struct hr_exchange *x, const struct hr_bus_options *options, struct hr_bus **ret);
/* Stops the thread, closes all peers, removes the socket. Accepts NULL; returns NULL. */
struct hr_bus *hr_bus_stop(struct hr_bus *bus);
