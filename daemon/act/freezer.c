/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "act/freeze.h"
#include "fd.h"
#include "thread.h"

/*
 * One ring of places, and three hands that only grow, and wrap as unsigned numbers do:
 *
 *   tail   what was asked     deciding thread writes a place, then publishes tail
 *   done   what was done      freezer thread works on the place, writes the result there, then publishes done
 *   head   what was taken     deciding thread's own: places below it are free
 *
 * so an answer always has its place. A place is QUEUED until the freezer thread takes it, or the deciding
 * thread cancels it, whoever comes first; the number of a place in `tail` is its ticket.
 *
 * Each request has a descriptor of its own, which the freezer thread closes: the job may end meanwhile, and
 * its number be used anew.
 */

#define STACK_BYTES (64 * 1024)
/* Growing the table of descriptors of a process with threads waits for a grace period of RCU (Linux
 * fs/file.c, expand_fdtable): it is grown once, at the start. */
#define DESCRIPTORS_AHEAD 4096

enum state { QUEUED, TAKEN, CANCELED };

struct place {
        struct hr_freezer_request request; /* its descriptor is ours */
        int result;
        atomic_int state;
};

struct hr_freezer_thread {
        struct place places[HR_FREEZER_REQUESTS_MAX];
        atomic_uint tail, done;
        uint32_t head;
        atomic_bool stopping;
        bool started, drained;
        int request_fd, answer_fd; /* eventfds; a read of the first waits */
        pthread_t thread;
};

static struct place *place_of(struct hr_freezer_thread *f, uint32_t ticket)
{
        return &f->places[ticket % HR_FREEZER_REQUESTS_MAX];
}

static void wake(int fd)
{
        const uint64_t one = 1;
        if (write(fd, &one, sizeof(one)) < 0)
                return; /* EAGAIN: the counter is full, so it is readable already */
}

/* ---- the thread ---- */

static void carry_out(struct place *p)
{
        int queued = QUEUED;
        if (atomic_compare_exchange_strong(&p->state, &queued, TAKEN))
                p->result = hr_freeze_cgroup(p->request.freezer, p->request.control_fd, p->request.freeze);
        else
                p->result = -ECANCELED;
        p->request.control_fd = hr_close(p->request.control_fd);
}

static void *run(void *userdata)
{
        struct hr_freezer_thread *f = userdata;
        uint32_t done = 0;
        uint64_t count;

        (void)pthread_setname_np(pthread_self(), "headroom-freeze");
        hr_thread_prefer(HR_THREAD_FREEZER);
        for (;;) {
                /* Read before `tail`: all that was asked before the end is seen. */
                bool stopping = atomic_load_explicit(&f->stopping, memory_order_acquire);
                while (done != atomic_load_explicit(&f->tail, memory_order_acquire)) {
                        carry_out(place_of(f, done));
                        atomic_store_explicit(&f->done, ++done, memory_order_release);
                        wake(f->answer_fd);
                }
                if (stopping)
                        return NULL;
                (void)!read(
                        f->request_fd, &count, sizeof(count)); /* whatever it says, the ring is looked at */
        }
}

/* ---- the deciding thread ---- */

static void grow_descriptors(int fd)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 2)
                return;
        int last = (int)MIN(limit.rlim_cur, DESCRIPTORS_AHEAD) - 1;
        hr_close(fcntl(fd, F_DUPFD_CLOEXEC, last)); /* taken, or the limit is low: it grows when it must */
}

static void freezer_freep(struct hr_freezer_thread **f)
{
        hr_freezer_free(*f);
}

int hr_freezer_new(struct hr_freezer_thread **ret)
{
        HR_CLEANUP(freezer_freep) struct hr_freezer_thread *f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->answer_fd = -1;
        f->request_fd = eventfd(0, EFD_CLOEXEC);
        if (f->request_fd < 0)
                return -errno;
        f->answer_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (f->answer_fd < 0)
                return -errno;
        grow_descriptors(f->request_fd);
        *ret = TAKE_PTR(f);
        return 0;
}

int hr_freezer_start(struct hr_freezer_thread *f)
{
        int r = hr_thread_start(STACK_BYTES, run, f, &f->thread);
        f->started = r == 0;
        return r;
}

int hr_freezer_ask(
        struct hr_freezer_thread *f, const struct hr_freezer_request *request, uint32_t *ret_ticket)
{
        uint32_t tail = atomic_load_explicit(&f->tail, memory_order_relaxed);
        struct place *p = place_of(f, tail);

        if (f->drained)
                return -ESHUTDOWN;
        if (tail - f->head >= HR_FREEZER_REQUESTS_MAX)
                return -EAGAIN;
        int fd = fcntl(request->control_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return -errno;
        p->request = *request;
        p->request.control_fd = fd;
        atomic_store_explicit(&p->state, QUEUED, memory_order_relaxed);
        atomic_store_explicit(&f->tail, tail + 1, memory_order_release);
        wake(f->request_fd);
        *ret_ticket = tail;
        return 0;
}

bool hr_freezer_cancel(struct hr_freezer_thread *f, uint32_t ticket)
{
        int queued = QUEUED;
        uint32_t tail = atomic_load_explicit(&f->tail, memory_order_relaxed);
        return ticket - f->head < tail - f->head &&
               atomic_compare_exchange_strong(&place_of(f, ticket)->state, &queued, CANCELED);
}

bool hr_freezer_next(struct hr_freezer_thread *f, struct hr_freezer_answer *ret)
{
        uint64_t count;

        if (f->head == atomic_load_explicit(&f->done, memory_order_acquire)) {
                (void)!read(f->answer_fd, &count, sizeof(count)); /* EAGAIN: it was clear */
                /* What came in between has made it readable again, or is seen now. */
                if (f->head == atomic_load_explicit(&f->done, memory_order_acquire))
                        return false;
        }
        const struct place *p = place_of(f, f->head);
        *ret = (struct hr_freezer_answer){
                .ticket = f->head, .slot = p->request.slot, .freeze = p->request.freeze, .result = p->result};
        memcpy(ret->id, p->request.id, sizeof(ret->id));
        f->head++;
        return true;
}

int hr_freezer_fd(const struct hr_freezer_thread *f)
{
        return f->answer_fd;
}

void hr_freezer_drain(struct hr_freezer_thread *f)
{
        if (f->drained)
                return;
        f->drained = true;
        if (!f->started)
                return;
        atomic_store_explicit(&f->stopping, true, memory_order_release);
        wake(f->request_fd);
        (void)pthread_join(f->thread, NULL); /* it is joined once, and never by itself */
        f->started = false;
}

struct hr_freezer_thread *hr_freezer_free(struct hr_freezer_thread *f)
{
        if (!f)
                return NULL;
        hr_freezer_drain(f);
        /* Of one that was never started. */
        for (uint32_t i = atomic_load(&f->done); i != atomic_load(&f->tail); i++)
                hr_close(place_of(f, i)->request.control_fd);
        hr_close(f->request_fd);
        hr_close(f->answer_fd);
        free(f);
        return NULL;
}
