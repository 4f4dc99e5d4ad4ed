/* SPDX-License-Identifier: Apache-2.0
 *
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

#ifndef RDMA_COMPAT_H
#define RDMA_COMPAT_H 1

#include "dp-packet.h"

/* Differences between the versions of Open vSwitch that we build against, all
 * of them in dp_packet's offload fields.  This header is the only place that
 * knows of them. */

/* Returns true if dp_packet_get_rss_hash(packet) is valid. */
static inline bool
ordma_packet_has_hash(const struct dp_packet *packet)
{
    return dp_packet_rss_valid(packet);
}

/* Initializes the fields of 'packet', whose mbuf is fresh from its pool, that
 * dp_packet_batch_init_packet_fields() would. */
static inline void
ordma_packet_init_fields(struct dp_packet *packet)
{
    dp_packet_reset_cutlen(packet);
    packet->packet_type = htonl(PT_ETH);
}

#endif /* rdma-compat.h */
