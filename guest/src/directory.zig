//! The operation `dir`: an EVENT per entry.

const dirents = @import("dirents.zig");
const entry = @import("entry.zig");
const fault = @import("fault.zig");
const heap = @import("heap.zig");
const sys = @import("sys.zig");
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

pub const Directory = struct {
    stream: *Stream,
    reader: dirents.Reader,
    /// Read, but not sent for lack of credit.
    item: ?dirents.Item = null,

    pub fn pump(directory: *Directory) Pump {
        const stream = directory.stream;
        if (directory.item == null) directory.item = directory.reader.next() catch |cause| return stream.fail(cause);
        const item = directory.item orelse return stream.endEmpty();
        const info = sys.stat(directory.reader.fd, item.name, false) catch |cause| {
            if (sys.last != .NOENT) return stream.fail(cause);
            directory.item = null;
            return .more;
        };
        var object = stream.begin(.event);
        entry.describe(&object, item.name, &info, directory.reader.fd, item.name);
        if (!stream.finishEvent(&object)) return .idle;
        directory.item = null;
        return .more;
    }

    pub fn data(directory: *Directory, bytes: []const u8) void {
        directory.stream.consumed(bytes.len);
    }

    pub fn eof(_: *Directory) void {}

    pub fn close(directory: *Directory) void {
        sys.close(directory.reader.fd);
        heap.allocator.destroy(directory);
    }
};

pub fn start(stream: *Stream, request: *const Request) fault.Fault!void {
    const directory = try heap.allocator.create(Directory);
    errdefer heap.allocator.destroy(directory);
    const fd = try sys.open(try request.path("path"), .{ .DIRECTORY = true }, 0);
    directory.* = .{ .stream = stream, .reader = .{ .fd = fd } };
    stream.task = .{ .directory = directory };
    stream.wake();
}
