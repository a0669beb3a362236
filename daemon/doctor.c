/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "act/freeze.h"
#include "act/unit.h"
#include "manager.h"

/*
 * One line for each sensor and each means: is it there, what is it for, what is lost without it, and what to
 * type. Whatever the kernel may lack is a row of a table, looked for in a cgroup that is there already; none
 * is made. Nothing here waits: files of /proc and of cgroups, and what the daemon knows of itself.
 */

#define OK "ok"
#define ABSENT "absent" /* not needed */
#define WARNING "warning"
#define MISSING "missing"

static void HR_PRINTF(5, 6)
        item(FILE *out, const char *name, const char *state, const char *remedy, const char *format, ...)
{
        va_list ap;
        va_start(ap, format);
        fprintf(out, "%s\t%s\t", name, state);
        vfprintf(out, format, ap);
        fprintf(out, "\t%s\n", remedy);
        va_end(ap);
}

/* ---- hierarchies ---- */

static void write_hierarchy(const struct hr_hierarchy *h, FILE *out)
{
        if (h->memory_version == 2)
                item(out, "memory", OK, "", "cgroup v2 at %s: jobs of kind cgroup2", h->memory);
        else if (h->memory_version == 1)
                item(out, "memory", OK, "boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2",
                        "cgroup v1 at %s: jobs of kind cgroup1; without v2: no brake below the limit, no "
                        "reclaim",
                        h->memory);
        else
                item(out, "memory", MISSING,
                        "mount -t cgroup2 none /sys/fs/cgroup, or boot without cgroup_disable=memory",
                        "no memory controller: jobs are process trees; without it: limits are enforced by "
                        "headroomd alone");
        if (h->unified[0])
                item(out, "freezer", OK, "", "cgroup.freeze and cgroup.kill at %s", h->unified);
        else if (h->freezer[0])
                item(out, "freezer", OK, "", "v1 freezer at %s", h->freezer);
        else
                item(out, "freezer", WARNING, "mount -t cgroup2 none /sys/fs/cgroup/unified",
                        "no freezer: jobs are held by SIGSTOP, which they can see");
}

/* Files that kernels or configurations lack. The root of a hierarchy has none of them: a group is looked at.
 */
static const struct probe {
        enum { V1_MEMORY = 1, V2_MEMORY = 2, UNIFIED } where;
        const char *name, *file;
        const char *state; /* where it is not there */
        const char *use, *lost, *remedy;
} probes[] = {
        {V2_MEMORY, "memory.current", "memory.current", MISSING, "usage of a job", "nothing is known of it",
                "systemctl set-property system.slice MemoryAccounting=yes"},
        {V2_MEMORY, "memory.high", "memory.high", MISSING, "the tripwire, and the brake",
                "jobs are polled, and run into their limit unbraked", "a kernel with CONFIG_MEMCG"},
        {V2_MEMORY, "memory.events.local", "memory.events.local", WARNING, "wakes headroomd at a threshold",
                "jobs are polled", "Linux 5.2 or newer"},
        {V2_MEMORY, "memory.peak", "memory.peak", ABSENT, "the peak of a job",
                "the peak is the highest sample", "Linux 5.19 or newer"},
        {V2_MEMORY, "memory.reclaim", "memory.reclaim", ABSENT, "reclaims what is cold at trim",
                "cold memory stays", "Linux 5.19 or newer: apt-get install linux-image-amd64"},
        {V2_MEMORY, "memory.swap.current", "memory.swap.current", ABSENT, "swap counts as room of a job",
                "swap is not counted", "a kernel with CONFIG_SWAP, booted without swapaccount=0"},
        {V1_MEMORY, "v1 usage", "memory.usage_in_bytes", MISSING, "usage of a job", "nothing is known of it",
                "boot with cgroup_enable=memory"},
        {V1_MEMORY, "v1 thresholds", "cgroup.event_control", WARNING, "thresholds that wake headroomd",
                "jobs are polled", "a kernel without PREEMPT_RT, or cgroup v2"},
        {V1_MEMORY, "v1 peak", "memory.max_usage_in_bytes", ABSENT, "the peak of a job",
                "the peak is the highest sample", ""},
        {V1_MEMORY, "v1 swap", "memory.memsw.usage_in_bytes", ABSENT, "swap counts as room of a job",
                "swap is not counted", "boot with swapaccount=1"},
        {V1_MEMORY, "v1 OOM kills", "memory.oom_control", WARNING, "OOM kills of a job",
                "they are not told, nor counted", "boot with cgroup_enable=memory"},
        {UNIFIED, "cgroup.freeze", "cgroup.freeze", WARNING, "holds a job",
                "SIGSTOP, which jobs can see, or the v1 freezer", "Linux 5.2 or newer"},
        {UNIFIED, "cgroup.kill", "cgroup.kill", ABSENT, "ends a job at once",
                "its processes are killed one by one", "Linux 5.14 or newer"},
};

/* A group below the mount that has the file: of a job, or any directory one or two levels down. */
static bool group_has(const char *mount, const char *file, int levels)
{
        DIR *dir = opendir(mount);
        bool found = false;
        struct dirent *entry;

        for (unsigned looked = 0; dir && !found && looked < 64 && (entry = readdir(dir));) {
                char path[PATH_MAX];

                if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
                        continue;
                looked++;
                if (snprintf(path, sizeof(path), "%s/%s/%s", mount, entry->d_name, file) >= (int)sizeof(path))
                        continue;
                found = access(path, F_OK) == 0;
                if (!found && levels > 1) {
                        path[strlen(path) - strlen(file) - 1] = '\0';
                        found = group_has(path, file, levels - 1);
                }
        }
        if (dir)
                closedir(dir);
        return found;
}

static bool has_group(const char *mount)
{
        return group_has(mount, "cgroup.procs", 1);
}

static void write_probe(FILE *out, const char *mount, const struct probe *p)
{
        if (group_has(mount, p->file, 2))
                item(out, p->name, OK, "", "%s: %s", p->file, p->use);
        else if (has_group(mount))
                item(out, p->name, p->state, p->remedy, "%s: %s; without it: %s", p->file, p->use, p->lost);
        else
                item(out, p->name, WARNING, "headroom run -- headroom doctor",
                        "%s: %s; not known while there is no group below %s; without it: %s", p->file, p->use,
                        mount, p->lost);
}

static void write_probes(const struct hr_hierarchy *h, FILE *out)
{
        for (const struct probe *p = probes; p < probes + ELEMENTSOF(probes); p++) {
                const char *mount = p->where == UNIFIED ? h->unified : h->memory;

                if (mount[0] && (p->where == UNIFIED || (int)p->where == h->memory_version))
                        write_probe(out, mount, p);
        }
}

/* ---- the daemon itself ---- */

static bool has_capability(unsigned number)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2] = {0};

        return syscall(SYS_capget, &header, data) == 0 &&
               (data[number / 32].effective & (1U << (number % 32))) != 0;
}

/* A number out of a file of /proc/self, behind `key`. False: it is not there. */
static bool read_own(const char *path, const char *key, long *ret)
{
        char text[4096];
        _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (n <= 0)
                return false;
        text[n] = '\0';
        const char *at = strstr(text, key);
        return at && sscanf(at + strlen(key), "%ld", ret) == 1;
}

static void write_fuse(const struct hr_manager *m, FILE *out)
{
        if (m->user)
                item(out, "fuse", OK,
                        "optional: the system's headroomd does it for programs that change their user",
                        "MemoryError by prlimit, for processes of this user");
        else if (has_capability(CAP_SYS_RESOURCE))
                item(out, "fuse", OK, "", "MemoryError by prlimit, for processes of any user");
        else
                item(out, "fuse", WARNING, "CAP_SYS_RESOURCE in CapabilityBoundingSet= of headroomd.service",
                        "no right to set limits of other users' processes; without it: their interrupted "
                        "Python jobs "
                        "may meet SIGKILL before a MemoryError");
}

static void write_process(const struct hr_manager *m, FILE *out)
{
        struct rlimit files = {0};
        long locked_kib = 0, score = 0;
        int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;

        if (policy == SCHED_RR)
                item(out, "realtime", OK, "", "the deciding thread goes before busy jobs");
        else
                item(out, "realtime", WARNING,
                        m->user ? "optional: LimitRTPRIO=2, or the system's headroomd"
                                : "CAP_SYS_NICE; on v1: echo 10000 > cpu.rt_runtime_us of its cpu cgroup",
                        "no real-time priority; without it: on a busy machine a job is looked at late");
        if (!m->config->lock_memory || m->user)
                item(out, "mlock", ABSENT,
                        m->user ? "optional: the system's headroomd" : "lock_memory = yes in headroom.conf",
                        "%s; without it: headroomd may be slow when the host is full",
                        m->user ? "an ordinary user may lock too little" : "lock_memory is off");
        else if (read_own("/proc/self/status", "VmLck:", &locked_kib) && locked_kib > 0)
                item(out, "mlock", OK, "", "headroomd's memory is locked");
        else
                item(out, "mlock", WARNING, "LimitMEMLOCK=64M and CAP_IPC_LOCK for headroomd.service",
                        "memory can't be locked; without it: headroomd may be slow when the host is full");
        (void)getrlimit(RLIMIT_NOFILE, &files);
        if (files.rlim_cur >= 4ULL * m->jobs_max + 256)
                item(out, "files", OK, "", "%llu descriptors, for at most %u jobs",
                        (unsigned long long)files.rlim_cur, m->jobs_max);
        else
                item(out, "files", WARNING,
                        m->user ? "ulimit -n 65536 before headroomd --user is started, or a smaller jobs_max"
                                : "LimitNOFILE=65536 for headroomd.service, or a smaller jobs_max",
                        "%llu descriptors; without more: about %llu jobs can be watched, not jobs_max = %u",
                        (unsigned long long)files.rlim_cur,
                        (unsigned long long)(files.rlim_cur > 256 ? (files.rlim_cur - 256) / 4 : 0),
                        m->jobs_max);
        if (read_own("/proc/self/oom_score_adj", "", &score) && score < 0)
                item(out, "oom_score_adj", OK, "", "%ld: the kernel kills others first", score);
        else
                item(out, "oom_score_adj", m->user ? ABSENT : WARNING,
                        m->user ? "optional: the system's headroomd"
                                : "OOMScoreAdjust=-900 for headroomd.service",
                        "%ld; without less: the kernel may kill headroomd when the host is full", score);
}

static void write_sensors(const struct hr_manager *m, FILE *out)
{
        char path[PATH_MAX];

        if (m->psi.fd >= 0)
                item(out, "pressure", OK, "", "PSI trigger on the host's memory");
        else if (!m->config->host_guard)
                item(out, "pressure", ABSENT, "guard = yes in headroom.conf", "the host is not guarded");
        else
                item(out, "pressure", MISSING, "boot with psi=1",
                        "no PSI; without it: the host is watched by the timer alone");
        snprintf(path, sizeof(path), "%s/1/stat", m->hierarchy.proc);
        if (access(path, R_OK) == 0)
                item(out, "processes", OK, "", "process trees are read from %s", m->hierarchy.proc);
        else
                item(out, "processes", WARNING, "mount -o remount,hidepid=0 /proc",
                        "%s hides processes of others; without them: trees are watched as far as they are "
                        "seen",
                        m->hierarchy.proc);
        if (m->config->metrics_file[0])
                item(out, "metrics", OK, "", "for Prometheus, in %s", m->config->metrics_file);
        else
                item(out, "metrics", ABSENT, "optional: metrics_file in headroom.conf",
                        "no file for Prometheus; headroom metrics prints them");
        if (m->config->tell_terminals && access("/run/utmp", R_OK) == 0)
                item(out, "terminals", OK, "",
                        "owners of jobs without a run are told on their login terminals");
        else
                item(out, "terminals", ABSENT,
                        m->config->tell_terminals ? "optional: a login that writes /run/utmp"
                                                  : "optional: tell_terminals = yes in headroom.conf",
                        "%s; without it: owners learn of it by headroom run, events and hooks alone",
                        m->config->tell_terminals ? "nobody is logged in by /run/utmp"
                                                  : "tell_terminals is off");
}

static void write_place(const struct hr_manager *m, FILE *out)
{
        if (m->user)
                item(out, "rights", OK, "optional: systemctl enable --now headroomd, as root, does more",
                        "not root: own jobs only; a scope needs the user's manager and delegation");
        else
                item(out, "rights", OK, "", "root");
        if (hr_unit_systemd_runs())
                item(out, "systemd", OK, "", "jobs started from a login get a scope in their user's slice");
        else
                item(out, "systemd", ABSENT, "",
                        "not needed: jobs get a group below the caller's own, through libcgroup");
}

static void write_criu(const struct hr_manager *m, FILE *out)
{
        const char *remedy = m->criu_result == 0 ? ""
                             : m->user           ? "optional: ask an administrator for the system's headroomd"
                             : m->criu_result == -ENOENT
                                     ? "optional: apt-get install criu"
                                     : "optional: criu check --all says what this kernel lacks";

        item(out, "criu",
                m->criu_result == 0                    ? OK
                : m->user || m->criu_result == -ENOENT ? ABSENT
                                                       : WARNING,
                remedy, "%s%s", m->criu_text,
                m->criu_result == 0
                        ? ""
                        : "; without it: a job that has no code to save itself can't be saved whole");
}

void hr_doctor_write(struct hr_manager *m, uid_t uid, FILE *out)
{
        char a[HR_TEXT_SIZE_MAX], b[HR_TEXT_SIZE_MAX];
        bool swap = m->host.last.swap_total_bytes > 0;

        write_hierarchy(&m->hierarchy, out);
        write_probes(&m->hierarchy, out);
        write_sensors(m, out);
        write_place(m, out);
        write_fuse(m, out);
        write_process(m, out);
        item(out, "swap", swap ? OK : ABSENT,
                swap ? ""
                     : "optional: fallocate -l 4G /swap && chmod 600 /swap && mkswap /swap && swapon /swap",
                "%s free of %s%s", hr_units_format_bytes(a, m->host.last.swap_free_bytes),
                hr_units_format_bytes(b, m->host.last.swap_total_bytes),
                swap ? "" : "; without it: cold memory has no place to go");
        item(out, "host", OK, "", "%s available of %s, guard %s, %" PRIu64 " values that made no sense",
                hr_units_format_bytes(a, m->host.last.available_bytes),
                hr_units_format_bytes(b, m->host.last.total_bytes), m->config->host_guard ? "on" : "off",
                m->host.bad_count);
        write_criu(m, out);
        item(out, "helper", m->helper ? OK : WARNING, m->helper ? "" : "it is started again within seconds",
                "%s", m->helper ? "hooks, limits and reclaim" : "it has died");
        item(out, "matches", m->config->match_count > 0 ? OK : ABSENT,
                m->config->match_count > 0 ? "" : "optional: headroom.conf(5), [match NAME]",
                "%zu [match] rules", m->config->match_count);
        HR_JOBS_FOREACH (m, job) {
                char why[256], name[300];

                if (uid != 0 && uid != job->uid)
                        continue;
                hr_units_escape(why, sizeof(why), job->why);
                snprintf(name, sizeof(name), "job %s", job->id);
                item(out, name, job->kind == HR_KIND_PROCESS ? WARNING : OK,
                        job->kind == HR_KIND_PROCESS ? "start it from a login, or under root's daemon, for a "
                                                       "cgroup of its own"
                                                     : "",
                        "kind %s: %s; would be held by %s; tripwire %s", hr_kind_name(job->kind), why,
                        hr_freezer_name(job->freezer),
                        job->wire.armed_bytes != HR_BYTES_NONE ? "armed" : "not armed");
        }
}
