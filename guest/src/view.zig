//! A stream that is attached to a process: what it has been sent of each channel, and the input it passes on.

const std = @import("std");
const frame = @import("frame.zig");
const heap = @import("heap.zig");
const Process = @import("process.zig").Process;
const Pump = @import("stream.zig").Pump;
const Stream = @import("stream.zig").Stream;

/// Less than this is copied into the connection's buffer: it then shares a write with what comes behind it.
const worth_bulk = 16 * 1024;

pub const View = struct {
    process: *Process,
    stream: *Stream,
    node: std.DoublyLinkedList.Node = .{},
    offsets: [2]u64,
    eof_sent: [2]bool,
    takes_input: bool,
    /// The channel to look at first, so that a busy one does not starve the other.
    turn: u1 = 0,

    /// Attach the stream. Offsets must lie within what is kept.
    pub fn create(process: *Process, stream: *Stream, offsets: [2]u64, takes_input: bool) !*View {
        const view = try heap.allocator.create(View);
        view.* = .{
            .process = process,
            .stream = stream,
            .offsets = offsets,
            .eof_sent = .{ false, process.tty },
            .takes_input = takes_input,
        };
        process.views.append(&view.node);
        stream.task = .{ .view = view };
        return view;
    }

    pub fn close(view: *View) void {
        view.process.detach(view);
        heap.allocator.destroy(view);
    }

    pub fn data(view: *View, bytes: []const u8) void {
        if (!view.takes_input) return view.stream.consumed(bytes.len);
        view.process.stdin.feed(view, bytes);
    }

    pub fn eof(view: *View) void {
        if (view.takes_input) view.process.stdin.end();
    }

    pub fn pump(view: *View) Pump {
        for ([_]u1{ view.turn, ~view.turn }) |index| {
            const ring = &view.process.channels[index].ring;
            const waiting = ring.written - view.offsets[index];
            const count: usize = @intCast(@min(waiting, frame.max_data, view.stream.credit));
            if (count == 0) continue;
            view.turn = ~index;
            const parts = ring.bytes(view.offsets[index], count);
            const connection = view.stream.connection;
            if (count >= worth_bulk) {
                connection.agent.bulk.add(view, index, parts);
                return .bulk;
            }
            connection.begin(.data, view.stream.id, index);
            for (parts) |part| connection.out.append(part);
            _ = connection.finish();
            view.sent(index, count);
            return .more;
        }
        return view.conclude();
    }

    fn conclude(view: *View) Pump {
        if (!view.process.tell_eof) return .idle;
        for (&view.process.channels, 0..) |*channel, index| {
            if (channel.open or view.eof_sent[index] or view.offsets[index] < channel.ring.written) continue;
            view.eof_sent[index] = true;
            view.stream.connection.begin(.eof, view.stream.id, @intCast(index));
            _ = view.stream.connection.finish();
        }
        if (!view.process.ended or !view.eof_sent[0] or !view.eof_sent[1]) return .idle;
        var object = view.stream.begin(.end);
        view.process.result(&object);
        view.stream.finish(&object);
        return view.stream.over();
    }

    /// The next bytes of a channel went to the socket.
    pub fn sent(view: *View, index: u1, count: usize) void {
        view.offsets[index] += count;
        view.stream.credit -= count;
        view.process.channels[index].spaceMade();
    }
};
