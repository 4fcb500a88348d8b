//! Makes files, directories and links below a directory, and nowhere else: no name leads up, and no component of a path
//! that is a symbolic link is followed, whoever put it there.

const std = @import("std");
const fault = @import("fault.zig");
const heap = @import("heap.zig");
const paths = @import("paths.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const refuse = fault.refuse;
const Fault = fault.Fault;

const longest_path = 4096;
/// The owner's bits without which a directory cannot be filled.
const owner_bits = 0o300;

pub const Member = struct {
    kind: Kind,
    path: []const u8,
    link: []const u8,
    mode: u32,
    mtime: u64,

    pub const Kind = enum { file, directory, symbolic_link, hard_link };
};

/// A directory whose mode would keep its own contents out.
const Closed = struct { path: []u8, mode: u32 };

pub const Extraction = struct {
    root: i32,
    entries: u64 = 0,
    file: i32 = -1,
    mode: u32 = 0,
    mtime: u64 = 0,
    /// The directory of the last member stays open: the next one is often beside it.
    directory: i32 = -1,
    directory_path: []u8 = &.{},
    closed: std.ArrayList(Closed) = .empty,

    /// Make the member; of a file the content follows. False: it is the root itself, and nothing was made.
    pub fn begin(extraction: *Extraction, member: Member) Fault!bool {
        var buffer: [longest_path]u8 = undefined;
        const path = try clean(member.path, &buffer);
        if (path.len == 0) return false;
        const name = paths.baseName(path);
        var name_buffer: [256]u8 = undefined;
        const text = try terminate(name, &name_buffer);
        const parent = try extraction.openParent(path[0 .. path.len - name.len]);
        extraction.entries += 1;
        switch (member.kind) {
            .file => try extraction.makeFile(parent, text, member),
            .directory => try extraction.makeDirectory(parent, text, path, member.mode),
            .symbolic_link => try makeSymbolicLink(parent, text, member),
            .hard_link => try extraction.makeHardLink(parent, text, path, member.link),
        }
        return true;
    }

    fn openParent(extraction: *Extraction, path: []const u8) Fault!i32 {
        if (extraction.directory >= 0 and std.mem.eql(u8, extraction.directory_path, path)) return extraction.directory;
        const kept = try heap.allocator.dupe(u8, path);
        errdefer heap.allocator.free(kept);
        const fd = try paths.openBelow(extraction.root, path, true);
        extraction.forgetParent();
        extraction.directory = fd;
        extraction.directory_path = kept;
        return fd;
    }

    fn forgetParent(extraction: *Extraction) void {
        sys.close(extraction.directory);
        extraction.directory = -1;
        if (extraction.directory_path.len > 0) heap.allocator.free(extraction.directory_path);
        extraction.directory_path = &.{};
    }

    fn makeFile(extraction: *Extraction, parent: i32, name: [:0]const u8, member: Member) Fault!void {
        const flags: linux.O = .{ .ACCMODE = .WRONLY, .CREAT = true, .EXCL = true, .NOFOLLOW = true };
        extraction.file = sys.openat(parent, name, flags, 0o600) catch |cause| again: {
            if (sys.last != .EXIST) return cause;
            _ = try sys.check(linux.unlinkat(parent, name, 0));
            break :again try sys.openat(parent, name, flags, 0o600);
        };
        extraction.mode = member.mode;
        extraction.mtime = member.mtime;
    }

    pub fn write(extraction: *Extraction, bytes: []const u8) Fault!void {
        try sys.writeAll(extraction.file, bytes);
    }

    pub fn closeFile(extraction: *Extraction) Fault!void {
        const times = timesOf(extraction.mtime);
        _ = linux.futimens(extraction.file, &times);
        const result = linux.fchmod(extraction.file, extraction.mode);
        sys.close(extraction.file);
        extraction.file = -1;
        _ = try sys.check(result);
    }

    fn makeDirectory(extraction: *Extraction, parent: i32, name: [:0]const u8, path: []const u8, mode: u32) Fault!void {
        _ = sys.check(linux.mkdirat(parent, name, 0o700)) catch |cause| {
            if (sys.last != .EXIST) return cause;
        };
        const fd = try sys.openat(parent, name, .{ .DIRECTORY = true, .NOFOLLOW = true }, 0);
        defer sys.close(fd);
        _ = try sys.check(linux.fchmod(fd, mode | owner_bits));
        if (mode & owner_bits == owner_bits) return;
        const kept = try heap.allocator.dupe(u8, path);
        errdefer heap.allocator.free(kept);
        try extraction.closed.append(heap.allocator, .{ .path = kept, .mode = mode });
    }

    fn makeSymbolicLink(parent: i32, name: [:0]const u8, member: Member) Fault!void {
        var buffer: [longest_path]u8 = undefined;
        const target = try terminate(member.link, &buffer);
        _ = sys.check(linux.symlinkat(target, parent, name)) catch |cause| {
            if (sys.last != .EXIST) return cause;
            _ = try sys.check(linux.unlinkat(parent, name, 0));
            _ = try sys.check(linux.symlinkat(target, parent, name));
        };
        const times = timesOf(member.mtime);
        _ = linux.utimensat(parent, name, &times, linux.AT.SYMLINK_NOFOLLOW);
    }

    fn makeHardLink(extraction: *Extraction, parent: i32, name: [:0]const u8, path: []const u8, link: []const u8) Fault!void {
        var buffer: [longest_path]u8 = undefined;
        const source = try clean(link, &buffer);
        // Nothing to do, and replacing it would lose it.
        if (std.mem.eql(u8, source, path)) return;
        const source_name = paths.baseName(source);
        var source_buffer: [256]u8 = undefined;
        const source_text = try terminate(source_name, &source_buffer);
        const directory = try paths.openBelow(extraction.root, source[0 .. source.len - source_name.len], false);
        defer sys.close(directory);
        _ = sys.check(linux.linkat(directory, source_text, parent, name, 0)) catch |cause| {
            if (sys.last != .EXIST) return cause;
            _ = try sys.check(linux.unlinkat(parent, name, 0));
            _ = try sys.check(linux.linkat(directory, source_text, parent, name, 0));
        };
    }

    /// All members are there: close what may not be entered any more, innermost first.
    pub fn finish(extraction: *Extraction) Fault!void {
        while (extraction.closed.pop()) |directory| {
            defer heap.allocator.free(directory.path);
            const fd = try paths.openBelow(extraction.root, directory.path, false);
            defer sys.close(fd);
            // The descriptor is one that only names the directory; fchmod wants an open one.
            const open = try sys.openat(fd, ".", .{ .DIRECTORY = true }, 0);
            defer sys.close(open);
            _ = try sys.check(linux.fchmod(open, directory.mode));
        }
    }

    pub fn close(extraction: *Extraction) void {
        sys.close(extraction.file);
        extraction.forgetParent();
        sys.close(extraction.root);
        for (extraction.closed.items) |directory| heap.allocator.free(directory.path);
        extraction.closed.deinit(heap.allocator);
    }
};

fn timesOf(mtime: u64) [2]linux.timespec {
    const seconds: i64 = @intCast(@min(mtime, std.math.maxInt(i40)));
    return .{ linux.UTIME.NOW, .{ .sec = seconds, .nsec = 0 } };
}

/// The path without empty and `.` components. Refuses what leads elsewhere.
fn clean(path: []const u8, buffer: *[longest_path]u8) Fault![]const u8 {
    if (path.len == 0 or path[0] == '/') return refuse(.invalid_argument, "a name in the tar is empty or absolute");
    if (std.mem.findScalar(u8, path, 0) != null) return refuse(.invalid_argument, "a name in the tar has a zero byte");
    var length: usize = 0;
    var names = std.mem.tokenizeScalar(u8, path, '/');
    while (names.next()) |name| {
        if (std.mem.eql(u8, name, ".")) continue;
        if (std.mem.eql(u8, name, "..")) return refuse(.invalid_argument, "a name in the tar leads up with ..");
        if (length + 1 + name.len > buffer.len) return sys.fail(.NAMETOOLONG);
        if (length > 0) {
            buffer[length] = '/';
            length += 1;
        }
        @memcpy(buffer[length..][0..name.len], name);
        length += name.len;
    }
    return buffer[0..length];
}

fn terminate(name: []const u8, buffer: []u8) Fault![:0]const u8 {
    if (name.len >= buffer.len) return sys.fail(.NAMETOOLONG);
    if (std.mem.findScalar(u8, name, 0) != null) return refuse(.invalid_argument, "a name in the tar has a zero byte");
    @memcpy(buffer[0..name.len], name);
    buffer[name.len] = 0;
    return buffer[0..name.len :0];
}
