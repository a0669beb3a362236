/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/mapping.h"

/*
 * The processes are put in order by what their status files say, which costs little and is enough for that.
 * Then the smaps of each is read in pieces, from the largest on, until the room for text or the time is used
 * up: for the rest the sum alone (smaps_rollup) while there is time. A text that breaks off is summed as far
 * as it came.
 *
 * What several processes share is told by PSS, which divides it among all that map it, those of other jobs
 * too. SwapPss leaves out what is swapped of shared memory (proc.rst). Huge pages of hugetlbfs are in
 * neither.
 *
 * A process that ends meanwhile counts nothing: its memory is free.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "clock.h"
#include "sense/proctree.h"

#define PIECE_SIZE 65536         /* a path is at most 4096 bytes, four times that where each is escaped */
#define MOUNTS_SIZE (512 * 1024) /* chosen: 3000 mounts */
#define DEVICES_MAX 256

struct reading {
        const char *proc_path;
        uint64_t left_bytes, until_usec;
        uint64_t devices[DEVICES_MAX];
        size_t device_count;
        char piece[PIECE_SIZE];
};

/* ---- whose ---- */

struct list {
        pid_t *pids;
        size_t room;
        uint32_t count, more;
};

static int list_pid(pid_t pid, void *userdata)
{
        struct list *l = userdata;

        if (l->count < l->room)
                l->pids[l->count++] = pid;
        else
                l->more++;
        return 0;
}

int hr_mapping_list(const struct hr_hierarchy *h, const char *cgroup, uint64_t inode, pid_t *pids,
        size_t room, uint32_t *ret_count, uint32_t *ret_more)
{
        struct hr_group group = HR_GROUP_INIT;
        struct list list = {.pids = pids, .room = room};
        int r = hr_group_open(h, cgroup, &group);

        if (r == 0 && group.inode != inode)
                r = HR_SENSE_GONE;
        if (r == 0)
                r = hr_group_each_pid(&group, list_pid, &list);
        hr_group_close(&group);
        if (r != 0 && r != -E2BIG) /* that many: what was reached is enough */
                return r;
        *ret_count = list.count;
        *ret_more = list.more;
        return 0;
}

/* ---- one process ---- */

/* The file systems in memory: what the first process sees mounted, and the kernel's own, which has SysV and
 * memfd. Without them it goes by names. */
static void find_devices(struct reading *r, pid_t pid)
{
        _free_ char *text = malloc(MOUNTS_SIZE);
        _close_ int fd = memfd_create("headroom", MFD_CLOEXEC);
        char path[PATH_MAX];
        struct stat st;
        size_t size;

        if (fd >= 0 && fstat(fd, &st) == 0)
                r->devices[r->device_count++] = hr_parse_device_number(major(st.st_dev), minor(st.st_dev));
        if (!text ||
                (size_t)snprintf(path, sizeof(path), "%s/%d/mountinfo", r->proc_path, pid) >= sizeof(path))
                return;
        if (hr_sense_read_at(AT_FDCWD, path, text, MOUNTS_SIZE, &size) != 0)
                return;
        int count = hr_parse_devices(
                text, size, "tmpfs", r->devices + r->device_count, DEVICES_MAX - r->device_count);
        if (count > 0)
                r->device_count = MIN(r->device_count + (size_t)count, (size_t)DEVICES_MAX);
}

/* HR_SENSE_GONE; -EFBIG: no more room for text, s has the sums so far; -ETIME. */
static int read_smaps(struct reading *r, pid_t pid, struct hr_smaps *s)
{
        char path[PATH_MAX];
        _close_ int fd = -1;
        size_t have = 0;
        bool any = false;

        if ((size_t)snprintf(path, sizeof(path), "%s/%d/smaps", r->proc_path, pid) >= sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ESRCH ? HR_SENSE_GONE : -errno;
        for (;;) {
                ssize_t n;

                if (hr_clock_usec() >= r->until_usec)
                        return -ETIME;
                if (r->left_bytes == 0)
                        return -EFBIG;
                n = read(fd, r->piece + have, sizeof(r->piece) - have);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == ESRCH ? HR_SENSE_GONE : -errno;
                if (n == 0)
                        break;
                any = true;
                have += (size_t)n;
                r->left_bytes = hr_sub(r->left_bytes, (uint64_t)n);
                const char *end = memrchr(r->piece, '\n', have);
                if (!end && have == sizeof(r->piece))
                        return -EBADMSG;
                if (!end)
                        continue;
                size_t whole = (size_t)(end + 1 - r->piece);
                int parsed = hr_parse_smaps(s, r->piece, whole);
                if (parsed < 0)
                        return parsed;
                have -= whole;
                memmove(r->piece, end + 1, have);
        }
        if (!any) /* a zombie's, or a kernel thread's */
                return HR_SENSE_GONE;
        return have > 0 ? -EBADMSG : hr_parse_smaps_end(s);
}

static uint64_t sum(const uint64_t bytes[static HR_MAPPING_COUNT])
{
        uint64_t all = 0;

        for (size_t i = 0; i < HR_MAPPING_COUNT; i++)
                all = hr_add(all, bytes[i]);
        return all;
}

/* Adds one process to the whole. *ret_bytes: its own. */
static int read_process(struct reading *r, pid_t pid, struct hr_breakdown *b, uint64_t *ret_bytes)
{
        struct hr_smaps s = {.devices = r->devices, .device_count = r->device_count};
        uint64_t all;
        int read = read_smaps(r, pid, &s), rolled;

        if (read == HR_SENSE_GONE || read == -ETIME || read == -EACCES || read == -EPERM)
                return read;
        if (read == 0)
                all = sum(s.bytes);
        else {
                rolled = hr_process_pss(r->proc_path, &pid, 1, &all);
                if (rolled != 0)
                        return rolled;
                if (read != -EFBIG)
                        memset(s.bytes, 0, sizeof(s.bytes)); /* it made no sense */
                b->rest_bytes = hr_add(b->rest_bytes, hr_sub(all, sum(s.bytes)));
        }
        for (size_t i = 0; i < HR_MAPPING_COUNT; i++)
                b->bytes[i] = hr_add(b->bytes[i], s.bytes[i]);
        *ret_bytes = all;
        return 0;
}

/* ---- all of them ---- */

static int larger_first(const void *a, const void *b)
{
        const struct hr_breakdown_process *left = a, *right = b;

        return left->bytes != right->bytes ? (left->bytes < right->bytes ? 1 : -1)
                                           : (left->pid > right->pid) - (left->pid < right->pid);
}

/* Those that have memory, in the order of what they seem to use. */
static size_t order(
        const char *proc_path, const pid_t *pids, size_t count, struct hr_breakdown_process *ordered)
{
        size_t kept = 0;

        for (size_t i = 0; i < count; i++) {
                struct hr_pid_status status = {0};
                int r = hr_process_status(proc_path, pids[i], &status);

                if (r == HR_SENSE_GONE || (r == 0 && !status.has_memory))
                        continue;
                ordered[kept++] = (struct hr_breakdown_process){.pid = pids[i],
                        .bytes = hr_add(
                                hr_add(status.rss_anon_bytes, status.rss_shmem_bytes), status.vm_swap_bytes)};
        }
        qsort(ordered, kept, sizeof(*ordered), larger_first);
        return kept;
}

int hr_mapping_read(const char *proc_path, const pid_t *pids, size_t count, uint64_t patience_usec,
        struct hr_breakdown *ret)
{
        _free_ struct hr_breakdown_process *all = NULL;
        _free_ struct reading *reading = calloc(1, sizeof(*reading));
        size_t most = MIN(count, (size_t)HR_MAPPING_PIDS_MAX), kept = 0;
        struct hr_breakdown b = {.unread_count = (uint32_t)(count - most)};

        all = calloc(MAX(most, (size_t)1), sizeof(*all));
        if (!all || !reading)
                return -ENOMEM;
        reading->proc_path = proc_path;
        reading->left_bytes = HR_MAPPING_TEXT_MAX;
        reading->until_usec = hr_clock_usec() + patience_usec;
        most = order(proc_path, pids, most, all);
        if (most > 0)
                find_devices(reading, all[0].pid);
        for (size_t i = 0; i < most; i++) {
                struct hr_breakdown_process process = all[i];
                struct hr_pid_stat stat;
                int r = read_process(reading, process.pid, &b, &process.bytes);

                if (r < 0)
                        b.unread_count++;
                if (r != 0)
                        continue;
                if (hr_process_stat(proc_path, process.pid, &stat) == 0)
                        memcpy(process.name, stat.name, sizeof(process.name));
                all[kept++] = process;
        }
        if (kept == 0 && b.unread_count == 0)
                return HR_SENSE_GONE;

        qsort(all, kept, sizeof(*all), larger_first);
        for (size_t i = 0; i < kept; i++)
                if (i < HR_BREAKDOWN_PROCESSES_MAX)
                        b.processes[b.process_count++] = all[i];
                else {
                        b.others_count++;
                        b.others_bytes = hr_add(b.others_bytes, all[i].bytes);
                }
        *ret = b;
        return 0;
}
