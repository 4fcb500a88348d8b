//! The unary operations on files: stat, mkdir, move, remove, chmod.

const entry = @import("entry.zig");
const fault = @import("fault.zig");
const paths = @import("paths.zig");
const removal = @import("removal.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const Fault = fault.Fault;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

const cwd = linux.AT.FDCWD;

pub const most_mode = 0o7777;

pub fn stat(stream: *Stream, request: *const Request) Fault!void {
    const path = try request.path("path");
    const info = try sys.stat(cwd, path, try request.boolean("follow") orelse true);
    var object = stream.begin(.reply);
    entry.describe(&object, paths.baseName(path), &info, cwd, path);
    stream.finish(&object);
}

pub fn mkdir(stream: *Stream, request: *const Request) Fault!void {
    const path = try request.path("path");
    const mode = try request.int("mode", 0, most_mode);
    const parents = try request.boolean("parents") orelse false;
    if (parents) try paths.makeParents(@constCast(path));
    const made = if (sys.check(linux.mkdir(path, 0o777))) |_| true else |cause| there: {
        if (!parents or sys.last != .EXIST) return cause;
        const info = try sys.stat(cwd, path, true);
        if (!linux.S.ISDIR(info.mode)) return sys.fail(.EXIST);
        break :there false;
    };
    if (mode) |bits| {
        if (made) _ = try sys.check(linux.chmod(path, @intCast(bits)));
    }
    stream.replyEmpty();
}

pub fn move(stream: *Stream, request: *const Request) Fault!void {
    const source = try request.path("source");
    const destination = try request.path("destination");
    _ = try sys.check(linux.renameat2(cwd, source, cwd, destination, .{}));
    stream.replyEmpty();
}

pub fn remove(stream: *Stream, request: *const Request) Fault!void {
    const path = try request.path("path");
    const recursive = try request.boolean("recursive") orelse false;
    const missing_ok = try request.boolean("missing_ok") orelse false;
    removal.remove(request.arena, path, recursive) catch |cause| {
        if (cause != error.System or sys.last != .NOENT or !missing_ok) return cause;
    };
    stream.replyEmpty();
}

pub fn chmod(stream: *Stream, request: *const Request) Fault!void {
    const path = try request.path("path");
    const mode = try request.requireInt("mode", 0, most_mode);
    _ = try sys.check(linux.chmod(path, @intCast(mode)));
    stream.replyEmpty();
}
