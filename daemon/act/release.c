/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/release.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "act/criu.h"
#include "act/freeze.h"
#include "act/fuse.h"
#include "act/limit.h"
#include "act/unit.h"
#include "state.h"
#include "think/account.h"
#include "think/policy.h"

/*
 * Runs without a daemon: in ExecStopPost=, from a timer, in the helper as guard, or at the end of a daemon
 * that no systemd manages. Works from the records alone, opens everything anew, and goes on past every
 * failure: one job that can't be released must not keep the next one frozen.
 */

#define UNIT "headroomd.service"
#define CRIU_USEC (15 * HR_USEC_PER_SEC) /* below TimeoutStopSec= of the service */
#define LOCK_USEC HR_USEC_PER_SEC
#define LOCK_PAUSE_USEC 2000U
#define FUSE_RESERVE_BYTES (16 * HR_MIB) /* chosen: room for a handler's own small allocations */

static int take_lock(const char *runtime_dir)
{
        char path[600];
        snprintf(path, sizeof(path), "%s/lock", runtime_dir);
        _close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* In the lock stands when the newest daemon took it. Who brakes or lets go has it for some milliseconds. */
int hr_release_lock(const char *runtime_dir)
{
        int fd = take_lock(runtime_dir);
        for (uint64_t until = hr_clock_usec() + LOCK_USEC; fd == -EWOULDBLOCK && hr_clock_usec() < until;) {
                usleep(LOCK_PAUSE_USEC);
                fd = take_lock(runtime_dir);
        }
        if (fd >= 0 && (ftruncate(fd, 0) < 0 || dprintf(fd, "%" PRIu64 "\n", hr_clock_usec()) < 0)) {
                /* a full disk: whoever guards may let jobs go a little early */
        }
        return fd;
}

uint64_t hr_release_stamp(const char *runtime_dir)
{
        char path[600], text[32] = "";
        uint64_t stamp;
        snprintf(path, sizeof(path), "%s/lock", runtime_dir);
        _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
        return n > 0 && sscanf(text, "%" SCNu64, &stamp) == 1 ? stamp : 0;
}

struct releasing {
        const struct hr_hierarchy *hierarchy;
        const char *runtime_dir;
        struct hr_proc_table *table;
        int count;
};

static int open_control(const struct hr_hierarchy *h, const struct hr_placement *p)
{
        char path[PATH_MAX];
        const char *mount = p->freezer == HR_FREEZER_CGROUP1 ? h->freezer : h->unified;
        if (p->control[0] == '\0' ||
                (size_t)snprintf(path, sizeof(path), "%s%s", mount, p->control) >= sizeof(path))
                return -1;
        return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* A group that is gone has no limit to be set. */
static void write_limit(const struct releasing *rel, const struct hr_placement *p, uint64_t bytes)
{
        (void)(p->kind == HR_KIND_CGROUP2 ? hr_limit_write2(rel->hierarchy->memory, p->cgroup, bytes)
                                          : hr_limit_write1(rel->hierarchy->memory, p->cgroup, bytes));
}

/* What a record tells of, opened anew. */
struct opened {
        struct hr_group group;
        struct hr_tree tree;
        int control_fd;
        bool has_group, has_tree;
        size_t stopped_count;
        struct hr_target target;
};

static void open_job(const struct releasing *rel, const struct hr_state *state, struct opened *o)
{
        static pid_t stopped[HR_MEMBERS_MAX]; /* 16 KiB, and one is open at a time */
        const struct hr_placement *p = &state->placement;

        *o = (struct opened){.group = HR_GROUP_INIT, .control_fd = open_control(rel->hierarchy, p)};
        o->has_group = p->cgroup[0] && hr_group_open(rel->hierarchy, p->cgroup, &o->group) == 0;
        o->has_tree = p->kind == HR_KIND_PROCESS && hr_tree_open(rel->hierarchy->proc, state->leader,
                                                            state->leader_start_ticks, &o->tree) == 0;
        o->tree.reaper = state->reaper;
        o->tree.reaper_start_ticks = state->reaper_start_ticks;
        o->target = (struct hr_target){
                .proc_path = rel->hierarchy->proc,
                .kind = p->kind,
                .group = o->has_group ? &o->group : NULL,
                .tree = o->has_tree ? &o->tree : NULL,
                .table = rel->table,
                .freezer = p->freezer,
                .control_fd = o->control_fd,
                .leader = state->leader,
                .owner = state->uid,
                .stopped = stopped,
                .stopped_count = &o->stopped_count,
        };
}

static void close_job(struct opened *o)
{
        hr_group_close(&o->group);
        if (o->has_tree)
                hr_tree_close(&o->tree);
        hr_close(o->control_fd);
}

static void criu_lock(const struct releasing *rel, const struct hr_state *state, char *buf, size_t size)
{
        snprintf(buf, size, "%s/criu-%s.lock", rel->runtime_dir, state->id);
}

static int record(const struct releasing *rel, const struct hr_state *state, const struct hr_armed *armed)
{
        _close_ int fd = hr_state_open(rel->runtime_dir, state->id);
        return fd < 0 ? fd : hr_state_arm(fd, armed);
}

/* One that was only braked while there was no daemon is no worse off without one: it gets no fuse. */
static bool was_held(const struct hr_armed *armed)
{
        return armed->frozen && armed->phase != HR_PHASE_WATCH && armed->phase != HR_PHASE_SAVE;
}

static void release_one(const struct hr_state *state, void *userdata)
{
        struct releasing *rel = userdata;
        const struct hr_armed *armed = &state->armed;
        const struct hr_placement *p = &state->placement;
        struct opened o;
        uint64_t soft = HR_BYTES_NONE;
        bool fused = false, thawed = false;
        char criu[600];

        if (!armed->frozen && !armed->high && armed->stood_back_bytes == HR_BYTES_NONE)
                return;
        criu_lock(rel, state, criu, sizeof(criu));
        if (armed->frozen) /* CRIU would freeze it again behind us */
                (void)hr_criu_wait(criu, CRIU_USEC);
        open_job(rel, state, &o);
        if (was_held(armed) && !armed->fused) /* without rights it goes on unfused */
                fused = hr_fuse_arm(&o.target, FUSE_RESERVE_BYTES, false, &soft) > 0;
        if (armed->high && o.has_group)
                (void)hr_limit_lift_high(&o.group);
        if (!armed->frozen && armed->stood_back_bytes != HR_BYTES_NONE && o.has_group)
                write_limit(rel, p, armed->stood_back_bytes);
        /* One that runs keeps the limit that it was given. */
        if (was_held(armed) && armed->limit && o.has_group && p->owned)
                write_limit(rel, p, armed->limit_before_bytes);
        if (armed->frozen) {
                hr_freeze_adopt(&o.target);
                int r = hr_thaw(&o.target);
                /* gone: nobody is frozen any more */
                thawed = r == 0 || r == -ENOENT || r == -ENODEV || r == -EBADF;
                rel->count += r == 0;
        }
        /* What others had set may reclaim, and so comes last. */
        if (armed->high && o.has_group && armed->high_before_bytes != HR_BYTES_NONE)
                (void)hr_limit_write_high(rel->hierarchy->memory, p->cgroup, armed->high_before_bytes);
        /* What could not be thawed stays recorded as frozen, for whoever comes next. A fuse stays, and known.
         */
        struct hr_armed left = *armed;
        left.frozen = armed->frozen && !thawed;
        left.high = false;
        left.stood_back_bytes = HR_BYTES_NONE;
        left.fused = armed->fused || fused;
        left.fuse_soft_bytes = armed->fused ? armed->fuse_soft_bytes : soft;
        left.phase = 0;
        (void)record(rel, state, &left);
        close_job(&o);
}

static bool use_of(const struct releasing *rel, const struct hr_state *state, struct opened *o, uint64_t *ret)
{
        enum hr_kind kind = state->placement.kind;
        struct hr_usage usage;
        uint64_t cache;
        int r;

        if (o->has_tree) {
                r = hr_tree_update(rel->hierarchy->proc, &o->tree, rel->table);
                if (r == 0)
                        r = hr_tree_read_usage(rel->hierarchy->proc, &o->tree, &usage);
        } else {
                r = o->has_group ? hr_group_read_usage(&o->group, &usage) : -ENOENT;
        }
        if (r == 0)
                *ret = hr_account_used(kind, &usage, &cache);
        return r == 0;
}

/* One that ends, or that CRIU has, is left to that. */
static void brake_one(const struct hr_state *state, void *userdata)
{
        struct releasing *rel = userdata;
        struct hr_armed armed = state->armed;
        struct opened o;
        uint64_t used;
        char criu[600];

        criu_lock(rel, state, criu, sizeof(criu));
        if (armed.frozen || armed.guard_bytes == HR_BYTES_NONE || armed.interrupted ||
                (armed.phase != HR_PHASE_WATCH && armed.phase != HR_PHASE_SAVE) || hr_criu_is_busy(criu))
                return;
        open_job(rel, state, &o);
        armed.frozen = true;
        armed.phase = HR_PHASE_WATCH; /* whoever comes lets it go on at once, and looks */
        hr_freeze_adopt(&o.target);
        bool stopped = o.stopped_count > 0; /* by its owner: that must not look like ours */
        if (!stopped && use_of(rel, state, &o, &used) && used >= armed.guard_bytes &&
                record(rel, state, &armed) == 0 && hr_freeze(&o.target) == 0)
                rel->count++;
        close_job(&o);
}

static void table_freep(struct hr_proc_table **t)
{
        hr_proc_table_free(*t);
}

static int each_job(const struct hr_hierarchy *h, const char *runtime_dir, hr_state_fn what)
{
        struct releasing rel = {.hierarchy = h, .runtime_dir = runtime_dir};
        HR_CLEANUP(table_freep) struct hr_proc_table *table = NULL;

        int r = hr_proc_table_new(h->proc, &table);
        if (r < 0)
                return r;
        rel.table = table;
        if (what == brake_one)
                (void)hr_proc_table_scan(table); /* once, for all that are trees */
        r = hr_state_each(runtime_dir, false, what, &rel);
        return r < 0 ? r : rel.count;
}

int hr_release_own(const struct hr_hierarchy *h, const char *runtime_dir)
{
        return each_job(h, runtime_dir, release_one);
}

static int release_unless(const struct hr_hierarchy *h, const char *runtime_dir, const uint64_t *stamp)
{
        _close_ int lock = take_lock(runtime_dir);
        if (lock == -EWOULDBLOCK)
                return 0; /* a daemon is back, and they are its own */
        if (lock < 0)
                return lock;
        return stamp && hr_release_stamp(runtime_dir) != *stamp ? 0 : each_job(h, runtime_dir, release_one);
}

int hr_release_late(const struct hr_hierarchy *h, const char *runtime_dir, uint64_t stamp)
{
        return release_unless(h, runtime_dir, &stamp);
}

int hr_release_brake(const struct hr_hierarchy *h, const char *runtime_dir, uint64_t stamp)
{
        uint64_t until = hr_clock_usec() + LOCK_USEC;
        _close_ int lock = take_lock(runtime_dir);

        while (lock == -EWOULDBLOCK && hr_release_stamp(runtime_dir) == stamp && hr_clock_usec() < until) {
                usleep(LOCK_PAUSE_USEC); /* our daemon is still on its way out */
                lock = take_lock(runtime_dir);
        }
        return lock < 0 || hr_release_stamp(runtime_dir) != stamp ? 0 : each_job(h, runtime_dir, brake_one);
}

/* systemd-run(1) makes the timer: it stands for itself in `systemctl list-timers`, and needs no code here. */
static int start_timer(bool user, const char *runtime_dir)
{
        char exe[PATH_MAX], name[64], what[640];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        if (n < 0)
                return -errno;
        exe[n] = '\0';
        snprintf(what, sizeof(what), "%" PRIu64 ":%s", hr_release_stamp(runtime_dir), runtime_dir);
        /* One of its own for each stop: the one of a crash a moment ago may still be waiting. */
        snprintf(name, sizeof(name), "--unit=headroomd-release-%d", (int)getpid());
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                execlp("systemd-run", "systemd-run", user ? "--user" : "--system", "--quiet", "--collect",
                        name, "--on-active=60s", "--timer-property=AccuracySec=1s", "--", exe, "--release",
                        what, (char *)NULL);
                _exit(127);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid)
                return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int hr_release_after_stop(const struct hr_hierarchy *h, bool user, const char *runtime_dir)
{
        char job[32] = "";
        int r = hr_unit_queued_job(user, UNIT, job, sizeof(job));
        if (r == 0 && strcmp(job, "stop") != 0 && start_timer(user, runtime_dir) == 0)
                return 0;
        /* Being stopped for good, or systemd did not answer: nobody may come back, so they are let go now. */
        return release_unless(h, runtime_dir, NULL);
}
