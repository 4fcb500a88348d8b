//! Paths as text, and walks that follow no symbolic link.

const std = @import("std");
const sys = @import("sys.zig");
const linux = sys.linux;

pub fn baseName(path: []const u8) []const u8 {
    const trimmed = std.mem.trimEnd(u8, path, "/");
    if (trimmed.len == 0) return path[0..@min(1, path.len)];
    const slash = std.mem.findScalarLast(u8, trimmed, '/') orelse return trimmed;
    return trimmed[slash + 1 ..];
}

/// What is before the last name; empty for a name alone.
pub fn parent(path: []const u8) []const u8 {
    const trimmed = std.mem.trimEnd(u8, path, "/");
    const slash = std.mem.findScalarLast(u8, trimmed, '/') orelse return "";
    return trimmed[0 .. slash + 1];
}

/// Make the directories above the last name, as far as they are missing. `path` is written to, and as it was after.
pub fn makeParents(path: [:0]u8) sys.Error!void {
    var position: usize = 1;
    while (position < path.len) : (position += 1) {
        if (path[position] != '/' or path[position - 1] == '/') continue;
        if (std.mem.trimStart(u8, path[position..], "/").len == 0) return;
        path[position] = 0;
        defer path[position] = '/';
        try makeDirectory(path[0..position :0]);
    }
}

/// Make it unless it is there.
pub fn makeDirectory(path: [:0]const u8) sys.Error!void {
    _ = sys.check(linux.mkdir(path, 0o777)) catch |fault| switch (sys.last) {
        .EXIST => {},
        else => return fault,
    };
}

const directory_flags: linux.O = .{ .PATH = true, .DIRECTORY = true, .NOFOLLOW = true };

/// Open a directory below `root` component by component. Names are separated by single slashes, without `..`.
pub fn openBelow(root: i32, path: []const u8, create: bool) sys.Error!i32 {
    var current = try sys.openat(root, ".", directory_flags, 0);
    errdefer sys.close(current);
    var names = std.mem.tokenizeScalar(u8, path, '/');
    while (names.next()) |name| {
        var buffer: [256]u8 = undefined;
        if (name.len >= buffer.len) return sys.fail(.NAMETOOLONG);
        @memcpy(buffer[0..name.len], name);
        buffer[name.len] = 0;
        const text = buffer[0..name.len :0];
        const next = sys.openat(current, text, directory_flags, 0) catch |fault| missing: {
            if (!create or sys.last != .NOENT) return fault;
            _ = try sys.check(linux.mkdirat(current, text, 0o777));
            break :missing try sys.openat(current, text, directory_flags, 0);
        };
        sys.close(current);
        current = next;
    }
    return current;
}
