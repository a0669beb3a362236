/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/bus.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <syslog.h>

#include "fd.h"
#include "tell/liaison.h"
#include "tell/listen.h"
#include "tell/message.h"
#include "tell/peer.h"
#include "tell/service.h"
#include "thread.h"

/*
 * The thread and its loop. Its sources: the listening socket, one for each peer (tell/peer), the system bus
 * where there is one, the exchange's eventfd (answers, events, retired cards), an eventfd that says stop, and
 * slow timers: the way back to the system bus, what is to be said about peers, and the page of metrics.
 *
 * Everything is made in hr_bus_start, so that errors are its caller's, and then belongs to the thread until
 * that is joined. Only the system bus is opened in the thread, for it may be slow and may be missing.
 */

#define STACK_BYTES (256 * 1024)
#define SYSTEM_RETRY_USEC (30 * HR_USEC_PER_SEC)
#define SYSTEM_CALL_USEC \
        (500 * HR_USEC_PER_MSEC) /* a bus daemon that hangs costs the peers this much, now and then */
#define REPORT_USEC (60 * HR_USEC_PER_SEC)
#define ACCEPT_PAUSE_USEC HR_USEC_PER_SEC

struct hr_bus {
        struct hr_exchange *exchange;
        char *socket_path, *proc_path, *cgroup_path, *memory_controller; /* owned copies */
        bool user;
        uint64_t metrics_interval_usec; /* 0: no file is written */

        pthread_t thread;
        bool started;
        struct hr_listen socket;
        int stop_fd;

        sd_event *event;
        sd_event_source *listen, *resume_accept, *stop, *exchange_source, *system_timer, *report_timer,
                *metrics_timer;
        struct hr_peers peers;
        struct hr_service *service;
        struct hr_archive *archive; /* NULL: no record is kept */
        struct hr_liaison *liaison; /* NULL: the jobs' socket could not be made, which was said */

        sd_bus *system;
        struct hr_peer gateway; /* stands for the system bus in its vtable: has no caller of its own */
        bool system_reported;
};

/* ---- the socket ---- */

static int on_resume_accept(sd_event_source *s HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_bus *b = userdata;

        return sd_event_source_set_enabled(b->listen, SD_EVENT_ON);
}

static int on_listen(sd_event_source *s HR_UNUSED, int fd, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_bus *b = userdata;
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (connection >= 0) {
                hr_peers_accept(&b->peers, connection); /* one that is turned away was counted */
                return 0;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                /* It would wake us again at once. */
                sd_event_source_set_enabled(b->listen, SD_EVENT_OFF);
                sd_event_source_set_time_relative(b->resume_accept, ACCEPT_PAUSE_USEC);
                sd_event_source_set_enabled(b->resume_accept, SD_EVENT_ONESHOT);
        }
        return 0; /* anything else concerns that connection alone */
}

/* ---- the system bus ---- */

static void leave_system(struct hr_bus *b)
{
        hr_peers_sweep(&b->peers, HR_PEERS_SYSTEM);
        b->system = sd_bus_close_unref(b->system);
}

static void report_system(struct hr_bus *b, const char *what, int r)
{
        if (!b->system_reported)
                hr_exchange_line(b->exchange, LOG_INFO,
                        "System bus: %s%s%s; clients are served on %s alone until it is there.", what,
                        r < 0 ? ": " : "", r < 0 ? strerrordesc_np(-r) : "", b->socket_path);
        b->system_reported = true;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *e HR_UNUSED)
{
        struct hr_bus *b = userdata;
        uint32_t result = 0;

        if (sd_bus_message_is_method_error(m, NULL)) {
                report_system(b, "the name " HR_BUS_NAME " is refused", -sd_bus_message_get_errno(m));
        } else if (sd_bus_message_read(m, "u", &result) >= 0 && (result == 1 || result == 4)) {
                b->system_reported = false; /* it is there: a later loss is news again */
                return 1;
        } else {
                report_system(b, "the name " HR_BUS_NAME " is taken", 0);
        }
        /* The timer runs: it closes this connection and tries again. */
        sd_bus_close(b->system);
        return 1;
}

static int join_system(struct hr_bus *b)
{
        static char no_name[] = ""; /* never written */
        int r;

        r = sd_bus_open_system_with_description(&b->system, "system");
        if (r < 0)
                return r;
        b->gateway.peers = &b->peers;
        b->gateway.name = no_name;
        if ((r = sd_bus_set_close_on_exit(b->system, false)) < 0 ||
                (r = sd_bus_set_exit_on_disconnect(b->system, false)) < 0 ||
                (r = sd_bus_set_method_call_timeout(b->system, SYSTEM_CALL_USEC)) < 0 ||
                (r = sd_bus_add_object_vtable(b->system, NULL, HR_BUS_PATH, HR_BUS_INTERFACE,
                         hr_service_vtable, &b->gateway)) < 0 ||
                (r = sd_bus_attach_event(b->system, b->event, SD_EVENT_PRIORITY_NORMAL)) < 0 ||
                (r = sd_bus_request_name_async(b->system, NULL, HR_BUS_NAME, 0, on_name, b)) < 0)
                return r;
        return 0;
}

/* Every 30 s: is the system bus (still) there? */
static int on_system_timer(sd_event_source *s, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_bus *b = userdata;
        int r;

        sd_event_source_set_time_relative(s, SYSTEM_RETRY_USEC);
        if (b->system && sd_bus_is_open(b->system) <= 0) {
                report_system(b, "the connection is lost", 0);
                leave_system(b);
        }
        if (b->system)
                return 0;
        r = join_system(b);
        if (r < 0) {
                report_system(b, "not to be reached", r);
                leave_system(b);
        }
        return 0;
}

/* ---- the exchange ---- */

/* For the thread's own events and the deciding thread's: kept, and told to those who may see the job. */
static void publish(void *userdata, const struct hr_event *event)
{
        struct hr_bus *b = userdata;

        hr_service_keep(b->service, event);
        for (size_t i = 0; i < HR_BUS_PEERS_MAX; i++) {
                struct hr_peer *p = b->peers.all[i];

                if (p && p->subscribed && (p->caller.admin || p->caller.uid == event->uid))
                        hr_peer_tell(p, event);
        }
}

static int on_exchange(
        sd_event_source *s HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_bus *b = userdata;
        struct hr_event event;

        hr_service_answer(b->service);
        while (hr_exchange_next_bus_event(b->exchange, &event)) {
                publish(b, &event);
                if (b->liaison)
                        hr_liaison_event(b->liaison, &event);
        }
        if (b->liaison)
                hr_liaison_ask(b->liaison);
        hr_peers_sweep(&b->peers, HR_PEERS_DOOMED);
        hr_exchange_reap(b->exchange); /* no method is running: none holds a card */
        return 0;
}

static int on_report_timer(sd_event_source *s, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_bus *b = userdata;
        uint64_t lost = hr_exchange_take_dropped(b->exchange, false);
        uint64_t refused = b->peers.refused_count + (b->liaison ? hr_liaison_take_refused(b->liaison) : 0);

        sd_event_source_set_time_relative(s, REPORT_USEC);
        if (b->peers.dropped_count + refused + lost > 0)
                hr_exchange_line(b->exchange, LOG_WARNING,
                        "Bus, last minute: %llu events not sent to clients that do not read, %llu events "
                        "lost before "
                        "that, %llu clients turned away.",
                        (unsigned long long)b->peers.dropped_count, (unsigned long long)lost,
                        (unsigned long long)refused);
        b->peers.dropped_count = b->peers.refused_count = 0;
        return 0;
}

/* For the file of metrics, which the recorder writes. */
static int on_metrics_timer(sd_event_source *s, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_bus *b = userdata;
        char *page = hr_service_metrics(b->service, NULL, HR_METRICS_PROMETHEUS);

        sd_event_source_set_time_relative(s, b->metrics_interval_usec);
        if (page)
                hr_exchange_put_page(b->exchange, page);
        return 0;
}

/* ---- the thread ---- */

static int on_stop(sd_event_source *s HR_UNUSED, int fd HR_UNUSED, uint32_t revents HR_UNUSED, void *userdata)
{
        struct hr_bus *b = userdata;

        return sd_event_exit(b->event, 0);
}

static void *run(void *userdata)
{
        struct hr_bus *b = userdata;
        int r;

        pthread_setname_np(pthread_self(), "headroom-bus");
        r = sd_event_loop(b->event);
        if (r < 0)
                hr_exchange_line(b->exchange, LOG_ERR, "The bus thread ends: %s.", strerrordesc_np(-r));
        hr_peers_sweep(&b->peers, HR_PEERS_ALL);
        leave_system(b);
        return NULL;
}

static void on_gone(struct hr_peer *p)
{
        hr_service_forget(p->peers->service, p);
}

static int add_sources(struct hr_bus *b)
{
        const struct {
                sd_event_source **source;
                int fd;
                sd_event_io_handler_t handler;
                const char *description;
        } ios[] = {
                {&b->listen, b->socket.fd, on_listen, "listen"},
                {&b->stop, b->stop_fd, on_stop, "stop"},
                {&b->exchange_source, hr_exchange_bus_fd(b->exchange), on_exchange, "exchange"},
        };
        const struct {
                sd_event_source **source;
                uint64_t usec;
                sd_event_time_handler_t handler;
                const char *description;
                int enabled;
        } timers[] = {
                {&b->resume_accept, ACCEPT_PAUSE_USEC, on_resume_accept, "accept-again", SD_EVENT_OFF},
                {&b->system_timer, 0, on_system_timer, "system-bus", b->user ? SD_EVENT_OFF : SD_EVENT_ON},
                {&b->report_timer, REPORT_USEC, on_report_timer, "report", SD_EVENT_ON},
                {&b->metrics_timer, 0, on_metrics_timer, "metrics",
                        b->metrics_interval_usec > 0 ? SD_EVENT_ON : SD_EVENT_OFF},
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(ios); i++)
                if ((r = sd_event_add_io(b->event, ios[i].source, ios[i].fd, EPOLLIN, ios[i].handler, b)) >=
                        0)
                        r = sd_event_source_set_description(*ios[i].source, ios[i].description);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(timers); i++)
                if ((r = sd_event_add_time_relative(b->event, timers[i].source, CLOCK_MONOTONIC,
                             timers[i].usec, HR_USEC_PER_SEC, timers[i].handler, b)) >= 0 &&
                        (r = sd_event_source_set_enabled(*timers[i].source, timers[i].enabled)) >= 0)
                        r = sd_event_source_set_description(*timers[i].source, timers[i].description);
        return r;
}

/* The jobs' socket, beside our own. Without it jobs are watched all the same. */
static int serve_jobs(struct hr_bus *b)
{
        _free_ char *path = NULL;
        const char *slash = strrchr(b->socket_path, '/');
        struct hr_liaison_options options = {
                .exchange = b->exchange,
                .view = hr_service_view(b->service),
                .event = b->event,
                .user = b->user,
                .tell = publish,
                .userdata = b,
        };

        if (asprintf(&path, "%.*s" HR_JOB_SOCKET_BESIDE, slash ? (int)(slash - b->socket_path + 1) : 0,
                    b->socket_path) < 0)
                return -ENOMEM;
        options.path = path;
        int r = hr_liaison_new(&options, &b->liaison);
        if (r < 0)
                hr_exchange_line(b->exchange, LOG_WARNING,
                        "%s can't be served (%s): jobs can't take part, they are watched all the same.", path,
                        strerrordesc_np(-r));
        hr_service_consult(b->service, b->liaison);
        return 0;
}

static char *copy(const char *text, bool *failed)
{
        char *c = text ? strdup(text) : NULL;

        if (text && !c)
                *failed = true;
        return c;
}

static void bus_stopp(struct hr_bus **b)
{
        hr_bus_stop(*b);
}

int hr_bus_start(struct hr_exchange *x, const struct hr_bus_options *options, struct hr_bus **ret)
{
        HR_CLEANUP(bus_stopp) struct hr_bus *b = calloc(1, sizeof(*b));
        struct hr_bus_options own = *options;
        bool failed = false;
        int r;

        if (!b)
                return -ENOMEM;
        b->socket = HR_LISTEN_NONE;
        b->stop_fd = -1;
        b->exchange = x;
        b->user = options->user;
        b->metrics_interval_usec = options->metrics_interval_usec;
        own.socket_path = b->socket_path = copy(options->socket_path, &failed);
        own.proc_path = b->proc_path = copy(options->proc_path, &failed);
        own.cgroup_path = b->cgroup_path = copy(options->cgroup_path, &failed);
        own.memory_controller = b->memory_controller = copy(options->memory_controller, &failed);
        if (failed)
                return -ENOMEM;

        r = hr_service_new(x, &own, &b->peers, &b->service);
        if (r < 0)
                return r;
        r = sd_event_new(&b->event);
        if (r < 0)
                return r;
        b->peers.event = b->event;
        b->peers.vtable = hr_service_vtable;
        b->peers.service = b->service;
        b->peers.gone = on_gone;
        b->peers.user = b->user;

        if (options->record_directory) {
                r = hr_archive_new(&b->peers, options->record_directory, &b->archive);
                if (r < 0)
                        return r;
                hr_service_archive(b->service, b->archive);
        }
        b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (b->stop_fd < 0)
                return -errno;
        if ((r = hr_listen_open(b->socket_path, b->user ? 0600 : 0666, &b->socket)) < 0 ||
                (r = add_sources(b)) < 0 || (r = serve_jobs(b)) < 0 ||
                (r = hr_thread_start(STACK_BYTES, run, b, &b->thread)) < 0)
                return r;
        b->started = true;
        *ret = TAKE_PTR(b);
        return 0;
}

struct hr_bus *hr_bus_stop(struct hr_bus *b)
{
        uint64_t one = 1;

        if (!b)
                return NULL;
        if (b->started) {
                if (write(b->stop_fd, &one, sizeof(one)) != sizeof(one))
                        abort(); /* an eventfd of our own that has never been written */
                pthread_join(b->thread, NULL);
        }
        hr_archive_free(b->archive);
        hr_liaison_free(b->liaison);
        sd_event_source_disable_unref(b->listen);
        sd_event_source_disable_unref(b->resume_accept);
        sd_event_source_disable_unref(b->stop);
        sd_event_source_disable_unref(b->exchange_source);
        sd_event_source_disable_unref(b->system_timer);
        sd_event_source_disable_unref(b->report_timer);
        sd_event_source_disable_unref(b->metrics_timer);
        sd_event_unref(b->event);
        hr_service_free(b->service);
        hr_listen_close(&b->socket);
        hr_close(b->stop_fd);
        free(b->socket_path);
        free(b->proc_path);
        free(b->cgroup_path);
        free(b->memory_controller);
        free(b);
        return NULL;
}
