/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Listeners that ports share. */

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

/* Returns why a listener that somebody refers to is not open, or null.  The
 * text is valid until the next call of ordma_listeners_run(). */
const char *ordma_listener_error(const struct ordma_provider *provider,
                                 ovs_be16 port) OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of all listeners.  ordma_listeners_run() returns true
 * if what ordma_listener_error() returns has changed. */
bool ordma_listeners_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_listeners_wait(void) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-listener.h */
