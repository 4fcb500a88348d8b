//! Files that were sent under one name and have others: the next name becomes a hard link to the first.

const std = @import("std");
const heap = @import("heap.zig");
const linux = @import("sys.zig").linux;

/// Files beyond this are sent again under each name.
const most = 4096;

const Link = struct { major: u32, minor: u32, inode: u64, path: []u8 };

pub const Links = struct {
    all: std.ArrayList(Link) = .empty,

    pub fn find(links: *const Links, info: *const linux.Statx) ?[]const u8 {
        for (links.all.items) |*link| {
            if (link.inode == info.ino and link.major == info.dev_major and link.minor == info.dev_minor) return link.path;
        }
        return null;
    }

    pub fn add(links: *Links, info: *const linux.Statx, path: []const u8) error{OutOfMemory}!void {
        if (links.all.items.len == most) return;
        const copy = try heap.allocator.dupe(u8, path);
        errdefer heap.allocator.free(copy);
        try links.all.append(heap.allocator, .{ .major = info.dev_major, .minor = info.dev_minor, .inode = info.ino, .path = copy });
    }

    pub fn release(links: *Links) void {
        for (links.all.items) |*link| heap.allocator.free(link.path);
        links.all.deinit(heap.allocator);
    }
};
