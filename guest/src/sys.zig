//! System calls with Zig errors. The errno of a failed call stays in `last`: the agent has one thread.

const std = @import("std");
pub const linux = std.os.linux;

pub const Error = error{System};
pub const E = linux.E;

/// The errno of the `check` that failed last.
pub var last: E = .SUCCESS;

pub fn check(result: usize) Error!usize {
    const errno = linux.errno(result);
    if (errno == .SUCCESS) return result;
    last = errno;
    return error.System;
}

pub fn checkFd(result: usize) Error!i32 {
    return @intCast(try check(result));
}

pub fn fail(errno: E) Error {
    last = errno;
    return error.System;
}

pub fn close(fd: i32) void {
    if (fd >= 0) _ = linux.close(fd);
}

/// Reads once; a signal does not interrupt it.
pub fn read(fd: i32, into: []u8) Error!usize {
    while (true) {
        return check(linux.read(fd, into.ptr, into.len)) catch |fault| {
            if (last == .INTR) continue;
            return fault;
        };
    }
}

/// Writes once; a signal does not interrupt it.
pub fn write(fd: i32, bytes: []const u8) Error!usize {
    while (true) {
        return check(linux.write(fd, bytes.ptr, bytes.len)) catch |fault| {
            if (last == .INTR) continue;
            return fault;
        };
    }
}

pub fn writeAll(fd: i32, bytes: []const u8) Error!void {
    var rest = bytes;
    while (rest.len > 0) rest = rest[try write(fd, rest)..];
}

pub fn openat(directory: i32, path: [*:0]const u8, flags: linux.O, mode: u32) Error!i32 {
    var all = flags;
    all.CLOEXEC = true;
    while (true) {
        return checkFd(linux.openat(directory, path, all, mode)) catch |fault| {
            if (last == .INTR) continue;
            return fault;
        };
    }
}

pub fn open(path: [*:0]const u8, flags: linux.O, mode: u32) Error!i32 {
    return openat(linux.AT.FDCWD, path, flags, mode);
}

pub fn setNonBlocking(fd: i32) Error!void {
    const flags = try check(linux.fcntl(fd, linux.F.GETFL, 0));
    var wanted: linux.O = @bitCast(@as(u32, @truncate(flags)));
    if (wanted.NONBLOCK) return;
    wanted.NONBLOCK = true;
    _ = try check(linux.fcntl(fd, linux.F.SETFL, @as(u32, @bitCast(wanted))));
}

/// The file's first bytes, or null when it cannot be read.
pub fn readFile(path: [*:0]const u8, into: []u8) ?[]u8 {
    const fd = open(path, .{}, 0) catch return null;
    defer close(fd);
    var length: usize = 0;
    while (length < into.len) {
        const count = read(fd, into[length..]) catch return null;
        if (count == 0) break;
        length += count;
    }
    return into[0..length];
}

pub fn stat(directory: i32, path: [*:0]const u8, follow: bool) Error!linux.Statx {
    var result: linux.Statx = undefined;
    const flags: u32 = if (follow) 0 else linux.AT.SYMLINK_NOFOLLOW;
    _ = try check(linux.statx(directory, path, flags, .BASIC_STATS, &result));
    return result;
}

pub fn fstat(fd: i32) Error!linux.Statx {
    var result: linux.Statx = undefined;
    _ = try check(linux.statx(fd, "", linux.AT.EMPTY_PATH, .BASIC_STATS, &result));
    return result;
}

pub fn map(length: usize) Error![]align(std.heap.page_size_min) u8 {
    const address = try check(linux.mmap(null, length, .{ .READ = true, .WRITE = true }, .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true }, -1, 0));
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
    return pointer[0..length];
}

pub fn unmap(memory: []align(std.heap.page_size_min) u8) void {
    if (memory.len > 0) _ = linux.munmap(memory.ptr, memory.len);
}

fn clock(id: linux.clockid_t) u64 {
    var now: linux.timespec = undefined;
    _ = linux.clock_gettime(id, &now);
    return nanoseconds(now.sec, now.nsec);
}

pub fn nanoseconds(seconds: i64, rest: i64) u64 {
    return @intCast(@max(0, @as(i128, seconds) * std.time.ns_per_s + rest));
}

/// For deadlines and durations.
pub fn monotonic() u64 {
    return clock(.MONOTONIC);
}

/// For time stamps.
pub fn realtime() u64 {
    return clock(.REALTIME);
}
