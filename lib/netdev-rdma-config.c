/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The options of an rdma port: parsing, checking, and back again. */

#include <config.h>

#include <errno.h>
#include <stdarg.h>

#include "dpdk.h"
#include "netdev-rdma-private.h"
#include "netdev-vport.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "smap.h"
#include "socket-util.h"
#include "sset.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_rdma_config);

/* The options of a port.
 *
 * They mean what they mean for geneve and vxlan ports.  Unlike there, a value
 * that is invalid is an error: the interface's 'error' column says which
 * option, which value and what to do. */

/* All that set_config() extracts from the options. */
struct config {
    struct netdev_tunnel_config tnl;
    struct netdev_rdma_options options;
    int n_rxq, n_rxq_desc, n_txq_desc, max_peers, idle_timeout;
};

#define MAX_PEERS 1024
#define MAX_IDLE_TIMEOUT (24 * 60 * 60)

static char * OVS_PRINTF_FORMAT(1, 2)
error_new(const char *format, ...)
{
    va_list args;
    char *s;

    va_start(args, format);
    s = xvasprintf(format, args);
    va_end(args);
    return s;
}

/* The parsers below return null for success, otherwise an error for the caller
 * to free that does not include the name of the port. */

/* Parses 'value' of 'option', the address of one host or "flow". */
static char *
parse_ip(const char *option, const char *value, bool *flow,
         struct in6_addr *addr)
{
    ovs_be32 ip;

    if (!strcmp(value, "flow")) {
        *flow = true;
        return NULL;
    }
    if (strchr(value, '%')) {
        return error_new("options:%s=%s has a zone, which is for link-local "
                         "addresses, set a global address", option, value);
    }
    if (addr_is_ipv6(value) ? !ipv6_parse(value, addr)
                            : !ip_parse(value, &ip)) {
        return error_new("options:%s=%s is not an IPv4 or IPv6 address (host "
                         "names are not supported)", option, value);
    }
    if (!addr_is_ipv6(value)) {
        in6_addr_set_mapped_ipv4(addr, ip);
    }
    if (ipv6_addr_is_multicast(addr)
        || (in6_addr_get_mapped_ipv4(addr)
            && ip_is_multicast(in6_addr_get_mapped_ipv4(addr)))
        || !ipv6_addr_is_set(addr)
        || (IN6_IS_ADDR_V4MAPPED(addr) && !in6_addr_get_mapped_ipv4(addr))) {
        return error_new("options:%s=%s is not the address of one host",
                         option, value);
    }
    if (in6_is_lla(addr)) {
        return error_new("options:%s=%s is link-local, set a global address",
                         option, value);
    }
    return NULL;
}

/* Parses the integer 'value' of 'option', from 'min' to 'max'. */
static char *
parse_int(const char *option, const char *value, int min, int max, int *n)
{
    if (!str_to_int(value, 10, n) || *n < min || *n > max) {
        return error_new("options:%s=%s is not a number from %d to %d",
                         option, value, min, max);
    }
    return NULL;
}

static char *
parse_desc(const char *option, const char *value, int *n)
{
    enum { MIN_DESC = 32, MAX_DESC = 32768 };

    if (!str_to_int(value, 10, n) || *n < MIN_DESC || *n > MAX_DESC
        || !is_pow2(*n)) {
        return error_new("options:%s=%s is not a power of 2 from %d to %d",
                         option, value, MIN_DESC, MAX_DESC);
    }
    return NULL;
}

/* Parses the key 'name' ("in_key" or "out_key"), for which "key" stands in. */
static char *
parse_key(const struct smap *args, const char *name, bool *present,
          bool *flow, ovs_be64 *key)
{
    const char *option = smap_get(args, name) ? name : "key";
    const char *value = smap_get(args, option);
    unsigned long long int n;

    if (!value) {
        return NULL;
    }
    *present = true;
    if (!strcmp(value, "flow")) {
        *flow = true;
        return NULL;
    }
    if (value[0] == '-' || !str_to_ullong(value, 0, &n)) {
        return error_new("options:%s=%s is not a number from 0 to %"PRIu64
                         " or \"flow\"", option, value, UINT64_MAX);
    }
    *key = htonll(n);
    return NULL;
}

static char *
parse_tos(const char *value, struct netdev_tunnel_config *tnl)
{
    int tos;

    if (!strcmp(value, "inherit")) {
        tnl->tos_inherit = true;
    } else if (!str_to_int(value, 0, &tos) || tos != (tos & IP_DSCP_MASK)) {
        return error_new("options:tos=%s is not \"inherit\" or a DSCP value "
                         "shifted left by 2, such as 0x88", value);
    } else {
        tnl->tos = tos;
    }
    return NULL;
}

static char *
parse_ttl(const char *value, struct netdev_tunnel_config *tnl)
{
    int ttl;
    char *error = parse_int("ttl", value, 1, UINT8_MAX, &ttl);

    tnl->ttl = ttl;
    return error;
}

/* An option of other tunnels that is invalid here. */
struct unsupported {
    const char *option;
    const char *value;          /* One that does no harm, or null. */
    const char *reason;
};

/* Returns the error for 'value' of the option 'u', or null if it does no harm.
 * Says no value of an option all of which do harm: one may be a secret. */
static char *
unsupported_error(const struct unsupported *u, const char *value)
{
    if (!u->value) {
        return error_new("options:%s is not supported, remove it: %s",
                         u->option, u->reason);
    }
    return (strcmp(value, u->value)
            ? error_new("options:%s=%s is not supported, only \"%s\" is: %s",
                        u->option, value, u->value, u->reason)
            : NULL);
}

/* Parses 'option' if other tunnels have it and it is invalid here,
 * otherwise returns false. */
static bool
parse_unsupported(const char *option, const char *value, char **errorp)
{
    static const struct unsupported unsupported[] = {
        { "csum", "false", "RDMA packets have a checksum of their own" },
        { "df_default", "true", "RDMA packets cannot be fragmented" },
        { "egress_pkt_mark", NULL, "RDMA packets have no mark" },
        { "exts", NULL, "VXLAN has them, use tun_metadata here" },
        { "packet_type", "legacy_l2", "frames are Ethernet" },
        { "psk", NULL, "there is no IPsec for RDMA packets" },
        { "remote_cert", NULL, "there is no IPsec for RDMA packets" },
        { "remote_name", NULL, "there is no IPsec for RDMA packets" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
        if (!strcmp(unsupported[i].option, option)) {
            *errorp = unsupported_error(&unsupported[i], value);
            return true;
        }
    }
    return false;
}

static char *
parse_provider(const char *value, struct netdev_rdma_options *options)
{
    struct ds names = DS_EMPTY_INITIALIZER;
    char *error;

    options->provider = ordma_provider_lookup(value);
    if (options->provider || !strcmp(value, "auto")) {
        return NULL;
    }

    for (size_t i = 0; ordma_providers[i]; i++) {
        ds_put_format(&names, ", \"%s\"", ordma_providers[i]->name);
    }
    error = error_new("options:provider=%s is unknown, use \"auto\"%s",
                      value, ds_cstr(&names));
    ds_destroy(&names);
    return error;
}

static char *
parse_port(const char *value, ovs_be16 *port)
{
    int n;
    char *error = parse_int("dst_port", value, 1, UINT16_MAX, &n);

    *port = htons(n);
    return error;
}

static char *
parse_rdma_dev(const char *value, struct netdev_rdma_options *options)
{
    if (!value[0] || strlen(value) >= sizeof options->rdma_dev) {
        return error_new("options:rdma-dev=%s is not the name of an RDMA "
                         "device, see \"rdma link\"", value);
    }
    ovs_strlcpy(options->rdma_dev, value, sizeof options->rdma_dev);
    return NULL;
}

/* Parses one option.  Keys need two and are not parsed here. */
static char *
parse_option(const char *name, const char *option, const char *value,
             struct config *config)
{
    char *error;

    if (!strcmp(option, "remote_ip")) {
        return parse_ip(option, value, &config->tnl.ip_dst_flow,
                        &config->tnl.ipv6_dst);
    } else if (!strcmp(option, "local_ip")) {
        return parse_ip(option, value, &config->tnl.ip_src_flow,
                        &config->tnl.ipv6_src);
    } else if (!strcmp(option, "dst_port")) {
        return parse_port(value, &config->tnl.dst_port);
    } else if (!strcmp(option, "tos")) {
        return parse_tos(value, &config->tnl);
    } else if (!strcmp(option, "ttl")) {
        return parse_ttl(value, &config->tnl);
    } else if (!strcmp(option, "n_rxq")) {
        return parse_int(option, value, 1, ORDMA_MAX_LANES, &config->n_rxq);
    } else if (!strcmp(option, "n_rxq_desc")) {
        return parse_desc(option, value, &config->n_rxq_desc);
    } else if (!strcmp(option, "n_txq_desc")) {
        return parse_desc(option, value, &config->n_txq_desc);
    } else if (!strcmp(option, "max_peers")) {
        return parse_int(option, value, 1, MAX_PEERS, &config->max_peers);
    } else if (!strcmp(option, "idle_timeout")) {
        return parse_int(option, value, 1, MAX_IDLE_TIMEOUT,
                         &config->idle_timeout);
    } else if (!strcmp(option, "provider")) {
        return parse_provider(value, &config->options);
    } else if (!strcmp(option, "rdma-dev")) {
        return parse_rdma_dev(value, &config->options);
    } else if (parse_unsupported(option, value, &error)) {
        return error;
    } else if (strcmp(option, "key") && strcmp(option, "in_key")
               && strcmp(option, "out_key")) {
        VLOG_WARN("%s: unknown rdma argument '%s'", name, option);
    }
    return NULL;
}

/* Checks that options go together. */
static char *
check_config(const struct config *config)
{
    const struct netdev_tunnel_config *tnl = &config->tnl;

    if (!ipv6_addr_is_set(&tnl->ipv6_dst) && !tnl->ip_dst_flow) {
        return error_new("rdma type requires valid 'remote_ip' argument");
    }
    if (tnl->ip_src_flow && !tnl->ip_dst_flow) {
        return error_new("rdma type requires 'remote_ip=flow' with "
                         "'local_ip=flow'");
    }
    if (!tnl->ip_dst_flow && ipv6_addr_is_set(&tnl->ipv6_src)
        && (!in6_addr_get_mapped_ipv4(&tnl->ipv6_src)
            != !in6_addr_get_mapped_ipv4(&tnl->ipv6_dst))) {
        return error_new("'remote_ip' and 'local_ip' has to be of the same "
                         "address family");
    }
    return NULL;
}

static char *
parse_args(const char *name, const struct smap *args, struct config *config)
{
    struct netdev_tunnel_config *tnl = &config->tnl;
    const struct smap_node *node;
    char *error;

    memset(config, 0, sizeof *config);
    tnl->dst_port = htons(NETDEV_RDMA_DEFAULT_PORT);
    tnl->ttl = NETDEV_RDMA_DEFAULT_TTL;
    tnl->dont_fragment = true;
    tnl->pt_mode = NETDEV_PT_LEGACY_L2;
    config->n_rxq = 1;
    config->n_rxq_desc = NETDEV_RDMA_DEFAULT_RXQ_DESC;
    config->n_txq_desc = NETDEV_RDMA_DEFAULT_DESC;
    config->max_peers = NETDEV_RDMA_DEFAULT_PEERS;
    config->idle_timeout = NETDEV_RDMA_DEFAULT_IDLE_TIMEOUT;
    parse_provider("auto", &config->options);

    SMAP_FOR_EACH (node, args) {
        error = parse_option(name, node->key, node->value, config);
        if (error) {
            return error;
        }
    }
    error = parse_key(args, "in_key", &tnl->in_key_present,
                      &tnl->in_key_flow, &tnl->in_key);
    if (!error) {
        error = parse_key(args, "out_key", &tnl->out_key_present,
                          &tnl->out_key_flow, &tnl->out_key);
    }
    return error ? error : check_config(config);
}

/* Checks that the device that 'config' names, if any, exists.  One that
 * vanishes later is no error: it may come back, and OVS would delete the
 * port. */
static char *
check_rdma_dev(const struct netdev_rdma *dev, const struct config *config)
    OVS_REQUIRES(ordma_mutex)
{
    /* Without a provider by name, a device by name is an RDMA device. */
    const struct ordma_provider *provider
        = (config->options.provider ? config->options.provider
           : &ordma_verbs_provider);
    const char *rdma_dev = config->options.rdma_dev;
    struct sset names = SSET_INITIALIZER(&names);
    char *error = NULL;

    if (!rdma_dev[0] || !strcmp(rdma_dev, dev->options.rdma_dev)) {
        return NULL;
    }
    provider->enumerate(&names);
    if (!sset_contains(&names, rdma_dev)) {
        char *list = sset_join(&names, ", ", "");

        error = error_new("options:rdma-dev=%s does not exist, this host "
                          "has: %s", rdma_dev,
                          list[0] ? list : "no RDMA device");
        free(list);
    }
    sset_destroy(&names);
    return error;
}

/* Returns the parameters of 'dev' with 'config'. */
static struct netdev_rdma_params
get_params(const struct netdev_rdma *dev, const struct config *config)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_params want = dev->want;

    want.n_rxq = config->n_rxq;
    want.n_rxq_desc = config->n_rxq_desc;
    want.n_txq_desc = config->n_txq_desc;
    return want;
}

/* Checks 'config' against what the system has.  That includes memory, because
 * there is no other way to tell people if it is missing: pools that nobody
 * refers to stay until the port is reconfigured, which is soon. */
static char *
check_environment(const struct netdev_rdma *dev, const struct config *config)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_params want = get_params(dev, config);
    struct netdev_rdma_pools pools;
    char *error;

    if (!dpdk_available()) {
        return error_new("type=rdma needs DPDK, run \"ovs-vsctl set "
                         "Open_vSwitch . other_config:dpdk-init=true\"");
    }
    error = check_rdma_dev(dev, config);
    if (!error) {
        error = netdev_rdma_pools_get(&want, dev->has_offload, &pools);
    }
    if (!error) {
        netdev_rdma_pools_unref(&pools);
    }
    return error;
}

/* Returns true if 'a' and 'b' differ in what sessions depend on. */
static bool
need_restart(const struct netdev_tunnel_config *a,
             const struct netdev_tunnel_config *b_)
{
    struct netdev_tunnel_config b = *b_;

    b.tos = a->tos;
    b.tos_inherit = a->tos_inherit;
    b.ttl = a->ttl;
    return memcmp(a, &b, sizeof b);
}

/* Makes 'config' the configuration of 'dev'. */
static void
apply_config(struct netdev_rdma *dev, const struct config *config)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_tunnel_config *old
        = ovsrcu_get_protected(struct netdev_tunnel_config *,
                               &dev->tnl_config);
    struct netdev_rdma_params want = get_params(dev, config);
    bool restart = (need_restart(old, &config->tnl)
                    || memcmp(&config->options, &dev->options,
                              sizeof dev->options));

    if (memcmp(&want, &dev->want, sizeof want)) {
        dev->want = want;
        netdev_request_reconfigure(&dev->up);
    }
    ovsrcu_set(&dev->tnl_config, xmemdup(&config->tnl, sizeof config->tnl));
    dev->options = config->options;
    dev->max_peers = config->max_peers;
    dev->idle_timeout = config->idle_timeout;
    if (restart) {
        netdev_rdma_restart(dev);
    } else {
        netdev_rdma_update(dev);
    }
    if (memcmp(old, &config->tnl, sizeof *old)) {
        netdev_change_seq_changed(&dev->up);
    }
    ovsrcu_postpone(free, old);
}

int
netdev_rdma_set_config(struct netdev *netdev, const struct smap *args,
                       char **errp)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    const char *name = netdev_get_name(netdev);
    struct config config;
    char *error;

    error = parse_args(name, args, &config);
    ovs_mutex_lock(&ordma_mutex);
    if (!error) {
        error = check_environment(dev, &config);
    }
    if (!error) {
        apply_config(dev, &config);
    }
    ovs_mutex_unlock(&ordma_mutex);

    if (error) {
        VLOG_WARN("%s: %s", name, error);
        if (errp) {
            *errp = xasprintf("%s: %s", name, error);
        }
        free(error);
        return EINVAL;
    }
    return 0;
}

static void
put_key(struct smap *args, const char *name, bool present, bool flow,
        ovs_be64 key)
{
    if (flow) {
        smap_add(args, name, "flow");
    } else if (present) {
        smap_add_format(args, name, "%"PRIu64, ntohll(key));
    }
}

/* Adds 'option' with the value 'n', unless that is the default. */
static void
put_int(struct smap *args, const char *option, int n, int default_)
{
    if (n != default_) {
        smap_add_format(args, option, "%d", n);
    }
}

static void
put_ip(struct smap *args, const char *option, bool flow,
       const struct in6_addr *ip)
{
    if (flow) {
        smap_add(args, option, "flow");
    } else if (ipv6_addr_is_set(ip)) {
        smap_add_ipv6(args, option, CONST_CAST(struct in6_addr *, ip));
    }
}

static void
put_tunnel_config(struct smap *args, const struct netdev_tunnel_config *tnl)
{
    put_ip(args, "remote_ip", tnl->ip_dst_flow, &tnl->ipv6_dst);
    put_ip(args, "local_ip", tnl->ip_src_flow, &tnl->ipv6_src);
    if (tnl->in_key_present && tnl->out_key_present
        && tnl->in_key_flow == tnl->out_key_flow
        && tnl->in_key == tnl->out_key) {
        put_key(args, "key", true, tnl->in_key_flow, tnl->in_key);
    } else {
        put_key(args, "in_key", tnl->in_key_present, tnl->in_key_flow,
                tnl->in_key);
        put_key(args, "out_key", tnl->out_key_present, tnl->out_key_flow,
                tnl->out_key);
    }
    put_int(args, "dst_port", ntohs(tnl->dst_port), NETDEV_RDMA_DEFAULT_PORT);
    put_int(args, "ttl", tnl->ttl, NETDEV_RDMA_DEFAULT_TTL);
    if (tnl->tos_inherit) {
        smap_add(args, "tos", "inherit");
    } else if (tnl->tos) {
        smap_add_format(args, "tos", "0x%x", tnl->tos);
    }
}

int
netdev_rdma_get_config(const struct netdev *netdev, struct smap *args)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);

    ovs_mutex_lock(&ordma_mutex);
    put_tunnel_config(args, ovsrcu_get(struct netdev_tunnel_config *,
                                       &dev->tnl_config));
    put_int(args, "n_rxq", dev->want.n_rxq, 1);
    put_int(args, "n_rxq_desc", dev->want.n_rxq_desc,
            NETDEV_RDMA_DEFAULT_RXQ_DESC);
    put_int(args, "n_txq_desc", dev->want.n_txq_desc,
            NETDEV_RDMA_DEFAULT_DESC);
    put_int(args, "max_peers", dev->max_peers, NETDEV_RDMA_DEFAULT_PEERS);
    put_int(args, "idle_timeout", dev->idle_timeout,
            NETDEV_RDMA_DEFAULT_IDLE_TIMEOUT);
    if (dev->options.provider) {
        smap_add(args, "provider", dev->options.provider->name);
    }
    if (dev->options.rdma_dev[0]) {
        smap_add(args, "rdma-dev", dev->options.rdma_dev);
    }
    ovs_mutex_unlock(&ordma_mutex);
    return 0;
}
