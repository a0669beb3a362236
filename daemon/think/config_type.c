/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/config_type.h"

#include <errno.h>
#include <string.h>

#include "think/config_table.h"

/*
 * The types of value that a configuration key may have. Each is three functions: text to field, field to
 * text, and what it takes, in words. A field is left alone unless the whole value is good. The functions
 * trust their row: that the field has the type's size is shown by the unit test.
 */

#define RETRY_PERMILLE 1500 /* half as much again, as warnings suggest; chosen, not tuned */
#define RETRY_PERMILLE_MAX 16000

#define WRITE(buf, ...) ((void)snprintf((buf), HR_CONFIG_VALUE_SIZE, __VA_ARGS__), (buf))

static bool in_range(const struct hr_config_key *key, uint64_t number)
{
        return number >= key->min && number <= key->max;
}

static int set_u32(const struct hr_config_key *key, uint64_t number, void *field)
{
        if (!in_range(key, number))
                return -ERANGE;
        *(uint32_t *)field = (uint32_t)number;
        return 0;
}

static int set_u64(const struct hr_config_key *key, uint64_t number, void *field)
{
        if (!in_range(key, number))
                return -ERANGE;
        *(uint64_t *)field = number;
        return 0;
}

/* A plain number: digits only, without sign or unit. */
static int parse_count(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes HR_UNUSED, void *field)
{
        uint64_t number = 0;
        size_t digits = strspn(value, "0123456789");

        if (digits == 0 || value[digits] != '\0')
                return -EINVAL;
        for (size_t i = 0; i < digits; i++) {
                number = number * 10 + (uint64_t)(value[i] - '0');
                if (number > key->max)
                        return -ERANGE;
        }
        return set_u32(key, number, field);
}

static char *spell_count(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return WRITE(buf, "%u", *(const uint32_t *)field);
}

static char *takes_count(const struct hr_config_key *key, char *buf)
{
        return WRITE(buf, "%llu to %llu", (unsigned long long)key->min, (unsigned long long)key->max);
}

static int parse_time(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes HR_UNUSED, void *field)
{
        uint64_t usec;
        int r = hr_units_parse_time(value, &usec);

        return r < 0 ? r : set_u64(key, usec, field);
}

static char *spell_time(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return hr_units_spell_time(buf, *(const uint64_t *)field);
}

static char *takes_time(const struct hr_config_key *key, char *buf)
{
        char min[HR_TEXT_SIZE_MAX], max[HR_TEXT_SIZE_MAX];

        return WRITE(buf, "%s to %s", hr_units_spell_time(min, key->min), hr_units_spell_time(max, key->max));
}

static int parse_size(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes, void *field)
{
        uint64_t bytes;
        int r = hr_units_parse_size(value, host_total_bytes, &bytes);

        return r < 0 ? r : set_u64(key, bytes, field);
}

/* Bytes per second: a percentage of the host's memory makes no sense there. */
static int parse_rate(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes HR_UNUSED, void *field)
{
        return parse_size(key, value, 0, field);
}

static char *spell_size(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return hr_units_spell_bytes(buf, *(const uint64_t *)field);
}

static char *takes_rate(const struct hr_config_key *key, char *buf)
{
        char min[HR_TEXT_SIZE_MAX], max[HR_TEXT_SIZE_MAX];

        return WRITE(
                buf, "%s to %s", hr_units_spell_bytes(min, key->min), hr_units_spell_bytes(max, key->max));
}

static char *takes_size(const struct hr_config_key *key, char *buf)
{
        size_t length = strlen(takes_rate(key, buf));

        (void)snprintf(buf + length, HR_CONFIG_VALUE_SIZE - length, ", or a percentage of the host's memory");
        return buf;
}

static int parse_level(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes HR_UNUSED, void *field)
{
        uint32_t permyriad;
        int r = hr_units_parse_level(value, &permyriad);

        if (r < 0)
                return r;
        if (permyriad != HR_PERMYRIAD_OFF)
                return set_u32(key, permyriad, field);
        *(uint32_t *)field = HR_PERMYRIAD_OFF;
        return 0;
}

static int parse_percent(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes HR_UNUSED, void *field)
{
        uint32_t permyriad;
        int r = hr_units_parse_level(value, &permyriad);

        return r < 0 ? r : set_u32(key, permyriad, field); /* "off" is above any range */
}

static char *spell_level(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return hr_units_spell_level(buf, *(const uint32_t *)field);
}

static char *takes_percent(const struct hr_config_key *key, char *buf)
{
        char min[HR_TEXT_SIZE_MAX], max[HR_TEXT_SIZE_MAX];

        return WRITE(buf, "%s to %s", hr_units_spell_level(min, (uint32_t)key->min),
                hr_units_spell_level(max, (uint32_t)key->max));
}

static char *takes_level(const struct hr_config_key *key, char *buf)
{
        size_t length = strlen(takes_percent(key, buf));

        (void)snprintf(buf + length, HR_CONFIG_VALUE_SIZE - length, " or off");
        return buf;
}

static int parse_bool(const struct hr_config_key *key HR_UNUSED, const char *value,
        uint64_t host_total_bytes HR_UNUSED, void *field)
{
        return hr_units_parse_bool(value, field);
}

static char *spell_bool(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return WRITE(buf, "%s", *(const bool *)field ? "yes" : "no");
}

static char *takes_bool(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "yes or no");
}

/* A stage without a level: it is there or it isn't. */
static int parse_switch(const struct hr_config_key *key HR_UNUSED, const char *value,
        uint64_t host_total_bytes HR_UNUSED, void *field)
{
        bool on;
        int r = hr_units_parse_bool(value, &on);

        if (r < 0)
                return r;
        *(uint32_t *)field = on ? 0 : HR_PERMYRIAD_OFF;
        return 0;
}

static char *spell_switch(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return WRITE(buf, "%s", *(const uint32_t *)field == HR_PERMYRIAD_OFF ? "off" : "on");
}

static char *takes_switch(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "on or off");
}

static const char *const fuse_names[] = {
        [HR_FUSE_AUTO] = "auto",
        [HR_FUSE_YES] = "yes",
        [HR_FUSE_NO] = "no",
};

static int parse_fuse(const struct hr_config_key *key HR_UNUSED, const char *value,
        uint64_t host_total_bytes HR_UNUSED, void *field)
{
        bool on;

        if (strcmp(value, fuse_names[HR_FUSE_AUTO]) == 0) {
                *(enum hr_fuse_mode *)field = HR_FUSE_AUTO;
                return 0;
        }
        int r = hr_units_parse_bool(value, &on);
        if (r < 0)
                return r;
        *(enum hr_fuse_mode *)field = on ? HR_FUSE_YES : HR_FUSE_NO;
        return 0;
}

static char *spell_fuse(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return WRITE(buf, "%s", fuse_names[*(const enum hr_fuse_mode *)field]);
}

static char *takes_fuse(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "auto, yes or no");
}

static int parse_method(const struct hr_config_key *key HR_UNUSED, const char *value,
        uint64_t host_total_bytes HR_UNUSED, void *field)
{
        return hr_config_parse_method(value, field);
}

static char *spell_method(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return hr_config_spell_method(buf, field);
}

static char *takes_method(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "channel, criu, signal:NAME, signal:B:NAME, hook:/PATH or none");
}

/* "2, limit x1.5", or "2", which is that. */
static int parse_retry(const struct hr_config_key *key HR_UNUSED, const char *value,
        uint64_t host_total_bytes HR_UNUSED, void *field)
{
        struct hr_retry retry = {.factor_permille = RETRY_PERMILLE};
        size_t digits = strspn(value, "0123456789");
        const char *at = value + digits;
        uint32_t unit = 1000;

        if (digits == 0 || digits > 3)
                return digits == 0 ? -EINVAL : -ERANGE;
        for (size_t i = 0; i < digits; i++)
                retry.count = retry.count * 10 + (uint32_t)(value[i] - '0');
        if (*at != '\0') {
                at += *at == ',';
                at += strspn(at, " ");
                if (strncmp(at, "limit", 5) != 0)
                        return -EINVAL;
                at += 5;
                at += strspn(at, " ");
                if (*at++ != 'x' || *at < '0' || *at > '9')
                        return -EINVAL;
                retry.factor_permille = 0;
                for (; *at >= '0' && *at <= '9'; at++) /* what is out of range stays so, and does not wrap */
                        retry.factor_permille =
                                MIN(retry.factor_permille * 10 + 1000 * (uint32_t)(*at - '0'), 1000000U);
                if (*at == '.')
                        for (at++; *at >= '0' && *at <= '9' && unit > 1; at++)
                                retry.factor_permille += (uint32_t)(*at - '0') * (unit /= 10);
                if (*at != '\0')
                        return -EINVAL;
        }
        if (retry.count > HR_RETRY_COUNT_MAX || retry.factor_permille < 1000 ||
                retry.factor_permille > RETRY_PERMILLE_MAX)
                return -ERANGE;
        *(struct hr_retry *)field = retry;
        return 0;
}

static char *spell_retry(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        const struct hr_retry *retry = field;
        char factor[16];

        if (retry->count == 0)
                return WRITE(buf, "0");
        (void)snprintf(factor, sizeof(factor), "%u.%03u", retry->factor_permille / 1000,
                retry->factor_permille % 1000);
        for (size_t n = strlen(factor); factor[n - 1] == '0' || factor[n - 1] == '.'; n--) {
                bool is_point = factor[n - 1] == '.';
                factor[n - 1] = '\0';
                if (is_point)
                        break;
        }
        return WRITE(buf, "%u, limit x%s", retry->count, factor);
}

static char *takes_retry(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "0 to %d, or such a number with \", limit x1.5\" (x1 to x%d)", HR_RETRY_COUNT_MAX,
                RETRY_PERMILLE_MAX / 1000);
}

static int parse_text(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes HR_UNUSED, void *field)
{
        size_t length = strlen(value);

        if (length >= key->size)
                return -ENAMETOOLONG;
        memcpy(field, value, length + 1);
        return 0;
}

static char *spell_text(const struct hr_config_key *key HR_UNUSED, char *buf, const void *field)
{
        return WRITE(buf, "%s", (const char *)field);
}

static char *takes_glob(const struct hr_config_key *key, char *buf)
{
        return WRITE(buf, "a glob of at most %zu bytes, or nothing", key->size - 1);
}

/* A file, or a cgroup: from the root, or not at all. */
static int parse_path(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes, void *field)
{
        return value[0] == '/' || value[0] == '\0' ? parse_text(key, value, host_total_bytes, field)
                                                   : -EINVAL;
}

static char *takes_path(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "an absolute path, or nothing");
}

static char *takes_cgroup(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "a glob that begins with /, or nothing");
}

static int parse_name(
        const struct hr_config_key *key, const char *value, uint64_t host_total_bytes, void *field)
{
        int r = hr_units_check_name(value);

        return r < 0 ? r : parse_text(key, value, host_total_bytes, field);
}

static char *takes_name(const struct hr_config_key *key HR_UNUSED, char *buf)
{
        return WRITE(buf, "the name of a policy");
}

const struct hr_config_type hr_config_type_count = {sizeof(uint32_t), parse_count, spell_count, takes_count};
const struct hr_config_type hr_config_type_time = {sizeof(uint64_t), parse_time, spell_time, takes_time};
const struct hr_config_type hr_config_type_rate = {sizeof(uint64_t), parse_rate, spell_size, takes_rate};
const struct hr_config_type hr_config_type_size = {sizeof(uint64_t), parse_size, spell_size, takes_size};
const struct hr_config_type hr_config_type_level = {sizeof(uint32_t), parse_level, spell_level, takes_level};
const struct hr_config_type hr_config_type_percent = {
        sizeof(uint32_t), parse_percent, spell_level, takes_percent};
const struct hr_config_type hr_config_type_yesno = {sizeof(bool), parse_bool, spell_bool, takes_bool};
const struct hr_config_type hr_config_type_switch = {
        sizeof(uint32_t), parse_switch, spell_switch, takes_switch};
const struct hr_config_type hr_config_type_fuse = {
        sizeof(enum hr_fuse_mode), parse_fuse, spell_fuse, takes_fuse};
const struct hr_config_type hr_config_type_method = {
        sizeof(struct hr_checkpoint_method), parse_method, spell_method, takes_method};
const struct hr_config_type hr_config_type_retry = {
        sizeof(struct hr_retry), parse_retry, spell_retry, takes_retry};
const struct hr_config_type hr_config_type_glob = {0, parse_text, spell_text, takes_glob};
const struct hr_config_type hr_config_type_cgroup = {0, parse_path, spell_text, takes_cgroup};
const struct hr_config_type hr_config_type_path = {0, parse_path, spell_text, takes_path};
const struct hr_config_type hr_config_type_name = {0, parse_name, spell_text, takes_name};
