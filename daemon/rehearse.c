/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "act/freeze.h"
#include "act/fuse.h"
#include "act/signal.h"
#include "fd.h"
#include "think/account.h"
#include "think/forecast.h"
#include "think/policy.h"

/*
 * The child does nothing but wait. It is watched as a process tree, which needs no cgroup and no rights; the
 * ladder is driven past every stage in thought alone. The freezer thread looks for cgroup.freeze where there
 * is none.
 */

#define FREEZER_PATIENCE_MSEC 100 /* chosen: adopted jobs may be ahead in its queue */

static void think_through(void)
{
        static struct hr_history history;
        struct hr_policy_state state = {0};
        struct hr_decision decision;
        struct hr_forecast f;
        struct hr_config *c = NULL;

        if (hr_config_new(0, &c) < 0)
                return;
        for (uint64_t i = 0; i < 120; i++) {
                struct hr_sample sample = {
                        .time_usec = (i + 1) * 100000, .used_bytes = i * HR_MIB, .candidate_count = 1};
                hr_history_add(&history, sample.time_usec, sample.used_bytes);
                hr_forecast(&history, 120 * HR_MIB, &f);
                sample.candidates[0] = (struct hr_candidate){
                        .source = HR_SOURCE_OWN,
                        .used_bytes = i * HR_MIB,
                        .limit_bytes = 120 * HR_MIB,
                        .turn = true,
                };
                hr_forecast_fill(&f, &sample.candidates[0]);
                struct hr_policy_input in = {
                        .now_usec = sample.time_usec,
                        .policy = &c->policies[0],
                        .sample = &sample,
                        .means = {.can_freeze = true, .can_fuse = true, .no_save = "", .no_freeze = ""},
                        .frozen = state.phase == HR_PHASE_HELD || state.phase == HR_PHASE_BRAKE,
                };
                hr_policy_step(&state, &in, &decision);
        }
        hr_config_free(c);
}

/* The answer is for nobody: the loop takes it. */
static void ask_freezer(struct hr_freezer_thread *freezer)
{
        struct pollfd answer = {.fd = hr_freezer_fd(freezer), .events = POLLIN};
        uint32_t ticket;
        _close_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct hr_freezer_request q = {.freezer = HR_FREEZER_CGROUP2, .control_fd = fd, .slot = UINT32_MAX};

        if (fd >= 0 && hr_freezer_ask(freezer, &q, &ticket) == 0)
                (void)poll(&answer, 1, FREEZER_PATIENCE_MSEC);
}

void hr_rehearse(const struct hr_hierarchy *h, struct hr_freezer_thread *freezer)
{
        struct hr_tree tree = {0};
        struct hr_usage usage;
        pid_t stopped[HR_MEMBERS_MAX];
        size_t stopped_count = 0;
        uint64_t soft;
        bool complete;

        think_through();
        ask_freezer(freezer);
        pid_t child = fork();
        if (child < 0)
                return;
        if (child == 0) {
                for (;;)
                        pause();
        }
        if (hr_tree_open(h->proc, child, 0, &tree) == 0) {
                struct hr_target t = {
                        .proc_path = h->proc,
                        .kind = HR_KIND_PROCESS,
                        .tree = &tree,
                        .freezer = HR_FREEZER_STOP,
                        .control_fd = -1,
                        .leader = child,
                        .stopped = stopped,
                        .stopped_count = &stopped_count,
                };
                (void)hr_tree_read_usage(h->proc, &tree, &usage);
                (void)hr_freeze(&t);
                (void)hr_freeze_complete(&t, &complete);
                (void)hr_fuse_arm(&t, HR_MIB, true, &soft);
                (void)hr_signal_pending(&t);
                (void)hr_thaw(&t);
                hr_tree_close(&tree);
        }
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
}
