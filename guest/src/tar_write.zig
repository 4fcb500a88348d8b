//! The operation `download`: a file, or a directory's contents, as a tar.

const std = @import("std");
const dirents = @import("dirents.zig");
const fault = @import("fault.zig");
const frame = @import("frame.zig");
const heap = @import("heap.zig");
const paths = @import("paths.zig");
const sys = @import("sys.zig");
const tar = @import("tar.zig");
const linux = sys.linux;
const Buffer = @import("buffer.zig").Buffer;
const Fault = fault.Fault;
const Links = @import("links.zig").Links;
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

const longest_target = 4096;
/// Two empty blocks end a tar.
const trailer = 2 * tar.block;

pub const Download = struct {
    stream: *Stream,
    /// The directory whose contents are sent; -1 for a file alone.
    root: i32 = -1,
    /// Directories still to be walked, as paths below the root.
    pending: std.ArrayList([]u8) = .empty,
    /// The one being walked.
    path: []u8 = &.{},
    reader: ?dirents.Reader = null,
    links: Links = .{},
    file: i32 = -1,
    /// Of the file's content, as its header says.
    left: u64 = 0,
    fill: u64 = 0,
    /// Headers on their way out.
    staged: Buffer = .{},
    finished: bool = false,
    entries: u64 = 0,
    bytes: u64 = 0,

    pub fn pump(download: *Download) Pump {
        const stream = download.stream;
        const connection = stream.connection;
        const limit: usize = @intCast(@min(frame.max_data, stream.credit));
        if (limit == 0 and !(download.finished and download.staged.len() == 0)) return .idle;
        connection.begin(.data, stream.id, 0);
        download.build(limit) catch |cause| {
            connection.abandon();
            return stream.fail(cause);
        };
        const length = connection.building();
        if (length > 0) {
            _ = connection.finish();
            stream.credit -= length;
            return .more;
        }
        connection.abandon();
        connection.send(.eof, stream.id, "");
        var object = stream.begin(.end);
        object.int("entries", download.entries);
        object.int("bytes", download.bytes);
        stream.finish(&object);
        return stream.over();
    }

    /// Append to the frame until it is `limit` long or all is said.
    fn build(download: *Download, limit: usize) Fault!void {
        const connection = download.stream.connection;
        const out = &connection.out;
        while (true) {
            const free = limit - connection.building();
            if (free == 0 or out.failed) return;
            if (download.staged.len() > 0) {
                const count = @min(free, download.staged.len());
                out.append(download.staged.bytes()[0..count]);
                download.staged.consume(count);
            } else if (download.left > 0) {
                try download.content(out, @intCast(@min(free, download.left)));
            } else if (!download.finished) {
                try download.advance();
            } else return;
            if (download.staged.failed) return error.OutOfMemory;
        }
    }

    fn content(download: *Download, out: *Buffer, count: usize) Fault!void {
        const space = out.room(count) orelse return;
        var got = try sys.read(download.file, space[0..count]);
        if (got == 0) {
            // The file became shorter; its header is gone already.
            @memset(space[0..count], 0);
            got = count;
        }
        out.commit(got);
        download.left -= got;
        download.bytes += got;
        if (download.left > 0) return;
        sys.close(download.file);
        download.file = -1;
        download.stageZeros(download.fill);
    }

    fn stageZeros(download: *Download, count: u64) void {
        const zeros: [tar.block]u8 = @splat(0);
        download.staged.append(zeros[0..@intCast(count)]);
    }

    /// Stage the header of what comes next.
    fn advance(download: *Download) Fault!void {
        if (download.reader) |*reader| {
            if (try reader.next()) |item| return download.member(reader.fd, item.name);
            sys.close(reader.fd);
            download.reader = null;
        }
        const path = download.pending.pop() orelse {
            download.finished = true;
            for (0..trailer / tar.block) |_| download.stageZeros(tar.block);
            return;
        };
        download.setPath(path);
        const named = paths.openBelow(download.root, path, false) catch |cause| return ignoreMissing(cause);
        defer sys.close(named);
        const fd = sys.openat(named, ".", .{ .DIRECTORY = true }, 0) catch |cause| return ignoreMissing(cause);
        download.reader = .{ .fd = fd };
    }

    fn setPath(download: *Download, path: []u8) void {
        if (download.path.len > 0) heap.allocator.free(download.path);
        download.path = path;
    }

    /// What vanished during the walk is as if it had never been.
    fn ignoreMissing(cause: Fault) Fault!void {
        if (cause != error.System or sys.last != .NOENT) return cause;
    }

    fn member(download: *Download, directory: i32, name: [:0]const u8) Fault!void {
        const info = sys.stat(directory, name, false) catch |cause| return ignoreMissing(cause);
        const parts = [_][]const u8{ download.path, if (download.path.len > 0) "/" else "", name };
        const path = try std.mem.concat(heap.allocator, u8, &parts);
        var keep = false;
        defer if (!keep) heap.allocator.free(path);
        switch (info.mode & linux.S.IFMT) {
            linux.S.IFDIR => {
                try download.pending.append(heap.allocator, path);
                keep = true;
                try download.stage(path, '5', &info, "");
            },
            linux.S.IFLNK => {
                var target: [longest_target]u8 = undefined;
                const length = sys.check(linux.readlinkat(directory, name, &target, target.len)) catch |cause| return ignoreMissing(cause);
                try download.stage(path, '2', &info, target[0..length]);
            },
            linux.S.IFREG => {
                if (info.nlink > 1) {
                    if (download.links.find(&info)) |first| return download.stage(path, '1', &info, first);
                    try download.links.add(&info, path);
                }
                const flags: linux.O = .{ .NOFOLLOW = true, .NONBLOCK = true };
                const fd = sys.openat(directory, name, flags, 0) catch |cause| return ignoreMissing(cause);
                try download.regular(path, fd);
            },
            // Sockets, pipes and devices mean nothing elsewhere.
            else => {},
        }
    }

    /// Takes over the descriptor.
    fn regular(download: *Download, path: []const u8, fd: i32) Fault!void {
        errdefer sys.close(fd);
        const info = try sys.fstat(fd);
        try download.stage(path, '0', &info, "");
        if (info.size == 0) return sys.close(fd);
        download.file = fd;
        download.left = info.size;
        download.fill = tar.padding(info.size);
    }

    fn stage(download: *Download, path: []const u8, kind: u8, info: *const linux.Statx, link: []const u8) Fault!void {
        download.entries += 1;
        var header: tar.Header = .{ .kind = kind };
        const size = if (kind == '0') info.size else 0;
        const mtime: u64 = @intCast(@max(0, info.mtime.sec));
        tar.putOctal(&header.mode, info.mode & 0o7777);
        tar.putOctal(&header.uid, info.uid);
        tar.putOctal(&header.gid, info.gid);
        tar.putOctal(&header.size, size);
        tar.putOctal(&header.mtime, mtime);

        var records: Buffer = .{};
        defer records.release();
        const slash = if (kind == '5') "/" else "";
        var name: [longest_target + 1]u8 = undefined;
        const full = std.fmt.bufPrint(&name, "{s}{s}", .{ path, slash }) catch return sys.fail(.NAMETOOLONG);
        putText(&records, &header.name, "path", full);
        putText(&records, &header.link, "linkpath", link);
        if (!tar.fitsOctal(header.size.len, size)) putNumber(&records, "size", size);
        if (!tar.fitsOctal(header.uid.len, info.uid)) putNumber(&records, "uid", info.uid);
        if (!tar.fitsOctal(header.gid.len, info.gid)) putNumber(&records, "gid", info.gid);
        if (records.failed) return error.OutOfMemory;
        if (records.len() > 0) download.stageRecords(records.bytes());
        header.seal();
        download.staged.append(std.mem.asBytes(&header));
    }

    fn stageRecords(download: *Download, records: []const u8) void {
        const binary = "21 hdrcharset=BINARY\n";
        const first = if (std.unicode.utf8ValidateSlice(records)) "" else binary;
        var header: tar.Header = .{ .kind = 'x' };
        const name = "././@PaxHeader";
        @memcpy(header.name[0..name.len], name);
        tar.putOctal(&header.mode, 0o644);
        tar.putOctal(&header.size, first.len + records.len);
        header.seal();
        download.staged.append(std.mem.asBytes(&header));
        download.staged.append(first);
        download.staged.append(records);
        download.stageZeros(tar.padding(first.len + records.len));
    }

    pub fn data(download: *Download, bytes: []const u8) void {
        download.stream.consumed(bytes.len);
    }

    pub fn eof(_: *Download) void {}

    pub fn close(download: *Download) void {
        sys.close(download.root);
        sys.close(download.file);
        if (download.reader) |*reader| sys.close(reader.fd);
        download.setPath(&.{});
        for (download.pending.items) |path| heap.allocator.free(path);
        download.pending.deinit(heap.allocator);
        download.links.release();
        download.staged.release();
        heap.allocator.destroy(download);
    }
};

/// Into the field, and into a record if it is too long for that.
fn putText(records: *Buffer, field: *[tar.short_name]u8, key: []const u8, value: []const u8) void {
    const fitting = @min(field.len, value.len);
    @memcpy(field[0..fitting], value[0..fitting]);
    if (value.len > field.len) tar.putRecord(records, key, value);
}

fn putNumber(records: *Buffer, key: []const u8, value: u64) void {
    var digits: [20]u8 = undefined;
    tar.putRecord(records, key, std.fmt.bufPrint(&digits, "{d}", .{value}) catch unreachable);
}

pub fn start(stream: *Stream, request: *const Request) Fault!void {
    const path = try request.path("path");
    const download = try heap.allocator.create(Download);
    download.* = .{ .stream = stream };
    errdefer download.close();
    const fd = try sys.open(path, .{ .NONBLOCK = true, .NOCTTY = true }, 0);
    const info = sys.fstat(fd) catch |cause| {
        sys.close(fd);
        return cause;
    };
    if (linux.S.ISDIR(info.mode)) {
        download.root = fd;
        try download.pending.append(heap.allocator, &.{});
    } else if (linux.S.ISREG(info.mode)) {
        try download.regular(paths.baseName(path), fd);
    } else {
        sys.close(fd);
        return fault.refuse(.unsupported, "neither a file nor a directory");
    }
    stream.replyEmpty();
    stream.task = .{ .download = download };
    stream.wake();
}
