/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exchange.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "fd.h"

/*
 * Rings with one writer and one reader each. The writer owns `tail`, the reader `head`; both only grow, and
 * wrap as unsigned numbers do. An item is written before `tail` is published (release) and read after `tail`
 * was seen (acquire), and the other way round for its place.
 *
 *   events, records   deciding -> bus, deciding -> recorder; copies; full: dropped and counted
 *   commands          bus -> deciding; their answers go back. Both have COMMANDS_MAX places, and the bus
 * thread never has more than that under way, so giving an answer back can't fail questions         deciding
 * -> bus, and replies back; copies; full: not taken retired           deciding -> bus; there is a place for
 * every card that is published or waits to be freed
 *
 * A reader that finds its ring empty clears its eventfd and then looks again: what was put in between is
 * either seen by that look or has made the eventfd readable again. Waking may be needless, never missing.
 *
 * A card's status is under a sequence lock: see hr_card_write. Counts are single numbers that only grow; a
 * reader may see one of two that belong together, which the next reading puts right.
 */

#define EVENTS_MAX 256   /* power of two; chosen, not tuned: a burst of all stages of some dozen jobs */
#define LINES_MAX 16     /* power of two; the bus thread says one a minute */
#define TOLD_MAX 64      /* power of two; what does not fit was said by many jobs at once */
#define BIRTHS_MAX 1024  /* power of two; all jobs of a busy host are adopted at once */
#define POINTS_MAX 4096  /* power of two; 192 KiB that are touched only where many jobs are watched */
#define COMMANDS_MAX 256 /* power of two; 8 for each of 32 busy peers */
/* power of two; both ways. Chosen, not tuned: who gets no answer goes on without */
#define QUESTIONS_MAX 64

struct ring {
        uint8_t *items;
        size_t item_size;
        uint32_t mask;
        char apart1[64]; /* the two ends are written by different threads: keep them in different cache lines
                          */
        atomic_uint head;
        char apart2[64];
        atomic_uint tail;
        char apart3[64];
};

struct hr_exchange {
        uint32_t jobs_max;
        _Atomic(struct hr_card *) *slots;
        atomic_uint slots_used;

        /* Deciding thread's own. */
        uint32_t *free_slots;
        uint32_t free_count;
        uint32_t published_count;

        /* Bus thread's own. */
        uint32_t under_way_count;

        /* Written by the deciding thread, but for what is dropped of others' lines. */
        atomic_uint_least64_t figures[HR_FIGURE_COUNT], entries[2][HR_STAGE_COUNT];
        struct {
                char action[sizeof(((struct hr_deed *)0)->action)];
                char outcome[sizeof(((struct hr_deed *)0)->outcome)];
                atomic_uint_least64_t count;
        } deeds[HR_DEEDS_MAX + 1]; /* the names are written before deed_count tells of them, and stay */
        atomic_uint deed_count;
        _Atomic(char *) page;

        struct ring events, records, lines, commands, answers, retired, questions, replies;
        struct ring births, points, told;
        atomic_uint_least64_t dropped_events, dropped_records;
        int command_fd, bus_fd, record_fd;
};

/* ---- rings ---- */

static int ring_init(struct ring *r, uint32_t count, size_t item_size)
{
        uint32_t size = 1;

        while (size < count)
                size *= 2;
        r->items = calloc(size, item_size); /* large ones come as untouched pages */
        if (!r->items)
                return -ENOMEM;
        r->item_size = item_size;
        r->mask = size - 1;
        return 0;
}

static bool ring_push(struct ring *r, const void *item)
{
        unsigned tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
        unsigned head = atomic_load_explicit(&r->head, memory_order_acquire);

        if (tail - head > r->mask)
                return false;
        memcpy(r->items + (size_t)(tail & r->mask) * r->item_size, item, r->item_size);
        atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
        return true;
}

static bool ring_pop(struct ring *r, void *ret)
{
        unsigned head = atomic_load_explicit(&r->head, memory_order_relaxed);
        unsigned tail = atomic_load_explicit(&r->tail, memory_order_acquire);

        if (tail == head)
                return false;
        memcpy(ret, r->items + (size_t)(head & r->mask) * r->item_size, r->item_size);
        atomic_store_explicit(&r->head, head + 1, memory_order_release);
        return true;
}

static bool ring_empty(const struct ring *r) /* asked by its reader */
{
        return atomic_load_explicit(&r->tail, memory_order_acquire) ==
               atomic_load_explicit(&r->head, memory_order_relaxed);
}

static void wake(int fd)
{
        uint64_t one = 1;

        /* EAGAIN: the counter is full, so it is readable already. */
        if (write(fd, &one, sizeof(one)) < 0)
                return;
}

static void clear(int fd)
{
        uint64_t count;

        if (read(fd, &count, sizeof(count)) < 0)
                return; /* EAGAIN: it was clear */
}

/* For the reader of one ring with its own eventfd, or of the last of several. */
static bool ring_take(struct ring *r, int fd, void *ret)
{
        if (ring_pop(r, ret))
                return true;
        clear(fd);
        return ring_pop(r, ret);
}

/* The bus thread's eventfd serves four rings: it stays readable while one of them has something. */
static bool bus_take(struct hr_exchange *x, struct ring *r, void *ret)
{
        if (ring_pop(r, ret))
                return true;
        clear(x->bus_fd);
        if (!ring_empty(&x->answers) || !ring_empty(&x->events) || !ring_empty(&x->retired) ||
                !ring_empty(&x->questions))
                wake(x->bus_fd);
        return ring_pop(r, ret);
}

/* ---- cards ---- */

struct hr_card *hr_card_free(struct hr_card *card)
{
        if (!card)
                return NULL;
        free(card->name);
        free(card->user);
        free(card->cgroup);
        free(card->unit);
        free(card);
        return NULL;
}

/*
 * The sequence lock. The status is copied word by word with atomic stores (release) and loads (acquire),
 * which cost nothing on x86 and little elsewhere, need no fence, and leave no data race for a sanitizer or
 * the language: a reader that picks up one word of a newer write also sees that write's odd number, and takes
 * it all again.
 */
typedef uint64_t __attribute__((may_alias)) word;
_Static_assert(sizeof(struct hr_status) % sizeof(word) == 0, "the status is copied in whole words");
_Static_assert(_Alignof(struct hr_status) == _Alignof(uint64_t), "the status is aligned for its words");
#define STATUS_WORDS (sizeof(struct hr_status) / sizeof(word))

void hr_card_write(struct hr_card *card, const struct hr_status *status)
{
        word *to = (word *)&card->status;
        const word *from = (const word *)status;
        unsigned sequence = atomic_load_explicit(&card->sequence, memory_order_relaxed);

        atomic_store_explicit(&card->sequence, sequence + 1, memory_order_relaxed);
        for (size_t i = 0; i < STATUS_WORDS; i++)
                __atomic_store_n(to + i, from[i], __ATOMIC_RELEASE);
        atomic_store_explicit(&card->sequence, sequence + 2, memory_order_release);
}

void hr_card_read(const struct hr_card *card, struct hr_status *ret)
{
        const word *from = (const word *)&card->status;
        word *to = (word *)ret;

        for (;;) {
                unsigned before = atomic_load_explicit(&card->sequence, memory_order_acquire);

                if (before & 1) {
                        sched_yield(); /* the writer is in the middle of some hundred bytes */
                        continue;
                }
                for (size_t i = 0; i < STATUS_WORDS; i++)
                        to[i] = __atomic_load_n(from + i, __ATOMIC_ACQUIRE);
                if (atomic_load_explicit(&card->sequence, memory_order_relaxed) == before)
                        return;
        }
}

/* ---- commands ---- */

struct hr_command *hr_command_new(void)
{
        struct hr_command *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->slot = UINT32_MAX;
        c->limit_bytes = HR_BYTES_NONE;
        c->answer_bytes = HR_BYTES_NONE;
        return c;
}

struct hr_command *hr_command_free(struct hr_command *c)
{
        if (!c)
                return NULL;
        free(c->cgroup);
        free(c->unit);
        free(c->request);
        free(c->peer_command);
        free(c->text);
        free(c->breakdown);
        free(c);
        return NULL;
}

struct hr_birth *hr_birth_free(struct hr_birth *b)
{
        if (!b)
                return NULL;
        free(b->command);
        free(b->cgroup);
        free(b->unit);
        free(b);
        return NULL;
}

/* ---- the meeting place ---- */

static void exchange_freep(struct hr_exchange **x)
{
        hr_exchange_free(*x);
}

int hr_exchange_new(uint32_t jobs_max, struct hr_exchange **ret)
{
        HR_CLEANUP(exchange_freep) struct hr_exchange *x = calloc(1, sizeof(*x));
        int *const fds[] = {x ? &x->command_fd : NULL, x ? &x->bus_fd : NULL, x ? &x->record_fd : NULL};

        if (!x)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                *fds[i] = -1;
        if (jobs_max == 0 || jobs_max > UINT32_MAX / 4)
                return -EINVAL;

        x->jobs_max = jobs_max;
        x->slots = calloc(jobs_max, sizeof(*x->slots));
        x->free_slots = calloc(jobs_max, sizeof(*x->free_slots));
        if (!x->slots || !x->free_slots)
                return -ENOMEM;

        if (ring_init(&x->events, EVENTS_MAX, sizeof(struct hr_event)) < 0 ||
                ring_init(&x->records, EVENTS_MAX, sizeof(struct hr_event)) < 0 ||
                ring_init(&x->lines, LINES_MAX, sizeof(struct hr_line)) < 0 ||
                ring_init(&x->commands, COMMANDS_MAX, sizeof(void *)) < 0 ||
                ring_init(&x->answers, COMMANDS_MAX, sizeof(void *)) < 0 ||
                ring_init(&x->questions, QUESTIONS_MAX, sizeof(struct hr_question)) < 0 ||
                ring_init(&x->replies, QUESTIONS_MAX, sizeof(struct hr_reply)) < 0 ||
                ring_init(&x->births, BIRTHS_MAX, sizeof(void *)) < 0 ||
                ring_init(&x->points, POINTS_MAX, sizeof(struct hr_point)) < 0 ||
                ring_init(&x->told, TOLD_MAX, sizeof(struct hr_told)) < 0 ||
                ring_init(&x->retired, 2 * jobs_max, sizeof(void *)) < 0)
                return -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                *fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                if (*fds[i] < 0)
                        return -errno;
        }
        *ret = TAKE_PTR(x);
        return 0;
}

struct hr_exchange *hr_exchange_free(struct hr_exchange *x)
{
        struct hr_birth *birth;
        struct hr_card *card;
        struct hr_command *c;

        if (!x)
                return NULL;
        while (x->births.items && ring_pop(&x->births, &birth))
                hr_birth_free(birth);
        for (uint32_t i = 0; x->slots && i < atomic_load(&x->slots_used); i++)
                hr_card_free(atomic_load(&x->slots[i]));
        while (x->retired.items && ring_pop(&x->retired, &card))
                hr_card_free(card);
        while (x->commands.items && ring_pop(&x->commands, &c))
                hr_command_free(c);
        while (x->answers.items && ring_pop(&x->answers, &c))
                hr_command_free(c);

        free(x->events.items);
        free(x->records.items);
        free(x->lines.items);
        free(x->births.items);
        free(x->points.items);
        free(x->told.items);
        free(x->commands.items);
        free(x->answers.items);
        free(x->retired.items);
        free(x->questions.items);
        free(x->replies.items);
        free(x->slots);
        free(x->free_slots);
        free(atomic_load(&x->page));
        hr_close(x->command_fd);
        hr_close(x->bus_fd);
        hr_close(x->record_fd);
        free(x);
        return NULL;
}

/* ---- counts ---- */

static void add(atomic_uint_least64_t *count, uint64_t by)
{
        atomic_fetch_add_explicit(count, by, memory_order_relaxed);
}

static void count_deed(struct hr_exchange *x, const char *action, const char *outcome)
{
        unsigned count = atomic_load_explicit(&x->deed_count, memory_order_relaxed), i = 0;

        while (i < count &&
                (strcmp(x->deeds[i].action, action) != 0 || strcmp(x->deeds[i].outcome, outcome) != 0))
                i++;
        i = MIN(i, (unsigned)HR_DEEDS_MAX);
        if (i == count) {
                snprintf(x->deeds[i].action, sizeof(x->deeds[i].action), "%s",
                        i < HR_DEEDS_MAX ? action : "other");
                snprintf(x->deeds[i].outcome, sizeof(x->deeds[i].outcome), "%s",
                        i < HR_DEEDS_MAX ? outcome : "other");
        }
        add(&x->deeds[i].count, 1);
        if (i == count)
                atomic_store_explicit(&x->deed_count, count + 1, memory_order_release);
}

static void count_event(struct hr_exchange *x, const struct hr_event *event)
{
        if (event->job[0] == '\0') /* the daemon's own lines */
                return;
        count_deed(x, event->action, event->outcome);
        if (event->stage != event->previous_stage)
                add(&x->entries[strcmp(event->outcome, "observed") == 0][event->stage], 1);
}

void hr_exchange_count(struct hr_exchange *x, enum hr_figure figure, uint64_t by)
{
        add(&x->figures[figure], by);
}

void hr_exchange_read_counts(const struct hr_exchange *x, struct hr_counts *ret)
{
        memset(ret, 0, sizeof(*ret));
        for (size_t i = 0; i < HR_FIGURE_COUNT; i++)
                ret->figures[i] = atomic_load_explicit(&x->figures[i], memory_order_relaxed);
        for (size_t i = 0; i < 2; i++)
                for (size_t k = 0; k < HR_STAGE_COUNT; k++)
                        ret->entries[i][k] = atomic_load_explicit(&x->entries[i][k], memory_order_relaxed);
        ret->deed_count = atomic_load_explicit(&x->deed_count, memory_order_acquire);
        for (size_t i = 0; i < ret->deed_count; i++) {
                memcpy(ret->deeds[i].action, x->deeds[i].action, sizeof(ret->deeds[i].action));
                memcpy(ret->deeds[i].outcome, x->deeds[i].outcome, sizeof(ret->deeds[i].outcome));
                ret->deeds[i].count = atomic_load_explicit(&x->deeds[i].count, memory_order_relaxed);
        }
}

/* ---- the page ---- */

void hr_exchange_put_page(struct hr_exchange *x, char *page)
{
        free(atomic_exchange_explicit(&x->page, page, memory_order_acq_rel));
        wake(x->record_fd);
}

char *hr_exchange_take_page(struct hr_exchange *x)
{
        return atomic_exchange_explicit(&x->page, NULL, memory_order_acq_rel);
}

/* ---- deciding thread ---- */

int hr_exchange_publish(struct hr_exchange *x, struct hr_card *card)
{
        uint32_t used = atomic_load_explicit(&x->slots_used, memory_order_relaxed);
        unsigned waiting = atomic_load_explicit(&x->retired.tail, memory_order_relaxed) -
                           atomic_load_explicit(&x->retired.head, memory_order_relaxed);

        /* The second: every card must find a place among the retired when its time comes. */
        if (x->published_count >= x->jobs_max || x->published_count + waiting > x->retired.mask)
                return -ENOSPC;

        card->slot = x->free_count > 0 ? x->free_slots[--x->free_count] : used;
        x->published_count++;
        atomic_store_explicit(&x->slots[card->slot], card, memory_order_release);
        if (card->slot == used)
                atomic_store_explicit(&x->slots_used, used + 1, memory_order_release);
        return 0;
}

void hr_exchange_retire(struct hr_exchange *x, struct hr_card *card)
{
        atomic_store_explicit(&x->slots[card->slot], NULL, memory_order_release);
        x->free_slots[x->free_count++] = card->slot;
        x->published_count--;
        ring_push(&x->retired, &card); /* has room: see hr_exchange_publish */
        wake(x->bus_fd);
}

void hr_exchange_event(struct hr_exchange *x, const struct hr_event *event)
{
        count_event(x, event);
        if (!ring_push(&x->events, event)) {
                add(&x->dropped_events, 1);
                add(&x->figures[HR_FIGURE_DROPPED_BUS], 1);
        }
        wake(x->bus_fd);
        if (!ring_push(&x->records, event)) {
                add(&x->dropped_records, 1);
                add(&x->figures[HR_FIGURE_DROPPED_RECORD], 1);
        }
        wake(x->record_fd);
}

void hr_exchange_birth(struct hr_exchange *x, struct hr_birth *birth)
{
        if (!ring_push(&x->births, &birth))
                hr_birth_free(birth);
}

void hr_exchange_point(struct hr_exchange *x, const struct hr_point *point)
{
        unsigned head = atomic_load_explicit(&x->points.head, memory_order_relaxed);
        unsigned tail = atomic_load_explicit(&x->points.tail, memory_order_relaxed);

        (void)ring_push(&x->points, point); /* one of many: nobody misses it */
        if (tail - head == x->points.mask / 2)
                wake(x->record_fd);
}

struct hr_command *hr_exchange_next_command(struct hr_exchange *x)
{
        struct hr_command *c;

        return ring_take(&x->commands, x->command_fd, &c) ? c : NULL;
}

void hr_exchange_answer(struct hr_exchange *x, struct hr_command *c)
{
        ring_push(&x->answers, &c); /* has room: there are never more commands under way than places */
        wake(x->bus_fd);
}

bool hr_exchange_question(struct hr_exchange *x, const struct hr_question *question)
{
        bool pushed = ring_push(&x->questions, question);

        wake(x->bus_fd);
        return pushed;
}

bool hr_exchange_next_reply(struct hr_exchange *x, struct hr_reply *ret)
{
        return ring_pop(&x->replies, ret);
}

int hr_exchange_command_fd(const struct hr_exchange *x)
{
        return x->command_fd;
}

/* ---- bus thread ---- */

struct hr_card *hr_exchange_card(struct hr_exchange *x, uint32_t slot)
{
        if (slot >= hr_exchange_slots(x))
                return NULL;
        return atomic_load_explicit(&x->slots[slot], memory_order_acquire);
}

uint32_t hr_exchange_slots(const struct hr_exchange *x)
{
        return atomic_load_explicit(&x->slots_used, memory_order_acquire);
}

int hr_exchange_command(struct hr_exchange *x, struct hr_command *c)
{
        if (x->under_way_count >= COMMANDS_MAX || !ring_push(&x->commands, &c))
                return -EAGAIN;
        x->under_way_count++;
        wake(x->command_fd);
        return 0;
}

struct hr_command *hr_exchange_next_answer(struct hr_exchange *x)
{
        struct hr_command *c;

        if (!bus_take(x, &x->answers, &c))
                return NULL;
        x->under_way_count--;
        return c;
}

bool hr_exchange_next_bus_event(struct hr_exchange *x, struct hr_event *ret)
{
        return bus_take(x, &x->events, ret);
}

bool hr_exchange_next_question(struct hr_exchange *x, struct hr_question *ret)
{
        return bus_take(x, &x->questions, ret);
}

bool hr_exchange_reply(struct hr_exchange *x, const struct hr_reply *reply)
{
        bool pushed = ring_push(&x->replies, reply);

        wake(x->command_fd);
        return pushed;
}

void hr_exchange_line(struct hr_exchange *x, int priority, const char *format, ...)
{
        struct hr_line line = {.priority = priority};
        va_list ap;

        va_start(ap, format);
        vsnprintf(line.text, sizeof(line.text), format, ap);
        va_end(ap);
        if (!ring_push(&x->lines, &line)) {
                add(&x->dropped_records, 1);
                add(&x->figures[HR_FIGURE_DROPPED_RECORD], 1);
        }
        wake(x->record_fd);
}

void hr_exchange_told(struct hr_exchange *x, const struct hr_told *told)
{
        if (!ring_push(&x->told, told))
                atomic_fetch_add_explicit(&x->dropped_records, 1, memory_order_relaxed);
        wake(x->record_fd);
}

void hr_exchange_reap(struct hr_exchange *x)
{
        struct hr_card *card;

        while (bus_take(x, &x->retired, &card))
                hr_card_free(card);
}

int hr_exchange_bus_fd(const struct hr_exchange *x)
{
        return x->bus_fd;
}

/* ---- recorder thread ---- */

/* Its eventfd serves two rings, as the bus thread's serves four. */
bool hr_exchange_next_record(struct hr_exchange *x, struct hr_event *ret)
{
        if (ring_pop(&x->records, ret))
                return true;
        clear(x->record_fd);
        if (!ring_empty(&x->lines) || !ring_empty(&x->births) || !ring_empty(&x->told))
                wake(x->record_fd);
        return ring_pop(&x->records, ret);
}

bool hr_exchange_next_line(struct hr_exchange *x, struct hr_line *ret)
{
        return ring_pop(&x->lines, ret);
}

struct hr_birth *hr_exchange_next_birth(struct hr_exchange *x)
{
        struct hr_birth *birth;

        return ring_pop(&x->births, &birth) ? birth : NULL;
}

bool hr_exchange_next_point(struct hr_exchange *x, struct hr_point *ret)
{
        return ring_pop(&x->points, ret);
}

bool hr_exchange_next_told(struct hr_exchange *x, struct hr_told *ret)
{
        return ring_pop(&x->told, ret);
}

int hr_exchange_record_fd(const struct hr_exchange *x)
{
        return x->record_fd;
}

uint64_t hr_exchange_take_dropped(struct hr_exchange *x, bool recorder)
{
        return atomic_exchange_explicit(
                recorder ? &x->dropped_records : &x->dropped_events, 0, memory_order_relaxed);
}
