/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/proctree.h"

/*
 * The table holds every process of the host as of one pass over /proc: pid, parent, start time, found by pid
 * and by parent through two hashes of chains. All its room, the list of the directory included, is made at
 * start and touched as used; a pass costs three system calls a process and no allocation.
 * (/proc/PID/task/PID/children would give the same for one process, but not every kernel is built with it.)
 *
 * A tree is a list of members: pid, start time, pidfd. An update goes breadth first from the members through
 * the table's children. A member passes its children on only if the table shows it with its own start time:
 * then the pid was its own when the table was made. A new process that has died since is no member, but its
 * children are still looked at. Last, the dead go: the pidfd tells, and where there is none (a fixture, no
 * descriptors left) the table. A process whose parent died before the first pass that could have seen it is
 * its subreaper's child by then: found where the job has one of its own (that of `run`), else missed.
 *
 * A member's use is read by pid, then its pidfd is asked whether it has ended: so the pid was not another's.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define ENTRIES_MAX 65536
#define BUCKETS 16384 /* of a chain each; pids are nearly consecutive, so the low bits spread them well */
#define PID_STAT_SIZE 2048
#define BATCH 64
#define NOBODY UINT32_MAX

struct entry {
        pid_t pid, ppid;
        uint64_t start_ticks;
        uint32_t next_by_pid, next_by_ppid; /* index, or NOBODY */
        char state;
        bool is_witness; /* of `run`: nobody's job */
};

struct hr_proc_table {
        int proc_fd;
        uint32_t count;
        bool overflow;
        uint32_t by_pid[BUCKETS], by_ppid[BUCKETS];
        struct entry entries[ENTRIES_MAX];
        _Alignas(struct dirent64) char list[32768];
        /* For hr_tree_update, here because it may not allocate: who was reached, and in which order. */
        struct reached {
                bool marked[ENTRIES_MAX];
                uint32_t queue[ENTRIES_MAX];
        } * reached;
};

static uint32_t bucket(pid_t pid)
{
        return (uint32_t)pid % BUCKETS;
}

int hr_proc_table_new(const char *proc_path, struct hr_proc_table **ret)
{
        _free_ struct hr_proc_table *t = NULL;
        _free_ struct reached *reached = NULL;
        _close_ int fd = open(proc_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        t = malloc(sizeof(*t)); /* not cleared: what isn't used isn't touched */
        reached = malloc(sizeof(*reached));
        if (!t || !reached)
                return -ENOMEM;
        t->proc_fd = TAKE_FD(fd);
        t->count = 0;
        t->overflow = false;
        memset(t->by_pid, 0xff, sizeof(t->by_pid));
        memset(t->by_ppid, 0xff, sizeof(t->by_ppid));
        t->reached = TAKE_PTR(reached);
        *ret = TAKE_PTR(t);
        return 0;
}

struct hr_proc_table *hr_proc_table_free(struct hr_proc_table *t)
{
        if (t) {
                hr_close(t->proc_fd);
                free(t->reached);
                free(t);
        }
        return NULL;
}

static bool is_number(const char *name)
{
        return name[0] && strspn(name, "0123456789") == strlen(name);
}

/* Processes that vanish, or whose text makes no sense, are not in the table. */
static void add_entry(struct hr_proc_table *t, const char *name)
{
        struct hr_pid_stat stat;
        char path[32], text[PID_STAT_SIZE];
        size_t size;

        if ((size_t)snprintf(path, sizeof(path), "%s/stat", name) >= sizeof(path))
                return;
        if (hr_sense_read_at(t->proc_fd, path, text, sizeof(text), &size) != 0 ||
                hr_parse_pid_stat(text, size, &stat) != 0)
                return;

        uint32_t i = t->count++;
        uint32_t *pid_chain = &t->by_pid[bucket(stat.pid)], *ppid_chain = &t->by_ppid[bucket(stat.ppid)];
        t->entries[i] = (struct entry){
                .pid = stat.pid,
                .ppid = stat.ppid,
                .start_ticks = stat.start_ticks,
                .state = stat.state,
                .is_witness = strcmp(stat.name, HR_WITNESS_NAME) == 0,
                .next_by_pid = *pid_chain,
                .next_by_ppid = *ppid_chain,
        };
        *pid_chain = i;
        *ppid_chain = i;
}

int hr_proc_table_scan(struct hr_proc_table *t)
{
        if (lseek(t->proc_fd, 0, SEEK_SET) < 0)
                return -errno;
        t->count = 0;
        t->overflow = false;
        memset(t->by_pid, 0xff, sizeof(t->by_pid)); /* NOBODY */
        memset(t->by_ppid, 0xff, sizeof(t->by_ppid));
        for (;;) {
                ssize_t n = getdents64(t->proc_fd, t->list, sizeof(t->list));

                if (n <= 0)
                        return n < 0 ? -errno : 0;
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *d = (const struct dirent64 *)(t->list + at);

                        at += d->d_reclen;
                        if (!is_number(d->d_name))
                                continue;
                        if (t->count >= ENTRIES_MAX) {
                                t->overflow = true;
                                return 0;
                        }
                        add_entry(t, d->d_name);
                }
        }
}

static uint32_t find_entry(const struct hr_proc_table *t, pid_t pid, uint64_t start_ticks)
{
        uint32_t i = t->by_pid[bucket(pid)];

        while (i != NOBODY && !(t->entries[i].pid == pid && t->entries[i].start_ticks == start_ticks))
                i = t->entries[i].next_by_pid;
        return i;
}

static bool is_dead_state(char state)
{
        return state == 'Z' || state == 'X' || state == 'x';
}

int hr_tree_open(const char *proc_path, pid_t leader, uint64_t start_ticks, struct hr_tree *ret)
{
        struct hr_tree t = {.leader = leader};
        int r;

        t.members = malloc(HR_MEMBERS_MAX * sizeof(*t.members));
        if (!t.members)
                return -ENOMEM;
        r = hr_tree_add(proc_path, &t, leader, start_ticks);
        if (r < 0) {
                hr_tree_close(&t);
                return r;
        }
        *ret = t;
        return 0;
}

void hr_tree_close(struct hr_tree *t)
{
        for (size_t i = 0; i < t->member_count; i++)
                hr_close(t->members[i].pidfd);
        free(t->members);
        *t = (struct hr_tree){0};
}

int hr_tree_add(const char *proc_path, struct hr_tree *t, pid_t pid, uint64_t start_ticks)
{
        struct hr_pid_stat stat;
        _close_ int pidfd = hr_process_open(proc_path, pid, 0);
        int r;

        if (pidfd == -ESRCH || pidfd == -EINVAL)
                return -ESRCH; /* else without one: its memory counts all the same */
        r = hr_process_stat(proc_path, pid, &stat);
        if (r != 0)
                return r < 0 ? r : -ESRCH;
        if (start_ticks != 0 && stat.start_ticks != start_ticks)
                return -ESRCH;
        if (pidfd >= 0) {
                struct pollfd p = {.fd = pidfd, .events = POLLIN};

                if (poll(&p, 1, 0) > 0 && (p.revents & POLLIN))
                        return -ESRCH; /* what was read may be another's */
        } else if (is_dead_state(stat.state))
                return -ESRCH;

        for (size_t i = 0; i < t->member_count; i++)
                if (t->members[i].pid == pid && t->members[i].start_ticks == stat.start_ticks)
                        return 0;
        if (t->member_count >= HR_MEMBERS_MAX) {
                t->overflow = true;
                return -ENOSPC;
        }
        t->members[t->member_count++] = (struct hr_member){
                .pid = pid,
                .pidfd = pidfd < 0 ? -1 : TAKE_FD(pidfd),
                .start_ticks = stat.start_ticks,
        };
        return 0;
}

/* Polls the pidfds of a batch: which members have ended. Those without a pidfd have not. */
static void find_ended(const struct hr_member *members, size_t count, bool ended[static BATCH])
{
        struct pollfd p[BATCH];
        int n;

        for (size_t i = 0; i < count; i++)
                p[i] = (struct pollfd){.fd = members[i].pidfd, .events = POLLIN};
        n = poll(p, count, 0);
        for (size_t i = 0; i < count; i++)
                ended[i] = n > 0 && p[i].fd >= 0 && (p[i].revents & POLLIN);
}

static void drop_dead(struct hr_tree *t, const struct hr_proc_table *table)
{
        size_t kept = 0;

        for (size_t from = 0; from < t->member_count; from += BATCH) {
                size_t count = MIN((size_t)BATCH, t->member_count - from);
                bool ended[BATCH];

                find_ended(t->members + from, count, ended);
                for (size_t i = 0; i < count; i++) {
                        struct hr_member m = t->members[from + i];

                        if (m.pidfd < 0) {
                                uint32_t e = find_entry(table, m.pid, m.start_ticks);

                                ended[i] = e == NOBODY || is_dead_state(table->entries[e].state);
                        }
                        if (ended[i])
                                hr_close(m.pidfd);
                        else
                                t->members[kept++] = m;
                }
        }
        t->member_count = kept;
}

static void reach(const struct hr_proc_table *table, pid_t pid, uint64_t start_ticks, uint32_t *queued)
{
        uint32_t e = find_entry(table, pid, start_ticks);

        if (e != NOBODY && !table->reached->marked[e]) {
                table->reached->marked[e] = true;
                table->reached->queue[(*queued)++] = e;
        }
}

int hr_tree_update(const char *proc_path, struct hr_tree *t, const struct hr_proc_table *table)
{
        struct reached *reached = table->reached;
        uint32_t queued = 0;

        memset(reached->marked, 0, table->count * sizeof(reached->marked[0]));
        for (size_t i = 0; i < t->member_count; i++)
                reach(table, t->members[i].pid, t->members[i].start_ticks, &queued);
        if (t->reaper > 0)
                reach(table, t->reaper, t->reaper_start_ticks, &queued);
        for (uint32_t at = 0; at < queued; at++) {
                pid_t parent = table->entries[reached->queue[at]].pid;

                for (uint32_t e = table->by_ppid[bucket(parent)]; e != NOBODY;
                        e = table->entries[e].next_by_ppid) {
                        const struct entry *child = &table->entries[e];

                        if (child->ppid != parent || reached->marked[e] ||
                                (child->is_witness && parent == t->reaper))
                                continue;
                        reached->marked[e] = true;
                        reached->queue[queued++] = e;
                        if (hr_tree_add(proc_path, t, child->pid, child->start_ticks) == -EBADMSG)
                                t->bad_count++; /* it is away again, or there is no room: which overflow tells
                                                 */
                }
        }
        drop_dead(t, table);
        return t->member_count == 0 ? HR_SENSE_GONE : 0;
}

int hr_tree_read_usage(const char *proc_path, struct hr_tree *t, struct hr_usage *ret)
{
        struct hr_usage usage = {0};
        size_t alive = 0;
        bool bad = false;

        for (size_t from = 0; from < t->member_count; from += BATCH) {
                size_t count = MIN((size_t)BATCH, t->member_count - from);
                struct hr_usage of[BATCH] = {0};
                bool here[BATCH], ended[BATCH];

                for (size_t i = 0; i < count; i++) {
                        struct hr_pid_status status;
                        int r = hr_process_status(proc_path, t->members[from + i].pid, &status);

                        here[i] = r != HR_SENSE_GONE;
                        bad = bad || r < 0;
                        if (r != 0 || !status.has_memory)
                                continue;
                        of[i].current_bytes = hr_add(status.rss_anon_bytes, status.rss_shmem_bytes);
                        of[i].shmem_bytes = status.rss_shmem_bytes;
                        of[i].swap_bytes = status.vm_swap_bytes;
                }
                find_ended(t->members + from, count, ended);
                for (size_t i = 0; i < count; i++) {
                        if (!here[i] || ended[i])
                                continue;
                        alive++;
                        usage.current_bytes = hr_add(usage.current_bytes, of[i].current_bytes);
                        usage.shmem_bytes = hr_add(usage.shmem_bytes, of[i].shmem_bytes);
                        usage.swap_bytes = hr_add(usage.swap_bytes, of[i].swap_bytes);
                }
        }
        if (alive == 0)
                return HR_SENSE_GONE;
        if (bad || !hr_sense_plausible(usage.current_bytes) || !hr_sense_plausible(usage.swap_bytes)) {
                t->bad_count++;
                *ret = (struct hr_usage){.current_bytes = t->last_used_bytes};
                return 0;
        }
        t->last_used_bytes = usage.current_bytes + usage.swap_bytes;
        *ret = usage;
        return 0;
}
