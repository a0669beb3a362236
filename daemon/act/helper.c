/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "act/criu.h"
#include "act/hook.h"
#include "act/limit.h"
#include "act/release.h"
#include "act/unit.h"
#include "sense/mapping.h"
#include "sense/tripwire.h"

/*
 * Two halves. The daemon's side only sends and receives, without waiting. The helper's side is a loop over
 * its socket and its children: a request becomes a child; a hook is answered for when it ends, anything else
 * answers itself and exits with 0; a child that dies otherwise, or that is past its deadline, is answered for
 * by the loop.
 */

#define PATIENCE_USEC \
        (30 * HR_USEC_PER_SEC) /* for what asks the kernel or systemd; chosen: reclaim took up to 2 s */

/* ---- the daemon's side ---- */

struct hr_helper {
        int fd;
        pid_t pid;
};

static void freep(struct hr_helper **h)
{
        if (*h)
                hr_close((*h)->fd);
        free(*h);
}

int hr_helper_start(const struct hr_hierarchy *h, bool user_daemon, const char *runtime_dir,
        const char *state_dir, struct hr_helper **ret)
{
        char argument[1200];
        HR_CLEANUP(freep) struct hr_helper *helper = calloc(1, sizeof(*helper));
        int pair[2];

        if (!helper)
                return -ENOMEM;
        helper->fd = -1;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        helper->fd = pair[0];
        _close_ int theirs = pair[1];
        /* Room for a burst: a thousand jobs that arm their tripwires at once. The kernel caps it, which is
         * fine. */
        int room = 8 << 20;
        (void)setsockopt(helper->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
        (void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
        if (fcntl(helper->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        snprintf(argument, sizeof(argument), "--helper=%d:%d:%s:%s:%s", theirs, user_daemon, h->root,
                runtime_dir, state_dir);

        helper->pid = fork();
        if (helper->pid < 0)
                return -errno;
        if (helper->pid == 0) {
                sigset_t none;
                sigemptyset(&none);
                (void)sigprocmask(SIG_SETMASK, &none, NULL);
                (void)fcntl(theirs, F_SETFD, 0);
                execl("/proc/self/exe", "headroomd-helper", argument, NULL);
                _exit(127);
        }
        *ret = TAKE_PTR(helper);
        return 0;
}

struct hr_helper *hr_helper_stop(struct hr_helper *helper)
{
        if (!helper)
                return NULL;
        struct hr_helper_request bye = {.op = HR_HELPER_BYE};
        (void)hr_helper_send(
                helper, &bye); /* if its queue is full it guards a while, and finds nothing to do */
        freep(&helper);
        return NULL;
}

int hr_helper_fd(const struct hr_helper *helper)
{
        return helper->fd;
}

pid_t hr_helper_pid(const struct hr_helper *helper)
{
        return helper->pid;
}

int hr_helper_send(struct hr_helper *helper, const struct hr_helper_request *request)
{
        ssize_t n = send(helper->fd, request, sizeof(*request), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
                return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
        return 0;
}

/* A descriptor travels beside the message. */
union control {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
};

int hr_helper_receive(struct hr_helper *helper, struct hr_helper_answer *ret)
{
        union control control = {0};
        struct iovec io = {ret, sizeof(*ret)};
        struct msghdr m = {
                .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(helper->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
        const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        int fd = -1;
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
                c->cmsg_len == CMSG_LEN(sizeof(int)))
                memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if ((size_t)n != sizeof(*ret)) { /* the end, or half a message: it is not our helper any more */
                hr_close(fd);
                return -EPIPE;
        }
        ret->fd = fd;
        return 1;
}

/* ---- the helper's side ---- */

struct child {
        pid_t pid;
        int pidfd;
        uint64_t token, deadline_usec;
        enum hr_helper_op op;
        bool late; /* answered for and killed; only its end is waited for */
};

struct helper {
        int fd;
        bool user_daemon;
        char runtime_dir[512], state_dir[512];
        struct hr_hierarchy hierarchy;
        struct child children[HR_HELPER_CHILDREN_MAX];
        size_t child_count;
};

static void answer(const struct helper *h, const struct hr_helper_answer *a)
{
        union control control = {0};
        struct iovec io = {(void *)a, sizeof(*a)};
        struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
        if (a->fd >= 0) {
                m.msg_control = &control;
                m.msg_controllen = sizeof(control);
                control.head = (struct cmsghdr){
                        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(&control.head), &a->fd, sizeof(a->fd));
        }
        (void)sendmsg(h->fd, &m, MSG_NOSIGNAL); /* the daemon is gone: the loop finds out */
}

static int do_wire(struct helper *h, const struct hr_helper_request *q, struct hr_helper_answer *a)
{
        struct hr_group group = HR_GROUP_INIT;
        struct hr_tripwire wire = HR_TRIPWIRE_INIT;
        int r = hr_group_open(&h->hierarchy, q->placement.cgroup, &group);
        if (r == 0)
                r = hr_tripwire_arm1(&wire, &group, q->bytes);
        a->fd = wire.fd; /* kept open until the answer is on its way */
        hr_group_close(&group);
        return r > 0 ? -ENODEV : r;
}

/* A little before its deadline, with what is known by then. */
#define MAP_MARGIN_USEC (1 * HR_USEC_PER_SEC)

static int do_map(struct helper *h, const struct hr_helper_request *q, struct hr_helper_answer *a)
{
        uint32_t count = MIN(q->pid_count, HR_HELPER_PIDS_MAX), more = q->more_count;
        pid_t pids[HR_HELPER_PIDS_MAX];
        int r = 0;

        memcpy(pids, q->pids, sizeof(pids));
        if (q->inode != 0)
                r = hr_mapping_list(&h->hierarchy, q->placement.cgroup, q->inode, pids, HR_HELPER_PIDS_MAX,
                        &count, &more);
        if (r == 0)
                r = hr_mapping_read(h->hierarchy.proc, pids, count, hr_sub(q->deadline_usec, MAP_MARGIN_USEC),
                        &a->breakdown);
        if (r == 0)
                a->breakdown.unread_count += more;
        return r == HR_SENSE_GONE ? -ESRCH : r;
}

static int do_limit(struct helper *h, const struct hr_helper_request *q, struct hr_helper_answer *a)
{
        const struct hr_placement *p = &q->placement;
        bool foreign = !p->owned && p->unit[0] && hr_unit_systemd_runs();
        int r = 0;

        a->bytes = q->bytes;
        if (p->kind == HR_KIND_CGROUP2 && foreign)
                r = hr_limit_make_room(h->hierarchy.memory, p->cgroup, q->bytes);
        else if (p->kind == HR_KIND_CGROUP2)
                r = hr_limit_write2(h->hierarchy.memory, p->cgroup, q->bytes);
        else if (!foreign)
                r = hr_limit_write1(h->hierarchy.memory, p->cgroup, q->bytes);
        if (r == -EBUSY)
                snprintf(a->text, sizeof(a->text),
                        "more than that is in use, and can't be dropped just now (cache that is busy, or "
                        "not yet on its disk)");
        if (r == 0 && foreign)
                r = hr_unit_set_limit(h->user_daemon, p->unit, q->bytes, a->text, sizeof(a->text));
        return r;
}

static int do_next_id(struct helper *h, const struct hr_helper_request *q)
{
        char path[600], aside[616];
        snprintf(path, sizeof(path), "%s/next-id", h->state_dir);
        snprintf(aside, sizeof(aside), "%s.new", path);
        _fclose_ FILE *f = fopen(aside, "we");
        if (!f)
                return -errno;
        if (fprintf(f, "%llu\n", (unsigned long long)q->bytes) < 0 || fflush(f) != 0)
                return -errno;
        return rename(aside, path) < 0 ? -errno : 0;
}

static int do_file(const struct hr_helper_request *q, struct hr_helper_answer *a)
{
        struct stat st;
        int r = hr_hook_become_owner(q);
        if (r < 0)
                return r;
        if (stat(q->path, &st) < 0)
                return -errno;
        a->bytes = (uint64_t)st.st_size;
        a->time_usec = (uint64_t)st.st_mtim.tv_sec * HR_USEC_PER_SEC + (uint64_t)st.st_mtim.tv_nsec / 1000;
        return 0;
}

/* A number stands for who has no name: a job's owner is always called something. */
static void do_who(const struct helper *h, const struct hr_helper_request *q, struct hr_helper_answer *a)
{
        const struct passwd *pw = getpwuid(q->uid);
        const struct group *gr = getgrgid(q->gid);
        a->uid = q->uid;
        a->gid = q->gid;
        a->placement = q->placement;
        if (pw)
                snprintf(a->user, sizeof(a->user), "%s", pw->pw_name);
        else
                snprintf(a->user, sizeof(a->user), "%u", (unsigned)q->uid);
        if (gr)
                snprintf(a->group, sizeof(a->group), "%s", gr->gr_name);
        else
                snprintf(a->group, sizeof(a->group), "%u", (unsigned)q->gid);
        if (q->pid > 0)
                hr_place_of(&h->hierarchy, q->pid, a->from, sizeof(a->from));
}

static int reported(const struct hr_criu_report *report, struct hr_helper_answer *a)
{
        snprintf(a->text, sizeof(a->text), "%s", report->text);
        a->bytes = report->bytes;
        a->tracks = report->tracks;
        a->placement = report->placement;
        a->image = report->image;
        a->leader = report->leader;
        a->leader_start_ticks = report->leader_start_ticks;
        return report->result;
}

/* The daemon ended while CRIU was at a job, and is back. */
static int do_wait(const struct hr_helper_request *q, struct hr_helper_answer *a)
{
        char path[300];
        struct hr_image image;

        (void)hr_criu_wait(q->image.lock, HR_USEC_NEVER);
        int r = hr_image_find(q->image.index, q->image.id, path, sizeof(path));
        if (r == 0)
                r = hr_image_read_record(path, &image);
        if (r == 0 && image.leader != q->image.leader)
                r = -ENOENT;
        snprintf(a->text, sizeof(a->text), "%s%s", r == 0 ? "its image is in " : "CRIU left no image",
                r == 0 ? path : "");
        return r;
}

static int do_image(struct hr_helper_request *q, struct hr_helper_answer *a)
{
        static struct hr_criu_report report;

        if (q->op == HR_HELPER_CRIU)
                hr_criu_probe(q->image.program, &report);
        else if (q->op == HR_HELPER_DUMP)
                hr_criu_dump(&q->image, &report);
        else if (q->op == HR_HELPER_LOOK)
                hr_criu_look(&q->image, &report);
        else if (q->op == HR_HELPER_PREDUMP)
                hr_criu_predump(&q->image, &report);
        else
                hr_criu_restore(q->image.index, q->image.id, q->id, q->uid, q->bytes, q->removes, &report);
        return reported(&report, a);
}

static int perform(struct helper *h, struct hr_helper_request *q, struct hr_helper_answer *a)
{
        switch (q->op) {
        case HR_HELPER_WHO:
                do_who(h, q, a);
                return 0;
        case HR_HELPER_PLACE:
                do_who(h, q, a);
                hr_place(&h->hierarchy, h->user_daemon, q->pid, q->uid, q->id, q->name, q->bytes,
                        &a->placement);
                hr_place_advise(h->user_daemon, q->uid, &a->placement, a->text, sizeof(a->text));
                return 0;
        case HR_HELPER_REMOVE:
                hr_place_remove(&h->hierarchy, &q->placement);
                return 0;
        case HR_HELPER_LIMIT:
                return do_limit(h, q, a);
        case HR_HELPER_HIGH:
                return hr_limit_write_high(h->hierarchy.memory, q->placement.cgroup, q->bytes);
        case HR_HELPER_WIRE:
                return do_wire(h, q, a);
        case HR_HELPER_RECLAIM:
                return hr_limit_reclaim(h->hierarchy.memory, q->placement.cgroup, q->bytes, &a->bytes);
        case HR_HELPER_PSS:
                return hr_process_pss(
                        h->hierarchy.proc, q->pids, MIN(q->pid_count, HR_HELPER_PIDS_MAX), &a->bytes);
        case HR_HELPER_MAP:
                return do_map(h, q, a);
        case HR_HELPER_FILE:
                return do_file(q, a);
        case HR_HELPER_EXIT:
                a->uid = q->uid;
                memcpy(a->id, q->id, sizeof(a->id));
                memcpy(a->name, q->name, sizeof(a->name));
                return hr_unit_ending(h->user_daemon, q->placement.unit);
        case HR_HELPER_NEXT_ID:
                return do_next_id(h, q);
        case HR_HELPER_DUMP:
                if (q->waits)
                        return do_wait(q, a);
                /* fall through */
        case HR_HELPER_CRIU:
        case HR_HELPER_LOOK:
        case HR_HELPER_PREDUMP:
        case HR_HELPER_RESTORE:
                return do_image(q, a);
        case HR_HELPER_FORGET:
                hr_criu_forget(&q->image);
                return 0;
        case HR_HELPER_SWEEP:
                hr_image_sweep(q->image.index, q->image.time_usec);
                if (q->image.dir[0])
                        hr_image_sweep(q->image.dir, q->image.time_usec);
                return 0;
        case HR_HELPER_HOOK:
                return hr_hook_exec(q);
        case HR_HELPER_BYE:
                break;
        }
        return -EINVAL;
}

/* As env(1): what a shell would say of a program that can't be executed. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

static void serve(struct helper *h, struct hr_helper_request *q)
{
        struct hr_helper_answer a = {.token = q->token, .op = q->op, .fd = -1};

        size_t most = q->op == HR_HELPER_HOOK                                 ? HR_HELPER_HOOKS_MAX
                      : q->op == HR_HELPER_PREDUMP || q->op == HR_HELPER_LOOK ? HR_HELPER_PREDUMPS_MAX
                      : q->op == HR_HELPER_MAP                                ? HR_HELPER_MAPS_MAX
                                                                              : HR_HELPER_CHILDREN_MAX;
        size_t alike = 0;
        for (size_t i = 0; i < h->child_count; i++)
                alike += h->children[i].op == q->op;
        if (alike >= most) {
                a.result = -EBUSY;
                answer(h, &a);
                return;
        }
        pid_t pid = fork();
        if (pid < 0) {
                a.result = -errno;
                answer(h, &a);
                return;
        }
        if (pid == 0) {
                a.result = perform(h, q, &a);
                if (q->op == HR_HELPER_HOOK) /* it came back, so it was not executed */
                        _exit(a.result == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
                answer(h, &a);
                _exit(EXIT_SUCCESS);
        }
        bool has_deadline = q->op == HR_HELPER_HOOK || q->op == HR_HELPER_MAP;
        uint64_t patience = has_deadline ? q->deadline_usec : PATIENCE_USEC;
        /* CRIU ends by itself: killed while it holds a job, it takes it along. */
        bool has_none = q->op == HR_HELPER_DUMP || q->op == HR_HELPER_RESTORE || q->op == HR_HELPER_PREDUMP ||
                        q->op == HR_HELPER_FORGET;
        h->children[h->child_count++] = (struct child){
                .pid = pid,
                .pidfd = pidfd_open(pid, 0),
                .token = q->token,
                .deadline_usec = has_none ? HR_USEC_NEVER : hr_clock_usec() + patience,
                .op = q->op,
        };
}

/* It is past its deadline: the daemon is told, and waits no longer. In D state it may outlive its kill. */
static void give_up(struct helper *h, struct child *c)
{
        struct hr_helper_answer a = {.token = c->token, .op = c->op, .result = -ETIMEDOUT, .fd = -1};
        (void)kill(c->op == HR_HELPER_HOOK ? -c->pid : c->pid, SIGKILL);
        (void)kill(c->pid, SIGKILL); /* before its setsid() there is no such group */
        answer(h, &a);
        c->late = true;
        c->deadline_usec = HR_USEC_NEVER;
}

static void reap(struct helper *h, size_t i)
{
        struct child *c = &h->children[i];
        struct hr_helper_answer a = {.token = c->token, .op = c->op, .fd = -1};
        int status = 0;

        if (waitpid(c->pid, &status, WNOHANG) == 0)
                return;
        /* A hook is answered for here, anything else only if it died before it answered by itself. */
        a.result = c->op == HR_HELPER_HOOK ? status : -EIO;
        if (!c->late && (c->op == HR_HELPER_HOOK || status != 0))
                answer(h, &a);
        hr_close(c->pidfd);
        h->children[i] = h->children[--h->child_count];
}

static void loop(struct helper *h, bool *ret_bye)
{
        for (;;) {
                bool full = h->child_count == HR_HELPER_CHILDREN_MAX;
                struct pollfd fds[1 + HR_HELPER_CHILDREN_MAX] = {{.fd = full ? -1 : h->fd, .events = POLLIN}};
                uint64_t now = hr_clock_usec(), next = HR_USEC_NEVER;
                for (size_t i = 0; i < h->child_count; i++) {
                        fds[i + 1] = (struct pollfd){.fd = h->children[i].pidfd, .events = POLLIN};
                        next = MIN(next, h->children[i].deadline_usec);
                }
                int timeout = next == HR_USEC_NEVER ? -1 : (int)MIN(hr_sub(next, now) / 1000 + 1, 60000U);
                if (poll(fds, 1 + h->child_count, timeout) < 0 && errno != EINTR)
                        return;
                now = hr_clock_usec();
                for (size_t i = h->child_count; i-- > 0;)
                        if (fds[i + 1].revents)
                                reap(h, i);
                        else if (now >= h->children[i].deadline_usec)
                                give_up(h, &h->children[i]);
                if (fds[0].revents) {
                        struct hr_helper_request q;
                        ssize_t n = recv(h->fd, &q, sizeof(q), MSG_DONTWAIT);
                        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET))
                                continue; /* RESET: it left answers unread; its own last word may still wait
                                             here */
                        if (n != (ssize_t)sizeof(q))
                                return; /* the daemon is gone */
                        if (q.op == HR_HELPER_BYE) {
                                *ret_bye = true;
                                return;
                        }
                        serve(h, &q);
                }
        }
}

static int parse_argument(const char *argument, struct helper *h)
{
        char text[1200], *fields[5], *save = text;
        snprintf(text, sizeof(text), "%s", argument);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (!(fields[i] = strsep(&save, ":")))
                        return -EINVAL;
        h->fd = atoi(fields[0]);
        h->user_daemon = fields[1][0] == '1';
        snprintf(h->runtime_dir, sizeof(h->runtime_dir), "%s", fields[3]);
        snprintf(h->state_dir, sizeof(h->state_dir), "%s", fields[4]);
        return hr_hierarchy_find(fields[2], &h->hierarchy);
}

int hr_helper_main(const char *argument)
{
        static struct helper helper; /* too large for a stack; one for each process */
        bool bye = false;

        if (parse_argument(argument, &helper) < 0)
                return EXIT_FAILURE;
        (void)fcntl(helper.fd, F_SETFD, FD_CLOEXEC);
        uint64_t stamp = hr_release_stamp(helper.runtime_dir); /* our daemon's: it has the lock */
        (void)prctl(PR_SET_NAME, "headroom-helper");
        /* What ends the daemon by the terminal or its manager must not end its guard before it. */
        (void)signal(SIGINT, SIG_IGN);
        (void)signal(SIGHUP, SIG_IGN);
        (void)signal(SIGTERM, SIG_IGN);
        (void)signal(SIGPIPE, SIG_IGN);
        loop(&helper, &bye);
        hr_close(helper.fd);
        bool managed = getenv("NOTIFY_SOCKET") != NULL;
        if (managed || !bye)
                (void)hr_release_brake(&helper.hierarchy, helper.runtime_dir, stamp);
        if (managed || bye) /* under systemd, ExecStopPost= sees to held jobs */
                return EXIT_SUCCESS;
        struct timespec rest = {.tv_sec = HR_RELEASE_USEC / HR_USEC_PER_SEC};
        while (nanosleep(&rest, &rest) < 0 && errno == EINTR) {
                /* the rest of it */
        }
        return hr_release_late(&helper.hierarchy, helper.runtime_dir, stamp) < 0 ? EXIT_FAILURE
                                                                                 : EXIT_SUCCESS;
}
