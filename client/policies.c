/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policies.h"

/*
 * What the daemon says of its policies is configuration text, which is shown as it is, or taken apart for
 * programs. A file is checked here, without a daemon, by the reader that the daemon has.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ask.h"
#include "exit.h"
#include "fd.h"
#include "output.h"
#include "text.h"
#include "think/config.h"
#include "think/words.h"

struct setting {
        const char *policy, *key, *value;
};
#define SETTING(member) offsetof(struct setting, member)

static const struct hr_field setting_fields[] = {
        {"policy", NULL, NULL, HR_TYPE_TEXT, SETTING(policy), 0},
        {"key", NULL, NULL, HR_TYPE_TEXT, SETTING(key), 0},
        {"value", NULL, NULL, HR_TYPE_TEXT, SETTING(value), 0},
};
static const struct hr_table setting_table = {
        setting_fields, ELEMENTSOF(setting_fields), sizeof(struct setting), false};
static const struct hr_field policy_fields[] = {
        {"policy", "POLICY", NULL, HR_TYPE_TEXT, SETTING(policy), HR_WIDE},
};
static const struct hr_table policy_table = {
        policy_fields, ELEMENTSOF(policy_fields), sizeof(struct setting), false};

static char *trim_space(char *text)
{
        size_t size;

        text += strspn(text, " \t\r");
        size = strlen(text);
        while (size > 0 && strchr(" \t\r", text[size - 1]))
                text[--size] = '\0';
        return text;
}

/*
 * Takes the daemon's configuration text apart, in place: [policy NAME] heads, key = value lines. Fills rows
 * with the heads or with the keys (at most `room`), and returns how many.
 */
static size_t split_policies(char *text, bool heads, struct setting *rows, size_t room)
{
        const char *policy = "";
        size_t count = 0;
        char *line;

        while ((line = strsep(&text, "\n"))) {
                char *value, *end;

                line = trim_space(line);
                end = strrchr(line, ']');
                if (strncmp(line, "[policy ", 8) == 0 && end) {
                        *end = '\0';
                        policy = trim_space(line + 8);
                        if (heads && count < room)
                                rows[count++] = (struct setting){policy, "", ""};
                        continue;
                }
                value = strchr(line, '=');
                if (heads || !value || strchr("#;[", *line) || count >= room)
                        continue;
                *value++ = '\0';
                rows[count++] = (struct setting){policy, trim_space(line), trim_space(value)};
        }
        return count;
}

static int show_policies(const struct hr_options *o, const char *name, bool heads)
{
        _answer_ struct hr_call_answer answer = {0};
        _free_ struct setting *rows = NULL;
        _call_ struct hr_call *call = NULL;
        size_t room, count;
        int r;

        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = hr_call_policies(call, name, &answer);
        if (r != 0)
                return hr_ask_failed(call, r);
        if (!heads && !hr_ask_json(o)) {
                hr_output_text(answer.message);
                return HR_EXIT_DONE;
        }
        room = hr_text_lines(answer.message);
        rows = hr_ask_rows(room, sizeof(*rows));
        if (!rows)
                return HR_EXIT_FAILED;
        count = split_policies(answer.message, heads, rows, room);
        hr_output_rows(heads ? &policy_table : &setting_table, rows, count,
                hr_ask_json(o) ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS);
        return HR_EXIT_DONE;
}

static int policy_list(const struct hr_options *o, char **words HR_UNUSED)
{
        return show_policies(o, "", true);
}

static int policy_show(const struct hr_options *o, char **words)
{
        return show_policies(o, words[0], false);
}

static int policy_set(const struct hr_options *o, char **words)
{
        _answer_ struct hr_call_answer answer = {0};
        _call_ struct hr_call *call = NULL;
        int r;

        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = hr_call_set_policy(call, words[0], words[1], &answer);
        return r != 0 ? hr_ask_failed_on(call, r, words[0])
                      : hr_ask_show_deed(o, "policy", words[0], answer.message);
}

struct problem {
        char *file, *text;
        const char *level;
        uint64_t line;
};
#define PROBLEM(member) offsetof(struct problem, member)
#define PROBLEMS_MAX 1000 /* of one file; chosen, not tuned */

struct problems {
        struct problem rows[PROBLEMS_MAX];
        size_t count;
};

static void problems_freep(struct problems **p)
{
        for (size_t i = 0; *p && i < (*p)->count; i++) {
                free((*p)->rows[i].file);
                free((*p)->rows[i].text);
        }
        free(*p);
}

static const struct hr_field problem_fields[] = {
        {"file", NULL, NULL, HR_TYPE_TEXT, PROBLEM(file), 0},
        {"line", NULL, NULL, HR_TYPE_NUMBER, PROBLEM(line), 0},
        {"level", NULL, NULL, HR_TYPE_TEXT, PROBLEM(level), 0},
        {"text", NULL, NULL, HR_TYPE_TEXT, PROBLEM(text), 0},
};
static const struct hr_table problem_table = {
        problem_fields, ELEMENTSOF(problem_fields), sizeof(struct problem), false};

static void keep_problem(const struct hr_problem *problem, void *userdata)
{
        struct problems *p = userdata;
        struct problem *row = &p->rows[p->count];

        if (p->count == PROBLEMS_MAX)
                return;
        row->file = strdup(problem->file ? problem->file : "");
        row->text = strdup(problem->text ? problem->text : "");
        row->level = problem->level == HR_PROBLEM_ERROR ? "error" : "warning";
        row->line = problem->line;
        p->count++;
}

#define FILE_MAX (1024U * 1024) /* a configuration is a few KiB */

/* A whole file; *ret_text is to be freed. */
static int read_file(const char *path, char **ret_text, size_t *ret_size)
{
        _free_ char *text = malloc(FILE_MAX + 1);
        _close_ int fd = -1;
        size_t size = 0;

        if (!text)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        while (size <= FILE_MAX) {
                ssize_t n = read(fd, text + size, FILE_MAX + 1 - size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                size += n > 0 ? (size_t)n : 0;
        }
        if (size > FILE_MAX)
                return -EFBIG;
        *ret_text = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

/* A file by itself, without a daemon. A drop-in that leans on other files may miss a policy of theirs. */
static int policy_check(const struct hr_options *o, char **words)
{
        HR_CLEANUP(problems_freep) struct problems *problems = calloc(1, sizeof(*problems));
        HR_CLEANUP(hr_config_freep) struct hr_config *config = NULL;
        _free_ char *text = NULL;
        unsigned errors = 0;
        size_t size = 0;
        int r, checked;

        r = problems ? read_file(words[0], &text, &size) : -ENOMEM;
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "can't read %s: %s", words[0], strerror(-r));
                return HR_EXIT_FAILED;
        }
        r = hr_config_new(hr_options_host_bytes(), &config);
        if (r >= 0)
                r = hr_config_parse(config, words[0], text, size, keep_problem, problems, &errors);
        checked = r >= 0 && errors == 0 ? hr_config_check(config, keep_problem, problems) : 0;
        if (r < 0 || checked < 0) {
                hr_output_say(
                        HR_STYLE_PLAIN, "can't check %s: %s", words[0], strerror(r < 0 ? -r : -checked));
                return HR_EXIT_FAILED;
        }
        if (hr_ask_json(o)) {
                hr_output_rows(&problem_table, problems->rows, problems->count, HR_FORMAT_JSON);
        } else {
                for (size_t i = 0; i < problems->count; i++)
                        hr_output_say(HR_STYLE_PLAIN, "%s:%" PRIu64 ": %s: %s", problems->rows[i].file,
                                problems->rows[i].line, problems->rows[i].level, problems->rows[i].text);
                if (problems->count == 0)
                        printf("%s is good: %zu policies (with the built-in ones), %zu matches\n", words[0],
                                config->policy_count, config->match_count);
        }
        return r > 0 || checked > 0 || problems->count > 0 ? HR_EXIT_FAILED : HR_EXIT_DONE;
}

static const struct {
        const char *name, *usage;
        int words;
        int (*handler)(const struct hr_options *o, char **words);
} policy_verbs[] = {
        {"list", "", 0, policy_list},
        {"show", " NAME", 1, policy_show},
        {"set", " JOB NAME", 2, policy_set},
        {"check", " FILE", 1, policy_check},
};

int hr_policies_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        const char *meant = NULL;
        unsigned best = HR_WORDS_FAR;

        for (size_t i = 0; i < ELEMENTSOF(policy_verbs); i++) {
                if (hr_words_nearer(o->arguments[0], policy_verbs[i].name, &best))
                        meant = policy_verbs[i].name;
                if (strcmp(policy_verbs[i].name, o->arguments[0]) != 0)
                        continue;
                if (o->argument_count - 1 == policy_verbs[i].words)
                        return policy_verbs[i].handler(o, o->arguments + 1);
                hr_output_say(HR_STYLE_PLAIN, "usage: headroom policy %s%s", policy_verbs[i].name,
                        policy_verbs[i].usage);
                return HR_EXIT_USAGE;
        }
        hr_output_say(HR_STYLE_PLAIN,
                "policy knows no %s: use list, show NAME, set JOB NAME or check FILE%s%s%s", o->arguments[0],
                meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
        return HR_EXIT_USAGE;
}
