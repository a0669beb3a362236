/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/forecast.h"

#include <string.h>

/*
 * How fast a group fills, and how long is left.
 *
 * Memory goes up and down; what brings a group to its limit is new ground. So the history follows the *high
 * mark*, the most that was used in the last one to two epochs of three minutes: noise and sawteeth leave it
 * flat, a ramp and a staircase are it, and a leak below a sawtooth raises it a little at each tooth. When a
 * group has given memory back for more than an epoch, the mark comes down and the history begins anew.
 *
 * The line of the mark is kept as points. When they are full, the point goes whose loss bends the line least,
 * an old bend counting less than a new one: so 48 points hold the last milliseconds at full detail and the
 * last hours in outline, whatever the spacing of samples is (1 ms to 10 s).
 *
 * A *step* is a rise of the mark between two rests. Growth comes from one of two windows.
 *
 * Pattern: three or more steps of about one size, the next not overdue. The pace is the median of the slopes
 * between the starts of steps, so that it doesn't depend on where in a step the group is.
 *
 * Climb: the rise that is under way, over 6 to 30 s. The pace is the median of all slopes within (Theil-Sen),
 * which shows nothing until the rise fills a third of the window: a single step passes unseen.
 *
 * Both must have gained more than twice the *swing*, how far use fell back within an epoch; otherwise the
 * noise of the group explains it, and growth is 0 unless a wider window shows such a gain. A mark that rests
 * for 2 s, or for half as long again as the steps' own rests, is growth that has ended.
 *
 * The recent pace, between the two newest samples, sees a job that fills 2 GB/s from its first two samples
 * on. It counts for the time left on new ground only, beyond an eighth of the swing: a job that moves where
 * it has been before is left in peace.
 *
 * Growth is *lasting* once it has gone on for a quarter longer than is left at its pace, in both halves of
 * that time: most that grows is a program that loads its data. A ramp from nothing is so from 56 % on.
 *
 * The constants here are chosen; that quarter and its ten seconds are tuned on two thirds of the programs in
 * tests/replay/recorded, and hold for the third that was kept back. To add a sample and ask takes 5 us (gcc
 * -O2, x86-64).
 */

#define EPOCH_USEC (180 * HR_USEC_PER_SEC)
#define REST_USEC (250 * HR_USEC_PER_MSEC) /* a mark unmoved for so long ends a step */
#define FORGET_USEC (2 * HR_USEC_PER_SEC)  /* rest after which growth has ended */
#define WINDOW_MIN_USEC (6 * HR_USEC_PER_SEC)
#define WINDOW_MAX_USEC (30 * HR_USEC_PER_SEC)
#define ONSET_USEC (1 * HR_USEC_PER_SEC) /* a rise seen after a longer gap is taken to have begun so late */
#define LATELY_USEC HR_USEC_PER_SEC
#define LASTING_LEAST_USEC \
        (10 * HR_USEC_PER_SEC) /* programs that load what they need: up to 7 s in tests/replay */
#define STILL_RISING_USEC (20 * HR_USEC_PER_MSEC)

static uint64_t noise_bytes(uint64_t used_bytes)
{
        return 64 * HR_KIB + used_bytes / 10000;
}

static uint64_t mark(const struct hr_history *h)
{
        return h->mark_bytes[h->count - 1];
}

static uint64_t swing(const struct hr_history *h)
{
        return MAX(h->epoch_swing_bytes[0], h->epoch_swing_bytes[1]);
}

/* Less than this may be noise: the records of a random series never gain more than its whole swing. */
static uint64_t least_gain(const struct hr_history *h)
{
        return hr_add(swing(h), swing(h));
}

/* Twice the area between the line with point i and without it, over the square of the point's age. */
static double bend(const struct hr_history *h, size_t i, uint64_t now_usec)
{
        double before = (double)(h->time_usec[i] - h->time_usec[i - 1]);
        double after = (double)(h->time_usec[i + 1] - h->time_usec[i]);
        double rise_before = (double)h->mark_bytes[i] - (double)h->mark_bytes[i - 1];
        double rise_after = (double)h->mark_bytes[i + 1] - (double)h->mark_bytes[i];
        double area = rise_before * after - rise_after * before;
        double age = (double)(now_usec - h->time_usec[i]) + (double)HR_USEC_PER_MSEC;

        return (area < 0 ? -area : area) / (age * age);
}

static void add_point(struct hr_history *h, uint64_t time_usec, uint64_t bytes)
{
        if (h->count > 0 && time_usec <= h->time_usec[h->count - 1]) {
                h->mark_bytes[h->count - 1] = bytes;
                return;
        }
        if (h->count == HR_HISTORY_POINTS) {
                size_t least = 1;
                double least_bend = bend(h, 1, time_usec);

                for (size_t i = 2; i + 1 < HR_HISTORY_POINTS; i++) {
                        double b = bend(h, i, time_usec);
                        if (b < least_bend) {
                                least = i;
                                least_bend = b;
                        }
                }
                size_t rest = HR_HISTORY_POINTS - 1 - least;
                memmove(&h->time_usec[least], &h->time_usec[least + 1], rest * sizeof(h->time_usec[0]));
                memmove(&h->mark_bytes[least], &h->mark_bytes[least + 1], rest * sizeof(h->mark_bytes[0]));
                h->count--;
        }
        h->time_usec[h->count] = time_usec;
        h->mark_bytes[h->count] = bytes;
        h->count++;
}

/* What step i gained: up to where the next began. */
static uint64_t step_bytes(const struct hr_history *h, size_t i)
{
        if (i + 1 < h->step_count)
                return hr_sub(h->steps[i + 1].from_bytes, h->steps[i].from_bytes);
        return hr_sub(h->climbing ? h->climb.from_bytes : mark(h), h->steps[i].from_bytes);
}

/* When there is no room, the oldest goes; but one below an eighth of the largest goes before that: the drift
 * between two files must not push the files out. The step before inherits its bytes. */
static void add_step(struct hr_history *h, const struct hr_history_step *step)
{
        if (h->step_count == HR_HISTORY_STEPS) {
                size_t victim = 0;
                uint64_t largest = 0;

                for (size_t i = 0; i < h->step_count; i++)
                        largest = MAX(largest, step_bytes(h, i));
                for (size_t i = 1; i < h->step_count; i++)
                        if (step_bytes(h, i) < largest / 8) {
                                victim = i;
                                break;
                        }
                h->step_count--;
                memmove(&h->steps[victim], &h->steps[victim + 1],
                        (h->step_count - victim) * sizeof(h->steps[0]));
        }
        h->steps[h->step_count++] = *step;
}

static void begin(struct hr_history *h, uint64_t time_usec, uint64_t bytes)
{
        h->count = h->step_count = 0;
        h->climbing = false;
        h->climb = (struct hr_history_step){time_usec, time_usec, bytes};
        add_point(h, time_usec, bytes);
}

/* Lets the mark come down to what was used in this epoch and the last. */
static void turn_epoch(struct hr_history *h, uint64_t time_usec, uint64_t used_bytes)
{
        uint64_t passed = time_usec - h->epoch_usec;

        if (passed < EPOCH_USEC)
                return;
        if (passed < 2 * EPOCH_USEC) {
                h->epoch_high_bytes[1] = h->epoch_high_bytes[0];
                h->epoch_swing_bytes[1] = h->epoch_swing_bytes[0];
                h->epoch_usec += EPOCH_USEC;
        } else { /* not looked at for a whole epoch: what it did in between isn't known */
                h->epoch_high_bytes[1] = h->last_used_bytes;
                h->epoch_swing_bytes[1] = 0;
                h->epoch_usec = time_usec;
        }
        h->epoch_high_bytes[0] = used_bytes;
        h->epoch_swing_bytes[0] = 0;

        uint64_t high = MAX(h->epoch_high_bytes[0], h->epoch_high_bytes[1]);
        uint64_t lower = hr_sub(mark(h), high);
        if (lower <= noise_bytes(high))
                return;
        begin(h, h->last_time_usec, high);
}

/* The mark at a time: straight between points, flat before the first and after the last. */
static double mark_at(const struct hr_history *h, double time_usec)
{
        size_t i = h->count - 1U;

        if (time_usec >= (double)h->time_usec[i])
                return (double)h->mark_bytes[i];
        while (i > 0 && time_usec < (double)h->time_usec[i])
                i--;
        if (time_usec <= (double)h->time_usec[i])
                return (double)h->mark_bytes[i];
        double part = (time_usec - (double)h->time_usec[i]) / (double)(h->time_usec[i + 1] - h->time_usec[i]);
        return (double)h->mark_bytes[i] + part * ((double)h->mark_bytes[i + 1] - (double)h->mark_bytes[i]);
}

/* A mark that creeps on at less than an eighth of the pace so far doesn't extend the climb: after a file is
 * read, small things still grow. */
static void extend_climb(struct hr_history *h, uint64_t time_usec, uint64_t used_bytes)
{
        uint64_t lasted = MAX(h->climb.end_usec - h->climb.start_usec, time_usec - h->last_time_usec);
        double height = (double)(h->climb_end_bytes - h->climb.from_bytes);
        double gain = (double)(used_bytes - h->climb_end_bytes);

        if (gain * (double)lasted * 8 < height * (double)(time_usec - h->climb.end_usec))
                return;
        h->climb.end_usec = time_usec;
        h->climb_end_bytes = used_bytes;
}

/* The climb without such creeping before it: where the first eighth took most of the time, it began after
 * that. */
static struct hr_history_step climb_proper(const struct hr_history *h)
{
        struct hr_history_step climb = h->climb;
        uint64_t eighth = climb.from_bytes + hr_sub(h->climb_end_bytes, climb.from_bytes) / 8;
        size_t i = h->count - 1U;

        while (i > 0 && h->mark_bytes[i] > eighth)
                i--;
        if (h->time_usec[i] > climb.start_usec &&
                h->time_usec[i] - climb.start_usec > (climb.end_usec - climb.start_usec) / 2) {
                climb.start_usec = MIN(h->time_usec[i], climb.end_usec);
                climb.from_bytes = h->mark_bytes[i];
        }
        return climb;
}

void hr_history_add(struct hr_history *h, uint64_t time_usec, uint64_t used_bytes)
{
        if (h->count == 0) {
                begin(h, time_usec, used_bytes);
                h->last_time_usec = h->before_time_usec = h->epoch_usec = time_usec;
                h->last_used_bytes = h->before_used_bytes = h->epoch_high_bytes[0] = used_bytes;
                return;
        }
        if (time_usec > h->last_time_usec) {
                h->before_time_usec = h->last_time_usec;
                h->before_used_bytes = h->last_used_bytes;
                turn_epoch(h, time_usec, used_bytes);
        } else
                time_usec = h->last_time_usec;

        uint64_t high = mark(h);
        if (used_bytes > hr_add(high, noise_bytes(high))) {
                if (!h->climbing) {
                        uint64_t start = MAX(h->last_time_usec, hr_sub(time_usec, ONSET_USEC));
                        h->climb = (struct hr_history_step){start, start, high};
                        h->climb_end_bytes = high;
                        h->climbing = true;
                        add_point(h, start, high); /* the line was flat until here */
                }
                extend_climb(h, time_usec, used_bytes);
                add_point(h, time_usec, used_bytes);
        }
        if (h->climbing && time_usec - h->climb.end_usec >= REST_USEC) {
                h->climb = climb_proper(h);
                h->climbing = false;
                add_step(h, &h->climb);
        }

        h->epoch_high_bytes[0] = MAX(h->epoch_high_bytes[0], used_bytes);
        h->epoch_swing_bytes[0] = MAX(h->epoch_swing_bytes[0], h->epoch_high_bytes[0] - used_bytes);
        h->last_time_usec = time_usec;
        h->last_used_bytes = used_bytes;
}

#define SLOPE_POINTS 17 /* 136 slopes: a few microseconds to sort */

/* The median of the slopes between all pairs (Theil-Sen), in bytes a second. Up to 29 % of strays don't move
 * it. */
static double median_slope(const double *time_usec, const double *bytes, size_t count)
{
        double slopes[SLOPE_POINTS * (SLOPE_POINTS - 1) / 2];
        size_t n = 0;

        for (size_t i = 0; i < count; i++)
                for (size_t j = i + 1; j < count; j++) {
                        double dt = time_usec[j] - time_usec[i];
                        if (dt <= 0)
                                continue;
                        double slope = (bytes[j] - bytes[i]) / dt * (double)HR_USEC_PER_SEC;
                        size_t k = n++;
                        for (; k > 0 && slopes[k - 1] > slope; k--)
                                slopes[k] = slopes[k - 1];
                        slopes[k] = slope;
                }
        if (n == 0)
                return 0;
        return n % 2 ? slopes[n / 2] : (slopes[n / 2 - 1] + slopes[n / 2]) / 2;
}

/* The pace of the mark over window_usec before end_usec. Times are taken from its start: exact in doubles. */
static double window_slope(const struct hr_history *h, uint64_t end_usec, uint64_t window_usec)
{
        double time[SLOPE_POINTS], bytes[SLOPE_POINTS];
        double end = (double)end_usec, window = (double)window_usec;

        for (size_t i = 0; i < SLOPE_POINTS; i++) {
                time[i] = window * (double)i / (SLOPE_POINTS - 1);
                bytes[i] = mark_at(h, end - window + time[i]);
        }
        double slope = median_slope(time, bytes, SLOPE_POINTS);
        return slope * window / (double)HR_USEC_PER_SEC > (double)noise_bytes(mark(h)) ? slope : 0;
}

struct pattern {
        uint64_t step_bytes;            /* what one step may take */
        size_t count;                   /* steps of about that size; 0: no pattern */
        size_t steps[HR_HISTORY_STEPS]; /* their indices, oldest first */
        bool climbing;                  /* the next of them is under way */
};

/*
 * The largest size that was seen twice within a factor of two (a program's first load of data is no pattern),
 * all steps of at least a quarter of it, and not overdue: the rest since the last is at most one and a half
 * times the longest rest between them. A pattern that is overdue is over; then a smaller one may be alive.
 */
static struct pattern find_pattern(const struct hr_history *h)
{
        uint64_t below = UINT64_MAX;

        for (;;) {
                struct pattern p = {};

                for (size_t i = 0; i < h->step_count; i++) {
                        uint64_t size = step_bytes(h, i);
                        if (size >= below || size <= p.step_bytes)
                                continue;
                        for (size_t j = 0; j < h->step_count; j++) {
                                uint64_t other = step_bytes(h, j);
                                if (j != i && other <= size && other >= size / 2 && (other < size || j < i))
                                        p.step_bytes = size;
                        }
                }
                if (p.step_bytes == 0)
                        return p;

                uint64_t rest = 0, last_end = 0;
                for (size_t i = 0; i < h->step_count; i++) {
                        if (step_bytes(h, i) < p.step_bytes / 4)
                                continue;
                        if (p.count > 0)
                                rest = MAX(rest, hr_sub(h->steps[i].start_usec, last_end));
                        last_end = h->steps[i].end_usec;
                        p.steps[p.count++] = i;
                }
                p.climbing = h->climbing && mark(h) - h->climb.from_bytes >= p.step_bytes / 4;
                if (p.climbing)
                        last_end = h->climb.end_usec;
                if (h->last_time_usec - last_end <= rest + rest / 2 + FORGET_USEC)
                        return p;
                below = p.step_bytes / 4;
        }
}

/* How long the mark took for its last gain of `bytes`; 0: the history doesn't go back so far. */
static uint64_t time_of_gain(const struct hr_history *h, uint64_t bytes)
{
        for (size_t i = h->count; i-- > 0;)
                if (mark(h) - h->mark_bytes[i] >= bytes)
                        return h->last_time_usec - h->time_usec[i];
        return 0;
}

static double pattern_slope(const struct hr_history *h, const struct pattern *p)
{
        double time[HR_HISTORY_STEPS + 1], bytes[HR_HISTORY_STEPS + 1];
        const struct hr_history_step *oldest = &h->steps[p->steps[0]];
        size_t n = 0;

        if (mark(h) - oldest->from_bytes < least_gain(h)) {
                uint64_t window = time_of_gain(h, least_gain(h));
                return window ? window_slope(h, h->last_time_usec, window) : 0;
        }
        for (; n < p->count; n++) {
                const struct hr_history_step *step = &h->steps[p->steps[n]];
                time[n] = (double)(step->start_usec - oldest->start_usec);
                bytes[n] = (double)step->from_bytes;
        }
        if (p->climbing) {
                struct hr_history_step climb = climb_proper(h);
                time[n] = (double)(climb.start_usec - oldest->start_usec);
                bytes[n] = (double)climb.from_bytes;
                n++;
        }
        return median_slope(time, bytes, n);
}

static double climb_slope(const struct hr_history *h)
{
        uint64_t now = h->last_time_usec, end = h->climbing ? now : h->climb.end_usec;

        if (now - h->climb.end_usec >= FORGET_USEC)
                return 0;
        /* Samples far apart show a step as a slope between two of them: four such gaps must rise to count. */
        uint64_t least = MAX(WINDOW_MIN_USEC, 4 * (now - h->before_time_usec));
        uint64_t window = MAX(least, MIN(end - h->climb.start_usec, WINDOW_MAX_USEC));
        if ((double)mark(h) - mark_at(h, (double)end - (double)window) < (double)least_gain(h))
                return 0;
        return window_slope(h, end, window);
}

/*
 * Has it grown at this pace for so long: did the mark gain half of what it should have, or more, in each half
 * of that time? Over the rests of a staircase; and not of what filled its room at the start and stands since,
 * of which the mean pace since then still says that it grows.
 */
static bool has_lasted(const struct hr_history *h, uint64_t bytes_per_second, uint64_t usec)
{
        double now = (double)h->last_time_usec, window = (double)usec;
        double wanted = (double)bytes_per_second * window / (double)HR_USEC_PER_SEC / 4;

        if (bytes_per_second == 0 || usec > h->last_time_usec - h->time_usec[0])
                return false;
        double middle = mark_at(h, now - window / 2);
        return (double)mark(h) - middle >= wanted && middle - mark_at(h, now - window) >= wanted;
}

/* Whether the newest sample stands where the group has lately not been. */
static bool on_new_ground(const struct hr_history *h, uint64_t limit_bytes)
{
        if (mark(h) >= limit_bytes) /* it was there under a larger limit, which proves nothing for this one */
                return true;
        if (!h->climbing)
                return false;
        /* A wide swing must not hide the wall: at most an eighth of the room that there was. */
        uint64_t margin = MIN(swing(h), hr_sub(limit_bytes, h->climb.from_bytes)) / 8;
        return mark(h) - h->climb.from_bytes > margin &&
               h->last_used_bytes > hr_add(h->climb.from_bytes, margin);
}

static uint64_t to_pace(double bytes_per_second)
{
        if (bytes_per_second < 1)
                return 0;
        return bytes_per_second < 0x1p63 ? (uint64_t)bytes_per_second : INT64_MAX;
}

static uint64_t time_left(uint64_t room_bytes, uint64_t pace)
{
        if (pace == 0)
                return HR_USEC_NEVER;
        double usec = (double)room_bytes / (double)pace * (double)HR_USEC_PER_SEC;
        return usec < 0x1p63 ? (uint64_t)usec : HR_USEC_NEVER;
}

/* Marks stand where new ground was won. */
static uint64_t lately(const struct hr_history *h)
{
        uint64_t since = hr_sub(h->last_time_usec, LATELY_USEC);
        size_t i = h->count - 1;

        while (i > 0 && h->time_usec[i] > since)
                i--;
        uint64_t took = h->last_time_usec - MAX(h->time_usec[i], since);
        return took == 0 ? 0
                         : to_pace((double)hr_sub(h->last_used_bytes, h->mark_bytes[i]) *
                                   (double)HR_USEC_PER_SEC / (double)took);
}

void hr_forecast(const struct hr_history *h, uint64_t limit_bytes, struct hr_forecast *ret)
{
        struct hr_forecast f = {.left_min_usec = HR_USEC_NEVER, .left_max_usec = HR_USEC_NEVER};

        if (h->count == 0) {
                *ret = f;
                return;
        }
        uint64_t used = h->last_used_bytes, noise = noise_bytes(used);
        uint64_t gain = hr_sub(used, h->before_used_bytes);
        f.rising = gain > noise ||
                   (h->climbing && h->last_time_usec - h->time_usec[h->count - 1] <= STILL_RISING_USEC &&
                           hr_add(used, noise) >= mark(h));
        if (f.rising && h->last_time_usec > h->before_time_usec)
                f.recent_bytes_per_second = to_pace((double)gain * (double)HR_USEC_PER_SEC /
                                                    (double)(h->last_time_usec - h->before_time_usec));

        f.lately_bytes_per_second = f.rising ? lately(h) : 0;

        struct pattern p = find_pattern(h);
        uint64_t height = h->climbing ? mark(h) - h->climb.from_bytes : 0;
        if (p.count >= 3 && height <= p.step_bytes + p.step_bytes / 2)
                f.growth_bytes_per_second = to_pace(pattern_slope(h, &p));
        else
                f.growth_bytes_per_second = to_pace(climb_slope(h));

        if (limit_bytes != HR_BYTES_NONE) {
                uint64_t room = hr_sub(limit_bytes, used);
                uint64_t recent = on_new_ground(h, limit_bytes) ? f.recent_bytes_per_second : 0;

                f.left_min_usec = time_left(room, MAX(f.growth_bytes_per_second, recent));
                f.left_max_usec = time_left(
                        room, recent ? MIN(f.growth_bytes_per_second, recent) : f.growth_bytes_per_second);
                if (room == 0 && f.rising)
                        f.left_min_usec = f.left_max_usec = 0;
                uint64_t as_long = hr_add(f.left_max_usec, f.left_max_usec / 4);
                f.lasting = has_lasted(h, f.growth_bytes_per_second, MAX(as_long, LASTING_LEAST_USEC));
                /* From the mark: the next step may need for a while what the last one gave back. */
                f.step_will_not_fit = p.count >= 2 && swing(h) <= p.step_bytes &&
                                      hr_sub(limit_bytes, mark(h)) < p.step_bytes + p.step_bytes / 5;
        }
        *ret = f;
}

void hr_forecast_fill(const struct hr_forecast *f, struct hr_candidate *c)
{
        c->growth_bytes_per_second = f->growth_bytes_per_second > 0 ? f->growth_bytes_per_second
                                     : f->rising                    ? f->lately_bytes_per_second
                                                                    : 0;
        c->left_min_usec = f->left_min_usec;
        c->left_max_usec = f->left_max_usec;
        c->lasting = f->lasting;
        c->rising = f->rising;
        c->step_will_not_fit = f->step_will_not_fit;
}
