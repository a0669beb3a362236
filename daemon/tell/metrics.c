/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

/*
 * A family is a name, a type, a unit and a sentence; its rows are written by one function. The two formats
 * differ in the heading of a family (OpenMetrics names a counter without its _total, knows units and the type
 * info) and in the last line, never in a sample: https://prometheus.io/docs/instrumenting/exposition_formats/
 * and https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
 *
 * Every series that can be named beforehand is there from the start, at 0: one that appears with its first
 * event has no increase for rate() to find.
 *
 * All values are whole numbers, so that no locale and no rounding can spoil them.
 */

/* ---- facts ---- */

int hr_metrics_init(struct hr_metrics *m, size_t jobs_max)
{
        *m = (struct hr_metrics){.version = "", .jobs_max = MIN(jobs_max, (size_t)HR_METRICS_JOBS_MAX)};
        if (m->jobs_max > 0)
                m->jobs = calloc(m->jobs_max, sizeof(*m->jobs));
        return m->jobs_max > 0 && !m->jobs ? -ENOMEM : 0;
}

void hr_metrics_done(struct hr_metrics *m)
{
        free(m->jobs);
        *m = (struct hr_metrics){.version = ""};
}

static void count_policy(struct hr_metrics *m, const char *name)
{
        size_t i = 0;

        while (i < m->policy_count && strcmp(m->policies[i].name, name) != 0)
                i++;
        if (i == HR_METRICS_POLICIES_MAX)
                return; /* the configuration has not so many */
        if (i == m->policy_count) {
                snprintf(m->policies[i].name, sizeof(m->policies[i].name), "%s", name);
                m->policy_count++;
        }
        m->policies[i].jobs++;
}

static void keep_job(struct hr_metrics *m, const struct hr_metrics_job *job)
{
        size_t at = m->job_count;

        if (m->job_count < m->jobs_max)
                m->job_count++;
        else
                for (size_t i = 0; i < m->job_count; i++) /* in place of the smallest, if that is smaller */
                        if (m->jobs[i].used_bytes < job->used_bytes &&
                                (at == m->job_count || m->jobs[i].used_bytes < m->jobs[at].used_bytes))
                                at = i;
        if (at < m->job_count)
                m->jobs[at] = *job;
}

void hr_metrics_add(
        struct hr_metrics *m, const char *id, const char *user, const struct hr_status *s, bool visible)
{
        struct hr_metrics_job job = {
                .user = user,
                .stage = s->stage,
                .frozen = s->frozen,
                .used_bytes = s->used_bytes,
                .limit_bytes = s->limit_bytes,
                .headroom_bytes = s->headroom_bytes,
                .left_usec = s->left_min_usec,
        };

        snprintf(job.id, sizeof(job.id), "%s", id);
        m->stage_jobs[s->stage]++;
        m->frozen_jobs += s->frozen;
        m->used_bytes = hr_add(m->used_bytes, s->used_bytes);
        m->cache_bytes = hr_add(m->cache_bytes, s->cache_bytes);
        if (s->own_limit_bytes != HR_BYTES_NONE)
                m->limit_bytes = hr_add(m->limit_bytes, s->own_limit_bytes);
        count_policy(m, s->policy);
        if (visible && m->jobs_max > 0)
                keep_job(m, &job);
}

/* ---- samples ---- */

struct writer {
        FILE *out;
        const char *name;
};

/* A label's value: what its quotes would not hold is escaped, what is no text replaced. */
static void write_value(FILE *out, const char *value)
{
        for (const char *p = value; *p; p++) {
                if (*p == '"' || *p == '\\')
                        fprintf(out, "\\%c", *p);
                else if (*p == '\n')
                        fputs("\\n", out);
                else
                        fputc((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f ? '?' : *p, out);
        }
}

/* labels: name, value, name, value ... NULL. */
static void sample(const struct writer *w, uint64_t value, const char *const *labels)
{
        fputs(w->name, w->out);
        for (size_t i = 0; labels && labels[i]; i += 2) {
                fprintf(w->out, "%s%s=\"", i == 0 ? "{" : ",", labels[i]);
                write_value(w->out, labels[i + 1]);
                fputc('"', w->out);
        }
        fprintf(w->out, "%s %" PRIu64 "\n", labels && labels[0] ? "}" : "", value);
}
#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- families ---- */

static void build(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, 1, LABELS("version", m->version));
}

static void start_time(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->start_usec / HR_USEC_PER_SEC, NULL);
}

static void jobs(const struct hr_metrics *m, const struct writer *w)
{
        for (int i = 0; i < HR_STAGE_COUNT; i++)
                sample(w, m->stage_jobs[i], LABELS("stage", hr_stage_name(i)));
}

static void frozen_jobs(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->frozen_jobs, NULL);
}

static void policy_jobs(const struct hr_metrics *m, const struct writer *w)
{
        for (size_t i = 0; i < m->policy_count; i++)
                sample(w, m->policies[i].jobs, LABELS("policy", m->policies[i].name));
}

static void used(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->used_bytes, NULL);
}

static void cache(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->cache_bytes, NULL);
}

static void limit(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->limit_bytes, NULL);
}

static void host_total(const struct hr_metrics *m, const struct writer *w)
{
        if (m->has_host)
                sample(w, m->host_total_bytes, NULL);
}

static void host_available(const struct hr_metrics *m, const struct writer *w)
{
        if (m->has_host)
                sample(w, m->host_available_bytes, NULL);
}

static void host_swap_free(const struct hr_metrics *m, const struct writer *w)
{
        if (m->has_host)
                sample(w, m->host_swap_free_bytes, NULL);
}

static void entries(const struct hr_metrics *m, const struct writer *w)
{
        static const char *const modes[] = {"act", "observe"};

        for (size_t mode = 0; mode < ELEMENTSOF(modes); mode++)
                for (int i = 0; i < HR_STAGE_COUNT; i++)
                        sample(w, m->counts.entries[mode][i],
                                LABELS("stage", hr_stage_name(i), "mode", modes[mode]));
}

/* Those that alerts are written about; what else happens comes with its first time. */
static const struct {
        const char *action, *outcome;
} known_deeds[] = {
        {"watch", "started"},
        {"watch", "adopted"},
        {"watch", "matched"},
        {"detach", "done"},
        {"notice", "done"},
        {"trim", "done"},
        {"checkpoint", "started"},
        {"checkpoint", "proven"},
        {"checkpoint", "asked"},
        {"checkpoint", "failed"},
        {"predump", "started"},
        {"predump", "done"},
        {"predump", "failed"},
        {"predump", "stuck"},
        {"freeze", "done"},
        {"freeze", "failed"},
        {"freeze", "passed over"},
        {"fuse", "failed"},
        {"fuse", "passed over"},
        {"frozen", "done"},
        {"thaw", "done"},
        {"thaw", "failed"},
        {"interrupt", "started"},
        {"terminate", "started"},
        {"kill", "started"},
        {"saved", "done"},
        {"retry", "started"},
        {"retry", "refused"},
        {"retry", "failed"},
        {"limit", "done"},
        {"limit", "failed"},
        {"reserve", "done"},
        {"hook", "failed"},
        {"end", "done"},
        {"end", "lost"},
        {"exit", "done"},
};

static bool is_known(const struct hr_deed *d)
{
        for (size_t i = 0; i < ELEMENTSOF(known_deeds); i++)
                if (strcmp(known_deeds[i].action, d->action) == 0 &&
                        strcmp(known_deeds[i].outcome, d->outcome) == 0)
                        return true;
        return false;
}

static void deeds(const struct hr_metrics *m, const struct writer *w)
{
        for (size_t i = 0; i < ELEMENTSOF(known_deeds); i++) {
                uint64_t count = 0;
                for (size_t k = 0; k < m->counts.deed_count; k++)
                        if (strcmp(known_deeds[i].action, m->counts.deeds[k].action) == 0 &&
                                strcmp(known_deeds[i].outcome, m->counts.deeds[k].outcome) == 0)
                                count = m->counts.deeds[k].count;
                sample(w, count, LABELS("action", known_deeds[i].action, "outcome", known_deeds[i].outcome));
        }
        for (size_t i = 0; i < m->counts.deed_count; i++) {
                const struct hr_deed *d = &m->counts.deeds[i];
                if (!is_known(d))
                        sample(w, d->count, LABELS("action", d->action, "outcome", d->outcome));
        }
}

static void oom_kills(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->counts.figures[HR_FIGURE_OOM_KILLS], NULL);
}

static void dropped(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->counts.figures[HR_FIGURE_DROPPED_RECORD], LABELS("reader", "recorder"));
        sample(w, m->counts.figures[HR_FIGURE_DROPPED_BUS], LABELS("reader", "bus"));
}

static void bad_values(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->counts.figures[HR_FIGURE_BAD_VALUES], NULL);
}

static void wakeups(const struct hr_metrics *m, const struct writer *w)
{
        sample(w, m->counts.figures[HR_FIGURE_WAKEUPS], NULL);
}

#define EACH_JOB(m, j) \
        for (const struct hr_metrics_job *j = (m)->jobs; j && j < (m)->jobs + (m)->job_count; j++)
#define JOB_LABELS(j) LABELS("job", (j)->id, "user", (j)->user)

static void job_used(const struct hr_metrics *m, const struct writer *w)
{
        EACH_JOB(m, j)
        sample(w, j->used_bytes, JOB_LABELS(j));
}

static void job_limit(const struct hr_metrics *m, const struct writer *w)
{
        EACH_JOB(m, j)
        if (j->limit_bytes != HR_BYTES_NONE)
                sample(w, j->limit_bytes, JOB_LABELS(j));
}

static void job_headroom(const struct hr_metrics *m, const struct writer *w)
{
        EACH_JOB(m, j)
        if (j->headroom_bytes != HR_BYTES_NONE)
                sample(w, j->headroom_bytes, JOB_LABELS(j));
}

static void job_left(const struct hr_metrics *m, const struct writer *w)
{
        EACH_JOB(m, j)
        if (j->left_usec != HR_USEC_NEVER)
                sample(w, j->left_usec / HR_USEC_PER_SEC, JOB_LABELS(j));
}

static void job_stage(const struct hr_metrics *m, const struct writer *w)
{
        EACH_JOB(m, j)
        sample(w, (uint64_t)j->stage, JOB_LABELS(j));
}

static void job_frozen(const struct hr_metrics *m, const struct writer *w)
{
        EACH_JOB(m, j)
        sample(w, j->frozen, JOB_LABELS(j));
}

enum type { GAUGE, COUNTER, INFO };

static const struct {
        const char *name; /* as its samples have it */
        enum type type;
        const char *unit; /* "" where there is none */
        const char *help;
        void (*write)(const struct hr_metrics *m, const struct writer *w);
        bool single; /* of single jobs */
} families[] = {
        {"headroom_build_info", INFO, "", "The version of headroomd that tells this.", build, false},
        {"headroom_start_time_seconds", GAUGE, "seconds", "When headroomd was started, since 1970.",
                start_time, false},
        {"headroom_jobs", GAUGE, "", "Jobs that are watched, by the stage that they are in.", jobs, false},
        {"headroom_frozen_jobs", GAUGE, "", "Jobs that stand still, whoever had them held.", frozen_jobs,
                false},
        {"headroom_policy_jobs", GAUGE, "", "Jobs that are watched, by policy.", policy_jobs, false},
        {"headroom_jobs_used_bytes", GAUGE, "bytes",
                "What all jobs together use and the kernel can't simply drop.", used, false},
        {"headroom_jobs_cache_bytes", GAUGE, "bytes", "File cache of all jobs together.", cache, false},
        {"headroom_jobs_limit_bytes", GAUGE, "bytes", "The own limits of all jobs that have one, together.",
                limit, false},
        {"headroom_host_memory_bytes", GAUGE, "bytes", "Memory of the host.", host_total, false},
        {"headroom_host_available_bytes", GAUGE, "bytes", "Memory of the host that is available.",
                host_available, false},
        {"headroom_host_swap_free_bytes", GAUGE, "bytes", "Swap of the host that is free.", host_swap_free,
                false},
        {"headroom_stage_entries_total", COUNTER, "",
                "How often a job came into a stage; mode observe: nothing was done to it.", entries, false},
        {"headroom_actions_total", COUNTER, "", "What was done to jobs, and what became of it.", deeds,
                false},
        {"headroom_oom_kills_total", COUNTER, "",
                "Processes of watched jobs that the kernel's OOM killer struck.", oom_kills, false},
        {"headroom_dropped_events_total", COUNTER, "",
                "Events that found no room on their way to the journal (recorder) or to clients (bus).",
                dropped, false},
        {"headroom_bad_sensor_values_total", COUNTER, "",
                "Values that made no sense, or could not be read; the last good one stayed in force.",
                bad_values, false},
        {"headroom_wakeups_total", COUNTER, "", "How often the timer woke the deciding thread.", wakeups,
                false},
        {"headroom_job_used_bytes", GAUGE, "bytes", "What a job uses and the kernel can't simply drop.",
                job_used, true},
        {"headroom_job_limit_bytes", GAUGE, "bytes", "The limit that binds a job.", job_limit, true},
        {"headroom_job_headroom_bytes", GAUGE, "bytes", "What is left below the limit that binds a job.",
                job_headroom, true},
        {"headroom_job_time_to_limit_seconds", GAUGE, "seconds",
                "Time until a job reaches its limit at its pace; absent: it does not grow.", job_left, true},
        {"headroom_job_stage", GAUGE, "",
                "Stage of a job: 0 ok, 1 notice, 2 trim, 3 checkpoint, 4 hold, 5 interrupt, 6 kill.",
                job_stage, true},
        {"headroom_job_frozen", GAUGE, "", "Whether a job stands still.", job_frozen, true},
};

static void write_heading(size_t family, enum hr_metrics_format format, FILE *out)
{
        static const char *const types[][2] = {
                [GAUGE] = {"gauge", "gauge"}, [COUNTER] = {"counter", "counter"}, [INFO] = {"gauge", "info"}};
        static const char *const suffixes[] = {[GAUGE] = "", [COUNTER] = "_total", [INFO] = "_info"};
        bool open = format == HR_METRICS_OPENMETRICS;
        enum type type = families[family].type;
        const char *name = families[family].name;
        int length = (int)(strlen(name) - (open ? strlen(suffixes[type]) : 0));

        fprintf(out, "# HELP %.*s %s\n", length, name, families[family].help);
        fprintf(out, "# TYPE %.*s %s\n", length, name, types[type][open]);
        if (open && *families[family].unit)
                fprintf(out, "# UNIT %.*s %s\n", length, name, families[family].unit);
}

void hr_metrics_write(const struct hr_metrics *m, enum hr_metrics_format format, FILE *out)
{
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                struct writer w = {out, families[i].name};

                if (families[i].single && m->job_count == 0)
                        continue;
                write_heading(i, format, out);
                families[i].write(m, &w);
        }
        if (format == HR_METRICS_OPENMETRICS)
                fputs("# EOF\n", out);
}

/* ---- the file ---- */

static int write_all(int fd, const char *text)
{
        for (size_t left = strlen(text); left > 0;) {
                ssize_t n = write(fd, text, left);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        text += n;
                        left -= (size_t)n;
                }
        }
        return 0;
}

int hr_metrics_store(const char *path, const char *text)
{
        char beside[PATH_MAX];
        int n = snprintf(beside, sizeof(beside), "%s.new", path); /* the collector reads *.prom alone */

        if (n < 0 || (size_t)n >= sizeof(beside))
                return -ENAMETOOLONG;
        (void)unlink(beside); /* of a crash; a link that somebody laid there would not be followed either */
        _close_ int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        int r = fchmod(fd, 0644) < 0 ? -errno : write_all(fd, text); /* whatever the umask is */
        if (r == 0 && rename(beside, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(beside);
        return r;
}
