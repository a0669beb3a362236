/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "drill.h"

/*
 * A job that outgrows its limit is started by `headroom run`, as any other would be, and what becomes of it
 * is measured: how long before the end it was warned, how far past the level it was held, how long the freeze
 * took, and whether the kernel struck. Once it is held it is given more room, and has to finish with all that
 * it held intact.
 *
 * The host is never at risk: the job is small, it ends by itself at half as much again as its limit, it may
 * not allocate more (RLIMIT_DATA), it is the first that the kernel would kill (oom_score_adj), it ends with
 * its parent and after two minutes; and the drill does not begin where the host has not eight times its limit
 * to spare. Whatever ends the drill ends the job.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "ask.h"
#include "clock.h"
#include "exit.h"
#include "fd.h"
#include "output.h"
#include "think/parse.h"
#include "think/sample.h"
#include "think/units.h"

#define LIMIT_BYTES (64 * HR_MIB)
#define LIMIT_LEAST_BYTES (16 * HR_MIB)
#define LIMIT_MOST_BYTES (4 * HR_GIB)
#define HOST_FACTOR 8                        /* so many times its limit the host must have available */
#define FILL_SECONDS 4                       /* from nothing to its limit; chosen, not tuned */
#define STILL_USEC (2 * HR_USEC_PER_SEC)     /* from the decision to hold it until it must stand */
#define PATIENCE_USEC (60 * HR_USEC_PER_SEC) /* for all of it */
#define GO_ON_USEC (20 * HR_USEC_PER_SEC)    /* with more room, until it has finished */
#define CLEAN_USEC (5 * HR_USEC_PER_SEC)     /* for the job to end when it is told to */
#define TICK_USEC (100 * HR_USEC_PER_MSEC)
#define LAST_WORD_USEC (500 * HR_USEC_PER_MSEC) /* for the daemon's event of the end */

/* ---- the job ---- */

#define BLOCK_BYTES (256 * 1024)
#define BLOCKS_MAX (LIMIT_MOST_BYTES / BLOCK_BYTES * 2)
#define BOMB_SECONDS 120
#define BOMB_SHORT 10 /* its status where it was given no more memory */

static volatile sig_atomic_t bomb_told;

static void on_told(int number)
{
        bomb_told = number;
}

static bool is_intact(unsigned char *const *blocks, size_t count)
{
        for (size_t i = 0; i < count; i++)
                for (size_t at = 0; at < BLOCK_BYTES; at += 4096)
                        if (blocks[i][at] != (unsigned char)(i % 251 + 1))
                                return false;
        return true;
}

static void limit_bomb(uint64_t bytes)
{
        struct rlimit data = {bytes + 16 * HR_MIB, bytes + 16 * HR_MIB};
        struct sigaction told = {.sa_handler = on_told};
        _close_ int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

#ifndef HR_SANITIZED /* a sanitizer's shadow memory alone is larger */
        (void)setrlimit(RLIMIT_DATA, &data);
#else
        (void)data;
#endif
        if (score >= 0)
                (void)!write(score, "1000", 4); /* raising one's own is anybody's right */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)alarm(BOMB_SECONDS);
        (void)sigaction(SIGINT, &told, NULL);
        (void)sigaction(SIGTERM, &told, NULL);
}

/* 0: it came to its end, or was told to end, with all its blocks intact. */
int hr_drill_bomb(char **arguments)
{
        uint64_t bytes = arguments[0] ? strtoull(arguments[0], NULL, 10) : 0;
        uint64_t rate = bytes > 0 && arguments[1] ? strtoull(arguments[1], NULL, 10) : 0;
        size_t count = MIN(bytes / BLOCK_BYTES, (uint64_t)BLOCKS_MAX), have = 0;

        if (rate == 0)
                return HR_EXIT_USAGE;
        limit_bomb(bytes);
        _free_ unsigned char **blocks = calloc(count + 1, sizeof(*blocks));
        if (!blocks)
                return HR_EXIT_FAILED;
        struct timespec pause = {.tv_nsec = (long)MIN(999999999U, BLOCK_BYTES * 1000000000ULL / rate)};
        for (; have < count && !bomb_told; have++) {
                void *block =
                        mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (block == MAP_FAILED)
                        break; /* the fuse: what Python would have as a MemoryError */
                memset(block, (int)(have % 251 + 1), BLOCK_BYTES);
                blocks[have] = block;
                (void)nanosleep(&pause, NULL);
        }
        if (!is_intact(blocks, have))
                return HR_EXIT_FAILED;
        return have < count && !bomb_told ? BOMB_SHORT : HR_EXIT_DONE;
}

/* ---- the drill ---- */

struct drill {
        const struct hr_options *o;
        uint64_t limit_bytes;
        char name[32], limit[32];
        struct hr_call *call, *events; /* the second has the events alone */
        sd_event *loop;
        pid_t runner; /* `headroom run`, 0: reaped or never there */
        int wait_status, said_fd;
        int stopped_by; /* a signal to us */
        bool lost;      /* the daemon is gone */

        /* what was seen */
        char job[32], kind[24], policy[64], reason[256];
        uint64_t start_usec, warned_usec, hold_usec, interrupt_usec,
                end_usec;    /* CLOCK_REALTIME, 0: not seen */
        int64_t freeze_usec; /* -1: not told */
        bool observed, still, oom_killed, ended, freeze_failed;
        uint64_t used_bytes; /* when it stood still */
        bool answered, resumed;
        uint64_t answered_usec; /* CLOCK_MONOTONIC */
        char refused[256];
        uint64_t hold_bytes; /* its policy's level of its limit; HR_BYTES_NONE: that stage is off */
        bool policy_observes;
};

static void drill_done(struct drill *d)
{
        hr_call_free(d->events);
        hr_call_free(d->call);
        sd_event_unref(d->loop);
        hr_close(d->said_fd);
}
#define _drill_ HR_CLEANUP(drill_done)

static void on_event(const struct hr_call_event *e, void *userdata)
{
        struct drill *d = userdata;
        bool done = strcmp(e->outcome, "done") == 0;
        int stage = hr_stage_from_name(e->stage);

        if (strcmp(e->name, d->name) != 0)
                return;
        if (!d->job[0])
                snprintf(d->job, sizeof(d->job), "%s", e->job);
        d->observed |= strcmp(e->outcome, "observed") == 0;
        if (stage >= HR_STAGE_NOTICE && d->warned_usec == 0)
                d->warned_usec = e->time_usec;
        if (strcmp(e->action, "freeze") == 0) {
                if (done && d->hold_usec == 0)
                        d->hold_usec = e->time_usec;
                d->freeze_failed |= strcmp(e->outcome, "failed") == 0;
        } else if (strcmp(e->action, "frozen") == 0) {
                d->freeze_usec = e->took_usec;
                d->still = true;
        } else if (strcmp(e->action, "interrupt") == 0 && !d->answered &&
                   strcmp(e->outcome, "observed") != 0 && strcmp(e->outcome, "passed over") != 0) {
                d->interrupt_usec = e->time_usec;
        } else if (strcmp(e->action, "end") == 0) {
                d->ended = true;
                d->end_usec = e->time_usec;
                d->oom_killed |= strcmp(e->outcome, "lost") == 0;
                snprintf(d->reason, sizeof(d->reason), "%s", e->reason);
        }
}

static void on_lost(void *userdata)
{
        ((struct drill *)userdata)->lost = true;
}

static int on_signal(sd_event_source *s HR_UNUSED, const struct signalfd_siginfo *info, void *userdata)
{
        ((struct drill *)userdata)->stopped_by = (int)info->ssi_signo;
        return 0;
}

static int on_runner(sd_event_source *s HR_UNUSED, const siginfo_t *info, void *userdata)
{
        struct drill *d = userdata;

        d->runner = 0;
        d->wait_status = info->si_code == CLD_EXITED ? info->si_status : HR_EXIT_SIGNAL + info->si_status;
        return 0;
}

/* Starts `headroom run` with ourselves as the job, in a process group of its own: ctrl-C is ours to answer.
 */
static int start(struct drill *d, const sigset_t *before)
{
        char self[PATH_MAX] = "", bytes[32], rate[32];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        const char *policy = d->o->value[HR_OPTION_POLICY], *socket = hr_call_socket(d->call);
        char *words[24];
        size_t count = 0;

        if (n <= 0)
                return -errno;
        snprintf(bytes, sizeof(bytes), "%" PRIu64, d->limit_bytes + d->limit_bytes / 2);
        snprintf(rate, sizeof(rate), "%" PRIu64, d->limit_bytes / FILL_SECONDS);
        const char *const fixed[] = {self, "run", "--socket", socket, "--name", d->name, "--limit", d->limit,
                "--no-python-hook", policy ? "--policy" : "--", policy ? policy : self};
        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                words[count++] = (char *)fixed[i];
        if (policy) {
                words[count++] = (char *)"--";
                words[count++] = self;
        }
        words[count++] = (char *)HR_DRILL_BOMB;
        words[count++] = bytes;
        words[count++] = rate;
        words[count] = NULL;
        d->said_fd = memfd_create("headroom-drill", MFD_CLOEXEC);
        if (d->said_fd < 0)
                return -errno;
        pid_t parent = getpid(), pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                int null = open("/dev/null", O_RDWR);

                (void)setpgid(0, 0);
                (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* it passes that on */
                (void)sigprocmask(SIG_SETMASK, before, NULL);
                if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
                        dup2(null, STDOUT_FILENO) >= 0 && dup2(d->said_fd, STDERR_FILENO) >= 0)
                        execv(self, words);
                _exit(HR_EXIT_NOT_STARTED);
        }
        d->runner = pid;
        d->start_usec = hr_clock_realtime_usec();
        int r = sd_event_add_child(d->loop, NULL, pid, WEXITED, on_runner, d);
        return MIN(r, 0);
}

/* "hold = 97%" of the policy that watches it. */
static void read_policy(struct drill *d)
{
        _answer_ struct hr_call_answer answer = {0};
        uint32_t level = 0;
        char *rest, *line;

        if (d->policy[0] == '\0' || hr_call_policies(d->call, d->policy, &answer) != 0)
                return;
        for (rest = answer.message; (line = strsep(&rest, "\n"));) {
                double percent;

                if (sscanf(line, "hold = %lf%%", &percent) == 1)
                        level = (uint32_t)(percent * 100 + 0.5);
                d->policy_observes |= strcmp(line, "observe = yes") == 0;
        }
        if (level > 0)
                d->hold_bytes = d->limit_bytes / HR_PERMYRIAD_ALL * level;
}

/* What status says of it; false: nothing, for it has ended. */
static bool look(struct drill *d, struct hr_call_list *list)
{
        if (hr_call_status(d->call, d->job[0] ? d->job : d->name, list) != 0 || list->count != 1)
                return false;
        snprintf(d->job, sizeof(d->job), "%s", list->jobs->job);
        snprintf(d->kind, sizeof(d->kind), "%s", list->jobs->kind);
        if (!d->policy[0]) {
                snprintf(d->policy, sizeof(d->policy), "%s", list->jobs->policy);
                read_policy(d);
        }
        return true;
}

/* It stands: what it uses now is what the hold came to. Then it gets room to finish, or if that is refused
 * its end. */
static void answer_hold(struct drill *d)
{
        _list_ struct hr_call_list list = {0};
        _answer_ struct hr_call_answer answer = {0}, killed = {0};

        if (!look(d, &list) || !list.jobs->frozen)
                return;
        d->used_bytes = list.jobs->used_bytes;
        d->still = d->answered = true;
        d->answered_usec = hr_clock_usec();
        if (hr_call_resume(d->call, d->job, true, 2 * d->limit_bytes, &answer) == 0) {
                d->resumed = true;
                return;
        }
        snprintf(d->refused, sizeof(d->refused), "%s", hr_call_message(d->call));
        (void)hr_call_act(d->call, "kill", d->job, &killed); /* it has ended else, which is as good */
}

static bool is_over(const struct drill *d, uint64_t begun_usec)
{
        uint64_t now = hr_clock_usec();

        return d->stopped_by || d->lost || d->runner == 0 || now >= begun_usec + PATIENCE_USEC ||
               (d->answered && now >= d->answered_usec + GO_ON_USEC);
}

/* Whatever is left of it: by the daemon, which also lets a frozen one go, then with its runner. */
static void clean(struct drill *d)
{
        uint64_t until = hr_clock_usec() + CLEAN_USEC;
        _answer_ struct hr_call_answer answer = {0};

        if (d->runner == 0)
                return;
        if (d->job[0] && !d->lost)
                (void)hr_call_act(d->call, "kill", d->job, &answer);
        else
                (void)kill(d->runner, SIGTERM);
        while (d->runner != 0 && hr_clock_usec() < until)
                if (sd_event_run(d->loop, TICK_USEC) < 0)
                        break;
        if (d->runner != 0) {
                (void)kill(d->runner, SIGKILL); /* the job ends with it: PR_SET_PDEATHSIG */
                (void)waitpid(d->runner, NULL, 0);
        }
}

static int watch(struct drill *d)
{
        uint64_t begun = hr_clock_usec();
        int r = 0;

        while (r >= 0 && !is_over(d, begun)) {
                r = sd_event_run(d->loop, TICK_USEC);
                if (!d->kind[0] && !d->lost) {
                        _list_ struct hr_call_list list = {0};
                        (void)look(d, &list);
                }
                if (d->hold_usec > 0 && !d->answered &&
                        (d->still || hr_clock_realtime_usec() >= d->hold_usec + STILL_USEC))
                        answer_hold(d);
        }
        for (uint64_t until = hr_clock_usec() + LAST_WORD_USEC;
                r >= 0 && d->runner == 0 && !d->ended && !d->lost && d->job[0] && hr_clock_usec() < until;)
                r = sd_event_run(d->loop, TICK_USEC);
        return MIN(r, 0);
}

/* ---- what came of it ---- */

struct report {
        bool saved, oom_killed, resumed;
        const char *outcome, *job, *kind, *policy;
        uint64_t limit_bytes, hold_bytes, used_bytes, overshoot_bytes;
        int64_t warning_milliseconds, freeze_microseconds; /* -1: not known */
        char verdict[400], warning[120], held[200], freeze[120], kernel[120];
        char remedy[900];
};
#define REPORT(member) offsetof(struct report, member)

static const struct hr_field fields[] = {
        {"saved", NULL, NULL, HR_TYPE_FLAG, REPORT(saved), 0},
        {"outcome", NULL, NULL, HR_TYPE_TEXT, REPORT(outcome), 0},
        {NULL, NULL, "verdict", HR_TYPE_CHARS, REPORT(verdict), 0},
        {"job", NULL, "job", HR_TYPE_TEXT, REPORT(job), 0},
        {"kind", NULL, "kind", HR_TYPE_TEXT, REPORT(kind), 0},
        {"policy", NULL, "policy", HR_TYPE_TEXT, REPORT(policy), 0},
        {"limit_bytes", NULL, "limit", HR_TYPE_BYTES, REPORT(limit_bytes), 0},
        {"hold_bytes", NULL, NULL, HR_TYPE_BYTES, REPORT(hold_bytes), 0},
        {NULL, NULL, "warned", HR_TYPE_CHARS, REPORT(warning), 0},
        {"warning_milliseconds", NULL, NULL, HR_TYPE_STATUS, REPORT(warning_milliseconds), 0},
        {NULL, NULL, "held", HR_TYPE_CHARS, REPORT(held), 0},
        {"used_bytes", NULL, NULL, HR_TYPE_BYTES, REPORT(used_bytes), 0},
        {"overshoot_bytes", NULL, NULL, HR_TYPE_BYTES, REPORT(overshoot_bytes), 0},
        {NULL, NULL, "frozen", HR_TYPE_CHARS, REPORT(freeze), 0},
        {"freeze_microseconds", NULL, NULL, HR_TYPE_STATUS, REPORT(freeze_microseconds), 0},
        {NULL, NULL, "kernel", HR_TYPE_CHARS, REPORT(kernel), 0},
        {"oom_killed", NULL, NULL, HR_TYPE_FLAG, REPORT(oom_killed), 0},
        {"resumed", NULL, NULL, HR_TYPE_FLAG, REPORT(resumed), 0},
        {"remedy", NULL, "to mend", HR_TYPE_CHARS, REPORT(remedy), 0},
};
static const struct hr_table table = {fields, ELEMENTSOF(fields), sizeof(struct report), false};

/* What to type, by how far it came. */
static void write_remedy(const struct drill *d, struct report *r)
{
        const char *policy = d->policy[0] ? d->policy : "default";
        char text[sizeof(r->remedy)] = "";

        if (d->policy_observes || d->observed)
                snprintf(text, sizeof(text),
                        "policy %s only observes: name another in its [match] of headroom.conf, or by "
                        "headroom "
                        "drill --policy default",
                        policy);
        else if (d->lost)
                snprintf(text, sizeof(text),
                        "headroomd ended meanwhile: systemctl status headroomd, journalctl -u headroomd");
        else if (d->wait_status == BOMB_SHORT)
                snprintf(text, sizeof(text),
                        "a limit of your shell is in the way: ulimit -d unlimited; ulimit -v unlimited; then "
                        "again");
        else if (d->hold_bytes == HR_BYTES_NONE && d->hold_usec == 0)
                snprintf(text, sizeof(text),
                        "policy %s does not hold: [policy %s] hold = 97%%, and a hold_timeout that is not 0, "
                        "in "
                        "headroom.conf; then systemctl reload headroomd",
                        policy, policy);
        else if (d->freeze_failed || (d->hold_usec > 0 && !d->still))
                snprintf(text, sizeof(text),
                        "it was to be frozen, and did not stand in time: headroom doctor tells of the "
                        "freezer; "
                        "[policy %s] hold = 90%% in headroom.conf begins earlier; then systemctl reload "
                        "headroomd",
                        policy);
        else if (d->hold_usec > 0)
                snprintf(text, sizeof(text), "it was held and still lost: headroom events %s tells by what",
                        d->job);
        else if (d->warned_usec > 0)
                snprintf(text, sizeof(text),
                        "it was warned, and not held in time: [policy %s] hold = 90%% in headroom.conf "
                        "begins "
                        "earlier; [daemon] fill_rate = 16G looks more often; then systemctl restart "
                        "headroomd",
                        policy);
        else
                snprintf(text, sizeof(text),
                        "headroomd did not even warn it: is it kept from running? headroom doctor; [daemon] "
                        "lock_memory = yes, poll_min = 250us and fill_rate = 16G in headroom.conf; then "
                        "systemctl "
                        "restart headroomd");
        snprintf(r->remedy, sizeof(r->remedy), "%s", text);
}

static void write_verdict(const struct drill *d, struct report *r)
{
        bool killed = d->wait_status == HR_EXIT_SIGNAL + SIGKILL;
        bool intact = d->wait_status == 0 || d->wait_status == HR_EXIT_INTERRUPTED;
        bool is_short = d->wait_status == BOMB_SHORT;
        const char *text;

        r->oom_killed = d->oom_killed || (killed && !d->answered && !d->lost);
        if (r->oom_killed) {
                r->outcome = "lost";
                text = "NOT SAVED: the kernel's OOM killer struck it";
        } else if (d->answered && d->resumed && intact) {
                r->outcome = "held";
                text = "saved: it was held, got more room, and finished with all that it held intact";
        } else if (d->answered && !d->resumed) {
                r->outcome = "held";
                text = "saved: it was held (more room was refused, so the drill ended it)";
        } else if (d->interrupt_usec > 0 && (intact || is_short)) {
                r->outcome = "interrupted";
                text = "saved: it was interrupted, and ended in order";
        } else if (is_short) {
                r->outcome = "unknown";
                text = "NOT TRIED: its job was refused memory before its limit";
        } else if (d->lost) {
                r->outcome = "unknown";
                text = "NOT SAVED: headroomd ended before the drill did";
        } else if (d->answered) {
                r->outcome = "broken";
                text = "NOT SAVED: it was held and given more room, and did not finish";
        } else {
                r->outcome = "unhindered";
                text = "NOT SAVED: nothing stopped it at its limit";
        }
        r->saved = strncmp(text, "saved", 5) == 0;
        snprintf(r->verdict, sizeof(r->verdict), "%s%s%s", text, d->refused[0] ? ": " : "", d->refused);
}

static void make_report(const struct drill *d, struct report *r)
{
        char a[HR_TEXT_SIZE_MAX], b[HR_TEXT_SIZE_MAX];
        uint64_t end = d->hold_usec > 0        ? d->hold_usec
                       : d->interrupt_usec > 0 ? d->interrupt_usec
                                               : d->end_usec;

        *r = (struct report){.job = d->job,
                .kind = d->kind,
                .policy = d->policy,
                .limit_bytes = d->limit_bytes,
                .hold_bytes = d->hold_bytes,
                .used_bytes = HR_BYTES_NONE,
                .overshoot_bytes = HR_BYTES_NONE,
                .warning_milliseconds = -1,
                .freeze_microseconds = d->freeze_usec,
                .resumed = d->resumed};
        write_verdict(d, r);
        if (d->warned_usec > 0 && end >= d->warned_usec) {
                r->warning_milliseconds = (int64_t)((end - d->warned_usec) / HR_USEC_PER_MSEC);
                snprintf(r->warning, sizeof(r->warning), "%.1f s before %s, growing %s/s",
                        (double)(end - d->warned_usec) / HR_USEC_PER_SEC,
                        end == d->end_usec ? "its end" : "it was stopped",
                        hr_units_format_bytes(a, d->limit_bytes / FILL_SECONDS));
        } else {
                snprintf(r->warning, sizeof(r->warning), "%s", d->warned_usec > 0 ? "yes" : "not at all");
        }
        if (d->answered) {
                r->used_bytes = d->used_bytes;
                if (d->hold_bytes != HR_BYTES_NONE)
                        r->overshoot_bytes = hr_sub(d->used_bytes, d->hold_bytes);
                hr_units_format_bytes(a, d->used_bytes);
                if (d->used_bytes > d->limit_bytes)
                        snprintf(r->held, sizeof(r->held), "at %s, %s above its limit, which stood back", a,
                                hr_units_format_bytes(b, d->used_bytes - d->limit_bytes));
                else
                        snprintf(r->held, sizeof(r->held), "at %s, %s before its limit", a,
                                hr_units_format_bytes(b, d->limit_bytes - d->used_bytes));
                if (r->overshoot_bytes != HR_BYTES_NONE) {
                        size_t used = strlen(r->held);
                        snprintf(r->held + used, sizeof(r->held) - used, "; %s past the level of the hold",
                                hr_units_format_bytes(b, r->overshoot_bytes));
                }
        }
        if (d->freeze_usec >= 0)
                snprintf(r->freeze, sizeof(r->freeze), "%.1f ms after the decision",
                        (double)d->freeze_usec / 1000);
        snprintf(r->kernel, sizeof(r->kernel), "%s",
                r->oom_killed                     ? "its OOM killer struck"
                : strcmp(d->kind, "process") == 0 ? "not asked to limit it: it has no cgroup of its own"
                                                  : "no OOM kill");
        if (!r->saved)
                write_remedy(d, r);
}

/* ---- the verb ---- */

/* Has the host room for it, however it goes? */
static int check_host(const struct drill *d)
{
        char text[4096], need[HR_TEXT_SIZE_MAX], have[HR_TEXT_SIZE_MAX];
        _close_ int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        struct hr_meminfo info;
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

        if (n > 0 && hr_parse_meminfo(text, (size_t)n, &info) == 0 &&
                info.available_bytes >= HOST_FACTOR * d->limit_bytes)
                return 0;
        hr_output_say(HR_STYLE_PLAIN,
                "the drill needs %s of available memory, so that nothing else is at risk; the "
                "host has %s: headroom drill --limit takes less",
                hr_units_format_bytes(need, HOST_FACTOR * d->limit_bytes),
                n > 0 ? hr_units_format_bytes(have, info.available_bytes) : "none that could be read");
        return HR_EXIT_FAILED;
}

static int read_limit(struct drill *d)
{
        const char *given = d->o->value[HR_OPTION_LIMIT];
        int r = given ? hr_options_read_size("limit", given, &d->limit_bytes) : 0;

        if (r != 0)
                return r;
        if (d->limit_bytes < LIMIT_LEAST_BYTES || d->limit_bytes > LIMIT_MOST_BYTES) {
                hr_output_say(
                        HR_STYLE_PLAIN, "limit %s can't be used for a drill: it takes 16M to 4G", given);
                return HR_EXIT_USAGE;
        }
        d->limit_bytes -= d->limit_bytes % BLOCK_BYTES;
        hr_units_spell_bytes(d->limit, d->limit_bytes);
        return 0;
}

static int set_up(struct drill *d, sigset_t *ret_before)
{
        static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                sigaddset(&mask, numbers[i]);
        (void)sigprocmask(SIG_BLOCK, &mask, ret_before);
        r = sd_event_new(&d->loop);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(numbers); i++)
                r = sd_event_add_signal(d->loop, NULL, numbers[i], on_signal, d);
        return MIN(r, 0);
}

static void say_not_begun(const struct drill *d)
{
        char text[2000] = "";
        ssize_t n = pread(d->said_fd, text, sizeof(text) - 1, 0);

        hr_output_say(HR_STYLE_PLAIN, "the drill's job did not begin%s", n > 0 ? "; its run said:" : "");
        if (n > 0)
                fputs(text, stderr); /* it is our own, and escaped */
}

int hr_drill_verb(const struct hr_verb_info *verb HR_UNUSED, const struct hr_options *o)
{
        _drill_ struct drill d = {.o = o,
                .limit_bytes = LIMIT_BYTES,
                .said_fd = -1,
                .freeze_usec = -1,
                .hold_bytes = HR_BYTES_NONE};
        struct report report;
        sigset_t before;
        int r;

        r = read_limit(&d);
        if (r != 0 || (r = hr_ask_connect(o, &d.call)) != 0 || (r = check_host(&d)) != 0)
                return r;
        if (hr_call_connect(hr_call_socket(d.call), HR_CALL_WAIT_USEC, &d.events, NULL) != 0)
                return hr_call_say_unreachable(hr_call_socket(d.call), "");
        snprintf(d.name, sizeof(d.name), "drill-%d", (int)getpid());
        r = set_up(&d, &before);
        if (r >= 0 && hr_call_follow(d.events, d.loop, NULL, 0, 0, on_event, on_lost, &d) != 0)
                return hr_ask_failed(d.events, HR_EXIT_FAILED);
        if (r >= 0)
                r = start(&d, &before);
        if (r >= 0)
                r = watch(&d);
        clean(&d);
        if (r < 0) {
                hr_output_say(HR_STYLE_PLAIN, "the drill could not be carried out: %s", strerror(-r));
                return HR_EXIT_FAILED;
        }
        if (d.stopped_by) {
                hr_output_say(HR_STYLE_PLAIN, "the drill was broken off; its job was ended");
                return HR_EXIT_SIGNAL + d.stopped_by;
        }
        if (!d.job[0]) {
                say_not_begun(&d);
                return d.lost ? HR_EXIT_UNREACHABLE : HR_EXIT_FAILED;
        }
        make_report(&d, &report);
        hr_output_rows(&table, &report, 1, hr_ask_json(o) ? HR_FORMAT_JSON : HR_FORMAT_DETAIL);
        return report.saved ? HR_EXIT_DONE : HR_EXIT_FAILED;
}
