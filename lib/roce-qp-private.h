/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What the two halves of a RoCEv2 queue pair share. */

#ifndef ROCE_QP_PRIVATE_H
#define ROCE_QP_PRIVATE_H 1

#include "roce-qp.h"

/* What the three files of a queue pair share: roce-qp.c has what both sides
 * need, roce-req.c is the requester and roce-resp.c the responder. */

/* roce-qp.c */
void roce_qp_fail(struct roce_qp *, enum roce_status,
                  enum roce_status send_status, enum roce_status recv_status);

/* roce-req.c */
void roce_req_init(struct roce_requester *, const struct roce_qp_config *);
void roce_req_input(struct roce_qp *, const struct roce_packet *,
                    long long int now);
void roce_req_sent(struct roce_qp *, long long int now);
void roce_req_run(struct roce_qp *);
bool roce_req_is_sendable(const struct roce_qp *);
void roce_req_build(struct roce_qp *, struct roce_tx *, long long int now);
void roce_req_flush(struct roce_requester *, enum roce_status first);

/* roce-resp.c */
void roce_resp_init(struct roce_responder *, const struct roce_qp_config *);
void roce_resp_input(struct roce_qp *, const struct roce_packet *);
void roce_resp_build(struct roce_qp *, struct roce_tx *);
void roce_resp_flush(struct roce_responder *, enum roce_status first);

#endif /* roce-qp-private.h */
