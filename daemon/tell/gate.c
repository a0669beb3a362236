/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/gate.h"

#include <errno.h>
#include <string.h>

/*
 * Two states, and it is sd-bus that says which: lines while the peer authenticates, messages after that.
 * Since never more than one line is let through at a time, gate and sd-bus can't disagree about where the
 * first message begins; a peer that could shift that border would get a huge message past. A header is 16
 * bytes (D-Bus specification, "Message Format"): byte order, type, flags, version, length of the body,
 * serial, length of the header fields; these are filled up to a multiple of 8.
 */

static uint32_t number(const uint8_t *p, bool little)
{
        return little ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24
                      : (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

static int pass_line(struct hr_gate *g, const uint8_t *data, size_t size)
{
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) + 1 : size;

        if (n > HR_GATE_AUTH_MAX - g->auth_bytes)
                return -EMSGSIZE;
        g->auth_bytes += (uint32_t)n;
        return (int)n;
}

static int pass_header(struct hr_gate *g, const uint8_t *data, size_t size)
{
        size_t n = MIN(size, sizeof(g->header) - g->header_count);
        uint64_t rest;
        bool little;

        memcpy(g->header + g->header_count, data, n);
        g->header_count += (uint8_t)n;
        if (g->header_count < sizeof(g->header))
                return (int)n;

        little = g->header[0] == 'l';
        if (!little && g->header[0] != 'B')
                return -EBADMSG;
        rest = (uint64_t)number(g->header + 4, little) +
               (((uint64_t)number(g->header + 12, little) + 7) & ~7ULL);
        if (rest > HR_GATE_MESSAGE_MAX)
                return -EMSGSIZE;
        if (rest == 0)
                return -EBADMSG; /* a message has at least one header field */
        g->header_count = 0;
        g->left_bytes = (uint32_t)rest;
        return (int)n;
}

int hr_gate_pass(struct hr_gate *g, bool authenticated, const uint8_t *data, size_t size, bool *ret_whole)
{
        int header_bytes = 0;
        size_t n;

        *ret_whole = false;
        if (!authenticated)
                return pass_line(g, data, size);

        if (g->left_bytes == 0) {
                header_bytes = pass_header(g, data, size);
                if (header_bytes < 0)
                        return header_bytes;
        }
        n = MIN(size - (size_t)header_bytes, g->left_bytes);
        if (g->left_bytes > 0) {
                g->left_bytes -= (uint32_t)n;
                *ret_whole = g->left_bytes == 0;
        }
        return header_bytes + (int)n;
}
