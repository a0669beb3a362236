/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/fuse.h"

#include <errno.h>
#include <sys/resource.h>

/*
 * prlimit(2) on another user's process needs CAP_SYS_RESOURCE, on one's own nothing. Only the soft limit is
 * touched, so that lifting it needs no more rights than arming it. Children inherit it: it is lifted in every
 * member, also in those that were born later.
 */

struct fusing {
        const struct hr_target *target;
        uint64_t reserve_bytes, soft;
        bool every, outright, lift, look;
        int count, error;
};

static int fuse_one(pid_t pid, void *userdata)
{
        struct fusing *f = userdata;
        struct hr_pid_status status;
        struct rlimit old, new;

        if (!f->lift && !f->every && !hr_process_is_python(f->target->proc_path, pid))
                return 0;
        if (f->look)
                return 1;
        if (prlimit(pid, RLIMIT_DATA, NULL, &old) < 0) {
                f->error = errno == ESRCH ? f->error : -errno;
                return 0;
        }
        new = old;
        if (f->lift) {
                new.rlim_cur = MIN((rlim_t)f->soft, old.rlim_max); /* HR_BYTES_NONE is RLIM_INFINITY */
        } else if (f->outright) {
                new.rlim_cur = MIN((rlim_t)f->reserve_bytes, old.rlim_cur);
        } else {
                if (hr_process_status(f->target->proc_path, pid, &status) != 0 || !status.has_memory)
                        return 0;
                rlim_t fuse = status.vm_data_bytes + f->reserve_bytes;
                new.rlim_cur = MIN(fuse, old.rlim_cur);
        }
        if (prlimit(pid, RLIMIT_DATA, &new, NULL) < 0) {
                f->error = errno == ESRCH ? f->error : -errno;
                return 0;
        }
        if (!f->lift && f->count == 0)
                f->soft = old.rlim_cur;
        f->count++;
        return 0;
}

static int result(const struct fusing *f, int r)
{
        if (r < 0)
                return r;
        return f->count > 0 ? f->count : f->error;
}

int hr_fuse_arm(const struct hr_target *t, uint64_t reserve_bytes, bool every, uint64_t *ret_soft)
{
        struct fusing f = {
                .target = t, .reserve_bytes = reserve_bytes, .every = every, .soft = RLIM_INFINITY};
        int r = result(&f, hr_target_each(t, fuse_one, &f));
        if (r >= 0)
                *ret_soft = f.soft;
        return r;
}

int hr_fuse_arm_from_start(const struct hr_target *t, uint64_t limit_bytes, uint64_t *ret_soft)
{
        struct fusing f = {.target = t,
                .reserve_bytes = hr_fuse_from_start(limit_bytes),
                .every = true,
                .outright = true,
                .soft = RLIM_INFINITY};
        int r = result(&f, hr_target_each(t, fuse_one, &f));
        if (r >= 0)
                *ret_soft = f.soft;
        return r;
}

int hr_fuse_lift(const struct hr_target *t, uint64_t soft)
{
        struct fusing f = {.target = t, .soft = soft, .lift = true};
        return result(&f, hr_target_each(t, fuse_one, &f));
}

bool hr_fuse_possible(const struct hr_target *t, bool every)
{
        struct fusing f = {.target = t, .every = every, .look = true};
        return hr_target_each(t, fuse_one, &f) > 0;
}
