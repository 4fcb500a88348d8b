//! The command line.

const std = @import("std");

pub const Transport = union(enum) {
    listen_fd: i32,
    listen_path: [*:0]const u8,
    stdio,
};

pub const Arguments = struct {
    transport: Transport,
    workdir: ?[*:0]const u8 = null,
    ttl_s: u64 = 0,
    linger_s: u64 = 0,

    /// Null: they make no sense.
    pub fn parse(vector: []const [*:0]const u8) ?Arguments {
        if (vector.len < 2 or !std.mem.eql(u8, std.mem.span(vector[1]), "serve")) return null;
        var transport: ?Transport = null;
        var parsed: Arguments = .{ .transport = undefined };
        var rest = vector[2..];
        while (rest.len > 0) {
            const option = std.mem.span(rest[0]);
            rest = rest[1..];
            if (std.mem.eql(u8, option, "--stdio")) {
                if (transport != null) return null;
                transport = .stdio;
                continue;
            }
            if (rest.len == 0) return null;
            const value = rest[0];
            rest = rest[1..];
            if (std.mem.eql(u8, option, "--listen-fd")) {
                if (transport != null) return null;
                transport = .{ .listen_fd = @intCast(number(value, std.math.maxInt(i32)) orelse return null) };
            } else if (std.mem.eql(u8, option, "--listen")) {
                if (transport != null) return null;
                transport = .{ .listen_path = value };
            } else if (std.mem.eql(u8, option, "--workdir")) {
                parsed.workdir = value;
            } else if (std.mem.eql(u8, option, "--ttl-s")) {
                parsed.ttl_s = number(value, 1 << 32) orelse return null;
            } else if (std.mem.eql(u8, option, "--linger-s")) {
                parsed.linger_s = number(value, 1 << 32) orelse return null;
            } else return null;
        }
        parsed.transport = transport orelse return null;
        return parsed;
    }
};

fn number(text: [*:0]const u8, most: u64) ?u64 {
    const value = std.fmt.parseInt(u64, std.mem.span(text), 10) catch return null;
    return if (value <= most) value else null;
}
