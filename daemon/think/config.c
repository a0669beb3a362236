/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE /* sigabbrev_np() */
#include "think/config.h"

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "think/config_table.h"

/*
 * The configuration's life: made with the built-in policies, checked as a whole, asked, written. How a file
 * gets in is in config_parse.c, what keys there are in config_table.c, how a value is spelled in
 * config_type.c.
 *
 * A match is asked for each cgroup that appears. Globs are those of fnmatch(3) without an escape character
 * (the names of units hold backslashes); in a cgroup's path a wildcard does not cross a slash, so that
 * "/slurm/job_*" finds the jobs and not what is inside them.
 */

#define LINE_SIZE (HR_CONFIG_VALUE_SIZE + HR_NAME_MAX)

int hr_config_parse_method(const char *text, struct hr_checkpoint_method *ret)
{
        struct hr_checkpoint_method method = {.method = HR_METHOD_NONE};
        const char *rest;

        if (strcmp(text, "criu") == 0) {
                method.method = HR_METHOD_CRIU;
        } else if (strcmp(text, "channel") == 0) {
                method.method = HR_METHOD_CHANNEL;
        } else if (strncmp(text, "hook:", 5) == 0) {
                rest = text + 5;
                if (rest[0] != '/')
                        return -EINVAL;
                if (strlen(rest) >= sizeof(method.path))
                        return -ENAMETOOLONG;
                method.method = HR_METHOD_HOOK;
                memcpy(method.path, rest, strlen(rest) + 1);
        } else if (strncmp(text, "signal:", 7) == 0) {
                rest = text + 7;
                method.method = HR_METHOD_SIGNAL;
                if (strncmp(rest, "B:", 2) == 0) {
                        rest += 2;
                        method.method = HR_METHOD_SIGNAL_LEADER;
                }
                method.signal = hr_units_signal_from_name(rest);
                if (method.signal <= 0 || method.signal == SIGKILL || method.signal == SIGSTOP)
                        return -EINVAL; /* no program can answer those by saving its work */
        } else if (strcmp(text, "none") != 0)
                return -EINVAL;

        *ret = method;
        return 0;
}

char *hr_config_spell_method(char *buf, const struct hr_checkpoint_method *method)
{
        const char *leader = method->method == HR_METHOD_SIGNAL_LEADER ? "B:" : "", *name;

        switch (method->method) {
        case HR_METHOD_SIGNAL:
        case HR_METHOD_SIGNAL_LEADER:
                name = sigabbrev_np(method->signal);
                if (name)
                        (void)snprintf(buf, 272, "signal:%s%s", leader, name);
                else
                        (void)snprintf(buf, 272, "signal:%sRTMIN+%d", leader, method->signal - SIGRTMIN);
                break;
        case HR_METHOD_HOOK:
                (void)snprintf(buf, 272, "hook:%s", method->path);
                break;
        case HR_METHOD_CHANNEL:
                (void)snprintf(buf, 272, "channel");
                break;
        case HR_METHOD_CRIU:
                (void)snprintf(buf, 272, "criu");
                break;
        case HR_METHOD_NONE:
                (void)snprintf(buf, 272, "none");
                break;
        }
        return buf;
}

int hr_config_new(uint64_t host_total_bytes, struct hr_config **ret)
{
        static const char *const built_in[] = {"default", "batch", "observe"};
        HR_CLEANUP(hr_config_freep) struct hr_config *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->policies = calloc(ELEMENTSOF(built_in), sizeof(*c->policies));
        if (!c->policies)
                return -ENOMEM;

        c->host_total_bytes = host_total_bytes;
        hr_config_table_set_defaults(HR_CONFIG_DAEMON, c, host_total_bytes);
        hr_config_table_set_defaults(HR_CONFIG_HOST, c, host_total_bytes);
        for (; c->policy_count < ELEMENTSOF(built_in); c->policy_count++) {
                struct hr_policy *p = &c->policies[c->policy_count];

                hr_config_table_set_defaults(HR_CONFIG_POLICY, p, host_total_bytes);
                (void)snprintf(p->name, sizeof(p->name), "%s", built_in[c->policy_count]);
        }
        c->policies[1].hold_timeout_usec = 0;
        c->policies[2].observe = true;

        *ret = TAKE_PTR(c);
        return 0;
}

struct hr_config *hr_config_free(struct hr_config *c)
{
        if (!c)
                return NULL;
        free(c->policies);
        free(c->matches);
        free(c);
        return NULL;
}

const struct hr_policy *hr_config_policy(const struct hr_config *c, const char *name)
{
        for (size_t i = 0; i < c->policy_count; i++)
                if (strcmp(c->policies[i].name, name) == 0)
                        return &c->policies[i];
        return NULL;
}

/* A test that isn't there always fits; one on something that is not known never does, not even "*". */
static bool fits(const char *glob, const char *text, int flags)
{
        if (glob[0] == '\0')
                return true;
        return text && text[0] != '\0' && fnmatch(glob, text, FNM_NOESCAPE | flags) == 0;
}

const struct hr_match *hr_config_match(
        const struct hr_config *c, const char *unit, const char *cgroup, const char *user, const char *group)
{
        for (size_t i = 0; i < c->match_count; i++) {
                const struct hr_match *m = &c->matches[i];

                if (fits(m->unit, unit, 0) && fits(m->cgroup, cgroup, FNM_PATHNAME) &&
                        fits(m->user, user, 0) && fits(m->group, group, 0))
                        return m;
        }
        return NULL;
}

/* The levels must rise, those that are off left out. Returns the key that is too low and the one above it. */
static bool levels_rise(const struct hr_policy *p, const struct hr_config_key **ret_key,
        const struct hr_config_key **ret_above)
{
        const struct hr_config_key *last = NULL;
        uint32_t last_permyriad = 0;

        for (enum hr_stage s = HR_STAGE_NOTICE; s < HR_STAGE_COUNT; s++) {
                uint32_t permyriad = p->level_permyriad[s];

                if (s == HR_STAGE_INTERRUPT || permyriad == HR_PERMYRIAD_OFF)
                        continue;

                const struct hr_config_key *key = hr_config_table_find(HR_CONFIG_POLICY, hr_stage_name(s));
                if (permyriad < last_permyriad) {
                        *ret_key = key;
                        *ret_above = last;
                        return false;
                }
                last = key;
                last_permyriad = permyriad;
        }
        return true;
}

/* "hold = 80%: below checkpoint = 90%, ..." */
static bool check_levels(const struct hr_policy *p, char *text, size_t text_size)
{
        const struct hr_config_key *key = NULL, *above = NULL;
        char value[HR_CONFIG_VALUE_SIZE], other[HR_CONFIG_VALUE_SIZE];

        if (levels_rise(p, &key, &above))
                return true;
        (void)snprintf(text, text_size,
                "[policy %s] %s = %s: below %s = %s, takes a level at or above it, or off", p->name,
                key->name, hr_config_table_spell(key, value, p), above->name,
                hr_config_table_spell(above, other, p));
        return false;
}

struct check {
        hr_problem_fn report;
        void *userdata;
        int count;
};

HR_PRINTF(3, 4)
static void complain(struct check *check, const struct hr_place *place, const char *format, ...)
{
        char text[1024];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        check->report(
                &(struct hr_problem){HR_PROBLEM_ERROR, place->file, place->line, text}, check->userdata);
        check->count++;
}

static void check_match(struct check *check, const struct hr_config *c, const struct hr_match *m)
{
        char limit[HR_TEXT_SIZE_MAX], limit_max[HR_TEXT_SIZE_MAX], known[512] = "";

        if (m->limit_bytes != HR_BYTES_NONE && m->limit_bytes > m->limit_max_bytes)
                complain(check, &m->place, "[match %s] limit = %s: above limit_max = %s", m->name,
                        hr_units_spell_bytes(limit, m->limit_bytes),
                        hr_units_spell_bytes(limit_max, m->limit_max_bytes));
        if (hr_config_policy(c, m->policy))
                return;
        for (size_t i = 0, length = 0; i < c->policy_count && length < sizeof(known); i++)
                length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s", i > 0 ? ", " : "",
                        c->policies[i].name);
        complain(check, &m->place, "[match %s] policy = %s: no such policy, takes one of %s", m->name,
                m->policy, known);
}

int hr_config_check(const struct hr_config *c, hr_problem_fn report, void *userdata)
{
        struct check check = {.report = report, .userdata = userdata};
        char a[HR_TEXT_SIZE_MAX], b[HR_TEXT_SIZE_MAX], text[512];

        if (c->poll_min_usec > c->poll_max_usec)
                complain(&check, &c->daemon_place, "[daemon] poll_min = %s: above poll_max = %s",
                        hr_units_spell_time(a, c->poll_min_usec), hr_units_spell_time(b, c->poll_max_usec));
        if (c->host_total_bytes > 0 && c->host_reserve_bytes >= c->host_total_bytes)
                complain(&check, &c->host_place,
                        "[host] reserve = %s: takes less than the memory of the host, %s",
                        hr_units_spell_bytes(a, c->host_reserve_bytes),
                        hr_units_format_bytes(b, c->host_total_bytes));
        for (size_t i = 0; i < c->policy_count; i++)
                if (!check_levels(&c->policies[i], text, sizeof(text)))
                        complain(&check, &c->policies[i].place, "%s", text);
        for (size_t i = 0; i < c->match_count; i++)
                check_match(&check, c, &c->matches[i]);
        return check.count;
}

int hr_config_set_policy_key(struct hr_policy *p, const char *key, const char *value,
        uint64_t host_total_bytes, char *text, size_t text_size)
{
        const struct hr_config_key *k = hr_config_table_find(HR_CONFIG_POLICY, key);
        struct hr_policy changed = *p;
        char heading[HR_NAME_MAX + 16], escaped[HR_CONFIG_LINE_MAX];
        int r;

        (void)snprintf(heading, sizeof(heading), "policy %s", p->name);
        if (!k) {
                const struct hr_config_key *meant = hr_config_table_nearest(HR_CONFIG_POLICY, key);

                (void)snprintf(text, text_size, "[%s] %s: unknown key%s%s%s", heading,
                        hr_units_escape(escaped, sizeof(escaped), key), meant ? ", did you mean " : "",
                        meant ? meant->name : "", meant ? "?" : "");
                return -ENOENT;
        }
        r = hr_config_table_set(k, &changed, value, host_total_bytes);
        if (r < 0) {
                hr_config_table_explain(k, heading, value, r, text, text_size);
                return r;
        }
        if (!check_levels(&changed, text, text_size))
                return -ERANGE;
        *p = changed;
        return 0;
}

/* The keys of a section as they are in *base, under their heading. */
static void dump(
        enum hr_config_section section, const char *name, const void *base, hr_line_fn write, void *userdata)
{
        size_t count;
        const struct hr_config_key *keys = hr_config_table(&count);
        char line[LINE_SIZE], value[HR_CONFIG_VALUE_SIZE];

        (void)snprintf(line, sizeof(line), "[%s%s%s]\n", hr_config_table_section_name(section),
                name[0] ? " " : "", name);
        write(line, userdata);
        for (size_t i = 0; i < count; i++) {
                if (keys[i].section != section)
                        continue;
                hr_config_table_spell(&keys[i], value, base);
                (void)snprintf(line, sizeof(line), "%s =%s%s\n", keys[i].name, value[0] ? " " : "", value);
                write(line, userdata);
        }
}

void hr_config_dump_policy(const struct hr_policy *p, hr_line_fn write, void *userdata)
{
        dump(HR_CONFIG_POLICY, p->name, p, write, userdata);
}

void hr_config_dump(const struct hr_config *c, hr_line_fn write, void *userdata)
{
        dump(HR_CONFIG_DAEMON, "", c, write, userdata);
        write("\n", userdata);
        dump(HR_CONFIG_HOST, "", c, write, userdata);
        for (size_t i = 0; i < c->policy_count; i++) {
                write("\n", userdata);
                hr_config_dump_policy(&c->policies[i], write, userdata);
        }
        for (size_t i = 0; i < c->match_count; i++) {
                write("\n", userdata);
                dump(HR_CONFIG_MATCH, c->matches[i].name, &c->matches[i], write, userdata);
        }
}

/* What stands above each section of the sample: the comment and the heading. */
static const char *const sample_headings[HR_CONFIG_SECTION_COUNT] = {
        [HR_CONFIG_DAEMON] =
                "# Headroom's configuration: headroom.conf(5) tells more of each key, with examples.\n"
                "# Every key stands here with its default: take off the # in front of what you change, then\n"
                "# `headroomd --check-config` and `systemctl reload headroomd`. A comment is a line of its "
                "own, or\n"
                "# follows a value after a space and a semicolon.\n"
                "\n"
                "[daemon]\n",
        [HR_CONFIG_HOST] = "[host]\n",
        [HR_CONFIG_POLICY] = "# The policy of a job that names none. [policy NAME] makes another one, which "
                             "starts from this one\n"
                             "# as it stands here. Built in are also: batch (default with hold_timeout = 0) "
                             "and observe (default\n"
                             "# with observe = yes); [policy batch] changes the built-in one.\n"
                             "[policy default]\n",
        [HR_CONFIG_MATCH] = "# Finds jobs that were not started by `headroom run`, as their cgroups appear. "
                            "Give one test or\n"
                            "# more; all of them must fit, and the first match in file order wins.\n"
                            "#[match NAME]\n",
};

/* A text of several lines, one by one; none has LINE_SIZE bytes. */
static void write_lines(const char *text, hr_line_fn write, void *userdata)
{
        char line[LINE_SIZE];

        for (size_t length; *text != '\0'; text += length) {
                length = strcspn(text, "\n") + 1;
                (void)snprintf(line, sizeof(line), "%.*s", (int)length, text);
                write(line, userdata);
        }
}

void hr_config_sample(hr_line_fn write, void *userdata)
{
        size_t count;
        const struct hr_config_key *keys = hr_config_table(&count);
        char line[LINE_SIZE], takes[HR_CONFIG_VALUE_SIZE];

        for (size_t i = 0; i < count; i++) {
                const struct hr_config_key *key = &keys[i];

                if (i == 0 || keys[i - 1].section != key->section) {
                        if (i > 0)
                                write("\n", userdata);
                        write_lines(sample_headings[key->section], write, userdata);
                }
                (void)snprintf(line, sizeof(line), "\n# %s\n", key->explanation);
                write_lines(line, write, userdata);
                (void)snprintf(line, sizeof(line), "# Takes %s.\n", hr_config_table_takes(key, takes));
                write(line, userdata);
                (void)snprintf(line, sizeof(line), "#%s =%s%s\n", key->name, key->fallback[0] ? " " : "",
                        key->fallback);
                write(line, userdata);
        }
}

void hr_config_keys(hr_line_fn write, void *userdata)
{
        size_t count;
        const struct hr_config_key *keys = hr_config_table(&count);
        char line[LINE_SIZE];

        for (size_t i = 0; i < count; i++) {
                (void)snprintf(line, sizeof(line), "%s.%s\n", hr_config_table_section_name(keys[i].section),
                        keys[i].name);
                write(line, userdata);
        }
}
