/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "act/takeable.h"
#include "act/unit.h"
#include "sense/group.h"

/*
 * Dump: the job stands still. It is looked at, without touching it, whether CRIU can take it (act/takeable);
 * then whether the disk has the room; then CRIU seizes it, with the cgroup that freezes it (without
 * --freeze-cgroup it waits for ever for what is frozen), writes, and leaves it as it was: frozen. From there
 * on nothing ends CRIU but itself. The image counts only after CRIU has ended with 0, all its parts are there
 * and on their disk, and it got its final name.
 *
 * Writing ahead: the same, of a job that runs, as far as its memory goes; its files may change until it is
 * dumped. CRIU freezes its cgroup for a moment, reads what pages there are and has the kernel mark those that
 * change from there on; the job goes on, and CRIU copies them out of it. While CRIU has the job, a freeze of
 * ours would stop it in there, for ever; so it is told when that may be (criu.h). The dump after it finds the
 * pages that did not change in its "parent". These marks can be read once: they begin anew with each dump.
 *
 * Restore: the names of the files are looked at, so that what is missing is told by its name. A child is
 * placed in a cgroup of its own with the limit, and becomes CRIU: what it restores is born there. Before the
 * restored processes run, CRIU calls us back (--action-script): each file that it has opened, as root and by
 * name, is held against what the job had open. A restored process has the bounding set of CRIU, for good; so
 * that of a dump is cut down to what a dump needs, that of a restore is left whole.
 */

#define MAGIC 0x68726372U
#define CLOSING_USEC \
        (3 * HR_USEC_PER_SEC) /* for connections to us that are being closed; chosen, not tuned */
#define ROOM_SHARE 16         /* page tables, file lists: a 16th more than its memory; chosen */

/* What CRIU 3.17.1 needs to dump: trials on Linux 6.1. */
static const int dump_capabilities[] = {CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_RESOURCE, CAP_DAC_OVERRIDE,
        CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SETUID, CAP_SETGID, CAP_NET_ADMIN, CAP_CHOWN, CAP_FOWNER};

static void HR_PRINTF(3, 4) say(struct hr_criu_report *r, int result, const char *format, ...)
{
        va_list ap;
        va_start(ap, format);
        vsnprintf(r->text, sizeof(r->text), format, ap);
        va_end(ap);
        r->result = result;
}

/* Whoever writes into the directory has it so. -EWOULDBLOCK (flags: LOCK_NB), -ENOENT, -errno. */
static int lock_directory(const char *path, int flags)
{
        _close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX | flags) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* ---- starting it ---- */

bool hr_criu_is_busy(const char *lock)
{
        _close_ int fd = open(lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool hr_criu_wait(const char *lock, uint64_t patience_usec)
{
        uint64_t until = hr_add(hr_clock_read_usec(CLOCK_MONOTONIC), patience_usec);
        const struct timespec moment = {.tv_nsec = 100 * 1000 * 1000};

        while (hr_criu_is_busy(lock)) {
                if (hr_clock_read_usec(CLOCK_MONOTONIC) >= until)
                        return false;
                nanosleep(&moment, NULL);
        }
        return true;
}

static void start(const char *argument, const char *unit)
{
        char exe[512], word[1200], name[96];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        sigset_t none;

        if (n < 0)
                return;
        exe[n] = '\0';
        sigemptyset(&none);
        for (int sig = 1; sig < 32; sig++)
                (void)signal(sig, SIG_DFL); /* KILL and STOP refuse, as they should */
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        snprintf(word, sizeof(word), "--criu=%s", argument);
        snprintf(name, sizeof(name), "--unit=headroom-criu-%s-%d", unit, (int)getpid());
        (void)setsid();
        if (hr_unit_systemd_runs())
                execlp("systemd-run", "systemd-run", "--quiet", "--collect", "--pipe", "--wait", name,
                        "--property=LimitNOFILE=1048576", "--property=LimitMEMLOCK=infinity",
                        "--property=OOMScoreAdjust=-900", "--", exe, word, (char *)NULL);
        else
                execl(exe, "headroomd-criu", word, (char *)NULL);
}

/* Runs it, and waits for what it has to say. */
static void run(const char *argument, const char *unit, struct hr_criu_report *ret)
{
        int pair[2], status = 0;
        size_t got = 0;

        memset(ret, 0, sizeof(*ret));
        if (pipe2(pair, O_CLOEXEC) < 0) {
                say(ret, -errno, "%s", strerror(errno));
                return;
        }
        _close_ int out = pair[0];
        pid_t pid = fork();
        if (pid == 0) {
                int null = open("/dev/null", O_RDWR | O_CLOEXEC);
                (void)dup2(null, STDIN_FILENO);
                (void)dup2(pair[1], STDOUT_FILENO);
                start(argument, unit);
                _exit(127);
        }
        close(pair[1]);
        while (pid > 0 && got < sizeof(*ret)) {
                ssize_t n = read(out, (char *)ret + got, sizeof(*ret) - got);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                got += (size_t)n;
        }
        if (pid > 0)
                (void)waitpid(pid, &status, 0);
        if (pid < 0 || got != sizeof(*ret) || ret->magic != MAGIC) {
                memset(ret, 0, sizeof(*ret));
                say(ret, -EIO, "CRIU could not be run (status %d)",
                        WIFEXITED(status) ? WEXITSTATUS(status) : -1);
        }
        ret->text[sizeof(ret->text) - 1] = '\0';
}

void hr_criu_probe(const char *program, struct hr_criu_report *ret)
{
        char argument[300];

        memset(ret, 0, sizeof(*ret));
        if (access(program, X_OK) < 0) {
                say(ret, -ENOENT, "%s: %s", program, strerror(errno));
                return;
        }
        snprintf(argument, sizeof(argument), "probe:%s", program);
        run(argument, "probe", ret);
}

/* Beside what is whole: suffix "new", "pre". */
static const char *aside(const struct hr_image *image, const char *suffix, char *buf, size_t size)
{
        snprintf(buf, size, "%s/.%s.%s", image->dir[0] ? image->dir : image->index, image->id, suffix);
        return buf;
}

/* word: what is done in a directory of that suffix. */
static void write_image(
        struct hr_image *image, const char *word, const char *suffix, struct hr_criu_report *ret)
{
        char path[300], argument[320];

        memset(ret, 0, sizeof(*ret));
        if (image->dir[0] == '\0')
                snprintf(image->dir, sizeof(image->dir), "%s", image->index);
        aside(image, suffix, path, sizeof(path));
        int r = hr_image_make_directory(image->index);
        if (r == 0)
                r = hr_image_make_directory(image->dir);
        if (r < 0) {
                say(ret, r, "%s can't be made: %s", image->dir, strerror(-r));
                return;
        }
        r = hr_image_check_directory(image->dir, ret->text, sizeof(ret->text));
        if (r < 0) {
                ret->result = r;
                return;
        }
        image->time_usec = hr_clock_read_usec(CLOCK_REALTIME);
        _close_ int busy = lock_directory(path, LOCK_NB);
        if (busy == -EWOULDBLOCK) {
                say(ret, -EBUSY, "another one of it is under way");
                return;
        }
        r = hr_image_remove(path);
        if (r == 0)
                r = mkdir(path, 0700) < 0 ? -errno : 0;
        if (r == 0)
                r = hr_image_write_record(path, image);
        if (r < 0) {
                say(ret, r, "%s can't be written: %s", path, strerror(-r));
                return;
        }
        snprintf(argument, sizeof(argument), "%s:%s", word, path);
        run(argument, image->id, ret);
        if (ret->result < 0)
                (void)hr_image_remove(path); /* what failed is told; half an image helps nobody */
}

void hr_criu_dump(struct hr_image *image, struct hr_criu_report *ret)
{
        write_image(image, "dump", "new", ret);
}

void hr_criu_look(struct hr_image *image, struct hr_criu_report *ret)
{
        char path[300];

        write_image(image, "look", "look", ret);
        (void)hr_image_remove(aside(image, "look", path, sizeof(path)));
}

void hr_criu_predump(struct hr_image *image, struct hr_criu_report *ret)
{
        write_image(image, "predump", "pre", ret);
}

void hr_criu_forget(struct hr_image *image)
{
        char path[300];

        _close_ int writer = lock_directory(aside(image, "pre", path, sizeof(path)), 0);
        if (writer >= 0)
                (void)hr_image_remove(path); /* else the sweep does it */
}

void hr_criu_restore(const char *index, const char *old_id, const char *id, uid_t caller,
        uint64_t limit_bytes, bool removes, struct hr_criu_report *ret)
{
        char path[300], argument[400];
        struct hr_image image;

        memset(ret, 0, sizeof(*ret));
        if (hr_image_find(index, old_id, path, sizeof(path)) < 0 || hr_image_read_record(path, &image) < 0 ||
                (caller != 0 && caller != image.uid)) { /* whose it is, only who may see it learns */
                say(ret, -ENOENT, "there is no saved image of %s", old_id);
                return;
        }
        if (hr_image_check_directory(path, ret->text, sizeof(ret->text)) < 0) {
                ret->result = -EPERM;
                return;
        }
        snprintf(argument, sizeof(argument), "restore:%s:%s:%" PRIu64, path, id, limit_bytes);
        run(argument, id, ret);
        if (ret->result == 0 && removes) {
                char link[600];
                (void)hr_image_remove(path);
                snprintf(link, sizeof(link), "%s/%s", index, old_id);
                (void)unlink(link);
        }
}

/* ---- in the process of its own ---- */

/* The line of CRIU's log that says why: the first error, for the others follow from it, unless all that is
 * told is that it failed. */
static void read_log(const char *path, char *text, size_t size)
{
        static const char *const empty[] = {"exited, status", "killed by signal", " FAILED."};
        bool told = false;
        char line[400];
        _fclose_ FILE *f = fopen(path, "re");

        snprintf(text, size, "its log says nothing");
        while (f && fgets(line, sizeof(line), f)) {
                char *error = strstr(line, "Error ("), *colon = error ? strstr(error, "): ") : NULL;
                bool says = colon != NULL;
                for (size_t i = 0; says && i < ELEMENTSOF(empty); i++)
                        says = !strstr(colon, empty[i]);
                if (!colon || (!says && told))
                        continue;
                colon[strcspn(colon, "\n")] = '\0';
                hr_units_escape(text, MIN(size, 140U), colon + 3);
                told = true;
                if (says)
                        return;
        }
}

static void drop_capabilities(void)
{
        for (int c = 0; c <= CAP_LAST_CAP; c++) {
                bool needed = false;
                for (size_t i = 0; i < ELEMENTSOF(dump_capabilities); i++)
                        needed |= dump_capabilities[i] == c;
                if (!needed)
                        (void)prctl(
                                PR_CAPBSET_DROP, c, 0, 0, 0); /* a kernel that has it not: nothing to drop */
        }
}

/* Executes CRIU with its output in a file. Its pid, or -errno. */
static pid_t begin_criu(char *const *argv, const char *output, bool bounded)
{
        pid_t pid = fork();

        if (pid == 0) {
                int null = open("/dev/null", O_RDONLY),
                    out = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
                if (null < 0 || out < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
                        dup2(out, STDERR_FILENO) < 0)
                        _exit(126);
                if (bounded)
                        drop_capabilities();
                umask(077);
                execv(argv[0], argv);
                _exit(127);
        }
        return pid < 0 ? -errno : pid;
}

/* As a shell says it. -EAGAIN: it runs (flags: WNOHANG). */
static int wait_criu(pid_t pid, int flags)
{
        int status;
        pid_t ended;

        if (pid < 0)
                return pid;
        while ((ended = waitpid(pid, &status, flags)) < 0)
                if (errno != EINTR)
                        return -errno;
        return ended == 0 ? -EAGAIN : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* And waits. Its status, or -errno. */
static int run_criu(char *const *argv, const char *output, bool bounded)
{
        return wait_criu(begin_criu(argv, output, bounded), 0);
}

static void probe(char *program, struct hr_criu_report *ret)
{
        char *argv[] = {program, "check", NULL}, output[] = "/tmp/headroom-criu-XXXXXX", why[160];
        char *tracking[] = {program, "check", "--feature", "mem_dirty_track", NULL};
        int fd = mkstemp(output);

        hr_close(fd);
        int status = fd < 0 ? -errno : run_criu(argv, output, true);
        if (status == 0) {
                ret->tracks = run_criu(tracking, output, true) == 0;
                say(ret, 0, "criu check says good%s",
                        ret->tracks ? ""
                                    : ", but for criu_predump: the kernel does not track changes of memory");
        } else {
                read_log(output, why, sizeof(why));
                say(ret, -EOPNOTSUPP, "criu check fails: %s", why);
        }
        (void)unlink(output);
}

/* ---- the dump ---- */

struct members {
        pid_t pids[HR_TAKEABLE_PIDS_MAX];
        size_t count;
        pid_t leader;
        bool has_leader;
};

static int add_member(pid_t pid, void *userdata)
{
        struct members *m = userdata;
        if (pid == m->leader) {
                m->has_leader = true;
                return 0;
        }
        if (m->count == HR_TAKEABLE_PIDS_MAX)
                return -E2BIG;
        m->pids[m->count++] = pid;
        return 0;
}

/* times: of its memory. */
static int check_room(const struct hr_image *image, unsigned times, struct hr_criu_report *ret)
{
        char need[HR_TEXT_SIZE_MAX], has[HR_TEXT_SIZE_MAX], kept[HR_TEXT_SIZE_MAX];
        struct statvfs fs;

        if (statvfs(image->dir, &fs) < 0) {
                say(ret, -errno, "%s: %s", image->dir, strerror(errno));
                return -errno;
        }
        uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize;
        uint64_t bytes = (image->used_bytes + image->used_bytes / ROOM_SHARE) * times;
        if (hr_add(bytes, image->free_bytes) <= available)
                return 0;
        say(ret, -ENOSPC, "no room in %s: it takes %s%s, and of the %s that are free criu_free leaves %s",
                image->dir, hr_units_format_bytes(need, bytes), times > 1 ? " with the dump after it" : "",
                hr_units_format_bytes(has, available), hr_units_format_bytes(kept, image->free_bytes));
        return -ENOSPC;
}

/* 0, -EAGAIN (hr_takeable_look) or -errno. */
static int look_once(const struct hr_image *image, const char *path, struct hr_criu_report *ret)
{
        static struct members m;
        char name[320];

        snprintf(name, sizeof(name), "%s/files", path);
        m = (struct members){.pids = {image->leader}, .count = 1, .leader = image->leader};
        _close_ int dir = open(image->control, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r = dir < 0 ? -errno : hr_cgroup_each_pid(dir, add_member, &m);
        if (r == 0 && !m.has_leader) {
                say(ret, -EOPNOTSUPP, "its first process (%d) has ended, and CRIU takes a whole tree only",
                        (int)image->leader);
                return -EOPNOTSUPP;
        }
        int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        FILE *files = fd < 0 ? NULL : fdopen(fd, "w");
        if (!files)
                r = -errno;
        ret->text[0] = '\0';
        if (r == 0)
                r = hr_takeable_look(m.pids, m.count, image->uid, files, ret->text, sizeof(ret->text));
        if (files && fclose(files) != 0 && r == 0)
                r = -errno;
        return r;
}

static int look(const struct hr_image *image, const char *path, struct hr_criu_report *ret)
{
        uint64_t until = hr_clock_read_usec(CLOCK_MONOTONIC) + CLOSING_USEC;
        const struct timespec moment = {.tv_nsec = 50 * 1000 * 1000};
        int r;

        do {
                r = look_once(image, path, ret);
                if (r == -EAGAIN)
                        nanosleep(&moment, NULL);
        } while (r == -EAGAIN && hr_clock_read_usec(CLOCK_MONOTONIC) < until);
        if (r == -EAGAIN)
                r = -EOPNOTSUPP;
        ret->result = r;
        if (r < 0 && ret->text[0] == '\0')
                say(ret, r, "it could not be looked at: %s", strerror(-r));
        return r;
}

/* It was frozen, and stays so, whatever became of CRIU. */
static void freeze_again(const struct hr_image *image)
{
        _close_ int dir = open(image->control, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0 && hr_cgroup_write(dir, "cgroup.freeze", "1") < 0)
                (void)hr_cgroup_write(dir, "freezer.state", "FROZEN"); /* gone: nobody is left */
}

/* What was written ahead becomes part of this image, once nobody writes it any more. */
static bool take_predump(const struct hr_image *image, const char *path)
{
        char from[300], below[320], to[320], text[200];

        aside(image, "pre", from, sizeof(from));
        snprintf(below, sizeof(below), "%s/img", from);
        snprintf(to, sizeof(to), "%s/" HR_IMAGE_PREDUMP, path);
        _close_ int writer = lock_directory(from, 0);
        if (writer < 0)
                return false;
        bool taken = hr_image_check_seal(from, text, sizeof(text)) == 0 && rename(below, to) == 0;
        (void)hr_image_remove(from);
        return taken;
}

/* The disk may have filled since: then without it. */
static int check_room_beside(
        const struct hr_image *image, const char *path, bool *predumped, struct hr_criu_report *ret)
{
        char written[320];
        int r = check_room(image, 1, ret);

        if (r == 0 || !*predumped)
                return r;
        snprintf(written, sizeof(written), "%s/" HR_IMAGE_PREDUMP, path);
        (void)hr_image_remove(written);
        *predumped = false;
        return check_room(image, 1, ret);
}

/* "2.5 s" */
static const char *since(uint64_t begin_usec, char *buf)
{
        return hr_units_format_time(buf, hr_clock_read_usec(CLOCK_MONOTONIC) - begin_usec);
}

static void dump(const char *path, struct hr_criu_report *ret)
{
        struct hr_image *image = &ret->image;
        char img[320], log[340], output[340], leader[16], why[160], size[HR_TEXT_SIZE_MAX],
                left[HR_TEXT_SIZE_MAX], took[HR_TEXT_SIZE_MAX], ahead[HR_TEXT_SIZE_MAX],
                beside[HR_TEXT_SIZE_MAX + 32] = "";
        uint64_t predump_bytes, begin = hr_clock_read_usec(CLOCK_MONOTONIC);
        int r = hr_image_read_record(path, image);

        if (r < 0) {
                say(ret, r, "%s/record can't be read: %s", path, strerror(-r));
                return;
        }
        _close_ int lock = open(image->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
                say(ret, -EBUSY, "another dump of it is under way");
                return;
        }
        if (look(image, path, ret) < 0)
                return;
        bool predumped = take_predump(image, path);
        if (check_room_beside(image, path, &predumped, ret) < 0)
                return;
        snprintf(img, sizeof(img), "%s/img", path);
        snprintf(log, sizeof(log), "%s/dump.log", img);
        snprintf(output, sizeof(output), "%s/output", path);
        snprintf(leader, sizeof(leader), "%d", (int)image->leader);
        if (mkdir(img, 0700) < 0) {
                say(ret, -errno, "%s: %s", img, strerror(errno));
                return;
        }
        char *argv[] = {image->program, "dump", "--tree", leader, "--images-dir", img, "--log-file",
                "dump.log", "--freeze-cgroup", image->control, "--manage-cgroups=ignore", "--leave-running",
                "--shell-job", "--file-locks", "--ghost-limit", "1G", predumped ? "--track-mem" : NULL,
                "--prev-images-dir", HR_IMAGE_PARENT, NULL};
        int status = run_criu(argv, output, true);
        freeze_again(image);
        if (status != 0) {
                struct statvfs fs;
                read_log(log, why, sizeof(why));
                if (statvfs(img, &fs) == 0 && fs.f_bavail == 0)
                        say(ret, -ENOSPC, "the disk of %s ran full", image->dir);
                else
                        say(ret, -EIO, "criu dump ended with status %d: %s", status, why);
                return;
        }
        r = hr_image_seal(path, image->leader, false, &ret->bytes, &predump_bytes);
        if (r == 0)
                r = hr_image_publish(image, path);
        if (r < 0) {
                say(ret, r, "its image is not whole: %s",
                        r == -ENODATA ? "CRIU left out a part" : strerror(-r));
                return;
        }
        if (image->keep_usec == HR_USEC_NEVER)
                snprintf(left, sizeof(left), "ever");
        else
                hr_units_format_time(left, image->keep_usec);
        if (predumped)
                snprintf(beside, sizeof(beside), " beside %s written ahead",
                        hr_units_format_bytes(ahead, predump_bytes));
        say(ret, 0, "%s%s in %s/%s, in %s, kept for %s", hr_units_format_bytes(size, ret->bytes), beside,
                image->dir, image->id, since(begin, took), left);
}

/* ---- of a job that runs ---- */

/* Much may change while it is looked at, and does not count: what is clear is refused. */
static bool is_refused(const struct hr_image *image, const char *path, struct hr_criu_report *ret)
{
        ret->result = look_once(image, path, ret) == -EOPNOTSUPP ? -EOPNOTSUPP : 0;
        if (ret->result == 0)
                ret->text[0] = '\0';
        return ret->result < 0;
}

static void look_ahead(const char *path, struct hr_criu_report *ret)
{
        ret->result = hr_image_read_record(path, &ret->image);
        if (ret->result == 0)
                (void)is_refused(&ret->image, path, ret);
}

/*
 * DumpStatsEntry of CRIU's stats.proto, after two magic numbers and its size: numbers alone, of which 1 is
 * how long the freeze took, in microseconds, and 2 how long the tasks were seized then.
 */
static bool take_varint(const unsigned char **at, const unsigned char *end, uint64_t *ret)
{
        *ret = 0;
        for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
                unsigned char byte = *(*at)++;
                *ret |= (uint64_t)(byte & 0x7f) << shift;
                if (!(byte & 0x80))
                        return true;
        }
        return false;
}

int hr_criu_parse_stats(const unsigned char *data, size_t size, uint64_t *ret_usec)
{
        const unsigned char *at = data + 12, *end = data + size;
        uint64_t tag, length, value, usec = 0;
        unsigned seen = 0;

        if (size < 12 || !take_varint(&at, end, &tag) || tag != (1 << 3 | 2) ||
                !take_varint(&at, end, &length) || length != (uint64_t)(end - at))
                return -EBADMSG;
        while (at < end) {
                if (!take_varint(&at, end, &tag) || (tag & 7) != 0 || !take_varint(&at, end, &value))
                        return -EBADMSG;
                if (tag >> 3 == 1 || tag >> 3 == 2) {
                        usec = hr_add(usec, value);
                        seen |= 1U << (tag >> 3);
                }
        }
        if (seen != (1U << 1 | 1U << 2))
                return -EBADMSG;
        *ret_usec = usec;
        return 0;
}

static int read_stats(const char *img, uint64_t *ret_usec)
{
        char name[340];
        unsigned char data[512];

        snprintf(name, sizeof(name), "%s/stats-dump", img);
        _close_ int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data));
        return n < 0 ? -errno : hr_criu_parse_stats(data, (size_t)n, ret_usec);
}

/* The leave to stop the job for a moment. -ECANCELED: it is not there any more. */
static int take_pass(const char *name)
{
        struct stat st;
        _close_ int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0 || flock(fd, LOCK_EX) < 0)
                return errno == ENOENT ? -ECANCELED : -errno;
        if (fstat(fd, &st) < 0 || st.st_nlink == 0)
                return -ECANCELED;
        return TAKE_FD(fd);
}

static bool is_traced(pid_t pid)
{
        char path[64], line[256];
        int tracer = 0;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        _fclose_ FILE *f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "TracerPid: %d", &tracer) == 1)
                        break;
        return tracer != 0;
}

/* The job needs its brake more than this: it says so in the file. */
static bool is_taken_back(int pass)
{
        struct stat st;
        return fstat(pass, &st) == 0 && st.st_size > 0;
}

/* It is stopped first: one that got hold of the job meanwhile must not be ended. */
static bool end_before_it_traces(pid_t pid, pid_t leader)
{
        siginfo_t info;

        if (kill(pid, SIGSTOP) < 0 || waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT) < 0)
                return false;
        if (is_traced(leader)) {
                (void)kill(pid, SIGCONT);
                return false;
        }
        (void)kill(pid, SIGKILL);
        (void)wait_criu(pid, 0);
        return true;
}

/* CRIU goes on to copy its pages when it has let go of the job: their list is made after that. -ECANCELED: it
 * had not got hold of the job when the pass was taken back, and is gone. */
static int wait_predump(pid_t pid, pid_t leader, const char *listed, const char *pass_name, int *pass)
{
        const struct timespec moment = {.tv_nsec = 2 * 1000 * 1000};
        int status;

        while ((status = wait_criu(pid, WNOHANG)) == -EAGAIN) {
                bool traced = is_traced(leader);
                if (!traced && access(listed, F_OK) == 0)
                        break;
                if (!traced && is_taken_back(*pass) && end_before_it_traces(pid, leader))
                        return -ECANCELED;
                nanosleep(&moment, NULL);
        }
        if (status != -EAGAIN && status != 0)
                return status;
        (void)unlink(pass_name);
        *pass = hr_close(*pass);
        return status == 0 ? 0 : wait_criu(pid, 0);
}

static void thaw(const struct hr_image *image)
{
        _close_ int dir = open(image->control, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0 && hr_cgroup_write(dir, "cgroup.freeze", "0") < 0)
                (void)hr_cgroup_write(dir, "freezer.state", "THAWED"); /* gone: nobody is left */
}

static void predump(const char *path, struct hr_criu_report *ret)
{
        struct hr_image *image = &ret->image;
        char img[320], log[340], output[340], listed[360], pass_name[600], leader[16], why[160],
                size[HR_TEXT_SIZE_MAX], took[HR_TEXT_SIZE_MAX], stood[HR_TEXT_SIZE_MAX];
        uint64_t begin = hr_clock_read_usec(CLOCK_MONOTONIC), stood_usec, none;
        int r = hr_image_read_record(path, image);

        if (r < 0) {
                say(ret, r, "%s/record can't be read: %s", path, strerror(-r));
                return;
        }
        _close_ int writer = lock_directory(path, LOCK_NB);
        if (writer < 0) {
                say(ret, writer, "%s: %s", path, strerror(-writer));
                return;
        }
        if (is_refused(image, path, ret) || check_room(image, 2, ret) < 0)
                return;
        snprintf(img, sizeof(img), "%s/img", path);
        snprintf(log, sizeof(log), "%s/dump.log", img);
        snprintf(output, sizeof(output), "%s/output", path);
        snprintf(leader, sizeof(leader), "%d", (int)image->leader);
        snprintf(listed, sizeof(listed), "%s/pagemap-%s.img", img, leader);
        snprintf(pass_name, sizeof(pass_name), HR_CRIU_PASS, image->lock);
        if (mkdir(img, 0700) < 0) {
                say(ret, -errno, "%s: %s", img, strerror(errno));
                return;
        }
        _close_ int pass = take_pass(pass_name);
        if (pass < 0) {
                say(ret, pass, "it was held, or had room again, before that was begun");
                return;
        }
        /* "read": the job stands still for the list of its pages alone, and none is kept from being freed. */
        char *argv[] = {image->program, "pre-dump", "--tree", leader, "--images-dir", img, "--log-file",
                "dump.log", "--freeze-cgroup", image->control, "--manage-cgroups=ignore", "--track-mem",
                "--pre-dump-mode", "read", NULL};
        int status = wait_predump(begin_criu(argv, output, true), image->leader, listed, pass_name, &pass);
        if (pass >= 0) { /* it failed before it had let go of the job */
                thaw(image);
                (void)unlink(pass_name);
        }
        if (status == -ECANCELED) {
                say(ret, status, "it came to its hold level before CRIU had begun");
                return;
        }
        if (status != 0) {
                read_log(log, why, sizeof(why));
                say(ret, -EIO, "criu pre-dump ended with status %d: %s", status, why);
                return;
        }
        r = hr_image_seal(path, image->leader, true, &ret->bytes, &none);
        if (r == 0)
                r = read_stats(img, &stood_usec);
        if (r < 0) {
                say(ret, r, "it is not whole: %s", r == -ENODATA ? "CRIU left out a part" : strerror(-r));
                return;
        }
        say(ret, 0, "%s written ahead in %s, of which it stood still for %s",
                hr_units_format_bytes(size, ret->bytes), since(begin, took),
                hr_units_format_time(stood, stood_usec));
}

/* ---- the restore ---- */

static int write_script(const char *path, char *script, size_t size)
{
        char exe[512];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

        if (n < 0)
                return -errno;
        exe[n] = '\0';
        snprintf(script, size, "%s/check", path);
        (void)unlink(script);
        _close_ int fd = open(script, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700);
        if (fd < 0)
                return -errno;
        return dprintf(fd,
                       "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-restore ] || exec '%s' "
                       "'--criu=check:%s'\n",
                       exe, path) < 0
                       ? -errno
                       : 0;
}

/* What CRIU calls back before anything restored runs: 0, or it kills all of it. */
static int check_restored(const char *path)
{
        char name[320], text[200] = "";

        snprintf(name, sizeof(name), "%s/files", path);
        FILE *files = fopen(name, "re");
        int r = files ? hr_takeable_check_processes(files, text, sizeof(text)) : -errno;
        if (files)
                fclose(files);
        if (r == 0)
                return EXIT_SUCCESS;
        snprintf(name, sizeof(name), "%s/refused", path);
        _close_ int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0)
                (void)dprintf(fd, "%s", text);
        return EXIT_FAILURE;
}

static pid_t begin_child(
        const char *path, char *const *argv, const int *outputs, int output_count, int *ret_go)
{
        char output[340];
        int pair[2];

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        pid_t pid = fork();
        if (pid == 0) {
                char word;
                close(pair[1]);
                if (read(pair[0], &word, 1) != 1)
                        _exit(126); /* it was not placed */
                snprintf(output, sizeof(output), "%s/output", path);
                int null = open("/dev/null", O_RDONLY),
                    out = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
                if (null < 0 || out < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
                        dup2(out, STDERR_FILENO) < 0 || setsid() < 0)
                        _exit(126);
                if (null > STDERR_FILENO)
                        close(null);
                if (out > STDERR_FILENO)
                        close(out);
                for (int i = 0; i < output_count; i++)
                        (void)fcntl(outputs[i], F_SETFD, 0);
                umask(077);
                execv(argv[0], argv);
                _exit(127);
        }
        close(pair[0]);
        *ret_go = pair[1];
        return pid < 0 ? -errno : pid;
}

static void read_refusal(const char *path, const char *log, char *text, size_t size)
{
        char name[320];

        snprintf(name, sizeof(name), "%s/refused", path);
        _close_ int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
        if (n > 0)
                text[n] = '\0';
        else
                read_log(log, text, size);
}

static void go(
        const char *path, const char *id, uint64_t limit_bytes, FILE *files, struct hr_criu_report *ret)
{
        static char paths[HR_TAKEABLE_OUTPUTS_MAX][1024], inherited[HR_TAKEABLE_OUTPUTS_MAX][1100];
        int outputs[HR_TAKEABLE_OUTPUTS_MAX];
        struct hr_image *image = &ret->image;
        struct hr_hierarchy hierarchy;
        char img[320], log[340], script[340], refused[320], why[200];
        int pipe_fd = -1, status = 0;

        int r = hr_hierarchy_find("", &hierarchy);
        if (r == 0)
                r = write_script(path, script, sizeof(script));
        if (r < 0) {
                say(ret, r, "it could not be prepared: %s", strerror(-r));
                return;
        }
        snprintf(img, sizeof(img), "%s/img", path);
        snprintf(log, sizeof(log), "%s/restore.log", img);
        snprintf(refused, sizeof(refused), "%s/refused", path);
        (void)unlink(refused);
        int output_count = hr_takeable_open_outputs(files, outputs, paths, ret->text, sizeof(ret->text));
        if (output_count < 0) {
                ret->result = output_count;
                return;
        }
        char *argv[16 + 2 * HR_TAKEABLE_OUTPUTS_MAX] = {image->program, "restore", "--images-dir", img,
                "--log-file", "restore.log", "--restore-detached", "--manage-cgroups=ignore", "--shell-job",
                "--file-locks", "--action-script", script};
        size_t n = 12;
        for (int i = 0; i < output_count; i++) {
                snprintf(inherited[i], sizeof(inherited[i]), "fd[%d]:%s", outputs[i], paths[i]);
                argv[n++] = "--inherit-fd";
                argv[n++] = inherited[i];
        }
        pid_t pid = begin_child(path, argv, outputs, output_count, &pipe_fd);
        for (int i = 0; i < output_count; i++)
                hr_close(outputs[i]);
        _close_ int begins = pipe_fd;
        if (pid < 0) {
                say(ret, pid, "%s", strerror(-pid));
                return;
        }
        hr_place_restored(
                &hierarchy, pid, image->uid, image->cgroup, id, image->name, limit_bytes, &ret->placement);
        bool placed = ret->placement.owned && write(begins, "", 1) == 1;
        begins = hr_close(begins);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
                /* again */
        }
        if (placed && WIFEXITED(status) && WEXITSTATUS(status) == 0 && kill(image->leader, 0) == 0) {
                struct hr_pid_stat stat;
                if (hr_process_stat(hierarchy.proc, image->leader, &stat) == 0)
                        ret->leader_start_ticks = stat.start_ticks;
                ret->leader = image->leader;
                ret->result = 0;
                return;
        }
        if (!placed)
                snprintf(why, sizeof(why), "no cgroup could be made for it: %.150s", ret->placement.why);
        else
                read_refusal(path, log, why, sizeof(why));
        hr_place_remove(&hierarchy, &ret->placement);
        say(ret, -EIO, "%s; its image is kept", why);
}

static void restore(char *argument, struct hr_criu_report *ret)
{
        char *rest = argument, *path = strsep(&rest, ":"), *id = strsep(&rest, ":");
        uint64_t limit = rest ? strtoull(rest, NULL, 10) : 0;
        char name[320], bytes[HR_TEXT_SIZE_MAX], least_text[HR_TEXT_SIZE_MAX];

        int r = id ? hr_image_read_record(path, &ret->image) : -EINVAL;
        if (r < 0) {
                say(ret, r, "its image is damaged: its record can't be read");
                return;
        }
        ret->result = hr_image_check_seal(path, ret->text, sizeof(ret->text));
        if (ret->result < 0)
                return;
        if (limit == 0)
                limit = ret->image.limit_bytes;
        ret->image.limit_bytes = limit;
        uint64_t least = ret->image.used_bytes + ret->image.used_bytes / 50;
        if (limit != HR_BYTES_NONE && limit < least) {
                say(ret, -ERANGE,
                        "it used %s: with a limit of %s it would end at once; %s is the least that would do",
                        hr_units_format_bytes(bytes, ret->image.used_bytes),
                        hr_units_format_bytes((char[HR_TEXT_SIZE_MAX]){0}, limit),
                        hr_units_spell_bytes(least_text, (least + HR_MIB - 1) / HR_MIB * HR_MIB));
                return;
        }
        snprintf(name, sizeof(name), "%s/files", path);
        _fclose_ FILE *files = fopen(name, "re");
        _close_ int lock = open(ret->image.lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (!files || lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
                say(ret, -EBUSY, "it is being saved or resumed just now");
                return;
        }
        ret->result = hr_takeable_check_pids(files, ret->text, sizeof(ret->text));
        if (ret->result == 0)
                ret->result = hr_takeable_check_names(files, ret->text, sizeof(ret->text));
        if (ret->result == 0)
                go(path, id, limit, files, ret);
}

int hr_criu_main(const char *argument)
{
        static struct hr_criu_report report = {.magic = MAGIC, .result = -EINVAL};
        char *word = strdup(argument), *rest = word;
        const char *what = word ? strsep(&rest, ":") : "";

        if (rest && strcmp(what, "check") == 0)
                return check_restored(rest);
        /* What ends others by a terminal or a manager must not end this: CRIU may have seized the job. */
        (void)signal(SIGINT, SIG_IGN);
        (void)signal(SIGHUP, SIG_IGN);
        (void)signal(SIGTERM, SIG_IGN);
        (void)signal(SIGPIPE, SIG_IGN);
        if (rest && strcmp(what, "probe") == 0)
                probe(rest, &report);
        else if (rest && strcmp(what, "dump") == 0)
                dump(rest, &report);
        else if (rest && strcmp(what, "look") == 0)
                look_ahead(rest, &report);
        else if (rest && strcmp(what, "predump") == 0)
                predump(rest, &report);
        else if (rest && strcmp(what, "restore") == 0)
                restore(rest, &report);
        report.magic = MAGIC;
        (void)!write(
                STDOUT_FILENO, &report, sizeof(report)); /* nobody waits for it any more: done all the same */
        free(word);
        return report.result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
