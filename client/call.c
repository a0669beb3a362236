/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "call.h"

/*
 * One connection to the daemon's socket, peer to peer: no bus daemon takes part. The socket is connected here
 * and handed to sd-bus, so that each path's own error can be told ("no such file", "connection refused").
 *
 * A daemon serves a user a few connections at a time (HR_BUS_PEERS_PER_USER) and closes the next one at once:
 * that is tried again, in growing pauses, as long as the caller allows.
 *
 * Methods wait for their answer, at most CALL_USEC. A failure is turned into an exit status by the table of
 * error names, and the daemon's own sentence is kept for hr_call_message. Rows of a list point into the
 * reply, which the list holds.
 *
 * Following: Follow or Subscribe first, then Events in the background. The daemon answers in order, so a
 * signal that comes before that answer is in it as well and is dropped, and one that comes after it is new.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>

#include "clock.h"
#include "exit.h"
#include "fd.h"
#include "output.h"
#include "tell/interface.h"
#include "think/sample.h"

#define CALL_USEC (30 * HR_USEC_PER_SEC)         /* placing a job may take systemd 3 to 4 s (seen) */
#define PAUSE_LEAST_USEC (20 * HR_USEC_PER_MSEC) /* before a closed connection is tried again; grows */
#define PAUSE_MOST_USEC (500 * HR_USEC_PER_MSEC)
#define SAY_USEC HR_USEC_PER_SEC /* tried again in silence for this long; chosen, not tuned */

struct hr_call {
        sd_bus *bus;
        char *socket;
        char *message;
        hr_call_event_fn on_event;
        hr_call_lost_fn on_lost;
        void *userdata;
        bool caught_up;
        uint64_t since_usec;
        size_t kept_max;
};

static void message_unrefp(sd_bus_message **m)
{
        sd_bus_message_unref(*m);
}
#define _message_ HR_CLEANUP(message_unrefp)
static void error_freep(sd_bus_error *e)
{
        sd_bus_error_free(e);
}
#define _error_ HR_CLEANUP(error_freep)

/* ---- the connection ---- */

struct hr_call *hr_call_free(struct hr_call *call)
{
        if (!call)
                return NULL;
        sd_bus_close_unref(call->bus);
        free(call->socket);
        free(call->message);
        free(call);
        return NULL;
}

void hr_call_set_wait(struct hr_call *call, uint64_t usec)
{
        sd_bus_set_method_call_timeout(call->bus, usec); /* can't fail on a bus of our own */
}

const char *hr_call_message(const struct hr_call *call)
{
        return call->message ? call->message : "out of memory";
}

const char *hr_call_socket(const struct hr_call *call)
{
        return call->socket;
}

static int connect_socket(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _close_ int fd = -1;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno; /* EAGAIN: its queue is full, which is a daemon that does not answer */
        return TAKE_FD(fd);
}

/* Greets: both sides say who they are. */
static int greet(sd_bus *bus, uint64_t wait_usec)
{
        uint64_t until = hr_clock_usec() + wait_usec;
        int r;

        for (;;) {
                r = sd_bus_is_ready(bus);
                if (r != 0)
                        return r < 0 ? r : 0;
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r == 0 && hr_clock_usec() >= until)
                        return -ETIMEDOUT;
                if (r == 0)
                        r = sd_bus_wait(bus, until - MIN(until, hr_clock_usec()));
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

static int connect_one(const char *path, uint64_t wait_usec, struct hr_call **ret)
{
        HR_CLEANUP(hr_call_freep) struct hr_call *call = calloc(1, sizeof(*call));
        _close_ int fd = -1;
        int r;

        if (!call)
                return -ENOMEM;
        call->socket = strdup(path);
        if (!call->socket)
                return -ENOMEM;
        fd = connect_socket(path);
        if (fd < 0)
                return fd;
        r = sd_bus_new(&call->bus);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(call->bus, fd, fd);
        if (r < 0)
                return r;
        TAKE_FD(fd);
        r = sd_bus_start(call->bus);
        if (r < 0)
                return r;
        hr_call_set_wait(call, CALL_USEC);
        r = greet(call->bus, wait_usec);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(call);
        return 0;
}

int hr_call_on_system_bus(void)
{
        HR_CLEANUP(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _message_ sd_bus_message *reply = NULL;
        int owned = 0, r;

        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, SAY_USEC);
        if (r >= 0)
                r = sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "NameHasOwner", NULL, &reply, "s", HR_BUS_NAME);
        if (r >= 0)
                r = sd_bus_message_read(reply, "b", &owned);
        return r < 0 ? r : owned;
}

#define CLOSED "it closed the connection; too many may be open"

static const char *why_not(int error)
{
        switch (-error) {
        case ENOENT:
                return "no such file";
        case ECONNREFUSED:
                return "nobody listens";
        case ETIMEDOUT:
        case EAGAIN:
                return "it does not answer";
        case ECONNRESET:
        case ENOTCONN:
        case EPIPE:
                return CLOSED;
        default:
                return strerror(-error);
        }
}

/* One round over the paths. *ret_closed: a daemon is there, and takes no more connections. */
static int connect_any(const char *const *paths, size_t count, uint64_t wait_usec, struct hr_call **ret,
        char **ret_tried, bool *ret_closed)
{
        *ret_closed = false;
        for (size_t i = 0; i < count && paths[i]; i++) {
                const char *before = *ret_tried ? *ret_tried : "";
                char *more = NULL;
                int r = connect_one(paths[i], MIN(wait_usec, HR_CALL_WAIT_USEC), ret);

                if (r == 0)
                        return 0;
                *ret_closed |= why_not(r) == why_not(-ECONNRESET);
                if (asprintf(&more, "%s%s%s (%s)", before, *before ? ", " : "", paths[i], why_not(r)) < 0)
                        continue; /* no memory: one name less in the message */
                free(*ret_tried);
                *ret_tried = more;
        }
        return HR_EXIT_UNREACHABLE;
}

int hr_call_connect(const char *socket, uint64_t wait_usec, struct hr_call **ret, char **ret_tried)
{
        const char *environment = getenv("HEADROOM_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
        const char *paths[2] = {HR_SYSTEM_SOCKET, NULL};
        uint64_t begin = hr_clock_usec(), until = begin + wait_usec, pause = PAUSE_LEAST_USEC;
        _free_ char *user = NULL;
        bool said = false;

        if (!socket && environment && *environment)
                socket = environment;
        if (socket)
                paths[0] = socket;
        else if (runtime && *runtime &&
                 asprintf(&user, "%s/%s", runtime, HR_USER_SOCKET_BELOW_RUNTIME_DIR) >= 0)
                paths[1] = user;
        for (;;) {
                _free_ char *tried = NULL;
                bool closed;

                if (connect_any(paths, ELEMENTSOF(paths), wait_usec, ret, &tried, &closed) == 0)
                        return 0;
                if (!closed || hr_clock_usec() + pause >= until) {
                        if (ret_tried)
                                *ret_tried = TAKE_PTR(tried);
                        return HR_EXIT_UNREACHABLE;
                }
                if (!said && hr_clock_usec() - begin > SAY_USEC) {
                        hr_output_say(HR_STYLE_PLAIN,
                                "the daemon takes no more connections of yours now; tried again for %u s",
                                (unsigned)(wait_usec / HR_USEC_PER_SEC));
                        said = true;
                }
                usleep((useconds_t)(pause / 2 + hr_clock_usec() % pause)); /* not all at the same time */
                pause = MIN(2 * pause, PAUSE_MOST_USEC);
        }
}

int hr_call_describe_start(const char *tried, char **ret)
{
        static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@%,";
        const char *user = geteuid() == 0 ? "" : " --user", *named = getenv("HEADROOM_SOCKET");
        bool systems = strncmp(tried, HR_SYSTEM_SOCKET " (", strlen(HR_SYSTEM_SOCKET " (")) == 0;
        int length = (int)(strrchr(tried, '(') - tried) - 1; /* of the path, where there is only one */
        const char *quote = strspn(tried, safe) < (size_t)length ? "'" : "";

        if (strstr(tried, CLOSED))
                return asprintf(ret, "try again when fewer headroom run and headroom events --follow of "
                                     "yours are under way");
        if (!systems)
                return asprintf(ret, "start it with: headroomd%s --socket %s%.*s%s &%s", user, quote, length,
                        tried, quote,
                        named && *named && strncmp(tried, named, strlen(named)) == 0
                                ? ",\nor let the system's be found: unset HEADROOM_SOCKET"
                                : "");
        if (!*user || strstr(tried + strlen(HR_SYSTEM_SOCKET), HR_USER_SOCKET_BELOW_RUNTIME_DIR " ("))
                return asprintf(ret, "start it with: sudo systemctl start headroomd, or headroomd%s &", user);
        return asprintf(ret, "start it with: sudo systemctl start headroomd, or, without XDG_RUNTIME_DIR:\n"
                             "export HEADROOM_SOCKET=\"$HOME/.headroom/bus\"\n"
                             "headroomd --user --socket \"$HEADROOM_SOCKET\" &");
}

int hr_call_say_unreachable(const char *tried, const char *more)
{
        _free_ char *start = NULL;

        if (!tried || hr_call_describe_start(tried, &start) < 0)
                start = NULL;
        hr_output_say(HR_STYLE_PLAIN, "no daemon is reachable: tried %s%s%s%s", tried ? tried : "its sockets",
                start ? "\n" : "", start ? start : "", more);
        return HR_EXIT_UNREACHABLE;
}

/* ---- errors ---- */

static const struct {
        const char *name;
        enum hr_exit status;
        const char *text; /* instead of the other side's, where it means nothing to a person */
} errors[] = {
        {HR_BUS_ERROR_NO_SUCH_JOB, HR_EXIT_NO_JOB, NULL},
        {HR_BUS_ERROR_NOT_PERMITTED, HR_EXIT_NOT_PERMITTED, NULL},
        {HR_BUS_ERROR_AMBIGUOUS, HR_EXIT_USAGE, NULL},
        {HR_BUS_ERROR_INVALID, HR_EXIT_USAGE, NULL},
        {HR_BUS_ERROR_REFUSED, HR_EXIT_FAILED, NULL},
        {HR_BUS_ERROR_FAILED, HR_EXIT_FAILED, NULL},
        {SD_BUS_ERROR_ACCESS_DENIED, HR_EXIT_NOT_PERMITTED, NULL},
        {SD_BUS_ERROR_UNKNOWN_METHOD, HR_EXIT_FAILED,
                "the daemon does not know this request: it is of another version (sudo systemctl restart "
                "headroomd)"},
        {SD_BUS_ERROR_NO_REPLY, HR_EXIT_UNREACHABLE,
                "the daemon went away before it answered (systemctl status headroomd)"},
        {SD_BUS_ERROR_DISCONNECTED, HR_EXIT_UNREACHABLE,
                "the daemon closed the connection before it answered (systemctl status headroomd)"},
        {SD_BUS_ERROR_TIMEOUT, HR_EXIT_FAILED,
                "the daemon did not answer within 30 s; the request may still be done (headroom status)"},
};

static int fail(struct hr_call *call, const sd_bus_error *error, int r)
{
        const char *text = error && error->message ? error->message : strerror(-r);
        enum hr_exit status = HR_EXIT_FAILED;

        for (size_t i = 0; error && error->name && i < ELEMENTSOF(errors); i++) {
                if (strcmp(errors[i].name, error->name) != 0)
                        continue;
                status = errors[i].status;
                text = errors[i].text ? errors[i].text : text;
                break;
        }
        if (r == -ECONNRESET || r == -ENOTCONN) {
                status = HR_EXIT_UNREACHABLE;
                text = "the daemon closed the connection before it answered (systemctl status headroomd)";
        }
        free(call->message);
        call->message = strdup(text);
        return status;
}

#define RESTORE_USEC (6 * 3600 * HR_USEC_PER_SEC) /* an image may be as large as the host's memory */

/* Arguments that are no valid text (UTF-8) are a usage error. */
static int build(
        struct hr_call *call, sd_bus_message **ret, const char *method, const char *types, va_list arguments)
{
        _message_ sd_bus_message *request = NULL;
        int r;

        r = sd_bus_message_new_method_call(call->bus, &request, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, method);
        if (r >= 0)
                r = sd_bus_message_appendv(request, types, arguments);
        if (r == -EINVAL) {
                free(call->message);
                call->message = strdup("a name on the command line is not valid UTF-8");
                return HR_EXIT_USAGE;
        }
        if (r < 0)
                return fail(call, NULL, r);
        *ret = TAKE_PTR(request);
        return 0;
}

/* Builds a request, sends it, waits. */
static int ask(struct hr_call *call, sd_bus_message **ret, const char *method, const char *types, ...)
{
        _error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _message_ sd_bus_message *request = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = build(call, &request, method, types, ap);
        va_end(ap);
        if (r != 0)
                return r;
        r = sd_bus_call(call->bus, request, 0, &error, ret);
        return r < 0 ? fail(call, &error, r) : 0;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error HR_UNUSED)
{
        sd_bus_message **ret = userdata;

        *ret = sd_bus_message_ref(m);
        return 1;
}

/* The same without waiting: *ret is set when the answer has come, to that or to an error. */
static int ask_ahead(struct hr_call *call, sd_bus_message **ret, const char *method, const char *types, ...)
{
        _message_ sd_bus_message *request = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = build(call, &request, method, types, ap);
        va_end(ap);
        if (r != 0)
                return r;
        r = sd_bus_call_async(call->bus, NULL, request, on_answer, ret, 0);
        return r < 0 ? fail(call, NULL, r) : 0;
}

static int wait_for(struct hr_call *call, sd_bus_message **answer)
{
        while (!*answer) {
                int r = sd_bus_process(call->bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(call->bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return fail(call, NULL, r);
        }
        return sd_bus_message_is_method_error(*answer, NULL)
                       ? fail(call, sd_bus_message_get_error(*answer), -sd_bus_message_get_errno(*answer))
                       : 0;
}

/* A reply that does not read as the contract says. */
static int bad_reply(struct hr_call *call)
{
        free(call->message);
        call->message = strdup("the daemon's answer does not read as expected: it is of another version "
                               "(sudo systemctl restart headroomd)");
        return HR_EXIT_FAILED;
}

/* ---- lists ---- */

void hr_call_list_done(struct hr_call_list *list)
{
        free(list->rows);
        sd_bus_message_unref(list->reply);
        *list = (struct hr_call_list){0};
}

/* Each reads one row; > 0 done, 0 the end of the array, < 0 it does not read. */
typedef int (*read_row_fn)(sd_bus_message *m, void *row);

static int read_job(sd_bus_message *m, void *row)
{
        struct hr_call_job *j = row;
        uint32_t uid, leader;
        int frozen, locked, r;

        r = sd_bus_message_read(m, HR_BUS_STATUS_STRUCT, &j->job, &j->name, &j->user, &uid, &j->kind,
                &j->cgroup, &j->unit, &leader, &j->stage, &frozen, &j->used_bytes, &j->cache_bytes,
                &j->limit_bytes, &j->own_limit_bytes, &j->headroom_bytes, &j->limit_source,
                &j->growth_bytes_per_second, &j->left_min_usec, &j->left_max_usec, &j->deadline_usec,
                &j->peak_bytes, &j->policy, &j->reason, &locked);
        if (r <= 0)
                return r;
        j->uid = uid;
        j->leader_pid = leader;
        j->frozen = frozen;
        j->locked = locked;
        /* What is shared is filled by others too: by how much, the room that is left tells. */
        j->ratio_permyriad = hr_ratio_permyriad(hr_sub(j->limit_bytes, j->headroom_bytes), j->limit_bytes);
        return 1;
}

static int read_event_fields(sd_bus_message *m, const char *types, struct hr_call_event *e)
{
        uint64_t took_usec;
        uint32_t uid;
        int r;

        r = sd_bus_message_read(m, types, &e->time_usec, &e->job, &e->name, &uid, &e->stage,
                &e->previous_stage, &e->reason, &e->used_bytes, &e->limit_bytes, &e->action, &e->outcome,
                &e->hint, &e->deadline_usec, &e->exit_status, &took_usec);
        if (r > 0) {
                e->uid = uid;
                e->took_usec = took_usec > 0 ? (int64_t)took_usec : -1;
        }
        return r;
}

static int read_event(sd_bus_message *m, void *row)
{
        return read_event_fields(m, HR_BUS_EVENT_STRUCT, row);
}

static int read_check(sd_bus_message *m, void *row)
{
        struct hr_call_check *c = row;

        return sd_bus_message_read(m, "(ssss)", &c->item, &c->state, &c->detail, &c->remedy);
}

/* Takes the reply. */
static int read_list(sd_bus_message *reply, const char *types, read_row_fn read_row, size_t row_size,
        struct hr_call_list *ret)
{
        HR_CLEANUP(hr_call_list_done) struct hr_call_list list = {.reply = reply};
        size_t room = 0;
        int r;

        r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, types);
        if (r < 0)
                return r;
        for (;;) {
                if (list.count == room) {
                        void *rows;

                        room = MAX(2 * room, (size_t)16); /* sd-bus holds a message below 128 MiB */
                        rows = reallocarray(list.rows, room, row_size);
                        if (!rows)
                                return -ENOMEM;
                        list.rows = rows;
                }
                r = read_row(reply, (char *)list.rows + list.count * row_size);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                list.count++;
        }
        *ret = list;
        list = (struct hr_call_list){0};
        return 0;
}

int hr_call_status(struct hr_call *call, const char *job, struct hr_call_list *ret)
{
        sd_bus_message *reply = NULL;
        int r;

        r = ask(call, &reply, "Status", "s", job);
        if (r != 0)
                return r;
        r = read_list(reply, HR_BUS_STATUS_STRUCT, read_job, sizeof(struct hr_call_job), ret);
        return r < 0 ? bad_reply(call) : 0;
}

int hr_call_doctor(struct hr_call *call, struct hr_call_list *ret)
{
        sd_bus_message *reply = NULL;
        int r;

        r = ask(call, &reply, "Doctor", "");
        if (r != 0)
                return r;
        r = read_list(reply, "(ssss)", read_check, sizeof(struct hr_call_check), ret);
        return r < 0 ? bad_reply(call) : 0;
}

int hr_call_events(struct hr_call *call, struct hr_call_list *ret)
{
        sd_bus_message *reply = NULL;
        int r;

        r = ask(call, &reply, "Events", "u", (uint32_t)0);
        if (r != 0)
                return r;
        r = read_list(reply, HR_BUS_EVENT_STRUCT, read_event, sizeof(struct hr_call_event), ret);
        return r < 0 ? bad_reply(call) : 0;
}

static int read_holder(sd_bus_message *m, void *row)
{
        struct hr_call_holder *h = row;
        uint32_t pid;
        int r;

        r = sd_bus_message_read(
                m, HR_BUS_HOLDER_STRUCT, &pid, &h->bytes, &h->count, &h->line, &h->name, &h->file);
        if (r > 0)
                h->pid = pid;
        return r;
}

void hr_call_why_done(struct hr_call_why *why)
{
        hr_call_list_done(&why->holders);
}

int hr_call_why(struct hr_call *call, const char *job, struct hr_call_why *ret)
{
        HR_CLEANUP(hr_call_why_done) struct hr_call_why why = {0};
        sd_bus_message *reply = NULL;
        uint32_t asked, answered;
        int r;

        r = ask(call, &reply, "Why", "s", job);
        if (r != 0)
                return r;
        r = read_list(reply, HR_BUS_HOLDER_STRUCT, read_holder, sizeof(struct hr_call_holder), &why.holders);
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "ttuus", &why.garbage_bytes, &why.malloc_bytes, &asked,
                        &answered, &why.sentence);
        if (r <= 0)
                return bad_reply(call);
        why.asked_count = asked;
        why.answered_count = answered;
        *ret = why;
        why = (struct hr_call_why){0};
        return 0;
}

static int read_part(sd_bus_message *m, void *row)
{
        struct hr_call_part *p = row;
        uint32_t pid;
        int r;

        r = sd_bus_message_read(m, HR_BUS_PART_STRUCT, &p->kind, &pid, &p->bytes, &p->name);
        if (r > 0)
                p->pid = pid;
        return r;
}

int hr_call_breakdown(struct hr_call *call, const char *job, struct hr_call_list *ret)
{
        sd_bus_message *reply = NULL;
        int r;

        r = ask(call, &reply, "Breakdown", "s", job);
        if (r != 0)
                return r;
        r = read_list(reply, HR_BUS_PART_STRUCT, read_part, sizeof(struct hr_call_part), ret);
        return r < 0 ? bad_reply(call) : 0;
}

/* ---- ended jobs ---- */

_Static_assert(HR_CALL_HISTORY_PAGE <= HR_BUS_HISTORY_MAX, "a page as large as it is asked for");

static int read_record(sd_bus_message *m, void *row)
{
        struct hr_call_record *c = row;
        uint32_t uid;
        int64_t number;
        int censored, fused, said, r;

        r = sd_bus_message_read(m, HR_BUS_RECORD_STRUCT, &c->job, &c->name, &c->command, &c->user, &uid,
                &c->kind, &c->cgroup, &c->unit, &c->policy, &c->start_usec, &c->end_usec, &c->limit_bytes,
                &c->peak_bytes, &censored, &c->peak_source, &c->outcome, &c->exit_status, &number, &c->reason,
                &c->held_by, &c->stage, &c->left_out_count, &fused, &said);
        if (r > 0) {
                c->uid = uid;
                c->censored = censored;
                c->fused = fused;
                c->said_error = said;
                c->signal = (uint64_t)number;
        }
        return r;
}

static int read_point(sd_bus_message *m, void *row)
{
        struct hr_call_point *p = row;

        return sd_bus_message_read(
                m, HR_BUS_POINT_STRUCT, &p->time_usec, &p->used_bytes, &p->cache_bytes, &p->limit_bytes);
}

static int read_deed(sd_bus_message *m, void *row)
{
        struct hr_call_deed *d = row;

        return sd_bus_message_read(m, HR_BUS_DEED_STRUCT, &d->time_usec, &d->stage, &d->previous_stage,
                &d->action, &d->outcome, &d->reason, &d->used_bytes, &d->limit_bytes);
}

static int ask_page(
        struct hr_call *call, const struct hr_call_filter *f, uint64_t until_usec, sd_bus_message **ret)
{
        return ask_ahead(call, ret, "History", "ttsssu", f->since_usec, until_usec, f->user, f->name,
                f->outcome, (uint32_t)HR_CALL_HISTORY_PAGE);
}

int hr_call_history(struct hr_call *call, const struct hr_call_filter *f, struct hr_call_list *pages,
        size_t room, size_t *ret_count, bool *ret_more)
{
        /* Not on the stack: an answer may still come after this has failed. */
        static sd_bus_message *answer;
        uint64_t next = f->until_usec;
        int r = ask_page(call, f, next, &answer);

        *ret_count = 0;
        while (r == 0 && next > 0) {
                sd_bus_message *reply;

                r = wait_for(call, &answer);
                if (r != 0)
                        break;
                reply = TAKE_PTR(answer);
                if (sd_bus_message_read(reply, "t", &next) < 0) {
                        sd_bus_message_unref(reply);
                        return bad_reply(call);
                }
                *ret_more = next > 0 && *ret_count + 1 == room;
                next = *ret_more ? 0 : next;
                if (next > 0)
                        r = ask_page(call, f, next, &answer);
                if (read_list(reply, HR_BUS_RECORD_STRUCT, read_record, sizeof(struct hr_call_record),
                            &pages[*ret_count]) < 0)
                        return bad_reply(call);
                ++*ret_count;
        }
        return r;
}

void hr_call_story_done(struct hr_call_story *story)
{
        hr_call_list_done(&story->points);
        hr_call_list_done(&story->deeds);
        sd_bus_message_unref(story->reply);
        *story = (struct hr_call_story){0};
}

int hr_call_story(struct hr_call *call, const char *job, struct hr_call_story *ret)
{
        HR_CLEANUP(hr_call_story_done) struct hr_call_story story = {0};
        sd_bus_message *reply = NULL;
        int r;

        r = ask(call, &reply, "Record", "s", job);
        if (r != 0)
                return r;
        story.reply = reply;
        r = read_record(reply, &story.record);
        if (r > 0)
                r = read_list(sd_bus_message_ref(reply), HR_BUS_POINT_STRUCT, read_point,
                        sizeof(struct hr_call_point), &story.points);
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = read_list(sd_bus_message_ref(reply), HR_BUS_DEED_STRUCT, read_deed,
                        sizeof(struct hr_call_deed), &story.deeds);
        if (r < 0)
                return bad_reply(call);
        *ret = story;
        story = (struct hr_call_story){0};
        return 0;
}

void hr_call_advice_done(struct hr_call_advice *advice)
{
        sd_bus_message_unref(advice->reply);
        *advice = (struct hr_call_advice){0};
}

int hr_call_advise(struct hr_call *call, const char *name, const char *command, struct hr_call_advice *ret)
{
        HR_CLEANUP(hr_call_advice_done) struct hr_call_advice a = {0};
        sd_bus_message *reply = NULL;
        uint32_t runs, lower_bounds;
        int is_lower_bound, by_name, r;

        r = ask(call, &reply, "Advise", "ss", name, command);
        if (r != 0)
                return r;
        a.reply = reply;
        r = sd_bus_message_read(reply, "tttuubsb", &a.limit_bytes, &a.p95_bytes, &a.most_bytes, &runs,
                &lower_bounds, &is_lower_bound, &a.sure, &by_name);
        if (r <= 0)
                return bad_reply(call);
        a.run_count = runs;
        a.lower_bound_count = lower_bounds;
        a.is_lower_bound = is_lower_bound;
        a.by_name = by_name;
        *ret = a;
        a = (struct hr_call_advice){0};
        return 0;
}

int hr_call_ended(struct hr_call *call, const char *job, int exit_status, int signal)
{
        _message_ sd_bus_message *reply = NULL;

        return ask(call, &reply, "Ended", "sxx", job, (int64_t)exit_status, (int64_t)signal);
}

/* ---- answers ---- */

void hr_call_answer_done(struct hr_call_answer *answer)
{
        free(answer->job);
        free(answer->kind);
        free(answer->message);
        *answer = (struct hr_call_answer){0};
}

/* A reply of strings, each into a member of its own; `bytes` before them where wanted. */
static int read_answer(
        struct hr_call *call, sd_bus_message *reply, uint64_t *bytes, char **const *strings, size_t count)
{
        const char *text;

        if (bytes && sd_bus_message_read(reply, "t", bytes) <= 0)
                return bad_reply(call);
        for (size_t i = 0; i < count; i++) {
                if (sd_bus_message_read(reply, "s", &text) <= 0)
                        return bad_reply(call);
                *strings[i] = strdup(text);
                if (!*strings[i])
                        return fail(call, NULL, -ENOMEM);
        }
        return 0;
}

/* Hands over what was read, or frees it. */
static int give_answer(int r, struct hr_call_answer *answer, struct hr_call_answer *ret)
{
        if (r != 0)
                return r;
        *ret = *answer;
        *answer = (struct hr_call_answer){0};
        return 0;
}
#define _answer_ HR_CLEANUP(hr_call_answer_done)

int hr_call_run(struct hr_call *call, const struct hr_call_run *run, struct hr_call_answer *ret)
{
        _answer_ struct hr_call_answer answer = {0};
        _message_ sd_bus_message *reply = NULL;
        char **strings[] = {&answer.job, &answer.kind, &answer.message};
        int r;

        r = ask(call, &reply, "Run", "usbtssbbsub", (uint32_t)run->pid, run->name, (int)run->has_limit,
                run->limit_bytes, run->policy, run->checkpoint, (int)run->fuse, (int)run->detached,
                run->command, run->retried, (int)run->reaps);
        if (r == 0)
                r = read_answer(call, reply, &answer.bytes, strings, ELEMENTSOF(strings));
        return give_answer(r, &answer, ret);
}

int hr_call_attach(struct hr_call *call, const char *target, const char *name, bool has_limit,
        uint64_t limit_bytes, const char *policy, struct hr_call_answer *ret)
{
        _answer_ struct hr_call_answer answer = {0};
        _message_ sd_bus_message *reply = NULL;
        char **strings[] = {&answer.job, &answer.message};
        int r;

        r = ask(call, &reply, "Attach", "ssbts", target, name, (int)has_limit, limit_bytes, policy);
        if (r == 0)
                r = read_answer(call, reply, NULL, strings, ELEMENTSOF(strings));
        return give_answer(r, &answer, ret);
}

int hr_call_totals(struct hr_call *call, uint64_t *ret_jobs, uint64_t *ret_used_bytes, uint64_t *ret_held)
{
        _message_ sd_bus_message *reply = NULL;
        uint32_t jobs, held;
        int r;

        r = ask(call, &reply, "Totals", "");
        if (r != 0)
                return r;
        if (sd_bus_message_read(reply, "utu", &jobs, ret_used_bytes, &held) <= 0)
                return bad_reply(call);
        *ret_jobs = jobs;
        *ret_held = held;
        return 0;
}

int hr_call_set_limit(struct hr_call *call, const char *job, uint64_t limit_bytes, struct hr_call_answer *ret)
{
        _answer_ struct hr_call_answer answer = {0};
        _message_ sd_bus_message *reply = NULL;
        char **strings[] = {&answer.message};
        int r;

        r = ask(call, &reply, "SetLimit", "st", job, limit_bytes);
        if (r == 0)
                r = read_answer(call, reply, &answer.bytes, strings, ELEMENTSOF(strings));
        return give_answer(r, &answer, ret);
}

static int ask_for_text(struct hr_call *call, struct hr_call_answer *ret, int asked, sd_bus_message *reply)
{
        _answer_ struct hr_call_answer answer = {0};
        _message_ sd_bus_message *owned = reply;
        char **strings[] = {&answer.message};

        if (asked == 0)
                asked = read_answer(call, owned, NULL, strings, ELEMENTSOF(strings));
        return give_answer(asked, &answer, ret);
}

int hr_call_set_policy(struct hr_call *call, const char *job, const char *policy, struct hr_call_answer *ret)
{
        sd_bus_message *reply = NULL;
        int r = ask(call, &reply, "SetPolicy", "ss", job, policy);

        return ask_for_text(call, ret, r, reply);
}

int hr_call_act(struct hr_call *call, const char *verb, const char *job, struct hr_call_answer *ret)
{
        sd_bus_message *reply = NULL;
        int r = ask(call, &reply, "Act", "ss", verb, job);

        return ask_for_text(call, ret, r, reply);
}

int hr_call_resume(struct hr_call *call, const char *job, bool has_limit, uint64_t limit_bytes,
        struct hr_call_answer *ret)
{
        sd_bus_message *reply = NULL;
        int r = ask(call, &reply, "Resume", "sbt", job, (int)has_limit, limit_bytes);

        return ask_for_text(call, ret, r, reply);
}

int hr_call_restore(struct hr_call *call, const char *id, bool has_limit, uint64_t limit_bytes, bool removes,
        struct hr_call_answer *ret)
{
        sd_bus_message *reply = NULL;

        (void)sd_bus_set_method_call_timeout(call->bus, RESTORE_USEC); /* else it is given up too early */
        int r = ask(call, &reply, "Restore", "sbtb", id, (int)has_limit, limit_bytes, (int)removes);
        (void)sd_bus_set_method_call_timeout(call->bus, 0);
        return ask_for_text(call, ret, r, reply);
}

int hr_call_policies(struct hr_call *call, const char *name, struct hr_call_answer *ret)
{
        sd_bus_message *reply = NULL;
        int r = ask(call, &reply, "Policies", "s", name);

        return ask_for_text(call, ret, r, reply);
}

int hr_call_metrics(struct hr_call *call, bool openmetrics, struct hr_call_answer *ret)
{
        sd_bus_message *reply = NULL;
        int r = ask(call, &reply, "Metrics", "b", (int)openmetrics);

        return ask_for_text(call, ret, r, reply);
}

/* ---- events as they happen ---- */

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error HR_UNUSED)
{
        struct hr_call *call = userdata;
        struct hr_call_event event;

        if (call->caught_up && read_event_fields(m, HR_BUS_EVENT_FIELDS, &event) > 0)
                call->on_event(&event, call->userdata);
        return 0; /* a signal that does not read is from another version: it is left out */
}

static int on_kept(sd_bus_message *m, void *userdata, sd_bus_error *error HR_UNUSED)
{
        HR_CLEANUP(hr_call_list_done) struct hr_call_list list = {0};
        struct hr_call *call = userdata;
        size_t first = 0, newer = 0;

        call->caught_up = true;
        if (sd_bus_message_is_method_error(m, NULL))
                return 0; /* none kept, or the connection is gone: on_lost comes next */
        if (read_list(sd_bus_message_ref(m), HR_BUS_EVENT_STRUCT, read_event, sizeof(struct hr_call_event),
                    &list) < 0)
                return 0;
        while (newer < list.count && list.events[newer].time_usec <= call->since_usec)
                newer++;
        first = list.count - MIN(list.count - newer, call->kept_max);
        for (size_t i = first; i < list.count; i++)
                call->on_event(&list.events[i], call->userdata);
        return 0;
}

static int on_disconnected(sd_bus_message *m HR_UNUSED, void *userdata, sd_bus_error *error HR_UNUSED)
{
        struct hr_call *call = userdata;

        call->on_lost(call->userdata);
        return 0;
}

int hr_call_follow(struct hr_call *call, sd_event *loop, const char *job, uint64_t since_usec,
        size_t kept_max, hr_call_event_fn on_event, hr_call_lost_fn on_lost, void *userdata)
{
        _message_ sd_bus_message *reply = NULL;
        int r;

        call->on_event = on_event;
        call->on_lost = on_lost;
        call->userdata = userdata;
        call->since_usec = since_usec;
        call->kept_max = kept_max;
        call->caught_up = kept_max == 0;
        r = sd_bus_match_signal(
                call->bus, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Event", on_signal, call);
        if (r >= 0)
                r = sd_bus_match_signal(call->bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, call);
        if (r < 0)
                return fail(call, NULL, r);
        r = job ? ask(call, &reply, "Follow", "s", job) : ask(call, &reply, "Subscribe", "");
        if (r != 0)
                return r;
        if (kept_max > 0)
                r = sd_bus_call_method_async(call->bus, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Events",
                        on_kept, call, "u", (uint32_t)0);
        else
                r = 0;
        if (r >= 0)
                r = sd_bus_attach_event(call->bus, loop, SD_EVENT_PRIORITY_NORMAL);
        return r < 0 ? fail(call, NULL, r) : 0;
}

void hr_call_drain(struct hr_call *call)
{
        /* Bounded: the daemon keeps at most HR_BUS_QUEUE_MAX for a peer, and a flood of new ones may wait. */
        for (size_t i = 0; i < 4 * HR_BUS_QUEUE_MAX; i++)
                if (sd_bus_process(call->bus, NULL) <= 0)
                        return;
}
