//! The input of a process: bytes from attached streams on their way into its pipe or terminal.

const std = @import("std");
const heap = @import("heap.zig");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Process = @import("process.zig").Process;
const View = @import("view.zig").View;

/// Bytes kept for a process that does not read, of streams that are gone.
const most_orphaned = 1024 * 1024;

/// Bytes the process has not taken yet. Those of an attached stream are bounded by its credit.
const Segment = struct {
    view: ?*View,
    bytes: []u8,
    taken: usize = 0,
    node: std.DoublyLinkedList.Node = .{},
};

pub const Stdin = struct {
    process: *Process,
    /// The pipe. A terminal is watched through its output channel instead.
    source: loops.Source = .{ .ready = onReady },
    open: bool = false,
    watched: bool = false,
    ended: bool = false,
    segments: std.DoublyLinkedList = .{},
    orphaned: usize = 0,
    last_byte: u8 = '\n',

    fn onReady(source: *loops.Source, _: u32) void {
        const stdin: *Stdin = @fieldParentPtr("source", source);
        stdin.pump();
    }

    fn fd(stdin: *const Stdin) i32 {
        return if (stdin.process.tty) stdin.process.channels[0].source.fd else stdin.source.fd;
    }

    pub fn feed(stdin: *Stdin, view: *View, bytes: []const u8) void {
        if (!stdin.open or stdin.ended) return view.stream.consumed(bytes.len);
        var taken: usize = 0;
        if (stdin.segments.first == null) taken = stdin.writeSome(bytes) orelse bytes.len;
        if (taken > 0) view.stream.consumed(taken);
        if (taken == bytes.len or !stdin.open) return;
        stdin.keep(view, bytes[taken..]) catch view.stream.connection.fail();
    }

    fn keep(stdin: *Stdin, view: *View, bytes: []const u8) !void {
        const segment = try heap.allocator.create(Segment);
        errdefer heap.allocator.destroy(segment);
        segment.* = .{ .view = view, .bytes = try heap.allocator.dupe(u8, bytes) };
        stdin.segments.append(&segment.node);
    }

    /// No more input: what is queued still goes in.
    pub fn end(stdin: *Stdin) void {
        if (!stdin.open) return;
        stdin.ended = true;
        stdin.pump();
    }

    pub fn pump(stdin: *Stdin) void {
        while (stdin.open) {
            const node = stdin.segments.first orelse {
                if (stdin.ended) stdin.finish();
                return;
            };
            const segment: *Segment = @fieldParentPtr("node", node);
            const count = stdin.writeSome(segment.bytes[segment.taken..]) orelse return;
            if (count == 0) return;
            if (segment.view) |view| view.stream.consumed(count) else stdin.orphaned -= count;
            segment.taken += count;
            if (segment.taken == segment.bytes.len) stdin.drop(segment);
        }
    }

    /// Bytes that went in; null when the input is closed now, and everything queued was dropped.
    fn writeSome(stdin: *Stdin, bytes: []const u8) ?usize {
        const count = sys.write(stdin.fd(), bytes) catch {
            if (sys.last == .AGAIN) {
                stdin.watch();
                return if (stdin.open) 0 else null;
            }
            stdin.close();
            return null;
        };
        if (count > 0) stdin.last_byte = bytes[count - 1];
        if (count < bytes.len) stdin.watch();
        return if (stdin.open) count else null;
    }

    fn watch(stdin: *Stdin) void {
        if (stdin.watched or stdin.process.tty) return;
        stdin.watched = true;
        stdin.process.agent.loop.add(&stdin.source, loops.writable | loops.edge) catch stdin.close();
    }

    fn finish(stdin: *Stdin) void {
        if (!stdin.process.tty) return stdin.close();
        var settings: linux.termios = undefined;
        _ = sys.check(linux.tcgetattr(stdin.fd(), &settings)) catch return;
        const character = settings.cc[@backingInt(linux.V.EOF)];
        // In the middle of a line the first one only hands the line over.
        const twice = settings.lflag.ICANON and stdin.last_byte != '\n';
        const typed = [2]u8{ character, character };
        _ = sys.write(stdin.fd(), typed[0..if (twice) 2 else 1]) catch {
            if (sys.last == .AGAIN) return;
        };
        stdin.open = false;
    }

    /// The process takes no more: swallow what is queued and what may come.
    pub fn close(stdin: *Stdin) void {
        stdin.open = false;
        stdin.process.agent.loop.close(&stdin.source);
        while (stdin.segments.first) |node| {
            const segment: *Segment = @fieldParentPtr("node", node);
            if (segment.view) |view| view.stream.consumed(segment.bytes.len - segment.taken);
            stdin.drop(segment);
        }
        stdin.orphaned = 0;
    }

    /// The stream goes away; what it sent still goes in.
    pub fn detach(stdin: *Stdin, view: *View) void {
        var next = stdin.segments.first;
        while (next) |node| {
            next = node.next;
            const segment: *Segment = @fieldParentPtr("node", node);
            if (segment.view != view) continue;
            segment.view = null;
            const left = segment.bytes.len - segment.taken;
            if (stdin.orphaned + left > most_orphaned) {
                stdin.drop(segment);
            } else {
                stdin.orphaned += left;
            }
        }
    }

    fn drop(stdin: *Stdin, segment: *Segment) void {
        stdin.segments.remove(&segment.node);
        heap.allocator.free(segment.bytes);
        heap.allocator.destroy(segment);
    }
};
