/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/sample.h"

#include <errno.h>
#include <string.h>

/*
 * The shared words as text and back, and the one ratio that all levels are compared with.
 *
 * The names are part of the command line contract, so they stand in tables indexed by their enum: a name that
 * is missing shows as a hole in the table, and the tests walk it. A value outside its enum is a mistake of
 * ours, not of a file; it is spelled "?" rather than read past the table.
 */

static const char *const kind_names[HR_KIND_COUNT] = {
        [HR_KIND_CGROUP2] = "cgroup2",
        [HR_KIND_CGROUP1] = "cgroup1",
        [HR_KIND_PROCESS] = "process",
};

static const char *const stage_names[HR_STAGE_COUNT] = {
        [HR_STAGE_OK] = "ok",
        [HR_STAGE_NOTICE] = "notice",
        [HR_STAGE_TRIM] = "trim",
        [HR_STAGE_CHECKPOINT] = "checkpoint",
        [HR_STAGE_HOLD] = "hold",
        [HR_STAGE_INTERRUPT] = "interrupt",
        [HR_STAGE_KILL] = "kill",
};

static const char *const mapping_names[HR_MAPPING_COUNT] = {
        [HR_MAPPING_HEAP] = "heap and anonymous memory",
        [HR_MAPPING_STACK] = "stacks",
        [HR_MAPPING_PROGRAM] = "program and libraries",
        [HR_MAPPING_FILE] = "files mapped",
        [HR_MAPPING_SHARED] = "shared memory",
        [HR_MAPPING_SWAPPED] = "swapped out",
};

static const char *name_of(const char *const *names, size_t count, size_t i)
{
        return i < count ? names[i] : "?";
}

static int index_of(const char *const *names, size_t count, const char *name)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(names[i], name) == 0)
                        return (int)i;
        return -EINVAL;
}

const char *hr_kind_name(enum hr_kind kind)
{
        return name_of(kind_names, ELEMENTSOF(kind_names), (size_t)kind);
}

int hr_kind_from_name(const char *name)
{
        return index_of(kind_names, ELEMENTSOF(kind_names), name);
}

const char *hr_mapping_name(enum hr_mapping mapping)
{
        return name_of(mapping_names, ELEMENTSOF(mapping_names), (size_t)mapping);
}

const char *hr_stage_name(enum hr_stage stage)
{
        return name_of(stage_names, ELEMENTSOF(stage_names), (size_t)stage);
}

int hr_stage_from_name(const char *name)
{
        return index_of(stage_names, ELEMENTSOF(stage_names), name);
}

uint32_t hr_ratio_permyriad(uint64_t used_bytes, uint64_t limit_bytes)
{
        if (limit_bytes == HR_BYTES_NONE)
                return 0;
        if (limit_bytes == 0) /* memory.max = 0 is a limit like any other, and reached */
                return HR_PERMYRIAD_ALL;
        unsigned __int128 ratio = (unsigned __int128)used_bytes * HR_PERMYRIAD_ALL / limit_bytes;
        /* HR_PERMYRIAD_OFF means something else and must not come out of a division. */
        return ratio < HR_PERMYRIAD_OFF ? (uint32_t)ratio : HR_PERMYRIAD_OFF - 1;
}
