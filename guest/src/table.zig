//! The processes the agent knows: running ones, and finished ones for as long as they are kept.

const std = @import("std");
const Process = @import("process.zig").Process;

const most_finished = 128;
const most_ring_bytes = 8 * 1024 * 1024;

pub const Table = struct {
    all: std.DoublyLinkedList = .{},
    sequence: u64 = 0,
    running: usize = 0,

    pub fn add(table: *Table, process: *Process) void {
        table.sequence += 1;
        process.sequence = table.sequence;
        table.running += 1;
        table.all.append(&process.node);
    }

    pub fn find(table: *const Table, id: []const u8) ?*Process {
        var processes = table.iterate();
        while (processes.next()) |process| {
            if (std.mem.eql(u8, process.id, id)) return process;
        }
        return null;
    }

    /// The running process with this pid.
    pub fn withPid(table: *const Table, pid: i32) ?*Process {
        var processes = table.iterate();
        while (processes.next()) |process| {
            if (process.pid == pid and !process.ended) return process;
        }
        return null;
    }

    /// The one started next after the one with this sequence number.
    pub fn after(table: *const Table, sequence: u64) ?*Process {
        var next: ?*Process = null;
        var processes = table.iterate();
        while (processes.next()) |process| {
            if (process.sequence <= sequence) continue;
            if (next == null or process.sequence < next.?.sequence) next = process;
        }
        return next;
    }

    pub fn iterate(table: *const Table) Iterator {
        return .{ .node = table.all.first };
    }

    pub const Iterator = struct {
        node: ?*std.DoublyLinkedList.Node,

        pub fn next(iterator: *Iterator) ?*Process {
            const node = iterator.node orelse return null;
            iterator.node = node.next;
            return @fieldParentPtr("node", node);
        }
    };

    /// A process is complete. It moves to the end, so that the list is in order of finishing where that matters.
    pub fn finished(table: *Table, process: *Process) void {
        table.all.remove(&process.node);
        table.all.append(&process.node);
        table.evict();
    }

    /// A complete process lost its last stream.
    pub fn unattached(table: *Table) void {
        table.evict();
    }

    /// Forget what is too much, the oldest first. What a stream still reads stays. A ring goes before its process: how
    /// it ended is worth more than what it wrote.
    fn evict(table: *Table) void {
        var count: usize = 0;
        var bytes: usize = 0;
        var node = table.all.last;
        while (node) |at| {
            node = at.prev;
            const process: *Process = @fieldParentPtr("node", at);
            if (!process.complete or process.views.first != null) continue;
            count += 1;
            if (count > most_finished) {
                table.all.remove(at);
                process.destroy();
                continue;
            }
            for (&process.channels) |*channel| {
                channel.ring.keep(most_ring_bytes -| bytes);
                bytes += channel.ring.footprint();
            }
        }
    }
};
