/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/host.h"

/*
 * /proc/meminfo (filesystems/proc.rst) and /proc/vmstat through kept descriptors: one sample is a read of 1.5
 * KiB (6 us), or of 4 KiB (24 us on a 6.18 kernel). The kernel makes the text anew at each read from 0.
 *
 * Only the first read may fail, inside hr_host_open. Whatever goes wrong later, a text that can't be parsed,
 * a figure that no machine has or an error of the read, leaves the last good values in force and is counted:
 * the whole host must not be judged, or the daemon ended, by one absurd line.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MEMINFO_SIZE 4096 /* 1.5 KiB on a 6.18 kernel; 2 KiB with every option */
#define VMSTAT_SIZE 16384 /* 4 KiB there; 190 counters of at most 48 bytes */

static int read_now(int fd, struct hr_meminfo *ret)
{
        struct hr_meminfo info;
        char text[MEMINFO_SIZE];
        size_t size;
        int r = hr_sense_read_fd(fd, text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_meminfo(text, size, &info);
        if (r != 0)
                return r < 0 ? r : -EIO;
        if (info.total_bytes == 0 || !hr_sense_plausible(info.total_bytes) ||
                info.free_bytes > info.total_bytes || !hr_sense_plausible(info.swap_total_bytes))
                return -EBADMSG;
        *ret = info;
        return 0;
}

int hr_host_open(const struct hr_hierarchy *h, struct hr_host *ret)
{
        char path[sizeof(h->proc) + 16];
        struct hr_host host = HR_HOST_INIT;
        _close_ int fd = -1;
        int n = snprintf(path, sizeof(path), "%s/meminfo", h->proc), r;

        if (n < 0 || (size_t)n >= sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = read_now(fd, &host.last);
        if (r < 0)
                return r;
        host.meminfo_fd = TAKE_FD(fd);
        n = snprintf(path, sizeof(path), "%s/vmstat", h->proc);
        if (n > 0 && (size_t)n < sizeof(path))
                host.vmstat_fd = open(path, O_RDONLY | O_CLOEXEC); /* -1: it is only a saving */
        host.processor_count = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
        *ret = host;
        return 0;
}

void hr_host_close(struct hr_host *host)
{
        hr_close(host->meminfo_fd);
        hr_close(host->vmstat_fd);
        *host = (struct hr_host)HR_HOST_INIT;
}

int hr_host_read(struct hr_host *host, struct hr_meminfo *ret)
{
        if (host->meminfo_fd < 0)
                return -EBADF;
        if (read_now(host->meminfo_fd, &host->last) < 0)
                host->bad_count++;
        *ret = host->last;
        return 0;
}

int hr_host_read_allocated(const struct hr_host *host, uint64_t *ret_bytes)
{
        char text[VMSTAT_SIZE];
        uint64_t pages;
        size_t size;
        int r = host->vmstat_fd < 0 ? -ENODATA
                                    : hr_sense_read_all_fd(host->vmstat_fd, text, sizeof(text), &size);

        if (r == 0)
                r = hr_parse_vmstat(text, size, &pages);
        if (r != 0)
                return r < 0 ? r : -ENODATA;
        *ret_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
        return 0;
}
