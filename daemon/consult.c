/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <stdio.h>
#include <string.h>

/*
 * A job's own processes take part: they are asked over the jobs' socket, which is the bus thread's, and what
 * they say comes back as replies. It is their word alone: how much a job uses is measured, and a path that it
 * names is looked at before it counts.
 */

bool hr_consult_ask(
        struct hr_manager *m, const struct hr_job *job, enum hr_talk_request request, uint64_t usec)
{
        struct hr_question q = {.request = request, .leader = job->card->leader, .until_usec = usec};
        snprintf(q.job, sizeof(q.job), "%s", job->id);
        return hr_exchange_question(m->exchange, &q);
}

static void heard_need(struct hr_manager *m, struct hr_job *job, uint64_t need_usec)
{
        uint64_t now = hr_clock_usec();
        uint64_t until = hr_policy_extend_save(&job->state, job->policy, now, need_usec);
        struct hr_question q = {.request = HR_TALK_CHECKPOINT, .grant = true};
        if (until == 0)
                return;
        q.until_usec = hr_clock_realtime_usec() + hr_sub(until, now);
        snprintf(q.job, sizeof(q.job), "%s", job->id);
        (void)hr_exchange_question(m->exchange, &q); /* else the old deadline stands there */
}

void hr_consult_heard(struct hr_manager *m, const struct hr_reply *reply)
{
        HR_JOBS_FOREACH (m, job) {
                if (strcmp(job->id, reply->job) != 0)
                        continue;
                switch (reply->kind) {
                case HR_REPLY_PEERS:
                        job->can_trim_count = reply->can_trim_count;
                        job->can_save_count = reply->can_save_count;
                        break;
                case HR_REPLY_TRIMMED:
                        if (job->trim_until_usec == 0)
                                break;
                        job->trim_until_usec = 0;
                        hr_enact_trimmed(job, reply->bytes);
                        break;
                case HR_REPLY_SAVED: /* the look at the file proves it, or not */
                        if (job->save == HR_SAVE_RUNNING)
                                snprintf(job->saved_path, sizeof(job->saved_path), "%s", reply->text);
                        break;
                case HR_REPLY_NEED:
                        heard_need(m, job, reply->need_usec);
                        break;
                case HR_REPLY_FAILED:
                        if (job->save != HR_SAVE_RUNNING)
                                break;
                        job->save = HR_SAVE_FAILED;
                        snprintf(job->save_text, sizeof(job->save_text), "%s", reply->text);
                        break;
                }
                job->next_usec = 0;
        }
}
