/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>

#include "clock.h"
#include "fd.h"
#include "tell/curve.h"
#include "think/cmdline.h"

/*
 * The writer keeps a `live` for each job that runs: its row's number, and its curve, thinned as it comes. The
 * row is written when the job comes and at its events, so that a daemon that is killed leaves it too; the
 * curve with its events, and at the latest after a minute. Everything between two commits is one transaction.
 *
 * Each failure of SQLite comes to `failed`: damage moves the file aside and begins anew, all else closes it
 * and tries again after RETRY_USEC. Meanwhile the lives stay in memory, and get their rows when it is back;
 * only what ends in between is lost, and counted.
 */

#define RETRY_USEC (60 * HR_USEC_PER_SEC)
#define FLUSH_USEC (60 * HR_USEC_PER_SEC)
#define TRIM_USEC (3600 * HR_USEC_PER_SEC)
#define TRIM_ENDS 64   /* its bounds are looked at after so many ended jobs */
#define EVENTS_MAX 256 /* of one job; chosen, not tuned: a job that went up and down the ladder 40 times */
#define TOLD_LATE_USEC \
        (600 * HR_USEC_PER_SEC) /* the exit status of a job that has ended may come so much later */
/* What one of its processes said of its end is of the job's, where that follows. Chosen, not tuned: time for
 * the others to clean up. */
#define ERROR_FRESH_USEC (60 * HR_USEC_PER_SEC)
#define CHECK_BYTES (16 * HR_MIB) /* a file below this is checked whole at start: 60 ms */
#define BUCKETS 512
#define REASON_MAX (2 * HR_REASON_MAX + 40)
#define VERSION 1

struct live {
        struct live *next; /* in its bucket */
        struct hr_birth *birth;
        int64_t number; /* of its row; 0: it has none yet */
        struct hr_curve curve;
        uint32_t event_count, left_out_count;
        enum hr_stage furthest;
        bool dirty, tells; /* tells: of a MemoryError of its first process */
        int status, signal;
        uint64_t error_usec;      /* when a MemoryError was told; 0: none was */
        char *held_by, *error_at; /* owned; NULL: not known */
};

enum statement {
        INSERT_JOB,
        REOPEN_JOB,
        UPDATE_JOB,
        INSERT_EVENT,
        LATE_FIND,
        LATE_WRITE,
        LATE_HOLDER,
        STATEMENT_COUNT,
};

static const char *const statements[STATEMENT_COUNT] = {
        [INSERT_JOB] =
                "INSERT INTO jobs(job,name,command,command_hash,user,uid,kind,cgroup,unit,policy,start_usec,"
                "last_usec,limit_bytes,peak_bytes,peak_source,censored,stage,cause,fused,events_left_out)"
                " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?11,?12,0,'samples',1,'ok',0,0,0)",
        [REOPEN_JOB] = ("UPDATE jobs SET end_usec=NULL,outcome=NULL WHERE number="
                        "(SELECT number FROM jobs WHERE job=?1 AND uid=?2 ORDER BY number DESC LIMIT 1)"
                        " RETURNING number,command,peak_bytes,start_usec,samples,stage,held_by"),
        [UPDATE_JOB] =
                ("UPDATE jobs SET end_usec=?2,last_usec=?3,limit_bytes=?4,peak_bytes=?5,peak_source=?6,"
                 "censored=?7,outcome=?8,cause=?9,fused=?10,exit_status=?11,signal=?12,reason=?13,"
                 "held_by=?14,stage=?15,events_left_out=?16,samples=?17 WHERE number=?1"),
        [INSERT_EVENT] = ("INSERT INTO events VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)"),
        [LATE_FIND] = ("SELECT number,cause,outcome,uid,fused,exit_status,signal,reason FROM jobs"
                       " WHERE job=?1 AND end_usec>=?2"
                       " ORDER BY number DESC LIMIT 1"),
        [LATE_WRITE] = ("UPDATE jobs SET exit_status=?2,signal=?3,outcome=?4,censored=?5,cause=?6,reason=?7"
                        " WHERE number=?1"),
        [LATE_HOLDER] = ("UPDATE jobs SET held_by=?2 WHERE number=?1"),
};

static const char schema[] =
        "CREATE TABLE jobs(number INTEGER PRIMARY KEY,job TEXT,name TEXT,command TEXT,command_hash INTEGER,"
        "user TEXT,uid INTEGER,kind TEXT,cgroup TEXT,unit TEXT,policy TEXT,start_usec INTEGER,end_usec "
        "INTEGER,"
        "last_usec INTEGER,limit_bytes INTEGER,peak_bytes INTEGER,peak_source TEXT,censored INTEGER,"
        "outcome TEXT,cause INTEGER,fused INTEGER,exit_status INTEGER,signal INTEGER,reason TEXT,held_by "
        "TEXT,"
        "stage TEXT,events_left_out INTEGER,samples BLOB);"
        "CREATE TABLE events(number INTEGER,time_usec INTEGER,stage TEXT,previous_stage TEXT,action TEXT,"
        "outcome TEXT,reason TEXT,used_bytes INTEGER,limit_bytes INTEGER);"
        "CREATE INDEX jobs_job ON jobs(job);"
        "CREATE INDEX jobs_end ON jobs(end_usec);"
        "CREATE INDEX jobs_uid_end ON jobs(uid,end_usec);"
        "CREATE INDEX jobs_name_end ON jobs(name,end_usec);"
        "CREATE INDEX jobs_command_end ON jobs(command_hash,end_usec);"
        "CREATE INDEX jobs_open ON jobs(number) WHERE end_usec IS NULL;"
        "CREATE INDEX events_number ON events(number,time_usec);"
        "PRAGMA user_version=1;";

struct hr_record {
        char path[600];
        const char *proc_path;
        uint64_t age_usec, size_bytes;
        void (*say)(int priority, const char *text, void *userdata);
        void *userdata;
        sqlite3 *db; /* NULL: it can't be had now */
        sqlite3_stmt *prepared[STATEMENT_COUNT];
        ino_t inode;
        bool in_batch, told_bad;
        uint64_t retry_usec, flush_usec, trim_usec; /* when to do that next */
        uint32_t ended_count, lost_count;
        struct live *buckets[BUCKETS];
        size_t live_count, dirty_count;
};

static void HR_PRINTF(3, 4) say(struct hr_record *r, int priority, const char *format, ...)
{
        char text[400];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        r->say(priority, text, r->userdata);
}

/* The clock may have been set back: nothing waits for longer than it was to. */
static bool is_due(uint64_t at_usec, uint64_t pause_usec, uint64_t now_usec)
{
        return now_usec >= at_usec || at_usec - now_usec > pause_usec;
}

uint64_t hr_record_hash(const char *text) /* FNV-1a */
{
        uint64_t hash = UINT64_C(14695981039346656037);

        for (; *text; text++)
                hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
        return hash;
}

/* ---- the database ---- */

static void close_db(struct hr_record *r)
{
        for (size_t i = 0; i < STATEMENT_COUNT; i++) {
                sqlite3_finalize(r->prepared[i]);
                r->prepared[i] = NULL;
        }
        (void)sqlite3_close(r->db);
        r->db = NULL;
        r->in_batch = false;
}

bool hr_record_is_damage(int code)
{
        return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB ||
               (code & 0xff) == SQLITE_SCHEMA || (code & 0xff) == SQLITE_MISMATCH;
}

static void set_aside(struct hr_record *r, const char *why)
{
        static const char *const tails[] = {"-wal", "-shm"};
        char to[640], path[640];

        close_db(r);
        snprintf(to, sizeof(to), "%s.damaged", r->path);
        int moved = rename(r->path, to);
        for (size_t i = 0; i < ELEMENTSOF(tails); i++) { /* they belong to the old one */
                snprintf(path, sizeof(path), "%s%s", r->path, tails[i]);
                (void)unlink(path);
        }
        if (moved < 0)
                say(r, LOG_ERR, "the record of jobs %s can't be used (%s), nor moved aside (%s)", r->path,
                        why, strerror(errno));
        else
                say(r, LOG_ERR,
                        "the record of jobs %s can't be used (%s): it was moved to %s, and is begun anew",
                        r->path, why, to);
        /* Every row is gone. */
        for (size_t i = 0; i < BUCKETS; i++)
                for (struct live *l = r->buckets[i]; l; l = l->next)
                        l->number = 0;
}

/* SQLite has refused something. */
static void failed(struct hr_record *r, uint64_t now_usec)
{
        int code = r->db ? sqlite3_extended_errcode(r->db) : SQLITE_CANTOPEN;
        char why[200];

        snprintf(why, sizeof(why), "%s", r->db ? sqlite3_errmsg(r->db) : "it can't be opened");
        if (hr_record_is_damage(code)) {
                set_aside(r, why);
                r->retry_usec = now_usec; /* at once */
                return;
        }
        close_db(r);
        if (!r->told_bad)
                say(r, LOG_ERR,
                        "the record of jobs %s can't be written (%s): jobs are watched all the same; tried "
                        "again "
                        "each minute",
                        r->path, why);
        r->told_bad = true;
        r->retry_usec = now_usec + RETRY_USEC;
}

static int run_sql(sqlite3 *db, const char *sql)
{
        return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int read_number(sqlite3 *db, const char *sql, int64_t *ret)
{
        sqlite3_stmt *s = NULL;
        int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_step(s);
        if (code == SQLITE_ROW)
                *ret = sqlite3_column_int64(s, 0);
        sqlite3_finalize(s);
        return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int check_whole(sqlite3 *db)
{
        sqlite3_stmt *s = NULL;
        int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_step(s);
        if (code == SQLITE_ROW)
                code = strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0 ? SQLITE_OK
                                                                                  : SQLITE_CORRUPT;
        sqlite3_finalize(s);
        return code;
}

static int set_up(struct hr_record *r, bool small, const char **ret_why)
{
        int64_t version = 0, tables = 0;
        int code;

        *ret_why = NULL;
        sqlite3_busy_timeout(r->db, 2000);
        code = run_sql(r->db,
                "PRAGMA auto_vacuum=INCREMENTAL;PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
                "PRAGMA cache_size=-1024;PRAGMA journal_size_limit=4194304;"
                "PRAGMA temp_store=MEMORY;");
        if (code == SQLITE_OK)
                code = read_number(r->db, "PRAGMA user_version", &version);
        if (code == SQLITE_OK)
                code = read_number(r->db, "SELECT count(*) FROM sqlite_schema", &tables);
        if (code == SQLITE_OK && version != VERSION && tables > 0) {
                *ret_why = "it is of another version";
                return SQLITE_CORRUPT;
        }
        if (code == SQLITE_OK && tables == 0)
                code = run_sql(r->db, schema);
        else if (code == SQLITE_OK && small)
                code = check_whole(r->db);
        if (code == SQLITE_CORRUPT)
                *ret_why = "it is damaged";
        for (size_t i = 0; code == SQLITE_OK && i < STATEMENT_COUNT; i++) {
                code = sqlite3_prepare_v3(
                        r->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &r->prepared[i], NULL);
                if (code == SQLITE_ERROR) { /* a column is missing */
                        *ret_why = "it is of another version";
                        return SQLITE_CORRUPT;
                }
        }
        return code;
}

static bool open_once(struct hr_record *r, uint64_t now_usec, bool *ret_again)
{
        const char *why = NULL;
        struct stat st = {0};
        int code;

        *ret_again = false;
        /* Command lines stand in it: for root, or the user of the daemon, alone. */
        int fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        bool there = fd >= 0 && fstat(fd, &st) == 0;
        int error = errno;
        hr_close(fd);
        if (!there) {
                if (!r->told_bad)
                        say(r, LOG_ERR,
                                "no record of jobs can be kept in %s (%s): jobs are watched all the same; "
                                "tried "
                                "again each minute",
                                r->path, strerror(error));
                r->told_bad = true;
                r->retry_usec = now_usec + RETRY_USEC;
                return false;
        }
        r->inode = st.st_ino;
        code = sqlite3_open_v2(r->path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (code == SQLITE_OK)
                code = set_up(r, (uint64_t)st.st_size < CHECK_BYTES, &why);
        if (code == SQLITE_OK)
                return true;
        if (hr_record_is_damage(code)) {
                set_aside(r, why ? why : "it is damaged");
                *ret_again = true;
                return false;
        }
        failed(r, now_usec);
        return false;
}

/* Jobs that were left open by a daemon before: they end unseen, unless they are adopted. */
static void close_left(struct hr_record *r, uint64_t now_usec)
{
        char sql[400];

        if (r->live_count > 0)
                return; /* they are ours, and run */
        snprintf(sql, sizeof(sql),
                "UPDATE jobs SET end_usec=last_usec,outcome='unseen',cause=%d,censored=1,"
                "reason='ended while headroomd was down' WHERE end_usec IS NULL",
                HR_CAUSE_UNSEEN);
        if (run_sql(r->db, sql) != SQLITE_OK)
                failed(r, now_usec);
}

static bool ready(struct hr_record *r, uint64_t now_usec)
{
        bool again = false, opened;

        if (r->db)
                return true;
        if (!is_due(r->retry_usec, RETRY_USEC, now_usec))
                return false;
        opened = open_once(r, now_usec, &again);
        if (again)
                opened = open_once(r, now_usec, &again);
        if (!opened) {
                r->retry_usec = MAX(r->retry_usec, now_usec + 1);
                return false;
        }
        close_left(r, now_usec);
        if (r->db && r->told_bad)
                say(r, LOG_INFO, "the record of jobs %s is kept again; %u that ended meanwhile are not in it",
                        r->path, r->lost_count);
        r->told_bad = false;
        r->lost_count = 0;
        return r->db != NULL;
}

static bool begin(struct hr_record *r, uint64_t now_usec)
{
        if (!ready(r, now_usec))
                return false;
        if (r->in_batch)
                return true;
        if (run_sql(r->db, "BEGIN IMMEDIATE") != SQLITE_OK) {
                failed(r, now_usec);
                return false;
        }
        r->in_batch = true;
        return true;
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
        if (text)
                sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
        else
                sqlite3_bind_null(s, at);
}

static void bind_size(sqlite3_stmt *s, int at, uint64_t bytes)
{
        if (bytes > INT64_MAX)
                sqlite3_bind_null(s, at);
        else
                sqlite3_bind_int64(s, at, (int64_t)bytes);
}

static bool step(struct hr_record *r, sqlite3_stmt *s, uint64_t now_usec)
{
        int code = sqlite3_step(s);

        if (code != SQLITE_DONE) {
                failed(r, now_usec); /* s is finalized */
                return false;
        }
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
        return true;
}

/* ---- jobs that run ---- */

static struct live **find_live(struct hr_record *r, const char *job)
{
        struct live **l = &r->buckets[hr_record_hash(job) % BUCKETS];

        while (*l && strcmp((*l)->birth->job, job) != 0)
                l = &(*l)->next;
        return l;
}

static void live_free(struct live *l)
{
        hr_birth_free(l->birth);
        hr_curve_done(&l->curve);
        free(l->held_by);
        free(l->error_at);
        free(l);
}

static char *copy_or_null(const char *text, bool *failed_)
{
        char *copy = text ? strdup(text) : NULL;

        *failed_ |= text && !copy;
        return copy;
}

/* Of a job that was attached or found: as its first process has it. */
static char *read_command(const struct hr_record *r, pid_t pid)
{
        char path[320], raw[HR_CMDLINE_MAX], spelled[HR_CMDLINE_MAX] = "";

        if (!r->proc_path || pid <= 0)
                return NULL;
        snprintf(path, sizeof(path), "%s/%d/cmdline", r->proc_path, (int)pid);
        _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, raw, sizeof(raw) - 1) : -1;
        if (n <= 0)
                return NULL;
        while (n > 0 && raw[n - 1] == '\0') /* also what is left of a title that was set */
                n--;
        raw[n] = '\0';
        for (const char *word = raw; word < raw + n; word += strlen(word) + 1)
                hr_cmdline_add(spelled, word);
        return strdup(spelled);
}

static void insert_job(struct hr_record *r, struct live *l, uint64_t now_usec)
{
        const struct hr_birth *b = l->birth;
        sqlite3_stmt *s;

        if (l->number != 0 || !begin(r, now_usec))
                return;
        s = r->prepared[INSERT_JOB];
        bind_text(s, 1, b->job);
        bind_text(s, 2, b->name);
        bind_text(s, 3, b->command);
        if (b->command)
                sqlite3_bind_int64(s, 4, (int64_t)hr_record_hash(b->command));
        bind_text(s, 5, b->user);
        sqlite3_bind_int64(s, 6, b->uid);
        bind_text(s, 7, hr_kind_name(b->kind));
        bind_text(s, 8, b->cgroup);
        bind_text(s, 9, b->unit);
        bind_text(s, 10, b->policy);
        sqlite3_bind_int64(s, 11, (int64_t)b->time_usec);
        bind_size(s, 12, b->limit_bytes);
        if (step(r, s, now_usec))
                l->number = sqlite3_last_insert_rowid(r->db);
}

/* A job of a daemon before us goes on in the row that it has. */
static void reopen_job(struct hr_record *r, struct live *l, uint64_t now_usec)
{
        sqlite3_stmt *s;
        int code;

        if (!begin(r, now_usec))
                return;
        s = r->prepared[REOPEN_JOB];
        bind_text(s, 1, l->birth->job);
        sqlite3_bind_int64(s, 2, l->birth->uid);
        code = sqlite3_step(s);
        if (code == SQLITE_ROW) {
                const char *command = (const char *)sqlite3_column_text(s, 1);
                const char *held_by = (const char *)sqlite3_column_text(s, 6);
                const char *stage = (const char *)sqlite3_column_text(s, 5);
                int known = stage ? hr_stage_from_name(stage) : -1;

                l->number = sqlite3_column_int64(s, 0);
                if (command && !l->birth->command)
                        l->birth->command = strdup(command);
                l->curve.used_peak_bytes = (uint64_t)sqlite3_column_int64(s, 2);
                l->birth->time_usec = (uint64_t)sqlite3_column_int64(s, 3);
                (void)hr_curve_restore(
                        &l->curve, sqlite3_column_blob(s, 4), (size_t)sqlite3_column_bytes(s, 4));
                l->furthest = known >= 0 ? (enum hr_stage)known : HR_STAGE_OK;
                l->held_by = held_by ? strdup(held_by) : NULL; /* without memory: not known */
                code = sqlite3_step(s);
        }
        if (code != SQLITE_DONE) {
                failed(r, now_usec);
                return;
        }
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
}

static struct live *live_new(const struct hr_birth *b)
{
        struct live *l = calloc(1, sizeof(*l));
        bool out_of_memory = false;

        if (!l)
                return NULL;
        l->status = -1;
        l->birth = malloc(sizeof(*b));
        if (l->birth) {
                *l->birth = *b;
                l->birth->command = copy_or_null(b->command, &out_of_memory);
                l->birth->cgroup = copy_or_null(b->cgroup, &out_of_memory);
                l->birth->unit = copy_or_null(b->unit, &out_of_memory);
        }
        if (!l->birth || out_of_memory) {
                live_free(l);
                return NULL;
        }
        return l;
}

void hr_record_birth(struct hr_record *r, const struct hr_birth *b)
{
        struct live **place = find_live(r, b->job), *l;

        if (*place) /* never: ids are not used again */
                return;
        l = live_new(b);
        if (!l)
                return;
        *place = l;
        if (b->adopted && ready(r, b->time_usec)) /* first: what is left open is closed while nobody lives */
                reopen_job(r, l, b->time_usec);
        else
                (void)ready(r, b->time_usec);
        r->live_count++;
        if (!l->birth->command)
                l->birth->command = read_command(r, b->leader);
        insert_job(r, l, b->time_usec);
}

void hr_record_point(struct hr_record *r, const struct hr_point *p)
{
        struct live *l = *find_live(r, p->job);

        if (!l)
                return;
        hr_curve_add(&l->curve, p);
        r->dirty_count += !l->dirty;
        l->dirty = true;
}

const char *hr_record_outcome(enum hr_cause cause, bool fused, int status, int signal, bool *ret_censored)
{
        bool said = cause == HR_CAUSE_MEMORY_ERROR && status != 0 && signal == 0;

        *ret_censored = true;
        switch (cause) {
        case HR_CAUSE_INTERRUPTED:
                return "interrupted";
        case HR_CAUSE_KILLED:
                return "killed";
        case HR_CAUSE_OWN_LIMIT:
                return "own_limit";
        case HR_CAUSE_HOST:
                return "host_full";
        default:
                break;
        }
        if (said || (cause == HR_CAUSE_UNKNOWN && fused && status == 1))
                return "memory_error";
        if (cause == HR_CAUSE_BELOW && signal == SIGKILL)
                return "host_full";
        if (signal > 0)
                return "signal";
        *ret_censored = cause == HR_CAUSE_UNSEEN && status < 0;
        if (status >= 0)
                return status == 0 ? "finished" : "failed";
        return cause == HR_CAUSE_UNSEEN ? "unseen" : "ended";
}

static void describe_reason(char *buf, size_t size, const char *reason, bool error, const char *at)
{
        snprintf(buf, size, "%s%s%s%s", reason, error ? "; it said: MemoryError" : "",
                error && at[0] ? " at " : "", error ? at : "");
}

/* The daemon's word on the end, and what the job's own processes add to it. */
static enum hr_cause refine(const struct live *l, const struct hr_event *e, bool *ret_error)
{
        *ret_error = l->error_usec > 0 && e->time_usec <= l->error_usec + ERROR_FRESH_USEC;
        if (e->cause != HR_CAUSE_UNKNOWN && e->cause != HR_CAUSE_BELOW)
                return e->cause;
        if (e->cause == HR_CAUSE_BELOW && !*ret_error)
                return e->cause;
        return *ret_error ? HR_CAUSE_MEMORY_ERROR : l->tells ? HR_CAUSE_ITSELF : HR_CAUSE_UNKNOWN;
}

/* Writes the row. e: its end, or NULL while it runs. */
static void update_job(struct hr_record *r, struct live *l, const struct hr_event *e, uint64_t now_usec)
{
        char reason[REASON_MAX] = "";
        enum hr_cause cause = HR_CAUSE_UNKNOWN;
        unsigned char blob[HR_CURVE_BLOB_MAX];
        bool ended = e != NULL, censored = true, error = false;
        uint64_t peak = l->curve.used_peak_bytes;
        const char *source = "samples", *outcome = NULL;
        sqlite3_stmt *s;

        insert_job(r, l, now_usec);
        if (l->number == 0 || !begin(r, now_usec))
                return;
        if (ended) {
                bool detached = strcmp(e->action, "detach") == 0;
                peak = MAX(peak, e->used_bytes);
                /* The kernel's takes cache for used; where there was little of it, it misses no spike. */
                if (e->kernel_peak_bytes != HR_BYTES_NONE && e->kernel_peak_bytes >= peak &&
                        l->curve.cache_peak_bytes <= e->kernel_peak_bytes / 16) {
                        peak = e->kernel_peak_bytes;
                        source = "kernel";
                }
                cause = refine(l, e, &error);
                outcome = detached ? "detached"
                                   : hr_record_outcome(cause, e->fused, l->status, l->signal, &censored);
                describe_reason(reason, sizeof(reason), e->reason, error, l->error_at ? l->error_at : "");
        }
        s = r->prepared[UPDATE_JOB];
        sqlite3_bind_int64(s, 1, l->number);
        if (ended)
                sqlite3_bind_int64(s, 2, (int64_t)e->time_usec);
        sqlite3_bind_int64(s, 3, (int64_t)(ended ? e->time_usec : now_usec));
        /* Of one that ended unseen nobody could ask any more. */
        bind_size(s, 4,
                ended && e->cause != HR_CAUSE_UNSEEN ? e->limit_bytes
                : l->curve.count > 0                 ? l->curve.points[l->curve.count - 1].limit_bytes
                                                     : l->birth->limit_bytes);
        bind_size(s, 5, peak);
        bind_text(s, 6, source);
        sqlite3_bind_int(s, 7, censored);
        bind_text(s, 8, outcome);
        sqlite3_bind_int(s, 9, (int)cause);
        sqlite3_bind_int(s, 10, ended && e->fused);
        if (l->status >= 0)
                sqlite3_bind_int(s, 11, l->status);
        if (l->signal > 0)
                sqlite3_bind_int(s, 12, l->signal);
        bind_text(s, 13, ended ? reason : NULL);
        bind_text(s, 14, l->held_by);
        bind_text(s, 15, hr_stage_name(l->furthest));
        sqlite3_bind_int64(s, 16, l->left_out_count);
        sqlite3_bind_blob(s, 17, blob, (int)hr_curve_encode(&l->curve, blob), SQLITE_STATIC);
        if (!step(r, s, now_usec))
                return;
        r->dirty_count -= l->dirty;
        l->dirty = false;
}

static void insert_event(struct hr_record *r, const struct live *l, const struct hr_event *e)
{
        sqlite3_stmt *s;

        if (l->number == 0 || !begin(r, e->time_usec))
                return;
        s = r->prepared[INSERT_EVENT];
        sqlite3_bind_int64(s, 1, l->number);
        sqlite3_bind_int64(s, 2, (int64_t)e->time_usec);
        bind_text(s, 3, hr_stage_name(e->stage));
        bind_text(s, 4, hr_stage_name(e->previous_stage));
        bind_text(s, 5, e->action);
        bind_text(s, 6, e->outcome);
        bind_text(s, 7, e->reason);
        bind_size(s, 8, e->used_bytes);
        bind_size(s, 9, e->limit_bytes);
        (void)step(r, s, e->time_usec);
}

/* A job that ended while nobody was there: its row is closed already, but its last words came only now. */
static void end_unknown(struct hr_record *r, const struct hr_event *e)
{
        struct hr_birth b = {.uid = e->uid,
                .kind = HR_KIND_PROCESS,
                .adopted = true,
                .time_usec = e->time_usec,
                .limit_bytes = e->limit_bytes};

        if (e->cause != HR_CAUSE_UNSEEN)
                return; /* its birth found no room */
        memcpy(b.job, e->job, sizeof(b.job));
        memcpy(b.name, e->name, sizeof(b.name));
        hr_record_birth(r, &b);
}

/* Of a job that has ended a moment ago. */
static void told_late(struct hr_record *r, const struct hr_told *t, uint64_t now_usec)
{
        sqlite3_stmt *s;
        bool censored, found, fused = false, error = t->kind == HR_TOLD_MEMORY_ERROR;
        int code, status = t->exit_status, number_of_signal = t->signal;
        enum hr_cause cause = HR_CAUSE_UNKNOWN;
        char reason[REASON_MAX] = "";
        int64_t number = 0;

        if (t->kind == HR_TOLD_TELLS || !begin(r, now_usec))
                return;
        s = r->prepared[LATE_FIND];
        bind_text(s, 1, t->job);
        sqlite3_bind_int64(s, 2, (int64_t)hr_sub(now_usec, TOLD_LATE_USEC));
        code = sqlite3_step(s);
        found = code == SQLITE_ROW && (t->admin || sqlite3_column_int64(s, 3) == t->uid);
        if (found) {
                const char *outcome = (const char *)sqlite3_column_text(s, 2);
                const char *said = (const char *)sqlite3_column_text(s, 7);

                number = sqlite3_column_int64(s, 0);
                cause = (enum hr_cause)sqlite3_column_int(s, 1);
                fused = sqlite3_column_int(s, 4) != 0;
                if (error) { /* the process said so just before the end, and was heard just after it */
                        bool known = sqlite3_column_type(s, 5) != SQLITE_NULL;
                        status = known ? sqlite3_column_int(s, 5) : -1;
                        number_of_signal = sqlite3_column_int(s, 6);
                        if (cause == HR_CAUSE_UNKNOWN || cause == HR_CAUSE_ITSELF || cause == HR_CAUSE_BELOW)
                                cause = HR_CAUSE_MEMORY_ERROR;
                }
                describe_reason(reason, sizeof(reason), said ? said : "", error, t->text);
                found = outcome && strcmp(outcome, "detached") != 0;
        }
        sqlite3_reset(s);
        sqlite3_clear_bindings(s);
        if (code != SQLITE_ROW && code != SQLITE_DONE)
                failed(r, now_usec);
        if (!found)
                return;
        if (t->kind == HR_TOLD_HOLDER) {
                s = r->prepared[LATE_HOLDER];
                bind_text(s, 2, t->text);
        } else {
                s = r->prepared[LATE_WRITE];
                if (status >= 0)
                        sqlite3_bind_int(s, 2, status);
                if (number_of_signal > 0)
                        sqlite3_bind_int(s, 3, number_of_signal);
                bind_text(s, 4, hr_record_outcome(cause, fused, status, number_of_signal, &censored));
                sqlite3_bind_int(s, 5, censored);
                sqlite3_bind_int(s, 6, (int)cause);
                bind_text(s, 7, reason);
        }
        sqlite3_bind_int64(s, 1, number);
        (void)step(r, s, now_usec);
}

void hr_record_event(struct hr_record *r, const struct hr_event *e)
{
        bool last = strcmp(e->action, "end") == 0 || strcmp(e->action, "detach") == 0;
        struct live **place, *l;

        if (e->job[0] == '\0')
                return;
        if (last && !*find_live(r, e->job))
                end_unknown(r, e);
        place = find_live(r, e->job);
        l = *place;
        if (!l && strcmp(e->action, "exit") == 0) {
                struct hr_told t = {.kind = HR_TOLD_EXIT,
                        .admin = true,
                        .exit_status = e->exit_status,
                        .signal = e->exit_signal};

                memcpy(t.job, e->job, sizeof(t.job));
                told_late(r, &t, e->time_usec);
        }
        if (!l)
                return;
        if (last && l->status < 0 && l->signal == 0) { /* its parent's word counts more */
                l->status = e->exit_status;
                l->signal = e->exit_signal;
        }
        if (strcmp(e->action, "detach") == 0 && strcmp(e->outcome, "done") != 0)
                last = false;
        if (strcmp(e->outcome, "observed") != 0)
                l->furthest = MAX(l->furthest, e->stage);
        if (!last && e->used_bytes > 0 && e->used_bytes != HR_BYTES_NONE) { /* of the end it tells the peak */
                struct hr_point p = {.time_usec = e->time_usec,
                        .used_bytes = e->used_bytes,
                        .cache_bytes =
                                l->curve.count > 0 ? l->curve.points[l->curve.count - 1].cache_bytes : 0,
                        .limit_bytes = e->limit_bytes};

                hr_curve_add(&l->curve, &p);
        }
        insert_job(r, l, e->time_usec);
        if (l->event_count < EVENTS_MAX || last) {
                l->event_count++;
                insert_event(r, l, e);
        } else {
                l->left_out_count++;
        }
        update_job(r, l, last ? e : NULL, e->time_usec);
        if (!last)
                return;
        r->lost_count += !r->db;
        r->ended_count++;
        *place = l->next;
        r->dirty_count -= l->dirty;
        r->live_count--;
        live_free(l);
}

void hr_record_told(struct hr_record *r, const struct hr_told *t)
{
        struct live *l = *find_live(r, t->job);

        if (!l) {
                told_late(r, t, hr_clock_realtime_usec());
                return;
        }
        if (!t->admin && t->uid != l->birth->uid)
                return;
        switch (t->kind) {
        case HR_TOLD_EXIT:
                l->status = t->exit_status;
                l->signal = t->signal;
                break;
        case HR_TOLD_HOLDER:
                free(l->held_by);
                l->held_by = strdup(t->text);
                break;
        case HR_TOLD_MEMORY_ERROR:
                l->error_usec = hr_clock_realtime_usec();
                free(l->error_at);
                l->error_at = strdup(t->text); /* without memory: not known */
                break;
        case HR_TOLD_TELLS:
                l->tells = true;
                return;
        }
        r->dirty_count += !l->dirty;
        l->dirty = true;
}

/* ---- its bounds ---- */

static int drop_oldest(struct hr_record *r, const char *which)
{
        char sql[400];
        int code;

        snprintf(sql, sizeof(sql), "DELETE FROM events WHERE number IN (%s)", which);
        code = run_sql(r->db, sql);
        snprintf(sql, sizeof(sql), "DELETE FROM jobs WHERE number IN (%s)", which);
        return code == SQLITE_OK ? run_sql(r->db, sql) : code;
}

static int size_of(struct hr_record *r, uint64_t *ret_bytes)
{
        int64_t pages = 0, spare = 0, page = 0;
        int code = read_number(r->db, "PRAGMA page_count", &pages);

        if (code == SQLITE_OK)
                code = read_number(r->db, "PRAGMA freelist_count", &spare);
        if (code == SQLITE_OK)
                code = read_number(r->db, "PRAGMA page_size", &page);
        *ret_bytes = (uint64_t)(pages - spare) * (uint64_t)page;
        return code;
}

/* Outside of a batch: what is too old goes, then a hundredth after the other of what is too much, from
 * whoever has most: a user who starts thousands pushes out his own jobs, not another's. */
static void trim(struct hr_record *r, uint64_t now_usec)
{
        uint64_t bytes = 0;
        char which[300];
        int code = SQLITE_OK;

        if (!ready(r, now_usec))
                return;
        r->trim_usec = now_usec + TRIM_USEC;
        r->ended_count = 0;
        for (int changed = 1000; r->age_usec != HR_USEC_NEVER && code == SQLITE_OK && changed >= 1000;) {
                snprintf(which, sizeof(which),
                        "SELECT number FROM jobs WHERE end_usec<%llu ORDER BY end_usec LIMIT 1000",
                        (unsigned long long)hr_sub(now_usec, r->age_usec));
                code = drop_oldest(r, which);
                changed = sqlite3_changes(r->db);
        }
        if (code == SQLITE_OK)
                code = size_of(r, &bytes);
        while (code == SQLITE_OK && bytes > r->size_bytes) {
                /* end_usec >= 0: from the index, and none that runs. */
                code = drop_oldest(r,
                        "SELECT number FROM jobs WHERE end_usec>=0 AND uid=(SELECT uid FROM jobs "
                        "WHERE end_usec>=0 GROUP BY uid ORDER BY count(*) DESC LIMIT 1) ORDER BY "
                        "end_usec LIMIT (SELECT max(16,(max(number)-min(number))/100) FROM jobs)");
                if (sqlite3_changes(r->db) == 0)
                        break;
                if (code == SQLITE_OK)
                        code = size_of(r, &bytes);
        }
        if (code == SQLITE_OK)
                code = run_sql(r->db, "PRAGMA incremental_vacuum");
        if (code != SQLITE_OK)
                failed(r, now_usec);
}

static void flush(struct hr_record *r, uint64_t now_usec)
{
        r->flush_usec = now_usec + FLUSH_USEC;
        for (size_t i = 0; i < BUCKETS; i++)
                for (struct live *l = r->buckets[i]; l; l = l->next)
                        if (l->dirty || l->number == 0)
                                update_job(r, l, NULL, now_usec);
}

/* Somebody has taken the file away. */
static void look_for_file(struct hr_record *r)
{
        struct stat st;

        if (!r->db || (stat(r->path, &st) == 0 && st.st_ino == r->inode))
                return;
        close_db(r);
        say(r, LOG_WARNING, "the record of jobs %s is gone: it is begun anew", r->path);
        for (size_t i = 0; i < BUCKETS; i++)
                for (struct live *l = r->buckets[i]; l; l = l->next)
                        l->number = 0;
}

uint64_t hr_record_commit(struct hr_record *r, uint64_t now_usec)
{
        if (is_due(r->flush_usec, FLUSH_USEC, now_usec))
                flush(r, now_usec);
        if (r->in_batch) {
                if (run_sql(r->db, "COMMIT") != SQLITE_OK)
                        failed(r, now_usec);
                r->in_batch = false;
                look_for_file(r);
        }
        if (r->db && (r->ended_count >= TRIM_ENDS || is_due(r->trim_usec, TRIM_USEC, now_usec)))
                trim(r, now_usec);
        if (r->live_count > 0 || !r->db)
                return FLUSH_USEC;
        return HR_USEC_NEVER;
}

static void record_freep(struct hr_record **r)
{
        hr_record_free(*r);
}

int hr_record_new(const struct hr_record_options *o, struct hr_record **ret)
{
        HR_CLEANUP(record_freep) struct hr_record *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        if ((size_t)snprintf(r->path, sizeof(r->path), "%s/" HR_RECORD_FILE, o->directory) >= sizeof(r->path))
                return -ENAMETOOLONG;
        r->proc_path = o->proc_path;
        r->age_usec = o->age_usec;
        r->size_bytes = o->size_bytes;
        r->say = o->say;
        r->userdata = o->userdata;
        uint64_t now = hr_clock_realtime_usec();
        r->flush_usec = now + FLUSH_USEC;
        if (ready(r, now))
                trim(r, now);
        *ret = TAKE_PTR(r);
        return 0;
}

struct hr_record *hr_record_free(struct hr_record *r)
{
        if (!r)
                return NULL;
        if (r->db && r->dirty_count > 0)
                r->flush_usec = 0;
        if (r->db)
                (void)hr_record_commit(r, hr_clock_realtime_usec());
        close_db(r);
        for (size_t i = 0; i < BUCKETS; i++)
                while (r->buckets[i]) {
                        struct live *l = r->buckets[i];
                        r->buckets[i] = l->next;
                        live_free(l);
                }
        free(r);
        return NULL;
}
