/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verbs.h"

/*
 * The table says of each verb how it is spelled, what it takes and who handles it.
 *
 * A handler checks its words, asks the daemon, and writes: results on stdout, as text or with --json as an
 * array of objects out of the same field table, messages on stderr. It returns the exit status; a call that
 * failed has a status and a sentence of its own. JOB is resolved by the daemon, which knows whom it may tell
 * of which jobs.
 *
 * Somebody who types what is no verb means something all the same: what other programs call it, a slip of the
 * pen, or the command that was to be run. Each is answered with the whole line to type.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor.h"
#include "drill.h"
#include "events.h"
#include "exit.h"
#include "history.h"
#include "jobs.h"
#include "metrics.h"
#include "output.h"
#include "policies.h"
#include "record.h"
#include "run.h"
#include "top.h"
#include "why.h"
#include "think/units.h"
#include "think/words.h"

/* ---- the table ---- */

static int verb_help(const struct hr_verb_info *verb, const struct hr_options *o);

#define BIT HR_OPTION_BIT
#define NAMING (BIT(HR_OPTION_NAME) | BIT(HR_OPTION_LIMIT) | BIT(HR_OPTION_POLICY))

static const struct hr_verb_info verbs[] = {
        {"run", "-- COMMAND [ARG...]", "start a job and have its memory watched",
                "headroom run --limit 8G -- python3 analyse.py",
                NAMING | BIT(HR_OPTION_CHECKPOINT) | BIT(HR_OPTION_FUSE) | BIT(HR_OPTION_DETACH) |
                        BIT(HR_OPTION_UNWATCHED) | BIT(HR_OPTION_NO_PYTHON_HOOK),
                1, -1, true, hr_run},
        {"attach", "PID|CGROUP|UNIT", "watch what runs already", "headroom attach 4711 --limit 8G", NAMING, 1,
                1, false, hr_jobs_attach},
        {"detach", "JOB", "watch it no longer; it runs on", "headroom detach j17", 0, 1, 1, false,
                hr_jobs_act},
        {"status", "[JOB]", "show the jobs, or one in detail (the default verb)", "headroom status --json", 0,
                0, 1, false, hr_jobs_status},
        {"top", "", "the jobs, live, with keys to act on them", "headroom top", 0, 0, 0, false, hr_top_verb},
        {"limit", "JOB [SIZE|max]", "show a job's memory limit, or set it", "headroom limit j17 12G", 0, 1, 2,
                false, hr_jobs_limit},
        {"policy", "list | show NAME | set JOB NAME | check FILE", "what is done at which level",
                "headroom policy set j17 batch", 0, 1, 3, false, hr_policies_verb},
        {"trim", "JOB", "have it give back memory that it does not need", "headroom trim j17", 0, 1, 1, false,
                hr_jobs_act},
        {"checkpoint", "JOB", "have its work saved now, by its policy's method", "headroom checkpoint j17", 0,
                1, 1, false, hr_jobs_act},
        {"hold", "JOB", "freeze it where it is, state kept", "headroom hold j17", 0, 1, 1, false,
                hr_jobs_act},
        {"resume", "JOB", "let a held job go on, with more room by --limit",
                "headroom resume j17 --limit 12G",
                BIT(HR_OPTION_LIMIT) | BIT(HR_OPTION_DETACH) | BIT(HR_OPTION_RM), 1, 1, false,
                hr_jobs_resume},
        {"interrupt", "JOB", "end it so that it can save: SIGINT, then SIGTERM", "headroom interrupt j17", 0,
                1, 1, false, hr_jobs_act},
        {"kill", "JOB", "end it at once, unsaved", "headroom kill j17", 0, 1, 1, false, hr_jobs_act},
        {"events", "[JOB]", "what happened, and what was done about it", "headroom events --follow",
                BIT(HR_OPTION_FOLLOW), 0, 1, false, hr_events_verb},
        {"record", "JOB", "its memory over time, as text, until it ends",
                "headroom record j17 --output j17.txt", BIT(HR_OPTION_OUTPUT) | BIT(HR_OPTION_INTERVAL), 1, 1,
                false, hr_record_verb},
        {"why", "JOB", "what holds its memory, or what became of it", "headroom why j17", BIT(HR_OPTION_HTML),
                1, 1, false, hr_why_verb},
        {"history", "", "jobs that have ended, and how", "headroom history --since yesterday",
                BIT(HR_OPTION_NAME) | BIT(HR_OPTION_SINCE) | BIT(HR_OPTION_UNTIL) | BIT(HR_OPTION_USER) |
                        BIT(HR_OPTION_OUTCOME),
                0, 0, false, hr_history_verb},
        {"advise", "NAME | [--] COMMAND [ARG...]", "the limit to ask for, from past runs",
                "headroom advise python3 analyse.py", 0, 1, -1, true, hr_advise_verb},
        {"metrics", "", "counters and gauges, as Prometheus reads them", "headroom metrics",
                BIT(HR_OPTION_OPENMETRICS), 0, 0, false, hr_metrics_verb},
        {"doctor", "", "what works on this machine, and how to get the rest", "headroom doctor", 0, 0, 0,
                false, hr_doctor_verb},
        {"drill", "", "outgrow a small limit, and see whether the job is saved here", "headroom drill",
                BIT(HR_OPTION_LIMIT) | BIT(HR_OPTION_POLICY), 0, 0, false, hr_drill_verb},
        {"help", "[VERB]", "this help, or a verb's", "headroom help run", 0, 0, 1, false, verb_help},
};

const struct hr_verb_info *hr_verbs_find(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

const struct hr_verb_info *hr_verbs_default(void)
{
        return hr_verbs_find("status");
}

/* ---- what is no verb ---- */

/* What others call it. */
static const struct {
        const char *word, *verb, *other; /* other: NULL, or what may be meant as well */
} meanings[] = {
        {"list", "status", NULL},
        {"ls", "status", NULL},
        {"ps", "status", NULL},
        {"jobs", "status", NULL},
        {"show", "status", NULL},
        {"stat", "status", NULL},
        {"start", "run", NULL},
        {"exec", "run", NULL},
        {"watch", "attach", NULL},
        {"add", "attach", NULL},
        {"unwatch", "detach", NULL},
        {"remove", "detach", NULL},
        {"rm", "detach", NULL},
        {"pause", "hold", NULL},
        {"freeze", "hold", NULL},
        {"suspend", "hold", NULL},
        {"continue", "resume", NULL},
        {"cont", "resume", NULL},
        {"unpause", "resume", NULL},
        {"unfreeze", "resume", NULL},
        {"thaw", "resume", NULL},
        {"release", "resume", NULL},
        {"stop", "interrupt", "kill"},
        {"end", "interrupt", "kill"},
        {"cancel", "interrupt", "kill"},
        {"terminate", "interrupt", "kill"},
        {"save", "checkpoint", NULL},
        {"log", "events", NULL},
        {"logs", "events", NULL},
        {"policies", "policy", NULL},
        {"check", "doctor", NULL},
};

/* May the shell find a program of this name? */
static bool is_command(const char *name)
{
        const char *path = getenv("PATH");
        _free_ char *copy = NULL;
        struct stat st;

        if (strchr(name, '/') || strchr(name, '.'))
                return stat(name, &st) == 0 && S_ISREG(st.st_mode);
        copy = path ? strdup(path) : NULL;
        for (char *rest = copy, *directory; (directory = strsep(&rest, ":"));) {
                _free_ char *file = NULL;

                if (asprintf(&file, "%s/%s", *directory ? directory : ".", name) < 0) {
                        file = NULL;
                        return false;
                }
                if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0)
                        return true;
        }
        return false;
}

/* The verb that `name` stands for; *ret_other: NULL, or another. NULL: none. */
static const char *find_meaning(const char *name, const char **ret_other)
{
        const char *nearest = NULL;
        unsigned best = HR_WORDS_FAR;

        *ret_other = NULL;
        for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
                if (strcmp(meanings[i].word, name) == 0) {
                        *ret_other = meanings[i].other;
                        return meanings[i].verb;
                }
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (hr_words_nearer(name, verbs[i].name, &best))
                        nearest = verbs[i].name;
        return nearest;
}

int hr_verbs_unknown(char *const *words)
{
        _free_ char *all = hr_options_spell(words), *others = hr_options_spell(words + 1);
        const char *name = words[0], *other, *meant = find_meaning(name, &other);
        const char *blank = others && *others ? " " : "";

        if (!all || !others)
                hr_output_say(HR_STYLE_PLAIN, "unknown verb %s: headroom --help lists them", name);
        else if (hr_units_is_job_id(name))
                hr_output_say(HR_STYLE_PLAIN, "%s is a job, not a verb: did you mean headroom status %s?",
                        name, name);
        else if (meant && other)
                hr_output_say(HR_STYLE_PLAIN,
                        "unknown verb %s: did you mean headroom %s%s%s or headroom %s%s%s?", name, meant,
                        blank, others, other, blank, others);
        else if (meant)
                hr_output_say(HR_STYLE_PLAIN, "unknown verb %s: did you mean headroom %s%s%s?", name, meant,
                        blank, others);
        else if (is_command(name))
                hr_output_say(HR_STYLE_PLAIN, "unknown verb %s: did you mean headroom run -- %s?", name, all);
        else
                hr_output_say(HR_STYLE_PLAIN,
                        "unknown verb %s: headroom --help lists them; a job is started with headroom run -- "
                        "COMMAND",
                        name);
        return HR_EXIT_USAGE;
}

int hr_verbs_other_option(enum hr_option option, char *const *words, const char *verb)
{
        const char *name = hr_options_table[option].name, *separator = "";
        _free_ char *all = hr_options_spell(words), *owners = NULL;
        const struct hr_verb_info *first = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&owners, &size);

        for (size_t i = 0; f && i < ELEMENTSOF(verbs); i++)
                if (verbs[i].options & BIT(option)) {
                        first = first ? first : &verbs[i];
                        fprintf(f, "%s%s", separator, verbs[i].name);
                        separator = ", ";
                }
        if (!f || fclose(f) != 0 || !first || !all)
                hr_output_say(HR_STYLE_PLAIN, "unknown option --%s: see headroom --help", name);
        else if (!verb)
                hr_output_say(HR_STYLE_PLAIN, "--%s stands after its verb: did you mean headroom %s %s?",
                        name, first->name, all);
        else
                hr_output_say(HR_STYLE_PLAIN, "unknown option --%s: it belongs to headroom %s", name, owners);
        return HR_EXIT_USAGE;
}

/* ---- help ---- */

static int verb_help(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        const struct hr_verb_info *about = NULL;

        if (o->argument_count > 0) {
                about = hr_verbs_find(o->arguments[0]);
                if (!about)
                        return hr_verbs_unknown(o->arguments);
        }
        hr_verbs_help(about);
        return HR_EXIT_DONE;
}

#define USAGE_WIDTH 70 /* columns: with what stands before it, less than a terminal's 80 */

/* A word of the usage, on the next line where it does not fit on this one. */
static void HR_PRINTF(3, 4) print_word(FILE *f, int *column, const char *format, ...)
{
        char text[64];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (*column + n > USAGE_WIDTH)
                *column = fprintf(f, "\n        ") - 1;
        *column += fprintf(f, " %s", text);
}

static void print_usage(FILE *f, const struct hr_verb_info *verb)
{
        int column = fprintf(f, "headroom %s", verb->name);

        for (size_t i = 0; i < HR_OPTION_COUNT; i++) {
                const struct hr_option_info *info = &hr_options_table[i];

                if (verb->options & BIT(i))
                        print_word(f, &column, "[--%s%s%s]", info->name, info->argument ? " " : "",
                                info->argument ? info->argument : "");
        }
        if (*verb->usage)
                print_word(f, &column, "%s", verb->usage);
}

int hr_verbs_check(const struct hr_verb_info *verb, const struct hr_options *o)
{
        _free_ char *usage = NULL;
        size_t size = 0;
        FILE *f;

        for (int i = 0; i < o->argument_count && !verb->has_command; i++) {
                if (*o->arguments[i])
                        continue;
                hr_output_say(HR_STYLE_PLAIN,
                        "%s: one of its words is empty: is a variable of the script not set?", verb->name);
                return HR_EXIT_USAGE;
        }
        if (o->argument_count >= verb->least && (verb->most < 0 || o->argument_count <= verb->most))
                return 0;
        f = open_memstream(&usage, &size);
        if (f) {
                print_usage(f, verb);
                fclose(f);
        }
        hr_output_say(HR_STYLE_PLAIN, "%s %s\nusage: %s", verb->name,
                o->argument_count < verb->least ? "lacks a word" : "has a word too many",
                usage ? usage : verb->usage);
        return HR_EXIT_USAGE;
}

int hr_verbs_check_name(const char *name)
{
        if (!name || hr_units_check_name(name) == 0)
                return 0;
        hr_output_say(HR_STYLE_PLAIN,
                "name %s can't be used: it begins with a letter, then letters, digits and . _ - @, below %d "
                "characters, and is not like an id (j17)",
                name, HR_NAME_MAX);
        return HR_EXIT_USAGE;
}

static void print_options(uint32_t options)
{
        for (size_t i = 0; i < HR_OPTION_COUNT; i++) {
                const struct hr_option_info *info = &hr_options_table[i];
                int used;

                if (!(options & BIT(i)))
                        continue;
                used = printf("  --%s%s%s", info->name, info->argument ? " " : "",
                        info->argument ? info->argument : "");
                printf("%*s%s\n", MAX(24 - used, 1), "", info->help);
        }
}

void hr_verbs_help(const struct hr_verb_info *verb)
{
        if (verb) {
                printf("usage: ");
                print_usage(stdout, verb);
                printf("\n\n%s\n\n", verb->help);
                print_options(verb->options | HR_OPTIONS_GLOBAL);
                printf("\nexample: %s\nmanual: man headroom\n", verb->example);
                return;
        }
        puts("usage: headroom [VERB] [OPTION...] [WORD...]\n\n"
             "Keeps analysis jobs off the OOM killer: watches their memory, warns in time,\n"
             "saves or holds them.\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                printf("  %-12s%s\n", verbs[i].name, verbs[i].help);
        puts("");
        print_options(HR_OPTIONS_GLOBAL);
        puts("\nJOB is an id (j17), a name, a unit, or the number of a process of the job.\n"
             "headroom VERB --help tells more; manual: man headroom");
}
