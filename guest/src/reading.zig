//! The operation `read`: a file's bytes as DATA.

const std = @import("std");
const fault = @import("fault.zig");
const frame = @import("frame.zig");
const heap = @import("heap.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

pub const Reading = struct {
    stream: *Stream,
    fd: i32,
    left: u64,
    sent: u64 = 0,

    pub fn pump(reading: *Reading) Pump {
        const stream = reading.stream;
        const connection = stream.connection;
        if (reading.left == 0) return reading.conclude();
        const count: usize = @intCast(@min(frame.max_data, stream.credit, reading.left));
        if (count == 0) return .idle;
        connection.begin(.data, stream.id, 0);
        const space = connection.out.room(count) orelse return .idle;
        const got = sys.read(reading.fd, space[0..count]) catch |cause| {
            connection.abandon();
            return stream.fail(cause);
        };
        if (got == 0) {
            connection.abandon();
            return reading.conclude();
        }
        connection.out.commit(got);
        _ = connection.finish();
        stream.credit -= got;
        reading.left -= got;
        reading.sent += got;
        return .more;
    }

    fn conclude(reading: *Reading) Pump {
        const stream = reading.stream;
        var object = stream.begin(.end);
        object.int("bytes", reading.sent);
        stream.finish(&object);
        return stream.over();
    }

    pub fn data(reading: *Reading, bytes: []const u8) void {
        reading.stream.consumed(bytes.len);
    }

    pub fn eof(_: *Reading) void {}

    pub fn close(reading: *Reading) void {
        sys.close(reading.fd);
        heap.allocator.destroy(reading);
    }
};

pub fn start(stream: *Stream, request: *const Request) fault.Fault!void {
    const path = try request.path("path");
    const offset = try request.int("offset", 0, std.math.maxInt(i64)) orelse 0;
    const length = try request.int("length", 0, std.math.maxInt(i64)) orelse std.math.maxInt(i64);
    const reading = try heap.allocator.create(Reading);
    errdefer heap.allocator.destroy(reading);
    // Without waiting: a named pipe would have the whole agent wait for its writer.
    const fd = try sys.open(path, .{ .NONBLOCK = true, .NOCTTY = true }, 0);
    errdefer sys.close(fd);
    const info = try sys.fstat(fd);
    switch (info.mode & linux.S.IFMT) {
        linux.S.IFDIR => return sys.fail(.ISDIR),
        linux.S.IFIFO, linux.S.IFSOCK => return fault.refuse(.unsupported, "pipes and sockets cannot be read as files"),
        else => {},
    }
    if (offset > 0) _ = try sys.check(@intCast(linux.lseek(fd, offset, linux.SEEK.SET)));
    reading.* = .{ .stream = stream, .fd = fd, .left = @intCast(length) };
    var object = stream.begin(.reply);
    object.int("size", info.size);
    stream.finish(&object);
    stream.task = .{ .reading = reading };
    stream.wake();
}
