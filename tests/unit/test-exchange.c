/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "exchange.h"

/* The rings and the sequence lock: their bounds in one thread, their promises between two. */

#define ROUNDS 200000U

static struct hr_exchange *new_exchange(uint32_t jobs_max)
{
        struct hr_exchange *x = NULL;

        assert_int_equal(hr_exchange_new(jobs_max, &x), 0);
        return x;
}

static struct hr_card *new_card(uint64_t number)
{
        struct hr_card *card = calloc(1, sizeof(*card));

        assert_non_null(card);
        snprintf(card->id, sizeof(card->id), "j%u", (unsigned)number);
        card->name = strdup("name");
        return card;
}

static bool readable(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        return poll(&p, 1, 0) == 1;
}

static void test_new_refuses(void **state HR_UNUSED)
{
        struct hr_exchange *x = NULL;

        assert_int_equal(hr_exchange_new(0, &x), -EINVAL);
        assert_null(x);
        assert_null(hr_exchange_free(NULL));
        assert_null(hr_card_free(NULL));
        assert_null(hr_command_free(NULL));
}

static void test_cards(void **state HR_UNUSED)
{
        struct hr_exchange *x = new_exchange(3);
        struct hr_card *cards[3], *more = new_card(9);

        for (uint32_t i = 0; i < 3; i++) {
                cards[i] = new_card(i);
                assert_int_equal(hr_exchange_publish(x, cards[i]), 0);
                assert_int_equal(cards[i]->slot, i);
        }
        assert_int_equal(hr_exchange_slots(x), 3);
        assert_int_equal(hr_exchange_publish(x, more), -ENOSPC);

        hr_exchange_retire(x, cards[1]);
        assert_null(hr_exchange_card(x, 1));
        assert_true(readable(hr_exchange_bus_fd(x)));
        assert_string_equal(cards[1]->id, "j1"); /* still there: the bus thread has not reaped */
        assert_int_equal(hr_exchange_publish(x, more), 0);
        assert_int_equal(more->slot, 1);
        assert_int_equal(hr_exchange_slots(x), 3);
        assert_ptr_equal(hr_exchange_card(x, 1), more);

        hr_exchange_reap(x);
        assert_false(readable(hr_exchange_bus_fd(x)));
        assert_null(hr_exchange_card(x, 3));
        hr_exchange_free(x);
}

/* Jobs come and go while the bus thread sleeps: publishing stops before a retired card would find no place.
 */
static void test_retired_are_bounded(void **state HR_UNUSED)
{
        struct hr_exchange *x = new_exchange(4);
        struct hr_card *card = NULL;
        unsigned count = 0;

        for (;; count++) {
                card = new_card(count);
                if (hr_exchange_publish(x, card) < 0)
                        break;
                hr_exchange_retire(x, card);
                assert_true(count < 100);
        }
        assert_int_equal(count, 8);
        hr_exchange_reap(x);
        assert_int_equal(hr_exchange_publish(x, card), 0);
        hr_exchange_free(x);
}

static void test_events(void **state HR_UNUSED)
{
        struct hr_exchange *x = new_exchange(1);
        struct hr_event event = {0};

        for (unsigned i = 0; i < 300; i++) {
                event.time_usec = i;
                hr_exchange_event(x, &event);
        }
        assert_true(readable(hr_exchange_bus_fd(x)));
        assert_true(readable(hr_exchange_record_fd(x)));
        for (unsigned i = 0; i < 256; i++) {
                assert_true(hr_exchange_next_bus_event(x, &event));
                assert_int_equal(event.time_usec, i);
        }
        assert_false(hr_exchange_next_bus_event(x, &event));
        assert_false(readable(hr_exchange_bus_fd(x)));
        assert_int_equal(hr_exchange_take_dropped(x, false), 44);
        assert_int_equal(hr_exchange_take_dropped(x, false), 0);

        assert_true(readable(hr_exchange_record_fd(x))); /* its own ring: untouched by the other reader */
        for (unsigned i = 0; i < 256; i++)
                assert_true(hr_exchange_next_record(x, &event));
        assert_false(hr_exchange_next_record(x, &event));
        assert_false(readable(hr_exchange_record_fd(x)));
        assert_int_equal(hr_exchange_take_dropped(x, true), 44);
        hr_exchange_free(x);
}

static void test_commands(void **state HR_UNUSED)
{
        struct hr_exchange *x = new_exchange(1);
        struct hr_command *c;
        unsigned accepted = 0;

        c = hr_command_new();
        assert_int_equal(c->slot, UINT32_MAX);
        assert_true(c->limit_bytes == HR_BYTES_NONE);
        while (hr_exchange_command(x, c) == 0) {
                accepted++;
                c = hr_command_new();
                c->slot = accepted;
        }
        assert_int_equal(accepted, 256);
        assert_true(readable(hr_exchange_command_fd(x)));

        /* Taken, but not answered: still under way. */
        for (unsigned i = 0; i < 10; i++) {
                struct hr_command *taken = hr_exchange_next_command(x);

                assert_non_null(taken);
                if (i > 0)
                        assert_int_equal(taken->slot, i);
                if (i < 5) {
                        taken->text = strdup("answer");
                        hr_exchange_answer(x, taken);
                } else {
                        hr_command_free(taken); /* what the test does with the rest */
                }
        }
        assert_int_equal(hr_exchange_command(x, c), -EAGAIN);
        for (unsigned i = 0; i < 3; i++)
                hr_command_free(hr_exchange_next_answer(x));
        assert_int_equal(hr_exchange_command(x, c), 0);
        while ((c = hr_exchange_next_answer(x)))
                hr_command_free(c);
        assert_false(readable(hr_exchange_bus_fd(x)));
        hr_exchange_free(x); /* with commands in it */
}

/* One of the three rings being empty must not silence the others. */
static void test_bus_fd_stays_readable(void **state HR_UNUSED)
{
        struct hr_exchange *x = new_exchange(1);
        struct hr_event event = {0};

        hr_exchange_event(x, &event);
        assert_null(hr_exchange_next_answer(x));
        assert_true(readable(hr_exchange_bus_fd(x)));
        hr_exchange_reap(x);
        assert_true(readable(hr_exchange_bus_fd(x)));
        assert_true(hr_exchange_next_bus_event(x, &event));
        assert_false(hr_exchange_next_bus_event(x, &event));
        assert_false(readable(hr_exchange_bus_fd(x)));
        hr_exchange_free(x);
}

/* The recorder takes the lines first, then the records: a line that comes in between still wakes it. */
static void test_record_fd_stays_readable(void **state HR_UNUSED)
{
        struct hr_exchange *x = new_exchange(1);
        struct pollfd fd = {.fd = hr_exchange_record_fd(x), .events = POLLIN};
        struct hr_event event;
        struct hr_line line;

        assert_false(hr_exchange_next_line(x, &line));
        hr_exchange_line(x, 6, "in between");
        assert_false(hr_exchange_next_record(x, &event));
        assert_int_equal(poll(&fd, 1, 0), 1);
        assert_true(hr_exchange_next_line(x, &line));
        assert_false(hr_exchange_next_record(x, &event));
        assert_int_equal(poll(&fd, 1, 0), 0);
        hr_exchange_free(x);
}

/* ---- between two threads ---- */

struct pair {
        struct hr_exchange *x;
        struct hr_card *card;
        atomic_bool done;
};

static void *write_status(void *userdata)
{
        struct pair *p = userdata;
        struct hr_status s = {0};

        for (uint64_t i = 1; i <= ROUNDS; i++) {
                s.used_bytes = s.cache_bytes = s.peak_bytes = s.deadline_usec = i;
                memset(s.reason, 'a' + (int)(i % 26), sizeof(s.reason) - 1);
                hr_card_write(p->card, &s);
        }
        atomic_store(&p->done, true);
        return NULL;
}

static void test_status_is_whole(void **state HR_UNUSED)
{
        struct pair p = {.card = new_card(1)};
        struct hr_status s = {0};
        uint64_t last = 0;
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, write_status, &p), 0);
        while (last < ROUNDS) {
                hr_card_read(p.card, &s);
                assert_true(s.used_bytes >= last);
                last = s.used_bytes;
                assert_true(s.cache_bytes == last && s.peak_bytes == last && s.deadline_usec == last);
                if (last == 0)
                        continue;
                for (size_t i = 0; i + 1 < sizeof(s.reason); i++)
                        assert_int_equal(s.reason[i], 'a' + (int)(last % 26));
        }
        pthread_join(thread, NULL);
        hr_card_free(p.card);
}

static void *post_events(void *userdata)
{
        struct pair *p = userdata;
        struct hr_event event = {0};

        for (uint64_t i = 1; i <= ROUNDS / 10; i++) {
                event.time_usec = i;
                hr_exchange_event(p->x, &event);
                if (i % 64 == 0)
                        sched_yield();
        }
        atomic_store(&p->done, true);
        return NULL;
}

/* Every event arrives in order or is counted, and no wake-up is lost: poll() would time out again and again.
 */
static void test_events_between_threads(void **state HR_UNUSED)
{
        struct pair p = {.x = new_exchange(1)};
        struct pollfd fd = {.fd = hr_exchange_bus_fd(p.x), .events = POLLIN};
        uint64_t seen = 0, last = 0;
        unsigned timeouts = 0;
        struct hr_event event;
        pthread_t thread;
        bool done;

        assert_int_equal(pthread_create(&thread, NULL, post_events, &p), 0);
        do {
                done = atomic_load(&p.done);
                if (!done && poll(&fd, 1, 1000) == 0)
                        timeouts++;
                while (hr_exchange_next_bus_event(p.x, &event)) {
                        assert_true(event.time_usec > last);
                        last = event.time_usec;
                        seen++;
                }
        } while (!done && last < ROUNDS / 10);
        pthread_join(thread, NULL);
        while (hr_exchange_next_bus_event(p.x, &event))
                seen++;
        assert_int_equal(seen + hr_exchange_take_dropped(p.x, false), ROUNDS / 10);
        assert_true(timeouts <= 1); /* one: it ended between our look and the poll */
        hr_exchange_free(p.x);
}

static void *answer_commands(void *userdata)
{
        struct pair *p = userdata;
        struct pollfd fd = {.fd = hr_exchange_command_fd(p->x), .events = POLLIN};
        uint64_t count = 0;

        while (count < ROUNDS / 10 && poll(&fd, 1, 10000) == 1) {
                struct hr_command *c;

                while ((c = hr_exchange_next_command(p->x))) {
                        c->answer_bytes = c->limit_bytes + 1;
                        hr_exchange_answer(p->x, c);
                        count++;
                }
        }
        return NULL;
}

static void test_commands_between_threads(void **state HR_UNUSED)
{
        struct pair p = {.x = new_exchange(1)};
        struct pollfd fd = {.fd = hr_exchange_bus_fd(p.x), .events = POLLIN};
        uint64_t sent = 0, answered = 0;
        struct hr_command *c = NULL;
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, answer_commands, &p), 0);
        while (answered < ROUNDS / 10) {
                while (sent < ROUNDS / 10) {
                        c = c ? c : hr_command_new();
                        c->limit_bytes = sent;
                        if (hr_exchange_command(p.x, c) < 0)
                                break;
                        c = NULL;
                        sent++;
                }
                assert_int_equal(poll(&fd, 1, 10000), 1);
                for (struct hr_command *a; (a = hr_exchange_next_answer(p.x)); hr_command_free(a))
                        assert_int_equal(a->answer_bytes, ++answered);
        }
        pthread_join(thread, NULL);
        hr_command_free(c);
        hr_exchange_free(p.x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_new_refuses),
                cmocka_unit_test(test_cards),
                cmocka_unit_test(test_retired_are_bounded),
                cmocka_unit_test(test_events),
                cmocka_unit_test(test_commands),
                cmocka_unit_test(test_bus_fd_stays_readable),
                cmocka_unit_test(test_record_fd_stays_readable),
                cmocka_unit_test(test_status_is_whole),
                cmocka_unit_test(test_events_between_threads),
                cmocka_unit_test(test_commands_between_threads),
        };

        return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
