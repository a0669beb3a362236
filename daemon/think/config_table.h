/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of configuration keys: private to think/config and its test. Others use think/config.h. */

#include "think/config.h"
#include "think/config_type.h"

enum hr_config_section {
        HR_CONFIG_DAEMON, /* fields of struct hr_config */
        HR_CONFIG_HOST,   /* the same */
        HR_CONFIG_POLICY, /* fields of struct hr_policy */
        HR_CONFIG_MATCH,  /* fields of struct hr_match */
        HR_CONFIG_SECTION_COUNT,
};

#define HR_CONFIG_KEYS_MAX 64

struct hr_config_key {
        enum hr_config_section section;
        const char *name;
        size_t offset, size; /* of the field in its section's struct */
        const struct hr_config_type *type;
        uint64_t min, max; /* of a number, in the field's unit */
        const char *fallback;
        const char *explanation; /* a sentence; each key stands in headroom.conf(5) at length */
};

const char *hr_config_table_section_name(enum hr_config_section section); /* "daemon" */

/* All keys, those of one section side by side. Below HR_CONFIG_KEYS_MAX. */
const struct hr_config_key *hr_config_table(size_t *ret_count);
const struct hr_config_key *hr_config_table_find(enum hr_config_section section, const char *name);
/* The key or section that a wrong word may have meant; NULL: none is near. */
const struct hr_config_key *hr_config_table_nearest(enum hr_config_section section, const char *name);
const char *hr_config_table_nearest_section(const char *word);

/*
 * Sets the field of *base (its section's struct). The value must spell back into a line that parses:
 * -EINVAL, -ERANGE, -EUCLEAN (no unit), -ENODATA (a percentage where none is taken), -EOPNOTSUPP,
 * -ENAMETOOLONG, -EILSEQ (a control character, or a ';' that would begin a comment).
 */
int hr_config_table_set(
        const struct hr_config_key *key, void *base, const char *value, uint64_t host_total_bytes);
void hr_config_table_set_defaults(enum hr_config_section section, void *base, uint64_t host_total_bytes);

/* The value, and what the key takes ("0% to 100% or off"). buf has HR_CONFIG_VALUE_SIZE bytes and is
 * returned. */
char *hr_config_table_spell(const struct hr_config_key *key, char *buf, const void *base);
char *hr_config_table_takes(const struct hr_config_key *key, char *buf);

/* One line: "[HEADING] key = value: reason, takes ...". heading is escaped already, value is not. */
void hr_config_table_explain(const struct hr_config_key *key, const char *heading, const char *value,
        int error, char *text, size_t text_size);
