//! What `stat` and `dir` say about one file.

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
    object.int("mtime_ns", @as(i128, info.mtime.sec) * 1_000_000_000 + info.mtime.nsec);
    if (!linux.S.ISLNK(info.mode)) return;
    var target: [longest_target]u8 = undefined;
    const length = sys.check(linux.readlinkat(directory, path, &target, target.len)) catch return;
    object.os("target", target[0..length]);
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
