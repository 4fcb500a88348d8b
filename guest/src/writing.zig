//! The operation `write`: DATA to a file, which appears whole or not at all.

const std = @import("std");
const fault = @import("fault.zig");
const files = @import("files.zig");
const heap = @import("heap.zig");
const paths = @import("paths.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

const cwd = linux.AT.FDCWD;
const default_mode = 0o644;

pub const Writing = struct {
    stream: *Stream,
    fd: i32,
    path: [:0]const u8,
    /// The name until all bytes are there; null when appending.
    temporary: ?[:0]const u8,
    /// The permission bits it gets in the end: a write by anybody but root clears the set-user-id bit.
    mode: ?i64 = null,
    written: u64 = 0,

    pub fn pump(_: *Writing) Pump {
        return .idle;
    }

    pub fn data(writing: *Writing, bytes: []const u8) void {
        sys.writeAll(writing.fd, bytes) catch |cause| {
            _ = writing.stream.fail(cause);
            return;
        };
        writing.written += bytes.len;
        writing.stream.consumed(bytes.len);
    }

    pub fn eof(writing: *Writing) void {
        const stream = writing.stream;
        if (writing.mode) |bits| _ = sys.check(linux.fchmod(writing.fd, @intCast(bits))) catch |cause| {
            _ = stream.fail(cause);
            return;
        };
        if (writing.temporary) |temporary| {
            _ = sys.check(linux.renameat2(cwd, temporary, cwd, writing.path, .{})) catch |cause| {
                _ = stream.fail(cause);
                return;
            };
            heap.allocator.free(temporary);
            writing.temporary = null;
        }
        var object = stream.begin(.end);
        object.int("bytes", writing.written);
        stream.finish(&object);
        _ = stream.over();
    }

    pub fn close(writing: *Writing) void {
        sys.close(writing.fd);
        if (writing.temporary) |temporary| {
            _ = linux.unlink(temporary);
            heap.allocator.free(temporary);
        }
        heap.allocator.free(writing.path);
        heap.allocator.destroy(writing);
    }
};

pub fn start(stream: *Stream, request: *const Request) fault.Fault!void {
    const path = try request.path("path");
    const asked_mode = try request.int("mode", 0, files.most_mode);
    const append = try request.boolean("append") orelse false;
    const uid = try request.int("uid", 0, std.math.maxInt(u32) - 1);
    const gid = try request.int("gid", 0, std.math.maxInt(u32) - 1);
    if (try request.boolean("parents") orelse false) try paths.makeParents(@constCast(path));

    const writing = try heap.allocator.create(Writing);
    errdefer heap.allocator.destroy(writing);
    const kept_path = try heap.allocator.dupeSentinel(u8, path, 0);
    errdefer heap.allocator.free(kept_path);
    const old = sys.stat(cwd, path, append) catch |cause| if (sys.last == .NOENT) null else return cause;
    if (old) |info| {
        if (linux.S.ISDIR(info.mode)) return sys.fail(.ISDIR);
        // A device or pipe must not be replaced by a file.
        if (!linux.S.ISREG(info.mode) and !linux.S.ISLNK(info.mode)) return fault.refuse(.unsupported, "not a regular file");
    }
    writing.* = .{ .stream = stream, .fd = -1, .path = kept_path, .temporary = null };
    if (append) {
        writing.fd = try sys.open(path, .{ .ACCMODE = .WRONLY, .CREAT = true, .APPEND = true, .NOCTTY = true }, default_mode);
    } else {
        const temporary = try temporaryName(path);
        errdefer heap.allocator.free(temporary);
        writing.fd = try sys.open(temporary, .{ .ACCMODE = .WRONLY, .CREAT = true, .EXCL = true }, 0o600);
        writing.temporary = temporary;
    }
    errdefer {
        sys.close(writing.fd);
        if (writing.temporary) |temporary| _ = linux.unlink(temporary);
    }
    if (uid != null or gid != null) {
        const unchanged: i64 = std.math.maxInt(u32);
        _ = try sys.check(linux.fchown(writing.fd, @intCast(uid orelse unchanged), @intCast(gid orelse unchanged)));
    }
    // A file that is replaced hands its mode on.
    writing.mode = asked_mode orelse if (append) null else if (old) |info| kept: {
        break :kept if (linux.S.ISREG(info.mode)) info.mode & 0o777 else default_mode;
    } else default_mode;
    stream.replyEmpty();
    stream.task = .{ .writing = writing };
}

fn temporaryName(path: []const u8) fault.Fault![:0]u8 {
    var random: [8]u8 = undefined;
    _ = try sys.check(linux.getrandom(&random, random.len, 0));
    const parts = [_][]const u8{ paths.parent(path), ".aetherium-", &std.fmt.bytesToHex(random, .lower) };
    return std.mem.concatWithSentinel(heap.allocator, u8, &parts, 0);
}
