/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The words that every part of Headroom speaks: kinds of job, stages, and what was measured of a job. */

#include <sys/types.h>

#include "think/macros.h"

enum hr_kind {
        HR_KIND_CGROUP2,
        HR_KIND_CGROUP1,
        HR_KIND_PROCESS, /* a process tree without a cgroup of its own */
        HR_KIND_COUNT,
};

/* The ladder, in order. The names are part of the command line contract. */
enum hr_stage {
        HR_STAGE_OK,
        HR_STAGE_NOTICE,
        HR_STAGE_TRIM,
        HR_STAGE_CHECKPOINT,
        HR_STAGE_HOLD,
        HR_STAGE_INTERRUPT,
        HR_STAGE_KILL,
        HR_STAGE_COUNT,
};

const char *hr_kind_name(enum hr_kind kind);    /* "cgroup2", "cgroup1", "process" */
int hr_kind_from_name(const char *name);        /* the kind, or -EINVAL */
const char *hr_stage_name(enum hr_stage stage); /* "ok", "notice", ... "kill" */
int hr_stage_from_name(const char *name);       /* the stage, or -EINVAL */

/*
 * What one cgroup (or a process tree, or the host) says of its memory, as read. Bytes; 0 where the kernel has
 * no such counter. sense/ fills it in, think/account judges it.
 */
struct hr_usage {
        uint64_t current_bytes;          /* v2 memory.current; v1 memory.usage_in_bytes; tree: anon + shmem */
        uint64_t swap_bytes;             /* v2 memory.swap.current; v1 stat total_swap; tree: VmSwap */
        uint64_t inactive_file_bytes;    /* v2 stat inactive_file; v1 total_inactive_file */
        uint64_t active_file_bytes;      /* v2 stat active_file; v1 total_active_file */
        uint64_t slab_reclaimable_bytes; /* v2 stat slab_reclaimable; v1: 0 */
        uint64_t kernel_bytes;           /* v1 memory.kmem.usage_in_bytes; v2: 0, it is wanted there */
        uint64_t shmem_bytes;            /* v2 stat shmem; v1 total_shmem: for the record only */
};

/*
 * What the memory of processes is, by the kernel's word (sense/mapping). As PSS and swap, so that what
 * several share counts once among them.
 */
enum hr_mapping {
        HR_MAPPING_HEAP,    /* private memory without a file, and the heap */
        HR_MAPPING_STACK,   /* the main threads' stacks, and the others' where they can be told */
        HR_MAPPING_PROGRAM, /* files that are executed from, with all of their parts */
        HR_MAPPING_FILE,    /* other files */
        HR_MAPPING_SHARED,  /* tmpfs (/dev/shm), System V, memfd, shared memory without a file */
        HR_MAPPING_SWAPPED, /* of all of these */
        HR_MAPPING_COUNT,
};
const char *hr_mapping_name(enum hr_mapping mapping); /* for people: "heap and anonymous memory" */

#define HR_BREAKDOWN_PROCESSES_MAX 16

struct hr_breakdown {
        uint64_t bytes[HR_MAPPING_COUNT];
        uint64_t rest_bytes; /* of processes whose mappings were too many to be read */
        struct hr_breakdown_process {
                uint64_t bytes;
                pid_t pid;
                char name[16];                   /* as it is: escape it before it is shown */
        } processes[HR_BREAKDOWN_PROCESSES_MAX]; /* largest first */
        uint32_t process_count;
        uint32_t others_count; /* processes besides these */
        uint64_t others_bytes;
        uint32_t unread_count; /* processes of which nothing is known */
};

/* Where a limit comes from, weakest claim last. */
enum hr_source {
        HR_SOURCE_OWN,      /* the job's own limit */
        HR_SOURCE_ANCESTOR, /* a cgroup above it, shared with others */
        HR_SOURCE_HOST,     /* the memory of the machine */
        HR_SOURCE_NONE,     /* no limit at all */
};

#define HR_CANDIDATES_MAX 8 /* own, up to six ancestors that have a limit (the nearest), the host */

/* One limit that may stop a job, with what counts against it. */
struct hr_candidate {
        enum hr_source source;
        uint64_t used_bytes;  /* of the whole group that the limit holds for, droppable cache left out */
        uint64_t cache_bytes; /* droppable */
        uint64_t limit_bytes; /* swap that may be used is added to it; HR_BYTES_NONE: none */
        /* From its own history, by think/forecast. */
        uint64_t growth_bytes_per_second; /* 0: not growing */
        uint64_t left_min_usec;           /* time to the limit, pessimistic; HR_USEC_NEVER: not growing */
        uint64_t left_max_usec;           /* optimistic */
        bool lasting;                     /* it has grown so for as long as left_max_usec */
        bool rising;                      /* more than at the sample before, by more than noise */
        bool step_will_not_fit;           /* headroom < 1.2 x the largest step seen */
        bool turn;                        /* of a shared limit: its shortage may be laid on this job */
};

struct hr_sample {
        uint64_t time_usec; /* CLOCK_MONOTONIC */
        uint64_t used_bytes, cache_bytes;
        size_t candidate_count;
        struct hr_candidate candidates[HR_CANDIDATES_MAX];
};

/* used / limit in 1/10000; 0 where there is no limit; HR_PERMYRIAD_ALL and more at and above it. */
uint32_t hr_ratio_permyriad(uint64_t used_bytes, uint64_t limit_bytes);
