//! The operation `watch`: changes below a path, from inotify.

const std = @import("std");
const dirents = @import("dirents.zig");
const fault = @import("fault.zig");
const heap = @import("heap.zig");
const loops = @import("loop.zig");
const sys = @import("sys.zig");
const linux = sys.linux;
const IN = linux.IN;
const Pump = @import("stream.zig").Pump;
const Request = @import("request.zig").Request;
const Stream = @import("stream.zig").Stream;

const changes = IN.MODIFY | IN.ATTRIB | IN.CREATE | IN.DELETE | IN.MOVED_FROM | IN.MOVED_TO;
const of_root = changes | IN.DELETE_SELF | IN.MOVE_SELF;
const of_directory = changes | IN.ONLYDIR | IN.DONT_FOLLOW;
const buffer_length = 4096;
/// Paths are bounded by what the kernel takes.
const longest_path = 4096;

/// A watched directory, by its path below the root; the root's is empty.
const Place = struct { descriptor: i32, path: []u8 };

/// A change that the agent found itself: something in a directory that was new.
const Found = struct { path: []u8 };

pub const Watch = struct {
    stream: *Stream,
    source: loops.Source = .{ .ready = onReady },
    root: [:0]u8,
    recursive: bool,
    places: std.ArrayList(Place) = .empty,
    found: std.ArrayList(Found) = .empty,
    readable: bool = false,
    start: usize = 0,
    end: usize = 0,
    buffer: [buffer_length]u8 align(8) = undefined,

    fn begin(watch: *Watch) fault.Fault!void {
        watch.add("", of_root) catch |cause| {
            // What the kernel means is that there are too many watches.
            if (cause == error.System and sys.last == .NOSPC) return fault.refuseErrno(.resource_exhausted, "too many watches", .NOSPC);
            return cause;
        };
        if (watch.recursive) try watch.addTree("", false);
    }

    fn onReady(source: *loops.Source, _: u32) void {
        const watch: *Watch = @fieldParentPtr("source", source);
        watch.readable = true;
        watch.stream.wake();
    }

    pub fn pump(watch: *Watch) Pump {
        const stream = watch.stream;
        if (watch.found.items.len > 0) {
            const path = watch.found.items[0].path;
            if (!watch.tell("created", path, 0)) return .idle;
            _ = watch.found.orderedRemove(0);
            heap.allocator.free(path);
            return .more;
        }
        if (watch.start == watch.end) {
            if (!watch.readable) return .idle;
            watch.start = 0;
            watch.end = sys.read(watch.source.fd, &watch.buffer) catch |cause| {
                watch.end = 0;
                if (sys.last != .AGAIN) return stream.fail(cause);
                watch.readable = false;
                return .idle;
            };
        }
        const event: *const linux.inotify_event = @ptrCast(@alignCast(&watch.buffer[watch.start]));
        const told = watch.take(event) catch |cause| return stream.fail(cause);
        if (!told) return .idle;
        watch.start += @sizeOf(linux.inotify_event) + event.len;
        return .more;
    }

    /// False: no credit, try again later.
    fn take(watch: *Watch, event: *const linux.inotify_event) fault.Fault!bool {
        if (event.mask & IN.Q_OVERFLOW != 0) return watch.tell("overflow", "", 0);
        const place = watch.find(event.wd) orelse return true;
        if (event.mask & IN.IGNORED != 0) {
            watch.forget(place);
            return true;
        }
        var buffer: [longest_path]u8 = undefined;
        const name = event.getName();
        // A directory's own changes come from the directory above too; only the root has none above.
        if (name == null and watch.places.items[place].path.len > 0) return true;
        const path = try below(&buffer, watch.places.items[place].path, name orelse "");
        const kind = nameOf(event.mask) orelse return true;
        if (!watch.tell(kind, path, event.cookie)) return false;
        if (!watch.recursive or event.mask & IN.ISDIR == 0 or name == null) return true;
        if (event.mask & IN.MOVED_FROM != 0) watch.forgetBelow(path);
        if (event.mask & IN.CREATE != 0) try watch.addTree(path, true);
        if (event.mask & IN.MOVED_TO != 0) try watch.addTree(path, false);
        return true;
    }

    fn nameOf(mask: u32) ?[]const u8 {
        if (mask & IN.CREATE != 0) return "created";
        if (mask & IN.MODIFY != 0) return "modified";
        if (mask & (IN.DELETE | IN.DELETE_SELF) != 0) return "removed";
        if (mask & (IN.MOVED_FROM | IN.MOVE_SELF) != 0) return "moved_from";
        if (mask & IN.MOVED_TO != 0) return "moved_to";
        if (mask & IN.ATTRIB != 0) return "attributes";
        return null;
    }

    fn tell(watch: *Watch, kind: []const u8, path: []const u8, cookie: u32) bool {
        var object = watch.stream.begin(.event);
        object.text("type", kind);
        object.os("path", path);
        if (cookie != 0) object.int("cookie", cookie);
        return watch.stream.finishEvent(&object);
    }

    fn find(watch: *const Watch, descriptor: i32) ?usize {
        for (watch.places.items, 0..) |place, index| if (place.descriptor == descriptor) return index;
        return null;
    }

    fn forget(watch: *Watch, index: usize) void {
        heap.allocator.free(watch.places.swapRemove(index).path);
    }

    /// A directory went away under another name: what is below it is not below the root any more, or will be found again.
    fn forgetBelow(watch: *Watch, path: []const u8) void {
        var index: usize = watch.places.items.len;
        while (index > 0) {
            index -= 1;
            const place = watch.places.items[index];
            if (!std.mem.startsWith(u8, place.path, path)) continue;
            if (place.path.len > path.len and place.path[path.len] != '/') continue;
            _ = linux.inotify_rm_watch(watch.source.fd, place.descriptor);
            watch.forget(index);
        }
    }

    fn add(watch: *Watch, path: []const u8, mask: u32) fault.Fault!void {
        var buffer: [longest_path]u8 = undefined;
        const full = try below(&buffer, watch.root, path);
        const descriptor = try sys.checkFd(linux.inotify_add_watch(watch.source.fd, full, mask));
        const kept = try heap.allocator.dupe(u8, path);
        errdefer heap.allocator.free(kept);
        if (watch.find(descriptor)) |index| watch.forget(index);
        try watch.places.append(heap.allocator, .{ .descriptor = descriptor, .path = kept });
    }

    /// Watch a directory and what is below it. `news`: tell of what is in it already, for nobody saw that come.
    fn addTree(watch: *Watch, top: []const u8, news: bool) fault.Fault!void {
        var pending: std.ArrayList([]u8) = .empty;
        defer {
            for (pending.items) |path| heap.allocator.free(path);
            pending.deinit(heap.allocator);
        }
        try pending.append(heap.allocator, try heap.allocator.dupe(u8, top));
        while (pending.pop()) |path| {
            defer heap.allocator.free(path);
            if (path.len > 0) watch.add(path, of_directory) catch |cause| {
                if (vanished(cause)) continue;
                return cause;
            };
            watch.scan(&pending, path, news) catch |cause| if (!vanished(cause)) return cause;
        }
    }

    fn scan(watch: *Watch, pending: *std.ArrayList([]u8), path: []const u8, news: bool) fault.Fault!void {
        var buffer: [longest_path]u8 = undefined;
        const full = try below(&buffer, watch.root, path);
        const flags: linux.O = .{ .DIRECTORY = true, .NOFOLLOW = path.len > 0 };
        const fd = try sys.open(full, flags, 0);
        defer sys.close(fd);
        var reader: dirents.Reader = .{ .fd = fd };
        while (try reader.next()) |item| {
            var item_buffer: [longest_path]u8 = undefined;
            const item_path = try below(&item_buffer, path, item.name);
            if (news) {
                const kept = try heap.allocator.dupe(u8, item_path);
                errdefer heap.allocator.free(kept);
                try watch.found.append(heap.allocator, .{ .path = kept });
            }
            if (item.kind != linux.DT.DIR) continue;
            try pending.append(heap.allocator, try heap.allocator.dupe(u8, item_path));
        }
    }

    pub fn data(watch: *Watch, bytes: []const u8) void {
        watch.stream.consumed(bytes.len);
    }

    pub fn eof(_: *Watch) void {}

    pub fn close(watch: *Watch) void {
        watch.stream.connection.agent.loop.close(&watch.source);
        for (watch.places.items) |place| heap.allocator.free(place.path);
        watch.places.deinit(heap.allocator);
        for (watch.found.items) |item| heap.allocator.free(item.path);
        watch.found.deinit(heap.allocator);
        heap.allocator.free(watch.root);
        heap.allocator.destroy(watch);
    }
};

fn vanished(cause: fault.Fault) bool {
    return cause == error.System and (sys.last == .NOENT or sys.last == .NOTDIR or sys.last == .LOOP);
}

fn below(buffer: *[longest_path]u8, directory: []const u8, name: []const u8) fault.Fault![:0]const u8 {
    const separator = if (directory.len > 0 and name.len > 0) "/" else "";
    return std.fmt.bufPrintSentinel(buffer, "{s}{s}{s}", .{ directory, separator, name }, 0) catch sys.fail(.NAMETOOLONG);
}

pub fn start(stream: *Stream, request: *const Request) fault.Fault!void {
    const path = try request.path("path");
    const recursive = try request.boolean("recursive") orelse false;
    const watch = try heap.allocator.create(Watch);
    const root = heap.allocator.dupeSentinel(u8, path, 0) catch |cause| {
        heap.allocator.destroy(watch);
        return cause;
    };
    watch.* = .{ .stream = stream, .root = root, .recursive = recursive };
    errdefer watch.close();
    watch.source.fd = try sys.checkFd(linux.inotify_init1(IN.CLOEXEC | IN.NONBLOCK));
    try watch.begin();
    try stream.connection.agent.loop.add(&watch.source, loops.readable | loops.edge);
    stream.replyEmpty();
    stream.task = .{ .watch = watch };
}
