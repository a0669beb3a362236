/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The configuration: what a file may say, what it gets for saying something else, and that what is written is
 * read back to the same. `test-config keys` and `test-config sample` print those for check-config-docs.sh.
 */

#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "think/config.h"
#include "think/config_table.h"

#define HOST_BYTES (100 * HR_GIB)

/* What was reported: each problem as "line: text\n", warnings with a "~" before. */
struct log {
        char text[16384];
        size_t length;
};

static void add(struct log *log, const char *text)
{
        size_t length = strlen(text);

        if (length >= sizeof(log->text) - log->length)
                length = sizeof(log->text) - log->length - 1;
        memcpy(log->text + log->length, text, length);
        log->length += length;
        log->text[log->length] = '\0';
}

static void add_line(const char *line, void *userdata)
{
        size_t length = strlen(line);

        assert_true(length > 0 && length <= HR_CONFIG_LINE_MAX + 1);
        assert_ptr_equal(strchr(line, '\n'), line + length - 1);
        add(userdata, line);
}

static void print_line(const char *line, void *userdata HR_UNUSED)
{
        (void)fputs(line, stdout);
}

static void report(const struct hr_problem *problem, void *userdata)
{
        char text[2048];

        assert_null(strchr(problem->text, '\n'));
        assert_string_equal(problem->file, "t.conf");
        (void)snprintf(text, sizeof(text), "%s%u: %s\n", problem->level == HR_PROBLEM_WARNING ? "~" : "",
                problem->line, problem->text);
        add(userdata, text);
}

static struct hr_config *new_config(void)
{
        struct hr_config *c = NULL;

        assert_int_equal(hr_config_new(HOST_BYTES, &c), 0);
        return c;
}

/* A file that must be clean. */
static void parse_clean(struct hr_config *c, const char *text)
{
        struct log log = {};
        unsigned errors = 99;
        int r = hr_config_parse(c, "t.conf", text, strlen(text), report, &log, &errors);

        assert_string_equal(log.text, "");
        assert_int_equal(r, 0);
        assert_int_equal(errors, 0);
}

static void check_clean(const struct hr_config *c)
{
        struct log log = {};

        assert_int_equal(hr_config_check(c, report, &log), 0);
        assert_string_equal(log.text, "");
}

static void test_defaults(void **state HR_UNUSED)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
        const struct hr_policy *p = hr_config_policy(c, "default");

        assert_non_null(p);
        assert_int_equal(c->jobs_max, 4096);
        assert_int_equal(c->poll_min_usec, 250);
        assert_int_equal(c->poll_max_usec, 600 * HR_USEC_PER_SEC);
        assert_int_equal(c->fill_rate_bytes_per_second, 4 * HR_GIB);
        assert_true(c->lock_memory && c->tell_terminals && c->host_guard);
        assert_int_equal(c->events_kept, 1024);
        assert_int_equal(c->record_age_usec, 90 * 24 * 3600 * HR_USEC_PER_SEC);
        assert_int_equal(c->record_size_bytes, 256 * HR_MIB);
        assert_int_equal(c->host_reserve_bytes, HOST_BYTES / 50);
        assert_true(c->limit_cap_bytes == HR_BYTES_NONE);
        assert_int_equal(c->match_count, 0);

        assert_false(p->observe || p->elastic);
        assert_int_equal(p->level_permyriad[HR_STAGE_NOTICE], 7000);
        assert_int_equal(p->level_permyriad[HR_STAGE_TRIM], 8000);
        assert_int_equal(p->level_permyriad[HR_STAGE_CHECKPOINT], 9000);
        assert_int_equal(p->level_permyriad[HR_STAGE_HOLD], 9700);
        assert_int_equal(p->level_permyriad[HR_STAGE_INTERRUPT], 0);
        assert_int_equal(p->level_permyriad[HR_STAGE_KILL], 9800);
        assert_int_equal(p->notice_time_usec, 60 * HR_USEC_PER_SEC);
        assert_int_equal(p->margin_permyriad, 500);
        assert_int_equal(p->settle_usec, 10 * HR_USEC_PER_SEC);
        assert_int_equal(p->cooldown_usec, 60 * HR_USEC_PER_SEC);
        assert_int_equal(p->horizon_usec, 1800 * HR_USEC_PER_SEC);
        assert_int_equal(p->reach_usec, 30 * HR_USEC_PER_SEC);
        assert_int_equal(p->grace_usec, 30 * HR_USEC_PER_SEC);
        assert_int_equal(p->hold_timeout_usec, 900 * HR_USEC_PER_SEC);
        assert_int_equal(p->hold_max_usec, 3 * 86400 * HR_USEC_PER_SEC);
        assert_int_equal(p->turn_usec, 60 * HR_USEC_PER_SEC);
        assert_int_equal(p->checkpoint_method.method, HR_METHOD_CHANNEL);
        assert_int_equal(p->checkpoint_deadline_usec, 120 * HR_USEC_PER_SEC);
        assert_string_equal(p->checkpoint_file, "");
        assert_int_equal(p->fuse, HR_FUSE_AUTO);
        assert_true(p->limit_max_bytes == HR_BYTES_NONE);
        assert_int_equal(p->hook_timeout_usec, 30 * HR_USEC_PER_SEC);

        assert_int_equal(hr_config_policy(c, "batch")->hold_timeout_usec, 0);
        assert_false(hr_config_policy(c, "batch")->observe);
        assert_true(hr_config_policy(c, "observe")->observe);
        assert_null(hr_config_policy(c, "nothing"));
        check_clean(c);
        assert_null(hr_config_free(NULL));
}

/* Rows trust each other: sizes fit their types, defaults parse, names are there once. */
static void test_table(void **state HR_UNUSED)
{
        size_t count;
        const struct hr_config_key *keys = hr_config_table(&count);
        union {
                struct hr_config config;
                struct hr_policy policy;
                struct hr_match match;
        } base = {};
        char value[HR_CONFIG_VALUE_SIZE];

        for (size_t i = 0; i < count; i++) {
                if (keys[i].type->field_size > 0)
                        assert_int_equal(keys[i].size, keys[i].type->field_size);
                assert_ptr_equal(hr_config_table_find(keys[i].section, keys[i].name), &keys[i]);
                assert_int_equal(hr_config_table_set(&keys[i], &base, keys[i].fallback, HOST_BYTES), 0);
                assert_true(strlen(hr_config_table_spell(&keys[i], value, &base)) < sizeof(value));
                assert_true(strlen(hr_config_table_takes(&keys[i], value)) > 0);
                assert_true(i == 0 || keys[i - 1].section <= keys[i].section);
        }
}

/* The same two keys in every dress that a file may come in. */
static void test_forms(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
        } table[] = {
                {"plain", "[policy default]\nhold = 95%\n[daemon]\njobs_max = 7\n"},
                {"no last newline", "[policy default]\nhold = 95%\n[daemon]\njobs_max = 7"},
                {"CRLF", "[policy default]\r\nhold = 95%\r\n\r\n[daemon]\r\njobs_max = 7\r\n"},
                {"CRLF, no last newline", "[policy default]\r\nhold = 95%\r\n[daemon]\r\njobs_max = 7\r"},
                {"UTF-8 mark", "\xEF\xBB\xBF[policy default]\nhold = 95%\n[daemon]\njobs_max = 7\n"},
                {"UTF-8 mark and a key's comment",
                        "\xEF\xBB\xBF# c\n[policy default]\nhold=95%\n[daemon]\njobs_max=7"},
                {"no spaces", "[policy default]\nhold=95%\n[daemon]\njobs_max=7\n"},
                {"many spaces",
                        "  [ policy \t default ]  \n  hold   =   95 %  \n\t[\tdaemon]\n\tjobs_max\t=\t7\t\n"},
                {"indented after a key",
                        "[policy default]\ntrim = 80%\n    hold = 95%\n[daemon]\njobs_max = 7\n"},
                {"comments", "; c\n# c\n [policy default] ; c\n#hold = 1%\n ;hold = 1%\nhold = 95% ; "
                             "c\n\n[daemon]\t; c\n"
                             "jobs_max = 7 ;c\n"},
                {"colon", "[policy default]\nhold: 95%\n[daemon]\njobs_max: 7\n"},
                {"a dash of other values", "[policy default]\nhold = 95.00%\n[daemon]\njobs_max = 0007\n"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();

                print_message("  %s\n", table[i].name);
                parse_clean(c, table[i].text);
                assert_int_equal(c->policies[0].level_permyriad[HR_STAGE_HOLD], 9500);
                assert_int_equal(c->jobs_max, 7);
        }
}

static void test_empty_files(void **state HR_UNUSED)
{
        static const char *const table[] = {
                "", "\n", "\r\n", "\xEF\xBB\xBF", "# comment", "\n\n  \n", "[daemon]", "[policy x]"};

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();

                parse_clean(c, table[i]);
                assert_int_equal(c->jobs_max, 4096);
        }
        HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
        struct log log = {};
        assert_int_equal(hr_config_parse(c, "t.conf", NULL, 0, report, &log, NULL), 0);
}

/* Each key of a policy, as one may write it and as it is written. */
static void test_values(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *key, *value, *spelled;
        } table[] = {
                {"level", "notice", "60%", "60%"},
                {"level with a fraction", "hold", "97.5%", "97.5%"},
                {"level off", "checkpoint", "off", "off"},
                {"switch off", "interrupt", "no", "off"},
                {"switch on", "interrupt", "yes", "on"},
                {"time", "grace", "90s", NULL},
                {"time zero", "hold_timeout", "0", "0"},
                {"time never", "hold_max", "never", "never"},
                {"time of two parts", "horizon", "1h 30min", NULL},
                {"percent", "margin", "50%", "50%"},
                {"bool", "observe", "on", "yes"},
                {"bool", "elastic", "0", "no"},
                {"size", "limit_max", "8G", "8G"},
                {"size of the host", "limit_max", "50%", "50G"},
                {"size none", "limit_max", "max", "max"},
                {"fuse auto", "fuse", "auto", "auto"},
                {"no retry", "retry", "0", "0"},
                {"retry", "retry", "2", "2, limit x1.5"},
                {"retry with room", "retry", "2, limit x1.25", "2, limit x1.25"},
                {"retry, tight", "retry", "100,limit x16", "100, limit x16"},
                {"retry, no more room", "retry", "1 limit x1", "1, limit x1"},
                {"retry, zeros", "retry", "3, limit x2.500", "3, limit x2.5"},
                {"fuse yes", "fuse", "true", "yes"},
                {"fuse no", "fuse", "off", "no"},
                {"signal", "checkpoint_method", "signal:USR1", "signal:USR1"},
                {"signal, long name", "checkpoint_method", "signal:SIGUSR2", "signal:USR2"},
                {"signal to the leader", "checkpoint_method", "signal:B:USR1", "signal:B:USR1"},
                {"hook", "checkpoint_method", "hook:/opt/save", "hook:/opt/save"},
                {"path", "on_end", "/opt/a hook", "/opt/a hook"},
                {"path with semicolons", "on_end", "/opt/a;b;", "/opt/a;b;"},
                {"path with = and :", "on_end", "/opt/a=b:c", "/opt/a=b:c"},
                {"path with a #", "on_end", "/opt/a#b", "/opt/a#b"},
                {"path in UTF-8", "on_end", "/opt/\xC3\xA9t\xC3\xA9", "/opt/\xC3\xA9t\xC3\xA9"},
                {"no path", "on_end", "", ""},
                {"file", "checkpoint_file", "/home/a/state.npz", "/home/a/state.npz"},
        };
        char text[512], value[HR_CONFIG_VALUE_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
                const struct hr_config_key *key = hr_config_table_find(HR_CONFIG_POLICY, table[i].key);

                print_message("  %s: %s = %s\n", table[i].name, table[i].key, table[i].value);
                (void)snprintf(
                        text, sizeof(text), "[policy default]\n%s = %s\n", table[i].key, table[i].value);
                parse_clean(c, text);
                hr_config_table_spell(key, value, &c->policies[0]);
                if (table[i].spelled)
                        assert_string_equal(value, table[i].spelled);
        }
}

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define TEXT(t) (t), sizeof(t) - 1

/* Bad input. `reported` is all of it where it ends in a newline, else how it begins. */
static void test_problems(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
                size_t size;
                unsigned errors, warnings;
                const char *reported;
        } table[] = {
                {"level out of range", TEXT("[policy batch]\nhold = 140%\n"), 1, 0,
                        "2: [policy batch] hold = 140%: out of range, takes 0% to 100% or off\n"},
                {"level without a unit", TEXT("[policy batch]\nhold = 97\n"), 1, 0,
                        "2: [policy batch] hold = 97: a number without a unit, takes 0% to 100% or off\n"},
                {"level in bytes", TEXT("[policy batch]\nhold = 97M\n"), 1, 0,
                        "2: [policy batch] hold = 97M: not accepted, takes 0% to 100% or off\n"},
                {"level negative", TEXT("[policy batch]\nhold = -1%\n"), 1, 0,
                        "2: [policy batch] hold = -1%: "},
                {"level empty", TEXT("[policy batch]\nhold =\n"), 1, 0,
                        "2: [policy batch] hold = : not accepted"},
                {"level and a hash", TEXT("[policy batch]\nhold = 9% # c\n"), 1, 0,
                        "2: [policy batch] hold = 9% # c: not accepted, takes 0% to 100% or off (after a "
                        "value a "
                        "comment begins with \" ;\")\n"},
                {"margin off", TEXT("[policy batch]\nmargin = off\n"), 1, 0,
                        "2: [policy batch] margin = off: out of range, takes 0% to 50%\n"},
                {"time without a unit", TEXT("[policy a]\ngrace = 30\n"), 1, 0,
                        "2: [policy a] grace = 30: a number without a unit, takes 0 to "},
                {"time in bytes", TEXT("[policy a]\ngrace = 30M\n"), 1, 0,
                        "2: [policy a] grace = 30M: not accepted"},
                {"time out of range", TEXT("[policy a]\ngrace = 2d\n"), 1, 0,
                        "2: [policy a] grace = 2d: out of range"},
                {"time huge", TEXT("[policy a]\ngrace = 99999999999999999999d\n"), 1, 0,
                        "2: [policy a] grace = 99999999999999999999d: out of range"},
                {"size without a unit", TEXT("[host]\nlimit_cap = 8\n"), 1, 0,
                        "2: [host] limit_cap = 8: a number without a unit, takes 1M to max, or a percentage "
                        "of the "
                        "host's memory\n"},
                {"size in seconds", TEXT("[host]\nlimit_cap = 8s\n"), 1, 0,
                        "2: [host] limit_cap = 8s: not accepted"},
                {"size too small", TEXT("[host]\nlimit_cap = 8K\n"), 1, 0,
                        "2: [host] limit_cap = 8K: out of range"},
                {"a rate of the host", TEXT("[daemon]\nfill_rate = 10%\n"), 1, 0,
                        "2: [daemon] fill_rate = 10%: a percentage of what isn't known, takes 1M to 1T\n"},
                {"count zero", TEXT("[daemon]\njobs_max = 0\n"), 1, 0,
                        "2: [daemon] jobs_max = 0: out of range, takes 1 to 65536\n"},
                {"count huge", TEXT("[daemon]\njobs_max = 18446744073709551617\n"), 1, 0,
                        "2: [daemon] jobs_max = 18446744073709551617: out of range, takes 1 to 65536\n"},
                {"count signed", TEXT("[daemon]\njobs_max = +5\n"), 1, 0,
                        "2: [daemon] jobs_max = +5: not accepted"},
                {"count with a unit", TEXT("[daemon]\njobs_max = 5k\n"), 1, 0,
                        "2: [daemon] jobs_max = 5k: not"},
                {"bool", TEXT("[host]\nguard = maybe\n"), 1, 0,
                        "2: [host] guard = maybe: not accepted, takes yes or no\n"},
                {"switch", TEXT("[policy a]\ninterrupt = 97%\n"), 1, 0,
                        "2: [policy a] interrupt = 97%: not accepted, takes on or off\n"},
                {"fuse", TEXT("[policy a]\nfuse = python\n"), 1, 0,
                        "2: [policy a] fuse = python: not accepted, takes auto, yes or no\n"},
                {"retry too often", TEXT("[policy a]\nretry = 101\n"), 1, 0,
                        "2: [policy a] retry = 101: out of range, takes 0 to 100, or such a number with "},
                {"retry with less room", TEXT("[policy a]\nretry = 1, limit x0.9\n"), 1, 0,
                        "2: [policy a] retry = 1, limit x0.9: out of range"},
                {"retry without bounds", TEXT("[policy a]\nretry = 1, limit x99999999999\n"), 1, 0,
                        "2: [policy a] retry = 1, limit x99999999999: out of range"},
                {"retry, half a word", TEXT("[policy a]\nretry = 1, limit\n"), 1, 0,
                        "2: [policy a] retry = 1, limit: not accepted"},
                {"retry, not a number", TEXT("[policy a]\nretry = 1, limit x1.5y\n"), 1, 0,
                        "2: [policy a] retry = 1, limit x1.5y: not accepted"},
                {"method", TEXT("[policy a]\ncheckpoint_method = signal:KILL\n"), 1, 0,
                        "2: [policy a] checkpoint_method = signal:KILL: not accepted, takes channel, "
                        "criu, signal:NAME, signal:B:NAME, hook:/PATH or none\n"},
                {"hook not absolute", TEXT("[policy a]\non_end = mail\n"), 1, 0,
                        "2: [policy a] on_end = mail: not accepted, takes an absolute path, or nothing\n"},
                {"file not absolute", TEXT("[policy a]\ncheckpoint_file = ~/state\n"), 1, 0,
                        "2: [policy a] checkpoint_file = ~/state: not accepted, takes an absolute path"},
                {"cgroup not absolute", TEXT("[match a]\ncgroup = slurm/*\n"), 1, 0,
                        "2: [match a] cgroup = slurm/*: not accepted, takes a glob that begins with /, or "
                        "nothing\n"},
                {"glob too long", TEXT("[match a]\nuser = " X50 X50 "\n"), 1, 0, "2: [match a] user = " X50},
                {"policy's name", TEXT("[match a]\nuser = a\npolicy = j17\n"), 1, 0,
                        "3: [match a] policy = j17: not accepted, takes the name of a policy\n"},
                {"control character", TEXT("[policy a]\non_end = /a\033[2Jb\n"), 1, 0,
                        "2: [policy a] on_end = /a\\x1b[2Jb: holds a control character"},
                {"CR within", TEXT("[policy a]\non_end = /a\rb\n"), 1, 0,
                        "2: [policy a] on_end = /a\\x0db: holds a"},
                {"semicolon at the front", TEXT("[match a]\nunit =;a\n"), 1, 0,
                        "2: [match a] unit = ;a: holds a"},

                {"no =", TEXT("[policy a]\nhold\n\ngrace = 1s\n"), 1, 0,
                        "2: hold: takes KEY = VALUE, [SECTION] or a comment\n"},
                {"no =, last line", TEXT("[policy a]\nhold 97%"), 1, 0, "2: hold 97%: takes KEY = VALUE"},
                {"no key", TEXT("[policy a]\n= 97%\n"), 1, 0, "2: = 97%: takes KEY = VALUE"},
                {"= in a comment", TEXT("[policy a]\nhold ;= 97%\n"), 1, 0,
                        "2: hold ;= 97%: takes KEY = VALUE"},
                {"no ]", TEXT("[policy a\nhold = 1%\n"), 1, 0,
                        "1: [policy a: takes [SECTION], and nothing after it"},
                {"rubbish after ]", TEXT("[policy a] x\nhold = 1%\n"), 1, 0,
                        "1: [policy a] x: takes [SECTION]"},
                {"comment close to ]", TEXT("[policy a];x\n"), 1, 0, "1: [policy a];x: takes [SECTION]"},
                {"NUL",
                        TEXT("[policy a]\nhold = 9\0"
                             "7%\ngrace = 1s\n"),
                        1, 0, "2: a NUL in the line, takes text\n"},
                {"NUL in a comment", TEXT("# \0\n"), 1, 0, "1: a NUL in the line, takes text\n"},
                {"UTF-16", TEXT("[\0h\0]\0\n\0"), 2, 0, "1: a NUL in the line, takes text\n"},
                {"over-long value", TEXT("[policy a]\non_end = /" X50 X50 X50 X50 "/x = 5\nhold = 97%\n"), 1,
                        0, "2: a line of 216 bytes, takes up to 190\n"},
                {"over-long comment", TEXT("#" X50 X50 X50 X50 "\n"), 1, 0,
                        "1: a line of 201 bytes, takes up to 190\n"},
                {"over-long last line", TEXT("#" X50 X50 X50 X50), 1, 0,
                        "1: a line of 201 bytes, takes up to 190\n"},
                {"too long to be written again", TEXT("[policy a]\non_end=/" X50 X50 X50 X50), 1, 0,
                        "2: a line of "},

                {"unknown key", TEXT("[policy a]\nholdd = 97%\ngrace = 1s\n"), 0, 1,
                        "~2: [policy a] holdd: unknown key, did you mean hold?\n"},
                {"unknown key, unlike any", TEXT("[policy a]\nmemory = 97%\n"), 0, 1,
                        "~2: [policy a] memory: unknown key\n"},
                {"unknown key, near to one of another section", TEXT("[host]\nhodl = 97%\n"), 0, 1,
                        "~2: [host] hodl: unknown key\n"},
                {"unknown key, escaped", TEXT("[policy a]\nho\033ld = 97%\n"), 0, 1,
                        "~2: [policy a] ho\\x1bld: unknown key, did you mean hold?\n"},
                {"key of another section", TEXT("[policy a]\njobs_max = 97%\n"), 0, 1,
                        "~2: [policy a] jobs_max: unknown key, it belongs to [daemon]\n"},
                {"key of a named section", TEXT("[daemon]\nhold = 97%\n"), 0, 1,
                        "~2: [daemon] hold: unknown key, it belongs to [policy NAME]\n"},
                {"key in capitals", TEXT("[policy a]\nHold = 97%\n"), 0, 1,
                        "~2: [policy a] Hold: unknown key, did you mean hold?\n"},
                {"key before a section", TEXT("hold = 97%\n"), 0, 1,
                        "~1: hold: unknown key, it stands before the first section\n"},
                {"repeated key", TEXT("[policy a]\nhold = 97%\n\nhold = 140%\n"), 0, 1,
                        "~4: [policy a] hold: repeated key, the one at line 2 counts\n"},
                {"unknown section", TEXT("[policies a]\nhold = 140%\nx = 1\n"), 0, 1,
                        "~1: [policies a]: unknown section, takes daemon, host, policy NAME or match NAME\n"},
                {"unknown section, near to one", TEXT("[polcy a]\nhold = 97%\n"), 0, 1,
                        "~1: [polcy a]: unknown section, takes daemon, host, policy NAME or match NAME; did "
                        "you mean policy?\n"},
                {"unknown section without keys", TEXT("\n[]\n"), 0, 1, "~2: []: unknown section"},
                {"a name too many", TEXT("[daemon x]\n"), 0, 1, "~1: [daemon x]: unknown section"},
                {"repeated section", TEXT("[policy a]\nhold = 97%\n[host]\n[policy a]\nhold = 140%\n"), 0, 1,
                        "~4: [policy a]: repeated section, the one at line 1 counts\n"},
                {"repeated daemon", TEXT("[daemon]\n[host]\n[daemon]\njobs_max = 0\n"), 0, 1,
                        "~3: [daemon]: repeated section, the one at line 1 counts\n"},
                {"repeated match", TEXT("[match a]\nuser = a\n[match a]\n"), 0, 1,
                        "~3: [match a]: repeated section"},

                {"policy without a name", TEXT("[policy]\nhold = 140%\n"), 1, 0,
                        "1: [policy]: takes a name of at most 63"},
                {"policy like a job", TEXT("[policy j17]\n"), 1, 0, "1: [policy j17]: takes a name"},
                {"policy of two words", TEXT("[policy a b]\n"), 1, 0, "1: [policy a b]: takes a name"},
                {"a name of 64 bytes", TEXT("[match " X50 "xxxxxxxxxxxxxx]\nuser = a\n"), 1, 0,
                        "1: [match " X50},
                {"match without a test", TEXT("\n[match a]\npolicy = batch\n[host]\n"), 1, 0,
                        "2: [match a]: tests nothing, takes at least one of unit, cgroup, user and group\n"},
                {"match without a test, at the end", TEXT("[match a]"), 1, 0, "1: [match a]: tests nothing"},
                {"match of empty tests", TEXT("[match a]\nuser =\nunit =\n"), 1, 0,
                        "1: [match a]: tests nothing"},
                {"several", TEXT("[policy a]\nhold = 140%\nholdd = 1\n[b]\n[host]\nguard = x\n"), 2, 2,
                        "2: [policy a] hold = 140%: out of range, takes 0% to 100% or off\n"
                        "~3: [policy a] holdd: unknown key, did you mean hold?\n"
                        "~4: [b]: unknown section, takes daemon, host, policy NAME or match NAME\n"
                        "6: [host] guard = x: not accepted, takes yes or no\n"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
                _free_ char *text = malloc(table[i].size); /* of its size: a read beyond is caught */
                const char *reported = table[i].reported;
                struct log log = {};
                unsigned errors = 99;

                print_message("  %s\n", table[i].name);
                assert_non_null(text);
                memcpy(text, table[i].text, table[i].size);
                int r = hr_config_parse(c, "t.conf", text, table[i].size, report, &log, &errors);
                if (reported[strlen(reported) - 1] != '\n' || table[i].errors + table[i].warnings > 1)
                        log.text[MIN(strlen(reported), log.length)] = '\0';
                assert_string_equal(log.text, reported);
                assert_int_equal(errors, table[i].errors);
                assert_int_equal(r, table[i].errors + table[i].warnings);
        }
}

/* Exactly HR_CONFIG_LINE_MAX bytes are taken whole, with CRLF and without; one more is not. */
static void test_longest_line(void **state HR_UNUSED)
{
        static const char *const ends[] = {"", "\n", "\r\n"};

        for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
                char path[HR_CONFIG_LINE_MAX], text[512];
                struct log log = {};

                memset(path, 'x', sizeof(path));
                path[0] = '/';
                path[HR_CONFIG_LINE_MAX - strlen("on_end = ")] = '\0';
                (void)snprintf(text, sizeof(text), "[policy a]\non_end = %s%s", path, ends[i]);
                parse_clean(c, text);
                assert_string_equal(hr_config_policy(c, "a")->on_end, path);

                (void)snprintf(text, sizeof(text), "[policy b]\non_end = %sx%s", path, ends[i]);
                assert_int_equal(hr_config_parse(c, "t.conf", text, strlen(text), report, &log, NULL), 1);
                assert_string_equal(log.text, "2: a line of 191 bytes, takes up to 190\n");

                /* It fits as it is, but would not as it is written. */
                log = (struct log){};
                (void)snprintf(text, sizeof(text), "[policy b]\non_end=%sxx%s", path, ends[i]);
                assert_int_equal(hr_config_parse(c, "t.conf", text, strlen(text), report, &log, NULL), 1);
                assert_non_null(strstr(log.text, "x: too long, takes an absolute path"));
        }
}

static void test_inheritance(void **state HR_UNUSED)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();

        parse_clean(c, "[policy before]\n"
                       "[policy default]\nhold = 95%\n"
                       "[policy after]\ngrace = 1s\n"
                       "[match m]\nuser = a\n[match n]\nuser = b\npolicy = after\n");
        assert_int_equal(hr_config_policy(c, "before")->level_permyriad[HR_STAGE_HOLD], 9700);
        assert_int_equal(hr_config_policy(c, "after")->level_permyriad[HR_STAGE_HOLD], 9500);
        assert_int_equal(hr_config_policy(c, "batch")->level_permyriad[HR_STAGE_HOLD], 9700);
        assert_string_equal(c->policies[3].name, "before");
        assert_string_equal(c->policies[4].name, "after");
        assert_string_equal(c->matches[0].policy, "observe");

        /* A drop-in changes what it names, and leaves the rest and the order. */
        parse_clean(c, "[match m]\npolicy = batch\nlock = yes\n[policy after]\nturn = 2s\n[policy "
                       "batch]\nhold = 96%\n");
        assert_string_equal(c->matches[0].name, "m");
        assert_string_equal(c->matches[0].user, "a");
        assert_string_equal(c->matches[0].policy, "batch");
        assert_true(c->matches[0].lock);
        assert_int_equal(hr_config_policy(c, "after")->grace_usec, HR_USEC_PER_SEC);
        assert_int_equal(hr_config_policy(c, "after")->turn_usec, 2 * HR_USEC_PER_SEC);
        assert_int_equal(hr_config_policy(c, "batch")->level_permyriad[HR_STAGE_HOLD], 9600);
        assert_int_equal(hr_config_policy(c, "batch")->hold_timeout_usec, 0);
        assert_int_equal(c->policy_count, 5);
        assert_int_equal(c->match_count, 2);
        check_clean(c);
}

static void test_too_many(void **state HR_UNUSED)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
        struct log log = {};
        char text[64];

        for (int i = 3; i < HR_POLICIES_MAX; i++) {
                (void)snprintf(text, sizeof(text), "[policy p%d]\n", i);
                parse_clean(c, text);
        }
        assert_int_equal(hr_config_parse(c, "t.conf", TEXT("[policy q]\nhold = x\n"), report, &log, NULL), 1);
        assert_string_equal(log.text, "1: [policy q]: too many, takes up to 64\n");

        for (int i = 0; i < HR_MATCHES_MAX; i++) {
                (void)snprintf(text, sizeof(text), "[match m%d]\nuser = u%d\n", i, i);
                parse_clean(c, text);
        }
        log = (struct log){};
        assert_int_equal(hr_config_parse(c, "t.conf", TEXT("[match q]\nuser = a\n"), report, &log, NULL), 1);
        assert_string_equal(log.text, "1: [match q]: too many, takes up to 256\n");
        assert_string_equal(hr_config_match(c, "", "/", "u255", "")->name, "m255");
}

static void test_check(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text, *reported;
        } table[] = {
                {"unknown policy", "[match a]\nuser = a\npolicy = nightly\n",
                        "3: [match a] policy = nightly: no such policy, takes one of default, batch, "
                        "observe\n"},
                {"policy further down", "[match a]\nuser = a\npolicy = nightly\n[policy nightly]\n", ""},
                {"levels cross", "[policy a]\nhold = 85%\n",
                        "1: [policy a] hold = 85%: below checkpoint = 90%, takes a level at or above it, or "
                        "off\n"},
                {"levels cross over one that is off", "[policy a]\ncheckpoint = off\nhold = 75%\n",
                        "1: [policy a] hold = 75%: below trim = 80%, takes a level at or above it, or off\n"},
                {"levels are equal", "[policy a]\nkill = 97%\n", ""},
                {"levels are off",
                        "[policy a]\nnotice = off\ntrim = off\ncheckpoint = off\nhold = off\nkill = 1%\n",
                        ""},
                {"interrupt has no level", "[policy a]\ninterrupt = off\n", ""},
                {"polls cross", "\n[daemon]\npoll_min = 2s\npoll_max = 1s\n",
                        "2: [daemon] poll_min = 2s: above poll_max = 1s\n"},
                {"all is reserve", "[host]\nreserve = 100%\n",
                        "1: [host] reserve = 100G: takes less than the memory of"},
                {"limits cross", "[match a]\nuser = a\nlimit = 8G\nlimit_max = 4G\n",
                        "1: [match a] limit = 8G: above limit_max = 4G\n"},
                {"limit without a maximum", "[match a]\nuser = a\nlimit = 8G\n", ""},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
                const char *reported = table[i].reported;
                struct log log = {};

                print_message("  %s\n", table[i].name);
                parse_clean(c, table[i].text);
                assert_int_equal(hr_config_check(c, report, &log), reported[0] ? 1 : 0);
                if (reported[0] && reported[strlen(reported) - 1] != '\n')
                        log.text[strlen(reported)] = '\0';
                assert_string_equal(log.text, reported);
        }
}

static void test_match(void **state HR_UNUSED)
{
        static const char text[] = "[match notebook]\nunit = jupyter-*.service\n"
                                   "[match escaped]\nunit = a\\x2db.service\n"
                                   "[match slurm]\ncgroup = /slurm/uid_*/job_*\nuser = a*\n"
                                   "[match either]\nuser = [bc]ob\n"
                                   "[match group]\ngroup = students\n"
                                   "[match known]\nuser = *\ncgroup = /user.slice/*\n";
        static const struct {
                const char *name, *unit, *cgroup, *user, *group, *match;
        } table[] = {
                {"unit", "jupyter-7.service", "/x", "root", "root", "notebook"},
                {"unit, whole", "xjupyter-7.service", "/x", "root", "root", NULL},
                {"unit with a backslash", "a\\x2db.service", "/x", "root", "root", "escaped"},
                {"both tests", NULL, "/slurm/uid_1/job_2", "alice", "", "slurm"},
                {"one of two tests", NULL, "/slurm/uid_1/job_2", "dora", "", NULL},
                {"not below", NULL, "/slurm/uid_1/job_2/step_0", "alice", "", NULL},
                {"set", "", "/x", "bob", "students", "either"},
                {"the next one", "", "/x", "dob", "students", "group"},
                {"any user", "", "/user.slice/a.scope", "eve", "", "known"},
                {"a user not known", "", "/user.slice/a.scope", "", "", NULL},
                {"nothing known", NULL, NULL, NULL, NULL, NULL},
        };
        HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();

        assert_null(hr_config_match(c, "a.service", "/a", "a", "a"));
        parse_clean(c, text);
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const struct hr_match *m =
                        hr_config_match(c, table[i].unit, table[i].cgroup, table[i].user, table[i].group);

                print_message("  %s\n", table[i].name);
                assert_string_equal(m ? m->name : "none", table[i].match ? table[i].match : "none");
        }
}

static void test_method(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *text;
                int result;
                enum hr_method method;
                int signal;
        } table[] = {
                {"none", "none", 0, HR_METHOD_NONE, 0},
                {"signal", "signal:USR1", 0, HR_METHOD_SIGNAL, SIGUSR1},
                {"signal to the leader", "signal:B:TERM", 0, HR_METHOD_SIGNAL_LEADER, SIGTERM},
                {"hook", "hook:/opt/save", 0, HR_METHOD_HOOK, 0},
                {"empty", "", -EINVAL, 0, 0},
                {"no signal", "signal:", -EINVAL, 0, 0},
                {"no signal to the leader", "signal:B:", -EINVAL, 0, 0},
                {"unknown signal", "signal:USR3", -EINVAL, 0, 0},
                {"signal 0", "signal:0", -EINVAL, 0, 0},
                {"can't be caught", "signal:KILL", -EINVAL, 0, 0},
                {"can't be caught either", "signal:B:SIGSTOP", -EINVAL, 0, 0},
                {"no hook", "hook:", -EINVAL, 0, 0},
                {"hook not absolute", "hook:save", -EINVAL, 0, 0},
                {"capitals", "None", -EINVAL, 0, 0},
                {"channel", "channel", 0, HR_METHOD_CHANNEL, 0},
                {"criu", "criu", 0, HR_METHOD_CRIU, 0},
                {"criu takes nothing", "criu:/var", -EINVAL, 0, 0},
                {"too long", "hook:/" X50 X50 X50 X50 X50 X50, -ENAMETOOLONG, 0, 0},
        };
        char spelled[272];

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                struct hr_checkpoint_method method = {.signal = -7};

                print_message("  %s\n", table[i].name);
                assert_int_equal(hr_config_parse_method(table[i].text, &method), table[i].result);
                if (table[i].result < 0) {
                        assert_int_equal(method.signal, -7);
                        continue;
                }
                assert_int_equal(method.method, table[i].method);
                assert_int_equal(method.signal, table[i].signal);
                assert_string_equal(hr_config_spell_method(spelled, &method), table[i].text);
        }
        for (int s = 1; s <= SIGRTMAX; s++) {
                struct hr_checkpoint_method method = {.method = HR_METHOD_SIGNAL, .signal = s}, back;

                if (s == SIGKILL || s == SIGSTOP || (s >= 32 && s < SIGRTMIN))
                        continue;
                assert_int_equal(hr_config_parse_method(hr_config_spell_method(spelled, &method), &back), 0);
                assert_int_equal(back.signal, s);
        }
}

static void test_set_policy_key(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *key, *value;
                int result;
                const char *text;
        } table[] = {
                {"good", "grace", "5s", 0, ""},
                {"unknown", "grac\ne", "5s", -ENOENT,
                        "[policy default] grac\\x0ae: unknown key, did you mean grace?"},
                {"of another section", "jobs_max", "5", -ENOENT, "[policy default] jobs_max: unknown key"},
                {"unit", "grace", "5", -EUCLEAN,
                        "[policy default] grace = 5: a number without a unit, takes "},
                {"range", "hold", "140%", -ERANGE,
                        "[policy default] hold = 140%: out of range, takes 0% to 100% or off"},
                {"order", "hold", "50%", -ERANGE,
                        "[policy default] hold = 50%: below checkpoint = 90%, takes "},
                {"a second line", "on_end", "/a\n[policy b]", -EILSEQ,
                        "[policy default] on_end = /a\\x0a[policy b]: holds"},
                {"a comment", "on_end", "/a ;b", -EILSEQ,
                        "[policy default] on_end = /a ;b: holds a control character"},
                {"too long", "on_end", "/" X50 X50 X50 X50, -ENAMETOOLONG, "[policy default] on_end = /xxx"},
                {"far too long", "on_end", "/" X50 X50 X50 X50 X50 X50, -ENAMETOOLONG,
                        "[policy default] on_end = /"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
                struct hr_policy before = c->policies[0];
                char text[256] = "";

                print_message("  %s\n", table[i].name);
                assert_int_equal(hr_config_set_policy_key(&c->policies[0], table[i].key, table[i].value,
                                         HOST_BYTES, text, sizeof(text)),
                        table[i].result);
                text[strlen(table[i].text)] = '\0';
                assert_string_equal(text, table[i].text);
                if (table[i].result < 0)
                        assert_memory_equal(&before, &c->policies[0], sizeof(before));
                else
                        assert_int_equal(c->policies[0].grace_usec, 5 * HR_USEC_PER_SEC);
        }
}

/* Takes the "#" off each line that is one of a key, or the heading of the match. */
static void uncomment(const char *line, void *userdata)
{
        bool key = line[0] == '#' && line[1] != ' ' && line[1] != '[';

        add_line(line + (key ? 1 : 0), userdata);
}

static void test_sample(void **state HR_UNUSED)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *plain = new_config();
        HR_CLEANUP(hr_config_freep) struct hr_config *as_is = new_config();
        HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
        static struct log sample, bare, first, second;
        char *match;

        hr_config_dump(plain, add_line, &first);
        hr_config_sample(add_line, &sample);
        parse_clean(as_is, sample.text);
        hr_config_dump(as_is, add_line, &second);
        assert_string_equal(first.text, second.text);

        /* With every key in force, each at its default; a match wants a test. */
        hr_config_sample(uncomment, &bare);
        match = strstr(bare.text, "#[match NAME]");
        assert_non_null(match);
        *match = '\0';
        parse_clean(c, bare.text);
        second.length = 0;
        hr_config_dump(c, add_line, &second);
        assert_string_equal(first.text, second.text);
}

static uint64_t random_next(uint64_t *state) /* xorshift64 */
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static void random_text(uint64_t *state, char *text, size_t size, const char *letters)
{
        size_t length = random_next(state) % MIN(size, (size_t)150);

        for (size_t i = 0; i < length; i++)
                text[i] = letters[random_next(state) % strlen(letters)];
        text[length] = '\0';
}

/* A random value in the field, of those that a file may give. */
static void random_value(uint64_t *state, const struct hr_config_key *key, void *base)
{
        static const char letters[] = "abcXYZ019/*?[]-_.@=:#;\\,~\xC3";
        char value[256];

        for (;;) { /* until one is taken */
                uint64_t number = random_next(state) >> random_next(state) % 64;

                switch (random_next(state) % 8) {
                case 0:
                        (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)number);
                        break;
                case 1:
                        (void)snprintf(value, sizeof(value), "%llu.%llu%%", (unsigned long long)number % 101,
                                (unsigned long long)number % 100);
                        break;
                case 2:
                        (void)snprintf(value, sizeof(value), "%llums", (unsigned long long)number % 100000);
                        break;
                case 3:
                        (void)snprintf(value, sizeof(value), "%lluh %llus", (unsigned long long)number % 500,
                                (unsigned long long)number % 60);
                        break;
                case 4:
                        (void)snprintf(value, sizeof(value), "%llu%s", (unsigned long long)number,
                                (const char *const[]){"B", "K", "M", "MB"}[number % 4]);
                        break;
                case 5:
                        (void)snprintf(value, sizeof(value), "%s",
                                (const char *const[]){"yes", "no", "on", "off", "max", "never", "auto",
                                        "none", "0", "signal:USR1", "signal:B:RTMIN+2", "hook:/a", "batch",
                                        "observe"}[number % 14]);
                        break;
                default:
                        random_text(state, value, key->size > 2 ? key->size : 2, letters);
                }
                if (hr_config_table_set(key, base, value, HOST_BYTES) == 0)
                        return;
                value[0] = '/';
                random_text(state, value + 1, 100, letters);
                if (hr_config_table_set(key, base, value, HOST_BYTES) == 0)
                        return;
        }
}

static void random_section(uint64_t *state, enum hr_config_section section, void *base)
{
        size_t count;
        const struct hr_config_key *keys = hr_config_table(&count);

        for (size_t i = 0; i < count; i++)
                if (keys[i].section == section && random_next(state) % 4 > 0)
                        random_value(state, &keys[i], base);
}

/* Whatever a configuration holds, its dump is read back to the same dump. */
static void test_round_trip(void **state HR_UNUSED)
{
        const char *given = getenv("HR_TEST_SEED");
        uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 2654435761U, s = seed | 1;
        static struct log first, second;

        print_message("  HR_TEST_SEED=%llu\n", (unsigned long long)seed);
        for (int round = 0; round < 300; round++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config(), *back = new_config();

                parse_clean(c, "[policy a]\n[policy b.c-d_e@f]\n[match x]\nuser = a\n[match y]\nunit = b\n");
                random_section(&s, HR_CONFIG_DAEMON, c);
                random_section(&s, HR_CONFIG_HOST, c);
                for (size_t i = 0; i < c->policy_count; i++)
                        random_section(&s, HR_CONFIG_POLICY, &c->policies[i]);
                for (size_t i = 0; i < c->match_count; i++) {
                        random_section(&s, HR_CONFIG_MATCH, &c->matches[i]);
                        (void)snprintf(c->matches[i].cgroup, sizeof(c->matches[i].cgroup), "/a");
                }
                first.length = second.length = 0;
                hr_config_dump(c, add_line, &first);
                parse_clean(back, first.text);
                hr_config_dump(back, add_line, &second);
                assert_string_equal(first.text, second.text);
        }
}

/* No text, however torn, does worse than to be refused. */
static void test_torn(void **state HR_UNUSED)
{
        static struct log sample, log;
        uint64_t s = 88172645463325252;

        hr_config_sample(uncomment, &sample);
        for (int round = 0; round < 300; round++) {
                HR_CLEANUP(hr_config_freep) struct hr_config *c = new_config();
                size_t size = random_next(&s) % sample.length;
                _free_ char *text = malloc(size + 1);

                assert_non_null(text);
                memcpy(text, sample.text, size);
                for (int hits = 0; hits < round && size > 0; hits++)
                        text[random_next(&s) % size] = "\n\r[]=;# \t\\\0\xEF\xFF:%A"[random_next(&s) % 16];
                log.length = 0;
                assert_true(hr_config_parse(c, "t.conf", text, size, report, &log, NULL) >= 0);
                log.length = 0;
                assert_true(hr_config_check(c, report, &log) >= 0);
        }
}

int main(int argc, char *argv[])
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_empty_files),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_problems),
                cmocka_unit_test(test_longest_line),
                cmocka_unit_test(test_inheritance),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_match),
                cmocka_unit_test(test_method),
                cmocka_unit_test(test_set_policy_key),
                cmocka_unit_test(test_sample),
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_torn),
        };

        if (argc == 2 && strcmp(argv[1], "keys") == 0)
                hr_config_keys(print_line, NULL);
        else if (argc == 2 && strcmp(argv[1], "sample") == 0)
                hr_config_sample(print_line, NULL);
        else
                return cmocka_run_group_tests(tests, NULL, NULL);
        return 0;
}
