/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What counts as used, and which limit binds. Pure. */

#include "think/sample.h"

/*
 * Memory that the kernel can't simply drop. v2: current - (inactive_file + active_file + slab_reclaimable)
 * + swap; v1: current - kernel - (inactive_file + active_file) + swap; process: current + swap.
 * Never wraps: the counters are read one after another and may disagree; where the parts exceed the whole
 * the result is 0 plus swap. *ret_cache_bytes is the droppable part (may be NULL).
 */
uint64_t hr_account_used(enum hr_kind kind, const struct hr_usage *usage, uint64_t *ret_cache_bytes);

/*
 * The limit with the swap that the job may still use: limit + min(swap_max, swap in use + host SwapFree).
 * HR_BYTES_NONE stays HR_BYTES_NONE. swap_max_bytes: v2 memory.swap.max (HR_BYTES_NONE: none).
 */
uint64_t hr_account_limit(uint64_t limit_bytes, uint64_t swap_max_bytes, uint64_t swap_used_bytes,
        uint64_t host_swap_free_bytes);

/* v1: memory.memsw.limit bounds memory and swap together: min(limit + swap free, memsw limit). */
uint64_t hr_account_limit1(uint64_t limit_bytes, uint64_t memsw_limit_bytes, uint64_t swap_used_bytes,
        uint64_t host_swap_free_bytes);

/*
 * The candidate that binds: the one with the least room left in bytes, which a growing job meets first; of
 * equal ones the nearest to the job. Returns its index, or -1 when no candidate has a limit.
 */
int hr_account_binding(const struct hr_sample *sample);

/*
 * The smallest limit that may be set: used + 2 % of used, at least 1 MiB above used (the kernel kills at once
 * below; chosen, not tuned). Rounded up to a whole MiB.
 */
uint64_t hr_account_least_limit(uint64_t used_bytes);
