/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/config_table.h"

#include <errno.h>
#include <string.h>

#include "think/words.h"

/*
 * The keys of the configuration, once. Each row says where a value lives, its type, range and default, and
 * why it is there; all that knows keys is driven by these rows: the parser, its messages, the dump, the
 * sample and, through the list of keys, the check of the manual.
 */

static const char *const section_names[HR_CONFIG_SECTION_COUNT] = {
        [HR_CONFIG_DAEMON] = "daemon",
        [HR_CONFIG_HOST] = "host",
        [HR_CONFIG_POLICY] = "policy",
        [HR_CONFIG_MATCH] = "match",
};

#define ROW(section, struct_, name, field, type, min, max, fallback, explanation)           \
        {                                                                                   \
                (section), (name), offsetof(struct_, field), sizeof(((struct_ *)0)->field), \
                        &hr_config_type_##type, (min), (max), (fallback), (explanation)     \
        }
#define DAEMON(...) ROW(HR_CONFIG_DAEMON, struct hr_config, __VA_ARGS__)
#define HOST(...) ROW(HR_CONFIG_HOST, struct hr_config, __VA_ARGS__)
#define POLICY(...) ROW(HR_CONFIG_POLICY, struct hr_policy, __VA_ARGS__)
#define MATCH(...) ROW(HR_CONFIG_MATCH, struct hr_match, __VA_ARGS__)
#define STAGE(stage) level_permyriad[HR_STAGE_##stage]

#define MSEC HR_USEC_PER_MSEC
#define SEC HR_USEC_PER_SEC
#define HOUR (3600 * SEC)
#define DAY (24 * HOUR)
#define NEVER HR_USEC_NEVER
#define ALL HR_PERMYRIAD_ALL
#define NONE HR_BYTES_NONE

/* Defaults come from the design of the ladder; ranges are chosen, not tuned: they keep out slips of the pen.
 */
static const struct hr_config_key keys[] = {
        DAEMON("jobs_max", jobs_max, count, 1, 65536, "4096", "Jobs watched at once; one more is refused."),
        DAEMON("poll_min", poll_min_usec, time, 100, HOUR, "250us",
                "The shortest time between two looks at a job."),
        DAEMON("poll_max", poll_max_usec, time, MSEC, HOUR, "10min",
                "The longest time between two looks at a job."),
        DAEMON("fill_rate", fill_rate_bytes_per_second, rate, HR_MIB, 1024 * HR_GIB, "4G",
                "The fastest that one job is expected to fill memory, per second."),
        DAEMON("lock_memory", lock_memory, yesno, 0, 1, "yes",
                "Keep the daemon itself in memory, so that it works when none is left."),
        DAEMON("tell_terminals", tell_terminals, yesno, 0, 1, "yes",
                "Write to the login terminals of the owner of a job that has none of its own."),
        DAEMON("events_kept", events_kept, count, 1, 65536, "1024",
                "Events kept for headroom events; the oldest goes first."),
        DAEMON("metrics_file", metrics_file, path, 0, 0, "",
                "A file for the textfile collector of Prometheus' node exporter; nothing: none is written."),
        DAEMON("metrics_interval", metrics_interval_usec, time, SEC, HOUR, "15s",
                "How often that file is written."),
        DAEMON("metrics_jobs", metrics_jobs, count, 0, 1000, "0",
                "Jobs with metrics of their own, those that use most; 0: sums alone."),
        DAEMON("record_age", record_age_usec, time, HOUR, NEVER, "90d",
                "How long the record of an ended job is kept, for headroom why, history and advise."),
        DAEMON("record_size", record_size_bytes, size, HR_MIB, 1024 * HR_GIB, "256M",
                "How large the record of ended jobs may grow; of whoever has most, the oldest goes."),
        DAEMON("criu", criu, path, 0, 0, "/usr/sbin/criu", "The program of checkpoint_method criu."),

        HOST("guard", host_guard, yesno, 0, 1, "yes",
                "Put the jobs through their ladder when the host itself runs out of memory."),
        HOST("reserve", host_reserve_bytes, size, 0, 65536 * HR_GIB, "2%",
                "The host counts as full when only this much memory is left."),
        HOST("limit_cap", limit_cap_bytes, size, HR_MIB, NONE, "max",
                "Owners may set the limits of their jobs up to this; root may set any."),

        POLICY("notice", STAGE(NOTICE), level, 0, ALL, "70%", "Tell the owner at this share of the limit."),
        POLICY("notice_time", notice_time_usec, time, 0, DAY, "60s",
                "Tell the owner also when the limit is this near in time; 0: only by level."),
        POLICY("trim", STAGE(TRIM), level, 0, ALL, "80%",
                "Ask the job for its garbage, and reclaim cold memory, at this level."),
        POLICY("checkpoint", STAGE(CHECKPOINT), level, 0, ALL, "90%",
                "Save the job by checkpoint_method at this level, if it grows."),
        POLICY("hold", STAGE(HOLD), level, 0, ALL, "97%",
                "Freeze the job and ask its owner at this level, if it grows."),
        POLICY("interrupt", STAGE(INTERRUPT), switch, 0, 1, "on",
                "End a job whose hold is over by SIGINT, then SIGTERM."),
        POLICY("kill", STAGE(KILL), level, 0, ALL, "98%",
                "Kill at this level a job that grows and can't be frozen."),
        POLICY("margin", margin_permyriad, percent, 0, ALL / 2, "5%",
                "A stage is left when usage is this far below its level."),
        POLICY("settle", settle_usec, time, 0, HOUR, "10s",
                "Usage must stay below for this long before a stage is left."),
        POLICY("cooldown", cooldown_usec, time, 0, DAY, "60s",
                "At most one trim and one checkpoint in this time."),
        POLICY("horizon", horizon_usec, time, SEC, NEVER, "30min",
                "Notice and trim speak only if growth would reach the limit within this time."),
        POLICY("reach", reach_usec, time, MSEC, DAY, "30s",
                "Hold acts only if growth would reach the limit within this time."),
        POLICY("grace", grace_usec, time, 0, DAY, "30s",
                "From SIGINT to SIGTERM, and from SIGTERM to the kill."),
        POLICY("hold_timeout", hold_timeout_usec, time, 0, NEVER, "15min",
                "How long a held job may wait while others need its memory; 0: it is not held."),
        POLICY("hold_max", hold_max_usec, time, SEC, NEVER, "3d", "How long a job may be held in any case."),
        POLICY("turn", turn_usec, time, 0, DAY, "60s",
                "In a shared shortage, the time before a second job is held for it."),
        POLICY("checkpoint_method", checkpoint_method, method, 0, 0, "channel",
                "How a job is made to save its work; channel: by its own code, where it has some."),
        POLICY("checkpoint_deadline", checkpoint_deadline_usec, time, 100 * MSEC, DAY, "2min",
                "How long a checkpoint may take."),
        POLICY("checkpoint_file", checkpoint_file, path, 0, 0, "",
                "The file whose change proves that a signal made the job save."),
        POLICY("criu_dir", criu_dir, path, 0, 0, "",
                "Where CRIU's images are, root's alone; empty: /var/lib/headroom/images."),
        POLICY("criu_free", criu_free_bytes, size, 0, 65536 * HR_GIB, "1G",
                "What a dump by CRIU must leave free on that disk."),
        POLICY("criu_keep", criu_keep_usec, time, 60 * SEC, NEVER, "30d",
                "How long an image is kept for headroom resume."),
        POLICY("criu_predump", criu_predump, yesno, 0, 1, "no",
                "At trim, have CRIU write the job's memory ahead while it runs: the dump then writes what "
                "changed."),
        POLICY("fuse", fuse, fuse, 0, 0, "auto",
                "Let an interrupted job meet MemoryError before the kernel's SIGKILL; auto: if it is "
                "Python."),
        POLICY("elastic", elastic, yesno, 0, 1, "no",
                "Raise the limit, up to limit_max, before holding the job."),
        POLICY("limit_max", limit_max_bytes, size, HR_MIB, NONE, "max",
                "How far elastic may raise the limit; max: it is not raised."),
        POLICY("retry", retry, retry, 0, 0, "0",
                "How often a job that was ended by its checkpoint is started again, with how much more "
                "room."),
        POLICY("on_notice", on_notice, path, 0, 0, "",
                "A program to run at notice, as the owner of the job."),
        POLICY("on_hold", on_hold, path, 0, 0, "", "A program to run when the job is held, as its owner."),
        POLICY("on_end", on_end, path, 0, 0, "", "A program to run when the job has ended, as its owner."),
        POLICY("hook_timeout", hook_timeout_usec, time, 100 * MSEC, HOUR, "30s",
                "How long such a program may run before it is killed."),
        POLICY("observe", observe, yesno, 0, 1, "no",
                "A dry run: report every stage, do nothing to the job."),

        MATCH("unit", unit, glob, 0, 0, "", "The systemd unit that the cgroup belongs to."),
        MATCH("cgroup", cgroup, cgroup, 0, 0, "", "The path of the cgroup; * and ? don't match a /."),
        MATCH("user", user, glob, 0, 0, "", "The name of the user who owns the processes."),
        MATCH("group", group, glob, 0, 0, "", "The name of that user's group."),
        MATCH("policy", policy, name, 0, 0, "observe", "The policy of the jobs that this match finds."),
        MATCH("limit", limit_bytes, size, HR_MIB, NONE, "max",
                "The limit that such a job gets; max: it is left as it is."),
        MATCH("limit_max", limit_max_bytes, size, HR_MIB, NONE, "max",
                "In place of the policy's limit_max; max: the policy's stands."),
        MATCH("lock", lock, yesno, 0, 1, "no",
                "The owner may not choose another policy, nor detach the job."),
};
_Static_assert(ELEMENTSOF(keys) < HR_CONFIG_KEYS_MAX, "too many keys");

const char *hr_config_table_section_name(enum hr_config_section section)
{
        return section_names[section];
}

const struct hr_config_key *hr_config_table(size_t *ret_count)
{
        *ret_count = ELEMENTSOF(keys);
        return keys;
}

const struct hr_config_key *hr_config_table_find(enum hr_config_section section, const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].section == section && strcmp(keys[i].name, name) == 0)
                        return &keys[i];
        return NULL;
}

const struct hr_config_key *hr_config_table_nearest(enum hr_config_section section, const char *name)
{
        const struct hr_config_key *nearest = NULL;
        unsigned best = HR_WORDS_FAR;

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].section == section && hr_words_nearer(name, keys[i].name, &best))
                        nearest = &keys[i];
        return nearest;
}

const char *hr_config_table_nearest_section(const char *word)
{
        const char *nearest = NULL;
        unsigned best = HR_WORDS_FAR;

        for (size_t i = 0; i < ELEMENTSOF(section_names); i++)
                if (hr_words_nearer(word, section_names[i], &best))
                        nearest = section_names[i];
        return nearest;
}

/* Would the value, written into a file, be read back as it is? */
static int check_line(const struct hr_config_key *key, const char *value)
{
        if (strlen(key->name) + strlen(" = ") + strlen(value) > HR_CONFIG_LINE_MAX)
                return -ENAMETOOLONG;
        for (const char *p = value; *p != '\0'; p++) {
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        return -EILSEQ;
                if (*p == ';' && (p == value || p[-1] == ' '))
                        return -EILSEQ;
                if (*p == ' ' && (p == value || p[1] == '\0'))
                        return -EILSEQ;
        }
        return 0;
}

int hr_config_table_set(
        const struct hr_config_key *key, void *base, const char *value, uint64_t host_total_bytes)
{
        int r = check_line(key, value);

        return r < 0 ? r : key->type->parse(key, value, host_total_bytes, (char *)base + key->offset);
}

void hr_config_table_set_defaults(enum hr_config_section section, void *base, uint64_t host_total_bytes)
{
        /* Ignored on purpose: the unit test shows that every default parses. On a host of unknown size a
         * percentage stays 0. */
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].section == section)
                        (void)hr_config_table_set(&keys[i], base, keys[i].fallback, host_total_bytes);
}

char *hr_config_table_spell(const struct hr_config_key *key, char *buf, const void *base)
{
        return key->type->spell(key, buf, (const char *)base + key->offset);
}

char *hr_config_table_takes(const struct hr_config_key *key, char *buf)
{
        return key->type->takes(key, buf);
}

static const char *reason(int error)
{
        switch (error) {
        case -ERANGE:
                return "out of range";
        case -EUCLEAN:
                return "a number without a unit";
        case -ENODATA:
                return "a percentage of what isn't known";
        case -EOPNOTSUPP:
                return "not supported";
        case -ENAMETOOLONG:
                return "too long";
        case -EILSEQ:
                return "holds a control character, or a ; that begins a comment";
        default:
                return "not accepted";
        }
}

void hr_config_table_explain(const struct hr_config_key *key, const char *heading, const char *value,
        int error, char *text, size_t text_size)
{
        char takes[HR_CONFIG_VALUE_SIZE], escaped[4 * HR_CONFIG_LINE_MAX];

        (void)snprintf(text, text_size, "[%s] %s = %s: %s, takes %s%s", heading, key->name,
                hr_units_escape(escaped, sizeof(escaped), value), reason(error),
                hr_config_table_takes(key, takes),
                strstr(value, " #") ? " (after a value a comment begins with \" ;\")" : "");
}
