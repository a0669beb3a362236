/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "fd.h"
#include "tell/channel.h"

/*
 * Goal: what the processes of a job say becomes one answer, exactly one, whatever they do; and no process,
 * whatever it does, keeps the loop busy or the others out.
 *
 * The channel runs in the test's own loop, on a socket in a temporary directory. Its peers are children that
 * follow a part written in a table, or connections of the test itself. Which process is in which job is in a
 * table here as well.
 */

#define PEERS_MAX 256
#define ANSWERS_MAX 256
#define SOON_USEC (20 * HR_USEC_PER_SEC) /* for what will come: only a failure waits so long */
#define OTHER_UID 65534

static char directory[] = "/tmp/headroom-test-channel-XXXXXX";
static char path[128];
static sd_event *event;
static struct hr_channel *channel;

static struct {
        pid_t pid;
        char job[HR_ID_MAX];
} members[PEERS_MAX];
static size_t members_count;
static uid_t owner;
static uint64_t job_of_count, wake_count;

static struct hr_channel_answer *answers[ANSWERS_MAX]; /* all but PEERS and NEED */
static size_t answers_count;
static struct hr_channel_answer peers_now, need_now; /* the last of these */
static unsigned peers_told, need_told;
static uint32_t peers_of[16]; /* now, by the number in the job's id */
static char said[256];        /* unasked: "JOB PID WORD ABILITIES LINE FILE;" each */

/* ---- the daemon's side ---- */

static int job_of(void *userdata, pid_t pid, uid_t uid, char job[HR_ID_MAX])
{
        assert_ptr_equal(userdata, &event);
        job_of_count++;
        for (size_t i = members_count; i-- > 0;)
                if (members[i].pid == pid) {
                        if (uid != owner)
                                return -EPERM;
                        memcpy(job, members[i].job, HR_ID_MAX);
                        return 0;
                }
        return -ENOENT;
}

static int status_of(void *userdata HR_UNUSED, const char *job, struct hr_talk_status *ret)
{
        if (strcmp(job, "j1") != 0)
                return -ENOENT;
        *ret = (struct hr_talk_status){HR_STAGE_NOTICE, 300, 400, HR_USEC_NEVER};
        return 0;
}

static void answered(void *userdata HR_UNUSED, const struct hr_channel_answer *a)
{
        switch (a->kind) {
        case HR_CHANNEL_PEERS:
                peers_now = *a;
                peers_of[atoi(a->job + 1) % (int)ELEMENTSOF(peers_of)] = a->peers_count;
                peers_told++;
                break;
        case HR_CHANNEL_NEED:
                need_now = *a;
                need_told++;
                break;
        default:
                assert_true(answers_count < ANSWERS_MAX);
                answers[answers_count] = malloc(sizeof(*a));
                *answers[answers_count++] = *a;
        }
}

static void heard(void *userdata HR_UNUSED, const char *job, pid_t pid, const struct hr_talk *t)
{
        size_t n = strlen(said);

        snprintf(said + n, sizeof(said) - n, "%s %s %d %u %d %s;", job, pid == getpid() ? "self" : "other",
                (int)t->word, (unsigned)t->abilities, (int)t->line, t->file);
}

static uint64_t now_usec(clockid_t clock)
{
        struct timespec t;

        clock_gettime(clock, &t);
        return (uint64_t)t.tv_sec * HR_USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

static void turn(uint64_t usec)
{
        wake_count += sd_event_run(event, usec) > 0;
}

static void run_for(uint64_t usec)
{
        for (uint64_t end = now_usec(CLOCK_MONOTONIC) + usec, now; (now = now_usec(CLOCK_MONOTONIC)) < end;)
                turn(end - now);
}

/* Runs the loop until the condition holds. */
#define WAIT(condition)                                                             \
        do {                                                                        \
                uint64_t until_ = now_usec(CLOCK_MONOTONIC) + SOON_USEC;            \
                bool met_;                                                          \
                while (!(met_ = (condition)) && now_usec(CLOCK_MONOTONIC) < until_) \
                        turn(10 * HR_USEC_PER_MSEC);                                \
                if (!met_)                                                          \
                        print_error("waited in vain: %s\n", #condition);            \
                assert_true(met_);                                                  \
        } while (0)

static const struct hr_channel_answer *next_answer(void)
{
        size_t before = answers_count;

        WAIT(answers_count > before);
        return answers[before];
}

static struct hr_channel_options options(void)
{
        return (struct hr_channel_options){.event = event,
                .path = path,
                .job_of = job_of,
                .status_of = status_of,
                .answered = answered,
                .said = heard,
                .userdata = &event};
}

static int set_up(void **state HR_UNUSED)
{
        struct hr_channel_options o;

        owner = geteuid();
        members_count = 0;
        peers_told = need_told = 0;
        peers_now = need_now = (struct hr_channel_answer){0};
        memset(peers_of, 0, sizeof(peers_of));
        wake_count = job_of_count = 0;
        if (sd_event_new(&event) < 0)
                return -1;
        o = options();
        return hr_channel_new(&o, &channel);
}

static int tear_down(void **state HR_UNUSED)
{
        channel = hr_channel_free(channel);
        event = sd_event_unref(event);
        said[0] = '\0';
        while (answers_count > 0)
                free(answers[--answers_count]);
        for (size_t i = 0; i < members_count; i++)
                if (members[i].pid != getpid())
                        kill(members[i].pid, SIGKILL); /* not waited for yet: still its number */
        while (wait(NULL) >= 0)
                ;
        return access(path, F_OK) == 0;
}

/* ---- the jobs' side ---- */

static void enter(pid_t pid, const char *job)
{
        assert_true(members_count < PEERS_MAX);
        members[members_count].pid = pid;
        snprintf(members[members_count++].job, HR_ID_MAX, "%s", job);
}

static int dial(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path, path, sizeof(path) < 108 ? sizeof(path) : 108);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                fd = hr_close(fd);
        return fd;
}

/* A connection of the test's own, to job j1, with a hello or nothing said. */
static int join(const char *hello)
{
        unsigned before = peers_told;
        int fd;

        if (members_count == 0)
                enter(getpid(), "j1");
        fd = dial();
        assert_true(fd >= 0);
        if (hello)
                assert_int_equal(write(fd, hello, strlen(hello)), strlen(hello));
        WAIT(peers_told > before);
        return fd;
}

static void put(int fd, const char *text)
{
        WAIT(send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)strlen(text));
}

/* The channel has read all that was put: what it is asked next comes after that. */
static bool heard_all(int fd)
{
        int unread = -1;

        assert_int_equal(ioctl(fd, SIOCOUTQ, &unread), 0);
        return unread == 0;
}

/* Everything that has come by now, one poll after the other, "!" at its end: closed. */
static const char *take(int fd)
{
        static char text[8192];
        size_t size = 0;
        ssize_t n = -1;

        while (size + 2 < sizeof(text) &&
                (n = recv(fd, text + size, sizeof(text) - size - 2, MSG_DONTWAIT)) > 0)
                size += (size_t)n;
        if (n == 0 || (n < 0 && errno != EAGAIN))
                text[size++] = '!';
        text[size] = '\0';
        return text;
}

/* Runs the loop until so much has come. */
static void expect(const char *name, int fd, const char *wanted)
{
        char got[8192] = "";

        for (uint64_t until = now_usec(CLOCK_MONOTONIC) + SOON_USEC;
                strlen(got) < strlen(wanted) && now_usec(CLOCK_MONOTONIC) < until;) {
                strcat(got, take(fd));
                turn(HR_USEC_PER_MSEC);
        }
        EXPECT_STR(name, got, wanted);
}

/* What a child says when it has connected, and in answer to each request; NULL: nothing; "!" anywhere: then
 * it ends. "~" at the start: later than those without. */
struct part {
        const char *hello, *trim, *checkpoint, *why;
};

static void play(int fd, const char *text)
{
        if (!text)
                return;
        if (*text == '~') {
                usleep(300 * 1000);
                text++;
        }
        if (send(fd, text, strcspn(text, "!"), MSG_NOSIGNAL) < 0 || strchr(text, '!'))
                _exit(0);
}

static void act(const struct part *part)
{
        int fd = dial();
        FILE *in = fdopen(fd, "r");
        char line[256];

        if (!in)
                _exit(1);
        play(fd, part->hello);
        while (fgets(line, sizeof(line), in)) {
                if (strcmp(line, "trim\n") == 0)
                        play(fd, part->trim);
                if (strncmp(line, "checkpoint ", 11) == 0)
                        play(fd, part->checkpoint);
                if (strcmp(line, "why\n") == 0)
                        play(fd, part->why);
        }
        _exit(0);
}

static pid_t child(const char *job)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                /* With the daemon's ends of the connections none would ever be closed. */
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || close_range(3, ~0U, 0) < 0)
                        _exit(1);
        } else if (job)
                enter(pid, job);
        return pid;
}

static int end_of(pid_t pid) /* the status as waitpid() has it; the loop runs meanwhile */
{
        int status = -1;

        WAIT(waitpid(pid, &status, WNOHANG) == pid);
        for (size_t i = 0; i < members_count; i++)
                if (members[i].pid == pid)
                        members[i] = members[--members_count]; /* the number may be another's now */
        return status;
}

/* Children with these parts, in j1, all connected and greeted when it returns. */
static void cast(const struct part *parts, size_t count, pid_t *ret_pids)
{
        uint32_t plain = 0;

        assert_int_equal(peers_now.peers_count, 0);
        for (size_t i = 0; i < count; i++) {
                plain += !parts[i].hello;
                if ((ret_pids[i] = child("j1")) == 0)
                        act(&parts[i]);
        }
        WAIT(peers_now.peers_count == count && peers_now.plain_count == plain);
}

#define ALL "hello headroom/1 trim checkpoint why\n"

/* ---- the socket ---- */

static void test_socket(void **state HR_UNUSED)
{
        struct hr_channel_options o = options();
        struct hr_channel *other = NULL;
        char long_path[200];
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0666);
        assert_int_equal(hr_channel_new(&o, &other), -EADDRINUSE);
        assert_null(other);

        memset(long_path, 'a', sizeof(long_path));
        long_path[sizeof(long_path) - 1] = '\0';
        o.path = long_path;
        assert_int_equal(hr_channel_new(&o, &other), -ENAMETOOLONG);

        /* What is no socket is not removed. */
        o = options();
        channel = hr_channel_free(channel);
        assert_int_equal(stat(path, &st), -1);
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_int_equal(hr_channel_new(&o, &other), -EADDRINUSE);
        assert_int_equal(unlink(path), 0);
        assert_null(hr_channel_free(NULL));
}

static void test_stale_socket(void **state HR_UNUSED)
{
        struct hr_channel_options o = options();
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct stat st;
        int fd;

        channel = hr_channel_free(channel);
        memcpy(address.sun_path, path, sizeof(path) < 108 ? sizeof(path) : 108);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
        assert_int_equal(stat(path, &st), 0);
        o.user = true;
        assert_int_equal(hr_channel_new(&o, &channel), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        close(join(NULL));
}

/* In no job, of another user: closed before it can say anything. */
static void test_strangers(void **state HR_UNUSED)
{
        pid_t pid;
        int fd = dial();

        expect("in no job", fd, "!");
        close(fd);
        if (geteuid() == 0) {
                pid = child("j1");
                if (pid == 0)
                        _exit(setuid(OTHER_UID) < 0 ? 2 : read(dial(), &pid, 1) != 0);
                assert_int_equal(end_of(pid), 0);
                assert_int_equal(hr_channel_take_refused(channel), 2);
        }
        assert_int_equal(hr_channel_ask_trim(channel, "j1", SOON_USEC), 0);
        assert_int_equal(peers_told, 0);
}

static void test_room_for_each_job(void **state HR_UNUSED)
{
        int fds[HR_CHANNEL_PEERS_PER_JOB + 1];

        enter(getpid(), "j1");
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = dial();
        WAIT(peers_now.peers_count == HR_CHANNEL_PEERS_PER_JOB);
        expect("the last", fds[HR_CHANNEL_PEERS_PER_JOB], "!");
        assert_int_equal(hr_channel_ask_checkpoint(channel, "j1", 0, now_usec(CLOCK_REALTIME)), -EUSERS);
        snprintf(members[0].job, HR_ID_MAX, "j2"); /* another job has room */
        close(fds[HR_CHANNEL_PEERS_PER_JOB]);
        fds[HR_CHANNEL_PEERS_PER_JOB] = dial();
        WAIT(strcmp(peers_now.job, "j2") == 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
        WAIT(strcmp(peers_now.job, "j1") == 0 && peers_now.peers_count == 0);
}

/* ---- plain peers ---- */

static void test_plain(void **state HR_UNUSED)
{
        int fd = join(NULL);
        const struct hr_channel_answer *a;

        assert_int_equal(write(fd, "some 200000 2000000\0\xff\nhello headroom/1\n", 40), 40);
        WAIT(heard_all(fd));
        assert_int_equal(hr_channel_pressure(channel, "j1", HR_STAGE_TRIM), 0);
        assert_int_equal(hr_channel_ask_why(channel, "j1", SOON_USEC), 0);
        assert_int_equal(hr_channel_ask_trim(channel, "j1", 50 * HR_USEC_PER_MSEC), 1);
        assert_int_equal(hr_channel_ask_trim(channel, "j1", 50 * HR_USEC_PER_MSEC), -EALREADY);
        a = next_answer();
        assert_int_equal(a->kind, HR_CHANNEL_TRIMMED);
        assert_string_equal(a->job, "j1");
        assert_int_equal(a->asked_count, 1);
        assert_int_equal(a->answered_count, 0);
        assert_int_equal(a->bytes, 0);
        assert_int_equal(peers_now.plain_count, 1);

        /* It does not read: it stays readable, and nothing piles up. */
        for (int i = 0; i < 100; i++) {
                assert_int_equal(hr_channel_ask_trim(channel, "j1", 0), 1);
                next_answer();
        }
        expect("one request", fd, "trim\n");
        assert_int_equal(hr_channel_ask_trim(channel, "j1", 0), 1);
        expect("read, and asked again", fd, "trim\n");
        assert_string_equal(take(fd), "");
        close(fd);
        WAIT(peers_now.peers_count == 0 && peers_told >= 2);
}

/* ---- headroom/1 ---- */

static void test_hello(void **state HR_UNUSED)
{
        int fd = join(NULL), other = -1;

        put(fd, "hello headr");
        WAIT(peers_told >= 1);
        run_for(20 * HR_USEC_PER_MSEC);
        put(fd, "oom/1 trim fly\n");
        expect("welcome", fd, "welcome headroom/1 j1\n");
        WAIT(peers_now.can_count[HR_TALK_TRIM] == 1);
        assert_int_equal(peers_now.peers_count, 1);
        assert_int_equal(peers_now.plain_count, 0);
        assert_int_equal(hr_channel_pressure(channel, "j1", HR_STAGE_HOLD), 1);
        expect("pressure", fd, "pressure hold\n");

        put(fd, "sing a song\n\nhello headroom/1 checkpoint why\n");
        expect("again", fd, "welcome headroom/1 j1\n");
        WAIT(peers_now.can_count[HR_TALK_CHECKPOINT] == 1 && peers_now.can_count[HR_TALK_WHY] == 1);
        assert_int_equal(peers_now.can_count[HR_TALK_TRIM], 0);
        assert_int_equal(hr_channel_ask_trim(channel, "j1", 0), 0);

        other = join("hello headroom/1 why\n");
        WAIT(peers_now.can_count[HR_TALK_WHY] == 2);
        close(fd);
        close(other);
        WAIT(peers_now.peers_count == 0);
        assert_int_equal(hr_channel_take_refused(channel), 0);
}

static void test_status(void **state HR_UNUSED)
{
        int fd = join("hello headroom/1\nstatus\n");
        size_t count = 0;

        expect("status", fd, "welcome headroom/1 j1\nstatus notice 300 400 -1\n");
        run_for(100 * HR_USEC_PER_MSEC);
        /* It asks as fast as it can: some at once, then ten a second. */
        for (uint64_t end = now_usec(CLOCK_MONOTONIC) + 2 * HR_USEC_PER_SEC;
                now_usec(CLOCK_MONOTONIC) < end;) {
                (void)!send(fd, "status\n", 7, MSG_DONTWAIT | MSG_NOSIGNAL);
                turn(HR_USEC_PER_MSEC);
                for (const char *text = take(fd); (text = strchr(text, '\n')); text++)
                        count++;
        }
        assert_in_range(count, 20, 80 + 2 * 10 + 10);
        close(fd);
}

static const struct {
        const char *name, *line;
        size_t size; /* 0: strlen */
} broken[] = {
        {"NUL", "hello headroom/1\nfailed \0\n", 26},
        {"NUL in an unknown line", "hello headroom/1\n\0\n", 19},
        {"no UTF-8", "hello headroom/1\nfailed \xff\n", 0},
        {"escape codes", "hello headroom/1\nfailed \x1b[2J\n", 0},
        {"a negative number", "hello headroom/1\ntrimmed -1\n", 0},
        {"a number too large", "hello headroom/1\ntrimmed 99999999999999999999\n", 0},
        {"a relative path", "hello headroom/1\ncheckpointed a\n", 0},
        {"too long a wait", "hello headroom/1\nneed 3601\n", 0},
        {"broken greeting", "hello headroom/1 \x01\n", 0},
};

static void test_broken_lines(void **state HR_UNUSED)
{
        TEST_ROWS(row, broken)
        {
                int fd = join(NULL);
                char got[64] = "";

                assert_int_equal(write(fd, row->line, row->size ? row->size : strlen(row->line)),
                        row->size ? row->size : strlen(row->line));
                for (uint64_t until = now_usec(CLOCK_MONOTONIC) + SOON_USEC;
                        !strchr(got, '!') && now_usec(CLOCK_MONOTONIC) < until; turn(HR_USEC_PER_MSEC))
                        strcat(got, take(fd));
                EXPECT_TRUE(row->name, strchr(got, '!'));
                EXPECT_UINT(row->name, hr_channel_take_refused(channel), 1);
                close(fd);
                WAIT(peers_now.peers_count == 0);
        }
}

static void test_long_lines(void **state HR_UNUSED)
{
        static char line[HR_TALK_LINE_MAX + 1];
        int fd = join("hello headroom/1\n");

        expect("welcome", fd, "welcome headroom/1 j1\n");
        memset(line, 'x', sizeof(line));
        line[HR_TALK_LINE_MAX - 1] = '\n';
        for (size_t at = 0; at < HR_TALK_LINE_MAX; at += 1000) {
                size_t n = MIN(1000U, HR_TALK_LINE_MAX - at);

                assert_int_equal(write(fd, line + at, n), n);
                run_for(5 * HR_USEC_PER_MSEC);
        }
        put(fd, "status\n");
        expect("the longest", fd, "status notice 300 400 -1\n");
        line[HR_TALK_LINE_MAX - 1] = 'x';
        assert_int_equal(write(fd, line, HR_TALK_LINE_MAX), HR_TALK_LINE_MAX);
        expect("too long, without an end", fd, "!");
        close(fd);

        fd = join("hello headroom/1\n");
        expect("welcome", fd, "welcome headroom/1 j1\n");
        line[HR_TALK_LINE_MAX] = '\n';
        assert_int_equal(write(fd, line, sizeof(line)), sizeof(line));
        expect("too long", fd, "!");
        close(fd);
}

/* ---- many processes, one answer ---- */

static void test_trim(void **state HR_UNUSED)
{
        static const struct part parts[] = {
                {.hello = ALL, .trim = "trimmed 100\ntrimmed 5000\n"}, /* once is counted */
                {.hello = ALL, .trim = "~trimmed 20\n"},
                {.hello = ALL, .trim = "!"}, /* vanishes */
                {.hello = "hello headroom/1 why\n"},
                {.hello = NULL},
        };
        pid_t pids[ELEMENTSOF(parts)];
        const struct hr_channel_answer *a;

        cast(parts, ELEMENTSOF(parts), pids);
        assert_int_equal(hr_channel_ask_trim(channel, "j1", SOON_USEC), 4);
        a = next_answer();
        assert_int_equal(a->kind, HR_CHANNEL_TRIMMED);
        assert_int_equal(a->asked_count, 4);
        assert_int_equal(a->answered_count, 2);
        assert_int_equal(a->bytes, 120);
}

static void test_trim_timeout(void **state HR_UNUSED)
{
        static const struct part parts[] = {
                {.hello = ALL, .trim = "trimmed 9223372036854775807\n"},
                {.hello = ALL, .trim = "trimmed 9223372036854775807\n"},
                {.hello = ALL, .trim = "trimmed 9223372036854775807\n"},
                {.hello = ALL},
        };
        pid_t pids[ELEMENTSOF(parts)];
        const struct hr_channel_answer *a;

        cast(parts, ELEMENTSOF(parts), pids);
        assert_int_equal(hr_channel_ask_trim(channel, "j1", 1500 * HR_USEC_PER_MSEC), 4);
        a = next_answer();
        assert_int_equal(a->answered_count, 3);
        assert_true(a->bytes == HR_BYTES_NONE);                     /* saturated, not wrapped */
        assert_int_equal(hr_channel_ask_trim(channel, "j1", 0), 4); /* and may be asked again */
        next_answer();
}

static void test_checkpoint(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                struct part parts[3];
                int leader; /* index of the part; -1: not known */
                enum hr_channel_kind kind;
                const char *text; /* how it begins */
                int pid;          /* index; -1: none; -2: any */
        } rows[] = {
                {"all",
                        {{.hello = ALL, .checkpoint = "checkpointed /a\n"},
                                {.hello = ALL, .checkpoint = "~checkpointed /b\n"},
                                {.hello = ALL, .checkpoint = "~checkpointed /c\n"}},
                        -1, HR_CHANNEL_CHECKPOINTED, "/a", 0},
                {"the leader's path",
                        {{.hello = ALL, .checkpoint = "checkpointed /a\n"},
                                {.hello = ALL, .checkpoint = "~checkpointed /b%20%ff\n"},
                                {.hello = ALL, .checkpoint = "checkpointed /c\n"}},
                        1, HR_CHANNEL_CHECKPOINTED, "/b \xff", 1},
                {"one that can't is not asked",
                        {{.hello = "hello headroom/1 trim\n"},
                                {.hello = ALL, .checkpoint = "checkpointed /b\n"}, {.hello = NULL}},
                        0, HR_CHANNEL_CHECKPOINTED, "/b", 1},
                {"one failed",
                        {{.hello = ALL, .checkpoint = "checkpointed /a\n"},
                                {.hello = ALL, .checkpoint = "~failed disk full\n"}, {.hello = ALL}},
                        0, HR_CHANNEL_FAILED, "disk full", 1},
                {"failed without a reason",
                        {{.hello = ALL, .checkpoint = "failed\n"}, {.hello = NULL}, {.hello = NULL}}, 0,
                        HR_CHANNEL_FAILED, "it gave no reason", 0},
                {"one hung up",
                        {{.hello = ALL, .checkpoint = "checkpointed /a\n"}, {.hello = ALL, .checkpoint = "!"},
                                {.hello = ALL}},
                        0, HR_CHANNEL_FAILED, "process ", 1},
                {"saved, then hung up",
                        {{.hello = ALL, .checkpoint = "checkpointed /a\n!"},
                                {.hello = ALL, .checkpoint = "~checkpointed /b\n"}, {.hello = NULL}},
                        -1, HR_CHANNEL_CHECKPOINTED, "/a", 0},
                {"one lied",
                        {{.hello = ALL, .checkpoint = "checkpointed a\n"}, {.hello = ALL}, {.hello = ALL}}, 0,
                        HR_CHANNEL_FAILED, "process ", 0},
                {"one is silent",
                        {{.hello = ALL, .checkpoint = "checkpointed /a\n"}, {.hello = ALL}, {.hello = ALL}},
                        0, HR_CHANNEL_FAILED, "2 of 3 processes had not answered before the deadline", -1},
                {"another answer",
                        {{.hello = ALL, .checkpoint = "trimmed 5\nspare 1 1\nholds 1 1 1 - -\n"},
                                {.hello = NULL}, {.hello = NULL}},
                        0, HR_CHANNEL_FAILED, "1 of 1 processes", -1},
        };

        TEST_ROWS(row, rows)
        {
                const struct hr_channel_answer *a;
                pid_t pids[3];

                cast(row->parts, 3, pids);
                EXPECT_TRUE(row->name,
                        hr_channel_ask_checkpoint(channel, "j1", row->leader < 0 ? 0 : pids[row->leader],
                                now_usec(CLOCK_REALTIME) + 1500 * HR_USEC_PER_MSEC) > 0);
                a = next_answer();
                EXPECT_INT(row->name, a->kind, row->kind);
                EXPECT_INT(row->name, strncmp(a->text, row->text, strlen(row->text)), 0);
                EXPECT_INT(row->name, a->pid, row->pid < 0 ? 0 : pids[row->pid]);
                hr_channel_job_gone(channel, "j1");
                peers_now.peers_count = 0; /* nothing is told of a job that is gone */
        }
}

static void test_need(void **state HR_UNUSED)
{
        int fd = join("hello headroom/1 checkpoint\n"), other = join("hello headroom/1 checkpoint\n");
        uint64_t deadline, begin;

        WAIT(peers_now.can_count[HR_TALK_CHECKPOINT] == 2);
        put(fd, "need 5\n"); /* nobody asked */
        WAIT(heard_all(fd));
        deadline = now_usec(CLOCK_REALTIME) + HR_USEC_PER_SEC;
        assert_int_equal(hr_channel_grant(channel, "j1", deadline), -ENOENT);
        assert_int_equal(hr_channel_ask_checkpoint(channel, "j1", 0, deadline), 2);
        put(fd, "need 60\n");
        put(other, "need 30\n");
        WAIT(need_told > 0);
        assert_in_range(need_now.need_usec, 50 * HR_USEC_PER_SEC, 60 * HR_USEC_PER_SEC);
        assert_int_equal(hr_channel_grant(channel, "j1", now_usec(CLOCK_REALTIME) + SOON_USEC), 0);
        run_for(1200 * HR_USEC_PER_MSEC);
        assert_int_equal(answers_count, 0); /* the first deadline has passed */

        /* A flood of longer and longer wishes is told at a bounded rate. */
        need_told = 0;
        begin = now_usec(CLOCK_MONOTONIC);
        for (int i = 61; i < 1000; i++) {
                char line[32];

                snprintf(line, sizeof(line), "need %d\n", i);
                (void)!send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
                turn(HR_USEC_PER_MSEC);
        }
        assert_in_range(need_told, 1, 2 + (now_usec(CLOCK_MONOTONIC) - begin) / HR_CHANNEL_NEWS_USEC);
        put(other, "checkpointed /b\n");
        put(fd, "failed no\n");
        assert_int_equal(next_answer()->kind, HR_CHANNEL_FAILED);
        assert_string_equal(answers[0]->text, "no");
        assert_int_equal(hr_channel_grant(channel, "j1", deadline), -ENOENT);
        close(fd);
        close(other);
}

/* An answer that comes after its deadline is not one to the next request, which is asked again. */
static void test_late_checkpoint(void **state HR_UNUSED)
{
        int fd = join("hello headroom/1 checkpoint\n");

        WAIT(peers_now.can_count[HR_TALK_CHECKPOINT] == 1);
        assert_int_equal(hr_channel_ask_checkpoint(channel, "j1", 0, 0), 1); /* has passed already */
        assert_int_equal(next_answer()->kind, HR_CHANNEL_FAILED);
        assert_int_equal(
                hr_channel_ask_checkpoint(channel, "j1", 0, now_usec(CLOCK_REALTIME) + SOON_USEC), 1);
        put(fd, "need 3\ncheckpointed /old\n");
        WAIT(heard_all(fd));
        assert_int_equal(answers_count, 1);
        assert_int_equal(need_told, 0);
        put(fd, "checkpointed /new\n");
        assert_int_equal(next_answer()->kind, HR_CHANNEL_CHECKPOINTED);
        assert_string_equal(answers[1]->text, "/new");
        put(fd, "checkpointed /more\n"); /* nobody asked: ignored, then and later */
        WAIT(heard_all(fd));
        assert_int_equal(
                hr_channel_ask_checkpoint(channel, "j1", 0, now_usec(CLOCK_REALTIME) + SOON_USEC), 1);
        run_for(50 * HR_USEC_PER_MSEC);
        assert_int_equal(answers_count, 2);
        close(fd);
        assert_int_equal(next_answer()->kind, HR_CHANNEL_FAILED);
}

/* The process has gone and its number is another's: what comes from its connection proves nothing. */
static void test_pid_is_used_again(void **state HR_UNUSED)
{
        int fd = join("hello headroom/1 checkpoint\n");

        WAIT(peers_now.can_count[HR_TALK_CHECKPOINT] == 1);
        assert_int_equal(
                hr_channel_ask_checkpoint(channel, "j1", 0, now_usec(CLOCK_REALTIME) + SOON_USEC), 1);
        enter(getpid(), "j2");
        put(fd, "checkpointed /a\n");
        assert_int_equal(next_answer()->kind, HR_CHANNEL_FAILED);
        assert_non_null(strstr(answers[0]->text, "was no longer in the job"));
        close(fd);
}

static void test_why(void **state HR_UNUSED)
{
        static char lines[3][4096];
        struct part parts[] = {{.hello = ALL, .why = lines[0]}, {.hello = ALL, .why = lines[1]},
                {.hello = ALL, .why = lines[2]}, {.hello = ALL, .why = "!"}};
        const struct hr_channel_answer *a;
        pid_t pids[ELEMENTSOF(parts)];
        char *end;

        /* The sizes 1 to 48, dealt in turn. */
        for (int p = 0; p < 3; p++) {
                end = lines[p];
                for (int i = 15; i >= 0; i--)
                        end += sprintf(end, "holds %d 2 %d x%%20%d /a/b.py\n", 3 * i + p + 1, i, p);
        }
        strcat(lines[0], "spare 100 -1\n");
        strcat(lines[1], "spare 11 -1\n");
        strcat(lines[2], "spare -1 -1\n");
        cast(parts, ELEMENTSOF(parts), pids);
        assert_int_equal(hr_channel_ask_why(channel, "j1", SOON_USEC), 4);
        a = next_answer();
        assert_int_equal(a->kind, HR_CHANNEL_WHY);
        assert_int_equal(a->answered_count, 3);
        assert_int_equal(a->garbage_bytes, 111);
        assert_true(a->malloc_bytes == HR_BYTES_NONE);
        assert_int_equal(a->holders_count, HR_TALK_HOLDERS_MAX);
        for (unsigned i = 0; i < HR_TALK_HOLDERS_MAX; i++) {
                char name[16];

                assert_int_equal(a->holders[i].bytes, 48 - i);
                assert_int_equal(a->holders[i].pid, pids[(47 - i) % 3]);
                assert_int_equal(a->holders[i].line, (47 - i) / 3);
                snprintf(name, sizeof(name), "x %u", (47 - i) % 3);
                assert_string_equal(a->holders[i].name, name);
                assert_string_equal(a->holders[i].file, "/a/b.py");
        }
}

static void test_why_bounds(void **state HR_UNUSED)
{
        int fd = join("hello headroom/1 why\n");
        char line[1024] = "holds 7 0 0 ";
        const struct hr_channel_answer *a;

        WAIT(peers_now.can_count[HR_TALK_WHY] == 1);
        assert_int_equal(hr_channel_ask_why(channel, "j1", HR_USEC_PER_SEC), 1);
        memset(line + strlen(line), 'n', 300);
        strcat(line, " /");
        memset(line + strlen(line), 'f', 300);
        strcat(line, "/end.py\n");
        put(fd, line);
        a = next_answer(); /* what came until then */
        assert_int_equal(a->answered_count, 0);
        assert_int_equal(a->holders_count, 1);
        assert_int_equal(strlen(a->holders[0].name), sizeof(a->holders[0].name) - 1);
        assert_int_equal(strlen(a->holders[0].file), sizeof(a->holders[0].file) - 1);
        assert_non_null(strstr(a->holders[0].file, "f/end.py"));

        assert_int_equal(hr_channel_ask_why(channel, "j1", SOON_USEC), 1);
        for (int i = 0; i < 17; i++)
                put(fd, "holds 1 1 1 - -\n");
        a = next_answer(); /* one too many: it was closed, and nobody else is asked */
        assert_int_equal(a->holders_count, 16);
        assert_int_equal(a->answered_count, 0);
        close(fd);
}

static void test_job_gone(void **state HR_UNUSED)
{
        int fd = join(ALL);

        WAIT(peers_now.can_count[HR_TALK_WHY] == 1);
        assert_int_equal(hr_channel_ask_trim(channel, "j1", 0), 1);
        assert_int_equal(
                hr_channel_ask_checkpoint(channel, "j1", 0, now_usec(CLOCK_REALTIME) + SOON_USEC), 1);
        hr_channel_job_gone(channel, "j1");
        hr_channel_job_gone(channel, "j1");
        peers_told = 0;
        run_for(150 * HR_USEC_PER_MSEC);
        assert_int_equal(answers_count, 0);
        assert_int_equal(peers_told, 0);
        assert_non_null(strchr(take(fd), '!'));
        assert_int_equal(hr_channel_take_refused(channel), 0);
        close(fd);
}

/* A MemoryError is heard of a process that is gone, and also where the end of its job is known first. */
static void test_memory_error(void **state HR_UNUSED)
{
        char wanted[128];
        int fd = join("hello headroom/1 trim memory-error\n");

        WAIT(peers_now.can_count[HR_TALK_TRIM] == 1);
        members_count = 0; /* the kernel has it no more */
        put(fd, "memory-error 31 a%20b.py\n");
        WAIT(strchr(said, ';') != strrchr(said, ';'));
        snprintf(wanted, sizeof(wanted), "j1 self %d 9 0 ;j1 self %d 0 31 a b.py;", HR_TALK_HELLO,
                HR_TALK_MEMORY_ERROR);
        assert_string_equal(said, wanted);
        said[0] = '\0';
        put(fd, "memory-error 0 -\n");
        close(fd);
        hr_channel_job_gone(channel, "j1");
        snprintf(wanted, sizeof(wanted), "j1 self %d 0 0 ;", HR_TALK_MEMORY_ERROR);
        assert_string_equal(said, wanted);
}

/* ---- those who mean harm ---- */

/* An honest process is served soon. */
static void expect_served(const char *name)
{
        static const char wanted[] = "welcome headroom/1 j1\nstatus notice 300 400 -1\n";
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        pid_t pid = child("j1");

        if (pid == 0) {
                char got[sizeof(wanted)] = "";
                int fd = dial();

                play(fd, "hello headroom/1\nstatus\n");
                if (recv(fd, got, sizeof(wanted) - 1, MSG_WAITALL) < 0)
                        _exit(1);
                _exit(strcmp(got, wanted) != 0);
        }
        EXPECT_INT(name, end_of(pid), 0);
        EXPECT_WITHIN(name, now_usec(CLOCK_MONOTONIC) - begin, 0, 3 * HR_USEC_PER_SEC);
}

static void test_floods(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *greeting, *text;
                size_t size; /* 0: strlen */
                useconds_t pause;
        } rows[] = {
                {"plain bytes", "x", "0123456789012345678901234567890123456789", 0, 0},
                {"plain bytes, one by one", "x", "0", 0, 100},
                {"unknown lines", "hello headroom/1\n", "a\nb\nc\nd\ne\nf\n", 0, 0},
                {"empty lines, one by one", "hello headroom/1\n", "\n", 0, 100},
                {"half a line, byte by byte", "hello headroom/1\n", "z", 0, 300},
                {"answers that nobody asked for", "hello headroom/1\n",
                        "trimmed 1\ncheckpointed /a\nspare 0 0\n", 0, 0},
        };

        TEST_ROWS(row, rows)
        {
                size_t number = 3 + (size_t)(row - rows);
                char job[HR_ID_MAX];
                pid_t pid;

                snprintf(job, sizeof(job), "j%zu", number);
                pid = child(job);
                if (pid == 0) {
                        int fd = dial();
                        char block[4000];
                        size_t n = strlen(row->text), size = row->pause > 0 ? n : sizeof(block) / n * n;

                        for (size_t at = 0; at < size; at += n)
                                memcpy(block + at, row->text, n);
                        (void)!write(fd, row->greeting, strlen(row->greeting));
                        while (send(fd, block, size, MSG_NOSIGNAL) > 0)
                                if (row->pause > 0)
                                        usleep(row->pause);
                        _exit(0);
                }
                WAIT(peers_of[number] == 1);     /* though news of another job came after it */
                run_for(500 * HR_USEC_PER_MSEC); /* its burst is over */
                wake_count = 0;
                run_for(1500 * HR_USEC_PER_MSEC);
                EXPECT_WITHIN(row->name, wake_count, 0, 120); /* 20 a second, 80 at once, timers */
                expect_served(row->name);
                kill(pid, SIGKILL);
                hr_channel_job_gone(channel, job); /* what it left in its socket would be read first */
                end_of(pid);
        }
}

/* It never reads: it is closed, nothing waits for it, and its job's request is answered. */
static void test_never_reads(void **state HR_UNUSED)
{
        int fd = join(ALL);
        unsigned count = 0;

        WAIT(peers_now.can_count[HR_TALK_CHECKPOINT] == 1);
        while (hr_channel_pressure(channel, "j1", HR_STAGE_NOTICE) == 1 && count < 10000)
                count++;
        assert_in_range(count, 10, 1000);
        assert_int_equal(hr_channel_take_refused(channel), 1);
        WAIT(peers_now.peers_count == 0);
        close(fd);

        fd = join(ALL);
        WAIT(peers_now.can_count[HR_TALK_CHECKPOINT] == 1);
        for (unsigned i = 1; i < count; i++)
                hr_channel_pressure(channel, "j1", HR_STAGE_NOTICE);
        assert_int_equal(
                hr_channel_ask_checkpoint(channel, "j1", 0, now_usec(CLOCK_REALTIME) + SOON_USEC), 1);
        assert_int_equal(next_answer()->kind, HR_CHANNEL_FAILED);
        assert_non_null(strstr(answers[0]->text, "did not read"));
        close(fd);
}

static void test_comes_and_goes(void **state HR_UNUSED)
{
        pid_t pid = child("j3");
        uint64_t before;

        if (pid == 0)
                for (;;)
                        close(dial());
        WAIT(job_of_count > 0);
        run_for(500 * HR_USEC_PER_MSEC);
        before = job_of_count;
        peers_told = 0;
        run_for(HR_USEC_PER_SEC);
        assert_in_range(job_of_count - before, 1, 1000 + 256 + 100);
        assert_true(peers_told <= 15); /* ten a second of a job */
        expect_served("while another comes and goes");
        kill(pid, SIGKILL);
        end_of(pid);
}

static void test_no_descriptors(void **state HR_UNUSED)
{
        struct rlimit before, none;
        int fd, spare;

        enter(getpid(), "j1");
        fd = dial();
        spare = dup(fd);
        close(spare); /* the lowest that is free */
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){.rlim_cur = (rlim_t)spare, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        wake_count = 0;
        run_for(500 * HR_USEC_PER_MSEC);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_in_range(wake_count, 1, 5);
        assert_int_equal(peers_told, 0);
        WAIT(peers_now.peers_count == 1); /* after a second */
        close(fd);
}

static void test_free_in_the_middle(void **state HR_UNUSED)
{
        int fd = join(ALL), plain = join(NULL);

        WAIT(peers_now.can_count[HR_TALK_WHY] == 1 && peers_now.peers_count == 2);
        put(fd, "half a li");
        run_for(20 * HR_USEC_PER_MSEC);
        assert_int_equal(hr_channel_ask_why(channel, "j1", SOON_USEC), 1);
        assert_int_equal(hr_channel_ask_trim(channel, "j1", SOON_USEC), 2);
        channel = hr_channel_free(channel);
        assert_int_equal(answers_count, 0);
        close(fd);
        close(plain);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_socket),
                TEST(test_stale_socket),
                TEST(test_strangers),
                TEST(test_room_for_each_job),
                TEST(test_plain),
                TEST(test_hello),
                TEST(test_status),
                TEST(test_broken_lines),
                TEST(test_long_lines),
                TEST(test_trim),
                TEST(test_trim_timeout),
                TEST(test_checkpoint),
                TEST(test_need),
                TEST(test_late_checkpoint),
                TEST(test_pid_is_used_again),
                TEST(test_why),
                TEST(test_why_bounds),
                TEST(test_job_gone),
                TEST(test_memory_error),
                TEST(test_floods),
                TEST(test_never_reads),
                TEST(test_comes_and_goes),
                TEST(test_no_descriptors),
                TEST(test_free_in_the_middle),
        };
        int failed;

        signal(SIGPIPE, SIG_IGN);
        if (!mkdtemp(directory) || chmod(directory, 0711) < 0)
                return 1;
        snprintf(path, sizeof(path), "%s/job", directory);
        failed = cmocka_run_group_tests_name("channel", tests, NULL, NULL);
        unlink(path);
        rmdir(directory);
        return failed;
}
