/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "metrics.h"

/* The daemon's text is printed as it is; for JSON its samples are taken apart, one to an object. */

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "exit.h"
#include "output.h"
#include "text.h"

struct sample {
        const char *metric, *labels;
        uint64_t value;
};
#define SAMPLE(member) offsetof(struct sample, member)

static const struct hr_field fields[] = {
        {"metric", NULL, NULL, HR_TYPE_TEXT, SAMPLE(metric), 0},
        {"labels", NULL, NULL, HR_TYPE_TEXT, SAMPLE(labels), 0},
        {"value", NULL, NULL, HR_TYPE_NUMBER, SAMPLE(value), 0},
};
static const struct hr_table table = {fields, ELEMENTSOF(fields), sizeof(struct sample), false};

/* Takes the text apart, in place: lines "name 1" and "name{label="value",...} 1"; at most `room` of them. */
static size_t split(char *text, struct sample *rows, size_t room)
{
        size_t count = 0;
        char *line;

        while ((line = strsep(&text, "\n"))) {
                char *value = strrchr(line, ' '), *labels = strchr(line, '{');

                if (*line == '#' || !value || count >= room)
                        continue;
                *value++ = '\0';
                if (labels) {
                        *labels++ = '\0';
                        if (*labels)
                                labels[strlen(labels) - 1] = '\0'; /* the brace */
                }
                rows[count++] = (struct sample){line, labels ? labels : "", strtoull(value, NULL, 10)};
        }
        return count;
}

int hr_metrics_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        _answer_ struct hr_call_answer answer = {0};
        _free_ struct sample *rows = NULL;
        _call_ struct hr_call *call = NULL;
        size_t room;
        int r;

        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        r = hr_call_metrics(call, hr_options_has(o, HR_OPTION_OPENMETRICS), &answer);
        if (r != 0)
                return hr_ask_failed(call, r);
        if (!hr_ask_json(o)) {
                hr_output_text(answer.message);
                return HR_EXIT_DONE;
        }
        room = hr_text_lines(answer.message);
        rows = hr_ask_rows(room, sizeof(*rows));
        if (!rows)
                return HR_EXIT_FAILED;
        hr_output_rows(&table, rows, split(answer.message, rows, room), HR_FORMAT_JSON);
        return HR_EXIT_DONE;
}
