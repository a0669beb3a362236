/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "act/criu.h"
#include "act/takeable.h"
#include "test.h"

/* CRIU's images: the record, what counts as whole, what may be taken, whose a directory must be. */

static struct hr_image an_image(void)
{
        struct hr_image i = {.id = "j7",
                .name = "grow",
                .policy = "save",
                .checkpoint = "criu",
                .user = "a\nb=c",
                .uid = 1000,
                .gid = 1000,
                .leader = 345,
                .retried = 2,
                .used_bytes = 5,
                .limit_bytes = HR_BYTES_NONE,
                .free_bytes = 0,
                .keep_usec = HR_USEC_NEVER,
                .time_usec = 7,
                .cgroup = "/a b",
                .control = "/sys/x",
                .program = "/usr/sbin/criu",
                .dir = "/srv/i",
                .index = "/var/i",
                .lock = "/run/l"};
        return i;
}

static void record(void **state HR_UNUSED)
{
        char text[HR_IMAGE_TEXT_MAX];
        struct hr_image image = an_image(), back;

        assert_int_equal(hr_image_format(&image, text, sizeof(text)), 0);
        assert_int_equal(hr_image_parse(text, strlen(text), &back), 0);
        assert_memory_equal(&image, &back, sizeof(image));
        for (size_t n = 0; n < strlen(text); n++) /* cut off anywhere */
                assert_int_equal(hr_image_parse(text, n, &back), -EBADMSG);
        assert_int_equal(hr_image_format(&image, text, 100), -ENOSPC);
}

static void bad_records(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *from, *to;
        } table[] = {
                {"another version", "headroom-image 1", "headroom-image 2"},
                {"repeated", "uid=1000\n", "uid=1000\nuid=0\n"},
                {"missing", "uid=1000\n", ""},
                {"unknown", "uid=1000\n", "uid=1000\nroot=1\n"},
                {"negative", "uid=1000\n", "uid=-1\n"},
                {"too large", "uid=1000\n", "uid=4294967296\n"},
                {"no number", "uid=1000\n", "uid=\n"},
                {"no id", "id=j7\n", "id=../x\n"},
                {"init", "leader=345\n", "leader=1\n"},
                {"trailing", "end\n", "end\nmore=1\n"},
        };
        char text[HR_IMAGE_TEXT_MAX], changed[HR_IMAGE_TEXT_MAX];
        struct hr_image image = an_image(), back;

        assert_int_equal(hr_image_format(&image, text, sizeof(text)), 0);
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const char *at = strstr(text, table[i].from);
                EXPECT_TRUE(table[i].name, at != NULL);
                snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, table[i].to,
                        at + strlen(table[i].from));
                EXPECT_INT(table[i].name, hr_image_parse(changed, strlen(changed), &back), -EBADMSG);
        }
}

static void put(const char *dir, const char *name, const char *text)
{
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void seal(void **state HR_UNUSED)
{
        static const char *const files[] = {"inventory.img", "pstree.img", "core-345.img", "mm-345.img",
                "pagemap-345.img", "pages-1.img"};
        char dir[] = "/tmp/headroom-image-XXXXXX", img[64], path[600], text[200];
        uint64_t bytes = 0, before = 1;

        assert_non_null(mkdtemp(dir));
        snprintf(img, sizeof(img), "%s/img", dir);
        assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), -ENOENT);
        assert_int_equal(mkdir(img, 0700), 0);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) { /* each part is needed */
                assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), -ENODATA);
                assert_int_equal(hr_image_check_seal(dir, text, sizeof(text)), -ENODATA);
                put(img, files[i], "");
                assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), -ENODATA);
                put(img, files[i], "12345");
        }
        assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), 0);
        assert_int_equal(bytes, 30);
        assert_int_equal(before, 0);
        assert_int_equal(hr_image_check_seal(dir, text, sizeof(text)), 0);
        put(img, "pages-1.img", "1234"); /* cut off */
        assert_int_equal(hr_image_check_seal(dir, text, sizeof(text)), -ENODATA);
        assert_non_null(strstr(text, "pages-1.img"));
        put(img, "pages-1.img", "12345");
        snprintf(path, sizeof(path), "%s/manifest", dir);
        assert_int_equal(truncate(path, 20), 0); /* the list itself */
        assert_int_equal(hr_image_check_seal(dir, text, sizeof(text)), -ENODATA);
        assert_int_equal(hr_image_remove(dir), 0);
        assert_int_equal(access(dir, F_OK), -1);
}

/* What was written ahead has fewer parts, and is a part of what comes after it. */
static void seal_predump(void **state HR_UNUSED)
{
        static const char *const ahead[] = {"inventory.img", "pagemap-345.img", "pages-1.img"};
        static const char *const whole[] = {"inventory.img", "pstree.img", "core-345.img", "mm-345.img",
                "pagemap-345.img", "pages-1.img"};
        char dir[] = "/tmp/headroom-image-XXXXXX", img[64], pre[64], path[600], text[200];
        uint64_t bytes = 0, before = 1;

        assert_non_null(mkdtemp(dir));
        snprintf(img, sizeof(img), "%s/img", dir);
        snprintf(pre, sizeof(pre), "%s/pre", dir);
        assert_int_equal(mkdir(img, 0700), 0);
        for (size_t i = 0; i < ELEMENTSOF(ahead); i++) {
                assert_int_equal(hr_image_seal(dir, 345, true, &bytes, &before), -ENODATA);
                put(img, ahead[i], "12345");
        }
        assert_int_equal(hr_image_seal(dir, 345, true, &bytes, &before), 0);
        assert_true(bytes == 15 && before == 0);
        assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), -ENODATA);
        assert_int_equal(rename(img, pre), 0);

        assert_int_equal(mkdir(img, 0700), 0);
        for (size_t i = 0; i < ELEMENTSOF(whole); i++)
                put(img, whole[i], "1");
        assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), -ENODATA); /* it leads nowhere */
        snprintf(path, sizeof(path), "%s/parent", img);
        assert_int_equal(symlink(HR_IMAGE_PARENT, path), 0);
        assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), 0);
        assert_true(bytes == 6 && before == 15);
        assert_int_equal(hr_image_check_seal(dir, text, sizeof(text)), 0);
        put(pre, "pages-1.img", "1234");
        assert_int_equal(hr_image_check_seal(dir, text, sizeof(text)), -ENODATA);
        assert_non_null(strstr(text, "pre/pages-1.img"));
        assert_int_equal(hr_image_remove(pre), 0);
        assert_int_equal(hr_image_check_seal(dir, text, sizeof(text)), -ENODATA);
        assert_int_equal(hr_image_seal(dir, 345, false, &bytes, &before), -ENODATA);
        assert_int_equal(hr_image_remove(dir), 0);
}

static void stats(void **state HR_UNUSED)
{
        /* CRIU 3.17.1's stats-dump of a pre-dump: 24185 us, and 765665 us after that. */
        static const unsigned char good[] = {0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 0x2b, 0, 0, 0,
                0x0a, 0x0c, 0x08, 0xf9, 0xbc, 0x01, 0x10, 0xe1, 0xdd, 0x2e, 0x18, 0xde, 0x8c, 0x1c};
        uint64_t usec = 1;

        assert_int_equal(hr_criu_parse_stats(good, sizeof(good), &usec), 0);
        assert_int_equal(usec, 24185 + 765665);
        for (size_t n = 0; n < sizeof(good); n++)
                assert_int_equal(hr_criu_parse_stats(good, n, &usec), -EBADMSG);
        unsigned char other[sizeof(good)];
        memcpy(other, good, sizeof(good));
        other[14] = 0x18; /* the first number is missing */
        assert_int_equal(hr_criu_parse_stats(other, sizeof(other), &usec), -EBADMSG);
        other[14] = 0x0a; /* no number */
        assert_int_equal(hr_criu_parse_stats(other, sizeof(other), &usec), -EBADMSG);
        memset(other + 12, 0xff, sizeof(other) - 12); /* without an end */
        assert_int_equal(hr_criu_parse_stats(other, sizeof(other), &usec), -EBADMSG);
}

static void publish_and_sweep(void **state HR_UNUSED)
{
        char top[] = "/tmp/headroom-image-XXXXXX", path[256], found[256];
        struct hr_image image = an_image();

        assert_non_null(mkdtemp(top));
        snprintf(image.dir, sizeof(image.dir), "%s/dir", top);
        snprintf(image.index, sizeof(image.index), "%s/index", top);
        assert_int_equal(hr_image_make_directory(image.dir), 0);
        assert_int_equal(hr_image_make_directory(image.index), 0);
        image.keep_usec = 100;
        for (int i = 0; i < 2; i++) { /* the second takes the place of the first */
                snprintf(path, sizeof(path), "%s/.j7.new", image.dir);
                assert_int_equal(mkdir(path, 0700), 0);
                assert_int_equal(hr_image_write_record(path, &image), 0);
                assert_int_equal(hr_image_find(image.index, "j7", found, sizeof(found)), i ? 0 : -ENOENT);
                assert_int_equal(hr_image_publish(&image, path), 0);
        }
        assert_int_equal(hr_image_find(image.index, "j7", found, sizeof(found)), 0);
        assert_int_equal(hr_image_find(image.index, "../index", found, sizeof(found)), -EINVAL);
        hr_image_sweep(image.index, 107); /* not yet */
        assert_int_equal(access(found, F_OK), 0);
        snprintf(image.control, sizeof(image.control), "%s", image.dir); /* its cgroup: it lives */
        snprintf(path, sizeof(path), "%s/.j9.pre", image.dir);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(hr_image_write_record(path, &image), 0);
        hr_image_sweep(image.dir, 107);
        assert_int_equal(access(path, F_OK), 0);
        snprintf(image.control, sizeof(image.control), "%s/gone", image.dir);
        assert_int_equal(hr_image_write_record(path, &image), 0);
        hr_image_sweep(image.dir, 107);
        assert_int_equal(access(path, F_OK), -1);
        snprintf(path, sizeof(path), "%s/.j8.new", image.dir); /* cut short */
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(hr_image_write_record(path, &image), 0);
        hr_image_sweep(image.index, 108);
        hr_image_sweep(image.dir, 108);
        assert_int_equal(access(found, F_OK), -1);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(hr_image_find(image.index, "j7", found, sizeof(found)), -ENOENT);
        assert_int_equal(hr_image_remove(top), 0);
}

static void directories(void **state HR_UNUSED)
{
        char top[] = "/tmp/headroom-image-XXXXXX", path[256], text[200];

        if (geteuid() != 0)
                skip(); /* whose directories they are is what is looked at */
        assert_non_null(mkdtemp(top));
        assert_int_equal(hr_image_check_directory(top, text, sizeof(text)), 0);
        snprintf(path, sizeof(path), "%s/of-another", top);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chown(path, 1000, 1000), 0);
        assert_int_equal(hr_image_check_directory(path, text, sizeof(text)), -EPERM);
        snprintf(path, sizeof(path), "%s/of-another/images", top);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(hr_image_check_directory(path, text, sizeof(text)), -EPERM);
        snprintf(path, sizeof(path), "%s/open", top);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chmod(path, 01777), 0);
        assert_int_equal(hr_image_check_directory(path, text, sizeof(text)), -EPERM);
        snprintf(path, sizeof(path), "%s/link", top);
        assert_int_equal(symlink("/tmp", path), 0);
        assert_int_equal(hr_image_check_directory(path, text, sizeof(text)), -EPERM);
        assert_int_equal(hr_image_check_directory("relative", text, sizeof(text)), -EINVAL);
        assert_int_equal(hr_image_remove(top), 0);
        assert_int_equal(access("/tmp", F_OK), 0); /* the link was not followed */
}

static void judges(void **state HR_UNUSED)
{
        static const struct {
                const char *name, *link;
                mode_t mode;
                unsigned links, major, minor;
                enum hr_taken taken;
                const char *says;
        } table[] = {
                {"a file", "/home/a/x", S_IFREG, 1, 0, 0, HR_TAKEN_FILE, NULL},
                {"a deleted file", "/tmp/x (deleted)", S_IFREG, 0, 0, 0, HR_TAKEN_DELETED, NULL},
                {"one with another name left", "/tmp/x (deleted)", S_IFREG, 1, 0, 0, HR_TAKEN_DELETED, NULL},
                {"a memory file", "/memfd:x (deleted)", S_IFREG, 0, 0, 0, HR_TAKEN_NOTHING, NULL},
                {"called like one", "/memfd:x", S_IFREG, 1, 0, 0, HR_TAKEN_FILE, NULL},
                {"of a process", "/proc/12/stat", S_IFREG, 1, 0, 0, HR_TAKEN_PROCESS, NULL},
                {"of the kernel", "/proc/meminfo", S_IFREG, 1, 0, 0, HR_TAKEN_FILE, NULL},
                {"a directory", "/home/a", S_IFDIR, 2, 0, 0, HR_TAKEN_FILE, NULL},
                {"null", "/dev/null", S_IFCHR, 1, 1, 3, HR_TAKEN_NOTHING, NULL},
                {"the memory of the machine", "/dev/mem", S_IFCHR, 1, 1, 1, HR_TAKEN_REFUSED, "device"},
                {"a terminal", "/dev/pts/0", S_IFCHR, 1, 136, 0, HR_TAKEN_REFUSED, "--detach"},
                {"a GPU", "/dev/nvidia0", S_IFCHR, 1, 195, 0, HR_TAKEN_REFUSED, "GPU"},
                {"another", "/dev/dri/renderD128", S_IFCHR, 1, 226, 128, HR_TAKEN_REFUSED, "GPU"},
                {"a disk", "/dev/sda", S_IFBLK, 1, 8, 0, HR_TAKEN_REFUSED, "device"},
                {"a named pipe", "/tmp/fifo", S_IFIFO, 1, 0, 0, HR_TAKEN_REFUSED, "can't take"},
                {"a pipe", "pipe:[5]", S_IFIFO, 1, 0, 0, HR_TAKEN_PIPE, NULL},
                {"a socket", "socket:[5]", S_IFSOCK, 1, 0, 0, HR_TAKEN_SOCKET, NULL},
                {"poll", "anon_inode:[eventpoll]", 0, 1, 0, 0, HR_TAKEN_NOTHING, NULL},
                {"io_uring", "anon_inode:[io_uring]", 0, 1, 0, 0, HR_TAKEN_REFUSED, "io_uring"},
                {"a namespace", "mnt:[4026531840]", S_IFREG, 1, 0, 0, HR_TAKEN_REFUSED, "mnt"},
        };
        char text[200];

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                struct stat st = {.st_mode = table[i].mode,
                        .st_nlink = table[i].links,
                        .st_rdev = makedev(table[i].major, table[i].minor)};
                text[0] = '\0';
                EXPECT_INT(table[i].name, hr_takeable_judge(table[i].link, &st, text, sizeof(text)),
                        table[i].taken);
                if (table[i].says)
                        EXPECT_TRUE(table[i].name, strstr(text, table[i].says) != NULL);
        }
}

static void looks(void **state HR_UNUSED)
{
        char dir[] = "/tmp/headroom-image-XXXXXX", path[64], aside[64], text[200] = "";
        pid_t self = getpid();
        int ends[2];

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/data", dir);
        snprintf(aside, sizeof(aside), "%s/aside", dir);
        put(dir, "data", "x");
        int data = open(path, O_RDONLY | O_CLOEXEC);
        FILE *list = tmpfile();
        assert_true(data >= 0 && list);
        int r = hr_takeable_look(&self, 1, getuid() + 1, list, text, sizeof(text));
        assert_int_equal(r, -EOPNOTSUPP);
        assert_non_null(strstr(text, "another user"));

        /* CRIU would take a child along that nobody has looked at. */
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                pause();
                _exit(0);
        }
        r = hr_takeable_look(&self, 1, getuid(), list, text, sizeof(text));
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        assert_int_equal(r, -EOPNOTSUPP);
        assert_non_null(strstr(text, "was moved out of the job's group"));

        /* A list by hand: what a look writes of a file. */
        assert_int_equal(ftruncate(fileno(list), 0), 0);
        rewind(list);
        struct statx x;
        assert_int_equal(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &x), 0);
        fprintf(list, "fd %d %d %llu %llu %llu %u %s\nend\n", (int)self, data,
                (unsigned long long)makedev(x.stx_dev_major, x.stx_dev_minor), (unsigned long long)x.stx_ino,
                (unsigned long long)x.stx_btime.tv_sec * 1000000 + x.stx_btime.tv_nsec / 1000, x.stx_uid,
                path);
        fflush(list);
        assert_int_equal(hr_takeable_check_names(list, text, sizeof(text)), 0);
        assert_int_equal(hr_takeable_check_processes(list, text, sizeof(text)), 0);
        static const struct {
                const char *name, *lines;
                int result;
        } lengths[] = {
                {"as long as it was", "len 5 1 0 0 0 0 %1$s\n", 0},
                {"written on", "len 5 0 0 0 0 0 %1$s\n", -ESTALE},
                {"cut off", "len 5 9 0 0 0 0 %1$s\n", -ESTALE},
                {"gone, which is told elsewhere", "len 5 9 0 0 0 0 %1$s.gone\n", 0},
                {"an output of another process", "len 5 9 0 0 0 0 %1$s\nout 6 1 %2$s %1$s\n", 0},
        };
        char identity[80];
        snprintf(identity, sizeof(identity), "%llu %llu %llu %u",
                (unsigned long long)makedev(x.stx_dev_major, x.stx_dev_minor), (unsigned long long)x.stx_ino,
                (unsigned long long)x.stx_btime.tv_sec * 1000000 + x.stx_btime.tv_nsec / 1000, x.stx_uid);
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                FILE *f = tmpfile();
                text[0] = '\0';
                fprintf(f, lengths[i].lines, path, identity);
                fputs("end\n", f);
                fflush(f);
                EXPECT_INT(
                        lengths[i].name, hr_takeable_check_names(f, text, sizeof(text)), lengths[i].result);
                if (lengths[i].result < 0)
                        EXPECT_TRUE(lengths[i].name, strstr(text, ": truncate -s ") && strstr(text, path));
                EXPECT_INT(lengths[i].name, hr_takeable_check_processes(f, text, sizeof(text)), 0);
                fclose(f);
        }
        assert_int_equal(rename(path, aside), 0);
        assert_int_equal(hr_takeable_check_names(list, text, sizeof(text)), -ESTALE);
        assert_int_equal(symlink(aside, path), 0); /* a link, even to the file itself */
        assert_int_equal(hr_takeable_check_names(list, text, sizeof(text)), -ESTALE);
        assert_int_equal(unlink(path), 0);
        put(dir, "data", "x"); /* another file of the same name */
        assert_int_equal(hr_takeable_check_names(list, text, sizeof(text)), -ESTALE);
        int other = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(dup2(other, data) == data);
        assert_int_equal(hr_takeable_check_processes(list, text, sizeof(text)), -ESTALE);
        assert_int_equal(ftruncate(fileno(list), 10), 0); /* cut off */
        assert_true(hr_takeable_check_names(list, text, sizeof(text)) < 0);

        assert_int_equal(ftruncate(fileno(list), 0), 0);
        rewind(list);
        fprintf(list, "pid %d 1\nend\n", (int)self);
        fflush(list);
        assert_int_equal(hr_takeable_check_pids(list, text, sizeof(text)), -EEXIST);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        close(ends[0]);
        close(ends[1]);
        close(other);
        close(data);
        fclose(list);
        assert_int_equal(hr_image_remove(dir), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(record),
                cmocka_unit_test(bad_records),
                cmocka_unit_test(seal),
                cmocka_unit_test(seal_predump),
                cmocka_unit_test(stats),
                cmocka_unit_test(publish_and_sweep),
                cmocka_unit_test(directories),
                cmocka_unit_test(judges),
                cmocka_unit_test(looks),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
