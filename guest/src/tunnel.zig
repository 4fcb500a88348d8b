//! The operation `connect`: a TCP connection from within the VM, its bytes as DATA both ways.

const std = @import("std");
const fault = @import("fault.zig");
const frame = @import("frame.zig");
const heap = @import("heap.zig");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Buffer = @import("buffer.zig").Buffer;
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

const Address = union(enum) {
    four: linux.sockaddr.in,
    six: linux.sockaddr.in6,
};

pub const Tunnel = struct {
    stream: *Stream,
    source: loops.Source = .{ .ready = onReady },
    /// Tried when the first address refuses.
    other: ?Address,
    connected: bool = false,
    failed: ?sys.E = null,
    readable: bool = false,
    /// The peer sends no more, and the host was told.
    peer_ended: bool = false,
    host_ended: bool = false,
    /// The peer was told that the host sends no more, or takes no more itself.
    shut: bool = false,
    /// From the host to the peer.
    queue: Buffer = .{},

    fn open(tunnel: *Tunnel, address: *const Address) sys.Error!void {
        const family: u32 = if (address.* == .four) linux.AF.INET else linux.AF.INET6;
        const flags = linux.SOCK.STREAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
        tunnel.source.fd = try sys.checkFd(linux.socket(family, flags, 0));
        const enable: u32 = 1;
        _ = linux.setsockopt(tunnel.source.fd, linux.IPPROTO.TCP, linux.TCP.NODELAY, std.mem.asBytes(&enable), 4);
        const result = switch (address.*) {
            .four => |*four| linux.connect(tunnel.source.fd, four, @sizeOf(linux.sockaddr.in)),
            .six => |*six| linux.connect(tunnel.source.fd, six, @sizeOf(linux.sockaddr.in6)),
        };
        _ = sys.check(result) catch |cause| if (sys.last != .INPROGRESS) {
            tunnel.source.fd = tunnel.giveUp();
            return cause;
        };
        const both = loops.readable | loops.writable | loops.edge;
        tunnel.stream.connection.agent.loop.add(&tunnel.source, both) catch |cause| {
            tunnel.source.fd = tunnel.giveUp();
            return cause;
        };
    }

    fn giveUp(tunnel: *Tunnel) i32 {
        sys.close(tunnel.source.fd);
        return -1;
    }

    fn onReady(source: *loops.Source, events: u32) void {
        const tunnel: *Tunnel = @fieldParentPtr("source", source);
        if (!tunnel.connected) tunnel.settle(events);
        if (!tunnel.connected) return;
        if (events & (loops.readable | loops.hung_up) != 0) tunnel.readable = true;
        if (events & loops.writable != 0) tunnel.drain();
        tunnel.stream.wake();
    }

    /// The attempt to connect came to an end.
    fn settle(tunnel: *Tunnel, events: u32) void {
        if (events & (loops.writable | loops.hung_up) == 0) return;
        var errno: u32 = 0;
        var length: linux.socklen_t = 4;
        _ = linux.getsockopt(tunnel.source.fd, linux.SOL.SOCKET, linux.SO.ERROR, std.mem.asBytes(&errno), &length);
        if (errno == 0) {
            tunnel.connected = true;
            tunnel.stream.replyEmpty();
            return;
        }
        tunnel.failed = @fromBackingInt(@as(u16, @intCast(errno)));
        tunnel.stream.connection.agent.loop.close(&tunnel.source);
        if (tunnel.other) |other| {
            tunnel.other = null;
            if (tunnel.open(&other)) |_| {
                tunnel.failed = null;
                return;
            } else |_| {}
        }
        tunnel.stream.wake();
    }

    pub fn pump(tunnel: *Tunnel) Pump {
        const stream = tunnel.stream;
        if (tunnel.failed) |errno| return stream.fail(sys.fail(errno));
        if (tunnel.readable and !tunnel.peer_ended) {
            const count: usize = @intCast(@min(frame.max_data, stream.credit));
            if (count > 0) return tunnel.receive(count);
        }
        return if (tunnel.peer_ended and tunnel.shut) stream.endEmpty() else .idle;
    }

    fn receive(tunnel: *Tunnel, count: usize) Pump {
        const stream = tunnel.stream;
        const connection = stream.connection;
        connection.begin(.data, stream.id, 0);
        const space = connection.out.room(count) orelse return .idle;
        const got = sys.read(tunnel.source.fd, space[0..count]) catch |cause| {
            connection.abandon();
            if (sys.last != .AGAIN) return stream.fail(cause);
            tunnel.readable = false;
            return .idle;
        };
        if (got == 0) {
            connection.abandon();
            connection.begin(.eof, stream.id, 0);
            tunnel.peer_ended = true;
        } else {
            connection.out.commit(got);
            stream.credit -= got;
        }
        _ = connection.finish();
        return .more;
    }

    pub fn data(tunnel: *Tunnel, bytes: []const u8) void {
        if (tunnel.shut) return tunnel.stream.consumed(bytes.len);
        tunnel.queue.append(bytes);
        if (tunnel.queue.failed) return tunnel.stream.connection.fail();
        tunnel.drain();
    }

    pub fn eof(tunnel: *Tunnel) void {
        tunnel.host_ended = true;
        tunnel.drain();
    }

    fn drain(tunnel: *Tunnel) void {
        if (!tunnel.connected or tunnel.shut) return;
        while (tunnel.queue.len() > 0) {
            const count = sys.write(tunnel.source.fd, tunnel.queue.bytes()) catch {
                if (sys.last == .AGAIN) return;
                // The peer takes no more: swallow the rest. What it still sends is worth having.
                tunnel.stream.consumed(tunnel.queue.len());
                tunnel.queue.release();
                tunnel.shut = true;
                return;
            };
            tunnel.queue.consume(count);
            tunnel.stream.consumed(count);
        }
        if (!tunnel.host_ended) return;
        tunnel.shut = true;
        _ = linux.shutdown(tunnel.source.fd, linux.SHUT.WR);
        tunnel.stream.wake();
    }

    pub fn close(tunnel: *Tunnel) void {
        tunnel.stream.connection.agent.loop.close(&tunnel.source);
        tunnel.queue.release();
        heap.allocator.destroy(tunnel);
    }
};

pub fn start(stream: *Stream, request: *const Request) fault.Fault!void {
    const port: u16 = @intCast(try request.requireInt("port", 1, std.math.maxInt(u16)));
    const tunnel = try heap.allocator.create(Tunnel);
    errdefer heap.allocator.destroy(tunnel);
    const host = try request.text("host") orelse "localhost";
    const local = std.mem.eql(u8, host, "localhost");
    const first = if (local) loopback(port) else try addressOf(host, port);
    tunnel.* = .{ .stream = stream, .other = if (local) loopback6(port) else null };
    tunnel.open(&first) catch |cause| {
        const other = tunnel.other orelse return cause;
        tunnel.other = null;
        try tunnel.open(&other);
    };
    stream.task = .{ .tunnel = tunnel };
}

fn loopback(port: u16) Address {
    const bytes = [4]u8{ 127, 0, 0, 1 };
    return .{ .four = .{ .port = std.mem.nativeToBig(u16, port), .addr = @bitCast(bytes) } };
}

fn loopback6(port: u16) Address {
    var bytes: [16]u8 = @splat(0);
    bytes[15] = 1;
    return .{ .six = .{ .port = std.mem.nativeToBig(u16, port), .flowinfo = 0, .addr = bytes, .scope_id = 0 } };
}

/// The agent resolves no names: it has no resolver, and the VM's could be anything.
fn addressOf(host: []const u8, port: u16) fault.Fault!Address {
    const parsed = std.Io.net.IpAddress.parse(host, port) catch return fault.refuse(.invalid_argument, "host must be an IP address");
    return switch (parsed) {
        .ip4 => |four| .{ .four = .{ .port = std.mem.nativeToBig(u16, port), .addr = @bitCast(four.bytes) } },
        .ip6 => |six| .{ .six = .{ .port = std.mem.nativeToBig(u16, port), .flowinfo = 0, .addr = six.bytes, .scope_id = 0 } },
    };
}
