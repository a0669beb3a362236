/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/message.h"

#include <errno.h>
#include <string.h>

#include "tell/interface.h"

/*
 * The exits to the bus. Nothing else in the daemon appends to a message, so that each signature of
 * tell/interface.h is spelled in one place. Functions only build and send: who may see what was decided
 * before.
 */

const char *hr_message_text(const char *text, char **owned)
{
        size_t length;
        char *copy;

        if (!text)
                return "";
        /* A backslash stays: units have them ("a\x2db.service"), and a path must be usable as it is shown. */
        for (length = 0; text[length] >= ' ' && text[length] <= '~'; length++)
                ;
        if (text[length] == '\0')
                return text;

        length = strlen(text);
        copy = malloc(4 * length + 1);
        if (!copy)
                return NULL;
        hr_units_escape(copy, 4 * length + 1, text);
        free(*owned);
        *owned = copy;
        return copy;
}

/* ---- errors ---- */

int hr_message_set_error(sd_bus_error *e, int error, const char *text)
{
        static const struct {
                int error;
                const char *name, *text;
        } errors[] = {
                {-ENOENT, HR_BUS_ERROR_NO_SUCH_JOB, "There is no such job."},
                {-EPERM, HR_BUS_ERROR_NOT_PERMITTED, "You may not do that."},
                {-EACCES, HR_BUS_ERROR_NOT_PERMITTED, "You may not do that."},
                {-ENOTUNIQ, HR_BUS_ERROR_AMBIGUOUS, "Several jobs are called so: use the id."},
                {-EINVAL, HR_BUS_ERROR_INVALID, "The request makes no sense."},
                {-ERANGE, HR_BUS_ERROR_INVALID, "A number is out of its range."},
                {-EUCLEAN, HR_BUS_ERROR_INVALID, "A number needs a unit."},
                {-ENAMETOOLONG, HR_BUS_ERROR_INVALID, "A name is too long."},
                {-EBUSY, HR_BUS_ERROR_REFUSED, "The job is busy with something else."},
                {-ENOSPC, HR_BUS_ERROR_REFUSED, "There are too many jobs."},
                {-EAGAIN, HR_BUS_ERROR_REFUSED, "Too many requests are under way."},
                {-EOPNOTSUPP, HR_BUS_ERROR_REFUSED, "That can't be done here."},
                {-ESRCH, HR_BUS_ERROR_FAILED, "There is no such process."},
        };
        _free_ char *owned = NULL;
        const char *name = HR_BUS_ERROR_FAILED, *sentence = strerrordesc_np(-error);

        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (errors[i].error == error) {
                        name = errors[i].name;
                        sentence = errors[i].text;
                }
        if (text && text[0] != '\0')
                text = hr_message_text(text, &owned);
        sd_bus_error_set(e, name, text && text[0] != '\0' ? text : sentence);
        return error;
}

int hr_message_reply_error(sd_bus_message *call, int error, const char *text)
{
        HR_CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        hr_message_set_error(&e, error, text);
        return sd_bus_reply_method_error(call, &e);
}

/* ---- short replies ---- */

int hr_message_reply_empty(sd_bus_message *call)
{
        return sd_bus_reply_method_return(call, NULL);
}

int hr_message_reply_run(
        sd_bus_message *call, uint64_t retries, const char *job, const char *kind, const char *message)
{
        _free_ char *owned = NULL;

        message = hr_message_text(message, &owned);
        return message ? sd_bus_reply_method_return(call, "tsss", retries, job, kind, message) : -ENOMEM;
}

int hr_message_reply_attach(sd_bus_message *call, const char *job, const char *message)
{
        _free_ char *owned = NULL;

        message = hr_message_text(message, &owned);
        return message ? sd_bus_reply_method_return(call, "ss", job, message) : -ENOMEM;
}

int hr_message_reply_limit(sd_bus_message *call, uint64_t limit_bytes, const char *message)
{
        _free_ char *owned = NULL;

        message = hr_message_text(message, &owned);
        return message ? sd_bus_reply_method_return(call, "ts", limit_bytes, message) : -ENOMEM;
}

int hr_message_reply_text(sd_bus_message *call, const char *text)
{
        return sd_bus_reply_method_return(call, "s", text);
}

int hr_message_reply_totals(
        sd_bus_message *call, uint32_t jobs_count, uint64_t used_bytes, uint32_t held_count)
{
        return sd_bus_reply_method_return(call, "utu", jobs_count, used_bytes, held_count);
}

/* ---- long replies ---- */

static int begin_array(sd_bus_message *call, const char *contents, sd_bus_message **ret)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', contents);
        if (r >= 0)
                *ret = TAKE_PTR(reply);
        return r;
}

int hr_message_send_array(sd_bus_message *reply)
{
        int r = sd_bus_message_close_container(reply);

        return r < 0 ? r : sd_bus_message_send(reply);
}

/* Takes the next field of a line off, up to a tab or the line's end; "" when there is none. */
static const char *next_field(char **rest)
{
        return *rest ? strsep(rest, "\t") : "";
}

static int append_doctor_line(sd_bus_message *reply, char *line)
{
        const char *item = next_field(&line), *state = next_field(&line), *detail = next_field(&line),
                   *remedy = next_field(&line);
        _free_ char *owned_detail = NULL, *owned_remedy = NULL;

        detail = hr_message_text(detail, &owned_detail);
        remedy = hr_message_text(remedy, &owned_remedy);
        if (!detail || !remedy)
                return -ENOMEM;
        return sd_bus_message_append(reply, "(ssss)", item, state, detail, remedy);
}

int hr_message_reply_doctor(sd_bus_message *call, const char *lines)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _free_ char *copy = strdup(lines);
        char *rest = copy, *line;
        int r;

        if (!copy)
                return -ENOMEM;
        r = begin_array(call, "(ssss)", &reply);
        while (r >= 0 && (line = strsep(&rest, "\n")))
                if (line[0] != '\0')
                        r = append_doctor_line(reply, line);
        return r < 0 ? r : hr_message_send_array(reply);
}

int hr_message_begin_status(sd_bus_message *call, sd_bus_message **ret)
{
        return begin_array(call, HR_BUS_STATUS_STRUCT, ret);
}

int hr_message_append_status(sd_bus_message *reply, const struct hr_card *card)
{
        const char *raw[] = {card->name, card->user, card->cgroup, card->unit, NULL, NULL};
        char *owned[ELEMENTSOF(raw)] = {NULL};
        const char *text[ELEMENTSOF(raw)];
        struct hr_status s;
        int r = 0;

        hr_card_read(card, &s);
        raw[4] = s.limit_source;
        raw[5] = s.reason;
        for (size_t i = 0; i < ELEMENTSOF(raw); i++) {
                text[i] = hr_message_text(raw[i], &owned[i]);
                if (!text[i])
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_append(reply, HR_BUS_STATUS_STRUCT, card->id, text[0], text[1],
                        (uint32_t)card->uid, hr_kind_name(card->kind), text[2], text[3],
                        (uint32_t)card->leader, hr_stage_name(s.stage), (int)s.frozen, s.used_bytes,
                        s.cache_bytes, s.limit_bytes, s.own_limit_bytes, s.headroom_bytes, text[4],
                        s.growth_bytes_per_second, s.left_min_usec, s.left_max_usec, s.deadline_usec,
                        s.peak_bytes, s.policy, text[5], (int)card->locked);
        for (size_t i = 0; i < ELEMENTSOF(owned); i++)
                free(owned[i]);
        return r;
}

int hr_message_begin_events(sd_bus_message *call, sd_bus_message **ret)
{
        return begin_array(call, HR_BUS_EVENT_STRUCT, ret);
}

static int append_holder(sd_bus_message *reply, const struct hr_channel_holder *h)
{
        _free_ char *owned_name = NULL, *owned_file = NULL;
        const char *name = hr_message_text(h->name, &owned_name),
                   *file = hr_message_text(h->file, &owned_file);

        if (!name || !file)
                return -ENOMEM;
        return sd_bus_message_append(
                reply, HR_BUS_HOLDER_STRUCT, (uint32_t)h->pid, h->bytes, h->count, h->line, name, file);
}

int hr_message_reply_why(sd_bus_message *call, const struct hr_channel_answer *a, const char *sentence)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _free_ char *owned = NULL;
        const char *text = hr_message_text(sentence, &owned);
        int r = text ? begin_array(call, HR_BUS_HOLDER_STRUCT, &reply) : -ENOMEM;

        for (uint32_t i = 0; i < a->holders_count && r >= 0; i++)
                r = append_holder(reply, &a->holders[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "ttuus", a->garbage_bytes, a->malloc_bytes, a->asked_count,
                        a->answered_count, text);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static int append_part(
        sd_bus_message *reply, const char *kind, pid_t pid, uint64_t bytes, const char *raw_name)
{
        _free_ char *owned = NULL;
        const char *name = hr_message_text(raw_name, &owned);

        return name ? sd_bus_message_append(reply, HR_BUS_PART_STRUCT, kind, (uint32_t)pid, bytes, name)
                    : -ENOMEM;
}

/* The kinds that there are, largest first, and what is not told apart last. */
static int append_mappings(sd_bus_message *reply, const struct hr_breakdown *b)
{
        bool done[HR_MAPPING_COUNT] = {false};
        int r = 0;

        for (size_t n = 0; n < HR_MAPPING_COUNT && r >= 0; n++) {
                size_t best = HR_MAPPING_COUNT;

                for (size_t i = 0; i < HR_MAPPING_COUNT; i++)
                        if (!done[i] && (best == HR_MAPPING_COUNT || b->bytes[i] > b->bytes[best]))
                                best = i;
                done[best] = true;
                if (b->bytes[best] > 0)
                        r = append_part(reply, "mapping", 0, b->bytes[best], hr_mapping_name(best));
        }
        if (r >= 0 && b->rest_bytes > 0)
                r = append_part(reply, "mapping", 0, b->rest_bytes, "not told apart");
        return r;
}

static int append_processes(sd_bus_message *reply, const struct hr_breakdown *b)
{
        char text[48];
        int r = 0;

        for (uint32_t i = 0; i < b->process_count && r >= 0; i++)
                r = append_part(reply, "process", b->processes[i].pid, b->processes[i].bytes,
                        b->processes[i].name[0] ? b->processes[i].name : "(no name)");
        if (r >= 0 && b->others_count > 0) {
                snprintf(text, sizeof(text), "%u %s", b->others_count,
                        b->others_count == 1 ? "other" : "others");
                r = append_part(reply, "process", 0, b->others_bytes, text);
        }
        if (r >= 0 && b->unread_count > 0) {
                snprintf(text, sizeof(text), "%u that can't be looked at", b->unread_count);
                r = append_part(reply, "process", 0, HR_BYTES_NONE, text);
        }
        return r;
}

int hr_message_reply_breakdown(sd_bus_message *call, const struct hr_breakdown *b)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = begin_array(call, HR_BUS_PART_STRUCT, &reply);

        if (r >= 0)
                r = append_mappings(reply, b);
        if (r >= 0)
                r = append_processes(reply, b);
        return r < 0 ? r : hr_message_send_array(reply);
}

static int append_record(sd_bus_message *reply, const struct hr_query_row *row)
{
        const char *raw[] = {
                row->name, row->command, row->user, row->cgroup, row->unit, row->reason, row->held_by};
        char *owned[ELEMENTSOF(raw)] = {NULL};
        const char *text[ELEMENTSOF(raw)];
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(raw); i++) {
                text[i] = hr_message_text(raw[i], &owned[i]);
                if (!text[i])
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_append(reply, HR_BUS_RECORD_STRUCT, row->job, text[0], text[1], text[2],
                        (uint32_t)row->uid, row->kind, text[3], text[4], row->policy, row->start_usec,
                        row->end_usec, row->limit_bytes, row->peak_bytes, (int)row->censored,
                        row->peak_source, row->outcome, row->exit_status, row->signal, text[5], text[6],
                        row->stage, row->left_out_count, (int)row->fused, (int)row->said_error);
        for (size_t i = 0; i < ELEMENTSOF(owned); i++)
                free(owned[i]);
        return r;
}

int hr_message_reply_history(
        sd_bus_message *call, const struct hr_query_row *rows, size_t count, uint64_t next_usec)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = sd_bus_message_new_method_return(call, &reply);

        if (r >= 0)
                r = sd_bus_message_append(reply, "t", next_usec);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', HR_BUS_RECORD_STRUCT);
        for (size_t i = 0; i < count && r >= 0; i++)
                r = append_record(reply, &rows[i]);
        return r < 0 ? r : hr_message_send_array(reply);
}

static int append_deed(sd_bus_message *reply, const struct hr_query_event *e)
{
        _free_ char *owned = NULL;
        const char *reason = hr_message_text(e->reason, &owned);

        return reason ? sd_bus_message_append(reply, HR_BUS_DEED_STRUCT, e->time_usec, e->stage,
                                e->previous_stage, e->action, e->outcome, reason, e->used_bytes,
                                e->limit_bytes)
                      : -ENOMEM;
}

int hr_message_reply_story(sd_bus_message *call, const struct hr_query_story *story)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = sd_bus_message_new_method_return(call, &reply);

        if (r >= 0)
                r = append_record(reply, &story->row);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', HR_BUS_POINT_STRUCT);
        for (size_t i = 0; i < story->point_count && r >= 0; i++)
                r = sd_bus_message_append(reply, HR_BUS_POINT_STRUCT, story->points[i].time_usec,
                        story->points[i].used_bytes, story->points[i].cache_bytes,
                        story->points[i].limit_bytes);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', HR_BUS_DEED_STRUCT);
        for (size_t i = 0; i < story->event_count && r >= 0; i++)
                r = append_deed(reply, &story->events[i]);
        return r < 0 ? r : hr_message_send_array(reply);
}

int hr_message_reply_advice(sd_bus_message *call, const struct hr_advice *a, bool by_name)
{
        return sd_bus_reply_method_return(call, "tttuubsb", a->limit_bytes, a->p95_bytes, a->most_bytes,
                a->run_count, a->lower_bound_count, (int)a->is_lower_bound, hr_advise_sure_name(a->sure),
                (int)by_name);
}

int hr_message_append_event(sd_bus_message *message, const struct hr_event *e, bool as_struct)
{
        _free_ char *owned_name = NULL, *owned_reason = NULL, *owned_hint = NULL;
        const char *name = hr_message_text(e->name, &owned_name),
                   *reason = hr_message_text(e->reason, &owned_reason),
                   *hint = hr_message_text(e->hint, &owned_hint);

        if (!name || !reason || !hint)
                return -ENOMEM;
        return sd_bus_message_append(message, as_struct ? HR_BUS_EVENT_STRUCT : HR_BUS_EVENT_FIELDS,
                e->time_usec, e->job, name, (uint32_t)e->uid, hr_stage_name(e->stage),
                hr_stage_name(e->previous_stage), reason, e->used_bytes, e->limit_bytes, e->action,
                e->outcome, hint, e->deadline_usec, (int64_t)e->exit_status, e->took_usec);
}

int hr_message_signal_event(sd_bus *bus, const char *destination, const struct hr_event *event)
{
        HR_CLEANUP(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = sd_bus_message_new_signal(bus, &signal, HR_BUS_PATH, HR_BUS_INTERFACE, "Event");
        if (r >= 0 && destination)
                r = sd_bus_message_set_destination(signal, destination);
        if (r >= 0)
                r = hr_message_append_event(signal, event, false);
        return r < 0 ? r : sd_bus_message_send(signal);
}
