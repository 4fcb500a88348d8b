//! The operations by name.

const std = @import("std");
const fault = @import("fault.zig");
const frame = @import("frame.zig");
const heap = @import("heap.zig");
const json = @import("json.zig");
const exec = @import("exec.zig");
const files = @import("files.zig");
const system = @import("system.zig");
const Connection = @import("connection.zig").Connection;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

/// Answers the request, or leaves a task on the stream that will.
const Operation = *const fn (stream: *Stream, request: *const Request) fault.Fault!void;

const table = [_]struct { []const u8, Operation }{
    .{ "exec", exec.exec },
    .{ "attach", exec.attach },
    .{ "signal", exec.signal },
    .{ "resize", exec.resize },
    .{ "list", @import("listing.zig").start },
    .{ "stat", files.stat },
    .{ "dir", @import("directory.zig").start },
    .{ "read", @import("reading.zig").start },
    .{ "write", @import("writing.zig").start },
    .{ "mkdir", files.mkdir },
    .{ "move", files.move },
    .{ "remove", files.remove },
    .{ "chmod", files.chmod },
    .{ "upload", @import("tar_read.zig").start },
    .{ "download", @import("tar_write.zig").start },
    .{ "watch", @import("watch.zig").start },
    .{ "connect", @import("tunnel.zig").start },
    .{ "ports", @import("ports.zig").ports },
    .{ "metrics", @import("metrics.zig").metrics },
    .{ "configure", system.configure },
    .{ "thaw", system.thaw },
    .{ "shutdown", @import("ending.zig").start },
};

pub const names: [table.len][]const u8 = blk: {
    var all: [table.len][]const u8 = undefined;
    for (table, 0..) |entry, index| all[index] = entry[0];
    break :blk all;
};

/// Open the stream and start what the request asks for. Malformed: the payload is no JSON object.
pub fn start(connection: *Connection, id: u32, payload: []const u8) error{ Malformed, OutOfMemory }!void {
    var arena: std.heap.ArenaAllocator = .init(heap.allocator);
    defer arena.deinit();
    const value = try json.parse(arena.allocator(), payload);
    if (value != .object) return error.Malformed;
    const request: Request = .{ .arena = arena.allocator(), .members = value.object };
    const full = connection.open_streams >= frame.max_streams;
    const stream = try connection.open(id);
    dispatch(stream, &request, full) catch |cause| {
        _ = stream.fail(cause);
        return;
    };
    if (stream.task == null) stream.destroy();
}

fn dispatch(stream: *Stream, request: *const Request, full: bool) fault.Fault!void {
    if (full) return fault.refuse(.resource_exhausted, "too many open streams");
    const name = try request.text("op") orelse return fault.refuse(.invalid_argument, "the op is missing");
    for (table) |entry| {
        if (std.mem.eql(u8, entry[0], name)) return entry[1](stream, request);
    }
    return fault.refuse(.unsupported, "the agent does not know this op");
}
