/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The texts of /proc and of the cgroup file systems, taken apart. Pure: takes text, never a path.
 *
 * Contract: `text` has `size` bytes and need not end with a NUL; a NUL inside is -EBADMSG. Text that is cut
 * off, empty, has a missing or repeated field or trailing rubbish is -EBADMSG, a number that does not fit is
 * -ERANGE; never a zero in its place. Unknown further fields are fine.
 * Formats: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, filesystems/proc.rst,
 * accounting/psi.rst.
 */

#include <sys/types.h>

#include "think/sample.h"

/* One number and a newline ("123\n"), or "max\n", which gives HR_BYTES_NONE. */
int hr_parse_number(const char *text, size_t size, uint64_t *ret);

/* v2 memory.stat: sets the file, slab and shmem fields of *usage, leaves the others. */
int hr_parse_stat2(const char *text, size_t size, struct hr_usage *usage);
/* v1 memory.stat: the total_ twins; sets swap_bytes too. ret_hierarchical_limit_bytes may be NULL. */
int hr_parse_stat1(
        const char *text, size_t size, struct hr_usage *usage, uint64_t *ret_hierarchical_limit_bytes);

/* v2 cgroup.events: "populated 1\nfrozen 0\n". */
int hr_parse_cgroup_events(const char *text, size_t size, bool *ret_populated, bool *ret_frozen);
/* v2 memory.events(.local): "high N", "max N", "oom_kill N". */
struct hr_memory_events {
        uint64_t high, max, oom, oom_kill;
};
int hr_parse_memory_events(const char *text, size_t size, struct hr_memory_events *ret);
/* v1 memory.oom_control: "oom_kill N" (kernels before 4.13 have none: 0). */
int hr_parse_oom_control(const char *text, size_t size, uint64_t *ret_oom_kill);

/* /proc/meminfo. */
struct hr_meminfo {
        uint64_t total_bytes, free_bytes, available_bytes, swap_total_bytes, swap_free_bytes;
};
/* -EBADMSG also when SwapFree > SwapTotal or MemAvailable > MemTotal: a value that makes no sense. */
int hr_parse_meminfo(const char *text, size_t size, struct hr_meminfo *ret);
/* /proc/vmstat: how many pages were allocated since boot, for whatever (the sum of pgalloc_ZONE). Only grows.
 */
int hr_parse_vmstat(const char *text, size_t size, uint64_t *ret_allocated_pages);

/* /proc/PID/stat. The name is between the first '(' and the last ')', and may hold anything, ") Z " too. */
struct hr_pid_stat {
        pid_t pid, ppid, session;
        char state;
        char name[16];        /* as it is: escape it before it is shown */
        uint64_t start_ticks; /* since boot: with the pid, the identity of a process */
        int wait_status; /* of a zombie, as waitpid has it; 0 also where one may not know, or it is none */
};
/* A process of the client's own, in the process group of a job: it is not the job's. */
#define HR_WITNESS_NAME "headroom-group"
int hr_parse_pid_stat(const char *text, size_t size, struct hr_pid_stat *ret);

/* /proc/PID/status. A kernel thread or a zombie has no Vm fields: those are 0 and has_memory is false. */
struct hr_pid_status {
        uid_t uid; /* effective */
        uid_t uid_real;
        gid_t gid; /* effective */
        bool has_memory;
        uint64_t vm_data_bytes, rss_anon_bytes, rss_shmem_bytes, vm_swap_bytes;
        uint64_t sig_caught, sig_pending, sig_shared_pending, sig_blocked,
                sig_ignored; /* bit n-1: signal n */
};
int hr_parse_pid_status(const char *text, size_t size, struct hr_pid_status *ret);

/* /proc/PID/smaps_rollup: Pss and SwapPss. */
int hr_parse_smaps_rollup(
        const char *text, size_t size, uint64_t *ret_pss_bytes, uint64_t *ret_swap_pss_bytes);

/*
 * /proc/PID/smaps, which may have many megabytes: taken in pieces of whole lines, one after the other, then
 * ended. The state is all zero at first, but for the devices ("major:minor" as hr_parse_device_number has it)
 * of file systems in memory, borrowed. Until it is ended, bytes[] has the sums of what came to its end: good
 * also if the rest is never read. A text of no mapping at all (a zombie's) is -EBADMSG.
 *
 * Files that are executed from are told by that; one that is mapped as data alone is no program, whatever it
 * is. Stacks of threads are told where glibc names them, or, from Linux 6.7 on, by what MAP_STACK leaves
 * behind ("nh") and their guard page; else they are anonymous memory.
 */
struct hr_smaps {
        const uint64_t *devices;
        size_t device_count;
        uint64_t bytes[HR_MAPPING_COUNT];
        /* The parser's own: the mapping that it is in, and the file whose mappings it is among. */
        bool in_mapping, is_file, is_bare, has_guard, was_guard;
        unsigned seen;
        uint64_t end, pss_bytes, swap_bytes;
        enum hr_mapping kind;
        bool in_file, file_executed, file_shared;
        uint64_t file_device, file_inode, file_bytes;
};
int hr_parse_smaps(struct hr_smaps *s, const char *text, size_t size);
int hr_parse_smaps_end(struct hr_smaps *s);

static inline uint64_t hr_parse_device_number(uint64_t major, uint64_t minor)
{
        return major << 32 | (minor & UINT32_MAX);
}
/* /proc/PID/mountinfo: the devices of all file systems of this type, at most `room`; how many there are is
 * returned. */
int hr_parse_devices(const char *text, size_t size, const char *type, uint64_t *devices, size_t room);

/*
 * /proc/PID/cgroup: the path in the hierarchy of `controller` ("memory", "freezer", "name=systemd"), or with
 * NULL that of v2 ("0::"). path gets a NUL-ended copy. -ENOENT: not in such a hierarchy; -ENAMETOOLONG.
 * A path of a deleted group ends in " (deleted)": -ESTALE.
 */
int hr_parse_proc_cgroup(const char *text, size_t size, const char *controller, char *path, size_t path_size);

/* /proc/self/mountinfo: where the hierarchy is mounted; controller as above; the first that shows the whole
 * hierarchy (root "/"), else the first. Octal escapes (\040) are undone. -ENOENT. */
int hr_parse_mountinfo(
        const char *text, size_t size, const char *controller, char *mount_point, size_t mount_point_size);

/* PSI: "some avg10=0.00 avg60=0.00 avg300=0.00 total=123\nfull ...\n" ("full" may be missing: 0). */
struct hr_pressure {
        uint32_t some_avg10_permyriad, full_avg10_permyriad;
        uint64_t some_total_usec, full_total_usec;
};
int hr_parse_pressure(const char *text, size_t size, struct hr_pressure *ret);

/*
 * cgroup.procs: calls back for each pid. Returns the count, or what the callback returned when that was
 * negative, or -EBADMSG.
 */
int hr_parse_pids(const char *text, size_t size, int (*each)(pid_t pid, void *userdata), void *userdata);
