//! A stream: one operation of one connection, its credit both ways, and the task that serves it.

const std = @import("std");
const fault = @import("fault.zig");
const frame = @import("frame.zig");
const heap = @import("heap.zig");
const json = @import("json.zig");
const Connection = @import("connection.zig").Connection;

/// What a task's `pump` leaves behind.
pub const Pump = enum {
    /// Nothing to send until something happens.
    idle,
    /// A frame was appended and there may be more.
    more,
    /// Bytes to be sent from where they lie were handed over; pump again when they are gone.
    bulk,
    /// The stream is over and no longer there.
    done,
};

/// The operation behind an open stream. Every task has `pump`, `data`, `eof` and `close`.
pub const Task = union(enum) {
    view: *@import("view.zig").View,
    listing: *@import("listing.zig").Listing,
    directory: *@import("directory.zig").Directory,
    reading: *@import("reading.zig").Reading,
    writing: *@import("writing.zig").Writing,
    upload: *@import("tar_read.zig").Upload,
    download: *@import("tar_write.zig").Download,
    watch: *@import("watch.zig").Watch,
    tunnel: *@import("tunnel.zig").Tunnel,
    ending: *@import("ending.zig").Ending,
};

pub const Stream = struct {
    connection: *Connection,
    id: u32,
    /// Next stream in the same bucket of the connection's table.
    chained: ?*Stream = null,
    task: ?Task = null,
    /// Bytes the agent may still send.
    credit: u64 = frame.guest_window,
    /// Bytes the host may still send.
    allowance: u32 = frame.host_window,
    /// Bytes consumed for which the host has not been given new credit yet.
    returning: u32 = 0,
    input_ended: bool = false,
    ready: bool = false,
    node: std.DoublyLinkedList.Node = .{},

    /// Have the task pumped before this turn ends.
    pub fn wake(stream: *Stream) void {
        stream.connection.schedule(stream);
    }

    pub fn pump(stream: *Stream) Pump {
        if (stream.returning > 0) {
            var bytes: [4]u8 = undefined;
            std.mem.writeInt(u32, &bytes, stream.returning, .little);
            stream.allowance += stream.returning;
            stream.returning = 0;
            stream.connection.send(.window, stream.id, &bytes);
        }
        switch (stream.task orelse return .idle) {
            inline else => |task| return task.pump(),
        }
    }

    pub fn data(stream: *Stream, bytes: []const u8) void {
        switch (stream.task orelse return) {
            inline else => |task| task.data(bytes),
        }
    }

    pub fn eof(stream: *Stream) void {
        stream.input_ended = true;
        switch (stream.task orelse return) {
            inline else => |task| task.eof(),
        }
    }

    /// The host's bytes were taken: give it new credit.
    pub fn consumed(stream: *Stream, count: usize) void {
        stream.returning += @intCast(count);
        stream.wake();
    }

    /// Begin a JSON frame; `finish` completes it.
    pub fn begin(stream: *Stream, kind: frame.Type) json.Object {
        stream.connection.begin(kind, stream.id, 0);
        return .begin(&stream.connection.out);
    }

    pub fn finish(stream: *Stream, object: *json.Object) void {
        object.end();
        _ = stream.connection.finish();
    }

    /// Complete an EVENT. False: there is no credit for it now, and it was taken back.
    pub fn finishEvent(stream: *Stream, object: *json.Object) bool {
        object.end();
        const length = stream.connection.building();
        if (length > stream.credit) {
            stream.connection.abandon();
            return false;
        }
        stream.credit -= length;
        _ = stream.connection.finish();
        return true;
    }

    pub fn replyEmpty(stream: *Stream) void {
        stream.connection.send(.reply, stream.id, "{}");
    }

    pub fn endEmpty(stream: *Stream) Pump {
        stream.connection.send(.end, stream.id, "{}");
        return stream.over();
    }

    /// Answer with an error; the stream is over and no longer there.
    pub fn fail(stream: *Stream, cause: fault.Fault) Pump {
        const details = fault.details(cause);
        var object = stream.begin(.failure);
        object.text("code", @tagName(details.code));
        object.text("message", details.message);
        if (details.errno != 0) object.int("errno", details.errno);
        stream.finish(&object);
        return stream.over();
    }

    /// The last frame was sent: the stream is no longer there.
    pub fn over(stream: *Stream) Pump {
        stream.destroy();
        return .done;
    }

    pub fn destroy(stream: *Stream) void {
        if (stream.task) |task| switch (task) {
            inline else => |object| object.close(),
        };
        stream.connection.forget(stream);
        heap.allocator.destroy(stream);
    }
};
