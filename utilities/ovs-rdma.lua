-- SPDX-License-Identifier: Apache-2.0
-- Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
--
-- Wireshark dissector for the messages of "rdma" ports and for the private
-- data of their connections.  Documentation/topics/rdma/wire.rst is the
-- specification and says how to use and test this file.
--
-- A message that takes several packets is dissected as far as its first packet
-- goes.

local MAGIC, HELLO_LEN, REFUSAL_LEN = 0x4f524d41, 56, 8
local HEADER_LEN, RECORD_LEN, MIN_FRAME = 8, 20, 14
local SEND_FIRST, SEND_ONLY = 0, 4      -- RC opcodes of InfiniBand.

local types = { [0] = "DATA", "CREDIT", "PING", "PONG" }
local key_modes = { [0] = "fixed", "flow" }
local refusals = { [0] = "NONE", "HELLO", "NO_PORT", "KEY", "CROSSING",
                   "FEATURES", "SESSION", "BUSY", "RESOURCE" }

local p = Proto("ovs_rdma", "Open vSwitch RDMA tunnel")

-- Declares a field of 'size' bytes at 'offset' of what it is part of.
local all = {}
local function field(kind, name, text, offset, size, ...)
    local f = ProtoField[kind]("ovs_rdma." .. name, text, ...)
    all[#all + 1] = f
    return { field = f, offset = offset, size = size }
end

local message = {
    field("uint8", "version", "Version", 0, 1, base.DEC, nil, 0xf0),
    field("uint8", "type", "Type", 0, 1, base.DEC, types, 0x0f),
    field("uint8", "flags", "Flags", 1, 1, base.HEX),
    field("uint16", "credits", "Credits", 2, 2),
    field("uint16", "n_records", "Records", 4, 2),
    field("uint16", "sequence", "Sequence", 6, 2),
}
local record = {
    field("uint16", "rec.frame_len", "Frame length", 0, 2),
    field("uint8", "rec.opt_len", "Options length (words)", 2, 1),
    field("bool", "rec.key", "Key present", 3, 1, 8, nil, 0x80),
    field("bool", "rec.oam", "OAM", 3, 1, 8, nil, 0x40),
    field("bool", "rec.ip_partial", "IP checksum partial", 3, 1, 8, nil, 0x20),
    field("bool", "rec.l4_partial", "L4 checksum partial", 3, 1, 8, nil, 0x10),
    field("bool", "rec.l4_good", "L4 checksum good", 3, 1, 8, nil, 0x08),
    field("bool", "rec.has_hash", "Hash valid", 3, 1, 8, nil, 0x04),
    field("uint8", "rec.reserved", "Reserved", 3, 1, base.HEX, nil, 0x03),
    field("uint16", "rec.gso_size", "Segment size", 4, 2),
    field("uint8", "rec.tos", "Type of service", 6, 1, base.HEX),
    field("uint8", "rec.next", "Payload type", 7, 1),
    field("uint64", "rec.tun_id", "Tunnel key", 8, 8, base.HEX),
    field("uint32", "rec.hash", "Flow hash", 16, 4, base.HEX),
}
local hello = {
    field("uint8", "hello.version", "Version", 4, 1),
    field("uint8", "hello.in_mode", "in_key mode", 5, 1, base.DEC, key_modes,
          0xf0),
    field("uint8", "hello.out_mode", "out_key mode", 5, 1, base.DEC, key_modes,
          0x0f),
    field("uint8", "hello.n_lanes", "Lanes", 6, 1),
    field("uint8", "hello.lane", "Lane", 7, 1),
    field("uint32", "hello.features", "Features", 8, 4, base.HEX),
    field("uint32", "hello.max_msg", "Longest message", 12, 4),
    field("uint64", "hello.session", "Session", 16, 8, base.HEX),
    field("uint64", "hello.in_key", "in_key", 24, 8, base.HEX),
    field("uint64", "hello.out_key", "out_key", 32, 8, base.HEX),
    field("uint16", "hello.credits", "Credits", 40, 2),
    field("bytes", "hello.authenticator", "Authenticator", 42, 14),
}
local refusal = {
    field("uint8", "refusal.version", "Version", 4, 1),
    field("uint8", "refusal.reason", "Reason", 5, 1, base.DEC, refusals),
}
local options = field("bytes", "rec.options", "Options", RECORD_LEN)
p.fields = all

local opcode = Field.new("infiniband.bth.opcode")
local ethernet = Dissector.get("eth_withoutfcs")

local function add(tree, list, range)
    for _, f in ipairs(list) do
        tree:add(f.field, range(f.offset, f.size))
    end
end

-- Dissects the record at 'ofs'.  Returns the offset of the next one, or nil
-- if the packet ends before.
local function dissect_record(tvb, ofs, pinfo, tree)
    if tvb:len() - ofs < RECORD_LEN then return nil end
    local frame_len = tvb(ofs, 2):uint()
    local opts_len = tvb(ofs + 2, 1):uint() * 4
    local size = math.floor((RECORD_LEN + opts_len + frame_len + 3) / 4) * 4
    local have = math.min(size, tvb:len() - ofs)
    local range = tvb(ofs, have)
    local sub = tree:add(p, range,
                         "Record, frame of " .. frame_len .. " bytes")

    add(sub, record, range)
    if have < RECORD_LEN + opts_len + MIN_FRAME then return nil end
    if opts_len > 0 then
        sub:add(options.field, range(options.offset, opts_len))
    end
    local frame = range(RECORD_LEN + opts_len,
                        math.min(frame_len, have - RECORD_LEN - opts_len))
    ethernet:call(frame:tvb(), pinfo, sub)
    return have == size and ofs + size or nil
end

local function dissect_message(tvb, pinfo, tree)
    local op = opcode()
    if not op or (op.value ~= SEND_ONLY and op.value ~= SEND_FIRST)
       or tvb:len() < HEADER_LEN or tvb(0, 1):bitfield(0, 4) ~= 1
       or tvb(1, 1):uint() ~= 0 then
        return false
    end
    local kind, n = types[tvb(0, 1):bitfield(4, 4)], tvb(4, 2):uint()
    if not kind or (kind == "DATA") ~= (n > 0) then return false end

    local sub = tree:add(p, tvb(), "Open vSwitch RDMA tunnel, " .. kind)
    add(sub, message, tvb(0, HEADER_LEN))
    local ofs = HEADER_LEN
    for _ = 1, n do
        ofs = ofs and dissect_record(tvb, ofs, pinfo, sub)
    end
    pinfo.cols.protocol = "OVS-RDMA"
    pinfo.cols.info = kind .. " seq=" .. tvb(6, 2):uint() .. " credits="
                      .. tvb(2, 2):uint() .. " records=" .. n
    return true
end

-- The connection manager pads private data, so that the length says nothing: a
-- refusal has zeros where a hello has the number of lanes.
local function dissect_private(tvb, pinfo, tree)
    if tvb:len() < REFUSAL_LEN or tvb(0, 4):uint() ~= MAGIC then
        return false
    end
    local is_hello = tvb:len() >= HELLO_LEN and tvb(6, 1):uint() > 0
    local len = is_hello and HELLO_LEN or REFUSAL_LEN
    local name = is_hello and "hello" or "refusal"
    local sub = tree:add(p, tvb(0, len), "Open vSwitch RDMA tunnel, " .. name)
    add(sub, is_hello and hello or refusal, tvb(0, len))
    pinfo.cols.info:append(" [" .. name .. "]")
    return true
end

p:register_heuristic("infiniband.payload", dissect_message)
p:register_heuristic("infiniband.mad.cm.private", dissect_private)
