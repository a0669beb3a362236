/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "act/criu.h"
#include "fd.h"

/*
 * The deciding thread's side of CRIU's images: what the helper is asked, and what becomes of its answers. The
 * helper's child waits for CRIU as long as that takes; here nobody does.
 */

#define FIRST_LOOK_USEC (5 * HR_USEC_PER_SEC)   /* chosen: a program has started by then */
#define SWEEP_USEC (6 * 3600 * HR_USEC_PER_SEC) /* chosen: images are kept for days */

static struct hr_helper_request q; /* one thread; sent by copy */

static void begin(const struct hr_manager *m, enum hr_helper_op op)
{
        memset(&q, 0, sizeof(q));
        q.op = op;
        snprintf(q.image.index, sizeof(q.image.index), "%s/images", m->state_dir);
        snprintf(q.image.program, sizeof(q.image.program), "%s", m->config->criu);
}

void hr_images_probe(struct hr_manager *m)
{
        if (m->user) {
                m->criu_result = -EPERM;
                snprintf(m->criu_text, sizeof(m->criu_text), "CRIU needs root's headroomd");
                return;
        }
        m->criu_result = -EAGAIN;
        snprintf(m->criu_text, sizeof(m->criu_text), "CRIU is being probed; try again in a moment");
        begin(m, HR_HELPER_CRIU);
        int r = hr_errands_ask(m, &q, NULL, NULL, NULL);
        if (r < 0)
                snprintf(m->criu_text, sizeof(m->criu_text), "CRIU could not be probed (%s)", strerror(-r));
}

void hr_images_probed(struct hr_manager *m, const struct hr_helper_answer *a)
{
        m->criu_result = a->result;
        m->criu_tracks = a->tracks;
        snprintf(m->criu_text, sizeof(m->criu_text), "%s%.180s",
                a->result == -ENOENT ? "CRIU is not installed: " : "",
                a->text[0] ? a->text : strerror(-a->result));
}

void hr_images_tick(struct hr_manager *m, uint64_t now_usec, uint64_t *next_usec)
{
        if (m->user || !m->helper)
                return;
        if (now_usec >= m->sweep_usec && now_usec > 0) {
                m->sweep_usec = now_usec + SWEEP_USEC;
                for (size_t i = 0; i < m->config->policy_count; i++) {
                        const char *dir = m->config->policies[i].criu_dir;
                        if (i > 0 && dir[0] == '\0')
                                continue; /* it went with the first */
                        begin(m, HR_HELPER_SWEEP);
                        q.image.time_usec = hr_clock_realtime_usec();
                        snprintf(q.image.dir, sizeof(q.image.dir), "%s", dir);
                        (void)hr_errands_ask(m, &q, NULL, NULL, NULL); /* else the next time */
                }
        }
        *next_usec = MIN(*next_usec, m->sweep_usec);
}

const char *hr_images_refusal(const struct hr_manager *m, const struct hr_job *job)
{
        if (m->criu_result < 0)
                return m->criu_text;
        if ((job->freezer != HR_FREEZER_CGROUP2 && job->freezer != HR_FREEZER_CGROUP1) || !job->control)
                return "CRIU takes only what stands in a cgroup of its own that can be frozen, and it does "
                       "not";
        if (job->card->leader <= 1 || !job->owned)
                return "CRIU takes only jobs that headroom run started";
        return NULL;
}

static void name_lock(const struct hr_manager *m, const struct hr_job *job, char *buf, size_t size)
{
        snprintf(buf, size, "%s/criu-%s.lock", m->runtime_dir, job->id);
}

static void fill(const struct hr_manager *m, const struct hr_job *job, enum hr_helper_op op)
{
        const struct hr_policy *p = job->policy;
        struct hr_image *i = &q.image;

        begin(m, op);
        snprintf(i->id, sizeof(i->id), "%s", job->id);
        snprintf(i->name, sizeof(i->name), "%s", job->card->name);
        snprintf(i->policy, sizeof(i->policy), "%s", p->name);
        if (job->own_policy)
                hr_config_spell_method(i->checkpoint, &job->own_policy->checkpoint_method);
        snprintf(i->user, sizeof(i->user), "%s", job->card->user);
        i->uid = job->uid;
        i->gid = job->gid;
        i->leader = job->card->leader;
        i->retried = job->armed.retried;
        i->used_bytes = job->used_bytes;
        i->limit_bytes = job->own_limit_bytes;
        i->free_bytes = p->criu_free_bytes;
        i->keep_usec = p->criu_keep_usec;
        snprintf(i->cgroup, sizeof(i->cgroup), "%s", job->group.path ? job->group.path : "");
        snprintf(i->control, sizeof(i->control), "%s%s",
                job->freezer == HR_FREEZER_CGROUP1 ? m->hierarchy.freezer : m->hierarchy.unified,
                job->control);
        snprintf(i->dir, sizeof(i->dir), "%s", p->criu_dir);
        name_lock(m, job, i->lock, sizeof(i->lock));
}

enum hr_method hr_images_method(const struct hr_manager *m, const struct hr_job *job)
{
        enum hr_method method = job->policy->checkpoint_method.method;
        bool refused = method == HR_METHOD_CRIU && (job->criu_refusal[0] || hr_images_refusal(m, job));

        return refused && job->can_save_count > 0 ? HR_METHOD_CHANNEL : method;
}

/* What happens in its place is told as well. */
static void tell_refusal(struct hr_manager *m, struct hr_job *job, const char *why, bool may_change)
{
        char reason[HR_REASON_MAX];

        snprintf(reason, sizeof(reason), "%s%.*s; %s%s", may_change ? "CRIU can't take it as it is: " : "",
                (int)sizeof(job->criu_refusal), why, may_change ? "if that stays so, " : "",
                job->can_save_count > 0              ? "its own code is asked to save instead"
                : job->policy->hold_timeout_usec > 0 ? "it is held at its limit and its owner asked"
                                                     : "it is interrupted at its limit");
        hr_ladder_tell(m, job, job->state.stage, job->state.stage, "checkpoint", "passed over", reason);
}

/* Soon after its start, when it has opened what it works with; and while it matters, in case that has
 * changed. */
void hr_images_look(struct hr_manager *m, struct hr_job *job, uint64_t now_usec)
{
        const struct hr_policy *p = job->policy;
        bool first = job->criu_look_usec == 0 && now_usec >= job->born_usec + FIRST_LOOK_USEC;
        bool again = job->state.stage >= HR_STAGE_NOTICE &&
                     now_usec >= hr_add(job->criu_look_usec, MAX(p->cooldown_usec, FIRST_LOOK_USEC));

        if (p->checkpoint_method.method != HR_METHOD_CRIU || p->observe || job->observe_only ||
                job->state.phase != HR_PHASE_WATCH || !(first || again) || m->criu_result == -EAGAIN)
                return;
        const char *refusal = hr_images_refusal(m, job);
        if (refusal) { /* which does not change */
                if (first)
                        tell_refusal(m, job, refusal, false);
                job->criu_look_usec = now_usec;
                return;
        }
        fill(m, job, HR_HELPER_LOOK);
        if (hr_errands_ask(m, &q, job, NULL, NULL) == 0)
                job->criu_look_usec = now_usec;
}

void hr_images_looked(struct hr_manager *m, struct hr_job *job, const struct hr_helper_answer *a)
{
        const char *now = a->result == 0 ? "" : a->text;

        if (a->result != 0 && a->result != -EOPNOTSUPP)
                return; /* it is looked at once more in any case */
        if (strncmp(job->criu_refusal, now, sizeof(job->criu_refusal) - 1) == 0)
                return;
        snprintf(job->criu_refusal, sizeof(job->criu_refusal), "%s", now);
        if (job->criu_refusal[0])
                tell_refusal(m, job, job->criu_refusal, true);
        else
                hr_ladder_tell(m, job, job->state.stage, job->state.stage, "checkpoint", "possible",
                        "CRIU can take it now");
}

void hr_images_dump(struct hr_manager *m, struct hr_job *job)
{
        /* Connections to us would keep CRIU from taking it. They come back by themselves. */
        struct hr_question leave = {.leave = true};
        snprintf(leave.job, sizeof(leave.job), "%s", job->id);
        (void)hr_exchange_question(m->exchange, &leave); /* full: CRIU's look says what is in the way */
        job->can_trim_count = job->can_save_count = 0;
        job->saved_path[0] = '\0';
        fill(m, job, HR_HELPER_DUMP);
        int r = hr_errands_ask(m, &q, job, NULL, NULL);
        if (r < 0) {
                job->save = HR_SAVE_FAILED;
                snprintf(job->save_text, sizeof(job->save_text), "CRIU could not be started (%s)",
                        strerror(-r));
        }
}

/* Is anything ever written ahead of such a job? */
static bool predumps(const struct hr_manager *m, const struct hr_job *job)
{
        const struct hr_policy *p = job->policy;
        return !m->user && p->criu_predump && p->checkpoint_method.method == HR_METHOD_CRIU && job->control;
}

static char *name_pass(const struct hr_manager *m, const struct hr_job *job, char *buf, size_t size)
{
        char lock[sizeof(q.image.lock)];

        name_lock(m, job, lock, sizeof(lock));
        snprintf(buf, size, HR_CRIU_PASS, lock);
        return buf;
}

void hr_images_predump(struct hr_manager *m, struct hr_job *job)
{
        char name[600];
        int fd = open(name_pass(m, job, name, sizeof(name)),
                O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : 0;

        hr_close(fd);
        fill(m, job, HR_HELPER_PREDUMP);
        if (r == 0)
                r = hr_errands_ask(m, &q, job, NULL, NULL);
        job->predump = r < 0 ? HR_SAVE_FAILED : HR_SAVE_RUNNING;
        job->predump_adopted = false;
        if (r < 0)
                snprintf(job->predump_text, sizeof(job->predump_text), "CRIU could not be started (%s)",
                        strerror(-r));
}

void hr_images_predumped(struct hr_manager *m, struct hr_job *job, const struct hr_helper_answer *a)
{
        job->predump = a->result == 0 ? HR_SAVE_PROVEN : HR_SAVE_FAILED;
        snprintf(job->predump_text, sizeof(job->predump_text), "%s",
                a->text[0]            ? a->text
                : a->result == -EBUSY ? "as many others are, as may be at once"
                                      : strerror(-a->result));
        hr_images_prevent(m, job); /* the helper may have died on the way to it */
        job->next_usec = 0;
}

bool hr_images_may_freeze(struct hr_manager *m, struct hr_job *job, int *ret_pass)
{
        char name[600];

        *ret_pass = -1;
        if (job->predump != HR_SAVE_RUNNING)
                return true;
        _close_ int fd = open(name_pass(m, job, name, sizeof(name)), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
                if (job->predump_adopted)
                        job->predump = HR_SAVE_NONE;
                return true;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return false;
        *ret_pass = TAKE_FD(fd);
        return true;
}

void hr_images_take_back(struct hr_manager *m, struct hr_job *job)
{
        char name[600];
        _close_ int fd = open(name_pass(m, job, name, sizeof(name)), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd >= 0)
                (void)!pwrite(fd, "!", 1, 0); /* full: it waits until CRIU has done its part */
}

void hr_images_prevent(struct hr_manager *m, struct hr_job *job)
{
        char name[600];
        (void)unlink(name_pass(m, job, name, sizeof(name))); /* ENOENT: it has done its part */
}

void hr_images_forget(struct hr_manager *m, const struct hr_job *job)
{
        if (!predumps(m, job))
                return;
        fill(m, job, HR_HELPER_FORGET);
        (void)hr_errands_ask(m, &q, NULL, NULL, NULL); /* else the sweep does it */
}

bool hr_images_adopt(struct hr_manager *m, struct hr_job *job)
{
        if (m->user || !job->control)
                return false;
        fill(m, job, HR_HELPER_DUMP);
        q.waits = true;
        if (!hr_criu_is_busy(q.image.lock) || hr_errands_ask(m, &q, job, NULL, NULL) < 0)
                return false;
        job->save = HR_SAVE_RUNNING;
        job->state.held_save = HR_HELD_SAVE_RUNS;
        job->state.after_save = HR_AFTER_SAVE_HOLD;
        return true;
}

void hr_images_adopt_predump(struct hr_manager *m, struct hr_job *job)
{
        char name[600];

        if (!predumps(m, job))
                return;
        job->state.predumped = true; /* it may be: at the latest when it has room again, it is removed */
        job->predump_adopted = access(name_pass(m, job, name, sizeof(name)), F_OK) == 0;
        job->predump = job->predump_adopted ? HR_SAVE_RUNNING : HR_SAVE_NONE;
}

void hr_images_dumped(struct hr_manager *m, struct hr_job *job, const struct hr_helper_answer *a)
{
        const char *dir = job->policy->criu_dir;

        if (job->save != HR_SAVE_RUNNING)
                return;
        job->save = a->result == 0 ? HR_SAVE_PROVEN : HR_SAVE_FAILED;
        snprintf(job->save_text, sizeof(job->save_text), "%s%s",
                a->result == 0 ? "" : "CRIU did not save it: ", a->text[0] ? a->text : strerror(-a->result));
        if (a->result == 0)
                snprintf(job->saved_path, sizeof(job->saved_path), "criu:%.200s%s/%s",
                        dir[0] ? dir : m->state_dir, dir[0] ? "" : "/images", job->id);
        job->next_usec = 0;
}

int hr_images_restore(struct hr_manager *m, struct hr_command *c)
{
        begin(m, HR_HELPER_RESTORE);
        snprintf(q.image.id, sizeof(q.image.id), "%s", c->job);
        snprintf(q.id, sizeof(q.id), "%s", c->answer_job);
        q.uid = c->uid;
        q.bytes = c->has_limit ? c->limit_bytes : 0;
        q.removes = c->removes;
        return hr_errands_ask(m, &q, NULL, c, NULL);
}
