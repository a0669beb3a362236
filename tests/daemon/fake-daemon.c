/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A daemon that watches nothing: it serves the bus contract (daemon/tell/interface.h) on a socket, so that
 * the client can be tested by itself. usage: fake-daemon SOCKET
 *
 * What it is asked stands on stdout, a line for each call. What it answers is set from stdin, a line for each
 * change, words parted by tabs:
 *   job NAME STAGE USED LIMIT REASON        one more job that is watched; its id is the next
 *   kind KIND                               what Run answers
 *   refuse ERROR MESSAGE                    each method but Status fails so; "refuse" alone: no longer
 *   event JOB NAME STAGE PREVIOUS USED LIMIT ACTION OUTCOME REASON HINT    happens now
 *   use JOB USED                            it uses so much now
 *   forget JOB                              it has ended
 *   drop                                    all connections close
 *   full COUNT                              so many more connections are closed at once
 * A job is of the stage of its last event, and frozen in "hold". After each line it says "done" on stdout. It
 * ends with stdin.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "fd.h"
#include "tell/interface.h"

#define JOBS_MAX 2000
#define EVENTS_MAX 256
#define PEERS_MAX 64
#define WORD_MAX 240

struct job {
        char id[16], name[64], stage[16], reason[WORD_MAX], policy[64];
        uint64_t used_bytes, limit_bytes;
        pid_t pid;
        bool gone;
};

struct event {
        uint64_t time_usec, used_bytes, limit_bytes;
        char words[7][WORD_MAX]; /* as in the line */
};
enum { JOB, NAME, STAGE, PREVIOUS, ACTION, OUTCOME, REASON };

struct peer {
        sd_bus *bus;
        bool subscribed;
};

static struct daemon {
        sd_event *loop;
        struct job jobs[JOBS_MAX];
        size_t job_count;
        struct event events[EVENTS_MAX];
        char hints[EVENTS_MAX][WORD_MAX];
        size_t event_count, full_count;
        struct peer peers[PEERS_MAX];
        char kind[16], refusal[64], message[WORD_MAX];
} daemon_state = {.kind = "cgroup2"};

static void copy(char *to, size_t size, const char *from)
{
        snprintf(to, size, "%s", from ? from : "");
}

static struct job *add_job(const char *name, pid_t pid, uint64_t limit_bytes)
{
        struct daemon *d = &daemon_state;
        struct job *job;

        if (d->job_count == JOBS_MAX)
                exit(EXIT_FAILURE);
        job = &d->jobs[d->job_count++];
        *job = (struct job){.pid = pid, .limit_bytes = limit_bytes, .stage = "ok", .policy = "default"};
        snprintf(job->id, sizeof(job->id), "j%zu", d->job_count);
        copy(job->name, sizeof(job->name), name);
        return job;
}

/* The one job that word names, or NULL with *error set. */
static struct job *find_job(const char *word, sd_bus_error *error)
{
        struct daemon *d = &daemon_state;
        struct job *found = NULL;

        for (size_t i = 0; i < d->job_count; i++) {
                struct job *job = &d->jobs[i];
                char pid[16];

                snprintf(pid, sizeof(pid), "%d", (int)job->pid);
                if (job->gone || (strcmp(job->id, word) != 0 && strcmp(job->name, word) != 0 &&
                                         strcmp(pid, word) != 0))
                        continue;
                if (found) {
                        sd_bus_error_setf(error, HR_BUS_ERROR_AMBIGUOUS, "%s may be:\n%s (%s)\n%s (%s)", word,
                                found->id, found->name, job->id, job->name);
                        return NULL;
                }
                found = job;
        }
        if (!found)
                sd_bus_error_setf(
                        error, HR_BUS_ERROR_NO_SUCH_JOB, "no job %s; headroom status lists them", word);
        return found;
}

static int refused(sd_bus_error *error)
{
        struct daemon *d = &daemon_state;

        return d->refusal[0] ? sd_bus_error_set(error, d->refusal, d->message) : 0;
}

/* ---- methods ---- */

static int method_run(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        const char *name, *policy, *checkpoint, *command;
        int has_limit, fuse, detached, reaps, r;
        struct job *job;
        uint64_t limit;
        uint32_t pid, retried;

        r = sd_bus_message_read(m, "usbtssbbsub", &pid, &name, &has_limit, &limit, &policy, &checkpoint,
                &fuse, &detached, &command, &retried, &reaps);
        if (r < 0)
                return r;
        printf("Run pid=%u name=%s limit=%s%" PRIu64
               " policy=%s checkpoint=%s fuse=%d detached=%d command=%s\n",
                pid, name, has_limit ? "" : "none ", has_limit ? limit : 0, policy, checkpoint, fuse,
                detached, command);
        r = refused(error);
        if (r < 0)
                return r;
        job = add_job(name, (pid_t)pid, has_limit ? limit : HR_BYTES_NONE);
        copy(job->policy, sizeof(job->policy), *policy ? policy : "default");
        return sd_bus_reply_method_return(m, "tsss", (uint64_t)0, job->id, daemon_state.kind, "");
}

static int method_attach(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        const char *target, *name, *policy;
        uint64_t limit;
        int has_limit, r;

        r = sd_bus_message_read(m, "ssbts", &target, &name, &has_limit, &limit, &policy);
        if (r < 0)
                return r;
        printf("Attach target=%s name=%s policy=%s\n", target, name, policy);
        r = refused(error);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "ss", add_job(name, 1, limit)->id, "is watched from now on");
}

static int append_job(sd_bus_message *m, const struct job *job)
{
        return sd_bus_message_append(m, HR_BUS_STATUS_STRUCT, job->id, job->name, "ana", (uint32_t)1000,
                daemon_state.kind, "/user.slice/a\033[31m\"b\\c", "", (uint32_t)job->pid, job->stage,
                strcmp(job->stage, "hold") == 0, job->used_bytes, (uint64_t)4096, job->limit_bytes,
                job->limit_bytes,
                job->limit_bytes == HR_BYTES_NONE ? HR_BYTES_NONE : hr_sub(job->limit_bytes, job->used_bytes),
                "own", (uint64_t)1048576,
                job->limit_bytes == HR_BYTES_NONE ? HR_USEC_NEVER : (uint64_t)12600000,
                job->limit_bytes == HR_BYTES_NONE ? HR_USEC_NEVER : (uint64_t)20000000, (uint64_t)0,
                job->used_bytes, job->policy, job->reason, 0);
}

static int method_status(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        sd_bus_message *reply = NULL;
        struct job *one = NULL;
        const char *word;
        int r;

        r = sd_bus_message_read(m, "s", &word);
        if (r < 0)
                return r;
        if (*word) {
                one = find_job(word, error);
                if (!one)
                        return -ENOENT;
        }
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', HR_BUS_STATUS_STRUCT);
        for (size_t i = 0; r >= 0 && i < daemon_state.job_count; i++)
                if (!daemon_state.jobs[i].gone && (!one || one == &daemon_state.jobs[i]))
                        r = append_job(reply, &daemon_state.jobs[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int method_totals(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error HR_UNUSED)
{
        return sd_bus_reply_method_return(m, "utu", (uint32_t)3, (uint64_t)12 * 1024 * 1048576, (uint32_t)1);
}

/* SetLimit, SetPolicy, Act and Resume: looked up, printed, answered. */
static int method_on_job(
        sd_bus_message *m, const char *word, const char *what, sd_bus_error *error, struct job **ret)
{
        int r;

        printf("%s job=%s%s\n", sd_bus_message_get_member(m), word, what);
        *ret = find_job(word, error);
        if (!*ret)
                return -ENOENT;
        r = refused(error);
        return r;
}

static int method_limit(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        struct job *job;
        const char *word;
        uint64_t limit;
        char what[64];
        int r;

        r = sd_bus_message_read(m, "st", &word, &limit);
        if (r < 0)
                return r;
        snprintf(what, sizeof(what), " limit=%" PRIu64, limit);
        r = method_on_job(m, word, what, error, &job);
        if (r < 0)
                return r;
        job->limit_bytes = limit;
        return sd_bus_reply_method_return(m, "ts", limit, "its limit is set");
}

static int method_policy(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        const char *word, *policy;
        struct job *job;
        char what[128];
        int r;

        r = sd_bus_message_read(m, "ss", &word, &policy);
        if (r < 0)
                return r;
        snprintf(what, sizeof(what), " policy=%s", policy);
        r = method_on_job(m, word, what, error, &job);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", "its policy is set");
}

static int method_act(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        const char *verb, *word;
        struct job *job;
        char what[64];
        int r;

        r = sd_bus_message_read(m, "ss", &verb, &word);
        if (r < 0)
                return r;
        snprintf(what, sizeof(what), " verb=%s", verb);
        r = method_on_job(m, word, what, error, &job);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", "it is done");
}

static int method_resume(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        struct job *job;
        const char *word;
        uint64_t limit;
        char what[64];
        int has_limit, r;

        r = sd_bus_message_read(m, "sbt", &word, &has_limit, &limit);
        if (r < 0)
                return r;
        snprintf(what, sizeof(what), " limit=%" PRIu64, has_limit ? limit : 0);
        r = method_on_job(m, word, what, error, &job);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", "it goes on");
}

static int method_policies(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (*name && strcmp(name, "default") != 0 && strcmp(name, "batch") != 0)
                return sd_bus_error_setf(
                        error, HR_BUS_ERROR_INVALID, "no policy %s; headroom policy list", name);
        return sd_bus_reply_method_return(m, "s",
                *name ? "[policy default]\nnotice = 70%\nhold = 97%\n"
                      : "[policy default]\nnotice = 70%\n\n[policy batch]\nhold = off\n");
}

static int method_doctor(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error HR_UNUSED)
{
        return sd_bus_reply_method_return(m, "a(ssss)", 2, "cgroup2", "ok", "mounted", "", "psi", "missing",
                "no /proc/pressure", "boot with psi=1");
}

static int method_metrics(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error HR_UNUSED)
{
        int open, r = sd_bus_message_read(m, "b", &open);

        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "s",
                open ? "# TYPE headroom_jobs gauge\nheadroom_jobs{stage=\"ok\"} 2\n# EOF\n"
                     : "# TYPE headroom_jobs gauge\nheadroom_jobs{stage=\"ok\"} 2\nheadroom_wakeups_total "
                       "7\n");
}

/* Why and Breakdown: the job that it names is looked up, the answer is always the same. */
static int method_why(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        bool is_why = strcmp(sd_bus_message_get_member(m), "Why") == 0;
        struct job *job;
        const char *word;
        int r;

        r = sd_bus_message_read(m, "s", &word);
        if (r >= 0)
                r = method_on_job(m, word, "", error, &job);
        if (r < 0)
                return r;
        if (is_why)
                return sd_bus_reply_method_return(m, "a" HR_BUS_HOLDER_STRUCT "ttuus", 1, (uint32_t)4711,
                        (uint64_t)300 * 1048576, (uint64_t)40, (uint64_t)3, "frames", "analyse.py",
                        (uint64_t)2097152, HR_BYTES_NONE, (uint32_t)1, (uint32_t)1, "frames holds most");
        return sd_bus_reply_method_return(m, "a" HR_BUS_PART_STRUCT, 4, "mapping", (uint32_t)0,
                (uint64_t)310 * 1048576, "heap and anonymous memory", "process", (uint32_t)4711,
                (uint64_t)200 * 1048576, "python3", "process", (uint32_t)4712, (uint64_t)110 * 1048576,
                "a\033[31m)\n", "process", (uint32_t)0, HR_BYTES_NONE, "1 that can't be looked at");
}

static int append_event(sd_bus_message *m, const char *types, size_t i)
{
        const struct event *e = &daemon_state.events[i];

        return sd_bus_message_append(m, types, e->time_usec, e->words[JOB], e->words[NAME], (uint32_t)1000,
                e->words[STAGE], e->words[PREVIOUS], e->words[REASON], e->used_bytes, e->limit_bytes,
                e->words[ACTION], e->words[OUTCOME], daemon_state.hints[i], (uint64_t)0, (int64_t)-1,
                (uint64_t)0);
}

static int method_events(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error HR_UNUSED)
{
        sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', HR_BUS_EVENT_STRUCT);
        for (size_t i = 0; r >= 0 && i < daemon_state.event_count; i++)
                r = append_event(reply, HR_BUS_EVENT_STRUCT, i);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

/* One job has ended: "j90", called "ended". Its reason and command are as hostile as may be. */
#define RECORD_END_USEC UINT64_C(1700000600000000)

static int append_record(sd_bus_message *m)
{
        return sd_bus_message_append(m, HR_BUS_RECORD_STRUCT, "j90", "ended",
                "python3 '<script>alert(1)</script>.py'", "ana", (uint32_t)1000, "cgroup2", "/a", "",
                "observe", (uint64_t)1700000000000000, RECORD_END_USEC, (uint64_t)400 << 20,
                (uint64_t)399 << 20, 1, "kernel", "own_limit", (int64_t)-1, (int64_t)9,
                "\"><img src=x onerror=y>\033[31m", "frames & <b> holds 390 MiB", "trim", (uint64_t)0, 0, 0);
}

static int method_record(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        const char *member = sd_bus_message_get_member(m), *word, *more, *outcome;
        sd_bus_message *reply = NULL;
        uint64_t since, until;
        uint32_t count;
        int r;

        if (strcmp(member, "History") == 0) {
                r = sd_bus_message_read(m, "ttsssu", &since, &until, &word, &more, &outcome, &count);
                if (r >= 0)
                        printf("History since=%" PRIu64 " until=%" PRIu64 " user=%s name=%s outcome=%s\n",
                                since, until, word, more, outcome);
        } else {
                r = sd_bus_message_read(m, "s", &word);
                if (r >= 0 && strcmp(word, "j90") != 0 && strcmp(word, "ended") != 0)
                        return sd_bus_error_set(error, HR_BUS_ERROR_NO_SUCH_JOB, "There is no such job.");
        }
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0 && strcmp(member, "History") == 0) {
                r = sd_bus_message_append(reply, "t", until > RECORD_END_USEC ? RECORD_END_USEC : 0);
                if (r >= 0)
                        r = sd_bus_message_open_container(reply, 'a', HR_BUS_RECORD_STRUCT);
                if (r >= 0 && until > RECORD_END_USEC)
                        r = append_record(reply);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        } else if (r >= 0) {
                r = append_record(reply);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "a" HR_BUS_POINT_STRUCT "a" HR_BUS_DEED_STRUCT, 3,
                                (uint64_t)1700000000000000, (uint64_t)10 << 20, (uint64_t)0,
                                (uint64_t)400 << 20, (uint64_t)1700000300000000, (uint64_t)300 << 20,
                                (uint64_t)50 << 20, (uint64_t)400 << 20, (uint64_t)1700000600000000,
                                (uint64_t)399 << 20, (uint64_t)0, (uint64_t)400 << 20, 2,
                                (uint64_t)1700000300000000, "notice", "ok", "notice", "done", "it <fills>",
                                (uint64_t)300 << 20, (uint64_t)400 << 20, (uint64_t)1700000600000000, "ok",
                                "notice", "end", "lost", "the kernel's \"OOM\" killer", (uint64_t)399 << 20,
                                (uint64_t)400 << 20);
        }
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int method_advise(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error)
{
        const char *name, *command;
        int r = sd_bus_message_read(m, "ss", &name, &command);

        if (r < 0)
                return r;
        printf("Advise name=%s command=%s\n", name, command);
        if (strcmp(name, "ended") != 0)
                return sd_bus_error_set(error, HR_BUS_ERROR_NO_SUCH_JOB, "No run of it is on record.");
        return sd_bus_reply_method_return(m, "tttuubsb", (uint64_t)480 << 20, (uint64_t)399 << 20,
                (uint64_t)399 << 20, (uint32_t)7, (uint32_t)1, 0, "medium", 1);
}

static int method_ended(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *error HR_UNUSED)
{
        const char *job;
        int64_t status, number;
        int r = sd_bus_message_read(m, "sxx", &job, &status, &number);

        if (r < 0)
                return r;
        printf("Ended job=%s status=%" PRId64 " signal=%" PRId64 "\n", job, status, number);
        return sd_bus_reply_method_return(m, NULL);
}

static int method_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        bool is_follow = strcmp(sd_bus_message_get_member(m), "Follow") == 0;
        const char *word = "";
        int r;

        if (is_follow) {
                r = sd_bus_message_read(m, "s", &word);
                if (r < 0)
                        return r;
        }
        printf("%s job=%s\n", sd_bus_message_get_member(m), word);
        if (is_follow && !find_job(word, error))
                return -ENOENT;
        ((struct peer *)userdata)->subscribed = true;
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Run", "usbtssbbsub", "tsss", method_run, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Attach", "ssbts", "ss", method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Status", "s", "a" HR_BUS_STATUS_STRUCT, method_status, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Totals", "", "utu", method_totals, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetLimit", "st", "ts", method_limit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetPolicy", "ss", "s", method_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Act", "ss", "s", method_act, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Resume", "sbt", "s", method_resume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Policies", "s", "s", method_policies, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Metrics", "b", "s", method_metrics, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Doctor", "", "a(ssss)", method_doctor, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Why", "s", "a" HR_BUS_HOLDER_STRUCT "ttuus", method_why, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Breakdown", "s", "a" HR_BUS_PART_STRUCT, method_why, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Events", "u", "a" HR_BUS_EVENT_STRUCT, method_events, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Record", "s", HR_BUS_RECORD_STRUCT "a" HR_BUS_POINT_STRUCT "a" HR_BUS_DEED_STRUCT,
                method_record, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD(
                "History", "ttsssu", "ta" HR_BUS_RECORD_STRUCT, method_record, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Advise", "ss", "tttuubsb", method_advise, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Ended", "sxx", "", method_ended, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Subscribe", "", "", method_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Follow", "s", "", method_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("Event", HR_BUS_EVENT_FIELDS, 0),
        SD_BUS_VTABLE_END,
};

/* ---- peers ---- */

static void drop_peer(struct peer *peer)
{
        sd_bus_close(peer->bus);
        peer->bus = sd_bus_unref(peer->bus);
        peer->subscribed = false;
}

static int on_peer(
        sd_event_source *source HR_UNUSED, int fd, uint32_t events HR_UNUSED, void *userdata HR_UNUSED)
{
        struct peer *peer = daemon_state.peers;
        sd_id128_t id;
        int client, r;

        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0)
                return 0;
        if (daemon_state.full_count > 0) {
                daemon_state.full_count--;
                hr_close(client);
                return 0;
        }
        while (peer < daemon_state.peers + PEERS_MAX && peer->bus && sd_bus_is_open(peer->bus) > 0)
                peer++;
        if (peer == daemon_state.peers + PEERS_MAX) {
                hr_close(client);
                return 0;
        }
        if (peer->bus)
                drop_peer(peer);
        r = sd_bus_new(&peer->bus);
        if (r >= 0)
                r = sd_bus_set_fd(peer->bus, client, client);
        if (r >= 0)
                r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(peer->bus, 1, id);
        if (r >= 0)
                r = sd_bus_add_object_vtable(peer->bus, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, vtable, peer);
        if (r >= 0)
                r = sd_bus_start(peer->bus);
        if (r >= 0)
                r = sd_bus_attach_event(peer->bus, daemon_state.loop, 0);
        return r;
}

static void emit(size_t i)
{
        for (size_t p = 0; p < PEERS_MAX; p++) {
                struct peer *peer = &daemon_state.peers[p];
                sd_bus_message *m = NULL;

                if (!peer->bus || !peer->subscribed)
                        continue;
                if (sd_bus_message_new_signal(peer->bus, &m, HR_BUS_PATH, HR_BUS_INTERFACE, "Event") >= 0 &&
                        append_event(m, HR_BUS_EVENT_FIELDS, i) >= 0)
                        sd_bus_send(peer->bus, m, NULL);
                sd_bus_message_unref(m);
        }
}

/* ---- what the test says ---- */

#define WORDS_MAX 12

static void happen(char *const *words)
{
        static const unsigned char places[] = {[JOB] = 1,
                [NAME] = 2,
                [STAGE] = 3,
                [PREVIOUS] = 4,
                [ACTION] = 7,
                [OUTCOME] = 8,
                [REASON] = 9};
        struct daemon *d = &daemon_state;
        struct event *e;
        struct timespec ts;

        if (d->event_count == EVENTS_MAX)
                exit(EXIT_FAILURE);
        clock_gettime(CLOCK_REALTIME, &ts);
        e = &d->events[d->event_count];
        e->time_usec = (uint64_t)ts.tv_sec * HR_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                copy(e->words[i], sizeof(e->words[i]), words[places[i]]);
        e->used_bytes = strtoull(words[5] ? words[5] : "0", NULL, 10);
        e->limit_bytes = strtoull(words[6] ? words[6] : "0", NULL, 10);
        copy(d->hints[d->event_count], WORD_MAX, words[10]);
        for (size_t i = 0; i < d->job_count; i++)
                if (strcmp(d->jobs[i].id, words[1]) == 0)
                        copy(d->jobs[i].stage, sizeof(d->jobs[i].stage), words[3]);
        emit(d->event_count++);
}

static void obey(char *line)
{
        struct daemon *d = &daemon_state;
        char *words[WORDS_MAX] = {NULL};
        sd_bus_error error = SD_BUS_ERROR_NULL;

        for (size_t i = 0; line && i + 1 < WORDS_MAX; i++)
                words[i] = strsep(&line, "\t");
        if (strcmp(words[0], "job") == 0 && words[5]) {
                struct job *job = add_job(words[1], 0, strtoull(words[4], NULL, 10));

                copy(job->stage, sizeof(job->stage), words[2]);
                job->used_bytes = strtoull(words[3], NULL, 10);
                copy(job->reason, sizeof(job->reason), words[5]);
        } else if (strcmp(words[0], "kind") == 0) {
                copy(d->kind, sizeof(d->kind), words[1]);
        } else if (strcmp(words[0], "refuse") == 0) {
                copy(d->refusal, sizeof(d->refusal), words[1]);
                copy(d->message, sizeof(d->message), words[2]);
        } else if (strcmp(words[0], "event") == 0) {
                happen(words);
        } else if (strcmp(words[0], "use") == 0 && words[1] && words[2]) {
                struct job *job = find_job(words[1], &error);

                if (job)
                        job->used_bytes = strtoull(words[2], NULL, 10);
                sd_bus_error_free(&error);
        } else if (strcmp(words[0], "forget") == 0 && words[1]) {
                struct job *job = find_job(words[1], &error);

                if (job)
                        job->gone = true;
                sd_bus_error_free(&error);
        } else if (strcmp(words[0], "drop") == 0) {
                for (size_t p = 0; p < PEERS_MAX; p++)
                        if (d->peers[p].bus)
                                drop_peer(&d->peers[p]);
        } else if (strcmp(words[0], "full") == 0 && words[1]) {
                d->full_count = strtoul(words[1], NULL, 10);
        } else {
                printf("what is %s?\n", words[0]);
        }
        puts("done");
}

static int on_stdin(
        sd_event_source *source HR_UNUSED, int fd, uint32_t events HR_UNUSED, void *userdata HR_UNUSED)
{
        static char text[65536];
        static size_t size;
        char *newline;
        ssize_t n;

        n = read(fd, text + size, sizeof(text) - size - 1);
        if (n <= 0)
                return sd_event_exit(daemon_state.loop, 0);
        size += (size_t)n;
        text[size] = '\0';
        while ((newline = strchr(text, '\n'))) {
                *newline = '\0';
                obey(text);
                size -= (size_t)(newline + 1 - text);
                memmove(text, newline + 1, size + 1);
        }
        return 0;
}

int main(int argc, char **argv)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _close_ int fd = -1;
        int r;

        if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
                fprintf(stderr, "usage: fake-daemon SOCKET\n");
                return 2;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        signal(SIGPIPE, SIG_IGN);
        strcpy(address.sun_path, argv[1]);
        unlink(argv[1]);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0) {
                perror(argv[1]);
                return EXIT_FAILURE;
        }
        r = sd_event_new(&daemon_state.loop);
        if (r >= 0)
                r = sd_event_add_io(daemon_state.loop, NULL, fd, EPOLLIN, on_peer, NULL);
        if (r >= 0)
                r = sd_event_add_io(daemon_state.loop, NULL, STDIN_FILENO, EPOLLIN, on_stdin, NULL);
        if (r < 0) {
                fprintf(stderr, "fake-daemon: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        puts("done");
        r = sd_event_loop(daemon_state.loop);
        for (size_t p = 0; p < PEERS_MAX; p++)
                if (daemon_state.peers[p].bus)
                        drop_peer(&daemon_state.peers[p]);
        sd_event_unref(daemon_state.loop);
        return r < 0 ? EXIT_FAILURE : 0;
}
