//! The operation `ports`: TCP ports with a listener, from /proc/net.

const std = @import("std");
const fault = @import("fault.zig");
const json = @import("json.zig");
const sys = @import("sys.zig");
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

/// As many as surely fit in one REPLY.
const most_ports = 8192;
const listening = "0A";

const Set = std.bit_set.Static(65536);

pub fn ports(stream: *Stream, request: *const Request) fault.Fault!void {
    const found = try request.arena.create(Set);
    found.* = .empty;
    const four = try collect(found, "/proc/net/tcp");
    const six = try collect(found, "/proc/net/tcp6");
    if (!four and !six) return fault.refuse(.unsupported, "/proc is not mounted");
    var object = stream.begin(.reply);
    object.key("ports");
    object.buffer.append("[");
    var count: usize = 0;
    var iterator = found.iterator(.{});
    while (iterator.next()) |port| : (count += 1) {
        if (count == most_ports) break;
        if (count > 0) object.buffer.append(",");
        json.integer(object.buffer, port);
    }
    object.buffer.append("]");
    stream.finish(&object);
}

/// False: there is no such table.
fn collect(found: *Set, path: [*:0]const u8) fault.Fault!bool {
    const fd = sys.open(path, .{}, 0) catch return false;
    defer sys.close(fd);
    var buffer: [4096]u8 = undefined;
    var length: usize = 0;
    while (true) {
        const got = try sys.read(fd, buffer[length..]);
        if (got == 0) return true;
        length += got;
        var start: usize = 0;
        while (std.mem.findScalarPos(u8, buffer[0..length], start, '\n')) |end| {
            addLine(found, buffer[start..end]);
            start = end + 1;
        }
        // A line that fills the whole buffer is none of the kernel's.
        if (start == 0 and length == buffer.len) return true;
        std.mem.copyForwards(u8, buffer[0..], buffer[start..length]);
        length -= start;
    }
}

/// `sl local_address rem_address st ...`, the addresses as hex address:port.
fn addLine(found: *Set, line: []const u8) void {
    var fields = std.mem.tokenizeScalar(u8, line, ' ');
    _ = fields.next();
    const local = fields.next() orelse return;
    _ = fields.next();
    const state = fields.next() orelse return;
    if (!std.mem.eql(u8, state, listening)) return;
    const colon = std.mem.findScalarLast(u8, local, ':') orelse return;
    found.set(std.fmt.parseInt(u16, local[colon + 1 ..], 16) catch return);
}
