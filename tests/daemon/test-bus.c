/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "fd.h"
#include "tell/bus.h"
#include "tell/gate.h"
#include "tell/interface.h"
#include "tell/journal.h"

/*
 * Goal: whatever one client does, the others are answered, within a second and in bounded memory; and nobody
 * sees or does what is not his.
 *
 * The server is a process of its own: hr_bus on a socket in a temporary directory, over a fixture /proc and
 * cgroup tree, and a deciding thread that answers as it is told over a control socket. The tests are its
 * clients, with sd-bus or with bytes of their own.
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define OTHER_UID 65534
#define GROWTH_MAX (SANITIZED ? 1024 * HR_MIB : 24 * HR_MIB) /* a sanitizer keeps what is freed */
#define SOON_USEC (SANITIZED ? 5 * HR_USEC_PER_SEC : HR_USEC_PER_SEC)

static char directory[] = "/tmp/headroom-test-bus-XXXXXX";
static char socket_path[128];
static pid_t server_pid, dbus_pid;
static int control_fd = -1;

/* In children, where cmocka can't catch: the line is the exit status. */
#define CHECK(condition)                                                                \
        do {                                                                            \
                if (!(condition)) {                                                     \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
                        return 1;                                                       \
                }                                                                       \
        } while (0)

static uint64_t now_usec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * HR_USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

/* ---- fixture ---- */

HR_PRINTF(2, 3) static void write_file(const char *text, const char *format, ...)
{
        char path[512];
        va_list args;
        FILE *f;

        va_start(args, format);
        vsnprintf(path, sizeof(path), format, args);
        va_end(args);
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                mkdir(path, 0755);
                *slash = '/';
        }
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void add_process(pid_t pid, pid_t parent, uid_t uid, const char *cgroup)
{
        char text[512], path[256];

        snprintf(text, sizeof(text),
                "%d (a) b) S %d 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 100 1000 10 1 1 1 1 0\n", (int)pid,
                (int)parent);
        write_file(text, "%s/proc/%d/stat", directory, (int)pid);
        snprintf(text, sizeof(text), "0::%s\n", cgroup);
        write_file(text, "%s/proc/%d/cgroup", directory, (int)pid);
        snprintf(path, sizeof(path), "%s/proc/%d", directory, (int)pid);
        if (geteuid() == 0)
                assert_int_equal(chown(path, uid, (gid_t)-1), 0);
}

static void add_cgroup(const char *cgroup, const char *pids)
{
        write_file(pids, "%s/cgroup%s/cgroup.procs", directory, cgroup);
}

/* ---- the server ---- */

enum order {
        ORDER_QUIT = 'q',
        ORDER_EVENTS = 'e',   /* number: how many; for uid */
        ORDER_JOBS = 'j',     /* number: publish so many more */
        ORDER_RETIRE = 'r',   /* the jobs published by ORDER_JOBS */
        ORDER_SLOW = 's',     /* number: 1: keep commands, 0: answer them all */
        ORDER_FOLLOWED = 'f', /* answers with the last FOLLOW's limit_bytes; UINT64_MAX: none yet */
        ORDER_COUNT = 'c',    /* answers with how many commands came */
};
struct message {
        enum order order;
        uint64_t number;
        uid_t uid;
};

static uint64_t tell_server(enum order order, uint64_t number, uid_t uid)
{
        struct message m = {order, number, uid};
        uint64_t answer = 0;

        assert_int_equal(write(control_fd, &m, sizeof(m)), sizeof(m));
        assert_int_equal(read(control_fd, &answer, sizeof(answer)), sizeof(answer));
        return answer;
}

struct server {
        struct hr_exchange *x;
        struct hr_card *more[1000];
        uint32_t more_count;
        struct hr_command *kept[256];
        uint32_t kept_count, next_id;
        uint64_t followed, command_count;
        bool slow;
};

static struct hr_card *publish(struct server *s, struct hr_card example)
{
        struct hr_card *card = calloc(1, sizeof(*card));
        struct hr_status status = {.stage = HR_STAGE_HOLD,
                .used_bytes = 400 * HR_MIB,
                .limit_bytes = 500 * HR_MIB,
                .own_limit_bytes = HR_BYTES_NONE,
                .left_min_usec = HR_USEC_NEVER,
                .left_max_usec = HR_USEC_NEVER};

        example.name = strdup(example.name ? example.name : "");
        example.user = strdup("somebody");
        example.cgroup = strdup(example.cgroup ? example.cgroup : "");
        example.unit = strdup(example.unit ? example.unit : "");
        memcpy(card, &example, sizeof(example));
        snprintf(card->id, sizeof(card->id), "j%u", ++s->next_id);
        snprintf(status.limit_source, sizeof(status.limit_source), "own");
        snprintf(status.policy, sizeof(status.policy), "default");
        snprintf(status.reason, sizeof(status.reason), "397 of 500 MiB and growing by 20 MiB/s: 5 s left");
        hr_card_write(card, &status);
        if (hr_exchange_publish(s->x, card) < 0)
                abort();
        return card;
}

static void answer(struct server *s, struct hr_command *c)
{
        switch (c->verb) {
        case HR_VERB_RUN:
                snprintf(c->answer_job, sizeof(c->answer_job), "j1");
                snprintf(c->message, sizeof(c->message), "%.30s %.100s", c->name, c->peer_command);
                if (strcmp(c->name, "long") == 0)
                        snprintf(c->message, sizeof(c->message), "%zu bytes", strlen(c->peer_command));
                break;
        case HR_VERB_ATTACH:
                snprintf(c->answer_job, sizeof(c->answer_job), "j99");
                snprintf(c->message, sizeof(c->message), "pid=%d cgroup=%.200s unit=%.100s", (int)c->pid,
                        c->cgroup ? c->cgroup : "-", c->unit ? c->unit : "-");
                break;
        case HR_VERB_LIMIT:
                c->answer_bytes = c->limit_bytes;
                break;
        case HR_VERB_POLICIES:
                c->text = strdup("[policy default]\nnotice = 70%\n");
                break;
        case HR_VERB_DOCTOR:
                c->text = strdup("psi\tok\tthere\t\nswap\tmissing\tnone\tadd some\n");
                break;
        case HR_VERB_BREAKDOWN:
                c->breakdown = malloc(sizeof(*c->breakdown));
                if (!c->breakdown)
                        abort();
                *c->breakdown =
                        (struct hr_breakdown){.bytes = {[HR_MAPPING_HEAP] = 1, [HR_MAPPING_SHARED] = 2},
                                .rest_bytes = 9,
                                .processes = {{.pid = 4711, .bytes = 10, .name = "a\x1b)\xff\n"}},
                                .process_count = 1,
                                .others_count = 3,
                                .others_bytes = 2,
                                .unread_count = 1};
                break;
        case HR_VERB_KILL:
                c->result = -EBUSY;
                snprintf(c->message, sizeof(c->message), "It is being saved.");
                break;
        case HR_VERB_FOLLOW:
                s->followed = c->limit_bytes;
                break;
        default:
                snprintf(c->message, sizeof(c->message), "done to %s by %u", c->job, (unsigned)c->uid);
        }
        hr_exchange_answer(s->x, c);
}

static uint64_t obey(struct server *s, const struct message *m)
{
        struct hr_event event = {.stage = HR_STAGE_NOTICE, .limit_bytes = HR_BYTES_NONE, .exit_status = -1};

        switch (m->order) {
        case ORDER_EVENTS:
                for (uint64_t i = 0; i < m->number; i++) {
                        event.uid = m->uid;
                        event.time_usec = i + 1;
                        snprintf(event.job, sizeof(event.job), "j%u", m->uid == 0 ? 1U : 2U);
                        snprintf(event.action, sizeof(event.action), "notice");
                        snprintf(event.outcome, sizeof(event.outcome), "done");
                        snprintf(event.reason, sizeof(event.reason), "event %u \x1b[31m \xff", (unsigned)i);
                        hr_exchange_event(s->x, &event);
                        if (i % 100 == 99)
                                usleep(2000); /* slower than the ring fills */
                }
                return 0;
        case ORDER_JOBS:
                while (m->number > s->more_count)
                        s->more[s->more_count++] =
                                publish(s, (struct hr_card){.name = (char[]){"bulk"},
                                                   .uid = geteuid(),
                                                   .cgroup = (char[]){"/user.slice/user-1000.slice/"
                                                                      "session-4.scope/headroom/j1234"},
                                                   .unit = (char[]){"session-4.scope"},
                                                   .kind = HR_KIND_CGROUP2});
                return 0;
        case ORDER_RETIRE:
                while (s->more_count > 0)
                        hr_exchange_retire(s->x, s->more[--s->more_count]);
                return 0;
        case ORDER_SLOW:
                s->slow = m->number;
                while (!s->slow && s->kept_count > 0)
                        answer(s, s->kept[--s->kept_count]);
                return 0;
        case ORDER_FOLLOWED:
                return s->followed;
        case ORDER_COUNT:
                return s->command_count;
        case ORDER_QUIT:
                break;
        }
        return 0;
}

static int serve(int fd)
{
        char proc[128], cgroup[128];
        struct server s = {.followed = UINT64_MAX};
        const struct hr_bus_options options = {.socket_path = socket_path,
                .proc_path = proc,
                .cgroup_path = cgroup,
                .events_kept = 100,
                .host_total_bytes = HR_GIB};
        struct message m = {.order = 0};
        struct hr_bus *bus = NULL, *second = NULL;
        uid_t me = geteuid();
        uint64_t result = 0;

        snprintf(proc, sizeof(proc), "%s/proc", directory);
        snprintf(cgroup, sizeof(cgroup), "%s/cgroup", directory);
        hr_journal_init(false);
        CHECK(hr_exchange_new(2048, &s.x) == 0);
        publish(&s, (struct hr_card){.name = (char[]){"analysis"},
                            .uid = me,
                            .cgroup = (char[]){"/u/one"},
                            .unit = (char[]){"one\\x2da.service"}});
        publish(&s,
                (struct hr_card){.name = (char[]){"twin"}, .uid = OTHER_UID, .cgroup = (char[]){"/u/two"}});
        publish(&s, (struct hr_card){.name = (char[]){"twin"},
                            .uid = OTHER_UID,
                            .cgroup = (char[]){"/u/three"},
                            .attached = true});
        publish(&s, (struct hr_card){.name = (char[]){"bolted"},
                            .uid = OTHER_UID,
                            .cgroup = (char[]){"/u/four"},
                            .locked = true});
        publish(&s, (struct hr_card){
                            .name = (char[]){"tree"}, .uid = me, .kind = HR_KIND_PROCESS, .leader = 500});
        publish(&s, (struct hr_card){.name = (char[]){"mixed"},
                            .uid = OTHER_UID,
                            .cgroup = (char[]){"/u/mixed"},
                            .attached = true});
        publish(&s,
                (struct hr_card){
                        .name = (char[]){"hostile"}, .uid = me, .cgroup = (char[]){"/u/evil\x1b[31m\xff"}});
        publish(&s,
                (struct hr_card){.name = (char[]){"inner"}, .uid = me, .cgroup = (char[]){"/u/one/inner"}});

        CHECK(hr_bus_start(s.x, &options, &bus) == 0);
        CHECK(hr_bus_start(s.x, &options, &second) == -EADDRINUSE);
        CHECK(write(fd, &result, sizeof(result)) == sizeof(result)); /* ready */

        while (m.order != ORDER_QUIT) {
                struct pollfd fds[] = {
                        {.fd = fd, .events = POLLIN}, {.fd = hr_exchange_command_fd(s.x), .events = POLLIN}};
                struct hr_command *c;

                CHECK(poll(fds, 2, -1) > 0);
                while ((c = hr_exchange_next_command(s.x))) {
                        s.command_count++;
                        if (s.slow && s.kept_count < ELEMENTSOF(s.kept))
                                s.kept[s.kept_count++] = c;
                        else
                                answer(&s, c);
                }
                if (fds[0].revents) {
                        if (read(fd, &m, sizeof(m)) != sizeof(m))
                                break;
                        result = obey(&s, &m);
                        CHECK(write(fd, &result, sizeof(result)) == sizeof(result));
                }
        }
        hr_bus_stop(bus);
        CHECK(access(socket_path, F_OK) < 0);
        CHECK(hr_bus_start(s.x, &options, &bus) == 0); /* once more, over the same exchange */
        hr_bus_stop(bus);
        hr_exchange_free(s.x);
        return 0;
}

static void start_dbus(void) /* a system bus of our own, where there is a dbus-daemon */
{
        char config[256], address[256], text[2048];
        int policy = open("conf/org.headroom.Headroom1.conf", O_RDONLY | O_CLOEXEC);

        snprintf(config, sizeof(config), "%s/dbus.conf", directory);
        snprintf(address, sizeof(address), "unix:path=%s/system-bus", directory);
        setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1); /* or else we would talk to the machine's own */
        if (access("/usr/bin/dbus-daemon", X_OK) < 0 || policy < 0 || geteuid() != 0) {
                hr_close(policy);
                return;
        }
        /* As the system's configuration begins: method calls are refused unless our file allows them. */
        snprintf(text, sizeof(text),
                "<busconfig><type>system</type><listen>%s</listen><policy context=\"default\"><allow "
                "user=\"*\"/>"
                "<deny own=\"*\"/><deny send_type=\"method_call\"/><allow send_type=\"signal\"/>"
                "<allow send_requested_reply=\"true\" send_type=\"method_return\"/>"
                "<allow send_requested_reply=\"true\" send_type=\"error\"/><allow "
                "receive_type=\"method_call\"/>"
                "<allow receive_type=\"method_return\"/><allow receive_type=\"error\"/><allow "
                "receive_type=\"signal\"/>"
                "<allow send_destination=\"org.freedesktop.DBus\" "
                "send_interface=\"org.freedesktop.DBus\"/></policy>"
                "<includedir>%s/conf.d</includedir></busconfig>",
                address, directory);
        write_file(text, "%s", config);
        {
                char copy[4096] = "";

                assert_true(read(policy, copy, sizeof(copy) - 1) > 0);
                write_file(copy, "%s/conf.d/headroom.conf", directory);
                hr_close(policy);
        }
        dbus_pid = fork();
        if (dbus_pid == 0) {
                char argument[300];

                snprintf(argument, sizeof(argument), "--config-file=%s", config);
                execl("/usr/bin/dbus-daemon", "dbus-daemon", argument, "--nofork", "--nopidfile",
                        "--nosyslog", NULL);
                _exit(127);
        }
        snprintf(address, sizeof(address), "%s/system-bus", directory);
        for (int i = 0; i < 200 && access(address, F_OK) < 0; i++)
                usleep(10000);
}

static int set_up(void **state HR_UNUSED)
{
        int pair[2];
        uint64_t ready;

        signal(SIGPIPE, SIG_IGN);
        assert_non_null(mkdtemp(directory));
        assert_int_equal(chmod(directory, 0755), 0);
        snprintf(socket_path, sizeof(socket_path), "%s/bus", directory);
        add_cgroup("/u/one", "600\n");
        add_cgroup("/u/one/inner", "602\n");
        add_cgroup("/u/two", "700\n");
        add_cgroup("/u/three", "701\n");
        add_cgroup("/u/mixed", "");
        add_cgroup("/u/mixed/below", "701\n702\n");
        add_cgroup("/u/empty", "");
        add_cgroup("/u/nice.service", "701\n");
        add_cgroup("/v/root.service", "702\n");
        add_cgroup("/v/double.scope", "702\n");
        add_cgroup("/u/double.scope", "701\n");
        add_process(500, 1, geteuid(), "/");
        add_process(501, 500, geteuid(), "/");
        add_process(502, 501, geteuid(), "/");
        add_process(600, 1, geteuid(), "/u/one");
        add_process(601, 1, geteuid(), "/u/one/inside");
        add_process(602, 1, geteuid(), "/u/one/inner");
        add_process(603, 1, geteuid(), "/u/onerous");
        add_process(700, 1, OTHER_UID, "/u/two");
        add_process(701, 1, OTHER_UID, "/u/three");
        add_process(702, 1, geteuid(), "/v");
        start_dbus();

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        server_pid = fork();
        if (server_pid == 0) {
                hr_close(pair[0]);
                exit(serve(pair[1]));
        }
        hr_close(pair[1]);
        control_fd = pair[0];
        assert_int_equal(read(control_fd, &ready, sizeof(ready)), sizeof(ready));
        return 0;
}

static int tear_down(void **state HR_UNUSED)
{
        char command[200];
        int status = 0;

        tell_server(ORDER_QUIT, 0, 0);
        assert_int_equal(waitpid(server_pid, &status, 0), server_pid);
        if (dbus_pid > 0) {
                kill(dbus_pid, SIGTERM);
                waitpid(dbus_pid, NULL, 0);
        }
        snprintf(command, sizeof(command), "rm -rf %s", directory);
        assert_int_equal(system(command), 0);
        assert_int_equal(status, 0); /* a leak or a race is an exit status, too */
        return 0;
}

static uint64_t server_bytes(void)
{
        unsigned long pages = 0;
        char path[64];
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/statm", (int)server_pid);
        f = fopen(path, "r");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
        fclose(f);
        return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned server_fds(void)
{
        unsigned count = 0;
        char path[64];
        DIR *d;

        snprintf(path, sizeof(path), "/proc/%d/fd", (int)server_pid);
        d = opendir(path);
        assert_non_null(d);
        while (readdir(d))
                count++;
        closedir(d);
        return count;
}

/* ---- clients ---- */

static sd_bus *connect_bus(void)
{
        char address[160];
        sd_bus *bus = NULL;

        snprintf(address, sizeof(address), "unix:path=%s", socket_path);
        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0)
                return sd_bus_unref(bus);
        return bus;
}

/* Calls; on failure error gets the last word of the error's name. */
static int call(sd_bus *bus, char *error, sd_bus_message **ret, const char *member, const char *types, ...)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        va_list args;
        int r;

        va_start(args, types);
        r = sd_bus_call_methodv(bus,
                sd_bus_get_unique_name(bus, &(const char *){NULL}) >= 0 ? HR_BUS_NAME : NULL, HR_BUS_PATH,
                HR_BUS_INTERFACE, member, &e, ret, types, args);
        va_end(args);
        if (error) {
                const char *dot = e.name ? strrchr(e.name, '.') : NULL;

                snprintf(error, 1024, "%s: %s", dot ? dot + 1 : "", e.message ? e.message : "");
        }
        sd_bus_error_free(&e);
        return r;
}

static bool begins(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

/* Another client, new, asks something simple. */
static int check_healthy(void)
{
        uint64_t start = now_usec();
        sd_bus *bus = connect_bus();

        CHECK(bus);
        CHECK(call(bus, NULL, NULL, "Totals", "") >= 0);
        CHECK(now_usec() - start < SOON_USEC);
        sd_bus_close_unref(bus);
        return 0;
}

static int as_other(int (*run)(void))
{
        pid_t pid = fork();
        int status = 0;

        assert_true(pid >= 0);
        if (pid == 0) {
                if (setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
                        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
                        _exit(99);
                _exit(run());
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static int raw_connect(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return hr_close(fd);
        return fd;
}

static bool raw_send(int fd, const void *data, size_t size)
{
        return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* The peer closes it within a time. */
static bool raw_closed(int fd, int timeout_ms)
{
        uint64_t until = now_usec() + (uint64_t)timeout_ms * 1000;
        char buffer[4096];

        while (now_usec() < until) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                ssize_t n;

                if (poll(&p, 1, 50) != 1)
                        continue;
                n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno != EAGAIN))
                        return true;
        }
        return false;
}

static int raw_authenticated(void)
{
        static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
        int fd = raw_connect();
        char buffer[256] = "";
        size_t n = 0;

        if (fd < 0 || !raw_send(fd, hello, sizeof(hello) - 1))
                return hr_close(fd);
        while (!memmem(buffer, n, "OK ", 3) || buffer[n - 1] != '\n') {
                ssize_t got = recv(fd, buffer + n, sizeof(buffer) - n, 0);

                if (got <= 0)
                        return hr_close(fd);
                n += (size_t)got;
        }
        return fd;
}

/* A call of Status("") as bytes. */
static size_t raw_status(uint8_t *buffer, uint32_t serial, uint32_t body_claimed)
{
        static const struct {
                uint8_t code, type;
                const char *text;
        } fields[] = {{1, 'o', HR_BUS_PATH}, {2, 's', HR_BUS_INTERFACE}, {3, 's', "Status"}, {8, 'g', "s"}};
        uint32_t body = body_claimed ? body_claimed : 5, length;
        size_t n = 16;

        memset(buffer, 0, 512);
        memcpy(buffer, (uint8_t[]){'l', 1, 0, 1}, 4);
        memcpy(buffer + 4, &body, 4);
        memcpy(buffer + 8, &serial, 4);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                uint32_t size = (uint32_t)strlen(fields[i].text);

                n = (n + 7) & ~(size_t)7;
                memcpy(buffer + n, (uint8_t[]){fields[i].code, 1, fields[i].type, 0}, 4);
                n += 4;
                if (fields[i].type == 'g') {
                        buffer[n++] = (uint8_t)size;
                } else {
                        memcpy(buffer + n, &size, 4);
                        n += 4;
                }
                memcpy(buffer + n, fields[i].text, size + 1);
                n += size + 1;
        }
        length = (uint32_t)n - 16;
        memcpy(buffer + 12, &length, 4);
        n = (n + 7) & ~(size_t)7;
        return n + 5; /* an empty string */
}

/* After each abuse: the others are served, and nothing stays behind. */
static void assert_unharmed(uint64_t bytes_before, unsigned fds_before)
{
        assert_int_equal(check_healthy(), 0);
        for (int i = 0; i < 100 && server_fds() > fds_before; i++)
                usleep(20000);
        assert_true(server_fds() <= fds_before);
        EXPECT_WITHIN("server's memory", server_bytes(), 0, bytes_before + GROWTH_MAX);
}

#define ABUSE_BEGINS                            \
        uint64_t bytes_before = server_bytes(); \
        unsigned fds_before = server_fds()
#define ABUSE_ENDS assert_unharmed(bytes_before, fds_before)

static void need_root(void)
{
        if (geteuid() != 0) {
                print_message("SKIP: needs root, to be two users\n");
                skip();
        }
}

/* ---- tests of the contract ---- */

static void test_gate(void **state HR_UNUSED)
{
        static const uint8_t auth[] = "\0AUTH EXTERNAL\r\nBEGIN\r\nl";
        uint8_t message[512], big[2048] = {0};
        struct hr_gate g = {0};
        size_t size = raw_status(message, 1, 0);
        bool whole;

        assert_int_equal(hr_gate_pass(&g, false, auth, sizeof(auth) - 1, &whole), 16);
        assert_int_equal(hr_gate_pass(&g, false, auth + 16, sizeof(auth) - 17, &whole), 7);
        assert_false(whole);
        assert_int_equal(hr_gate_pass(&g, false, big, sizeof(big), &whole), -EMSGSIZE);

        /* The same border, however it is cut. */
        for (size_t cut = 1; cut < size; cut++) {
                size_t passed = 0;

                g = (struct hr_gate){0};
                while (passed < cut)
                        passed += (size_t)hr_gate_pass(&g, true, message + passed, cut - passed, &whole);
                assert_false(whole);
                memcpy(big, message, size);
                big[size] = 'l';
                passed += (size_t)hr_gate_pass(&g, true, big + passed, size + 1 - passed, &whole);
                while (!whole)
                        passed += (size_t)hr_gate_pass(&g, true, big + passed, size + 1 - passed, &whole);
                assert_int_equal(passed, size);
        }
        g = (struct hr_gate){0};
        raw_status(message, 1, HR_GATE_MESSAGE_MAX);
        assert_int_equal(hr_gate_pass(&g, true, message, 16, &whole), -EMSGSIZE);
        g = (struct hr_gate){0};
        assert_int_equal(hr_gate_pass(&g, true, (const uint8_t *)"GET / HTTP/1.1\r\n", 16, &whole), -EBADMSG);
        g = (struct hr_gate){0};
        memset(message, 0xff, 16);
        message[0] = 'B';
        assert_int_equal(hr_gate_pass(&g, true, message, 16, &whole), -EMSGSIZE);
}

static void test_looking(void **state HR_UNUSED)
{
        sd_bus *bus = connect_bus();
        sd_bus_message *reply = NULL;
        const char *text, *state_text, *detail, *remedy;
        uint32_t jobs, held;
        uint64_t used;
        char *version = NULL;

        assert_non_null(bus);
        assert_true(call(bus, NULL, &reply, "Totals", "") >= 0);
        assert_true(sd_bus_message_read(reply, "utu", &jobs, &used, &held) >= 0);
        assert_int_equal(jobs, 8);
        assert_int_equal(held, 8);
        assert_true(used == 8 * 400 * HR_MIB);
        reply = sd_bus_message_unref(reply);

        assert_true(call(bus, NULL, &reply, "Policies", "s", "") >= 0);
        assert_true(sd_bus_message_read(reply, "s", &text) >= 0);
        assert_string_equal(text, "[policy default]\nnotice = 70%\n");
        reply = sd_bus_message_unref(reply);

        assert_true(call(bus, NULL, &reply, "Doctor", "") >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', "(ssss)") >= 0);
        assert_true(sd_bus_message_read(reply, "(ssss)", &text, &state_text, &detail, &remedy) > 0);
        assert_string_equal(text, "psi");
        assert_string_equal(remedy, "");
        assert_true(sd_bus_message_read(reply, "(ssss)", &text, &state_text, &detail, &remedy) > 0);
        assert_string_equal(remedy, "add some");
        reply = sd_bus_message_unref(reply);

        static const struct {
                const char *kind, *name;
                uint32_t pid;
                uint64_t bytes;
        } parts[] = {
                {"mapping", "shared memory", 0, 2},
                {"mapping", "heap and anonymous memory", 0, 1},
                {"mapping", "not told apart", 0, 9},
                {"process", "a\\x1b)\\xff\\x0a", 4711, 10},
                {"process", "3 others", 0, 2},
                {"process", "1 that can't be looked at", 0, HR_BYTES_NONE},
        };
        assert_true(call(bus, NULL, &reply, "Breakdown", "s", "j1") >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', HR_BUS_PART_STRUCT) >= 0);
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                uint32_t pid;

                assert_true(sd_bus_message_read(reply, HR_BUS_PART_STRUCT, &text, &pid, &used, &detail) > 0);
                assert_string_equal(text, parts[i].kind);
                assert_string_equal(detail, parts[i].name);
                assert_int_equal(pid, parts[i].pid);
                assert_true(used == parts[i].bytes);
        }
        assert_int_equal(sd_bus_message_at_end(reply, false), 1);
        reply = sd_bus_message_unref(reply);

        assert_true(sd_bus_get_property_string(
                            bus, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Version", NULL, &version) >= 0);
        assert_true(version[0] != '\0');
        free(version);
        sd_bus_close_unref(bus);
}

static int read_status(sd_bus_message *m, const char **id, const char **cgroup, const char **unit)
{
        const char *s[8];
        uint32_t u[2];
        uint64_t t[10];
        int b[2];

        return sd_bus_message_read(m, HR_BUS_STATUS_STRUCT, id, &s[0], &s[1], &u[0], &s[2], cgroup, unit,
                &u[1], &s[3], &b[0], &t[0], &t[1], &t[2], &t[3], &t[9], &s[4], &t[4], &t[5], &t[6], &t[7],
                &t[8], &s[5], &s[6], &b[1]);
}

static void test_words(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *word, *id, *error;
        } rows[] = {
                {"id", "j1", "j1", NULL},
                {"name", "analysis", "j1", NULL},
                {"unit", "one\\x2da.service", "j1", NULL},
                {"pid in the cgroup", "600", "j1", NULL},
                {"pid in a group below it", "601", "j1", NULL},
                {"pid in a job inside a job", "602", "j8", NULL},
                {"pid in a group whose name begins alike", "603", NULL, "NoSuchJob"},
                {"leader", "500", "j5", NULL},
                {"grandchild", "502", "j5", NULL},
                {"no such pid", "99999", NULL, "NoSuchJob"},
                {"pid 0", "0", NULL, "NoSuchJob"},
                {"pid too large", "4294967796", NULL, "NoSuchJob"},
                {"id that is not there", "j4711", NULL, "NoSuchJob"},
                {"half a name", "analy", NULL, "NoSuchJob"},
                {"hostile", "\x1b]0;x\x07", NULL, "NoSuchJob: There is no job \"\\x1b]0;x\\x07\"."},
        };
        sd_bus *bus = connect_bus();

        assert_non_null(bus);
        TEST_ROWS(row, rows)
        {
                const char *id, *cgroup, *unit;
                sd_bus_message *reply = NULL;
                char error[1024];
                int r = call(bus, error, &reply, "Status", "s", row->word);

                if (row->error) {
                        EXPECT_TRUE(row->name, r < 0 && begins(error, row->error));
                } else {
                        EXPECT_STR(row->name, error, ": ");
                        EXPECT_TRUE(row->name,
                                sd_bus_message_enter_container(reply, 'a', HR_BUS_STATUS_STRUCT) > 0);
                        EXPECT_TRUE(row->name, read_status(reply, &id, &cgroup, &unit) > 0);
                        EXPECT_STR(row->name, id, row->id);
                        EXPECT_INT(row->name, read_status(reply, &id, &cgroup, &unit), 0);
                }
                sd_bus_message_unref(reply);
        }
        sd_bus_close_unref(bus);
}

static void test_strings_are_safe(void **state HR_UNUSED)
{
        sd_bus *bus = connect_bus();
        const char *id, *cgroup, *unit;
        sd_bus_message *reply = NULL;

        assert_true(call(bus, NULL, &reply, "Status", "s", "hostile") >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', HR_BUS_STATUS_STRUCT) > 0);
        assert_true(read_status(reply, &id, &cgroup, &unit) > 0);
        assert_string_equal(cgroup, "/u/evil\\x1b[31m\\xff");
        sd_bus_message_unref(reply);
        assert_true(call(bus, NULL, &reply, "Status", "s", "j1") >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', HR_BUS_STATUS_STRUCT) > 0);
        assert_true(read_status(reply, &id, &cgroup, &unit) > 0);
        assert_string_equal(unit, "one\\x2da.service"); /* as systemd spells it */
        sd_bus_message_unref(reply);
        sd_bus_close_unref(bus);
}

static void test_acting(void **state HR_UNUSED)
{
        sd_bus *bus = connect_bus();
        sd_bus_message *reply = NULL;
        char error[1024];
        uint64_t limit;
        const char *text;

        assert_true(call(bus, error, &reply, "SetLimit", "st", "j1", (uint64_t)(8 * HR_GIB)) >= 0);
        assert_true(sd_bus_message_read(reply, "ts", &limit, &text) >= 0);
        assert_true(limit == 8 * HR_GIB);
        reply = sd_bus_message_unref(reply);
        assert_true(call(bus, error, NULL, "SetLimit", "st", "j1", (uint64_t)0) < 0);
        assert_true(begins(error, "Invalid"));

        assert_true(call(bus, error, &reply, "Act", "ss", "trim", "analysis") >= 0);
        assert_true(sd_bus_message_read(reply, "s", &text) >= 0);
        assert_true(begins(text, "done to j1 by"));
        reply = sd_bus_message_unref(reply);
        assert_true(call(bus, error, NULL, "Act", "ss", "kill", "j1") < 0);
        assert_string_equal(error, "Refused: It is being saved.");
        assert_true(call(bus, error, NULL, "Act", "ss", "explode", "j1") < 0);
        assert_true(begins(error, "Invalid"));
        assert_true(call(bus, error, NULL, "Act", "ss", "trim", "") < 0);
        assert_true(begins(error, "Invalid"));
        assert_true(call(bus, error, NULL, "Resume", "sbt", "j1", true, (uint64_t)HR_GIB) >= 0);
        assert_true(call(bus, error, NULL, "SetPolicy", "ss", "j1", "batch") >= 0);
        sd_bus_close_unref(bus);
}

static void test_run(void **state HR_UNUSED)
{
        sd_bus *bus = connect_bus();
        sd_bus_message *reply = NULL;
        const char *job, *kind, *text;
        char error[1024], name[200], line[60000];
        uint64_t retries;

        add_process(800, getpid(), geteuid(), "/");
        add_process(801, 1, geteuid(), "/");
        assert_true(call(bus, error, &reply, "Run", "usbtssbbsub", 800U, "mine", false, (uint64_t)0, "", "",
                            false, false, "python3 \x1b[31m", 0U, true) >= 0);
        assert_true(sd_bus_message_read(reply, "tsss", &retries, &job, &kind, &text) >= 0);
        assert_string_equal(job, "j1");
        assert_string_equal(kind, "cgroup2");
        assert_string_equal(text, "mine python3 \\x1b[31m");
        sd_bus_message_unref(reply);

        /* It is kept as long as the record: what is longer is cut, whatever it was escaped to. */
        memset(line, '\x1b', sizeof(line) - 1);
        line[sizeof(line) - 1] = '\0';
        assert_true(call(bus, error, &reply, "Run", "usbtssbbsub", 800U, "long", false, (uint64_t)0, "", "",
                            false, false, line, 0U, true) >= 0);
        assert_true(sd_bus_message_read(reply, "tsss", &retries, &job, &kind, &text) >= 0);
        assert_string_equal(text, "4095 bytes");
        sd_bus_message_unref(reply);

        assert_true(call(bus, error, NULL, "Run", "usbtssbbsub", 801U, "mine", false, (uint64_t)0, "", "",
                            false, false, "x", 0U, true) < 0);
        assert_true(begins(error, "NotPermitted"));
        assert_true(call(bus, error, NULL, "Run", "usbtssbbsub", 800U, "j17", false, (uint64_t)0, "", "",
                            false, false, "x", 0U, true) < 0);
        assert_true(begins(error, "Invalid"));
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_true(call(bus, error, NULL, "Run", "usbtssbbsub", 800U, "", false, (uint64_t)0, name, "",
                            false, false, "x", 0U, true) < 0);
        assert_true(begins(error, "Invalid"));
        sd_bus_close_unref(bus);
}

struct attach_row {
        const char *name, *target, *result, *error;
};

static int try_attach(const struct attach_row *rows, size_t count)
{
        sd_bus *bus = connect_bus();

        CHECK(bus);
        for (size_t i = 0; i < count; i++) {
                sd_bus_message *reply = NULL;
                const char *job, *text = "";
                char error[1024];
                int r = call(
                        bus, error, &reply, "Attach", "ssbts", rows[i].target, "", false, (uint64_t)0, "");

                if (r >= 0)
                        CHECK(sd_bus_message_read(reply, "ss", &job, &text) >= 0);
                if (rows[i].error ? r >= 0 || !begins(error, rows[i].error)
                                  : strcmp(text, rows[i].result) != 0) {
                        fprintf(stderr, "row \"%s\": \"%s\", error \"%s\"\n", rows[i].name, text, error);
                        return 1;
                }
                sd_bus_message_unref(reply);
        }
        sd_bus_close_unref(bus);
        return 0;
}

static void test_attach(void **state HR_UNUSED)
{
        char absolute[200];
        const struct attach_row rows[] = {
                {"pid", "702", "pid=702 cgroup=- unit=-", NULL},
                {"no pid", "703", NULL, "Failed"},
                {"init", "1", NULL, "NotPermitted"},
                {"path", "/u//nice.service/", "pid=0 cgroup=/u/nice.service unit=nice.service", NULL},
                {"path without a slash in front", "u/one", "pid=0 cgroup=/u/one unit=-", NULL},
                {"absolute path", absolute, "pid=0 cgroup=/u/one unit=-", NULL},
                {"unit", "root.service", "pid=0 cgroup=/v/root.service unit=root.service", NULL},
                {"no unit", "none.service", NULL, "Failed"},
                {"no path", "/u/none", NULL, "Failed"},
                {"the top", "/", NULL, "Invalid"},
                {"out of it", "/u/../../proc", NULL, "Invalid"},
                {"empty", "", NULL, "Invalid"},
        };

        need_root();
        snprintf(absolute, sizeof(absolute), "%s/cgroup/u/one", directory);
        assert_int_equal(try_attach(rows, ELEMENTSOF(rows)), 0);
}

/* ---- another user ---- */

static int other_looks(void)
{
        static const struct {
                const char *member, *first, *second, *error; /* NULL: allowed */
        } rows[] = {
                {"Act", "trim", "j2", ""},
                {"Act", "trim", "twin",
                        "Ambiguous: \"twin\" could be j2 (twin), j3 (twin). Say which by its id."},
                {"Act", "trim", "j1", "NotPermitted"},
                {"Act", "trim", "analysis", "NotPermitted"},
                {"Act", "trim", "600", "NotPermitted"},
                {"Act", "trim", "j4711", "NoSuchJob"},
                {"Act", "trim", "700", ""},
                {"Act", "detach", "j4", "NotPermitted"},
                {"SetPolicy", "j4", "batch", "NotPermitted"},
                {"Act", "trim", "j4", ""},
                {"SetPolicy", "j2", "batch", ""},
                {"Act", "trim", "j3", ""},
                {"Act", "trim", "j6", "NotPermitted: j6 has processes that are not yours"},
        };
        static const struct attach_row attach_rows[] = {
                {"own pid", "701", "pid=701 cgroup=- unit=-", NULL},
                {"root's pid", "702", NULL, "NotPermitted"},
                {"own unit", "nice.service", "pid=0 cgroup=/u/nice.service unit=nice.service", NULL},
                {"root's unit", "root.service", NULL, "NotPermitted"},
                {"his of two", "double.scope", "pid=0 cgroup=/u/double.scope unit=double.scope", NULL},
                {"mixed", "/u/mixed", NULL, "NotPermitted"},
                {"nobody's", "/u/empty", NULL, "NotPermitted"},
        };
        sd_bus *bus = connect_bus();
        sd_bus_message *reply = NULL;
        const char *id, *cgroup, *unit;
        unsigned count = 0;
        char error[1024];
        uint32_t jobs;

        CHECK(bus);
        CHECK(call(bus, error, &reply, "Status", "s", "") >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', HR_BUS_STATUS_STRUCT) > 0);
        while (read_status(reply, &id, &cgroup, &unit) > 0)
                count++;
        CHECK(count == 4);
        sd_bus_message_unref(reply);
        CHECK(call(bus, error, &reply, "Totals", "") >= 0);
        CHECK(sd_bus_message_read(reply, "u", &jobs) >= 0 && jobs == 8);
        sd_bus_message_unref(reply);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                int r = call(bus, error, NULL, rows[i].member, "ss", rows[i].first, rows[i].second);

                if ((r < 0) != (rows[i].error[0] != '\0') || !begins(error, rows[i].error)) {
                        fprintf(stderr, "row %zu: %s\n", i, error);
                        return 1;
                }
        }
        CHECK(call(bus, error, NULL, "Breakdown", "s", "j1") < 0 && begins(error, "NotPermitted"));
        CHECK(call(bus, error, NULL, "Breakdown", "s", "j6") < 0 && begins(error, "NotPermitted"));
        CHECK(call(bus, error, NULL, "Breakdown", "s", "j2") >= 0);
        CHECK(call(bus, error, NULL, "SetLimit", "st", "j6", (uint64_t)HR_GIB) < 0 &&
                begins(error, "NotPermitted"));
        CHECK(call(bus, error, NULL, "SetPolicyKey", "sss", "default", "notice", "50%") < 0);
        CHECK(begins(error, "NotPermitted"));
        CHECK(call(bus, error, &reply, "Events", "u", 0U) >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', HR_BUS_EVENT_STRUCT) >= 0);
        CHECK(sd_bus_message_at_end(reply, false) > 0); /* root's events are not his */
        sd_bus_message_unref(reply);
        sd_bus_close_unref(bus);
        return try_attach(attach_rows, ELEMENTSOF(attach_rows));
}

static void test_other_user(void **state HR_UNUSED)
{
        need_root();
        tell_server(ORDER_EVENTS, 3, 0);
        assert_int_equal(as_other(other_looks), 0);
}

/* ---- events ---- */

static unsigned events_seen;
static char last_reason[256];

static int on_event(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *e HR_UNUSED)
{
        const char *s[8];
        uint64_t t[5];
        uint32_t uid;
        int64_t status;

        assert_true(sd_bus_message_read(m, HR_BUS_EVENT_FIELDS, &t[0], &s[0], &s[1], &uid, &s[2], &s[3],
                            &s[4], &t[1], &t[2], &s[5], &s[6], &s[7], &t[3], &status, &t[4]) > 0);
        snprintf(last_reason, sizeof(last_reason), "%s", s[4]);
        events_seen++;
        return 0;
}

static void pump(sd_bus *bus, unsigned wanted, uint64_t usec)
{
        uint64_t until = now_usec() + usec;

        while (events_seen < wanted && now_usec() < until)
                if (sd_bus_process(bus, NULL) == 0)
                        sd_bus_wait(bus, 20000);
}

static void test_events(void **state HR_UNUSED)
{
        sd_bus *bus = connect_bus();
        sd_bus_message *reply = NULL;
        unsigned count = 0;

        events_seen = 0;
        assert_true(sd_bus_match_signal(
                            bus, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Event", on_event, NULL) >= 0);
        tell_server(ORDER_EVENTS, 1, geteuid());
        pump(bus, 1, 200000);
        assert_int_equal(events_seen, 0); /* not subscribed */
        assert_true(call(bus, NULL, NULL, "Subscribe", "") >= 0);
        tell_server(ORDER_EVENTS, 50, geteuid());
        pump(bus, 50, SOON_USEC);
        assert_int_equal(events_seen, 50);
        assert_string_equal(last_reason, "event 49 \\x1b[31m \\xff");

        /* Kept: the last 100, and of these the newest. */
        tell_server(ORDER_EVENTS, 120, geteuid());
        pump(bus, 170, SOON_USEC);
        assert_true(call(bus, NULL, &reply, "Events", "u", 0U) >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', HR_BUS_EVENT_STRUCT) > 0);
        while (sd_bus_message_skip(reply, HR_BUS_EVENT_STRUCT) > 0 && ++count < 1000 &&
                sd_bus_message_at_end(reply, false) == 0)
                ;
        assert_int_equal(count, 100);
        reply = sd_bus_message_unref(reply);
        assert_true(call(bus, NULL, &reply, "Events", "u", 2U) >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', HR_BUS_EVENT_STRUCT) > 0);
        for (uint64_t i = 119; i <= 120; i++) {
                uint64_t time_usec = 0;

                assert_true(sd_bus_message_enter_container(reply, 'r', HR_BUS_EVENT_FIELDS) > 0);
                assert_true(sd_bus_message_read(reply, "t", &time_usec) > 0); /* and then the rest */
                assert_int_equal(time_usec, i);
                assert_true(sd_bus_message_skip(reply, &HR_BUS_EVENT_FIELDS[1]) > 0);
                assert_true(sd_bus_message_exit_container(reply) > 0);
        }
        assert_true(sd_bus_message_at_end(reply, false) > 0);
        sd_bus_message_unref(reply);
        sd_bus_close_unref(bus);
}

static void wait_for(enum order order, uint64_t wanted)
{
        for (int i = 0; i < 500 && tell_server(order, 0, 0) != wanted; i++)
                usleep(10000);
        assert_true(tell_server(order, 0, 0) == wanted);
}

static void test_follow(void **state HR_UNUSED)
{
        sd_bus *first = connect_bus(), *second = connect_bus();

        assert_true(call(first, NULL, NULL, "Follow", "s", "j1") >= 0);
        assert_true(call(second, NULL, NULL, "Follow", "s", "j1") >= 0);
        assert_true(tell_server(ORDER_FOLLOWED, 0, 0) == 1);
        sd_bus_close_unref(first);
        usleep(200000);
        assert_true(tell_server(ORDER_FOLLOWED, 0, 0) == 1); /* the second is still there */
        sd_bus_close_unref(second);
        wait_for(ORDER_FOLLOWED, 0);

        /* Gone before the answer: taken back as well. */
        unsigned fds = server_fds();
        uint64_t came = tell_server(ORDER_COUNT, 0, 0);
        tell_server(ORDER_SLOW, 1, 0);
        first = connect_bus();
        assert_true(sd_bus_call_method_async(first, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Follow", NULL,
                            NULL, "s", "j1") >= 0);
        sd_bus_flush(first);
        wait_for(ORDER_COUNT, came + 1);
        sd_bus_close_unref(first);
        for (int i = 0; i < 500 && server_fds() > fds; i++)
                usleep(10000);
        assert_true(server_fds() <= fds); /* its end was noticed */
        tell_server(ORDER_SLOW, 0, 0);
        wait_for(ORDER_FOLLOWED, 0);
}

/* ---- abuse ---- */

static void test_disappears_mid_call(void **state HR_UNUSED)
{
        ABUSE_BEGINS;
        sd_bus *kept;
        char error[1024];
        int r = -1;

        tell_server(ORDER_SLOW, 1, 0);
        for (int i = 0; i < 20; i++) {
                sd_bus *bus = connect_bus();

                for (int k = 0; k < 4; k++)
                        assert_true(sd_bus_call_method_async(bus, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE,
                                            "Act", NULL, NULL, "ss", "trim", "j1") >= 0);
                sd_bus_flush(bus);
                usleep(5000);
                sd_bus_close_unref(bus);
        }
        /* And one that asks for more than its share: 8 wait, the ninth is refused at once. */
        kept = connect_bus();
        for (int k = 0; k < 8; k++)
                assert_true(sd_bus_call_method_async(kept, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Act",
                                    NULL, NULL, "ss", "trim", "j1") >= 0);
        assert_true(call(kept, error, NULL, "Act", "ss", "trim", "j1") < 0);
        assert_true(begins(error, "Refused"));
        assert_int_equal(check_healthy(), 0);
        tell_server(ORDER_SLOW, 0, 0);
        for (int i = 0; i < 500 && (r = call(kept, error, NULL, "Act", "ss", "trim", "j1")) < 0; i++)
                usleep(10000); /* the answers to the eight are on their way */
        assert_true(r >= 0);
        sd_bus_close_unref(kept);
        ABUSE_ENDS;
}

static void test_nonsense(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *bytes;
                size_t size;
                bool authenticated;
        } rows[] = {
                {"http", "GET / HTTP/1.1\r\n\r\n", 18, false},
                {"no zero byte", "AUTH EXTERNAL\r\n", 15, false},
                {"binary", "\xff\xfe\xfd\x80\x81", 5, false},
                {"http after authentication", "GET / HTTP/1.1\r\n\r\n", 18, true},
                {"a message without fields", "l\1\0\1\0\0\0\0\1\0\0\0\0\0\0\0", 16, true},
                {"huge body", "l\1\0\1\xff\xff\xff\x07\1\0\0\0\x10\0\0\0", 16, true},
                {"huge fields", "l\1\0\1\0\0\0\0\1\0\0\0\xff\xff\xff\xff", 16, true},
                {"other byte order, huge", "B\1\0\1\x07\xff\xff\xff\0\0\0\1\0\0\0\x10", 16, true},
        };
        static char lines[8192];
        struct test_random random = test_random_new("nonsense");
        ABUSE_BEGINS;

        TEST_ROWS(row, rows)
        {
                int fd = row->authenticated ? raw_authenticated() : raw_connect();

                EXPECT_TRUE(row->name, fd >= 0);
                EXPECT_TRUE(row->name, raw_send(fd, row->bytes, row->size));
                EXPECT_TRUE(row->name, raw_closed(fd, 2000));
                hr_close(fd);
        }
        /* Authentication without end. */
        for (size_t i = 0; i + 7 < sizeof(lines); i += 7)
                memcpy(lines + i, "ERROR\r\n", 7);
        lines[0] = '\0';
        for (int i = 0; i < 3; i++) {
                int fd = raw_connect();

                assert_true(raw_send(fd, lines, sizeof(lines) - 8));
                assert_true(raw_closed(fd, 2000));
                hr_close(fd);
        }
        /* Begins too early, to put gate and sd-bus out of step: a huge header that the gate took for a line.
         */
        for (int i = 0; i < 3; i++) {
                static const char early[] =
                        "\0BEGIN\r\nl\1\0\1\x40\0\0\0\1\0\0\0\x08\0\0\0\r\nAUTH EXTERNAL\r\nDATA\r\n"
                        "BEGIN\r\nl\1\0\1\xff\xff\xff\x07\1\0\0\0\x10\0\0\0";
                int fd = raw_connect();

                assert_true(raw_send(fd, early, sizeof(early) - 1));
                assert_true(raw_closed(fd, 2000));
                hr_close(fd);
        }
        /* Anything, behind a header that may pass. */
        for (int i = 0; i < 200; i++) {
                uint8_t bytes[600];
                size_t size = raw_status(bytes, 1, 0);
                int fd = raw_authenticated();

                assert_true(fd >= 0);
                for (int k = 0; k < 8; k++)
                        bytes[test_random_next(&random) % size] = (uint8_t)test_random_next(&random);
                raw_send(fd, bytes, size);
                hr_close(fd);
        }
        ABUSE_ENDS;
}

static void test_never_authenticates(void **state HR_UNUSED)
{
        int fds[8];
        ABUSE_BEGINS;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = raw_connect();
        if (geteuid() == 0)
                assert_int_equal(check_healthy(), 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                assert_true(raw_closed(fds[i], 8000)); /* 5 s each, and all at the same time */
                hr_close(fds[i]);
        }
        ABUSE_ENDS;
}

static int connect_thousand(void)
{
        static int fds[1000];
        const struct rlimit many = {1200, 1200};
        unsigned open_count = 0;

        CHECK(setrlimit(RLIMIT_NOFILE, &many) == 0 || getuid() != 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = raw_connect();
        /* All have been accepted, or turned away; who is served is closed only after 5 s. */
        for (int look = 0; look < 40; look++) {
                usleep(100000);
                open_count = 0;
                for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                        char byte;

                        open_count +=
                                fds[i] >= 0 && recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
                }
                if (open_count <= HR_BUS_PEERS_PER_USER)
                        break;
        }
        CHECK(open_count <= HR_BUS_PEERS_PER_USER);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                hr_close(fds[i]);
        CHECK(open_count > 0);
        usleep(100000); /* before the next thousand, they must have been noticed */
        return 0;
}

static void test_thousand_connects(void **state HR_UNUSED)
{
        pid_t pid;
        int status;
        ABUSE_BEGINS;

        need_root();
        assert_int_equal(as_other(connect_thousand), 0);

        /* The same while a client of another user is served. */
        pid = fork();
        if (pid == 0) {
                if (setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
                        setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
                        _exit(99);
                for (int i = 0; i < 3; i++)
                        if (connect_thousand() != 0)
                                _exit(1);
                _exit(0);
        }
        for (int i = 0; i < 10; i++) {
                assert_int_equal(check_healthy(), 0);
                usleep(50000);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        ABUSE_ENDS;
}

static void test_never_reads_signals(void **state HR_UNUSED)
{
        ABUSE_BEGINS;
        sd_bus *deaf[4], *bus = connect_bus();

        for (size_t i = 0; i < ELEMENTSOF(deaf); i++) {
                deaf[i] = connect_bus();
                assert_true(call(deaf[i], NULL, NULL, "Subscribe", "") >= 0);
        }
        events_seen = 0;
        assert_true(sd_bus_match_signal(
                            bus, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Event", on_event, NULL) >= 0);
        assert_true(call(bus, NULL, NULL, "Subscribe", "") >= 0);
        for (int i = 0; i < 40; i++) {
                tell_server(ORDER_EVENTS, 100, geteuid());
                pump(bus, ((unsigned)i + 1) * 100, SOON_USEC);
        }
        assert_int_equal(events_seen, 4000); /* who reads gets them all */
        assert_int_equal(check_healthy(), 0);
        EXPECT_WITHIN("server's memory", server_bytes(), 0, bytes_before + GROWTH_MAX);
        for (size_t i = 0; i < ELEMENTSOF(deaf); i++)
                sd_bus_close_unref(deaf[i]);
        sd_bus_close_unref(bus);
        ABUSE_ENDS;
}

/* Asks for a long answer again and again, and never reads one. */
static void test_never_reads_replies(void **state HR_UNUSED)
{
        int fds[6];
        uint8_t bytes[512];
        ABUSE_BEGINS;

        tell_server(ORDER_JOBS, 1000, 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = raw_authenticated();
                assert_true(fds[i] >= 0);
                fcntl(fds[i], F_SETFL, O_NONBLOCK);
        }
        for (uint32_t k = 1; k <= 500; k++)
                for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                        size_t size = raw_status(bytes, k, 0);

                        if (send(fds[i], bytes, size, MSG_NOSIGNAL) < 0)
                                assert_int_equal(errno, EAGAIN);
                }
        usleep(500000);
        assert_int_equal(check_healthy(), 0);
        EXPECT_WITHIN("server's memory", server_bytes(), 0, bytes_before + GROWTH_MAX);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                hr_close(fds[i]);
        tell_server(ORDER_RETIRE, 0, 0);
        ABUSE_ENDS;
}

static void test_sender(void **state HR_UNUSED)
{
        ABUSE_BEGINS;
        sd_bus *bus = connect_bus();
        sd_bus_message *m = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;

        assert_true(
                sd_bus_message_new_method_call(bus, &m, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Totals") >= 0);
        assert_true(sd_bus_message_set_sender(m, ":1.1") >= 0);
        assert_true(sd_bus_call(bus, m, 2000000, &e, NULL) < 0);
        assert_string_equal(e.name, HR_BUS_ERROR_NOT_PERMITTED);
        sd_bus_error_free(&e);
        sd_bus_message_unref(m);
        assert_true(call(bus, NULL, NULL, "Totals", "") >= 0); /* the same connection, without */
        sd_bus_close_unref(bus);
        ABUSE_ENDS;
}

static void test_huge_message(void **state HR_UNUSED)
{
        static uint8_t block[65536];
        ABUSE_BEGINS;

        for (int i = 0; i < 8; i++) {
                uint8_t bytes[512];
                int fd = raw_authenticated();
                unsigned sent = 0;

                assert_true(fd >= 0);
                raw_status(bytes, 1, 100 * 1024 * 1024);
                raw_send(fd, bytes, 150);
                while (sent < 2000 && raw_send(fd, block, sizeof(block)))
                        sent++;
                assert_true(sent < 100); /* cut off, long before its 100 MiB */
                hr_close(fd);
        }
        ABUSE_ENDS;
}

static void test_wrong_signatures(void **state HR_UNUSED)
{
        ABUSE_BEGINS;
        sd_bus *bus = connect_bus();

        assert_true(call(bus, NULL, NULL, "Status", "u", 1U) < 0);
        assert_true(call(bus, NULL, NULL, "Status", "") < 0);
        assert_true(call(bus, NULL, NULL, "Run", "s", "x") < 0);
        assert_true(call(bus, NULL, NULL, "Totals", "sss", "x", "y", "z") < 0);
        assert_true(call(bus, NULL, NULL, "Nothing", "") < 0);
        assert_true(call(bus, NULL, NULL, "Totals", "") >= 0);
        sd_bus_close_unref(bus);
        ABUSE_ENDS;
}

/* Jobs come and go while they are looked at. */
static void test_cards_come_and_go(void **state HR_UNUSED)
{
        sd_bus *bus = connect_bus();

        for (int i = 0; i < 20; i++) {
                tell_server(ORDER_JOBS, 200, 0);
                assert_true(sd_bus_call_method_async(bus, NULL, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, "Status",
                                    NULL, NULL, "s", "") >= 0);
                sd_bus_flush(bus);
                tell_server(ORDER_RETIRE, 0, 0);
                assert_true(call(bus, NULL, NULL, "Status", "s", "") >= 0);
        }
        sd_bus_close_unref(bus);
}

/* ---- how fast ---- */

static void test_thousand_jobs(void **state HR_UNUSED)
{
        uint64_t best = UINT64_MAX;
        unsigned count = 0;

        tell_server(ORDER_JOBS, 1000, 0);
        for (int i = 0; i < 5; i++) {
                uint64_t start = now_usec();
                sd_bus *bus = connect_bus();
                sd_bus_message *reply = NULL;
                const char *id, *cgroup, *unit;

                assert_true(call(bus, NULL, &reply, "Status", "s", "") >= 0);
                assert_true(sd_bus_message_enter_container(reply, 'a', HR_BUS_STATUS_STRUCT) > 0);
                for (count = 0; read_status(reply, &id, &cgroup, &unit) > 0; count++)
                        ;
                sd_bus_message_unref(reply);
                sd_bus_close_unref(bus);
                best = MIN(best, now_usec() - start);
        }
        tell_server(ORDER_RETIRE, 0, 0);
        print_message("status of %u jobs: %u us to connect, ask and read\n", count, (unsigned)best);
        assert_true(count >= 1000);
        if (!SANITIZED)
                assert_true(best < 50000);
}

/* ---- the system bus ---- */

static int use_system_bus(void)
{
        sd_bus *bus = NULL;
        sd_bus_message *reply = NULL;
        char error[1024] = "";
        uint32_t jobs;
        const char *id, *cgroup, *unit;
        unsigned count = 0;
        uid_t me = geteuid();

        CHECK(sd_bus_open_system(&bus) >= 0);
        for (int i = 0; i < 2000 && call(bus, error, NULL, "Totals", "") < 0; i++)
                usleep(20000); /* the name comes a moment after the socket, or 30 s later */
        if (call(bus, error, &reply, "Totals", "") < 0) {
                fprintf(stderr, "%s\n", error);
                return 1;
        }
        CHECK(sd_bus_message_read(reply, "u", &jobs) >= 0 && jobs == 8);
        sd_bus_message_unref(reply);
        CHECK(call(bus, error, &reply, "Status", "s", "") >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', HR_BUS_STATUS_STRUCT) > 0);
        while (read_status(reply, &id, &cgroup, &unit) > 0)
                count++;
        CHECK(count == (me == 0 ? 8 : 4));
        sd_bus_message_unref(reply);
        CHECK((call(bus, error, NULL, "Act", "ss", "trim", "j1") >= 0) == (me == 0));

        events_seen = 0;
        CHECK(sd_bus_add_match(bus, NULL, "type='signal',interface='" HR_BUS_INTERFACE "'", on_event, NULL) >=
                0);
        CHECK(call(bus, error, NULL, "Subscribe", "") >= 0);
        tell_server(ORDER_EVENTS, 5, OTHER_UID); /* the owner's, and root sees them too */
        pump(bus, 5, SOON_USEC);
        CHECK(events_seen == 5);
        tell_server(ORDER_EVENTS, 5, 0);
        pump(bus, 10, 300000);
        CHECK(events_seen == (me == 0 ? 10 : 5));

        CHECK(call(bus, error, NULL, "Follow", "s", me == 0 ? "j1" : "j2") >= 0);
        CHECK(tell_server(ORDER_FOLLOWED, 0, 0) == 1);
        sd_bus_close_unref(bus);
        for (int i = 0; i < 100 && tell_server(ORDER_FOLLOWED, 0, 0) != 0; i++)
                usleep(20000);
        CHECK(tell_server(ORDER_FOLLOWED, 0, 0) == 0);
        return 0;
}

static void test_system_bus(void **state HR_UNUSED)
{
        if (dbus_pid <= 0) {
                print_message("SKIP: needs root, dbus-daemon, and conf/ in the current directory\n");
                skip();
        }
        assert_int_equal(use_system_bus(), 0);
        assert_int_equal(as_other(use_system_bus), 0);
}

/* Last: the system bus goes, the socket stays. */
static void test_system_bus_lost(void **state HR_UNUSED)
{
        if (dbus_pid <= 0)
                skip();
        kill(dbus_pid, SIGKILL);
        waitpid(dbus_pid, NULL, 0);
        dbus_pid = 0;
        for (int i = 0; i < 5; i++) {
                assert_int_equal(check_healthy(), 0);
                usleep(20000);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_gate),
                cmocka_unit_test(test_looking),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_strings_are_safe),
                cmocka_unit_test(test_acting),
                cmocka_unit_test(test_run),
                cmocka_unit_test(test_attach),
                cmocka_unit_test(test_other_user),
                cmocka_unit_test(test_events),
                cmocka_unit_test(test_follow),
                cmocka_unit_test(test_disappears_mid_call),
                cmocka_unit_test(test_nonsense),
                cmocka_unit_test(test_never_authenticates),
                cmocka_unit_test(test_thousand_connects),
                cmocka_unit_test(test_never_reads_signals),
                cmocka_unit_test(test_never_reads_replies),
                cmocka_unit_test(test_sender),
                cmocka_unit_test(test_huge_message),
                cmocka_unit_test(test_wrong_signatures),
                cmocka_unit_test(test_cards_come_and_go),
                cmocka_unit_test(test_thousand_jobs),
                cmocka_unit_test(test_system_bus),
                cmocka_unit_test(test_system_bus_lost),
        };

        return cmocka_run_group_tests_name("bus", tests, set_up, tear_down);
}
