/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/takeable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "act/image.h"
#include "fd.h"
#include "think/units.h"

/*
 * What may be taken is listed, and all else is refused: of a kind that nobody has thought of it is not known
 * what a restore as root would do. The lines of `files`:
 *
 *   pid PID START_TICKS
 *   fd PID NUMBER DEV INODE BTIME UID PATH        NUMBER: of the descriptor; "cwd", "exe"
 *   map PID START-END DEV INODE BTIME UID PATH    as in /proc/PID/map_files
 *   out PID FLAGS DEV INODE BTIME UID PATH        what 1 or 2 is, once more, and how it is open (octal)
 *   len PID SIZE DEV INODE BTIME UID PATH         of a file of `fd`; none for those of `out`
 *   end
 *
 * A file that was there before the job was taken, and still is, has the same device, inode and time of birth:
 * an inode's number is used again, its birth is not. What others did to its contents is not looked at here,
 * but for its size, on which CRIU insists: the job itself, where it went on from its image before, may have
 * written more.
 */

#define ENDS_MAX 8192 /* pipes and sockets of a job */

struct end {
        pid_t pid;
        bool is_socket, reads, writes;
        ino_t inode, peer;
        bool known, named;
};

struct look {
        const pid_t *pids;
        size_t count;
        uid_t owner;
        FILE *files;
        struct end *ends;
        size_t ends_count;
        char *text;
        size_t text_size;
};

static int HR_PRINTF(2, 3) refuse(struct look *l, const char *format, ...)
{
        va_list ap;
        va_start(ap, format);
        vsnprintf(l->text, l->text_size, format, ap);
        va_end(ap);
        return -EOPNOTSUPP;
}

static bool ends_with(const char *text, const char *tail)
{
        size_t n = strlen(text), k = strlen(tail);
        return n >= k && strcmp(text + n - k, tail) == 0;
}

static enum hr_taken judge_device(const char *link, const struct stat *st, char *text, size_t size)
{
        unsigned major_ = major(st->st_rdev), minor_ = minor(st->st_rdev);
        char name[96];

        /* null, zero, full, random, urandom: Linux, admin-guide/devices.txt */
        if (S_ISCHR(st->st_mode) && major_ == 1 &&
                (minor_ == 3 || minor_ == 5 || (minor_ >= 7 && minor_ <= 9)))
                return HR_TAKEN_NOTHING;
        hr_units_escape(name, sizeof(name), link);
        if (S_ISCHR(st->st_mode) && (major_ == 4 || major_ == 5 || (major_ >= 136 && major_ <= 143)))
                snprintf(text, size,
                        "a terminal is open (%s): start it with --detach, or with its input and output "
                        "in files",
                        name);
        else if (strstr(link, "nvidia") || strncmp(link, "/dev/dri/", 9) == 0 ||
                 strcmp(link, "/dev/kfd") == 0)
                snprintf(text, size, "it uses a GPU (%s), whose memory CRIU can't take", name);
        else
                snprintf(text, size, "the device %s is open, whose state CRIU can't take", name);
        return HR_TAKEN_REFUSED;
}

enum hr_taken hr_takeable_judge(const char *link, const struct stat *st, char *text, size_t text_size)
{
        static const char *const anonymous[] = {"[eventfd]", "[eventpoll]", "[timerfd]", "[signalfd]"};
        char name[96];

        hr_units_escape(name, sizeof(name), link);
        if (strncmp(link, "pipe:[", 6) == 0)
                return HR_TAKEN_PIPE;
        if (strncmp(link, "socket:[", 8) == 0)
                return HR_TAKEN_SOCKET;
        if (strncmp(link, "/proc/", 6) == 0 && link[6] >= '0' && link[6] <= '9')
                return HR_TAKEN_PROCESS;
        if (strncmp(link, "anon_inode:", 11) == 0) {
                for (size_t i = 0; i < ELEMENTSOF(anonymous); i++)
                        if (strcmp(link + 11, anonymous[i]) == 0)
                                return HR_TAKEN_NOTHING;
        } else if (strncmp(link, "/memfd:", 7) == 0 && st->st_nlink == 0) {
                return HR_TAKEN_NOTHING;
        } else if (link[0] == '/' && (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))) {
                return judge_device(link, st, text, text_size);
        } else if (link[0] == '/' && S_ISDIR(st->st_mode) && st->st_nlink > 0) {
                return HR_TAKEN_FILE;
        } else if (link[0] == '/' && S_ISREG(st->st_mode)) {
                return st->st_nlink > 0 && !ends_with(link, " (deleted)") ? HR_TAKEN_FILE : HR_TAKEN_DELETED;
        }
        snprintf(text, text_size, "%s is open, which CRIU can't take", name);
        return HR_TAKEN_REFUSED;
}

/* ---- identity ---- */

struct identity {
        uint64_t device, inode, born_usec;
        unsigned uid;
};

static int identify(const char *path, int flags, struct identity *ret)
{
        struct statx x;

        if (statx(AT_FDCWD, path, flags, STATX_BASIC_STATS | STATX_BTIME, &x) < 0)
                return -errno;
        *ret = (struct identity){
                .device = makedev(x.stx_dev_major, x.stx_dev_minor),
                .inode = x.stx_ino,
                .born_usec = x.stx_mask & STATX_BTIME ? (uint64_t)x.stx_btime.tv_sec * HR_USEC_PER_SEC +
                                                                x.stx_btime.tv_nsec / 1000
                                                      : 0,
                .uid = x.stx_uid,
        };
        return 0;
}

static int note_file(struct look *l, const char *kind, pid_t pid, const char *number, const char *proc_path,
        const char *link)
{
        char path[4 * PATH_MAX];
        struct identity i;
        int r = identify(proc_path, 0, &i);

        if (r < 0)
                return r;
        fprintf(l->files, "%s %d %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %s\n", kind, (int)pid, number,
                i.device, i.inode, i.born_usec, i.uid, hr_units_escape(path, sizeof(path), link));
        return 0;
}

/* Where anybody may lay a link (/tmp), does the kernel keep root from following it? proc(5) */
static bool links_are_protected(void)
{
        char value = '0';
        _close_ int fd = open("/proc/sys/fs/protected_symlinks", O_RDONLY | O_CLOEXEC);
        return fd >= 0 && read(fd, &value, 1) == 1 && value == '1';
}

/*
 * CRIU makes it anew, as root, beside where it was: nobody else may be able to lead that elsewhere. It gives
 * it to its owner and then sets its mode, by name: in between he could put a link to any file in its place.
 */
static int check_deleted(struct look *l, pid_t pid, const char *link)
{
        char path[PATH_MAX], part[PATH_MAX], name[96];
        struct stat st;
        bool sticky_will_do = l->owner == 0 || links_are_protected();

        snprintf(path, sizeof(path), "%s", link);
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                memcpy(part, path, (size_t)(slash - path));
                part[slash - path] = '\0';
                if (lstat(part, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0 ||
                        (st.st_mode & 022 && !(st.st_mode & S_ISVTX && sticky_will_do)))
                        return refuse(l,
                                "process %d has a deleted file open (%s), in a directory that is not "
                                "root's%s",
                                (int)pid, hr_units_escape(name, sizeof(name), link),
                                st.st_mode & S_ISVTX ? " alone (sysctl fs.protected_symlinks=1 would do)"
                                                     : "");
        }
        return 0;
}

/* ---- one process ---- */

static int read_link(const char *path, char *buf, size_t size)
{
        ssize_t n = readlink(path, buf, size - 1);
        if (n < 0)
                return -errno;
        buf[n] = '\0';
        return 0;
}

static unsigned read_flags(pid_t pid, const char *number)
{
        char path[64], line[128];
        unsigned flags = 0;

        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, number);
        _fclose_ FILE *f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "flags: %o", &flags) == 1)
                        break;
        return flags;
}

static int note_end(struct look *l, pid_t pid, const char *number, const char *link)
{
        unsigned long inode = 0;

        if (l->ends_count == ENDS_MAX)
                return refuse(l, "it has more than %d pipes and sockets open", ENDS_MAX);
        (void)sscanf(strchr(link, '[') + 1, "%lu", &inode);
        unsigned mode = read_flags(pid, number) & O_ACCMODE;
        l->ends[l->ends_count++] = (struct end){.pid = pid,
                .is_socket = link[0] == 's',
                .inode = inode,
                .reads = mode == O_RDONLY || mode == O_RDWR,
                .writes = mode == O_WRONLY || mode == O_RDWR};
        return 0;
}

static void close_dir(DIR **d)
{
        if (*d)
                closedir(*d);
}

static bool is_ours(const struct look *l, pid_t pid)
{
        for (size_t i = 0; i < l->count; i++)
                if (l->pids[i] == pid)
                        return true;
        return false;
}

/* CRIU opens it when the processes are there again, but not yet their other threads. */
static int check_process(struct look *l, pid_t pid, const char *link)
{
        char name[96];
        int of = 0, thread = 0;

        if (sscanf(link, "/proc/%d/task/%d", &of, &thread) == 2 && thread != of)
                return refuse(l, "process %d has %s open, which belongs to a thread", (int)pid,
                        hr_units_escape(name, sizeof(name), link));
        if (!is_ours(l, of))
                return refuse(l, "process %d has %s open, which belongs to another program", (int)pid,
                        hr_units_escape(name, sizeof(name), link));
        return 0;
}

static int look_at_fds(struct look *l, pid_t pid)
{
        char dir[64], path[64 + NAME_MAX], link[PATH_MAX], why[200];
        struct stat st;
        int r = 0;

        snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
        HR_CLEANUP(close_dir) DIR *d = opendir(dir);
        if (!d)
                return -errno;
        for (struct dirent *e = readdir(d); e && r == 0; e = readdir(d)) {
                if (e->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
                r = read_link(path, link, sizeof(link));
                if (r < 0 || stat(path, &st) < 0)
                        return r < 0 ? r : -errno;
                switch (hr_takeable_judge(link, &st, why, sizeof(why))) {
                case HR_TAKEN_NOTHING:
                        break;
                case HR_TAKEN_FILE:
                        r = note_file(l, "fd", pid, e->d_name, path, link);
                        if (r == 0 && S_ISREG(st.st_mode)) {
                                bool out = strcmp(e->d_name, "1") == 0 || strcmp(e->d_name, "2") == 0;
                                char more[32];
                                snprintf(more, sizeof(more), out ? "%" PRIo64 : "%" PRIu64,
                                        out ? read_flags(pid, e->d_name) : (uint64_t)st.st_size);
                                r = note_file(l, out ? "out" : "len", pid, more, path, link);
                        }
                        break;
                case HR_TAKEN_DELETED:
                        r = check_deleted(l, pid, link);
                        break;
                case HR_TAKEN_PROCESS:
                        r = check_process(l, pid, link);
                        break;
                case HR_TAKEN_PIPE:
                case HR_TAKEN_SOCKET:
                        r = note_end(l, pid, e->d_name, link);
                        break;
                case HR_TAKEN_REFUSED:
                        r = refuse(l, "process %d: %s", (int)pid, why);
                        break;
                }
        }
        return r;
}

static int look_at_maps(struct look *l, pid_t pid)
{
        char path[128], range[64], *line = NULL;
        size_t size = 0;
        int r = 0;

        snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
        _fclose_ FILE *f = fopen(path, "re");
        if (!f)
                return -errno;
        while (r == 0 && getline(&line, &size, f) > 0) {
                unsigned long start, end, inode;
                int at = 0;
                line[strcspn(line, "\n")] = '\0';
                if (sscanf(line, "%lx-%lx %*s %*s %*s %lu %n", &start, &end, &inode, &at) != 3 || inode == 0)
                        continue;
                const char *name = line + at;
                if (strncmp(name, "/memfd:", 7) == 0 || strncmp(name, "/dev/zero (deleted)", 19) == 0)
                        continue;
                if (strncmp(name, "/SYSV", 5) == 0 || name[0] != '/') {
                        r = refuse(l, "process %d maps %.60s, which CRIU can't take", (int)pid, name);
                } else if (strncmp(name, "/dev/", 5) == 0 && strncmp(name, "/dev/shm/", 9) != 0) {
                        char why[200];
                        struct stat st = {.st_mode = S_IFCHR};
                        (void)stat(name, &st);
                        if (judge_device(name, &st, why, sizeof(why)) == HR_TAKEN_REFUSED)
                                r = refuse(l, "process %d: %s", (int)pid, why);
                } else if (ends_with(name, " (deleted)")) {
                        r = check_deleted(l, pid, name);
                } else {
                        snprintf(range, sizeof(range), "%lx-%lx", start, end);
                        snprintf(path, sizeof(path), "/proc/%d/map_files/%s", (int)pid, range);
                        r = note_file(l, "map", pid, range, path, name);
                }
        }
        free(line);
        return r;
}

static int look_at_links(struct look *l, pid_t pid)
{
        static const char *const spaces[] = {"mnt", "pid", "net", "ipc", "uts", "user"};
        char path[64], ours[64], link[PATH_MAX], own[PATH_MAX];

        for (size_t i = 0; i < ELEMENTSOF(spaces); i++) {
                snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, spaces[i]);
                snprintf(ours, sizeof(ours), "/proc/self/ns/%s", spaces[i]);
                int r = read_link(path, link, sizeof(link));
                if (r == 0)
                        r = read_link(ours, own, sizeof(own));
                if (r < 0)
                        return r;
                if (strcmp(link, own) != 0)
                        return refuse(l, "process %d is in a container (its %s namespace is not the host's)",
                                (int)pid, spaces[i]);
        }
        snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
        int r = read_link(path, link, sizeof(link));
        if (r == 0 && strcmp(link, "/") != 0)
                return refuse(l, "process %d has a root directory of its own", (int)pid);
        snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
        if (r == 0)
                r = read_link(path, link, sizeof(link));
        if (r == 0)
                r = ends_with(link, " (deleted)")
                            ? refuse(l, "the working directory of process %d was deleted", (int)pid)
                            : note_file(l, "fd", pid, "cwd", path, link);
        snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
        if (r == 0)
                r = read_link(path, link, sizeof(link));
        if (r == 0)
                r = ends_with(link, " (deleted)") ? check_deleted(l, pid, link)
                                                  : note_file(l, "fd", pid, "exe", path, link);
        return r;
}

/*
 * CRIU takes the tree of the first process, and nothing else is looked at here than what stands in its group:
 * a child that was moved out of it (its owner may ask systemd for that) would run on, and come back
 * unchecked.
 */
static int look_at_children(struct look *l, pid_t pid)
{
        char path[64 + NAME_MAX], task[64];
        int child;

        snprintf(task, sizeof(task), "/proc/%d/task", (int)pid);
        HR_CLEANUP(close_dir) DIR *d = opendir(task);
        if (!d)
                return -errno;
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                if (e->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "%s/%s/children", task, e->d_name);
                _fclose_ FILE *f = fopen(path, "re");
                if (!f)
                        return -errno;
                while (fscanf(f, "%d", &child) == 1)
                        if (!is_ours(l, child))
                                return refuse(l,
                                        "process %d, a child of process %d, was moved out of the job's group",
                                        child, (int)pid);
        }
        return 0;
}

static int read_start(pid_t pid, uint64_t *ret_ticks)
{
        char path[64], text[1024];

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        const char *p = strrchr(text, ')'); /* a name may hold brackets; what follows does not */
        /* proc(5): field 22; after the bracket 20 words */
        return p && sscanf(p + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                            "%" SCNu64,
                            ret_ticks) == 1
                       ? 0
                       : -EBADMSG;
}

static int look_at_status(struct look *l, pid_t pid, bool leads)
{
        char path[64], line[256];
        unsigned u[4] = {0};
        unsigned long long caps = 0;
        int parent = 0, tracer = 0;
        uint64_t start;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        _fclose_ FILE *f = fopen(path, "re");
        if (!f)
                return -errno;
        while (fgets(line, sizeof(line), f)) {
                (void)sscanf(line, "PPid: %d", &parent);
                (void)sscanf(line, "TracerPid: %d", &tracer);
                (void)sscanf(line, "Uid: %u %u %u %u", &u[0], &u[1], &u[2], &u[3]);
                (void)sscanf(line, "CapPrm: %llx", &caps);
        }
        for (size_t i = 0; i < 4; i++)
                if (u[i] != l->owner)
                        return refuse(
                                l, "process %d runs as another user (%u), not as its owner", (int)pid, u[i]);
        if (l->owner != 0 && caps != 0)
                return refuse(l, "process %d has capabilities that its owner has not", (int)pid);
        if (tracer != 0)
                return refuse(l, "process %d is traced by process %d (a debugger?)", (int)pid, tracer);
        if (!leads && !is_ours(l, parent))
                return refuse(l, "process %d has left the tree of the job's first process", (int)pid);
        int r = read_start(pid, &start);
        if (r == 0)
                fprintf(l->files, "pid %d %" PRIu64 "\n", (int)pid, start);
        return r;
}

/* ---- pipes and sockets ---- */

static void learn_peer(struct look *l, const struct nlmsghdr *h)
{
        const struct unix_diag_msg *m = NLMSG_DATA(h);
        const struct rtattr *a = (const struct rtattr *)(m + 1);
        size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));

        for (size_t i = 0; i < l->ends_count; i++) {
                struct end *e = &l->ends[i];
                if (!e->is_socket || e->inode != m->udiag_ino)
                        continue;
                e->known = true;
                const struct rtattr *b = a;
                for (size_t n = left; RTA_OK(b, n); b = RTA_NEXT(b, n))
                        if (b->rta_type == UNIX_DIAG_PEER)
                                e->peer = *(const uint32_t *)RTA_DATA(b);
                        else if (b->rta_type == UNIX_DIAG_NAME)
                                e->named = true;
        }
}

static int learn_peers(struct look *l)
{
        struct {
                struct nlmsghdr head;
                struct unix_diag_req body;
        } q = {
                .head = {.nlmsg_len = sizeof(q),
                        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                .body = {.sdiag_family = AF_UNIX,
                        .udiag_states = UINT32_MAX,
                        .udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_NAME},
        };
        _Alignas(struct nlmsghdr) static char buf[32768];
        _close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

        if (fd < 0 || send(fd, &q, sizeof(q), 0) < 0)
                return -errno;
        for (;;) {
                ssize_t n = recv(fd, buf, sizeof(buf), 0);
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                size_t left = (size_t)n;
                for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left);
                        h = NLMSG_NEXT(h, left)) {
                        if (h->nlmsg_type == NLMSG_DONE)
                                return 0;
                        if (h->nlmsg_type == NLMSG_ERROR)
                                return -EIO;
                        learn_peer(l, h);
                }
        }
}

static bool has_end(const struct look *l, bool is_socket, ino_t inode, bool reads, bool writes)
{
        for (size_t i = 0; i < l->ends_count; i++) {
                const struct end *e = &l->ends[i];
                if (e->is_socket == is_socket && e->inode == inode && (!reads || e->reads) &&
                        (!writes || e->writes))
                        return true;
        }
        return false;
}

static int look_at_ends(struct look *l)
{
        bool sockets = false;

        for (size_t i = 0; i < l->ends_count; i++)
                sockets |= l->ends[i].is_socket;
        int r = sockets ? learn_peers(l) : 0;
        for (size_t i = 0; i < l->ends_count && r >= 0; i++) {
                const struct end *e = &l->ends[i];
                if (!e->is_socket) {
                        if (!has_end(l, false, e->inode, true, false) ||
                                !has_end(l, false, e->inode, false, true))
                                return refuse(l,
                                        "process %d has a pipe to a program outside of the job: send its "
                                        "output to a file, or start it with --detach",
                                        (int)e->pid);
                } else if (!e->known) {
                        return refuse(l, "process %d has a network connection open", (int)e->pid);
                } else if (e->named) {
                        return refuse(l, "process %d serves a socket", (int)e->pid);
                } else if (e->peer != 0 && !has_end(l, true, e->peer, false, false)) {
                        (void)refuse(l, "process %d is connected to another program", (int)e->pid);
                        r = -EAGAIN;
                }
        }
        return r;
}

int hr_takeable_look(const pid_t *pids, size_t count, uid_t owner, FILE *files, char *text, size_t text_size)
{
        _free_ struct end *ends = calloc(ENDS_MAX, sizeof(*ends));
        struct look l = {.pids = pids,
                .count = count,
                .owner = owner,
                .files = files,
                .ends = ends,
                .text = text,
                .text_size = text_size};
        int r = 0;

        if (!ends)
                return -ENOMEM;
        for (size_t i = 0; i < count && r == 0; i++) {
                r = look_at_status(&l, pids[i], i == 0);
                if (r == 0)
                        r = look_at_children(&l, pids[i]);
                if (r == 0)
                        r = look_at_links(&l, pids[i]);
                if (r == 0)
                        r = look_at_fds(&l, pids[i]);
                if (r == 0)
                        r = look_at_maps(&l, pids[i]);
        }
        if (r == 0)
                r = look_at_ends(&l);
        fprintf(files, "end\n");
        if (r == 0 && fflush(files) != 0)
                r = -errno;
        return r;
}

/* ---- held against it ---- */

struct line {
        char kind[8], number[64], path[PATH_MAX], name[120];
        int pid;
        struct identity identity;
        uint64_t start_ticks;
};

/* 1: a line; 0: the end; -EBADMSG. */
static int next_line(FILE *files, struct line *ret)
{
        _free_ char *text = NULL;
        size_t size = 0;
        int at = 0;

        if (getline(&text, &size, files) < 0)
                return -EBADMSG;
        text[strcspn(text, "\n")] = '\0';
        if (strcmp(text, "end") == 0)
                return 0;
        memset(ret, 0, sizeof(*ret));
        if (sscanf(text, "pid %d %" SCNu64, &ret->pid, &ret->start_ticks) == 2) {
                snprintf(ret->kind, sizeof(ret->kind), "pid");
                return 1;
        }
        if (sscanf(text, "%7s %d %63s %" SCNu64 " %" SCNu64 " %" SCNu64 " %u %n", ret->kind, &ret->pid,
                    ret->number, &ret->identity.device, &ret->identity.inode, &ret->identity.born_usec,
                    &ret->identity.uid, &at) != 7 ||
                at == 0 || hr_units_unescape(ret->path, sizeof(ret->path), text + at) < 0)
                return -EBADMSG;
        snprintf(ret->name, sizeof(ret->name), "%.110s", text + at);
        return 1;
}

static bool is_same(const struct identity *a, const struct identity *b)
{
        return a->device == b->device && a->inode == b->inode && a->born_usec == b->born_usec &&
               a->uid == b->uid;
}

/*
 * Neighbours may have become one mapping, or one may have been split: whatever lies where the file was mapped
 * must be that file.
 */
static int identify_mapping(const struct line *line, struct identity *ret)
{
        char dir[64], path[128];
        unsigned long start, end, from, to;
        bool found = false;

        snprintf(dir, sizeof(dir), "/proc/%d/map_files", line->pid);
        HR_CLEANUP(close_dir) DIR *d = opendir(dir);
        if (!d || sscanf(line->number, "%lx-%lx", &start, &end) != 2)
                return d ? -EBADMSG : -errno;
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                if (sscanf(e->d_name, "%lx-%lx", &from, &to) != 2 || from >= end || to <= start)
                        continue;
                snprintf(path, sizeof(path), "%s/%.40s", dir, e->d_name);
                int r = identify(path, 0, ret);
                if (r < 0)
                        return r;
                if (!is_same(ret, &line->identity))
                        return 0;
                found = true;
        }
        return found ? 0 : -ENOENT;
}

/* Is it one of those that a restore opens anew, whatever its size? The place in the file is kept. */
static bool is_output(FILE *files, const char *path)
{
        long at = ftell(files);
        struct line line;
        bool found = false;

        rewind(files);
        while (!found && next_line(files, &line) > 0)
                found = strcmp(line.kind, "out") == 0 && strcmp(line.path, path) == 0;
        (void)fseek(files, at, SEEK_SET);
        return found;
}

static int check_length(FILE *files, const struct line *line, char *text, size_t text_size)
{
        uint64_t bytes = strtoull(line->number, NULL, 10);
        struct stat st;

        /* One that is gone or another is told by its own line. */
        if (lstat(line->path, &st) < 0 || (uint64_t)st.st_size == bytes || is_output(files, line->path))
                return 0;
        snprintf(text, text_size,
                "a file was changed since, and it had %" PRIu64 " bytes, not %" PRIu64
                "; if it was only written on: truncate -s %" PRIu64 " %s",
                bytes, (uint64_t)st.st_size, bytes, line->name);
        return -ESTALE;
}

static int check(FILE *files, bool processes, char *text, size_t text_size)
{
        char path[PATH_MAX];
        struct identity now;
        struct line line;
        int r;

        rewind(files);
        while ((r = next_line(files, &line)) > 0) {
                if (strcmp(line.kind, "pid") == 0 || strcmp(line.kind, "out") == 0)
                        continue;
                if (strcmp(line.kind, "len") == 0) {
                        r = processes ? 0 : check_length(files, &line, text, text_size);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (!processes)
                        snprintf(path, sizeof(path), "%s", line.path);
                else if (line.number[0] >= '0' && line.number[0] <= '9')
                        snprintf(path, sizeof(path), "/proc/%d/fd/%s", line.pid, line.number);
                else
                        snprintf(path, sizeof(path), "/proc/%d/%s", line.pid, line.number);
                if (processes && strcmp(line.kind, "map") == 0)
                        r = identify_mapping(&line, &now);
                else
                        r = identify(path, processes ? 0 : AT_SYMLINK_NOFOLLOW, &now);
                if (r < 0 || !is_same(&now, &line.identity)) {
                        snprintf(text, text_size, "%s is not the file that the job had open%s%s", line.name,
                                r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
                        return -ESTALE;
                }
        }
        if (r < 0)
                snprintf(text, text_size, "its image is damaged: its list of files is cut off");
        return r;
}

int hr_takeable_check_names(FILE *files, char *text, size_t text_size)
{
        return check(files, false, text, text_size);
}

int hr_takeable_check_processes(FILE *files, char *text, size_t text_size)
{
        return check(files, true, text, text_size);
}

int hr_takeable_open_outputs(FILE *files, int fds[HR_TAKEABLE_OUTPUTS_MAX],
        char paths[HR_TAKEABLE_OUTPUTS_MAX][1024], char *text, size_t text_size)
{
        char path[64];
        struct identity now;
        struct line line;
        int r, count = 0;

        rewind(files);
        while ((r = next_line(files, &line)) > 0) {
                bool known = strcmp(line.kind, "out") != 0 || count == HR_TAKEABLE_OUTPUTS_MAX ||
                             strlen(line.path) > 1024;
                unsigned flags = (unsigned)strtoul(line.number, NULL, 8);
                for (int i = 0; i < count && !known; i++)
                        known = strcmp(paths[i], line.path + 1) == 0;
                if (known || (flags & O_ACCMODE) == O_RDONLY)
                        continue;
                /* Known before it is opened: of what another has put there, a device does something on open.
                 */
                _close_ int place = open(line.path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
                r = place < 0 ? -errno : identify(path, 0, &now);
                _close_ int fd = -1;
                if (r >= 0 && is_same(&now, &line.identity))
                        fd = open(path,
                                (int)(flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
                if (fd < 0 || lseek(fd, 0, SEEK_END) < 0 || fcntl(fd, F_SETFL, (int)(flags & O_APPEND)) < 0) {
                        snprintf(text, text_size, "%s is not the file that the job had open", line.name);
                        r = -ESTALE;
                        break;
                }
                strcpy(paths[count], line.path + 1);
                fds[count++] = TAKE_FD(fd);
        }
        for (int i = 0; i < count && r < 0; i++)
                hr_close(fds[i]);
        return r < 0 ? r : count;
}

int hr_takeable_check_pids(FILE *files, char *text, size_t text_size)
{
        struct line line;
        uint64_t start;
        int r;

        rewind(files);
        while ((r = next_line(files, &line)) > 0) {
                if (strcmp(line.kind, "pid") != 0 || read_start(line.pid, &start) == -ENOENT)
                        continue;
                if (start == line.start_ticks)
                        snprintf(text, text_size, "it still lives (process %d): end it first", line.pid);
                else
                        snprintf(text, text_size,
                                "its process number %d is in use: by the job itself, if it goes on already, "
                                "or by "
                                "another; try again when that has ended",
                                line.pid);
                return -EEXIST;
        }
        if (r < 0)
                snprintf(text, text_size, "its image is damaged: its list of files is cut off");
        return r;
}
