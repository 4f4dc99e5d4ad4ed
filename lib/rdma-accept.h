/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Events of providers: which port and peer a connection request is for. */

#ifndef RDMA_ACCEPT_H
#define RDMA_ACCEPT_H 1

#include "rdma-session.h"

/* Begin and end to take connection requests for 'port', whose peers can dial
 * from then until then unless 'port->error' says why not: because nothing
 * listens yet, or because a port that was there before has the same identity,
 * so that a peer could not tell them apart. */
void ordma_port_add(struct ordma_port *port) OVS_REQUIRES(ordma_mutex);
void ordma_port_remove(struct ordma_port *port) OVS_REQUIRES(ordma_mutex);

/* Do the periodic work of providers, listeners and peers. */
void ordma_accept_run(void) OVS_REQUIRES(ordma_mutex);
void ordma_accept_wait(void) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-accept.h */
