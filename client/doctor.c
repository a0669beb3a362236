/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "doctor.h"

/* What works is the daemon's to say; that there is none is found here. */

#include "ask.h"
#include "exit.h"
#include "output.h"

#define CHECK(member) offsetof(struct hr_call_check, member)

static const struct hr_field check_fields[] = {
        {"item", "ITEM", NULL, HR_TYPE_TEXT, CHECK(item), 0},
        {"state", "STATE", NULL, HR_TYPE_TEXT, CHECK(state), 0},
        {"detail", "DETAIL", NULL, HR_TYPE_TEXT, CHECK(detail), HR_WIDE},
        {"remedy", "REMEDY", NULL, HR_TYPE_TEXT, CHECK(remedy), HR_WIDE},
};
static const struct hr_table check_table = {
        check_fields, ELEMENTSOF(check_fields), sizeof(struct hr_call_check), true};

int hr_doctor_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        enum hr_format format = hr_ask_json(o) ? HR_FORMAT_JSON : HR_FORMAT_COLUMNS;
        _list_ struct hr_call_list list = {0};
        _call_ struct hr_call *call = NULL;
        _free_ char *tried = NULL;
        int r;

        if (hr_call_connect(o->value[HR_OPTION_SOCKET], HR_CALL_WAIT_USEC, &call, &tried) != 0) {
                struct hr_call_check check = {"daemon", "missing", tried ? tried : "no socket answers", ""};
                _free_ char *start = NULL;

                if (tried && hr_call_describe_start(tried, &start) >= 0)
                        check.remedy = start;
                hr_output_rows(&check_table, &check, 1, format);
                return HR_EXIT_UNREACHABLE;
        }
        r = hr_call_doctor(call, &list);
        if (r != 0)
                return hr_ask_failed(call, r);
        hr_output_rows(&check_table, list.rows, list.count, format);
        return HR_EXIT_DONE;
}
