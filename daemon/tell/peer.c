/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "fd.h"
#include "tell/message.h"

/*
 * A connection on the socket is driven by this file, not by sd_bus_attach_event(), for three reasons:
 *
 *   - what comes in must pass the gate (tell/gate): libsystemd 252 allocates whatever length a header claims;
 *   - while something waits for a peer to read it, nothing more is taken from it, so that a peer that asks
 * and never reads makes us hold one reply and not a queue of them;
 *   - it is closed at a place where none of its messages is being handled: `doomed`, then hr_peers_sweep.
 *
 * sd-bus therefore gets two descriptors: a pipe, into which the gate passes one line or message at a time,
 * and the socket for its output. Who the peer is comes from SO_PEERCRED at accept, never from what it says:
 * sd-bus is told to take any authentication ("anonymous"), and can't see credentials through a pipe.
 *
 * A client of the system bus has no connection of its own: it is known by its unique name, its credentials
 * are the bus daemon's word, and sd_bus_track says when it leaves.
 */

#define PROCESS_MAX 64 /* steps of sd-bus for one message; it needs two or three */

static struct hr_peer *peer_free(struct hr_peer *p)
{
        if (!p)
                return NULL;
        sd_event_source_disable_unref(p->io);
        sd_event_source_disable_unref(p->timer);
        sd_bus_track_unref(p->track);
        if (p->name)
                sd_bus_unref(p->bus);
        else
                sd_bus_close_unref(p->bus); /* never flushes: that would wait for the peer */
        hr_close(p->feed_fd);
        free(p->name);
        free(p);
        return NULL;
}

static void peer_freep(struct hr_peer **p)
{
        peer_free(*p);
}

void hr_peers_sweep(struct hr_peers *peers, enum hr_peers_which which)
{
        for (size_t i = 0; i < HR_BUS_PEERS_MAX; i++) {
                struct hr_peer *p = peers->all[i];

                if (!p || !(p->doomed || which == HR_PEERS_ALL || (which == HR_PEERS_SYSTEM && p->name)))
                        continue;
                peers->all[i] = NULL;
                peers->gone(p);
                peer_free(p);
        }
}

static bool follows(const struct hr_peer *p)
{
        for (size_t i = 0; i < HR_PEER_FOLLOWS_MAX; i++)
                if (p->follows[i][0] != '\0')
                        return true;
        return false;
}

/*
 * A place for one more peer of this user; -EMFILE: none. A `run` that follows its job does not count, within
 * its own bound: with eight jobs under way their owner could not answer the one that is held.
 */
static int find_place(const struct hr_peers *peers, uid_t uid, size_t *ret)
{
        size_t place = HR_BUS_PEERS_MAX, of_user = 0, followers = 0;

        for (size_t i = HR_BUS_PEERS_MAX; i-- > 0;) {
                if (!peers->all[i])
                        place = i;
                else if (peers->all[i]->caller.uid == uid &&
                         (!follows(peers->all[i]) || ++followers > HR_PEERS_FOLLOWERS_MAX))
                        of_user++;
        }
        if (place == HR_BUS_PEERS_MAX || of_user >= (uid == 0 ? HR_PEERS_ROOT_MAX : HR_BUS_PEERS_PER_USER))
                return -EMFILE;
        *ret = place;
        return 0;
}

static bool served(const struct hr_peers *peers, uid_t uid)
{
        return !peers->user || uid == 0 || uid == geteuid();
}

static bool is_admin(const struct hr_peers *peers, uid_t uid)
{
        return uid == 0 || (peers->user && uid == geteuid());
}

/* ---- connections ---- */

static bool waits_for_reader(struct hr_peer *p)
{
        int events = sd_bus_get_events(p->bus);

        return events >= 0 && (events & EPOLLOUT);
}

/* Lets sd-bus take what is in the pipe, handle it, and write what it has. */
static int process(struct hr_peer *p)
{
        for (unsigned i = 0; i < PROCESS_MAX; i++) {
                int r = sd_bus_process(p->bus, NULL);

                if (r <= 0)
                        return r;
        }
        return 0;
}

static int pass(struct hr_peer *p)
{
        while (p->begin < p->end && !waits_for_reader(p)) {
                bool authenticated = sd_bus_is_ready(p->bus) > 0, whole;
                int n = hr_gate_pass(&p->gate, authenticated, p->chunk + p->begin, p->end - p->begin, &whole),
                    r;

                if (n < 0)
                        return n;
                /* The pipe is empty, for sd-bus has been asked until it had nothing to do, and takes a chunk
                 * whole. */
                if (write(p->feed_fd, p->chunk + p->begin, (size_t)n) != n)
                        return -EIO;
                p->begin += (size_t)n;
                r = process(p);
                if (r < 0)
                        return r;
                if (sd_bus_is_open(p->bus) <= 0)
                        return -ENOTCONN;
        }
        return 0;
}

static int take_input(struct hr_peer *p)
{
        ssize_t n;

        if (p->begin < p->end || waits_for_reader(p))
                return 0;
        n = recv(p->fd, p->chunk, sizeof(p->chunk),
                MSG_DONTWAIT); /* descriptors that come with it are closed */
        if (n == 0)
                return -ECONNRESET;
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        p->begin = 0;
        p->end = (size_t)n;
        return 0;
}

static int update_events(struct hr_peer *p)
{
        return sd_event_source_set_io_events(p->io, waits_for_reader(p) ? EPOLLOUT : EPOLLIN);
}

static int on_io(sd_event_source *s HR_UNUSED, int fd HR_UNUSED, uint32_t revents, void *userdata)
{
        struct hr_peer *p = userdata;
        struct hr_peers *peers = p->peers;
        int r;

        r = process(p); /* writes first */
        if (r >= 0 && (revents & EPOLLIN))
                r = take_input(p);
        if (r >= 0)
                r = pass(p);
        if (r >= 0 && sd_bus_is_open(p->bus) <= 0)
                r = -ENOTCONN;
        if (r >= 0 && (revents & (EPOLLHUP | EPOLLERR)) && !(revents & EPOLLIN))
                r = -ECONNRESET;
        if (r >= 0 && p->timer && sd_bus_is_ready(p->bus) > 0)
                p->timer = sd_event_source_disable_unref(p->timer);
        if (r >= 0)
                r = update_events(p);
        if (r < 0) {
                p->doomed = true;
                if (r != -ECONNRESET && r != -ENOTCONN && r != -EPIPE)
                        peers->refused_count++;
        }
        hr_peers_sweep(peers, HR_PEERS_DOOMED);
        return 0;
}

static int on_auth_timeout(sd_event_source *s HR_UNUSED, uint64_t usec HR_UNUSED, void *userdata)
{
        struct hr_peer *p = userdata;
        struct hr_peers *peers = p->peers;

        p->doomed = true;
        peers->refused_count++;
        hr_peers_sweep(peers, HR_PEERS_DOOMED);
        return 0;
}

int hr_peer_filter(sd_bus_message *m, void *userdata HR_UNUSED, sd_bus_error *e HR_UNUSED)
{
        if (!sd_bus_message_get_sender(m) || sd_bus_message_is_signal(m, "org.freedesktop.DBus.Local", NULL))
                return 0;
        if (sd_bus_message_is_method_call(m, NULL, NULL))
                sd_bus_reply_method_errorf(
                        m, HR_BUS_ERROR_NOT_PERMITTED, "A message on this socket has no SENDER.");
        return 1;
}

/* Takes *fd once sd-bus has it. */
static int start_bus(struct hr_peer *p, int *fd)
{
        _close_ int in = -1;
        sd_id128_t id;
        int pipe_fds[2], small = HR_PEER_SEND_BYTES, r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        in = pipe_fds[0];
        p->feed_fd = pipe_fds[1];
        /* One page is enough, and root's pipes count as well; refused: it stays larger. */
        (void)fcntl(p->feed_fd, F_SETPIPE_SZ, HR_PEER_CHUNK);

        r = sd_bus_new(&p->bus);
        if (r >= 0)
                r = sd_bus_set_fd(p->bus, in, *fd);
        if (r < 0)
                return r;
        TAKE_FD(in);
        p->fd = TAKE_FD(*fd);

        if ((r = sd_bus_set_server(p->bus, true, id)) < 0 || (r = sd_bus_set_anonymous(p->bus, true)) < 0 ||
                (r = sd_bus_negotiate_fds(p->bus, false)) < 0 ||
                (r = sd_bus_set_close_on_exit(p->bus, false)) < 0 ||
                (r = sd_bus_add_filter(p->bus, NULL, hr_peer_filter, NULL)) < 0 ||
                (r = sd_bus_add_object_vtable(
                         p->bus, NULL, HR_BUS_PATH, HR_BUS_INTERFACE, p->peers->vtable, p)) < 0)
                return r;
        r = sd_bus_start(p->bus);
        if (r < 0)
                return r;
        /* After the start, which makes it large. What the kernel holds for a peer that does not read is ours.
         */
        if (setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) < 0)
                return -errno;
        return 0;
}

int hr_peers_accept(struct hr_peers *peers, int connection)
{
        _close_ int fd = connection;
        HR_CLEANUP(peer_freep) struct hr_peer *p = NULL;
        struct ucred cred;
        socklen_t size = sizeof(cred);
        size_t place;
        int r;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
                return -errno;
        r = served(peers, cred.uid) ? find_place(peers, cred.uid, &place) : -EPERM;
        if (r < 0) {
                peers->refused_count++;
                return r;
        }
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->peers = peers;
        p->fd = p->feed_fd = -1;
        p->caller = (struct hr_caller){
                .uid = cred.uid, .gid = cred.gid, .pid = cred.pid, .admin = is_admin(peers, cred.uid)};

        if ((r = start_bus(p, &fd)) < 0 ||
                (r = sd_event_add_io(peers->event, &p->io, p->fd, EPOLLIN, on_io, p)) < 0 ||
                (r = sd_event_source_set_description(p->io, "peer")) < 0 ||
                (r = sd_event_add_time_relative(peers->event, &p->timer, CLOCK_MONOTONIC, HR_PEER_AUTH_USEC,
                         100 * HR_USEC_PER_MSEC, on_auth_timeout, p)) < 0 ||
                (r = sd_event_source_set_description(p->timer, "peer-authenticates")) < 0)
                return r;
        peers->all[place] = TAKE_PTR(p);
        return 0;
}

/* ---- the system bus ---- */

static int on_track_empty(sd_bus_track *track HR_UNUSED, void *userdata)
{
        struct hr_peer *p = userdata;
        struct hr_peers *peers = p->peers;

        p->doomed = true;
        hr_peers_sweep(peers, HR_PEERS_DOOMED);
        return 0;
}

static int sender_credentials(struct hr_peers *peers, sd_bus_message *m, struct hr_caller *ret)
{
        HR_CLEANUP(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
        uid_t uid;
        gid_t gid;
        pid_t pid;
        int r;

        r = sd_bus_query_sender_creds(
                m, SD_BUS_CREDS_EUID | SD_BUS_CREDS_EGID | SD_BUS_CREDS_PID | SD_BUS_CREDS_AUGMENT, &creds);
        if (r >= 0)
                r = sd_bus_creds_get_euid(creds, &uid);
        if (r < 0)
                return r;
        /* The user is the bus daemon's word. The pid and, read from /proc, the group are only hints. */
        if (sd_bus_creds_get_pid(creds, &pid) < 0)
                pid = 0;
        if (sd_bus_creds_get_egid(creds, &gid) < 0)
                gid = 65534;
        *ret = (struct hr_caller){.uid = uid, .gid = gid, .pid = pid, .admin = is_admin(peers, uid)};
        return 0;
}

int hr_peers_sender(struct hr_peers *peers, sd_bus_message *m, struct hr_peer **ret)
{
        HR_CLEANUP(peer_freep) struct hr_peer *p = NULL;
        const char *sender = sd_bus_message_get_sender(m);
        size_t place;
        int r;

        if (!sender)
                return -EPERM;
        for (size_t i = 0; i < HR_BUS_PEERS_MAX; i++)
                if (peers->all[i] && peers->all[i]->name && strcmp(peers->all[i]->name, sender) == 0) {
                        *ret = peers->all[i];
                        return 0;
                }

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->peers = peers;
        p->fd = p->feed_fd = -1;
        p->bus = sd_bus_ref(sd_bus_message_get_bus(m));
        p->name = strdup(sender);
        if (!p->name)
                return -ENOMEM;
        if ((r = sender_credentials(peers, m, &p->caller)) < 0)
                return r;
        r = find_place(peers, p->caller.uid, &place);
        if (r < 0) {
                peers->refused_count++;
                return -EAGAIN;
        }
        if ((r = sd_bus_track_new(p->bus, &p->track, on_track_empty, p)) < 0 ||
                (r = sd_bus_track_add_sender(p->track, m)) < 0)
                return r;
        *ret = peers->all[place] = TAKE_PTR(p);
        return 0;
}

/* ---- to the peer ---- */

void hr_peer_tell(struct hr_peer *p, const struct hr_event *event)
{
        uint64_t queued;

        if (p->doomed || !p->subscribed)
                return;
        if (sd_bus_get_n_queued_write(p->bus, &queued) < 0 || queued >= HR_BUS_QUEUE_MAX) {
                p->peers->dropped_count++;
                return;
        }
        if (hr_message_signal_event(p->bus, p->name, event) < 0)
                p->peers->dropped_count++;
        hr_peer_replied(p);
}

void hr_peer_replied(struct hr_peer *p)
{
        uint64_t queued;

        if (p->name)
                return;
        if (sd_bus_is_open(p->bus) <= 0 || sd_bus_get_n_queued_write(p->bus, &queued) < 0 ||
                queued > HR_BUS_QUEUE_MAX || update_events(p) < 0)
                p->doomed = true;
}

void hr_peers_replied(struct hr_peers *peers, sd_bus *bus, int error)
{
        for (size_t i = 0; i < HR_BUS_PEERS_MAX; i++) {
                struct hr_peer *p = peers->all[i];

                if (!p || p->bus != bus || p->name)
                        continue;
                p->doomed |= error < 0; /* it would wait for ever */
                hr_peer_replied(p);
        }
}
