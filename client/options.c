/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

/*
 * One table of options serves every verb; a verb names those it knows by their bits. Options are long ones,
 * "--limit 8G" or "--limit=8G", anywhere before "--"; -h is the one short form. After `run` the first word
 * that is no option ends them, for what follows belongs to the job.
 *
 * Words that are no options are moved to the front of the caller's array, in their order. A wrong word is
 * answered with the nearest right one. Nothing here is kept between calls.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "exit.h"
#include "output.h"
#include "think/units.h"
#include "think/words.h"
#include "verbs.h"

const struct hr_option_info hr_options_table[HR_OPTION_COUNT] = {
        [HR_OPTION_SOCKET] = {"socket", "PATH", "the daemon's socket"},
        [HR_OPTION_JSON] = {"json", NULL, "print JSON: an array of objects"},
        [HR_OPTION_HELP] = {"help", NULL, "print this help"},
        [HR_OPTION_VERSION] = {"version", NULL, "print the version"},
        [HR_OPTION_NAME] = {"name", "NAME", "call the job NAME (else by its command)"},
        [HR_OPTION_LIMIT] = {"limit", "SIZE", "8G, 512M, 80% (of the host's memory), max; run: auto"},
        [HR_OPTION_POLICY] = {"policy", "POLICY", "watch it by this policy (see headroom policy list)"},
        [HR_OPTION_CHECKPOINT] = {"checkpoint", "METHOD", "channel, criu, signal:USR1, hook:/path or none"},
        [HR_OPTION_FUSE] = {"fuse", NULL, "MemoryError instead of a kill, from the start (Python)"},
        [HR_OPTION_DETACH] = {"detach", NULL, "do not wait; output to ./headroom-ID.log; prints the id"},
        [HR_OPTION_UNWATCHED] = {"unwatched", NULL, "start the job even where no daemon is reachable"},
        [HR_OPTION_NO_PYTHON_HOOK] = {"no-python-hook", NULL, "do not help Python give back memory"},
        [HR_OPTION_OPENMETRICS] = {"openmetrics", NULL, "in OpenMetrics, not Prometheus' own text format"},
        [HR_OPTION_OUTPUT] = {"output", "FILE", "write to a new FILE (else to stdout)"},
        [HR_OPTION_INTERVAL] = {"interval", "TIME", "ask so often: 100ms, 1s (the default), 1min"},
        [HR_OPTION_SINCE] = {"since", "TIME", "ended since: today, yesterday, 2h, 2026-05-01T14:30"},
        [HR_OPTION_UNTIL] = {"until", "TIME", "ended before then"},
        [HR_OPTION_USER] = {"user", "USER", "of this user's jobs alone"},
        [HR_OPTION_OUTCOME] = {"outcome", "OUTCOME", "finished, failed, memory_error, own_limit, ..."},
        [HR_OPTION_HTML] = {"html", "FILE", "of an ended job: write a page with its timeline"},
        [HR_OPTION_RM] = {"rm", NULL, "remove the image that it went on from (of CRIU)"},
        [HR_OPTION_FOLLOW] = {"follow", NULL, "go on and print events as they happen"},
};

uint64_t hr_options_host_bytes(void)
{
        struct sysinfo info;

        if (sysinfo(&info) < 0)
                return 0;
        return (uint64_t)info.totalram * info.mem_unit; /* MemTotal of /proc/meminfo */
}

/* ---- sizes ---- */

int hr_options_read_size(const char *what, const char *text, uint64_t *ret_bytes)
{
        uint64_t host_bytes = hr_options_host_bytes(), bytes;
        char *why = "it is not a size: write 8G, 512M, 80% or max", host[HR_TEXT_SIZE_MAX];
        int r;

        r = hr_units_parse_size(text, host_bytes, &bytes);
        if (r == 0) {
                if (bytes != HR_BYTES_NONE && host_bytes > 0 && bytes > host_bytes)
                        hr_output_say(HR_STYLE_PLAIN,
                                "%s %s is more than the memory of this host, %s: that ends first", what, text,
                                hr_units_format_bytes(host, host_bytes));
                *ret_bytes = bytes;
                return 0;
        }
        if (r == -EUCLEAN) {
                hr_output_say(HR_STYLE_PLAIN, "%s %s has no unit: did you mean %sG? (or %sM, %s%%)", what,
                        text, text, text, text);
                return HR_EXIT_USAGE;
        }
        if (r == -ERANGE)
                why = "it is too large";
        if (r == -ENODATA)
                why = "the host's memory is not known here: write 8G or 512M";
        hr_output_say(HR_STYLE_PLAIN, "%s %s can't be used: %s", what, text, why);
        return HR_EXIT_USAGE;
}

int hr_options_parse_size(const char *what, const char *text, uint64_t *ret_bytes)
{
        int r = hr_options_read_size(what, text, ret_bytes);

        if (r != 0)
                return r;
        if (*ret_bytes == HR_BYTES_NONE)
                hr_output_say(HR_STYLE_PLAIN, "%s %s = no limit", what, text);
        else
                hr_output_say(HR_STYLE_PLAIN, "%s %s = %" PRIu64 " bytes", what, text, *ret_bytes);
        return 0;
}

/* ---- words ---- */

#define SPELLED_MAX 200 /* bytes of a command line in a message; chosen, not tuned */

char *hr_options_spell(char *const *words)
{
        static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_";
        _free_ char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; words[i]; i++) {
                bool plain = *words[i] && words[i][strspn(words[i], safe)] == '\0';

                if (fflush(f) != 0 || size > SPELLED_MAX) {
                        fputs(" ...", f);
                        break;
                }
                fputs(i > 0 ? " " : "", f);
                if (!plain)
                        fputc('\'', f);
                for (const char *c = words[i]; *c; c++)
                        if (*c == '\'')
                                fputs("'\\''", f);
                        else
                                fputc(*c, f);
                if (!plain)
                        fputc('\'', f);
        }
        return fclose(f) == 0 ? TAKE_PTR(text) : NULL;
}

/* ---- options ---- */

/* The option that `word` (dashes gone, length bytes before a "=") names, or HR_OPTION_COUNT. */
static enum hr_option find_option(const char *word, size_t length, uint32_t allowed)
{
        for (size_t i = 0; i < HR_OPTION_COUNT; i++) {
                const char *name = hr_options_table[i].name;

                if ((allowed & HR_OPTION_BIT(i)) && strlen(name) == length &&
                        strncmp(name, word, length) == 0)
                        return i;
        }
        return HR_OPTION_COUNT;
}

/* An option that this verb does not know: of another verb, or mistyped. `rest`: the words from it on. */
static int unknown_option(const char *name, char *const *rest, uint32_t allowed, const char *verb)
{
        enum hr_option elsewhere = find_option(name, strlen(name), UINT32_MAX);
        const char *nearest = NULL;
        unsigned best = HR_WORDS_FAR;

        if (elsewhere != HR_OPTION_COUNT)
                return hr_verbs_other_option(elsewhere, rest, verb);
        for (size_t i = 0; i < HR_OPTION_COUNT; i++)
                if ((!verb || (allowed & HR_OPTION_BIT(i))) &&
                        hr_words_nearer(name, hr_options_table[i].name, &best))
                        nearest = hr_options_table[i].name;
        if (nearest)
                hr_output_say(HR_STYLE_PLAIN, "unknown option --%s: did you mean --%s?", name, nearest);
        else
                hr_output_say(HR_STYLE_PLAIN, "unknown option --%s: see headroom %s%s--help", name,
                        verb ? verb : "", verb ? " " : "");
        return HR_EXIT_USAGE;
}

/* One option at arguments[*at]; moves *at over the value that it takes. */
static int take_option(struct hr_options *o, char **arguments, size_t *at, uint32_t allowed, const char *verb)
{
        const char *word = arguments[*at] + 2, *value;
        const struct hr_option_info *info;
        enum hr_option option;
        size_t length;

        value = strchr(word, '=');
        length = value ? (size_t)(value - word) : strlen(word);
        option = find_option(word, length, allowed);
        if (option == HR_OPTION_COUNT) {
                _free_ char *name = strndup(word, length);

                return unknown_option(name ? name : word, arguments + *at, allowed, verb);
        }
        info = &hr_options_table[option];
        if (!info->argument && value) {
                hr_output_say(HR_STYLE_PLAIN, "--%s takes no value", info->name);
                return HR_EXIT_USAGE;
        }
        if (info->argument) {
                value = value ? value + 1 : arguments[*at + 1];
                if (!value) {
                        hr_output_say(
                                HR_STYLE_PLAIN, "--%s wants %s: %s", info->name, info->argument, info->help);
                        return HR_EXIT_USAGE;
                }
                if (!strchr(word, '='))
                        (*at)++;
                o->value[option] = value;
        }
        o->given |= HR_OPTION_BIT(option);
        return 0;
}

int hr_options_parse(
        struct hr_options *o, char **arguments, uint32_t allowed, bool stop_at_first, const char *verb)
{
        size_t in = 0, out = 0;
        int r;

        for (; arguments[in]; in++) {
                if (strcmp(arguments[in], "--") == 0) {
                        in++;
                        break;
                }
                if (strcmp(arguments[in], "-h") == 0) {
                        o->given |= HR_OPTION_BIT(HR_OPTION_HELP);
                } else if (arguments[in][0] == '-' && arguments[in][1] == '-') {
                        r = take_option(o, arguments, &in, allowed, verb);
                        if (r != 0)
                                return r;
                } else if (arguments[in][0] == '-' && arguments[in][1]) {
                        hr_output_say(HR_STYLE_PLAIN,
                                "unknown option %s: options are long, see headroom --help", arguments[in]);
                        return HR_EXIT_USAGE;
                } else if (stop_at_first) {
                        break;
                } else {
                        arguments[out++] = arguments[in];
                }
        }
        while (arguments[in])
                arguments[out++] = arguments[in++];
        arguments[out] = NULL;
        o->arguments = arguments;
        o->argument_count = (int)out;
        return 0;
}
