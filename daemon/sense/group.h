/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A memory cgroup that is read: a job's own, or an ancestor that has a limit. Opened once, read through kept
 * descriptors; v2 in sense/cgroup2.c, v1 in sense/cgroup1.c, behind one table of functions. Reads only.
 *
 * Every read returns 0, -errno, or HR_SENSE_GONE: the cgroup vanished, which is how jobs end.
 * A value that makes no sense (unparsable, or far above the memory of any machine) keeps the last good one,
 * is counted in bad_count, and is no error.
 */

#include <sys/types.h>

#include "fd.h"
#include "think/parse.h"
#include "think/sample.h"

#define HR_SENSE_GONE 1

/* Where the hierarchies are. Found once, at start. With a fixture all paths begin with its root. */
struct hr_hierarchy {
        char root[256];     /* "" or the fixture's directory */
        char proc[280];     /* root + "/proc" */
        char memory[512];   /* mount point of the hierarchy that accounts memory; "" where there is none */
        int memory_version; /* 2, 1, or 0: none usable */
        char unified[512];  /* v2 mount point, which may be the same; "" */
        char freezer[512];  /* v1 freezer's mount point; "" */
        bool fixture;       /* plain files: no events come, poll */
};
/*
 * Reads root/proc/self/mountinfo; with a fixture that has none, looks for
 * root/sys/fs/cgroup/cgroup.controllers (v2), root/sys/fs/cgroup/memory (v1). v2 counts for memory only if
 * "memory" is in its cgroup.controllers. 0 or -errno; no hierarchy at all is not an error.
 */
int hr_hierarchy_find(const char *root, struct hr_hierarchy *ret);

struct hr_group_ops;

struct hr_group {
        const struct hr_group_ops *ops;
        enum hr_kind kind;
        char *path;           /* below the memory mount, begins with "/"; owned */
        int dir_fd;           /* O_PATH|O_DIRECTORY of the cgroup */
        int current_fd;       /* memory.current / memory.usage_in_bytes */
        int stat_fd;          /* memory.stat */
        int swap_fd;          /* v2 memory.swap.current, -1 where there is none; v1: -1 */
        uint64_t inode;       /* identity: a group made again under the same name has another */
        struct hr_usage last; /* last good values */
        uint64_t bad_count;
        bool bad_told; /* the first bad value was logged */
};
#define HR_GROUP_INIT                                                        \
        {                                                                    \
                .dir_fd = -1, .current_fd = -1, .stat_fd = -1, .swap_fd = -1 \
        }

/* Opens path in the memory hierarchy. -ENOENT, -ENODEV as HR_SENSE_GONE. The root cgroup can't be opened
 * (-EINVAL). */
int hr_group_open(const struct hr_hierarchy *h, const char *path, struct hr_group *ret);
void hr_group_close(struct hr_group *g); /* back to HR_GROUP_INIT; accepts that too */

/* One pread of the current usage, cache included. The cheap sample: nothing else is read. */
int hr_group_read_current(struct hr_group *g, uint64_t *ret_bytes);
/* All counters (current, stat, swap, v1 kmem). */
int hr_group_read_usage(struct hr_group *g, struct hr_usage *ret);

struct hr_group_limits {
        uint64_t limit_bytes;    /* memory.max / memory.limit_in_bytes; v1's huge default is HR_BYTES_NONE */
        uint64_t swap_max_bytes; /* v2 memory.swap.max; v1: HR_BYTES_NONE */
        uint64_t memsw_bytes;    /* v1 memory.memsw.limit_in_bytes; v2: HR_BYTES_NONE */
        uint64_t high_bytes;     /* v2 memory.high; v1: HR_BYTES_NONE */
};
int hr_group_read_limits(struct hr_group *g, struct hr_group_limits *ret);
/* The same of any path in the memory hierarchy, which is not kept open; allocates nothing. */
int hr_group_read_limits_at(const struct hr_hierarchy *h, const char *path, struct hr_group_limits *ret);
/* memory.high alone. v1: -ENODATA. */
int hr_group_read_high(struct hr_group *g, uint64_t *ret_bytes);
/* v2 memory.peak (kernel 5.19) / v1 memory.max_usage_in_bytes; cache included; -ENODATA where there is none.
 */
int hr_group_read_peak(struct hr_group *g, uint64_t *ret_bytes);
/* Kernel OOM kills counted in the group (v2 memory.events oom_kill, v1 memory.oom_control). -ENODATA. */
int hr_group_read_oom_kills(struct hr_group *g, uint64_t *ret);
/* The same of any path, as hr_group_read_limits_at. */
int hr_group_read_oom_kills_at(const struct hr_hierarchy *h, const char *path, uint64_t *ret);
/* Does any process live in it or below: v2 cgroup.events, v1 cgroup.procs of it and of what is below. */
int hr_group_read_populated(struct hr_group *g, bool *ret);
/* HR_SENSE_GONE if another cgroup now stands at the path, or none. */
int hr_group_check_identity(const struct hr_hierarchy *h, struct hr_group *g);
/*
 * Calls back for each process in the group and in those below it. Uses a buffer on the stack; at most 8
 * levels deep and 65536 processes. Stops when the callback returns non-zero, and returns that.
 */
typedef int (*hr_pid_fn)(pid_t pid, void *userdata);
int hr_group_each_pid(const struct hr_group *g, hr_pid_fn each, void *userdata);
/* The same for any cgroup directory by descriptor (v1 freezer, unified). */
int hr_cgroup_each_pid(int dir_fd, hr_pid_fn each, void *userdata);

/* For cgroup1.c and cgroup2.c. */
struct hr_group_ops {
        const char *current_file, *stat_file, *swap_file;
        int (*read_usage)(struct hr_group *g, struct hr_usage *ret);
        int (*read_limits)(struct hr_group *g, struct hr_group_limits *ret);
        int (*read_peak)(struct hr_group *g, uint64_t *ret);
        int (*read_oom_kills)(struct hr_group *g, uint64_t *ret);
        int (*read_populated)(struct hr_group *g, bool *ret);
};
extern const struct hr_group_ops hr_cgroup1_ops, hr_cgroup2_ops;

/*
 * Reads a whole small file below dir_fd (openat, read, close) or from a kept descriptor (pread at 0) into
 * buf. _fd is for a file that the kernel shows as one record, and takes one pread: memory.stat,
 * memory.events, meminfo, a pressure file; _all_fd reads to the end, as a file of many records must be
 * (vmstat: a read ends at a page's worth of them; fs/seq_file.c). Returns 0 and the size, HR_SENSE_GONE
 * (ENODEV, ENOENT, ESRCH), -EFBIG if it does not fit, -errno. ENOENT of a file in a directory that still
 * lives is -ENOENT for openat.
 */
int hr_sense_read_at(int dir_fd, const char *name, char *buf, size_t size, size_t *ret_size);
int hr_sense_read_fd(int fd, char *buf, size_t size, size_t *ret_size);
int hr_sense_read_all_fd(int fd, char *buf, size_t size, size_t *ret_size);
/* One number in a file below dir_fd. As hr_sense_read_at, and -EBADMSG, -ERANGE of hr_parse_number. */
int hr_sense_read_number_at(int dir_fd, const char *name, uint64_t *ret);
/* Can a machine have so much memory: at most 2^52 bytes, the physical addresses of x86-64 and arm64. */
bool hr_sense_plausible(uint64_t bytes);
