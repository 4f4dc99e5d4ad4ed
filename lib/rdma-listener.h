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

#ifndef RDMA_LISTENER_H
#define RDMA_LISTENER_H 1

#include <stdbool.h>

#include "rdma-provider.h"

/* Listeners
 * =========
 *
 * Ports with the same provider and 'dst_port' share a listener.  A listener
 * that cannot be opened, for example because no RDMA support is loaded, is
 * tried again from time to time. */

/* Adds or drops a reference to the listener of 'provider' on 'port'. */
void ordma_listener_ref(const struct ordma_provider *provider, ovs_be16 port)
    OVS_REQUIRES(ordma_mutex);
void ordma_listener_unref(const struct ordma_provider *provider, ovs_be16 port)
    OVS_REQUIRES(ordma_mutex);

/* Tells about a listener that somebody refers to: is it open, or why not.  The
 * text is valid until the next call of ordma_listeners_run(). */
bool ordma_listener_is_open(const struct ordma_provider *provider,
                            ovs_be16 port) OVS_REQUIRES(ordma_mutex);
const char *ordma_listener_error(const struct ordma_provider *provider,
                                 ovs_be16 port) OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of all listeners. */
void ordma_listeners_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_listeners_wait(void) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-listener.h */
