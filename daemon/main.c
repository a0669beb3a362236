/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "act/criu.h"
#include "act/helper.h"
#include "act/release.h"
#include "manager.h"
#include "rehearse.h"
#include "reload.h"
#include "sense/host.h"
#include "tell/bus.h"
#include "tell/interface.h"
#include "tell/journal.h"
#include "tell/recorder.h"
#include "thread.h"

/*
 * argv, wiring, sd_notify, exit: the only file that may exit. The parts are started from the one that must
 * never fail to the one that may: helper (before threads and locks), exchange, recorder, manager (which
 * adopts the jobs of a daemon before), bus. They end in the opposite order.
 */

#define DATA_LIMIT_BYTES \
        (128 * HR_MIB) /* RLIMIT_DATA on ourselves: a peer made a daemon hold 400 MiB in a trial */
#define NICE (-10)     /* ahead of a host full of busy jobs; chosen, not tuned */

struct options {
        const char *config, *socket, *root, *release;
        bool user, check_config, dump_config, stop_post;
};

static int usage(FILE *out)
{
        fputs("headroomd [OPTION...]\n\n"
              "Watches the memory of jobs and keeps them off the OOM killer.\n\n"
              "  --config FILE    instead of /etc/headroom/headroom.conf (and FILE.d/*.conf)\n"
              "  --socket PATH    where headroom finds it\n"
              "  --root DIR       takes DIR/proc and DIR/sys/fs/cgroup for the system's (for tests)\n"
              "  --user           without root, for the jobs of this user\n"
              "  --check-config   reads the configuration, says what is wrong with it, and exits\n"
              "  --dump-config    prints the configuration as it would be used, and exits\n"
              "  --version\n"
              "  --help\n\n"
              "headroomd(8), headroom(1), headroom.conf(5)\n",
                out);
        return out == stdout ? EXIT_SUCCESS : 2;
}

/* 0: go on; else the exit status is *ret_status. */
static int parse_options(int argc, char **argv, struct options *o, int *ret_status)
{
        enum { CONFIG = 256, SOCKET, ROOT, USER, CHECK, DUMP, VERSION, HELPER, CRIU, RELEASE, STOP_POST };
        static const struct option longs[] = {
                {"config", required_argument, NULL, CONFIG},
                {"socket", required_argument, NULL, SOCKET},
                {"root", required_argument, NULL, ROOT},
                {"user", no_argument, NULL, USER},
                {"check-config", no_argument, NULL, CHECK},
                {"dump-config", no_argument, NULL, DUMP},
                {"version", no_argument, NULL, VERSION},
                {"help", no_argument, NULL, 'h'},
                /* between our own parts */
                {"helper", required_argument, NULL, HELPER},
                {"criu", required_argument, NULL, CRIU},
                {"release", required_argument, NULL, RELEASE},
                {"stop-post", no_argument, NULL, STOP_POST},
                {0},
        };
        for (int c = getopt_long(argc, argv, "h", longs, NULL); c != -1;
                c = getopt_long(argc, argv, "h", longs, NULL)) {
                switch (c) {
                case CONFIG:
                        o->config = optarg;
                        break;
                case SOCKET:
                        o->socket = optarg;
                        break;
                case ROOT:
                        o->root = optarg;
                        break;
                case USER:
                        o->user = true;
                        break;
                case CHECK:
                        o->check_config = true;
                        break;
                case DUMP:
                        o->dump_config = true;
                        break;
                case VERSION:
                        printf("headroomd %s\n", HR_VERSION);
                        *ret_status = EXIT_SUCCESS;
                        return 1;
                case HELPER:
                        *ret_status = hr_helper_main(optarg);
                        return 1;
                case CRIU:
                        *ret_status = hr_criu_main(optarg);
                        return 1;
                case RELEASE:
                        o->release = optarg;
                        break;
                case STOP_POST:
                        o->stop_post = true;
                        break;
                case 'h':
                        *ret_status = usage(stdout);
                        return 1;
                default:
                        *ret_status = usage(stderr);
                        return 1;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "headroomd: it takes no arguments, only options: %s\n", argv[optind]);
                *ret_status = 2;
                return 1;
        }
        return 0;
}

/* ---- configuration ---- */

static void print_problem(const struct hr_problem *p, void *userdata HR_UNUSED)
{
        const char *level = p->level == HR_PROBLEM_ERROR ? "" : "warning: ";
        if (p->line > 0)
                hr_journal_line(p->level == HR_PROBLEM_ERROR ? LOG_ERR : LOG_WARNING, "%s:%u: %s%s", p->file,
                        p->line, level, p->text);
        else
                hr_journal_line(p->level == HR_PROBLEM_ERROR ? LOG_ERR : LOG_WARNING, "%s: %s%s", p->file,
                        level, p->text);
}

static void print_line(const char *line, void *userdata HR_UNUSED)
{
        fputs(line, stdout);
}

static uint64_t host_total(const struct hr_hierarchy *h)
{
        struct hr_host host = HR_HOST_INIT;
        struct hr_meminfo m = {0};
        if (hr_host_open(h, &host) == 0)
                (void)hr_host_read(&host, &m); /* 0: percentages are refused, and said so */
        hr_host_close(&host);
        return m.total_bytes;
}

/* --release=STAMP:DIR, of the timer that --stop-post left. */
static int release(const struct hr_hierarchy *h, const char *word)
{
        char *dir;
        uint64_t stamp = strtoull(word, &dir, 10);
        if (*dir != ':')
                return EXIT_FAILURE;
        return hr_release_late(h, dir + 1, stamp) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check_or_dump(const struct options *o, const char *path, uint64_t total)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *c = NULL;
        int problems = 0;
        int r = hr_config_files_read(path, o->config != NULL, total, print_problem, NULL, &problems, &c);
        if (r < 0) {
                if (r != -EINVAL)
                        fprintf(stderr, "headroomd: %s: %s\n", path, strerror(-r));
                return EXIT_FAILURE;
        }
        if (o->dump_config)
                hr_config_dump(c, print_line, NULL);
        else
                printf("%s: %s\n", path, problems == 0 ? "good" : "see above");
        return o->check_config && problems > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- directories ---- */

static int make_dirs(const char *path, mode_t mode)
{
        char part[PATH_MAX];
        if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
                return -ENAMETOOLONG;
        for (char *p = part + 1; *p; p++)
                if (*p == '/') {
                        *p = '\0';
                        if (mkdir(part, 0755) < 0 && errno != EEXIST)
                                return -errno;
                        *p = '/';
                }
        return mkdir(part, mode) < 0 && errno != EEXIST ? -errno : 0;
}

struct places {
        char socket[108], runtime[480], state[480];
};

static int find_places(const struct options *o, struct places *p)
{
        const char *runtime = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME"),
                   *home = getenv("HOME");
        char jobs[512];

        if (o->socket) { /* a private daemon keeps everything beside its socket */
                const char *slash = strrchr(o->socket, '/');
                int n = slash ? (int)(slash - o->socket) : 1;
                snprintf(p->runtime, sizeof(p->runtime), "%.*s", slash ? n : 1, slash ? o->socket : ".");
                snprintf(p->state, sizeof(p->state), "%s", p->runtime);
                if ((size_t)snprintf(p->socket, sizeof(p->socket), "%s", o->socket) >= sizeof(p->socket))
                        return -ENAMETOOLONG;
        } else if (o->user) {
                if (!runtime) {
                        fprintf(stderr, "headroomd: --user needs XDG_RUNTIME_DIR, which a login session "
                                        "sets, or --socket\n");
                        return -ENOENT;
                }
                if ((size_t)snprintf(p->socket, sizeof(p->socket), "%s/" HR_USER_SOCKET_BELOW_RUNTIME_DIR,
                            runtime) >= sizeof(p->socket))
                        return -ENAMETOOLONG;
                snprintf(p->runtime, sizeof(p->runtime), "%s/headroom", runtime);
                snprintf(p->state, sizeof(p->state), "%s%s/headroom",
                        state  ? state
                        : home ? home
                               : "/tmp",
                        state ? "" : "/.local/state");
        } else {
                snprintf(p->socket, sizeof(p->socket), "%s", HR_SYSTEM_SOCKET);
                snprintf(p->runtime, sizeof(p->runtime), "/run/headroom");
                snprintf(p->state, sizeof(p->state), "/var/lib/headroom");
        }
        snprintf(jobs, sizeof(jobs), "%s/jobs", p->runtime);
        int r = make_dirs(p->runtime, o->user ? 0700 : 0755);
        if (r == 0)
                r = make_dirs(jobs, 0700);
        if (r == 0)
                (void)make_dirs(p->state, 0700); /* the next id and the record: without them it watches too */
        if (r < 0)
                fprintf(stderr, "headroomd: %s: %s%s\n", jobs, strerror(-r),
                        r == -EACCES && !o->user ? "; as an ordinary user: headroomd --user" : "");
        return r;
}

/* Does the system's daemon serve this user already? Then a second one would pull at the same jobs. */
static bool system_daemon_serves(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = HR_SYSTEM_SOCKET};
        _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

/* ---- the process ---- */

static void prepare_process(const struct options *o, const struct hr_config *c)
{
        struct rlimit data = {DATA_LIMIT_BYTES, DATA_LIMIT_BYTES};
        (void)signal(SIGPIPE, SIG_IGN);
        (void)mallopt(M_ARENA_MAX, 2);               /* the deciding thread's, and one for the others */
        (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024); /* freed large answers go back to the kernel */
#ifndef HR_SANITIZED                                 /* a sanitizer's shadow memory alone is larger */
        (void)setrlimit(RLIMIT_DATA, &data);
#else
        (void)data;
#endif
        (void)setpriority(PRIO_PROCESS, 0, NICE); /* without rights: as it is */
        (void)prctl(PR_SET_TIMERSLACK,
                50000UL); /* 50 us: the default of an ordinary process, said for the record */
        if (c->lock_memory && !o->user && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                hr_journal_line(LOG_WARNING,
                        "memory can't be locked (%s): headroomd itself may be slow when the host is full",
                        strerror(errno));
}

static int run(const struct options *o, const struct hr_hierarchy *h, const char *config_path)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *config = NULL;
        struct places places;
        struct hr_exchange *exchange = NULL;
        struct hr_recorder *recorder = NULL;
        struct hr_manager *manager = NULL;
        struct hr_helper *helper = NULL;
        struct hr_bus *bus = NULL;
        int problems = 0;
        uint64_t total = host_total(h);
        bool managed = getenv("NOTIFY_SOCKET") != NULL;
        bool journal = managed && !o->user;

        if (o->user && !o->socket && system_daemon_serves()) {
                fprintf(stderr,
                        "headroomd: the system's headroomd serves you already (%s): headroom status\n",
                        HR_SYSTEM_SOCKET);
                return EXIT_FAILURE;
        }
        hr_journal_init(journal);
        int r = find_places(o, &places);
        if (r < 0)
                return EXIT_FAILURE;
        _close_ int lock = hr_release_lock(places.runtime);
        if (lock < 0) {
                fprintf(stderr, "headroomd: %s: %s\n", places.runtime,
                        lock == -EWOULDBLOCK ? "another headroomd runs already" : strerror(-lock));
                return EXIT_FAILURE;
        }
        r = hr_config_files_read(
                config_path, o->config != NULL, total, print_problem, NULL, &problems, &config);
        if (r < 0) {
                hr_journal_line(LOG_ERR, "%s can't be used (%s); headroomd --check-config says what is wrong",
                        config_path, strerror(-r));
                return EXIT_FAILURE;
        }
        (void)setenv("HEADROOM_SOCKET", places.socket, true); /* for a `headroom` that the helper starts */
        r = hr_helper_start(h, o->user, places.runtime, places.state,
                &helper); /* before memory is locked, and threads exist */
        if (r < 0) {
                hr_journal_line(LOG_ERR, "no helper process: %s", strerror(-r));
                return EXIT_FAILURE;
        }
        prepare_process(o, config);
        struct hr_recorder_options recorder_options = {.journal = journal,
                .tell_terminals = config->tell_terminals,
                .directory = places.state,
                .proc_path = h->proc,
                .record_age_usec = config->record_age_usec,
                .record_size_bytes = config->record_size_bytes};
        snprintf(recorder_options.metrics_file, sizeof(recorder_options.metrics_file), "%s",
                config->metrics_file);
        struct hr_bus_options bus_options = {
                .socket_path = places.socket,
                .user = o->user,
                .proc_path = h->proc,
                .cgroup_path = h->memory,
                .memory_controller = h->memory_version == 1 ? "memory" : NULL,
                .record_directory = places.state,
                .events_kept = config->events_kept,
                .host_total_bytes = total,
                .metrics_jobs = config->metrics_jobs,
                .metrics_interval_usec = config->metrics_file[0] ? config->metrics_interval_usec : 0,
        };
        /* SIGTERM and the like are the deciding thread's: blocked before there is another. */
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        (void)pthread_sigmask(SIG_BLOCK, &mask, NULL);
        r = hr_exchange_new(config->jobs_max, &exchange);
        if (r == 0)
                r = hr_recorder_start(exchange, &recorder_options, &recorder);
        struct hr_manager_options manager_options = {
                .hierarchy = h,
                .config = config,
                .exchange = exchange,
                .helper = helper,
                .config_path = config_path,
                .runtime_dir = places.runtime,
                .state_dir = places.state,
                .user = o->user,
                .managed = managed,
                .host_total_bytes = total,
        };
        bool guard_terminals = config->lock_memory;
        if (r == 0) {
                config = NULL; /* the manager's from here on, also if it fails */
                r = hr_manager_new(&manager_options, &manager);
        }
        if (r == 0)
                r = hr_bus_start(exchange, &bus_options, &bus);
        if (r == 0) {
                if (guard_terminals && !o->user)
                        hr_rehearse(h, manager->freezer);
                (void)sd_notifyf(0, "READY=1\nSTATUS=watching, socket %s", places.socket);
                hr_journal_line(LOG_INFO, "headroomd %s watches, socket %s, %s", HR_VERSION, places.socket,
                        h->memory_version == 2   ? "cgroup v2"
                        : h->memory_version == 1 ? "cgroup v1"
                                                 : "process trees");
                hr_thread_prefer(HR_THREAD_DECIDING);
                r = hr_manager_run(manager);
        } else {
                hr_journal_line(LOG_ERR, "headroomd could not start: %s", strerror(-r));
        }
        bus = hr_bus_stop(bus);
        manager = hr_manager_free(manager);
        recorder = hr_recorder_stop(recorder);
        if (!recorder) /* else its thread uses it still */
                exchange = hr_exchange_free(exchange);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        struct options o = {0};
        struct hr_hierarchy h;
        char path[PATH_MAX];
        int status;

        if (parse_options(argc, argv, &o, &status) != 0)
                return status;
        int r = hr_hierarchy_find(o.root ? o.root : "", &h);
        if (r < 0) {
                fprintf(stderr, "headroomd: %s/proc: %s\n", o.root ? o.root : "", strerror(-r));
                return EXIT_FAILURE;
        }
        if (o.release)
                return release(&h, o.release);
        if (o.stop_post) {
                const char *runtime = getenv("XDG_RUNTIME_DIR");
                snprintf(path, sizeof(path), "%s/headroom", o.user && runtime ? runtime : "/run");
                return hr_release_after_stop(&h, o.user, path) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }
        const char *config_home = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        if (o.config)
                snprintf(path, sizeof(path), "%s", o.config);
        else if (o.user)
                snprintf(path, sizeof(path), "%s%s/headroom/headroom.conf",
                        config_home ? config_home
                        : home      ? home
                                    : "/nonexistent",
                        config_home ? "" : "/.config");
        else
                snprintf(path, sizeof(path), "%s/headroom/headroom.conf", HR_SYSCONFDIR);
        if (o.check_config || o.dump_config) {
                hr_journal_init(false);
                return check_or_dump(&o, path, host_total(&h));
        }
        return run(&o, &h, path);
}
