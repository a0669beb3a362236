/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/*
 * [match] rules. A cgroup that appears is empty at first: it is looked at a moment later, and again a few
 * times until somebody lives in it, since the owner is known by its processes. The topmost cgroup that a rule
 * fits becomes the job; what is below it belongs to it.
 */

#define WAITING_MAX 16384 /* a bound on what a fork bomb of mkdir costs; chosen, not tuned */
/* 0.1, 0.2, 0.4 ... 3.2 s after it appeared; chosen: a service is populated within a second */
#define LOOKS_MAX 6
#define FIRST_LOOK_USEC (100 * HR_USEC_PER_MSEC)
/* A look opens and reads half a dozen files: a thousand that were there before must not keep jobs waiting. */
#define LOOKS_AT_ONCE 16
#define ASKED_MAX 6 /* of the helper at once: a `run` must find it free */
#define NEXT_LOOKS_USEC (2 * HR_USEC_PER_MSEC)

struct waiting {
        char *path; /* owned */
        uint64_t due_usec;
        unsigned looks;
};
static struct waiting *waiting; /* touched only where rules are used */
static size_t waiting_count, waiting_size;
static uint64_t waiting_next_usec = HR_USEC_NEVER;
static unsigned asked_count; /* of the helper, which has not answered yet */

static bool is_job_or_below(struct hr_manager *m, const char *path)
{
        HR_JOBS_FOREACH (m, job) {
                const char *own = job->group.path;
                size_t n = own ? strlen(own) : 0;
                if (n > 0 && strncmp(path, own, n) == 0 && (path[n] == '\0' || path[n] == '/'))
                        return true;
                n = own ? strlen(path) : 0;
                if (n > 0 && strncmp(own, path, n) == 0 && own[n] == '/')
                        return true; /* it holds a job: two hands on one job would be one too many */
        }
        return false;
}

static const char *unit_of(const char *path)
{
        const char *base = strrchr(path, '/');
        base = base ? base + 1 : path;
        const char *dot = strrchr(base, '.');
        return dot && (strcmp(dot, ".service") == 0 || strcmp(dot, ".scope") == 0 ||
                              strcmp(dot, ".slice") == 0)
                       ? base
                       : "";
}

static int first_pid(pid_t pid, void *userdata)
{
        *(pid_t *)userdata = pid;
        return 1;
}

/* May this cgroup become a job at all, for a rule that names only users: a unit that is no slice, or a plain
 * group. */
static bool is_leaf_like(const char *path, const struct hr_match *match)
{
        const char *unit = unit_of(path);
        size_t n = strlen(unit);
        bool slice = n > 6 && strcmp(unit + n - 6, ".slice") == 0;
        return match->unit[0] || match->cgroup[0] || !slice;
}

/* Whose is it? The answer comes to hr_watch_known. -EAGAIN: nobody lives in it yet; -EBUSY: the helper has
 * too much to do already. */
static int ask_whose(struct hr_manager *m, const char *path)
{
        static struct hr_helper_request q;
        struct hr_group g = HR_GROUP_INIT;
        struct hr_pid_status status;
        pid_t pid = 0;

        if (asked_count == ASKED_MAX)
                return -EBUSY;
        int r = hr_group_open(&m->hierarchy, path, &g);
        if (r == -ENOENT)
                r = -EAGAIN; /* it is there, but its memory controller is not yet: no event tells when it is
                              */
        if (r == 0) {
                r = hr_group_each_pid(&g, first_pid, &pid);
                if (r == 1)
                        r = hr_process_status(m->hierarchy.proc, pid, &status);
                else
                        r = r < 0 ? r : -EAGAIN; /* nobody lives in it yet */
        }
        hr_group_close(&g);
        if (r != 0)
                return r == -EAGAIN ? r : 0;

        memset(&q, 0, sizeof(q));
        q.op = HR_HELPER_WHO;
        q.uid = status.uid_real;
        q.gid = status.gid;
        snprintf(q.placement.cgroup, sizeof(q.placement.cgroup), "%s", path);
        if (hr_errands_ask(m, &q, NULL, NULL, NULL) < 0)
                return -EBUSY;
        asked_count++;
        return 0;
}

void hr_watch_known(struct hr_manager *m, const struct hr_helper_answer *a)
{
        const char *path = a->placement.cgroup;
        struct hr_state s = {0};
        struct hr_job *job;

        asked_count--;
        if (a->result < 0)
                return; /* whose it is can't be found out */
        const struct hr_match *match = hr_config_match(m->config, unit_of(path), path, a->user, a->group);
        if (!match || !is_leaf_like(path, match) || is_job_or_below(m, path))
                return;
        snprintf(s.id, sizeof(s.id), "j%" PRIu64, hr_manager_new_id(m));
        const char *base = strrchr(path, '/');
        size_t n = 0;
        for (const char *p = base ? base + 1 : path; *p && n + 1 < sizeof(s.name); p++)
                if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                        (n > 0 && ((*p >= '0' && *p <= '9') || strchr("._-@", *p))))
                        s.name[n++] = *p;
        if (hr_units_check_name(s.name) < 0)
                snprintf(s.name, sizeof(s.name), "%s", match->name);
        snprintf(s.policy, sizeof(s.policy), "%s", match->policy);
        s.uid = a->uid;
        s.gid = a->gid;
        snprintf(s.user, sizeof(s.user), "%s", a->user);
        s.matched = true;
        s.attached = true;
        s.locked = match->lock;
        s.limit_max_bytes = match->limit_max_bytes;
        s.armed = HR_ARMED_NOTHING;
        s.own_limit_bytes = HR_BYTES_NONE;
        s.placement.kind = m->hierarchy.memory_version == 2 ? HR_KIND_CGROUP2 : HR_KIND_CGROUP1;
        s.placement.freezer = HR_FREEZER_STOP;
        snprintf(s.placement.cgroup, sizeof(s.placement.cgroup), "%s", path);
        snprintf(s.placement.unit, sizeof(s.placement.unit), "%.90s", unit_of(path));
        snprintf(s.placement.why, sizeof(s.placement.why), "found by [match %s]", match->name);
        if (s.placement.kind == HR_KIND_CGROUP2) {
                s.placement.freezer = HR_FREEZER_CGROUP2;
                snprintf(s.placement.control, sizeof(s.placement.control), "%s", path);
        }
        int r = hr_manager_add(m, &s, "watch", "matched", &job);
        if (r == 0) /* else it is gone again, or the table is full, which `run` would say */
                hr_watch_limit(m, job, match);
}

/* ---- rules for jobs that somebody asked us to watch ---- */

const struct hr_match *hr_watch_rule(
        struct hr_manager *m, const struct hr_helper_answer *a, const struct hr_placement *p)
{
        const char *unit = p->unit[0] ? p->unit : unit_of(p->cgroup);
        const struct hr_match *was = hr_config_match(m->config, unit_of(a->from), a->from, a->user, a->group);
        const struct hr_match *is = hr_config_match(m->config, unit, p->cgroup, a->user, a->group);
        return !was || (is && is < was) ? is : was; /* they are in file order */
}

/* A rule that only observes is a dry run for jobs that nobody asked us to watch; this one's owner has asked.
 */
void hr_watch_obey(const struct hr_match *match, bool policy_asked, struct hr_state *s)
{
        if (match->lock || (!policy_asked && strcmp(match->policy, "observe") != 0))
                snprintf(s->policy, sizeof(s->policy), "%s", match->policy);
        s->limit_max_bytes = match->limit_max_bytes;
        s->locked = match->lock;
}

void hr_watch_limit(struct hr_manager *m, struct hr_job *job, const struct hr_match *match)
{
        static struct hr_helper_request q;
        struct hr_state s;
        if (match->limit_bytes == HR_BYTES_NONE || job->observe_only || job->kind == HR_KIND_PROCESS)
                return; /* a tree has had it in its record from the start */
        memset(&q, 0, sizeof(q));
        hr_job_state(job, &s);
        q.op = HR_HELPER_LIMIT;
        q.bytes = match->limit_bytes;
        q.placement = s.placement;
        (void)hr_errands_ask(m, &q, job, NULL, NULL); /* a failure is told as the job's event */
}

/* A group that was made for a job that `run` starts (act/place): that job is about to come, with its own
 * rule. */
static bool is_placed(const char *path)
{
        for (const char *at = strstr(path, "/headroom-j"); at; at = strstr(at + 1, "/headroom-j"))
                if (at[11] >= '0' && at[11] <= '9')
                        return true;
        return false;
}

static void appeared(const char *path, void *userdata)
{
        struct hr_manager *m = userdata;
        if (m->config->match_count == 0 || strlen(path) >= HR_PATH_MAX || is_placed(path))
                return;
        if (waiting_count == waiting_size && waiting_size < WAITING_MAX) {
                size_t size = MAX(2 * waiting_size, 64U);
                struct waiting *more = realloc(waiting, size * sizeof(*waiting));
                if (more) {
                        waiting = more;
                        waiting_size = size;
                }
        }
        char *copy = waiting_count < waiting_size ? strdup(path) : NULL;
        if (!copy) {
                char text[HR_REASON_MAX / 2];
                hr_units_escape(text, sizeof(text), path);
                hr_manager_say(m, "warning", "%s is not watched: too many cgroups appear at once", text);
                return;
        }
        uint64_t due = hr_clock_usec() + FIRST_LOOK_USEC;
        waiting[waiting_count++] = (struct waiting){.path = copy, .due_usec = due};
        waiting_next_usec = MIN(waiting_next_usec, due);
}

static void changed(const char *path, void *userdata)
{
        struct hr_manager *m = userdata;
        HR_JOBS_FOREACH (m, job)
                if (job->group.path && strcmp(job->group.path, path) == 0) {
                        job->limits_usec = 0;
                        job->next_usec = 0;
                }
}

static int on_discover(sd_event_source *source, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_manager *m = userdata;
        if (hr_discover_dispatch(m->discover) < 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        hr_manager_schedule(m);
        return 0;
}

int hr_watch_start(struct hr_manager *m)
{
        struct hr_discover_events events = {
                .appeared = appeared, .vanished = changed, .limit_written = changed, .userdata = m};
        if (m->discover || m->config->match_count == 0 || m->hierarchy.memory_version == 0)
                return 0;
        int r = hr_discover_new(&m->hierarchy, &events, &m->discover);
        if (r < 0)
                return r;
        r = sd_event_add_io(
                m->event, &m->discover_source, hr_discover_fd(m->discover), EPOLLIN, on_discover, m);
        return r < 0 ? r : hr_discover_scan(m->discover);
}

int hr_watch_reload(struct hr_manager *m)
{
        m->discover_source = sd_event_source_disable_unref(m->discover_source);
        m->discover = hr_discover_free(m->discover);
        while (waiting_count > 0)
                free(waiting[--waiting_count].path);
        return hr_watch_start(m);
}

/* False: the helper is busy, there is no use in asking for others now. */
static bool look_at(struct hr_manager *m, size_t i, uint64_t now_usec)
{
        int r = ask_whose(m, waiting[i].path);
        if (r == -EBUSY)
                return false;
        if (r == -EAGAIN && ++waiting[i].looks < LOOKS_MAX) {
                waiting[i].due_usec = now_usec + (FIRST_LOOK_USEC << waiting[i].looks);
                return true;
        }
        free(waiting[i].path);
        waiting[i] = waiting[--waiting_count];
        return true;
}

/* now_usec 0: only asks when the next look is due. */
void hr_watch_tick(struct hr_manager *m, uint64_t now_usec, uint64_t *next_usec)
{
        if (now_usec > 0 && now_usec >= waiting_next_usec) {
                unsigned left = LOOKS_AT_ONCE;
                waiting_next_usec = HR_USEC_NEVER;
                for (size_t i = waiting_count; i-- > 0;) {
                        if (now_usec >= waiting[i].due_usec && left > 0)
                                left = look_at(m, i, now_usec) ? left - 1 : 0;
                        if (i < waiting_count)
                                waiting_next_usec = MIN(waiting_next_usec, waiting[i].due_usec);
                }
                waiting_next_usec = MAX(waiting_next_usec, now_usec + NEXT_LOOKS_USEC);
        }
        *next_usec = MIN(*next_usec, waiting_next_usec);
}
