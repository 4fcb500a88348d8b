//! What /proc says about processes.

const std = @import("std");
const sys = @import("sys.zig");
const linux = sys.linux;
const Allocator = std.mem.Allocator;

/// Ticks of /proc/PID/stat: the kernel's interface has them at 100 a second on every architecture here.
const tick_ns = 10 * std.time.ns_per_ms;

pub const Entry = struct {
    pid: i32,
    parent: i32,
    zombie: bool,
    cpu_ns: u64,
    memory_bytes: u64,
};

/// Every process there is to see.
pub fn processes(gpa: Allocator) error{ System, OutOfMemory }![]Entry {
    const directory = try sys.open("/proc", .{ .DIRECTORY = true }, 0);
    defer sys.close(directory);
    var entries: std.ArrayList(Entry) = .empty;
    errdefer entries.deinit(gpa);
    var buffer: [4096]u8 align(8) = undefined;
    while (true) {
        const count = try sys.check(linux.getdents64(directory, &buffer, buffer.len));
        if (count == 0) break;
        var position: usize = 0;
        while (position < count) {
            const record: *align(1) const linux.dirent64 = @ptrCast(&buffer[position]);
            const name = std.mem.sliceTo(buffer[position + @offsetOf(linux.dirent64, "name") .. position + record.reclen], 0);
            position += record.reclen;
            const pid = std.fmt.parseInt(i32, name, 10) catch continue;
            if (entryOf(pid)) |entry| try entries.append(gpa, entry);
        }
    }
    return entries.toOwnedSlice(gpa);
}

fn entryOf(pid: i32) ?Entry {
    var path: [32]u8 = undefined;
    var buffer: [1024]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&path, "/proc/{d}/stat", .{pid}, 0) catch return null;
    const text = sys.readFile(name, &buffer) orelse return null;
    // The command's name is in parentheses and may have any character in it.
    const close = std.mem.findScalarLast(u8, text, ')') orelse return null;
    var fields = std.mem.tokenizeScalar(u8, text[close + 1 ..], ' ');
    const state = fields.next() orelse return null;
    const parent = number(&fields, 0) orelse return null;
    // utime and stime are the 14th and 15th field, rss the 24th.
    const user = number(&fields, 9) orelse return null;
    const kernel = number(&fields, 0) orelse return null;
    const pages = number(&fields, 8) orelse return null;
    return .{
        .pid = pid,
        .parent = @intCast(parent),
        .zombie = state[0] == 'Z',
        .cpu_ns = (user + kernel) *| tick_ns,
        .memory_bytes = pages *| std.heap.pageSize(),
    };
}

fn number(fields: *std.mem.TokenIterator(u8, .scalar), skip: usize) ?u64 {
    for (0..skip) |_| _ = fields.next();
    return std.fmt.parseInt(u64, fields.next() orelse return null, 10) catch null;
}

/// Pids of all living descendants of the agent.
pub fn descendants(gpa: Allocator) error{ System, OutOfMemory }![]i32 {
    const entries = try processes(gpa);
    defer gpa.free(entries);
    var found: std.ArrayList(i32) = .empty;
    errdefer found.deinit(gpa);
    try found.append(gpa, linux.getpid());
    // Generation by generation; `found` grows while it is walked.
    var index: usize = 0;
    while (index < found.items.len) : (index += 1) {
        for (entries) |entry| {
            if (entry.parent == found.items[index] and !entry.zombie) try found.append(gpa, entry.pid);
        }
    }
    _ = found.orderedRemove(0);
    return found.toOwnedSlice(gpa);
}
