//! Operations on the agent and the VM as such: configure and thaw.

const std = @import("std");
const fault = @import("fault.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

/// Some 34 years: in nanoseconds it still fits.
const longest_ms = 1 << 40;
const least_entropy = 32;
const most_entropy = 512;

const RNDADDENTROPY = 0x40085203;
const RNDRESEEDCRNG = 0x5207;

pub fn configure(stream: *Stream, request: *const Request) fault.Fault!void {
    const agent = stream.connection.agent;
    const ttl = try request.int("ttl_ms", 0, longest_ms);
    const linger = try request.int("linger_ms", 0, longest_ms);
    if (ttl) |ms| {
        agent.loop.disarm(&agent.ttl);
        if (ms > 0) agent.loop.arm(&agent.ttl, sys.monotonic() + @as(u64, @intCast(ms)) * std.time.ns_per_ms);
    }
    if (linger) |ms| {
        agent.linger_ns = @as(u64, @intCast(ms)) * std.time.ns_per_ms;
        agent.lingerOrNot();
    }
    stream.replyEmpty();
}

pub fn thaw(stream: *Stream, request: *const Request) fault.Fault!void {
    const time = try request.int("time_ns", 0, std.math.maxInt(i64));
    const entropy = if (try request.text("entropy")) |text| try decodeEntropy(request, text) else null;
    const hostname = try request.os("hostname");
    if (hostname) |name| {
        if (name.len == 0 or name.len > linux.HOST_NAME_MAX) return fault.refuse(.invalid_argument, "a host name has 1 to 64 bytes");
    }
    var object = stream.begin(.reply);
    object.boolean("clock", if (time) |ns| setClock(ns) else false);
    object.boolean("entropy", if (entropy) |bytes| addEntropy(bytes) else false);
    object.boolean("hostname", if (hostname) |name| setHostname(name) else false);
    stream.finish(&object);
}

fn decodeEntropy(request: *const Request, text: []const u8) fault.Fault![]const u8 {
    const decoder = std.base64.standard.Decoder;
    const length = decoder.calcSizeForSlice(text) catch return fault.refuse(.invalid_argument, "entropy is not base64");
    if (length < least_entropy or length > most_entropy) {
        return fault.refuse(.invalid_argument, "entropy has 32 to 512 bytes");
    }
    const bytes = try request.arena.alloc(u8, length);
    decoder.decode(bytes, text) catch return fault.refuse(.invalid_argument, "entropy is not base64");
    return bytes;
}

fn setClock(ns: i64) bool {
    const time: linux.timespec = .{ .sec = @divFloor(ns, std.time.ns_per_s), .nsec = @mod(ns, std.time.ns_per_s) };
    return linux.errno(linux.clock_settime(.REALTIME, &time)) == .SUCCESS;
}

/// True when the bytes are in the pool and it has been reseeded from them.
fn addEntropy(bytes: []const u8) bool {
    var pool: extern struct { bits: i32, size: i32, bytes: [most_entropy]u8 } = undefined;
    pool.bits = @intCast(bytes.len * 8);
    pool.size = @intCast(bytes.len);
    @memcpy(pool.bytes[0..bytes.len], bytes);
    const fd = sys.open("/dev/urandom", .{ .ACCMODE = .WRONLY }, 0) catch return false;
    defer sys.close(fd);
    if (linux.errno(linux.ioctl(fd, RNDADDENTROPY, @intFromPtr(&pool))) != .SUCCESS) return false;
    return linux.errno(linux.ioctl(fd, RNDRESEEDCRNG, 0)) == .SUCCESS;
}

fn setHostname(name: []const u8) bool {
    return linux.errno(linux.syscall2(.sethostname, @intFromPtr(name.ptr), name.len)) == .SUCCESS;
}
