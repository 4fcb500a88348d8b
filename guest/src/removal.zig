//! Removes files and trees. A tree is walked without following symbolic links and with one directory open at a time, so
//! that neither its depth nor what others do to it meanwhile matters.

const std = @import("std");
const dirents = @import("dirents.zig");
const fault = @import("fault.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Allocator = std.mem.Allocator;

const directory_flags: linux.O = .{ .DIRECTORY = true, .NOFOLLOW = true };

pub fn remove(arena: Allocator, path: [:0]const u8, recursive: bool) fault.Fault!void {
    _ = sys.check(linux.unlinkat(linux.AT.FDCWD, path, 0)) catch |cause| {
        // Some file systems say EPERM of a directory.
        if (sys.last != .ISDIR and sys.last != .PERM) return cause;
        const refusal = sys.last;
        _ = sys.check(linux.unlinkat(linux.AT.FDCWD, path, linux.AT.REMOVEDIR)) catch |second| {
            if (sys.last == .NOTDIR) return sys.fail(refusal);
            if (!recursive or !isNotEmpty()) return second;
            try empty(arena, path);
            _ = try sys.check(linux.unlinkat(linux.AT.FDCWD, path, linux.AT.REMOVEDIR));
        };
    };
}

fn isNotEmpty() bool {
    return sys.last == .NOTEMPTY or sys.last == .EXIST;
}

/// A directory on the way down: its name in the one above, and which that was.
const Level = struct { name: [:0]const u8, above: linux.Statx };

fn empty(arena: Allocator, path: [:0]const u8) fault.Fault!void {
    var levels: std.ArrayList(Level) = .empty;
    var current = try sys.open(path, directory_flags, 0);
    defer sys.close(current);
    while (true) {
        if (try unlinkHere(arena, current)) |name| {
            const below = try sys.openat(current, name, directory_flags, 0);
            errdefer sys.close(below);
            try levels.append(arena, .{ .name = name, .above = try sys.fstat(current) });
            sys.close(current);
            current = below;
            continue;
        }
        const level = levels.pop() orelse return;
        const above = try sys.openat(current, "..", directory_flags, 0);
        sys.close(current);
        current = above;
        // Somebody may have moved the directory away from under the walk.
        const info = try sys.fstat(above);
        const same = info.ino == level.above.ino and info.dev_major == level.above.dev_major and info.dev_minor == level.above.dev_minor;
        if (!same) return sys.fail(.BUSY);
        _ = try sys.check(linux.unlinkat(above, level.name, linux.AT.REMOVEDIR));
        arena.free(level.name);
    }
}

/// Remove what can be removed at once; returns a directory that is not empty, or null when nothing is left.
fn unlinkHere(arena: Allocator, fd: i32) fault.Fault!?[:0]const u8 {
    var reader: dirents.Reader = .{ .fd = fd };
    while (true) {
        try reader.rewind();
        var found = false;
        while (try reader.next()) |item| {
            found = true;
            if (item.kind != linux.DT.DIR) {
                if (sys.check(linux.unlinkat(fd, item.name, 0))) |_| continue else |cause| {
                    if (sys.last == .NOENT) continue;
                    if (sys.last != .ISDIR and item.kind != linux.DT.UNKNOWN) return cause;
                }
            }
            _ = sys.check(linux.unlinkat(fd, item.name, linux.AT.REMOVEDIR)) catch |cause| {
                if (sys.last == .NOENT) continue;
                if (!isNotEmpty()) return cause;
                return try arena.dupeSentinel(u8, item.name, 0);
            };
        }
        if (!found) return null;
    }
}
