/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a peer sends passes this gate before sd-bus sees it. sd-bus makes room for a message as soon as it has
 * its header, up to 128 MiB, and keeps it until the last byte has come; nothing in its interface bounds that.
 * Pure: counts bytes, keeps none but a header's.
 */

#include "think/macros.h"

#define HR_GATE_MESSAGE_MAX (64U * 1024U) /* the longest request has one command line; chosen, not tuned */
#define HR_GATE_AUTH_MAX 1024U /* all lines of the authentication; sd-bus and GDBus send below 100 */

struct hr_gate {
        uint32_t auth_bytes;  /* passed while authenticating */
        uint32_t left_bytes;  /* of the message that is passing */
        uint8_t header_count; /* bytes of header[] that are filled, while left_bytes is 0 */
        uint8_t header[16];
};

/*
 * How many of the `size` bytes (> 0) may pass now: up to the end of a line while the peer authenticates, up
 * to the end of a message after that, so that the caller can look at sd-bus's state between two of them.
 * -EMSGSIZE: too much; -EBADMSG: no D-Bus message. Then the peer must be closed. *ret_whole: a message is
 * complete.
 */
int hr_gate_pass(struct hr_gate *g, bool authenticated, const uint8_t *data, size_t size, bool *ret_whole);
