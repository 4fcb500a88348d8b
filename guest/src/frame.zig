//! Frames: a header of 12 bytes, little-endian, and a payload. See docs/reference/guest-protocol.md.

const std = @import("std");

pub const version = 1;
pub const header_length = 12;
pub const max_data = 64 * 1024;
pub const max_control = 64 * 1024;
pub const max_request = 2 * 1024 * 1024;
pub const max_ping = 64;
/// Bytes of DATA and EVENT the guest may send on a new stream.
pub const guest_window = 1024 * 1024;
/// Bytes of DATA the host may send on a new stream.
pub const host_window = 256 * 1024;
pub const max_streams = 1024;

pub const Type = enum(u8) {
    hello = 1,
    ping = 2,
    pong = 3,
    request = 4,
    reply = 5,
    failure = 6,
    data = 7,
    eof = 8,
    window = 9,
    end = 10,
    cancel = 11,
    event = 12,
};

pub const Header = struct {
    length: u32,
    stream: u32,
    type: Type,
    flags: u8 = 0,

    pub fn encode(header: Header) [header_length]u8 {
        var bytes: [header_length]u8 = @splat(0);
        std.mem.writeInt(u32, bytes[0..4], header.length, .little);
        std.mem.writeInt(u32, bytes[4..8], header.stream, .little);
        bytes[8] = @backingInt(header.type);
        bytes[9] = header.flags;
        return bytes;
    }

    /// The header, if it is one that a host may send.
    pub fn decode(bytes: *const [header_length]u8) error{Malformed}!Header {
        if (bytes[8] < @backingInt(Type.hello) or bytes[8] > @backingInt(Type.event)) return error.Malformed;
        const header: Header = .{
            .length = std.mem.readInt(u32, bytes[0..4], .little),
            .stream = std.mem.readInt(u32, bytes[4..8], .little),
            .type = @fromBackingInt(bytes[8]),
        };
        // The host sends on channel 0 only, and the other flags are not defined.
        if (bytes[9] != 0 or bytes[10] != 0 or bytes[11] != 0) return error.Malformed;
        const low: u32, const high: u32 = switch (header.type) {
            .hello => .{ 2, max_control },
            .ping, .pong => .{ 0, max_ping },
            .request => .{ 2, max_request },
            .data => .{ 1, max_data },
            .eof, .cancel => .{ 0, 0 },
            .window => .{ 4, 4 },
            .reply, .failure, .end, .event => return error.Malformed,
        };
        if (header.length < low or header.length > high) return error.Malformed;
        const on_connection = switch (header.type) {
            .hello, .ping, .pong => true,
            else => false,
        };
        if (on_connection != (header.stream == 0)) return error.Malformed;
        return header;
    }
};
