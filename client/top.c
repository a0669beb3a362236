/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "top.h"

/*
 * The one owner of ncurses. What is shown is made in topview, which knows no terminal; here its lines are
 * put on the screen and keys are read.
 *
 * Two threads, so that a daemon that does not answer never keeps a key waiting. The second one, the asker,
 * owns the connection: each second it asks for the jobs, between that it does what was asked for, and
 * connects again where the daemon is gone. Between them stands struct desk, under a mutex; an eventfd says
 * that there is something new on it. Rows are copied, for what sd-bus counts references of belongs to one
 * thread.
 *
 * Signals are blocked but for the time in which the first thread waits: one that ends us leaves the loop, and
 * then the terminal is given back; ctrl-Z and a new size are handled by ncurses. A terminal that can't be
 * drawn on, or none, gets `status`.
 */

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <limits.h>
#include <ncurses.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "ask.h"
#include "clock.h"
#include "exit.h"
#include "fd.h"
#include "jobs.h"
#include "think/parse.h"
#include "topview.h"

#define RECONNECT_WAIT_USEC \
        (500 * HR_USEC_PER_MSEC)                 /* below a second, above which it would be said on stderr */
#define LEAVE_WAIT_USEC (300 * HR_USEC_PER_MSEC) /* for an answer that is under way; chosen, not tuned */
#define SAID_USEC (15 * HR_USEC_PER_SEC)         /* a message stays so long; chosen, not tuned */
#define ESCAPE_MSEC 50                           /* after Esc, for the rest of a key's sequence */

/* ---- the asker ---- */

struct deed {
        const char *verb; /* of the table of keys; NULL: none */
        char job[HR_TOPVIEW_ID_SIZE];
        bool has_limit;
        uint64_t limit_bytes;
};

struct snapshot {
        struct hr_topview_job *jobs;
        size_t count;
        uint64_t second, all_count;
};

struct desk {
        pthread_t thread;
        pthread_mutex_t mutex;
        pthread_cond_t wake; /* on CLOCK_MONOTONIC */
        int event_fd;
        const char *socket;   /* --socket, or NULL */
        struct hr_call *call; /* the asker's; NULL: no connection */
        /* Under the mutex. */
        struct deed wanted;
        bool leave, has_news, lost;
        struct snapshot news; /* newer than what is shown, where has_news */
        char message[600];    /* an answer that is not shown yet; "": none */
};

static void copy_job(struct hr_topview_job *to, const struct hr_call_job *from)
{
        *to = (struct hr_topview_job){
                .style = hr_output_stage_style(from->stage),
                .frozen = from->frozen,
                .used_bytes = from->used_bytes,
                .limit_bytes = from->limit_bytes,
                .growth_bytes_per_second = from->growth_bytes_per_second,
                .left_usec = from->left_min_usec,
                .ratio_permyriad = from->ratio_permyriad,
        };
        hr_topview_clean(to->job, sizeof(to->job), from->job);
        hr_topview_clean(to->name, sizeof(to->name), from->name);
        hr_topview_clean(to->user, sizeof(to->user), from->user);
        hr_topview_clean(to->stage, sizeof(to->stage), from->stage);
        hr_topview_clean(to->reason, sizeof(to->reason), from->reason);
}

static void say_new(struct desk *desk)
{
        (void)eventfd_write(desk->event_fd, 1); /* fails only where it is full, and then it is seen anyway */
}

static void post_message(struct desk *desk, const char *text)
{
        pthread_mutex_lock(&desk->mutex);
        hr_topview_clean(desk->message, sizeof(desk->message), text);
        pthread_mutex_unlock(&desk->mutex);
        say_new(desk);
}

static void post_lost(struct desk *desk, bool lost)
{
        bool changed;

        pthread_mutex_lock(&desk->mutex);
        changed = desk->lost != lost;
        desk->lost = lost;
        pthread_mutex_unlock(&desk->mutex);
        if (changed)
                post_message(desk,
                        lost ? "the daemon is gone: tried again each second (systemctl status headroomd)"
                             : "the daemon is back");
        say_new(desk);
}

static bool is_leaving(struct desk *desk)
{
        bool leave;

        pthread_mutex_lock(&desk->mutex);
        leave = desk->leave;
        pthread_mutex_unlock(&desk->mutex);
        return leave;
}

/* Is there a connection, or one to be had? */
static bool reach(struct desk *desk)
{
        if (!desk->call && hr_call_connect(desk->socket, RECONNECT_WAIT_USEC, &desk->call, NULL) != 0)
                desk->call = NULL;
        if (!desk->call)
                post_lost(desk, true);
        return desk->call;
}

static void hang_up(struct desk *desk)
{
        desk->call = hr_call_free(desk->call);
        post_lost(desk, true);
}

static void ask_for_jobs(struct desk *desk)
{
        _list_ struct hr_call_list list = {0};
        struct snapshot news = {0};
        uint64_t used_bytes, held;
        int r;

        if (!reach(desk))
                return;
        r = hr_call_status(desk->call, "", &list);
        if (r == 0)
                r = hr_call_totals(desk->call, &news.all_count, &used_bytes, &held);
        if (r == HR_EXIT_UNREACHABLE) {
                hang_up(desk);
                return;
        }
        if (r != 0) {
                post_message(desk, hr_call_message(desk->call));
                return;
        }
        news.jobs = calloc(MAX(list.count, (size_t)1), sizeof(*news.jobs));
        if (!news.jobs) {
                post_message(desk, "out of memory");
                return;
        }
        news.count = list.count;
        for (size_t i = 0; i < list.count; i++)
                copy_job(&news.jobs[i], &list.jobs[i]);
        news.second = hr_clock_usec() / HR_USEC_PER_SEC;
        pthread_mutex_lock(&desk->mutex);
        if (desk->has_news)
                free(desk->news.jobs);
        desk->news = news;
        desk->has_news = true;
        pthread_mutex_unlock(&desk->mutex);
        post_lost(desk, false);
}

static void do_deed(struct desk *desk, const struct deed *deed)
{
        _answer_ struct hr_call_answer answer = {0};
        const char *said;
        char text[700];
        int r;

        if (!reach(desk)) {
                snprintf(
                        text, sizeof(text), "%s %s: not done, no daemon is reachable", deed->verb, deed->job);
                post_message(desk, text);
                return;
        }
        if (strcmp(deed->verb, "resume") == 0)
                r = hr_call_resume(desk->call, deed->job, deed->has_limit, deed->limit_bytes, &answer);
        else
                r = hr_call_act(desk->call, deed->verb, deed->job, &answer);
        said = r != 0 ? hr_call_message(desk->call) : *answer.message ? answer.message : "done";
        if (strncmp(said, deed->job, strlen(deed->job)) == 0) /* it says of whom it speaks */
                snprintf(text, sizeof(text), "%s", said);
        else
                snprintf(text, sizeof(text), "%s %s: %s", deed->verb, deed->job, said);
        if (r == HR_EXIT_UNREACHABLE)
                hang_up(desk);
        post_message(desk, text);
}

static void *ask_on(void *userdata)
{
        struct desk *desk = userdata;
        uint64_t next_usec = hr_clock_usec();

        while (!is_leaving(desk)) {
                struct deed deed = {0};
                struct timespec until;

                if (hr_clock_usec() >= next_usec) {
                        ask_for_jobs(desk);
                        /* On a schedule; what was slept over is not made up for. */
                        next_usec +=
                                (hr_sub(hr_clock_usec(), next_usec) / HR_USEC_PER_SEC + 1) * HR_USEC_PER_SEC;
                }
                until = (struct timespec){.tv_sec = (time_t)(next_usec / HR_USEC_PER_SEC),
                        .tv_nsec = (long)(next_usec % HR_USEC_PER_SEC * 1000)};
                pthread_mutex_lock(&desk->mutex);
                if (!desk->leave && !desk->wanted.verb)
                        pthread_cond_timedwait(&desk->wake, &desk->mutex, &until);
                deed = desk->wanted;
                desk->wanted.verb = NULL;
                pthread_mutex_unlock(&desk->mutex);
                if (deed.verb) {
                        do_deed(desk, &deed);
                        ask_for_jobs(desk); /* what has become of it */
                }
        }
        return NULL;
}

static void desk_free(struct desk *desk)
{
        hr_call_free(desk->call);
        if (desk->has_news)
                free(desk->news.jobs);
        hr_close(desk->event_fd);
        pthread_cond_destroy(&desk->wake);
        pthread_mutex_destroy(&desk->mutex);
        free(desk);
}

/* Takes the connection. NULL: it could not be started. Signals are blocked, and so they are in the thread. */
static struct desk *desk_new(const char *socket, struct hr_call **call)
{
        struct desk *desk = calloc(1, sizeof(*desk));
        pthread_condattr_t attributes;

        if (!desk)
                return NULL;
        desk->socket = socket;
        pthread_mutex_init(&desk->mutex, NULL);
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&desk->wake, &attributes);
        pthread_condattr_destroy(&attributes);
        desk->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        desk->call = TAKE_PTR(*call);
        if (desk->event_fd >= 0 && pthread_create(&desk->thread, NULL, ask_on, desk) == 0)
                return desk;
        desk_free(desk);
        return NULL;
}

/* An asker that waits for an answer still is left to the end of the process, with its desk. */
static void desk_leave(struct desk *desk)
{
        uint64_t until_usec = hr_clock_realtime_usec() + LEAVE_WAIT_USEC;
        struct timespec until = {.tv_sec = (time_t)(until_usec / HR_USEC_PER_SEC),
                .tv_nsec = (long)(until_usec % HR_USEC_PER_SEC * 1000)};

        pthread_mutex_lock(&desk->mutex);
        desk->leave = true;
        pthread_cond_signal(&desk->wake);
        pthread_mutex_unlock(&desk->mutex);
        if (pthread_timedjoin_np(desk->thread, NULL, &until) == 0)
                desk_free(desk);
}

/* ---- the screen ---- */

enum mode { MODE_KEYS, MODE_FILTER, MODE_LIMIT, MODE_CONFIRM, MODE_HELP };

struct top {
        struct desk *desk;
        struct hr_topview view;
        struct hr_topview_frame frame; /* host's memory and number of jobs, and how it is drawn */
        enum mode mode;
        struct deed deed; /* that is being asked about */
        char question[160], typed[HR_TOPVIEW_TYPED_SIZE], message[600];
        uint64_t said_usec;
        int meminfo_fd;
        bool colours, quit;
        int prompt_row, prompt_column; /* -1: nothing is typed */
};

static volatile sig_atomic_t ending_signal;

static void on_ending(int number)
{
        ending_signal = number;
}

static void say(struct top *top, const char *text)
{
        snprintf(top->message, sizeof(top->message), "%s", text);
        top->said_usec = hr_clock_usec();
}

static attr_t attribute_of(const struct top *top, enum hr_style style)
{
        if (!top->colours)
                return A_NORMAL;
        switch (style) {
        case HR_STYLE_BOLD:
                return A_BOLD;
        case HR_STYLE_YELLOW:
                return A_BOLD | (attr_t)COLOR_PAIR(1);
        case HR_STYLE_RED:
                return A_BOLD | (attr_t)COLOR_PAIR(2);
        case HR_STYLE_PLAIN:
                break;
        }
        return A_NORMAL;
}

static void emit(unsigned row, const struct hr_topview_line *line, void *userdata)
{
        struct top *top = userdata;
        attr_t look = line->look == HR_TOPVIEW_SELECTED                  ? A_REVERSE
                      : line->look == HR_TOPVIEW_HEADING && top->colours ? A_BOLD
                                                                         : A_NORMAL;
        size_t after = line->span_at + line->span_size;

        /* The last cell of the last line can be written to: ncurses sees to it; its error tells of that
         * alone. */
        (void)move((int)row, 0);
        (void)attrset((int)look);
        (void)addnstr(line->text, (int)line->span_at);
        (void)attrset((int)(look | attribute_of(top, line->span_style)));
        (void)addnstr(line->text + line->span_at, (int)line->span_size);
        (void)attrset((int)look);
        (void)addnstr(line->text + after, (int)(line->size - after));
        (void)attrset(A_NORMAL);
        if (line->look == HR_TOPVIEW_PROMPT) {
                top->prompt_row = (int)row;
                top->prompt_column = (int)line->columns;
        }
}

static void read_host(struct top *top)
{
        struct hr_meminfo meminfo;
        char text[8192];
        ssize_t n = top->meminfo_fd < 0 ? -1 : pread(top->meminfo_fd, text, sizeof(text), 0);

        if (n <= 0 || hr_parse_meminfo(text, (size_t)n, &meminfo) != 0)
                return; /* as it was, or left out */
        top->frame.host_bytes = meminfo.total_bytes;
        top->frame.host_used_bytes = hr_sub(meminfo.total_bytes, meminfo.available_bytes);
}

static void draw(struct top *top)
{
        struct hr_topview_frame frame = top->frame;
        int height, width;

        getmaxyx(stdscr, height, width);
        frame.height = (unsigned)MAX(height, 0);
        frame.width = (unsigned)MAX(width, 0);
        frame.help = top->mode == MODE_HELP;
        frame.message = frame.help ? "any key goes back" : top->message;
        frame.question = top->mode == MODE_KEYS || frame.help ? NULL : top->question;
        frame.typed = top->typed;
        top->prompt_row = -1;
        erase();
        hr_topview_draw(&top->view, &frame, emit, top);
        (void)curs_set(top->prompt_row >= 0 ? 1 : 0); /* not every terminal can */
        if (top->prompt_row >= 0)
                (void)move(top->prompt_row, MIN(top->prompt_column, MAX(width - 1, 0)));
        else
                (void)move(MAX(height - 1, 0), 0);
        refresh();
}

/* What the asker has put down. */
static void take_news(struct top *top)
{
        struct snapshot news = {0};
        struct desk *desk = top->desk;
        bool has_news;
        eventfd_t count;

        (void)eventfd_read(desk->event_fd, &count); /* non-blocking: nothing to read is no error */
        pthread_mutex_lock(&desk->mutex);
        has_news = desk->has_news;
        if (has_news)
                news = desk->news;
        desk->has_news = false;
        top->frame.lost = desk->lost;
        if (*desk->message)
                say(top, desk->message);
        desk->message[0] = '\0';
        pthread_mutex_unlock(&desk->mutex);
        if (!has_news)
                return;
        top->frame.all_count = news.all_count;
        read_host(top);
        if (hr_topview_update(&top->view, news.jobs, news.count, news.second) < 0)
                say(top, "out of memory");
}

/* ---- keys ---- */

static void order(struct top *top)
{
        char text[120];
        bool busy;

        pthread_mutex_lock(&top->desk->mutex);
        busy = top->desk->wanted.verb;
        if (!busy)
                top->desk->wanted = top->deed;
        pthread_cond_signal(&top->desk->wake);
        pthread_mutex_unlock(&top->desk->mutex);
        snprintf(text, sizeof(text), "%s %s: %s", top->deed.verb, top->deed.job,
                busy ? "not done, the daemon has not answered what came before" : "asked for ...");
        say(top, text);
}

/* What is done to a job at a key; a question comes first where its mode is one. */
static const struct {
        int key;
        const char *verb, *question;
        enum mode mode;
} acts[] = {
        {'h', "hold", NULL, MODE_KEYS},
        {'r', "resume", "resume %s %.40s; new limit (12G; Enter: as it is; Esc: do not): ", MODE_LIMIT},
        {'t', "trim", NULL, MODE_KEYS},
        {'c', "checkpoint", NULL, MODE_KEYS},
        {'i', "interrupt", "interrupt %s %.40s, which ends it? y/n ", MODE_CONFIRM},
};

static void act(struct top *top, size_t i)
{
        const struct hr_topview_job *job = hr_topview_selected(&top->view);

        if (!job) {
                say(top, "no job is selected");
                return;
        }
        top->deed = (struct deed){.verb = acts[i].verb};
        snprintf(top->deed.job, sizeof(top->deed.job), "%s", job->job);
        if (!acts[i].question) {
                order(top);
                return;
        }
        top->mode = acts[i].mode;
        top->typed[0] = '\0';
        snprintf(top->question, sizeof(top->question), acts[i].question, job->job, job->name);
}

static void on_plain_key(struct top *top, int key)
{
        long page = MAX(getmaxy(stdscr) - 6, 1);

        for (size_t i = 0; i < ELEMENTSOF(acts); i++)
                if (acts[i].key == key)
                        act(top, i);
        switch (key) {
        case KEY_UP:
        case 'k':
                hr_topview_move(&top->view, -1);
                break;
        case KEY_DOWN:
        case 'j':
                hr_topview_move(&top->view, 1);
                break;
        case KEY_PPAGE:
                hr_topview_move(&top->view, -page);
                break;
        case KEY_NPAGE:
                hr_topview_move(&top->view, page);
                break;
        case KEY_HOME:
                hr_topview_move(&top->view, -(long)top->view.count);
                break;
        case KEY_END:
                hr_topview_move(&top->view, (long)top->view.count);
                break;
        case 's':
                hr_topview_sort_next(&top->view);
                break;
        case '/':
                top->mode = MODE_FILTER;
                snprintf(top->typed, sizeof(top->typed), "%s", top->view.filter);
                snprintf(top->question, sizeof(top->question),
                        "filter by name or user (Enter: keep, Esc: all): ");
                break;
        case 27: /* Esc */
                hr_topview_filter(&top->view, "");
                top->message[0] = '\0';
                break;
        case '?':
                top->mode = MODE_HELP;
                break;
        case 'q':
                top->quit = true;
                break;
        case 'L' & 0x1f: /* ctrl-L: others have written on the screen */
                (void)clearok(curscr, TRUE);
                break;
        default:
                break;
        }
}

/* The new limit that was typed. Returns false where it is none, said. */
static bool take_limit(struct top *top)
{
        char text[160];
        int r;

        if (!*top->typed)
                return true;
        r = hr_units_parse_size(top->typed, top->frame.host_bytes, &top->deed.limit_bytes);
        if (r == 0) {
                top->deed.has_limit = true;
                return true;
        }
        if (r == -EUCLEAN)
                snprintf(text, sizeof(text), "not resumed: %s has no unit: did you mean %sG?", top->typed,
                        top->typed);
        else
                snprintf(text, sizeof(text),
                        "not resumed: %s can't be used as a limit: write 8G, 512M, 80%% or max", top->typed);
        say(top, text);
        return false;
}

/* Changes what is typed. Returns true where it has. */
static bool edit(struct top *top, int key)
{
        size_t n = strlen(top->typed);

        if (key == KEY_BACKSPACE || key == 127 || key == '\b') {
                top->typed[hr_sub(n, 1)] = '\0';
        } else if (key == ('U' & 0x1f)) {
                top->typed[0] = '\0';
        } else if (key >= 0x20 && key < 0x7f && n + 3 < sizeof(top->typed)) {
                top->typed[n] = (char)key;
                top->typed[n + 1] = '\0';
        } else {
                return false;
        }
        return true;
}

static void on_key(struct top *top, int key)
{
        bool enter = key == '\n' || key == '\r' || key == KEY_ENTER, escape = key == 27;
        enum mode mode = top->mode;

        if (key == KEY_RESIZE)
                return;
        switch (mode) {
        case MODE_KEYS:
                on_plain_key(top, key);
                return;
        case MODE_HELP:
                top->mode = MODE_KEYS;
                return;
        case MODE_CONFIRM:
                top->mode = MODE_KEYS;
                if (key == 'y' || key == 'Y')
                        order(top);
                else
                        say(top, "not interrupted");
                return;
        case MODE_FILTER:
                if (escape)
                        top->typed[0] = '\0';
                if (escape || enter)
                        top->mode = MODE_KEYS;
                if (escape || edit(top, key))
                        hr_topview_filter(&top->view, top->typed);
                else if (key == KEY_UP || key == KEY_DOWN)
                        hr_topview_move(&top->view, key == KEY_UP ? -1 : 1);
                return;
        case MODE_LIMIT:
                if (escape || enter)
                        top->mode = MODE_KEYS;
                if (escape)
                        say(top, "not resumed");
                else if (!enter)
                        (void)edit(top, key);
                else if (take_limit(top))
                        order(top);
                return;
        }
}

/* ---- the loop ---- */

#define EMPTY_MAX 10 /* a terminal that is ready, and has nothing to read, so often: it is gone */

static void loop(struct top *top, const sigset_t *waiting)
{
        unsigned empty = 0;

        while (!top->quit && !ending_signal) {
                struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                        {.fd = top->desk->event_fd, .events = POLLIN}};
                bool any = false;
                int key;

                if (*top->message && hr_clock_usec() > top->said_usec + SAID_USEC && !top->frame.lost)
                        top->message[0] = '\0';
                draw(top);
                if (ppoll(fds, ELEMENTSOF(fds), NULL, waiting) < 0 && errno != EINTR)
                        return;
                if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
                        return;
                while ((key = getch()) != ERR && !top->quit) { /* also KEY_RESIZE, after its signal */
                        on_key(top, key);
                        any = true;
                }
                empty = fds[0].revents & POLLIN && !any ? empty + 1 : 0;
                if (empty > EMPTY_MAX)
                        return;
                take_news(top);
        }
}

static bool has_colours(void)
{
        const char *no_color = getenv("NO_COLOR");

        return !(no_color && *no_color);
}

static bool has_terminal(void)
{
        const char *term = getenv("TERM");

        return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

/* The terminal in our hands; NULL: it can't be drawn on. */
static SCREEN *open_screen(struct top *top)
{
        const char *term = getenv("TERM");
        SCREEN *screen = newterm(NULL, stdout, stdin);

        if (!screen)
                return NULL;
        top->frame.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 &&
                          strncmp(term, "linux", strlen("linux")) != 0; /* its font lacks most blocks */
        top->colours = has_colours();
        if (top->colours && has_colors()) {
                start_color();
                use_default_colors();
                init_pair(1, COLOR_YELLOW, -1);
                init_pair(2, COLOR_RED, -1);
        }
        cbreak();
        noecho();
        nonl();
        keypad(stdscr, TRUE);
        nodelay(stdscr, TRUE);
        set_escdelay(ESCAPE_MSEC);
        return screen;
}

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static void catch_signals(sigset_t *ret_waiting)
{
        const struct sigaction action = {.sa_handler = on_ending};
        sigset_t blocked;

        sigemptyset(&blocked);
        for (size_t i = 0; i < ELEMENTSOF(ending); i++) {
                struct sigaction old;

                sigaddset(&blocked, ending[i]);
                if (sigaction(ending[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
                        sigaction(ending[i], &action, NULL);
        }
        sigaddset(&blocked, SIGWINCH);
        sigaddset(&blocked, SIGTSTP);
        pthread_sigmask(SIG_BLOCK, &blocked, ret_waiting);
        for (size_t i = 0; i < ELEMENTSOF(ending); i++)
                sigdelset(ret_waiting, ending[i]);
        sigdelset(ret_waiting, SIGWINCH);
        sigdelset(ret_waiting, SIGTSTP);
}

/* As if it had not been caught, so that whoever waits for us sees what ended us. */
static void end_by(int number, const sigset_t *waiting)
{
        signal(number, SIG_DFL);
        raise(number);
        pthread_sigmask(SIG_SETMASK, waiting, NULL);
}

static int show(struct top *top, const char *socket, struct hr_call **call)
{
        SCREEN *screen;
        sigset_t waiting;

        catch_signals(&waiting);
        top->desk = desk_new(socket, call);
        if (!top->desk) {
                hr_output_say(HR_STYLE_PLAIN, "out of memory");
                return HR_EXIT_FAILED;
        }
        screen = open_screen(top);
        if (screen) {
                take_news(top);
                loop(top, &waiting);
                endwin();
                delscreen(screen);
        }
        desk_leave(top->desk);
        if (ending_signal && ending_signal != SIGINT)
                end_by(ending_signal, &waiting);
        pthread_sigmask(SIG_SETMASK, &waiting, NULL);
        return screen ? HR_EXIT_DONE : -ENOTTY;
}

int hr_top_verb(const struct hr_verb_info *verb, const struct hr_options *o)
{
        struct top top = {.meminfo_fd = -1, .prompt_row = -1};
        _call_ struct hr_call *call = NULL;
        int r;

        if (hr_ask_json(o) || !has_terminal())
                return hr_jobs_status(verb, o);
        r = hr_ask_connect(o, &call);
        if (r != 0)
                return r;
        top.meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        r = show(&top, o->value[HR_OPTION_SOCKET], &call);
        hr_topview_done(&top.view);
        hr_close(top.meminfo_fd);
        return r == -ENOTTY ? hr_jobs_status(verb, o) : r;
}
