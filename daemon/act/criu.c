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

void hr_criu_dump(struct hr_image *image, struct hr_criu_report *ret)
{
        char path[300], argument[320];

        memset(ret, 0, sizeof(*ret));
        if (image->dir[0] == '\0')
                snprintf(image->dir, sizeof(image->dir), "%s", image->index);
        snprintf(path, sizeof(path), "%s/.%s.new", image->dir, image->id);
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
        r = hr_image_remove(path);
        if (r == 0)
                r = mkdir(path, 0700) < 0 ? -errno : 0;
        if (r == 0)
                r = hr_image_write_record(path, image);
        if (r < 0) {
                say(ret, r, "%s can't be written: %s", path, strerror(-r));
                return;
        }
        snprintf(argument, sizeof(argument), "dump:%s", path);
        run(argument, image->id, ret);
        if (ret->result < 0)
                (void)hr_image_remove(path); /* what failed is told; half an image helps nobody */
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

/* The line of CRIU's log that says why: the first error, for the others follow from it. */
static void read_log(const char *path, char *text, size_t size)
{
        static const char *const empty[] = {"exited, status", "killed by signal"};
        char line[400];
        _fclose_ FILE *f = fopen(path, "re");

        snprintf(text, size, "its log says nothing");
        while (f && fgets(line, sizeof(line), f)) {
                char *error = strstr(line, "Error ("), *colon = error ? strstr(error, "): ") : NULL;
                bool says = colon != NULL;
                for (size_t i = 0; says && i < ELEMENTSOF(empty); i++)
                        says = !strstr(colon, empty[i]);
                if (!says)
                        continue;
                colon[strcspn(colon, "\n")] = '\0';
                hr_units_escape(text, MIN(size, 140U), colon + 3);
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

/* Executes CRIU with its output in a file, and waits. Its status, or -errno. */
static int run_criu(char *const *argv, const char *output, bool bounded)
{
        int status;
        pid_t pid = fork();

        if (pid < 0)
                return -errno;
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
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void probe(char *program, struct hr_criu_report *ret)
{
        char *argv[] = {program, "check", NULL}, output[] = "/tmp/headroom-criu-XXXXXX", why[160];
        int fd = mkstemp(output);

        hr_close(fd);
        int status = fd < 0 ? -errno : run_criu(argv, output, true);
        if (status == 0) {
                say(ret, 0, "criu check says good");
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

static int check_room(const struct hr_image *image, struct hr_criu_report *ret)
{
        char need[HR_TEXT_SIZE_MAX], has[HR_TEXT_SIZE_MAX], kept[HR_TEXT_SIZE_MAX];
        struct statvfs fs;

        if (statvfs(image->dir, &fs) < 0) {
                say(ret, -errno, "%s: %s", image->dir, strerror(errno));
                return -errno;
        }
        uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize;
        uint64_t bytes = image->used_bytes + image->used_bytes / ROOM_SHARE;
        if (hr_add(bytes, image->free_bytes) <= available)
                return 0;
        say(ret, -ENOSPC, "no room in %s: it takes %s, and of the %s that are free criu_free leaves %s",
                image->dir, hr_units_format_bytes(need, bytes), hr_units_format_bytes(has, available),
                hr_units_format_bytes(kept, image->free_bytes));
        return -ENOSPC;
}

static int look(const struct hr_image *image, const char *path, struct hr_criu_report *ret)
{
        static struct members m;
        uint64_t until = hr_clock_read_usec(CLOCK_MONOTONIC) + CLOSING_USEC;
        const struct timespec moment = {.tv_nsec = 50 * 1000 * 1000};
        char name[320];
        int r;

        snprintf(name, sizeof(name), "%s/files", path);
        do {
                m = (struct members){.pids = {image->leader}, .count = 1, .leader = image->leader};
                _close_ int dir = open(image->control, O_PATH | O_DIRECTORY | O_CLOEXEC);
                r = dir < 0 ? -errno : hr_cgroup_each_pid(dir, add_member, &m);
                if (r == 0 && !m.has_leader) {
                        say(ret, -EOPNOTSUPP,
                                "its first process (%d) has ended, and CRIU takes a whole tree only",
                                (int)image->leader);
                        return -EOPNOTSUPP;
                }
                int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
                FILE *files = fd < 0 ? NULL : fdopen(fd, "w");
                if (!files)
                        r = -errno;
                ret->text[0] = '\0';
                if (r == 0)
                        r = hr_takeable_look(
                                m.pids, m.count, image->uid, files, ret->text, sizeof(ret->text));
                if (files && fclose(files) != 0 && r == 0)
                        r = -errno;
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

static void dump(const char *path, struct hr_criu_report *ret)
{
        struct hr_image *image = &ret->image;
        char img[320], log[340], output[340], leader[16], why[160], size[HR_TEXT_SIZE_MAX],
                left[HR_TEXT_SIZE_MAX];
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
        if (look(image, path, ret) < 0 || check_room(image, ret) < 0)
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
                "--shell-job", "--file-locks", "--ghost-limit", "1G", NULL};
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
        r = hr_image_seal(path, image->leader, &ret->bytes);
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
        say(ret, 0, "%s in %s/%s, kept for %s", hr_units_format_bytes(size, ret->bytes), image->dir,
                image->id, left);
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
        else if (rest && strcmp(what, "restore") == 0)
                restore(rest, &report);
        report.magic = MAGIC;
        (void)!write(
                STDOUT_FILENO, &report, sizeof(report)); /* nobody waits for it any more: done all the same */
        free(word);
        return report.result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
