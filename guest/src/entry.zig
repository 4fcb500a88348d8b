//! What `stat` and `dir` say about one file.

const std = @import("std");
const json = @import("json.zig");
const sys = @import("sys.zig");
const linux = sys.linux;

const longest_target = 4096;

pub fn describe(object: *json.Object, name: []const u8, info: *const linux.Statx, directory: i32, path: [*:0]const u8) void {
    object.os("name", name);
    object.text("type", typeOf(info.mode));
    object.int("size", info.size);
    object.int("mode", info.mode & 0o7777);
    object.int("uid", info.uid);
    object.int("gid", info.gid);
    object.int("mtime_ns", modified(&info.mtime));
    if (!linux.S.ISLNK(info.mode)) return;
    var target: [longest_target]u8 = undefined;
    const length = sys.check(linux.readlinkat(directory, path, &target, target.len)) catch return;
    object.os("target", target[0..length]);
}

/// Some file systems take times that nanoseconds in 64 bits do not hold: the nearest is as good.
fn modified(time: *const linux.statx_timestamp) i64 {
    return std.math.lossyCast(i64, @as(i128, time.sec) * std.time.ns_per_s + time.nsec);
}

fn typeOf(mode: u32) []const u8 {
    return switch (mode & linux.S.IFMT) {
        linux.S.IFDIR => "directory",
        linux.S.IFLNK => "symlink",
        linux.S.IFIFO => "fifo",
        linux.S.IFSOCK => "socket",
        linux.S.IFCHR => "char",
        linux.S.IFBLK => "block",
        else => "file",
    };
}
