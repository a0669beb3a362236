/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The types of value in the configuration: private to think/config and its test. */

#include "think/macros.h"

#define HR_CONFIG_VALUE_SIZE 288 /* any value spelled, with its NUL: "hook:" and a path is the longest */

struct hr_config_key;

/* How one type of value is read, written and described. */
struct hr_config_type {
        size_t field_size; /* 0: text, of any size */
        /* 0, or -EINVAL, -ERANGE, -EUCLEAN (no unit), -ENODATA (a percentage where none is taken),
         * -EOPNOTSUPP, -ENAMETOOLONG; then the field is as it was. */
        int (*parse)(
                const struct hr_config_key *key, const char *value, uint64_t host_total_bytes, void *field);
        /* Both into a buf of HR_CONFIG_VALUE_SIZE bytes, which they return. */
        char *(*spell)(const struct hr_config_key *key, char *buf, const void *field);
        char *(*takes)(const struct hr_config_key *key, char *buf); /* "0% to 100% or off" */
};

extern const struct hr_config_type hr_config_type_count;   /* uint32_t, a plain number */
extern const struct hr_config_type hr_config_type_time;    /* uint64_t, microseconds */
extern const struct hr_config_type hr_config_type_rate;    /* uint64_t, bytes per second: no percentage */
extern const struct hr_config_type hr_config_type_size;    /* uint64_t, bytes */
extern const struct hr_config_type hr_config_type_level;   /* uint32_t, 1/10000 or HR_PERMYRIAD_OFF */
extern const struct hr_config_type hr_config_type_percent; /* uint32_t, 1/10000, never off */
extern const struct hr_config_type hr_config_type_yesno;   /* bool */
extern const struct hr_config_type hr_config_type_switch;  /* uint32_t: 0 or HR_PERMYRIAD_OFF */
extern const struct hr_config_type hr_config_type_fuse;    /* enum hr_fuse_mode */
extern const struct hr_config_type hr_config_type_method;  /* struct hr_checkpoint_method */
extern const struct hr_config_type hr_config_type_retry;   /* struct hr_retry */
extern const struct hr_config_type hr_config_type_glob;    /* text */
extern const struct hr_config_type hr_config_type_cgroup;  /* text, a glob that begins with a slash */
extern const struct hr_config_type hr_config_type_path;    /* text, from the root */
extern const struct hr_config_type hr_config_type_name;    /* text, as hr_units_check_name() wants it */
