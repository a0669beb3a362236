/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * A line is a word and its fields, one space between two of them. The table `words` says which fields follow
 * a word, in what form, and where the value goes; a form is one function, which takes its field off the line
 * and may change it there. What is left when the row is done is an error, as is a field that is missing: a
 * program that says "trimmed -1" must not be taken for one that gave nothing back.
 *
 * The whole line is looked at first: UTF-8 without control characters, so that a reason can be handed on as
 * it is. Only what was percent-encoded can bring such bytes back in, on purpose: paths may hold them.
 */

#define GREETING "hello headroom/1"

static const char *const request_words[HR_TALK_REQUEST_COUNT] = {
        [HR_TALK_TRIM] = "trim", [HR_TALK_CHECKPOINT] = "checkpoint", [HR_TALK_WHY] = "why"};
static const char memory_error[] = "memory-error";

/* ---- characters ---- */

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* The size of the UTF-8 character at p, which ends with a NUL; 0: none, or one that controls a terminal. */
static size_t take_character(const char *p)
{
        static const struct {
                unsigned char mask, lead;
                uint32_t least;
        } forms[] = {{0x80, 0x00, 0x20}, {0xE0, 0xC0, 0xA0}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
        unsigned char first = (unsigned char)p[0];

        for (size_t form = 0; form < ELEMENTSOF(forms); form++) {
                uint32_t c = first & (unsigned char)~forms[form].mask;

                if ((first & forms[form].mask) != forms[form].lead)
                        continue;
                for (size_t i = 1; i <= form; i++) {
                        if (((unsigned char)p[i] & 0xC0) != 0x80)
                                return 0;
                        c = c << 6 | ((unsigned char)p[i] & 0x3F);
                }
                /* The least of each form leaves out C0, C1 and what is too long; then DEL, the separators of
                 * lines and paragraphs, surrogates, and what is beyond Unicode. */
                if (c < forms[form].least || c == 0x7F || c == 0x2028 || c == 0x2029 ||
                        (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF)
                        return 0;
                return form + 1;
        }
        return 0;
}

static bool is_text(const char *text, size_t size)
{
        for (size_t i = 0, n; i < size; i += n)
                if ((n = take_character(text + i)) == 0)
                        return false;
        return true;
}

static int hex_digit(char c)
{
        if (is_digit(c))
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode(char *text)
{
        char *to = text;

        for (const char *from = text; *from != '\0'; from++) {
                int high, low;

                if (*from != '%') {
                        *to++ = *from;
                        continue;
                }
                high = hex_digit(from[1]);
                low = high < 0 ? -1 : hex_digit(from[2]);
                if (low < 0 || (high | low) == 0)
                        return -EBADMSG;
                *to++ = (char)(high << 4 | low);
                from += 2;
        }
        *to = '\0';
        return 0;
}

/* ---- fields ---- */

/* The next field, ended with a NUL; *at is behind it, NULL when it was the last. NULL: none. */
static char *take_field(char **at)
{
        char *field = *at, *space = field ? strchr(field, ' ') : NULL;

        if (space)
                *space = '\0';
        *at = space ? space + 1 : NULL;
        return field;
}

static int take_digits(const char **at, uint64_t *ret)
{
        uint64_t n = 0;

        if (!is_digit(**at))
                return -EBADMSG;
        for (; is_digit(**at); (*at)++)
                if (__builtin_mul_overflow(n, 10, &n) ||
                        __builtin_add_overflow(n, (uint64_t)(**at - '0'), &n) || n > HR_TALK_NUMBER_MAX)
                        return -ERANGE;
        *ret = n;
        return 0;
}

static int take_number(char **at, void *ret)
{
        const char *field = take_field(at);
        uint64_t n;
        int r = field ? take_digits(&field, &n) : -EBADMSG;

        if (r < 0)
                return r;
        if (*field != '\0')
                return -EBADMSG;
        *(uint64_t *)ret = n;
        return 0;
}

static int take_number_or_none(char **at, void *ret)
{
        if (!*at || strncmp(*at, "-1", 2) != 0)
                return take_number(at, ret);
        if (strcmp(take_field(at), "-1") != 0)
                return -EBADMSG;
        *(uint64_t *)ret = HR_BYTES_NONE;
        return 0;
}

/* "90", "2.5"; what is below a microsecond is dropped. */
static int take_seconds(char **at, void *ret)
{
        const char *field = take_field(at);
        uint64_t usec, unit = HR_USEC_PER_SEC;
        int r = field ? take_digits(&field, &usec) : -EBADMSG;

        if (r < 0)
                return r;
        if (usec > HR_TALK_NEED_MAX_USEC / HR_USEC_PER_SEC)
                return -ERANGE;
        usec *= HR_USEC_PER_SEC;
        if (*field == '.') {
                if (!is_digit(*++field))
                        return -EBADMSG;
                for (; is_digit(*field); field++)
                        usec += (uint64_t)(*field - '0') * (unit /= 10);
        }
        if (*field != '\0')
                return -EBADMSG;
        if (usec > HR_TALK_NEED_MAX_USEC)
                return -ERANGE;
        *(uint64_t *)ret = usec;
        return 0;
}

static int take_name(char **at, void *ret)
{
        char *field = take_field(at);

        if (!field || *field == '\0')
                return -EBADMSG;
        *(const char **)ret = field;
        if (strcmp(field, "-") == 0) {
                *field = '\0';
                return 0;
        }
        return decode(field);
}

static int take_path(char **at, void *ret)
{
        return *at && **at == '/' ? take_name(at, ret) : -EBADMSG;
}

static int take_rest(char **at, void *ret)
{
        if (*at)
                *(const char **)ret = *at;
        *at = NULL;
        return 0;
}

static int take_abilities(char **at, void *ret)
{
        const char *version = take_field(at), *word;

        if (!version)
                return -EBADMSG;
        while ((word = take_field(at))) {
                if (strcmp(word, memory_error) == 0)
                        *(uint32_t *)ret |= HR_TALK_TELLS_MEMORY_ERROR;
                for (size_t i = 0; i < ELEMENTSOF(request_words); i++)
                        if (strcmp(word, request_words[i]) == 0)
                                *(uint32_t *)ret |= 1U << i;
        }
        return 0;
}

/* ---- lines ---- */

static const struct {
        const char *word;
        struct {
                int (*take)(char **at, void *ret);
                size_t offset; /* of the value in struct hr_talk */
        } fields[5];
} words[HR_TALK_WORD_COUNT] = {
        [HR_TALK_UNKNOWN] = {"", {{NULL, 0}}},
        [HR_TALK_HELLO] = {"hello", {{take_abilities, offsetof(struct hr_talk, abilities)}}},
        [HR_TALK_TRIMMED] = {"trimmed", {{take_number, offsetof(struct hr_talk, bytes)}}},
        [HR_TALK_CHECKPOINTED] = {"checkpointed", {{take_path, offsetof(struct hr_talk, text)}}},
        [HR_TALK_NEED] = {"need", {{take_seconds, offsetof(struct hr_talk, usec)}}},
        [HR_TALK_FAILED] = {"failed", {{take_rest, offsetof(struct hr_talk, text)}}},
        [HR_TALK_HOLDS] = {"holds", {{take_number, offsetof(struct hr_talk, bytes)},
                                            {take_number, offsetof(struct hr_talk, count)},
                                            {take_number, offsetof(struct hr_talk, line)},
                                            {take_name, offsetof(struct hr_talk, text)},
                                            {take_name, offsetof(struct hr_talk, file)}}},
        [HR_TALK_SPARE] = {"spare", {{take_number_or_none, offsetof(struct hr_talk, garbage_bytes)},
                                            {take_number_or_none, offsetof(struct hr_talk, malloc_bytes)}}},
        [HR_TALK_STATUS] = {"status", {{NULL, 0}}},
        [HR_TALK_MEMORY_ERROR] = {memory_error,
                {{take_number, offsetof(struct hr_talk, line)}, {take_name, offsetof(struct hr_talk, file)}}},
};

bool hr_talk_may_be_hello(const char *data, size_t size)
{
        return memcmp(data, GREETING, MIN(size, strlen(GREETING))) == 0 &&
               (size <= strlen(GREETING) || data[strlen(GREETING)] == ' ' || data[strlen(GREETING)] == '\n');
}

int hr_talk_parse(char *line, size_t size, struct hr_talk *ret)
{
        struct hr_talk t = {.text = "", .file = ""};
        bool greets = hr_talk_may_be_hello(line, size);
        enum hr_talk_word word = HR_TALK_WORD_COUNT - 1;
        const char *first;
        char *at = line;

        if (size > HR_TALK_LINE_MAX)
                return -EMSGSIZE;
        if (size == 0 || line[size - 1] != '\n')
                return -EBADMSG;
        line[size - 1] = '\0';
        if (!is_text(line, size - 1))
                return -EBADMSG;

        first = take_field(&at);
        while (word > HR_TALK_UNKNOWN && strcmp(first, words[word].word) != 0)
                word--;
        if (word == HR_TALK_UNKNOWN || (word == HR_TALK_HELLO && !greets)) {
                *ret = t;
                return 0;
        }
        t.word = word;
        for (size_t i = 0; i < ELEMENTSOF(words[word].fields) && words[word].fields[i].take; i++) {
                int r = words[word].fields[i].take(&at, (char *)&t + words[word].fields[i].offset);

                if (r < 0)
                        return r;
        }
        if (at)
                return -EBADMSG;
        *ret = t;
        return 0;
}

/* ---- what the daemon says ---- */

char *hr_talk_say_welcome(char *buf, const char *job)
{
        snprintf(buf, HR_TALK_SAY_MAX, "welcome headroom/1 %.63s\n", job);
        return buf;
}

char *hr_talk_say_pressure(char *buf, enum hr_stage stage)
{
        snprintf(buf, HR_TALK_SAY_MAX, "pressure %s\n", hr_stage_name(stage));
        return buf;
}

/* value / unit, or -1 */
static int64_t or_none(uint64_t value, uint64_t none, uint64_t unit)
{
        return value == none ? -1 : (int64_t)MIN(value / unit, (uint64_t)INT64_MAX);
}

char *hr_talk_say_status(char *buf, const struct hr_talk_status *status)
{
        snprintf(buf, HR_TALK_SAY_MAX, "status %s %" PRIu64 " %" PRId64 " %" PRId64 "\n",
                hr_stage_name(status->stage), status->used_bytes,
                or_none(status->limit_bytes, HR_BYTES_NONE, 1),
                or_none(status->left_usec, HR_USEC_NEVER, HR_USEC_PER_SEC));
        return buf;
}

char *hr_talk_say_request(char *buf, enum hr_talk_request request, uint64_t deadline_usec)
{
        if (request == HR_TALK_CHECKPOINT)
                snprintf(buf, HR_TALK_SAY_MAX, "%s %" PRIu64 "\n", request_words[request],
                        deadline_usec / HR_USEC_PER_SEC);
        else
                snprintf(buf, HR_TALK_SAY_MAX, "%s\n", request_words[request]);
        return buf;
}
