//! One output channel of a process: reads its pipe, or its terminal, into the ring.

const std = @import("std");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Process = @import("process.zig").Process;
const Ring = @import("ring.zig").Ring;
const View = @import("view.zig").View;

/// Bytes read before others have their turn.
const share = 512 * 1024;
/// What a pipe holds when it is made; one that is ever found so full is worth more.
const usual_pipe = 64 * 1024;
const busy_pipe = 256 * 1024;
/// Bytes that may lie in a terminal's buffers unseen.
const terminal_rest = 128 * 1024;

const F_SETPIPE_SZ = 1031;

pub const Channel = struct {
    process: *Process,
    index: u1,
    source: loops.Source = .{ .ready = onReady },
    ring: Ring,
    open: bool = false,
    readable: bool = false,
    /// The other side hung up: only an end of file says that there is no more.
    hung_up: bool = false,
    enlarged: bool = false,
    /// Set when the process has ended and others still hold the pipe: read up to here, then close.
    limit: ?u64 = null,
    queued: bool = false,
    node: std.DoublyLinkedList.Node = .{},

    /// Take over a descriptor that does not block.
    pub fn watch(channel: *Channel, fd: i32) sys.Error!void {
        channel.source.fd = fd;
        const also: u32 = if (channel.process.tty) loops.writable else 0;
        try channel.process.agent.loop.add(&channel.source, loops.readable | loops.edge | also);
        channel.open = true;
    }

    fn onReady(source: *loops.Source, events: u32) void {
        const channel: *Channel = @fieldParentPtr("source", source);
        if (events & loops.hung_up != 0) channel.hung_up = true;
        if (events & loops.writable != 0) channel.process.stdin.pump();
        if (events & (loops.readable | loops.hung_up) == 0) return;
        channel.readable = true;
        channel.process.agent.scheduleRead(channel);
    }

    /// Bytes that may be read without overwriting what an attached stream has not been sent.
    fn space(channel: *const Channel) usize {
        var behind: u64 = 0;
        var views = channel.process.views.first;
        while (views) |node| : (views = node.next) {
            const view: *View = @fieldParentPtr("node", node);
            behind = @max(behind, channel.ring.written - view.offsets[channel.index]);
        }
        return @intCast(channel.ring.capacity - behind);
    }

    /// A stream was sent bytes, or went away: there may be space again.
    pub fn spaceMade(channel: *Channel) void {
        if (channel.open and channel.readable) channel.process.agent.scheduleRead(channel);
    }

    /// Read what there is and room for. True: the turn's share is used up and there is more.
    pub fn read(channel: *Channel) bool {
        const before = channel.ring.written;
        defer if (channel.ring.written != before or !channel.open) channel.process.wakeViews();
        var left: usize = share;
        while (channel.open and channel.readable) {
            if (left == 0) return true;
            const count = @min(left, channel.space());
            if (count == 0) return false;
            left -= channel.readOnce(count) orelse return false;
        }
        return false;
    }

    /// One read of at most `count` bytes. Null: nothing more for now.
    fn readOnce(channel: *Channel, count: usize) ?usize {
        var parts = channel.ring.space(count) catch {
            // No memory for output. Losing bytes silently would be worse than to end the channel.
            channel.close();
            return null;
        };
        if (channel.limit) |limit| {
            if (limit <= channel.ring.written) {
                channel.close();
                return null;
            }
        }
        var vectors: [2]std.posix.iovec = undefined;
        for (&vectors, &parts) |*vector, part| vector.* = .{ .base = part.ptr, .len = part.len };
        const got = sys.check(linux.readv(channel.source.fd, &vectors, if (parts[1].len > 0) 2 else 1)) catch {
            switch (sys.last) {
                .INTR => return 0,
                .AGAIN => {
                    channel.readable = false;
                    if (channel.limit != null) channel.close();
                },
                // A terminal says so while nobody has it open. Its process may only have let go of it: closing our
                // end now would hang up on that process, so it stays open until the process has ended.
                .IO => if (channel.process.tty and !channel.process.ended) {
                    channel.readable = false;
                } else channel.close(),
                else => channel.close(),
            }
            return null;
        };
        if (got == 0) {
            channel.close();
            return null;
        }
        channel.ring.wrote(got);
        if (got >= usual_pipe and !channel.enlarged and !channel.process.tty) {
            channel.enlarged = true;
            _ = linux.fcntl(channel.source.fd, F_SETPIPE_SZ, busy_pipe);
        }
        if (got < count and !channel.hung_up and !channel.process.tty and channel.limit == null) channel.readable = false;
        return got;
    }

    /// The process has ended: read on until there is nothing, without waiting for more news.
    pub fn drain(channel: *Channel) void {
        if (!channel.open) return;
        channel.hung_up = true;
        channel.readable = true;
        channel.process.agent.scheduleRead(channel);
    }

    /// Others held the pipe for too long after that: what lies in it now is the rest.
    pub fn abandon(channel: *Channel) void {
        if (!channel.open) return;
        var waiting: i32 = 0;
        _ = linux.ioctl(channel.source.fd, linux.T.FIONREAD, @intFromPtr(&waiting));
        channel.limit = channel.ring.written + if (channel.process.tty) terminal_rest else @as(u64, @intCast(@max(0, waiting)));
        channel.drain();
    }

    fn close(channel: *Channel) void {
        channel.open = false;
        channel.readable = false;
        // The terminal's other direction ends with it.
        if (channel.process.tty) channel.process.stdin.close();
        channel.process.agent.loop.close(&channel.source);
        channel.process.channelClosed();
    }
};
