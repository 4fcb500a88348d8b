//! The operation `upload`: a tar from the host into a directory.

const std = @import("std");
const fault = @import("fault.zig");
const heap = @import("heap.zig");
const paths = @import("paths.zig");
const sys = @import("sys.zig");
const tar = @import("tar.zig");
const refuse = fault.refuse;
const Buffer = @import("buffer.zig").Buffer;
const Extraction = @import("extraction.zig").Extraction;
const Member = @import("extraction.zig").Member;
const Fault = fault.Fault;
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

/// Largest pax header or GNU long name.
const most_extra = 1024 * 1024;

const Body = enum { skipped, content, pax, long_name, long_link };

pub const Upload = struct {
    stream: *Stream,
    extraction: Extraction,
    header: tar.Header = undefined,
    header_length: usize = 0,
    body: Body = .skipped,
    /// Of the body, and of what fills its last block.
    left: u64 = 0,
    fill: u64 = 0,
    /// The body of an extra header, zero byte at the end.
    extra: Buffer = .{},
    /// From extra headers, for the next member.
    path: ?[]u8 = null,
    link: ?[]u8 = null,
    size: ?u64 = null,
    finished: bool = false,
    bytes: u64 = 0,

    pub fn pump(_: *Upload) Pump {
        return .idle;
    }

    pub fn data(upload: *Upload, bytes: []const u8) void {
        upload.take(bytes) catch |cause| {
            _ = upload.stream.fail(cause);
            return;
        };
        upload.stream.consumed(bytes.len);
    }

    pub fn eof(upload: *Upload) void {
        const stream = upload.stream;
        upload.conclude() catch |cause| {
            _ = stream.fail(cause);
            return;
        };
        var object = stream.begin(.end);
        object.int("entries", upload.extraction.entries);
        object.int("bytes", upload.bytes);
        stream.finish(&object);
        _ = stream.over();
    }

    fn conclude(upload: *Upload) Fault!void {
        const between = upload.header_length == 0 and upload.left == 0 and upload.fill == 0;
        if (!upload.finished and !between) return refuse(.invalid_argument, "the tar is cut off");
        try upload.extraction.finish();
    }

    fn take(upload: *Upload, bytes: []const u8) Fault!void {
        var rest = bytes;
        while (rest.len > 0 and !upload.finished) {
            if (upload.left > 0) {
                const count: usize = @intCast(@min(upload.left, rest.len));
                try upload.takeBody(rest[0..count]);
                rest = rest[count..];
            } else if (upload.fill > 0) {
                const count: usize = @intCast(@min(upload.fill, rest.len));
                upload.fill -= count;
                rest = rest[count..];
            } else {
                const count = @min(tar.block - upload.header_length, rest.len);
                @memcpy(std.mem.asBytes(&upload.header)[upload.header_length..][0..count], rest[0..count]);
                upload.header_length += count;
                rest = rest[count..];
                if (upload.header_length < tar.block) continue;
                upload.header_length = 0;
                try upload.takeHeader();
            }
        }
    }

    fn takeBody(upload: *Upload, bytes: []const u8) Fault!void {
        switch (upload.body) {
            .skipped => {},
            .content => {
                try upload.extraction.write(bytes);
                upload.bytes += bytes.len;
            },
            .pax, .long_name, .long_link => {
                upload.extra.append(bytes);
                if (upload.extra.failed) return error.OutOfMemory;
            },
        }
        upload.left -= bytes.len;
        if (upload.left == 0) try upload.endBody();
    }

    fn endBody(upload: *Upload) Fault!void {
        const extra = upload.extra.bytes();
        switch (upload.body) {
            .skipped => return,
            .content => return upload.extraction.closeFile(),
            .pax => try upload.takeRecords(extra),
            .long_name => try keep(&upload.path, tar.text(extra)),
            .long_link => try keep(&upload.link, tar.text(extra)),
        }
        upload.extra.consume(extra.len);
    }

    fn takeRecords(upload: *Upload, bytes: []const u8) Fault!void {
        var records: tar.Records = .{ .bytes = bytes };
        while (records.next() catch return refuse(.invalid_argument, "a pax header is malformed")) |record| {
            if (std.mem.eql(u8, record.key, "path")) {
                try keep(&upload.path, record.value);
            } else if (std.mem.eql(u8, record.key, "linkpath")) {
                try keep(&upload.link, record.value);
            } else if (std.mem.eql(u8, record.key, "size")) {
                upload.size = std.fmt.parseInt(u64, record.value, 10) catch
                    return refuse(.invalid_argument, "a pax header has a bad size");
            }
        }
    }

    fn keep(field: *?[]u8, value: []const u8) Fault!void {
        const copy = try heap.allocator.dupe(u8, value);
        drop(field);
        field.* = copy;
    }

    fn drop(field: *?[]u8) void {
        if (field.*) |old| heap.allocator.free(old);
        field.* = null;
    }

    fn takeHeader(upload: *Upload) Fault!void {
        const header = &upload.header;
        if (std.mem.allEqual(u8, std.mem.asBytes(header), 0)) {
            upload.finished = true;
            return;
        }
        if (!header.isSealed()) return refuse(.invalid_argument, "this is no tar, or it is damaged");
        const own_size = tar.number(&header.size) orelse return refuse(.invalid_argument, "a tar header has a bad size");
        switch (header.kind) {
            'x' => return upload.beginExtra(.pax, own_size),
            'L' => return upload.beginExtra(.long_name, own_size),
            'K' => return upload.beginExtra(.long_link, own_size),
            'g' => return upload.beginBody(.skipped, own_size),
            'S' => return refuse(.unsupported, "a tar with sparse files"),
            else => {},
        }
        const size = upload.size orelse own_size;
        defer {
            drop(&upload.path);
            drop(&upload.link);
            upload.size = null;
        }
        var joined: [short_path]u8 = undefined;
        const path = upload.path orelse join(header, &joined);
        const kind = kindOf(header.kind, path) orelse {
            return upload.beginBody(.skipped, if (header.kind >= '1' and header.kind <= '6') 0 else size);
        };
        const content = try upload.extraction.begin(.{
            .kind = kind,
            .path = path,
            .link = upload.link orelse tar.text(&header.link),
            .mode = @intCast((tar.number(&header.mode) orelse 0o644) & 0o7777),
            .mtime = tar.number(&header.mtime) orelse 0,
        });
        if (kind != .file) return;
        upload.beginBody(if (content) .content else .skipped, size);
        if (size == 0 and content) try upload.extraction.closeFile();
    }

    const short_path = 256;

    fn join(header: *const tar.Header, buffer: *[short_path]u8) []const u8 {
        const name = tar.text(&header.name);
        const prefix = tar.text(&header.prefix);
        // GNU's own format has other things there.
        if (prefix.len == 0 or !std.mem.eql(u8, &header.magic, "ustar\x00")) return name;
        @memcpy(buffer[0..prefix.len], prefix);
        buffer[prefix.len] = '/';
        @memcpy(buffer[prefix.len + 1 ..][0..name.len], name);
        return buffer[0 .. prefix.len + 1 + name.len];
    }

    fn kindOf(kind: u8, path: []const u8) ?Member.Kind {
        return switch (kind) {
            // Before there was a type for directories.
            '0', 0 => if (std.mem.endsWith(u8, path, "/")) .directory else .file,
            '7' => .file,
            '1' => .hard_link,
            '2' => .symbolic_link,
            '5' => .directory,
            else => null,
        };
    }

    fn beginExtra(upload: *Upload, body: Body, size: u64) Fault!void {
        if (size > most_extra) return refuse(.invalid_argument, "a tar header is too long");
        upload.beginBody(body, size);
        if (size == 0) try upload.endBody();
    }

    fn beginBody(upload: *Upload, body: Body, size: u64) void {
        upload.body = body;
        upload.left = size;
        upload.fill = tar.padding(size);
    }

    pub fn close(upload: *Upload) void {
        upload.extraction.close();
        upload.extra.release();
        drop(&upload.path);
        drop(&upload.link);
        heap.allocator.destroy(upload);
    }
};

pub fn start(stream: *Stream, request: *const Request) Fault!void {
    const path = try request.path("path");
    const upload = try heap.allocator.create(Upload);
    errdefer heap.allocator.destroy(upload);
    try paths.makeParents(@constCast(path));
    try paths.makeDirectory(path);
    const root = try sys.open(path, .{ .PATH = true, .DIRECTORY = true }, 0);
    upload.* = .{ .stream = stream, .extraction = .{ .root = root } };
    stream.replyEmpty();
    stream.task = .{ .upload = upload };
}
