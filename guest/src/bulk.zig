//! DATA frames whose payload goes to the socket straight from a process's ring, behind the frames that were built in the
//! connection's own buffer.

const std = @import("std");
const frame = @import("frame.zig");
const sys = @import("sys.zig");
const Connection = @import("connection.zig").Connection;
const View = @import("view.zig").View;

const most = 8;

const Item = struct {
    view: *View,
    channel: u1,
    header: [frame.header_length]u8,
    parts: [2][]const u8,
    length: usize,
};

pub const Bulk = struct {
    items: [most]Item = undefined,
    count: usize = 0,

    pub fn full(bulk: *const Bulk) bool {
        return bulk.count == most;
    }

    pub fn bytes(bulk: *const Bulk) usize {
        var total: usize = 0;
        for (bulk.items[0..bulk.count]) |item| total += frame.header_length + item.length;
        return total;
    }

    pub fn add(bulk: *Bulk, view: *View, channel: u1, parts: [2][]const u8) void {
        const length = parts[0].len + parts[1].len;
        const header: frame.Header = .{ .length = @intCast(length), .stream = view.stream.id, .type = .data, .flags = channel };
        bulk.items[bulk.count] = .{ .view = view, .channel = channel, .header = header.encode(), .parts = parts, .length = length };
        bulk.count += 1;
    }

    /// One write of `first` and all items.
    pub fn write(bulk: *const Bulk, fd: i32, first: []const u8) sys.Error!usize {
        if (bulk.count == 0) return sys.write(fd, first);
        var vectors: [1 + 3 * most]std.posix.iovec_const = undefined;
        var count: usize = 0;
        if (first.len > 0) append(&vectors, &count, first);
        for (bulk.items[0..bulk.count]) |*item| {
            append(&vectors, &count, &item.header);
            for (item.parts) |part| {
                if (part.len > 0) append(&vectors, &count, part);
            }
        }
        while (true) {
            return sys.check(sys.linux.writev(fd, &vectors, count)) catch |fault| {
                if (sys.last == .INTR) continue;
                return fault;
            };
        }
    }

    fn append(vectors: *[1 + 3 * most]std.posix.iovec_const, count: *usize, part: []const u8) void {
        vectors[count.*] = .{ .base = part.ptr, .len = part.len };
        count.* += 1;
    }

    /// The socket took so many bytes of the items. What is left of a frame that began to go out moves to `out`, so that
    /// the frame is complete whatever becomes of its stream; frames that did not begin are made anew later.
    pub fn taken(bulk: *const Bulk, connection: *Connection, written: usize) void {
        var left = written;
        for (bulk.items[0..bulk.count]) |*item| {
            if (left > 0) {
                var skip = left;
                for ([_][]const u8{ &item.header, item.parts[0], item.parts[1] }) |part| {
                    if (skip < part.len) connection.out.append(part[skip..]);
                    skip -|= part.len;
                }
                left -|= frame.header_length + item.length;
                item.view.sent(item.channel, item.length);
            }
            connection.schedule(item.view.stream);
        }
    }
};
