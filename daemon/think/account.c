/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/account.h"

/*
 * What counts as used, what the limit really is, and which of several limits binds.
 *
 * A job is judged by what the kernel can't simply drop. The charge of a cgroup holds page cache and, on v2,
 * reclaimable slab: a job that reads 50 GB of files through a 4 GB limit rests at its limit and is healthy,
 * and one that only created files showed 125 of 150 MiB "used" with the slab counted (6.1 kernel). Both file
 * lists count as droppable; shmem and tmpfs pages sit on the anon lists and so stay in. On v1 the charge
 * holds kernel memory too, without saying how much of it is reclaimable: memory.kmem.usage_in_bytes is taken
 * off whole, as it isn't the job's to give back.
 *
 * The counters are read one after another while the job runs, so their sum may exceed the whole by what
 * changed in between. Every subtraction stops at 0, every addition at "none".
 *
 * Swap: what the job may still swap out is room, so it adds to the limit, as what it has swapped out adds to
 * the use. Without this a 500 MiB job that finishes under memory.max = 300 MiB would be seen at 167 %.
 *
 * See Documentation/admin-guide/cgroup-v2.rst (Memory Interface Files) and cgroup-v1/memory.rst (5.2, 2.4).
 */

uint64_t hr_account_used(enum hr_kind kind, const struct hr_usage *usage, uint64_t *ret_cache_bytes)
{
        uint64_t whole = usage->current_bytes, cache = 0;

        switch (kind) {
        case HR_KIND_CGROUP2:
                cache = hr_add(hr_add(usage->inactive_file_bytes, usage->active_file_bytes),
                        usage->slab_reclaimable_bytes);
                break;
        case HR_KIND_CGROUP1:
                whole = hr_sub(whole, usage->kernel_bytes);
                cache = hr_add(usage->inactive_file_bytes, usage->active_file_bytes);
                break;
        case HR_KIND_PROCESS: /* anon + shmem + swap: there is no cache in it */
        case HR_KIND_COUNT:
                break;
        }

        cache = MIN(cache, whole);
        if (ret_cache_bytes)
                *ret_cache_bytes = cache;
        return hr_add(whole - cache, usage->swap_bytes);
}

uint64_t hr_account_limit(uint64_t limit_bytes, uint64_t swap_max_bytes, uint64_t swap_used_bytes,
        uint64_t host_swap_free_bytes)
{
        if (limit_bytes == HR_BYTES_NONE)
                return HR_BYTES_NONE;
        return hr_add(limit_bytes, MIN(swap_max_bytes, hr_add(swap_used_bytes, host_swap_free_bytes)));
}

uint64_t hr_account_limit1(uint64_t limit_bytes, uint64_t memsw_limit_bytes, uint64_t swap_used_bytes,
        uint64_t host_swap_free_bytes)
{
        return MIN(hr_account_limit(limit_bytes, HR_BYTES_NONE, swap_used_bytes, host_swap_free_bytes),
                memsw_limit_bytes);
}

int hr_account_binding(const struct hr_sample *sample)
{
        int binding = -1;
        uint64_t least = 0;
        size_t count = MIN(sample->candidate_count, (size_t)HR_CANDIDATES_MAX);

        for (size_t i = 0; i < count; i++) {
                const struct hr_candidate *c = &sample->candidates[i];
                if (c->limit_bytes == HR_BYTES_NONE || c->source == HR_SOURCE_NONE)
                        continue;
                uint64_t room = hr_sub(c->limit_bytes, c->used_bytes);
                if (binding < 0 || room < least ||
                        (room == least && c->source < sample->candidates[binding].source)) {
                        binding = (int)i;
                        least = room;
                }
        }
        return binding;
}

uint64_t hr_account_least_limit(uint64_t used_bytes)
{
        uint64_t margin = used_bytes / 50 + (used_bytes % 50 != 0); /* 2 %, rounded up */
        uint64_t least = hr_add(used_bytes, MAX(margin, HR_MIB));
        uint64_t rounded = hr_add(least, HR_MIB - 1);
        return rounded == HR_BYTES_NONE ? HR_BYTES_NONE : rounded / HR_MIB * HR_MIB;
}
