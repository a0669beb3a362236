/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/kill.h"

#include <errno.h>
#include <signal.h>

#include "act/freeze.h"
#include "act/signal.h"

/* A process that forks while it is being killed leaves a child: the ladder kills again a second later, until
 * nobody is left. */

int hr_kill(const struct hr_target *t)
{
        if (t->freezer == HR_FREEZER_CGROUP2 && hr_cgroup_write(t->control_fd, "cgroup.kill", "1") == 0)
                return 0;
        int r = hr_signal_all(t, SIGKILL, false);
        if (t->freezer == HR_FREEZER_CGROUP1)
                (void)hr_thaw(t); /* if it was not frozen this changes nothing */
        return r < 0 ? r : 0;
}
