/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The callers: connections on the socket, and clients on the system bus, with what is known of each. Bounded
 * in number, in what they may send, in what may wait for them, and in time to authenticate. Bus thread only.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "tell/gate.h"
#include "tell/interface.h"
#include "tell/resolve.h"

#define HR_PEER_FOLLOWS_MAX 8     /* jobs that one peer may follow; a `run` follows one */
#define HR_PEER_PENDING_MAX 8     /* requests of one peer that wait for the deciding thread */
#define HR_PEERS_ROOT_MAX 64      /* connections of root at once */
#define HR_PEERS_FOLLOWERS_MAX 64 /* of one user, which follow a job and don't count as his connections */
#define HR_PEER_AUTH_USEC (5 * HR_USEC_PER_SEC)
#define HR_PEER_CHUNK 4096              /* read at once; not above the smallest pipe */
#define HR_PEER_SEND_BYTES (256 * 1024) /* of the socket; sd-bus would ask for 8 MiB */

struct hr_peers;

struct hr_peer {
        struct hr_peers *peers;
        struct hr_caller caller;
        sd_bus *bus; /* its own connection, or a reference to the system bus */
        bool subscribed;
        uint32_t pending_count;
        char follows[HR_PEER_FOLLOWS_MAX][HR_ID_MAX]; /* "": free */
        bool doomed;                                  /* to be closed by hr_peers_sweep */

        /* On the system bus. */
        char *name; /* unique name; NULL for a connection of its own; "" for the bus itself */
        sd_bus_track *track;

        /* On the socket: bytes go socket -> gate -> pipe -> sd-bus, and from sd-bus straight to the socket.
         */
        int fd;      /* the socket; sd-bus owns it */
        int feed_fd; /* the pipe's writing end */
        sd_event_source *io, *timer;
        struct hr_gate gate;
        size_t begin, end; /* of what was read and has not passed yet */
        uint8_t chunk[HR_PEER_CHUNK];
};

struct hr_peers {
        sd_event *event;
        const sd_bus_vtable *vtable;
        void *service;                      /* for the methods */
        void (*gone)(struct hr_peer *peer); /* before a peer is freed */
        bool user;                          /* only this user and root are served */
        struct hr_peer *all[HR_BUS_PEERS_MAX];
        uint64_t dropped_count; /* signals that were not sent to peers that do not read */
        uint64_t refused_count; /* peers turned away or closed for what they did */
};

/* Takes fd, a connection just accepted. 0, or negative: it was closed. */
int hr_peers_accept(struct hr_peers *peers, int fd);

/* The system bus client that sent m; seen for the first time, its credentials are asked for (at most half a
 * second). */
int hr_peers_sender(struct hr_peers *peers, sd_bus_message *m, struct hr_peer **ret);

/* The filter that refuses messages that claim a SENDER; for peer-to-peer connections. */
int hr_peer_filter(sd_bus_message *m, void *userdata, sd_bus_error *e);

/* Sends an event to a subscriber; above the bound it is dropped and counted. */
void hr_peer_tell(struct hr_peer *peer, const struct hr_event *event);
void hr_peer_replied(struct hr_peer *peer); /* after an answer was sent from outside: looks to the queue */
/* The same for the connection, if it is still there; error < 0: the answer could not be sent, it is closed.
 */
void hr_peers_replied(struct hr_peers *peers, sd_bus *bus, int error);

/* Closes the doomed ones; never from inside a method. all: everyone; system: those of the system bus. */
enum hr_peers_which { HR_PEERS_DOOMED, HR_PEERS_SYSTEM, HR_PEERS_ALL };
void hr_peers_sweep(struct hr_peers *peers, enum hr_peers_which which);
