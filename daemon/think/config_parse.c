/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/config.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

#include "think/config_table.h"

/*
 * A file's text on its way into the configuration. inih takes a line apart into key and value; the lines come
 * from read_line(), which stands where fgets() would, because inih alone
 *   - cuts a line at 199 bytes and takes the rest for another line,
 *   - stops at a NUL, gives no line numbers, and says of a line without a "=" only that there was one,
 *   - takes an indented line for more of the value before it,
 *   - cuts the name of a section at 49 bytes, and keeps quiet about a section without keys.
 * So read_line() counts, refuses what is too long, takes off what stands around a line, and keeps the
 * headings to itself: what inih gets is a key's line or an empty one. A key's line that is not handed on to
 * take_key() before the next is asked for was none.
 *
 * A section or a key that comes again in one file is reported and passed over: the first one counts. In
 * another file it changes what is there, which is what drop-ins are for.
 */

struct parser {
        struct hr_config *config;
        const char *file;
        const char *text; /* what is still to be read */
        size_t size;
        unsigned line;
        hr_problem_fn report;
        void *userdata;
        unsigned problems, errors;
        bool out_of_memory, ended;

        /* The section that is being read. */
        bool in_section, skip; /* skip: its keys are passed over, the heading was complained of */
        enum hr_config_section section;
        size_t index;                         /* of the policy or match */
        char heading[4 * HR_CONFIG_LINE_MAX]; /* escaped */
        unsigned heading_line, heading_errors;
        unsigned key_line[HR_CONFIG_KEYS_MAX]; /* where each key was read; 0: not yet */
        char key_text[HR_CONFIG_LINE_MAX + 1]; /* handed to inih, not yet come back; empty: none */

        /* Where each section was read in this file; 0: it wasn't. */
        unsigned daemon_line, host_line, policy_line[HR_POLICIES_MAX], match_line[HR_MATCHES_MAX];
};

HR_PRINTF(4, 5)
static void complain(struct parser *p, enum hr_problem_level level, unsigned line, const char *format, ...)
{
        char text[1536];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        p->problems++;
        if (level == HR_PROBLEM_ERROR)
                p->errors++;
        p->report(&(struct hr_problem){level, p->file, line, text}, p->userdata);
}

/* What the keys of the section that is being read are fields of. Looked up each time: the lists grow. */
static void *section_base(struct parser *p)
{
        switch (p->section) {
        case HR_CONFIG_POLICY:
                return &p->config->policies[p->index];
        case HR_CONFIG_MATCH:
                return &p->config->matches[p->index];
        default:
                return p->config;
        }
}

static void set_place(struct parser *p, struct hr_place *place)
{
        place->line = p->line;
        (void)snprintf(place->file, sizeof(place->file), "%s", p->file);
}

/* Where the section stands, for the messages of hr_config_check(): the newest place, of a match the first. */
static void note_place(struct parser *p)
{
        struct hr_config *c = p->config;

        switch (p->section) {
        case HR_CONFIG_DAEMON:
                set_place(p, &c->daemon_place);
                break;
        case HR_CONFIG_HOST:
                set_place(p, &c->host_place);
                break;
        case HR_CONFIG_POLICY:
                set_place(p, &c->policies[p->index].place);
                break;
        default:
                if (c->matches[p->index].place.line == 0)
                        set_place(p, &c->matches[p->index].place);
        }
}

static void end_section(struct parser *p)
{
        if (p->in_section && !p->skip && p->section == HR_CONFIG_MATCH && p->errors == p->heading_errors) {
                const struct hr_match *m = section_base(p);

                if (!m->unit[0] && !m->cgroup[0] && !m->user[0] && !m->group[0])
                        complain(p, HR_PROBLEM_ERROR, p->heading_line,
                                "[%s]: tests nothing, takes at least one of unit, cgroup, user and group",
                                p->heading);
        }
        p->in_section = false;
        p->skip = true;
        memset(p->key_line, 0, sizeof(p->key_line));
}

/* The policy's index; a new one starts from the default as it is by now. -ENOSPC, -ENOMEM. */
static int find_policy(struct hr_config *c, const char *name)
{
        for (size_t i = 0; i < c->policy_count; i++)
                if (strcmp(c->policies[i].name, name) == 0)
                        return (int)i;
        if (c->policy_count >= HR_POLICIES_MAX)
                return -ENOSPC;

        struct hr_policy *policies = reallocarray(c->policies, c->policy_count + 1, sizeof(*policies));
        if (!policies)
                return -ENOMEM;
        c->policies = policies;
        policies[c->policy_count] = policies[0];
        (void)snprintf(policies[c->policy_count].name, sizeof(policies->name), "%s", name);
        return (int)c->policy_count++;
}

static int find_match(struct hr_config *c, const char *name)
{
        for (size_t i = 0; i < c->match_count; i++)
                if (strcmp(c->matches[i].name, name) == 0)
                        return (int)i;
        if (c->match_count >= HR_MATCHES_MAX)
                return -ENOSPC;

        struct hr_match *matches = reallocarray(c->matches, c->match_count + 1, sizeof(*matches));
        if (!matches)
                return -ENOMEM;
        c->matches = matches;
        matches[c->match_count] = (struct hr_match){};
        hr_config_table_set_defaults(HR_CONFIG_MATCH, &matches[c->match_count], c->host_total_bytes);
        (void)snprintf(matches[c->match_count].name, sizeof(matches->name), "%s", name);
        return (int)c->match_count++;
}

/* [policy NAME] or [match NAME]: finds or makes it. NULL after a complaint. */
static unsigned *enter_named(struct parser *p, const char *name)
{
        bool policy = p->section == HR_CONFIG_POLICY;
        int index;

        if (hr_units_check_name(name) < 0) {
                complain(p, HR_PROBLEM_ERROR, p->line,
                        "[%s]: takes a name of at most %d bytes that begins with a letter, goes on with "
                        "letters, "
                        "digits and ._-@, and doesn't look like a job's id",
                        p->heading, HR_NAME_MAX - 1);
                return NULL;
        }
        index = policy ? find_policy(p->config, name) : find_match(p->config, name);
        if (index == -ENOSPC) {
                complain(p, HR_PROBLEM_ERROR, p->line, "[%s]: too many, takes up to %d", p->heading,
                        policy ? HR_POLICIES_MAX : HR_MATCHES_MAX);
                return NULL;
        }
        if (index < 0) {
                p->out_of_memory = true;
                return NULL;
        }
        p->index = (size_t)index;
        return policy ? &p->policy_line[index] : &p->match_line[index];
}

/* A heading, "daemon" or "policy NAME": what stood between the brackets, cut into words. */
static void begin_section(struct parser *p, const char *word, const char *name)
{
        char heading[HR_CONFIG_LINE_MAX + 2];
        unsigned *seen = NULL;
        bool known = true;

        end_section(p);
        p->in_section = true;
        p->heading_line = p->line;
        p->heading_errors = p->errors;
        (void)snprintf(heading, sizeof(heading), "%s%s%s", word, name[0] ? " " : "", name);
        hr_units_escape(p->heading, sizeof(p->heading), heading);

        if (strcmp(word, "daemon") == 0 && name[0] == '\0') {
                p->section = HR_CONFIG_DAEMON;
                seen = &p->daemon_line;
        } else if (strcmp(word, "host") == 0 && name[0] == '\0') {
                p->section = HR_CONFIG_HOST;
                seen = &p->host_line;
        } else if (strcmp(word, "policy") == 0) {
                p->section = HR_CONFIG_POLICY;
                seen = enter_named(p, name);
        } else if (strcmp(word, "match") == 0) {
                p->section = HR_CONFIG_MATCH;
                seen = enter_named(p, name);
        } else
                known = false;

        if (!known) {
                const char *meant = hr_config_table_nearest_section(word);

                complain(p, HR_PROBLEM_WARNING, p->line,
                        "[%s]: unknown section, takes daemon, host, policy NAME or match NAME%s%s%s",
                        p->heading, meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
        }
        if (seen && *seen > 0)
                complain(p, HR_PROBLEM_WARNING, p->line, "[%s]: repeated section, the one at line %u counts",
                        p->heading, *seen);
        else if (seen) {
                p->skip = false;
                *seen = p->line;
                note_place(p);
        }
}

/* A line that begins with "[", NUL-ended. Changes it. */
static void take_heading(struct parser *p, char *line)
{
        static const char space[] = " \t\v\f\r";
        char escaped[4 * HR_CONFIG_LINE_MAX], *end = strchr(line, ']'), *rest, *word, *name, *last;

        rest = end ? end + 1 + strspn(end + 1, space) : NULL;
        if (!rest || (*rest != '\0' && (*rest != ';' || rest == end + 1))) { /* a comment, as after a value */
                complain(p, HR_PROBLEM_ERROR, p->line,
                        "%s: takes [SECTION], and nothing after it but a comment",
                        hr_units_escape(escaped, sizeof(escaped), line));
                end_section(p);
                p->in_section = true; /* but not known: what follows belongs to it, and is passed over */
                return;
        }
        *end = '\0';
        word = line + 1 + strspn(line + 1, space);
        last = end;
        while (last > word && strchr(space, last[-1]))
                *--last = '\0';
        name = word + strcspn(word, space);
        if (*name != '\0') {
                *name++ = '\0';
                name += strspn(name, space);
        }
        begin_section(p, word, name);
}

/* The hint for a key that its section does not know: ", it belongs to [daemon]", ", did you mean hold?", or
 * nothing. */
static const char *hint_for_key(char *buf, size_t size, enum hr_config_section in, const char *name)
{
        const struct hr_config_key *nearest;

        for (enum hr_config_section section = 0; section < HR_CONFIG_SECTION_COUNT; section++)
                if (hr_config_table_find(section, name)) {
                        (void)snprintf(buf, size, ", it belongs to [%s%s]",
                                hr_config_table_section_name(section),
                                section == HR_CONFIG_POLICY || section == HR_CONFIG_MATCH ? " NAME" : "");
                        return buf;
                }
        nearest = hr_config_table_nearest(in, name);
        if (!nearest)
                return "";
        (void)snprintf(buf, size, ", did you mean %s?", nearest->name);
        return buf;
}

/* Calls back what inih made of a key's line. Always 1: problems are reported here, inih goes on. */
static int take_key(void *userdata, const char *section HR_UNUSED, const char *name, const char *value)
{
        struct parser *p = userdata;
        char text[1280], escaped[4 * HR_CONFIG_LINE_MAX];
        size_t count;
        const struct hr_config_key *const keys = hr_config_table(&count), *key;

        if (name[0] == '\0') /* "= 5": refused as a line without a key when the next one is read */
                return 1;
        p->key_text[0] = '\0';
        hr_units_escape(escaped, sizeof(escaped), name);
        if (!p->in_section) {
                complain(p, HR_PROBLEM_WARNING, p->line,
                        "%s: unknown key, it stands before the first section", escaped);
                return 1;
        }
        if (p->skip)
                return 1;

        key = hr_config_table_find(p->section, name);
        if (!key) {
                complain(p, HR_PROBLEM_WARNING, p->line, "[%s] %s: unknown key%s", p->heading, escaped,
                        hint_for_key(text, sizeof(text), p->section, name));
                return 1;
        }
        if (p->key_line[key - keys] > 0) {
                complain(p, HR_PROBLEM_WARNING, p->line, "[%s] %s: repeated key, the one at line %u counts",
                        p->heading, escaped, p->key_line[key - keys]);
                return 1;
        }
        p->key_line[key - keys] = p->line;

        int r = hr_config_table_set(key, section_base(p), value, p->config->host_total_bytes);
        if (r < 0) {
                hr_config_table_explain(key, p->heading, value, r, text, sizeof(text));
                complain(p, HR_PROBLEM_ERROR, p->line, "%s", text);
        } else if (key == hr_config_table_find(HR_CONFIG_MATCH, "policy"))
                set_place(p, &p->config->matches[p->index].place);
        return 1;
}

/* A key's line that never came back had no "=" or no key. */
static void refuse_left_over(struct parser *p)
{
        char escaped[4 * HR_CONFIG_LINE_MAX];

        if (p->key_text[0] == '\0')
                return;
        complain(p, HR_PROBLEM_ERROR, p->line, "%s: takes KEY = VALUE, [SECTION] or a comment",
                hr_units_escape(escaped, sizeof(escaped), p->key_text));
        p->key_text[0] = '\0';
}

/* The next line without its end and what stands around it; counts. False at the end of the text. */
static bool cut_line(struct parser *p, const char **ret_line, size_t *ret_size)
{
        const char *line = p->text, *newline;
        size_t size;

        if (p->size == 0)
                return false;
        newline = memchr(line, '\n', p->size);
        size = newline ? (size_t)(newline - line) : p->size;
        p->text += newline ? size + 1 : size;
        p->size -= newline ? size + 1 : size;
        p->line++;

        if (p->line == 1 && size >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) {
                line += 3;
                size -= 3;
        }
        if (size > 0 && line[size - 1] == '\r')
                size--;
        *ret_line = line;
        *ret_size = size;
        return true;
}

/* In the place of fgets(): the next key's line, or an empty one for all that is no key. */
static char *read_line(char *str, int num, void *userdata)
{
        struct parser *p = userdata;
        char text[HR_CONFIG_LINE_MAX + 1];
        const char *line;
        size_t size, indent;

        refuse_left_over(p);
        if (p->out_of_memory || num < 2 || !cut_line(p, &line, &size)) {
                end_section(p);
                p->ended = p->size == 0;
                return NULL;
        }
        memcpy(str, "\n", 2);
        if (memchr(line, '\0', size)) {
                complain(p, HR_PROBLEM_ERROR, p->line, "a NUL in the line, takes text");
                return str;
        }
        if (size > HR_CONFIG_LINE_MAX || size + 2 > (size_t)num) {
                complain(p, HR_PROBLEM_ERROR, p->line, "a line of %zu bytes, takes up to %d", size,
                        HR_CONFIG_LINE_MAX);
                return str;
        }
        memcpy(text, line, size);
        text[size] = '\0';

        indent = strspn(text, " \t\v\f\r");
        if (text[indent] == '[')
                take_heading(p, text + indent);
        else if (text[indent] != '\0' && text[indent] != '#' && text[indent] != ';') {
                memcpy(p->key_text, text + indent, size + 1 - indent);
                memcpy(str, text + indent, size - indent);
                memcpy(str + size - indent, "\n", 2);
        }
        return str;
}

int hr_config_parse(struct hr_config *c, const char *file, const char *text, size_t size,
        hr_problem_fn report, void *userdata, unsigned *ret_errors)
{
        struct parser p = {
                .config = c,
                .file = file,
                .text = text,
                .size = size,
                .report = report,
                .userdata = userdata,
                .skip = true,
        };

        /* What inih returns says less than what was reported; only -2, its own want of memory, is news. */
        if (ini_parse_stream(read_line, &p, take_key, &p) == -2 || p.out_of_memory)
                return -ENOMEM;
        if (!p.ended) /* an inih that was built to stop at the first error, or with shorter lines than ours */
                complain(&p, HR_PROBLEM_ERROR, p.line, "can't be read beyond this line");
        if (ret_errors)
                *ret_errors = p.errors;
        return (int)p.problems;
}
