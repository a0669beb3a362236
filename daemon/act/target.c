/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/*
 * The two ways to a job's processes: through its cgroup, which can't be escaped, or through the members of
 * its tree, after a fresh pass over /proc, since a child may have been born a moment ago.
 */

int hr_target_each(const struct hr_target *t, hr_pid_fn each, void *userdata)
{
        if (t->group)
                return hr_group_each_pid(t->group, each, userdata);
        if (t->control_fd >= 0)
                return hr_cgroup_each_pid(t->control_fd, each, userdata);
        if (!t->tree)
                return 0;
        if (t->table && hr_proc_table_scan(t->table) >= 0)
                (void)hr_tree_update(
                        t->proc_path, t->tree, t->table); /* gone: then there is nobody to call back for */
        for (size_t i = 0; i < t->tree->member_count; i++) {
                struct hr_pid_status status;
                if (t->owner != 0 && hr_process_status(t->proc_path, t->tree->members[i].pid, &status) == 0 &&
                        status.uid_real != t->owner)
                        continue;
                int r = each(t->tree->members[i].pid, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}

int hr_cgroup_write(int dir_fd, const char *name, const char *text)
{
        _close_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        size_t size = strlen(text);
        ssize_t n = write(fd, text, size);
        if (n < 0)
                return -errno;
        return (size_t)n == size ? 0 : -EIO;
}
