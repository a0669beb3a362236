/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/query.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tell/record.h"
#include "think/units.h"

/*
 * A connection of its own that can't write. Every question is one statement, by an index; the file is opened
 * again where another stands in its place by now, since the writer moves a damaged one aside.
 */

struct hr_query {
        char path[600];
        sqlite3 *db;
        ino_t inode;
};

#define ROW_COLUMNS                                                                                         \
        "job,name,command,user,kind,cgroup,unit,policy,peak_source,outcome,reason,held_by,stage,uid,start_" \
        "usec,"                                                                                             \
        "end_usec,limit_bytes,peak_bytes,events_left_out,exit_status,signal,censored,fused,cause"
#define ROW_COLUMN_COUNT 24
#define END_COLUMN 15

static void close_database(struct hr_query *q)
{
        (void)sqlite3_close(q->db);
        q->db = NULL;
}

/* Opens it, or again where another file stands there by now. */
static int open_database(struct hr_query *q)
{
        struct stat st;

        if (stat(q->path, &st) < 0) {
                close_database(q);
                return -ENODATA;
        }
        if (q->db && st.st_ino == q->inode)
                return 0;
        close_database(q);
        if (sqlite3_open_v2(q->path, &q->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
                close_database(q);
                return -ENODATA;
        }
        q->inode = st.st_ino;
        sqlite3_busy_timeout(q->db, 2000);
        (void)sqlite3_exec(q->db, "PRAGMA cache_size=-2048;PRAGMA query_only=1;", NULL, NULL, NULL);
        return 0;
}

static int query_failed(struct hr_query *q, int code)
{
        close_database(q);
        return hr_record_is_damage(code) ? -EUCLEAN : (code & 0xff) == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

static int prepare(struct hr_query *q, const char *sql, sqlite3_stmt **ret)
{
        int error = open_database(q), code;

        if (error < 0)
                return error;
        code = sqlite3_prepare_v2(q->db, sql, -1, ret, NULL);
        return code == SQLITE_OK ? 0 : query_failed(q, code);
}

void hr_query_row_done(struct hr_query_row *row)
{
        free(row->texts);
        *row = (struct hr_query_row){0};
}

/* What the caller keeps until s is done. */
static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
        sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static char *column_text(sqlite3_stmt *s, int at)
{
        const char *text = (const char *)sqlite3_column_text(s, at);

        return strdup(text ? text : "");
}

static uint64_t column_size(sqlite3_stmt *s, int at)
{
        return sqlite3_column_type(s, at) == SQLITE_NULL ? HR_BYTES_NONE
                                                         : (uint64_t)sqlite3_column_int64(s, at);
}

#define TEXT(member) offsetof(struct hr_query_row, member)
/* As ROW_COLUMNS begins. */
static const size_t row_texts[] = {TEXT(job), TEXT(name), TEXT(command), TEXT(user), TEXT(kind), TEXT(cgroup),
        TEXT(unit), TEXT(policy), TEXT(peak_source), TEXT(outcome), TEXT(reason), TEXT(held_by), TEXT(stage)};

static int read_row(sqlite3_stmt *s, struct hr_query_row *row)
{
        size_t room = ELEMENTSOF(row_texts);
        int at = 0;
        char *to;

        *row = (struct hr_query_row){0};
        for (size_t i = 0; i < ELEMENTSOF(row_texts); i++)
                room += (size_t)sqlite3_column_bytes(s, (int)i);
        to = row->texts = malloc(room);
        if (!to)
                return -ENOMEM;
        for (; at < (int)ELEMENTSOF(row_texts); at++) {
                const unsigned char *text = sqlite3_column_text(s, at);

                *(const char **)((char *)row + row_texts[at]) = to;
                to = mempcpy(
                        to, text ? text : (const unsigned char *)"", (size_t)sqlite3_column_bytes(s, at));
                *to++ = '\0';
        }
        row->uid = (uint64_t)sqlite3_column_int64(s, at++);
        row->start_usec = (uint64_t)sqlite3_column_int64(s, at++);
        row->end_usec = (uint64_t)sqlite3_column_int64(s, at++);
        row->limit_bytes = column_size(s, at++);
        row->peak_bytes = (uint64_t)sqlite3_column_int64(s, at++);
        row->left_out_count = (uint64_t)sqlite3_column_int64(s, at++);
        row->exit_status = sqlite3_column_type(s, at) == SQLITE_NULL ? -1 : sqlite3_column_int64(s, at);
        at++;
        row->signal = sqlite3_column_int64(s, at++);
        row->censored = sqlite3_column_int(s, at++) != 0;
        row->fused = sqlite3_column_int(s, at++) != 0;
        row->said_error = sqlite3_column_int(s, at++) == HR_CAUSE_MEMORY_ERROR;
        return 0;
}

int hr_query_history(struct hr_query *q, const struct hr_query_filter *f, struct hr_query_row **ret_rows,
        size_t *ret_count, uint64_t *ret_next_usec)
{
        struct hr_query_row *rows = NULL;
        size_t count = 0, room = 0, bytes = 0;
        uint64_t next_usec = 0;
        sqlite3_stmt *s = NULL;
        char sql[700];
        int error, code = SQLITE_DONE;

        snprintf(sql, sizeof(sql),
                "SELECT " ROW_COLUMNS " FROM jobs WHERE end_usec>=?1 AND end_usec<?2%s%s%s%s"
                " ORDER BY end_usec DESC",
                f->admin ? "" : " AND uid=?3", f->user[0] ? " AND user=?4" : "",
                f->name[0] ? " AND name=?5" : "", f->outcome[0] ? " AND outcome=?6" : "");
        error = prepare(q, sql, &s);
        if (error < 0)
                return error;
        sqlite3_bind_int64(s, 1, (int64_t)MIN(f->since_usec, (uint64_t)INT64_MAX));
        sqlite3_bind_int64(s, 2, (int64_t)MIN(f->until_usec, (uint64_t)INT64_MAX));
        if (!f->admin)
                sqlite3_bind_int64(s, 3, f->uid);
        if (f->user[0])
                bind_text(s, 4, f->user);
        if (f->name[0])
                bind_text(s, 5, f->name);
        if (f->outcome[0])
                bind_text(s, 6, f->outcome);
        while (error == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
                if ((count >= f->count_max || bytes >= HR_QUERY_PAGE_BYTES) &&
                        (count == 0 || column_size(s, END_COLUMN) < rows[count - 1].end_usec)) {
                        next_usec = count > 0 ? rows[count - 1].end_usec : 0;
                        code = SQLITE_DONE;
                        break;
                }
                if (count == room) {
                        struct hr_query_row *more =
                                reallocarray(rows, MAX(2 * room, (size_t)16), sizeof(*rows));
                        if (!more) {
                                error = -ENOMEM;
                                break;
                        }
                        rows = more;
                        room = MAX(2 * room, (size_t)16);
                }
                error = read_row(s, &rows[count]);
                if (error < 0)
                        break;
                bytes += (size_t)(rows[count].stage - rows[count].texts); /* the last of them, a word */
                count++;
        }
        sqlite3_finalize(s);
        if (error == 0 && code != SQLITE_DONE)
                error = query_failed(q, code);
        if (error < 0) {
                for (size_t i = 0; i < count; i++)
                        hr_query_row_done(&rows[i]);
                free(rows);
                return error;
        }
        *ret_rows = rows;
        *ret_count = count;
        *ret_next_usec = next_usec;
        return 0;
}

void hr_query_story_done(struct hr_query_story *story)
{
        hr_query_row_done(&story->row);
        for (size_t i = 0; i < story->event_count; i++) {
                free(story->events[i].stage);
                free(story->events[i].previous_stage);
                free(story->events[i].action);
                free(story->events[i].outcome);
                free(story->events[i].reason);
        }
        free(story->events);
        *story = (struct hr_query_story){0};
}

static int read_events(struct hr_query *q, int64_t number, struct hr_query_story *story)
{
        sqlite3_stmt *s = NULL;
        int error = prepare(q,
                "SELECT time_usec,used_bytes,limit_bytes,stage,previous_stage,action,outcome,reason FROM "
                "events"
                " WHERE number=?1 ORDER BY time_usec,rowid LIMIT 1000",
                &s);
        int code = SQLITE_DONE;

        if (error < 0)
                return error;
        story->events = calloc(1000, sizeof(*story->events));
        if (!story->events)
                error = -ENOMEM;
        else
                sqlite3_bind_int64(s, 1, number);
        while (error == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
                struct hr_query_event *e = &story->events[story->event_count++];

                e->time_usec = (uint64_t)sqlite3_column_int64(s, 0);
                e->used_bytes = column_size(s, 1);
                e->limit_bytes = column_size(s, 2);
                e->stage = column_text(s, 3);
                e->previous_stage = column_text(s, 4);
                e->action = column_text(s, 5);
                e->outcome = column_text(s, 6);
                e->reason = column_text(s, 7);
                if (!e->stage || !e->previous_stage || !e->action || !e->outcome || !e->reason)
                        error = -ENOMEM;
        }
        sqlite3_finalize(s);
        return error == 0 && code != SQLITE_DONE ? query_failed(q, code) : error;
}

int hr_query_story(struct hr_query *q, uid_t uid, bool admin, const char *word, struct hr_query_story *ret)
{
        static const char *const sql[2][2] = {
                {"SELECT " ROW_COLUMNS ",number,samples FROM jobs WHERE name=?1 AND end_usec>=0 AND uid=?2"
                 " ORDER BY end_usec DESC LIMIT 1",
                        "SELECT " ROW_COLUMNS ",number,samples FROM jobs WHERE name=?1 AND end_usec>=0"
                        " ORDER BY end_usec DESC LIMIT 1"},
                {"SELECT " ROW_COLUMNS ",number,samples FROM jobs WHERE job=?1 AND end_usec>=0 AND uid=?2"
                 " ORDER BY number DESC LIMIT 1",
                        "SELECT " ROW_COLUMNS ",number,samples FROM jobs WHERE job=?1 AND end_usec>=0"
                        " ORDER BY number DESC LIMIT 1"},
        };
        struct hr_query_story story = {0};
        sqlite3_stmt *s = NULL;
        int64_t number = 0;
        int error, code;

        error = prepare(q, sql[hr_units_is_job_id(word)][admin], &s);
        if (error < 0)
                return error;
        bind_text(s, 1, word);
        if (!admin)
                sqlite3_bind_int64(s, 2, uid);
        code = sqlite3_step(s);
        if (code == SQLITE_ROW) {
                error = read_row(s, &story.row);
                number = sqlite3_column_int64(s, ROW_COLUMN_COUNT);
                story.point_count = hr_curve_decode(sqlite3_column_blob(s, ROW_COLUMN_COUNT + 1),
                        (size_t)sqlite3_column_bytes(s, ROW_COLUMN_COUNT + 1), story.points);
        }
        sqlite3_finalize(s);
        if (code != SQLITE_ROW)
                return code == SQLITE_DONE ? -ENOENT : query_failed(q, code);
        if (error == 0)
                error = read_events(q, number, &story);
        if (error < 0) {
                hr_query_story_done(&story);
                return error;
        }
        *ret = story;
        return 0;
}

int hr_query_peaks(struct hr_query *q, uid_t uid, bool admin, const char *word, bool by_name,
        struct hr_query_peak *peaks, size_t *ret_count)
{
        sqlite3_stmt *s = NULL;
        size_t count = 0;
        char sql[400];
        int error, code;

        /* What was detached went on unseen, and 'failed' may have failed early: both needed so much at least.
         */
        snprintf(sql, sizeof(sql),
                "SELECT peak_bytes,censored OR outcome='failed' FROM jobs WHERE %s AND end_usec>=0%s"
                " AND peak_bytes>0 ORDER BY end_usec DESC LIMIT %d",
                by_name ? "name=?1" : "command_hash=?2 AND command=?1", admin ? "" : " AND uid=?3",
                HR_QUERY_PEAKS_MAX);
        error = prepare(q, sql, &s);
        if (error < 0)
                return error;
        bind_text(s, 1, word);
        if (!by_name)
                sqlite3_bind_int64(s, 2, (int64_t)hr_record_hash(word));
        if (!admin)
                sqlite3_bind_int64(s, 3, uid);
        while ((code = sqlite3_step(s)) == SQLITE_ROW && count < HR_QUERY_PEAKS_MAX)
                peaks[count++] = (struct hr_query_peak){
                        (uint64_t)sqlite3_column_int64(s, 0), sqlite3_column_int(s, 1) != 0};
        sqlite3_finalize(s);
        if (code != SQLITE_DONE && code != SQLITE_ROW)
                return query_failed(q, code);
        *ret_count = count;
        return 0;
}

int hr_query_new(const char *directory, struct hr_query **ret)
{
        struct hr_query *q = calloc(1, sizeof(*q));

        if (!q)
                return -ENOMEM;
        snprintf(q->path, sizeof(q->path), "%s/" HR_RECORD_FILE, directory);
        *ret = q;
        return 0;
}

struct hr_query *hr_query_free(struct hr_query *q)
{
        if (!q)
                return NULL;
        close_database(q);
        free(q);
        return NULL;
}
