/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The methods of the bus contract: who may ask what, the way of a request to the deciding thread and of its
 * answer back, and the events that are kept. Bus thread only.
 */

#include "tell/archive.h"
#include "tell/bus.h"
#include "tell/liaison.h"
#include "tell/metrics.h"
#include "tell/peer.h"

struct hr_service;

/* options: its strings must stay as long as the service. */
int hr_service_new(struct hr_exchange *x, const struct hr_bus_options *options, struct hr_peers *peers,
        struct hr_service **ret);
/* Where it looks jobs up; stays as long as the service. */
const struct hr_view *hr_service_view(const struct hr_service *s);
struct hr_service *hr_service_free(struct hr_service *s); /* returns NULL; accepts NULL */

extern const sd_bus_vtable hr_service_vtable[]; /* its userdata is a struct hr_peer */

/* What Metrics answers to that caller (NULL: all may be seen), to be freed; NULL for want of memory. */
char *hr_service_metrics(struct hr_service *s, const struct hr_caller *caller, enum hr_metrics_format format);
/* Why is answered by it; before the first call. */
/* Record, History and Advise are answered by it; the same. */
void hr_service_archive(struct hr_service *s, struct hr_archive *archive);
void hr_service_consult(struct hr_service *s, struct hr_liaison *liaison);
void hr_service_answer(struct hr_service *s); /* sends the answers that have come */
void hr_service_keep(struct hr_service *s, const struct hr_event *event); /* for Events() */
void hr_service_forget(struct hr_service *s, struct hr_peer *peer);       /* the peer goes */
